//! Lookups: tables whose rows are joined to devices, from a file or a hunting query.
//!
//! `selection` joins them; `data` reads the files.

use std::sync::Arc;

use super::keyed_rows::{LookupRows, keyed};
use super::node::shown;
use super::row_findings::{OnConflict, RowSource, has_error};
use super::table::Table;
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};

/// An entry of `lookups`: a table joined to devices.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The name in `lookup.NAME.COLUMN`.
    pub name: String,
    /// The source of its rows.
    pub source: LookupSource,
    /// The device field that `key` equals.
    pub matches: Field,
    /// The column names in file order. For a query, and for a file without a header: the columns that the policy reads, the key
    /// first.
    pub columns: Vec<String>,
    /// Whether the file has neither rows nor a header: every column name is then accepted, and all cells are missing.
    pub is_void: bool,
    /// The rows that have a key; empty for a query, whose result comes with each run.
    pub rows: Arc<LookupRows>,
    /// The place of the lookup's name.
    pub span: Span,
}

/// The source of a lookup's rows.
#[derive(Clone, Debug)]
pub enum LookupSource {
    /// A file: its path as written, for messages.
    File(String),
    /// A hunting query whose rows are the table.
    Hunting(LookupQuery),
}

/// The hunting query of a lookup.
#[derive(Clone, Debug)]
pub struct LookupQuery {
    /// The query text, as it is sent.
    pub query: Arc<str>,
    /// Whether a result without rows is correct.
    pub allow_empty: bool,
    /// How different rows with the same key count.
    pub(crate) on_conflict: OnConflict,
}

impl Lookup {
    /// The name of its source for people: the path of the file, or the first line of the query.
    pub fn title(&self) -> String {
        match &self.source {
            LookupSource::File(path) => path.clone(),
            LookupSource::Hunting(query) => query_title(&query.query),
        }
    }

    /// The query that gives its rows; `None` for a file.
    pub fn query(&self) -> Option<&LookupQuery> {
        match &self.source {
            LookupSource::File(_) => None,
            LookupSource::Hunting(query) => Some(query),
        }
    }

    /// Its rows from a result's columns, in the order of [`Lookup::columns`], and warnings about them.
    ///
    /// # Errors
    /// Rows that are not valid for a lookup.
    pub(crate) fn rows_of(
        &self,
        query: &LookupQuery,
        read: Table,
    ) -> Result<(LookupRows, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (width, title) = (self.columns.len().max(1), query_title(&query.query));
        // A row without its key could be about any device.
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
        let rows = RowSource { source: &title, unit: "row", has_objects: true, span: self.span };
        let findings = rows.findings(&keyed, query.on_conflict, query.allow_empty);
        if has_error(&findings) { Err(findings) } else { Ok((keyed.rows, findings)) }
    }
}

/// The first line of a query, cut: how people recognise it.
pub(super) fn query_title(query: &str) -> String {
    let line = query.trim().lines().next().unwrap_or_default();
    let cut: String = line.chars().take(60).collect();
    let dots = if cut.len() < query.trim().len() { "…" } else { "" };
    format!("hunting: {cut}{dots}")
}
