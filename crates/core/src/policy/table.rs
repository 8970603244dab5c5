//! A table of texts: the content of CSV and JSON files.
//!
//! `delimited` and `json_table` parse it.

use std::collections::HashSet;

/// The most columns of a table.
pub(super) const MAX_COLUMNS: usize = 1_000;

/// The most cells of a table: a million devices with sixty columns.
const MAX_CELLS: usize = 64_000_000;

/// Rows of a table file or of a query's result; cells row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) cells: Vec<Box<str>>,
    /// The line of each row, or its number in a result.
    pub(crate) lines: Vec<u64>,
    /// Indices in `cells` that the file does not state: CSV rows that end early, and columns that an object leaves out.
    pub(crate) unknown: HashSet<usize>,
    /// Whether rows are objects that name their columns.
    pub(crate) has_objects: bool,
}

impl Table {
    /// Whether it has neither rows nor a header, so that its columns are unknown.
    pub(super) fn is_void(&self) -> bool {
        self.lines.is_empty() && self.columns.is_empty()
    }

    pub(super) fn add_column(&mut self, name: &str) -> Result<(), String> {
        // A policy cannot name an unnamed column, so two of them cannot be confused.
        if !name.is_empty() && self.columns.iter().any(|known| known == name) {
            return Err(format!("the column `{name}` appears twice"));
        }
        if self.columns.len() == MAX_COLUMNS {
            return Err(format!("it has more than {MAX_COLUMNS} columns"));
        }
        self.columns.push(name.to_owned());
        Ok(())
    }

    pub(super) fn check_size(&self) -> Result<(), String> {
        if self.lines.len().saturating_mul(self.columns.len()) > MAX_CELLS {
            return Err(format!("it has more than {MAX_CELLS} cells"));
        }
        Ok(())
    }
}
