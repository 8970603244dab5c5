//! Lookup tables joined to devices: which row of the table belongs to each device.
//!
//! Compares without case, like text fields. A device whose field is missing has no row.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use rayon::prelude::*;

use super::{UnknownCell, Unmatched};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::{Lookup, LookupCell, LookupRows};
use crate::text;

/// The row of a lookup table for each device.
#[derive(Clone, Debug, Default)]
pub struct Join {
    /// The rows that are joined.
    pub rows: Arc<LookupRows>,
    /// Whether no row matches a device of the inventory although the table is short: its content is then unknown.
    pub is_foreign: bool,
    /// Index + 1 by device; 0 is none.
    lines: Vec<u32>,
}

impl Join {
    /// The index of a device's row in the table; `None` if no key equals its field.
    pub fn line(&self, row: Row) -> Option<usize> {
        self.lines.get(row.index()).and_then(|line| line.checked_sub(1)).map(|line| line as usize)
    }

    /// The content of a column for a device; `None` if no row matches it. `width`: number of columns.
    pub fn cell(&self, row: Row, column: usize, width: usize) -> Option<LookupCell<'_>> {
        if self.is_foreign {
            return Some(LookupCell::Unknown);
        }
        self.line(row).map(|line| self.rows.cell(line, column, width))
    }

    /// Why the content of a column is unknown for a device.
    pub(super) fn why_unknown(&self, row: Row, column: usize, width: usize) -> UnknownCell {
        let is_torn = |line: usize| self.rows.torn.contains(&(line * width + column));
        match self.line(row) {
            _ if self.is_foreign => UnknownCell::Unmatched,
            Some(line) if is_torn(line) => UnknownCell::ShortRow,
            _ => UnknownCell::Conflict,
        }
    }

    /// Whether no row matches any device.
    pub(super) fn matches_none(&self) -> bool {
        self.lines.iter().all(|line| *line == 0)
    }

    /// The devices for which a column is unknown; `None` if there are none.
    pub(super) fn unknown(&self, column: usize, width: usize) -> Option<DeviceSet> {
        let length = self.lines.len();
        if self.is_foreign {
            return Some(DeviceSet::full(length)).filter(|all| !all.is_empty());
        }
        let lines: HashSet<usize> = self
            .rows
            .unknown
            .iter()
            .filter(|place| *place % width == column)
            .map(|place| place / width)
            .collect();
        if lines.is_empty() {
            return None;
        }
        let is_unknown = |row: Row| self.line(row).is_some_and(|line| lines.contains(&line));
        Some(DeviceSet::collect(length, is_unknown)).filter(|some| !some.is_empty())
    }
}

/// Joins a table, and reports keys that match no device.
pub(super) fn join(lookup: &Lookup, rows: Arc<LookupRows>, snapshot: &Snapshot) -> (Join, Option<Unmatched>) {
    let mut lines_of: HashMap<String, u32> = HashMap::with_capacity(rows.keys.len());
    for (line, key) in rows.keys.iter().enumerate().filter(|(_, key)| !key.is_empty()) {
        lines_of.entry(text::fold(key).into_owned()).or_insert(line as u32 + 1);
    }
    let used: Vec<AtomicBool> = rows.keys.iter().map(|_| AtomicBool::new(false)).collect();
    let line_of = |row: u32| {
        let text = snapshot.plain(lookup.matches, Row(row))?;
        let line = *lines_of.get(&*text::fold(text))?;
        used[line as usize - 1].store(true, Ordering::Relaxed);
        Some(line)
    };
    let lines = (0..snapshot.len() as u32).into_par_iter().map(|row| line_of(row).unwrap_or(0)).collect();
    // A repeated key (with equal rows) is one key: only the row that the table keeps counts.
    let is_unused = |(line, key): &(usize, &String)| {
        let is_own = lines_of.get(&*text::fold(key)) == Some(&(*line as u32 + 1));
        is_own && !used[*line].load(Ordering::Relaxed)
    };
    let unused = rows.keys.iter().enumerate().filter(is_unused).map(|(_, key)| key.as_str());
    let unmatched = Unmatched::report(&lookup.name, true, unused);
    (Join { rows, is_foreign: false, lines }, unmatched)
}
