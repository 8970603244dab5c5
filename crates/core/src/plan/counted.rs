//! Counting for an invariant of the guard: whether a device counts before and after its change, and how far a count is from a
//! bound.
//!
//! Judges nothing; `guard` does.

use super::{DeviceChange, Plan, TagIndex};
use crate::policy::{Counted, Quantity};

pub(super) fn counts_before(plan: &Plan, change: &DeviceChange, counted: &Counted) -> bool {
    match counted {
        Counted::Value(value) => change.observed_value.as_deref() == Some(value.word()),
        Counted::Tag(tag) => change.observed_tags.iter().any(|observed| plan.is_tag(*observed, tag)),
        // `consequences` counts these over the whole inventory.
        Counted::Group { .. } => false,
    }
}

pub(super) fn counts_after(plan: &Plan, change: &DeviceChange, counted: &Counted) -> bool {
    match counted {
        Counted::Value(value) => {
            change.value.map_or_else(|| counts_before(plan, change, counted), |new| new.to == *value)
        }
        Counted::Tag(tag) => {
            let kept = |observed: &&TagIndex| change.remove.iter().all(|remove| remove.tag != **observed);
            change.observed_tags.iter().filter(kept).any(|observed| plan.is_tag(*observed, tag))
                || change.add.iter().any(|add| plan.is_tag(add.tag, tag))
        }
        Counted::Group { .. } => false,
    }
}

/// How far a count is below a quantity, in millionths of a device; negative if it is above.
pub(super) fn shortfall(count: u64, quantity: Quantity, in_scope: u64) -> i128 {
    let wanted = match quantity {
        Quantity::Count(count) => i128::from(count) * 1_000_000,
        Quantity::Share(percent) => i128::from(percent.units()) * i128::from(in_scope),
    };
    wanted - i128::from(count) * 1_000_000
}
