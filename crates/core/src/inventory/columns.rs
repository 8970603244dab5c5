//! Columns: one arena per text field, one dictionary per field of few values, byte lists for addresses, offsets for tags.
//!
//! Knows how values are stored, not their meaning.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::device::COLUMNS;

/// Interned texts. Number 0 means "missing", whatever the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    // Random for each table: device names may be hostile, and must not be able to make it slow.
    state: RandomState,
    table: HashTable<u32>,
    texts: TextColumn,
}

impl Interner {
    /// The number of a text, new ones counted up from 1.
    #[inline]
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        let texts = &self.texts;
        let hash_code = self.state.hash_one(text);
        if let Some(number) = self.table.find(hash_code, |number| texts.get(*number as usize - 1) == text) {
            return *number;
        }
        self.texts.push(text);
        let number = self.texts.len() as u32;
        let texts = &self.texts;
        self.table
            .insert_unique(hash_code, number, |number| self.state.hash_one(texts.get(*number as usize - 1)));
        number
    }

    /// The number of a text that was interned before.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.table
            .find(self.state.hash_one(text), |number| self.texts.get(*number as usize - 1) == text)
            .copied()
    }

    /// The text of a number; 0 has none.
    pub(crate) fn get(&self, number: u32) -> Option<&str> {
        number.checked_sub(1).map(|index| self.texts.get(index as usize))
    }

    /// One more than the greatest number.
    pub(crate) fn bound(&self) -> usize {
        self.texts.len() + 1
    }

    /// Interns every text of another that is not yet in `numbers`, which maps its numbers to our own.
    fn adopt(&mut self, other: &Interner, numbers: &mut Vec<u32>) {
        if numbers.is_empty() {
            numbers.push(0);
        }
        numbers
            .extend((numbers.len() - 1..other.texts.len()).map(|index| self.intern(other.texts.get(index))));
    }
}

/// Small numbers, as narrow as the greatest of them allows.
#[derive(Clone, Debug)]
pub(crate) enum Codes {
    /// Up to 255.
    Narrow(Vec<u8>),
    /// Up to 65,535.
    Middle(Vec<u16>),
    /// Any.
    Wide(Vec<u32>),
}

impl Default for Codes {
    fn default() -> Codes {
        Codes::Narrow(Vec::new())
    }
}

impl Codes {
    pub(crate) fn get(&self, index: usize) -> u32 {
        match self {
            Codes::Narrow(codes) => u32::from(codes[index]),
            Codes::Middle(codes) => u32::from(codes[index]),
            Codes::Wide(codes) => codes[index],
        }
    }

    fn fit(&mut self, greatest: usize) {
        match self {
            Codes::Narrow(codes) if greatest > usize::from(u8::MAX) => {
                *self = Codes::Middle(codes.iter().map(|code| u16::from(*code)).collect());
                self.fit(greatest);
            }
            Codes::Middle(codes) if greatest > usize::from(u16::MAX) => {
                *self = Codes::Wide(codes.iter().map(|code| u32::from(*code)).collect());
            }
            _ => {}
        }
    }

    #[inline]
    fn push(&mut self, code: u32) {
        match self {
            Codes::Narrow(codes) if code <= u32::from(u8::MAX) => codes.push(code as u8),
            Codes::Middle(codes) if code <= u32::from(u16::MAX) => codes.push(code as u16),
            Codes::Wide(codes) => codes.push(code),
            _ => {
                self.fit(code as usize);
                self.push(code);
            }
        }
    }

    /// Appends another column's codes, mapped to this one's.
    fn extend_mapped(&mut self, more: &Codes, map: &[u32]) {
        match more {
            Codes::Narrow(codes) => self.extend(codes.iter().map(|code| map[usize::from(*code)])),
            Codes::Middle(codes) => self.extend(codes.iter().map(|code| map[usize::from(*code)])),
            Codes::Wide(codes) => self.extend(codes.iter().map(|code| map[*code as usize])),
        }
    }

    fn clear(&mut self) {
        match self {
            Codes::Narrow(codes) => codes.clear(),
            Codes::Middle(codes) => codes.clear(),
            Codes::Wide(codes) => codes.clear(),
        }
    }

    fn extend(&mut self, more: impl Iterator<Item = u32>) {
        match self {
            Codes::Narrow(codes) => codes.extend(more.map(|code| code as u8)),
            Codes::Middle(codes) => codes.extend(more.map(|code| code as u16)),
            Codes::Wide(codes) => codes.extend(more),
        }
    }
}

/// A field of few distinct values: a dictionary and one code per row. Code 0 is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    pub(crate) dictionary: Interner,
    codes: Codes,
}

impl Symbols {
    /// Appends a row; `code` comes from this dictionary.
    #[inline]
    pub(crate) fn push(&mut self, code: u32) {
        self.codes.push(code);
    }

    pub(crate) fn code(&self, row: usize) -> u32 {
        self.codes.get(row)
    }

    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.dictionary.get(self.code(row))
    }

    fn append(&mut self, other: &Symbols, numbers: &mut Vec<u32>) {
        self.dictionary.adopt(&other.dictionary, numbers);
        self.codes.fit(self.dictionary.bound() - 1);
        self.codes.extend_mapped(&other.codes, numbers);
    }

    fn retain(&mut self, rows: &[u32]) {
        let mut codes = Codes::default();
        codes.fit(self.dictionary.bound() - 1);
        codes.extend(rows.iter().map(|row| self.codes.get(*row as usize)));
        self.codes = codes;
    }
}

/// A field of many distinct values: one arena, one end per row. Empty text is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextColumn {
    arena: String,
    ends: Vec<u32>,
}

impl TextColumn {
    #[inline]
    pub(crate) fn push(&mut self, text: &str) {
        self.arena.push_str(text);
        self.ends.push(self.arena.len() as u32);
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.arena[start as usize..self.ends[row] as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn append(&mut self, other: &TextColumn) {
        let base = self.arena.len() as u32;
        self.arena.push_str(&other.arena);
        self.ends.extend(other.ends.iter().map(|end| base + end));
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.ends.clear();
    }

    fn retain(&mut self, rows: &[u32]) {
        let mut kept = TextColumn::default();
        rows.iter().for_each(|row| kept.push(self.get(*row as usize)));
        *self = kept;
    }
}

/// A variable number of items per row: one pool, one end per row.
#[derive(Clone, Debug)]
pub(crate) struct Lists<T> {
    pool: Vec<T>,
    ends: Vec<u32>,
}

impl<T> Default for Lists<T> {
    fn default() -> Lists<T> {
        Lists { pool: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy> Lists<T> {
    #[inline]
    pub(crate) fn push(&mut self, items: &[T]) {
        self.pool.extend_from_slice(items);
        self.ends.push(self.pool.len() as u32);
    }

    pub(crate) fn get(&self, row: usize) -> &[T] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.pool[start as usize..self.ends[row] as usize]
    }

    pub(crate) fn total(&self) -> usize {
        self.pool.len()
    }

    /// The items of all rows.
    pub(crate) fn all(&self) -> &[T] {
        &self.pool
    }

    /// From items and one ascending end per row.
    pub(crate) fn from_parts(pool: Vec<T>, ends: Vec<u32>) -> Lists<T> {
        Lists { pool, ends }
    }

    /// The same lists of other items.
    pub(crate) fn map<U>(self, map: impl Fn(T) -> U) -> Lists<U> {
        Lists { pool: self.pool.into_iter().map(map).collect(), ends: self.ends }
    }

    fn clear(&mut self) {
        self.pool.clear();
        self.ends.clear();
    }

    fn append_mapped(&mut self, other: &Lists<T>, map: impl Fn(T) -> T) {
        let base = self.pool.len() as u32;
        self.pool.extend(other.pool.iter().map(|item| map(*item)));
        self.ends.extend(other.ends.iter().map(|end| base + end));
    }

    fn retain(&mut self, rows: &[u32]) {
        let mut kept = Lists::default();
        rows.iter().for_each(|row| kept.push(self.get(*row as usize)));
        *self = kept;
    }
}

/// Number of fields stored as [`TextColumn`], [`Symbols`], times and address lists.
pub(crate) const TEXTS: usize = COLUMNS[0];
pub(crate) const SYMBOLS: usize = COLUMNS[1];
pub(crate) const TIMES: usize = COLUMNS[2];
pub(crate) const BYTES: usize = COLUMNS[3];

/// A time that is missing.
pub(crate) const NO_TIME: i64 = i64::MIN;

/// Maps the dictionary numbers of a part to those of the whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeMapping {
    symbols: [Vec<u32>; SYMBOLS],
    tags: Vec<u32>,
}

/// All columns of a snapshot, or of the part of one that was read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) texts: [TextColumn; TEXTS],
    pub(crate) symbols: [Symbols; SYMBOLS],
    /// Ticks since 1970, or [`NO_TIME`].
    pub(crate) times: [Vec<i64>; TIMES],
    /// Encoded by `address`.
    pub(crate) bytes: [Lists<u8>; BYTES],
    pub(crate) tag_names: Interner,
    /// Numbers of `tag_names` less one.
    pub(crate) tags: Lists<u32>,
    /// Rows, ascending, whose object had no list of tags: it said `null`, or nothing.
    pub(crate) without_tag_list: Vec<u32>,
}

impl Columns {
    pub(crate) fn len(&self) -> usize {
        self.times[0].len()
    }

    /// Appends the rows of another part. `false`, with nothing appended, if an arena would exceed 4 GiB. `adopted` belongs to the
    /// other part: it starts empty, and keeps the words adopted so far if the part's dictionaries are used again.
    pub(crate) fn append(&mut self, other: &Columns, adopted: &mut CodeMapping) -> bool {
        let fits = |own: usize, more: usize| own + more < u32::MAX as usize;
        let mut pairs =
            self.texts.iter().zip(&other.texts).map(|(own, more)| (own.arena.len(), more.arena.len()));
        let mut lists = self.bytes.iter().zip(&other.bytes).map(|(own, more)| (own.total(), more.total()));
        if !pairs.all(|(own, more)| fits(own, more))
            || !lists.all(|(own, more)| fits(own, more))
            || !fits(self.tags.total(), other.tags.total())
            || !fits(self.len(), other.len())
        {
            return false;
        }
        self.texts.iter_mut().zip(&other.texts).for_each(|(own, more)| own.append(more));
        for ((own, more), numbers) in self.symbols.iter_mut().zip(&other.symbols).zip(&mut adopted.symbols) {
            own.append(more, numbers);
        }
        self.times.iter_mut().zip(&other.times).for_each(|(own, more)| own.extend_from_slice(more));
        self.bytes.iter_mut().zip(&other.bytes).for_each(|(own, more)| own.append_mapped(more, |byte| byte));
        let before = (self.len() - other.len()) as u32;
        self.without_tag_list.extend(other.without_tag_list.iter().map(|row| before + row));
        self.tag_names.adopt(&other.tag_names, &mut adopted.tags);
        self.tags.append_mapped(&other.tags, |tag| adopted.tags[tag as usize + 1] - 1);
        true
    }

    /// Number of texts in all dictionaries.
    pub(crate) fn words(&self) -> usize {
        let dictionaries = self.symbols.iter().map(|column| &column.dictionary);
        dictionaries.chain([&self.tag_names]).map(|dictionary| dictionary.texts.len()).sum()
    }

    /// Removes all rows, and keeps the dictionaries and the memory for as many rows.
    pub(crate) fn clear_rows(&mut self) {
        self.texts.iter_mut().for_each(TextColumn::clear);
        self.symbols.iter_mut().for_each(|column| column.codes.clear());
        self.times.iter_mut().for_each(Vec::clear);
        self.bytes.iter_mut().for_each(Lists::clear);
        self.tags.clear();
        self.without_tag_list.clear();
    }

    /// Keeps these rows, in this order.
    pub(crate) fn retain(&mut self, rows: &[u32]) {
        self.texts.iter_mut().for_each(|column| column.retain(rows));
        self.symbols.iter_mut().for_each(|column| column.retain(rows));
        for column in &mut self.times {
            *column = rows.iter().map(|row| column[*row as usize]).collect();
        }
        self.bytes.iter_mut().for_each(|column| column.retain(rows));
        self.tags.retain(rows);
        let is_without = |row: &u32| self.without_tag_list.binary_search(row).is_ok();
        let kept = (0u32..).zip(rows).filter(|(_, row)| is_without(row));
        self.without_tag_list = kept.map(|(row, _)| row).collect();
    }
}
