//! Lookups: tables whose rows are joined to devices, from a file or a hunting query.
//!
//! Joins nothing; that is `selection`. Reads no file; that is `data`.

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
    /// Where the lookup's name is written.
    pub span: Span,
}

/// Where the rows of a lookup come from.
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
    /// Whether a result without rows is right.
    pub allow_empty: bool,
    /// What two rows of one key that differ are.
    pub(crate) on_conflict: OnConflict,
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
