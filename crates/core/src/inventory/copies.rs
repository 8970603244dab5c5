//! Repeated devices: the copy with the greater `lastSeen` stays, the first of equals.
//!
//! Does not say what repeats mean for trust.

use rayon::prelude::*;

use super::columns::Columns;
use super::layout;

/// The first bytes of an id as a number, and its row: comparing these rarely needs the arena.
pub(super) type IdKey = (u64, u32);

/// Rows by id; rows with equal ids in order.
pub(super) fn sorted(columns: &Columns) -> Vec<IdKey> {
    let ids = &columns.texts[layout::ID];
    let key = |row: u32| {
        let id = ids.get(row as usize).as_bytes();
        let mut head = [0; 8];
        let length = id.len().min(8);
        head[..length].copy_from_slice(&id[..length]);
        (u64::from_be_bytes(head), row)
    };
    let mut keys: Vec<IdKey> = (0..columns.len() as u32).into_par_iter().map(key).collect();
    keys.par_sort_unstable_by(|(head, row), (other_head, other_row)| {
        head.cmp(other_head)
            .then_with(|| ids.get(*row as usize).cmp(ids.get(*other_row as usize)))
            .then(row.cmp(other_row))
    });
    keys
}

/// The rows that stay where a device is repeated, ascending. `order`: as [`sorted`] gives it.
pub(super) fn kept(columns: &Columns, order: &[IdKey]) -> Option<Vec<u32>> {
    let seen_at = |row: u32| columns.times[layout::LAST_SEEN][row as usize];
    let ids = &columns.texts[layout::ID];
    let is_same =
        |one: &IdKey, other: &IdKey| one.0 == other.0 && ids.get(one.1 as usize) == ids.get(other.1 as usize);
    if !order.windows(2).any(|pair| is_same(&pair[0], &pair[1])) {
        return None;
    }
    let keep_best = |copies: &[IdKey]| {
        let best = copies.iter().max_by_key(|(_, row)| (seen_at(*row), std::cmp::Reverse(*row)));
        best.map_or(0, |(_, row)| *row)
    };
    let mut rows: Vec<u32> = order.chunk_by(is_same).map(keep_best).collect();
    rows.sort_unstable();
    Some(rows)
}

/// Takes repeated devices out while a file is read: one that says the same device again and again is small when it is compressed,
/// and must not fill the memory.
#[derive(Debug)]
pub(super) struct CopyWatch {
    /// How many rows there are when copies are looked for next.
    pub(super) next: usize,
}

/// Rows at which copies are looked for first: few tenants have so many devices, and the others do not pay for it.
const FIRST_LOOK: usize = 1 << 20;

impl Default for CopyWatch {
    fn default() -> CopyWatch {
        CopyWatch { next: FIRST_LOOK }
    }
}

impl CopyWatch {
    /// Looks where the rows have doubled since the last look.
    pub(super) fn look(&mut self, columns: &mut Columns) {
        if columns.len() < self.next {
            return;
        }
        if let Some(rows) = kept(columns, &sorted(columns)) {
            columns.retain(&rows);
        }
        self.next = self.next.max(2 * columns.len());
    }
}
