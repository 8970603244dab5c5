//! Lookups: tables whose rows are joined to devices, and the cells that their rows leave unknown.
//!
//! Joins nothing; that is `selection`. Reads no file; that is `data`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::data_sources::query_title;
use super::row_findings::{OnConflict, Rows, has_error};
use super::syntax::shown;
use super::table::Table;
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};
use crate::text;

/// An entry of `lookups`: a table joined to devices.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The name in `lookup.NAME.COLUMN`.
    pub name: String,
    /// Where its rows come from.
    pub source: LookupSource,
    /// The device field that `key` equals.
    pub matches: Field,
    /// The column names, in file order. Of a query, and of a file without a header, those that the policy reads, the key first.
    pub columns: Vec<String>,
    /// Whether the file has neither row nor header: then every column is accepted, and missing.
    pub is_void: bool,
    /// The rows that have a key; none of a query, whose result comes with each run.
    pub rows: Arc<LookupRows>,
    /// Where it stands.
    pub span: Span,
}

/// Where the rows of a lookup come from.
#[derive(Clone, Debug)]
pub enum LookupSource {
    /// A file: its path as written, for messages.
    File(String),
    /// A hunting query.
    Hunting(LookupQuery),
}

/// The hunting query of a lookup.
#[derive(Clone, Debug)]
pub struct LookupQuery {
    /// The query text, as it is sent.
    pub query: Arc<str>,
    /// Whether a result without rows is right.
    pub allow_empty: bool,
    /// What two rows of one key that differ are.
    pub(crate) on_conflict: OnConflict,
}

/// Rows of a lookup, one a key.
#[derive(Clone, Debug, Default)]
pub struct LookupRows {
    /// Keys as written, one a row.
    pub keys: Vec<String>,
    /// Row-major cells; empty text is missing.
    pub cells: Vec<Box<str>>,
    /// The line of each row in its file.
    pub lines: Vec<u64>,
    /// Places in `cells` whose content is unknown: two rows of one key differ there, or the row ends before.
    pub unknown: HashSet<usize>,
    /// How many rows have the key of an earlier one.
    pub repeats: usize,
}

/// What a lookup says in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// This text.
    Text(&'a str),
    /// Nothing.
    Empty,
    /// Nobody knows what.
    Unknown,
}

impl LookupRows {
    /// How many rows have a key.
    pub fn count(&self) -> usize {
        self.keys.len() + self.repeats
    }

    /// A cell. `width`: how many columns there are.
    pub fn cell(&self, row: usize, column: usize, width: usize) -> Cell<'_> {
        let place = row * width + column;
        match self.cells.get(place) {
            _ if self.unknown.contains(&place) => Cell::Unknown,
            Some(cell) if !cell.is_empty() => Cell::Text(cell),
            _ => Cell::Empty,
        }
    }
}

impl Lookup {
    /// Its source as people recognise it: the path of the file, or the first line of the query.
    pub fn title(&self) -> String {
        match &self.source {
            LookupSource::File(path) => path.clone(),
            LookupSource::Hunting(query) => query_title(&query.query),
        }
    }

    /// The query whose result it is; `None` for a file.
    pub fn query(&self) -> Option<&LookupQuery> {
        match &self.source {
            LookupSource::File(_) => None,
            LookupSource::Hunting(query) => Some(query),
        }
    }

    /// Its rows from the columns that it reads of a result, in the order of [`Lookup::columns`], and warnings about them.
    ///
    /// # Errors
    /// Rows that a lookup cannot have.
    pub(crate) fn rows_of(
        &self,
        query: &LookupQuery,
        read: Table,
    ) -> Result<(LookupRows, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (width, title) = (self.columns.len().max(1), query_title(&query.query));
        // A row that leaves its key out could be about any device.
        if let Some(place) = read.unknown.iter().filter(|place| *place % width == 0).min() {
            let message = format!(
                "row {} of `{}` leaves the key column `{}` out",
                read.lines[place / width],
                shown(&title),
                shown(&self.columns[0])
            );
            let finding = Diagnostic::error("E0704", self.span, message);
            return Err(vec![finding.help("record the result again with all its columns")]);
        }
        let keyed = keyed(read, 0);
        let rows = Rows { source: &title, unit: "row", span: self.span };
        let findings = rows.findings(&keyed, query.on_conflict, query.allow_empty);
        if has_error(&findings) { Err(findings) } else { Ok((keyed.rows, findings)) }
    }
}

/// Rows that one lookup cannot both have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    pub(crate) key: String,
    /// The lines of the row that is kept and of the other.
    pub(crate) lines: (u64, u64),
}

/// The rows of a table by key, and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct KeyedRows {
    pub(crate) rows: LookupRows,
    pub(crate) clashes: Vec<Clash>,
    /// How many rows have no key.
    pub(crate) without_key: usize,
    /// Lines of rows that end before their last column, ascending.
    pub(crate) torn: Vec<u64>,
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
        if (0..width).any(is_absent) {
            found.torn.push(line);
        }
        let key = row[key_column].to_string();
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
                found.clashes.push(Clash { key, lines: (rows.lines[kept], line) });
                rows.unknown.extend(differing.into_iter().map(place));
            }
            continue;
        }
        rows.unknown
            .extend((0..width).filter(|column| is_absent(*column)).map(|column| kept * width + column));
        rows.keys.push(key);
        rows.lines.push(line);
        rows.cells.extend(row);
    }
    found
}
