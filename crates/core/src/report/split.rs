//! Separates a change's own effect from drift that existed before: compares two plans on the same inventory, change by change.
//!
//! Compares changes, not causes: a change whose rule was renamed is still the same change.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use fixedbitset::FixedBitSet;

use crate::plan::Plan;

use super::change::{ReportedChange, Totals, device_rows};

/// The changes of `plan` that the base wants too (by index in the order of rows), and the number of those that only the base
/// wants.
///
/// Both plans are ordered by device id, so one walk over both is enough.
pub(super) fn compare(plan: &Plan, base: &Plan) -> (FixedBitSet, Totals) {
    let rows: usize = plan
        .changes
        .iter()
        .map(|device| device.add.len() + device.remove.len() + usize::from(device.value.is_some()))
        .sum();
    let mut before = FixedBitSet::with_capacity(rows);
    let mut dropped = Totals::default();
    let mut number = 0;
    let mut others = base.changes.iter().peekable();
    let mut drop_all = |what: &mut dyn Iterator<Item = ReportedChange<'_>>| {
        let mut any = false;
        for what in what {
            any = true;
            match what {
                ReportedChange::Add(_) => dropped.additions += 1,
                ReportedChange::Remove(_) => dropped.removals += 1,
                ReportedChange::Value { .. } => dropped.values += 1,
            }
        }
        dropped.devices += u64::from(any);
    };
    for device in &plan.changes {
        while let Some(other) = others.next_if(|other| other.id < device.id) {
            drop_all(&mut device_rows(base, other).map(|(what, _)| what));
        }
        let other = others.next_if(|other| other.id.cmp(&device.id) == Ordering::Equal);
        let wanted: BTreeSet<ReportedChange<'_>> =
            other.into_iter().flat_map(|other| device_rows(base, other).map(|(what, _)| what)).collect();
        let mut mine = BTreeSet::new();
        for (what, _) in device_rows(plan, device) {
            before.set(number, wanted.contains(&what));
            number += 1;
            mine.insert(what);
        }
        drop_all(&mut wanted.difference(&mine).copied());
    }
    for other in others {
        drop_all(&mut device_rows(base, other).map(|(what, _)| what));
    }
    (before, dropped)
}
