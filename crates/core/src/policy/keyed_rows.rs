//! The rows of a table by key, and the cells that they leave unknown.
//!
//! Says nothing about what is wrong with them; that is for `row_findings`.

use std::collections::{HashMap, HashSet};

use super::table::Table;
use crate::text;

/// How many torn rows are told one by one.
pub(crate) const TORN_SAMPLE: usize = 3;

/// Rows of a lookup, one a key.
#[derive(Clone, Debug, Default)]
pub struct LookupRows {
    /// Keys as written, one a row.
    pub keys: Vec<String>,
    /// Row-major cells; empty text is missing.
    pub cells: Vec<Box<str>>,
    /// The line of each row in its file.
    pub lines: Vec<u64>,
    /// Places in `cells` whose content is unknown: two rows of one key differ there, or the row ends before or leaves it out.
    pub unknown: HashSet<usize>,
    /// Those of them that are unknown only because the row ends before or leaves it out.
    pub torn: HashSet<usize>,
    /// How many rows have the key of an earlier one.
    pub repeats: usize,
}

/// What a lookup says in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupCell<'a> {
    /// A cell with text in it.
    Text(&'a str),
    /// A cell without any text.
    Empty,
    /// The content is unknown: the row ends before this column or leaves it out, or rows of the same key differ in it.
    Unknown,
}

impl LookupRows {
    /// How many rows have a key.
    pub fn count(&self) -> usize {
        self.keys.len() + self.repeats
    }

    /// A cell. `width`: how many columns there are.
    pub fn cell(&self, row: usize, column: usize, width: usize) -> LookupCell<'_> {
        let place = row * width + column;
        match self.cells.get(place) {
            _ if self.unknown.contains(&place) => LookupCell::Unknown,
            Some(cell) if !cell.is_empty() => LookupCell::Text(cell),
            _ => LookupCell::Empty,
        }
    }
}

/// Rows that one lookup cannot both have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowConflict {
    pub(crate) key: String,
    /// The lines of the row that is kept and of the other.
    pub(crate) lines: (u64, u64),
}

/// A row that ends before its last column or leaves one out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TornRow {
    pub(crate) line: u64,
    /// Empty where it has none.
    pub(crate) key: String,
    /// The first column that it lacks, and how many more there are.
    pub(crate) column: String,
    pub(crate) more: usize,
}

/// The rows of a table by key, and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct KeyedRows {
    pub(crate) rows: LookupRows,
    pub(crate) clashes: Vec<RowConflict>,
    /// How many rows have no key.
    pub(crate) without_key: usize,
    /// How many rows end before their last column or leave one out.
    pub(crate) torn: usize,
    /// The first of them.
    pub(crate) torn_sample: Vec<TornRow>,
}

/// One row a key: where two differ, what they differ in is unknown.
pub(crate) fn keyed(table: Table, key_column: usize) -> KeyedRows {
    let width = table.columns.len();
    let mut found = KeyedRows::default();
    let mut known: HashMap<String, usize> = HashMap::with_capacity(table.lines.len());
    let mut cells = table.cells.into_iter();
    for (number, line) in table.lines.into_iter().enumerate() {
        let mut row: Vec<Box<str>> = cells.by_ref().take(width).collect();
        row.iter_mut().filter(|cell| text::is_zero_guid(cell)).for_each(|cell| *cell = "".into());
        let is_absent = |column: usize| table.unknown.contains(&(number * width + column));
        let key = row[key_column].to_string();
        let mut absent = (0..width).filter(|column| is_absent(*column));
        if let Some(first) = absent.next() {
            found.torn += 1;
            if found.torn_sample.len() < TORN_SAMPLE {
                let column = table.columns[first].clone();
                found.torn_sample.push(TornRow { line, key: key.clone(), column, more: absent.count() });
            }
        }
        if key.is_empty() {
            found.without_key += 1;
            continue;
        }
        let kept = *known.entry(text::fold(&key).into_owned()).or_insert(found.rows.keys.len());
        let rows = &mut found.rows;
        if kept < rows.keys.len() {
            rows.repeats += 1;
            let place = |column: usize| kept * width + column;
            let differs = |column: &usize| {
                *column != key_column
                    && (rows.cells[place(*column)] != row[*column]
                        || is_absent(*column) != rows.unknown.contains(&place(*column)))
            };
            let differing: Vec<usize> = (0..width).filter(differs).collect();
            if !differing.is_empty() {
                found.clashes.push(RowConflict { key, lines: (rows.lines[kept], line) });
                for place in differing.into_iter().map(place) {
                    rows.unknown.insert(place);
                    rows.torn.remove(&place);
                }
            }
            continue;
        }
        let torn = (0..width).filter(|column| is_absent(*column)).map(|column| kept * width + column);
        rows.torn.extend(torn.clone());
        rows.unknown.extend(torn);
        rows.keys.push(key);
        rows.lines.push(line);
        rows.cells.extend(row);
    }
    found
}
