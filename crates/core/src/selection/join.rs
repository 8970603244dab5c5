//! Lookup tables joined to devices: which line of the table belongs to each device.
//!
//! Compares without case, as text fields do; a device whose field is missing has no line.

use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use rayon::prelude::*;

use super::Unmatched;
use crate::inventory::{Row, Snapshot};
use crate::policy::Lookup;
use crate::text;

/// The line of each device in one lookup table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// Line + 1 by row; 0 is none.
    lines: Vec<u32>,
}

impl Join {
    /// The line of a device, counted from 0 below the header; `None` where no key equals its field.
    pub fn line(&self, row: Row) -> Option<usize> {
        self.lines.get(row.index()).and_then(|line| line.checked_sub(1)).map(|line| line as usize)
    }
}

/// Joins a table, and reports its keys that match no device.
pub(super) fn join(lookup: &Lookup, snapshot: &Snapshot) -> (Join, Option<Unmatched>) {
    let mut lines_of: HashMap<String, u32> = HashMap::with_capacity(lookup.keys.len());
    for (line, key) in lookup.keys.iter().enumerate().filter(|(_, key)| !key.is_empty()) {
        lines_of.entry(text::fold(key).into_owned()).or_insert(line as u32 + 1);
    }
    let used: Vec<AtomicBool> = lookup.keys.iter().map(|_| AtomicBool::new(false)).collect();
    let line_of = |row: u32| {
        let text = snapshot.plain(lookup.matches, Row(row))?;
        let line = *lines_of.get(&*text::fold(text))?;
        used[line as usize - 1].store(true, Ordering::Relaxed);
        Some(line)
    };
    let lines = (0..snapshot.len() as u32).into_par_iter().map(|row| line_of(row).unwrap_or(0)).collect();
    // A key that stands twice (with equal rows) is one key: only the line that the table gave it counts.
    let is_unused = |(line, key): &(usize, &String)| {
        let is_own = lines_of.get(&*text::fold(key)) == Some(&(*line as u32 + 1));
        is_own && !used[*line].load(Ordering::Relaxed)
    };
    let unused = lookup.keys.iter().enumerate().filter(is_unused).map(|(_, key)| key.as_str());
    let unmatched = Unmatched::report(&lookup.name, true, unused);
    (Join { lines }, unmatched)
}

/// The line of one device, without joining the others.
pub(super) fn line_of(lookup: &Lookup, snapshot: &Snapshot, row: Row) -> Option<usize> {
    let text = snapshot.plain(lookup.matches, row)?;
    lookup.keys.iter().position(|key| !key.is_empty() && text::equal(key, text))
}
