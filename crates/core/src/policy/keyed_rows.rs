//! The rows of a table by key, and the cells that are unknown.
//!
//! `row_findings` reports what is wrong with them.

use std::collections::{HashMap, HashSet};

use super::table::Table;
use crate::text;

/// The most torn rows that are reported one by one.
pub(crate) const TORN_SAMPLE: usize = 3;

/// The rows of a lookup, one per key.
#[derive(Clone, Debug, Default)]
pub struct LookupRows {
    /// Keys as written, one per row.
    pub keys: Vec<String>,
    /// Row-major cells; empty text is missing.
    pub cells: Vec<Box<str>>,
    /// The line of each row in its file.
    pub lines: Vec<u64>,
    /// Indices in `cells` whose content is unknown: rows with the same key differ there, or the row ends early or leaves the
    /// column out.
    pub unknown: HashSet<usize>,
    /// Those of `unknown` that are unknown only because the row ends early or leaves the column out.
    pub torn: HashSet<usize>,
    /// Number of rows whose key an earlier row has.
    pub repeats: usize,
}

/// The content of a lookup's cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupCell<'a> {
    /// A cell with text in it.
    Text(&'a str),
    /// A cell without any text.
    Empty,
    /// Unknown: the row ends before this column or leaves it out, or rows with the same key differ in it.
    Unknown,
}

impl LookupRows {
    /// How many rows have a key.
    pub fn count(&self) -> usize {
        self.keys.len() + self.repeats
    }

    /// A cell. `width`: the number of columns.
    pub fn cell(&self, row: usize, column: usize, width: usize) -> LookupCell<'_> {
        let place = row * width + column;
        match self.cells.get(place) {
            _ if self.unknown.contains(&place) => LookupCell::Unknown,
            Some(cell) if !cell.is_empty() => LookupCell::Text(cell),
            _ => LookupCell::Empty,
        }
    }
}

/// Two rows with the same key and different cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowConflict {
    pub(crate) key: String,
    /// The lines of the kept row and of the other.
    pub(crate) lines: (u64, u64),
}

/// A row that ends before its last column or leaves one out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TornRow {
    pub(crate) line: u64,
    /// Empty if it has none.
    pub(crate) key: String,
    /// The first column that it lacks, and the number of further ones.
    pub(crate) column: String,
    pub(crate) more: usize,
}

/// The rows of a table by key, and their faults.
#[derive(Debug, Default)]
pub(crate) struct KeyedRows {
    pub(crate) rows: LookupRows,
    pub(crate) clashes: Vec<RowConflict>,
    /// Number of rows without a key.
    pub(crate) without_key: usize,
    /// Number of rows that end early or leave a column out.
    pub(crate) torn: usize,
    /// The first of these.
    pub(crate) torn_sample: Vec<TornRow>,
}

/// Keeps one row per key. Cells in which rows with the same key differ become unknown.
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
