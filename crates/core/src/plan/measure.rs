//! Measures the bases of caps and invariants.
//!
//! Judges nothing; `guard` does.

use std::collections::HashSet;

use super::{Measures, Plan, TagCase, TagIndex};
use crate::desired::Desired;
use crate::inventory::{DeviceSet, TagId};
use crate::policy::Counted;
use crate::text;

/// Measures the live inventory for this plan. The counts of invariants after the plan are left equal to those before.
pub(super) fn measures(desired: &Desired<'_>, plan: &Plan) -> Measures {
    let snapshot = desired.snapshot;
    let in_scope = |tag: TagId| {
        let rows = snapshot.carrier_rows(tag).iter();
        rows.filter(|row| desired.selections.scope.contains(**row)).count() as u64
    };
    let removable = desired
        .groups
        .iter()
        .filter(|group| group.claimed.is_some() || group.retired.is_some() || !group.forbidding.is_empty());
    let removed: HashSet<TagIndex> =
        plan.changes.iter().flat_map(|change| change.remove.iter().map(|remove| remove.tag)).collect();
    let mut removed: Vec<TagIndex> = removed.into_iter().collect();
    removed.sort_by(|one, other| plan.tag(*one).cmp(plan.tag(*other)));
    let is_watched = |tag: &TagIndex| desired.policy.is_watched(plan.tag(*tag));
    let watched = removed.iter().copied().filter(is_watched).collect();
    let carriers =
        removed.into_iter().map(|tag| (tag, snapshot.find_tag(plan.tag(tag)).map_or(0, in_scope))).collect();
    let invariants = desired.policy.guard.invariants.iter().map(|invariant| {
        let count = counted(desired, &invariant.counts);
        (count, count)
    });
    Measures {
        in_scope: desired.selections.scope.count() as u64,
        removable_pairs: removable.flat_map(|group| &group.live).map(|tag| in_scope(*tag)).sum(),
        carriers,
        watched,
        invariants: invariants.collect(),
        ..Measures::default()
    }
}

/// Number of devices in scope that an invariant counts.
fn counted(desired: &Desired<'_>, counted: &Counted) -> u64 {
    let snapshot = desired.snapshot;
    let mut rows = match counted {
        Counted::Value(value) => {
            DeviceSet::collect(snapshot.len(), |row| snapshot.value(row) == Some(value.word()))
        }
        // `consequences` counts groups, before and after, once for all.
        Counted::Group { .. } => DeviceSet::new(snapshot.len()),
        Counted::Tag(tag) => {
            let mut rows = DeviceSet::new(snapshot.len());
            match desired.tag_case {
                TagCase::Exact => {
                    if let Some(tag) = snapshot.find_tag(tag) {
                        rows = snapshot.carriers(tag);
                    }
                }
                TagCase::Insensitive => {
                    let twins = snapshot.tag_ids().filter(|live| text::equal_case(snapshot.tag(*live), tag));
                    twins.for_each(|twin| rows.union_with(&snapshot.carriers(twin)));
                }
            }
            rows
        }
    };
    rows.intersect_with(&desired.selections.scope);
    rows.count() as u64
}
