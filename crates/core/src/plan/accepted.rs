//! The contested changes that the guard accepts. They stay contested, but are no drift meanwhile.

use std::collections::HashMap;

use super::{Accepted, DeviceChange, Plan, TagIndex, Withheld, WithheldReason};
use crate::desired::Desired;
use crate::inventory::DeviceSet;
use crate::policy::Acceptance;
use crate::time::Date;

impl Plan {
    /// Whether some contested change is not covered by an entry of `guard.accept`.
    pub fn has_unaccepted(&self) -> bool {
        let mut contested = self.withheld.iter().filter(|group| group.reason == WithheldReason::Contested);
        contested.any(|group| group.unaccepted() > 0)
    }
}

impl Withheld {
    /// Number of changes that the guard does not accept.
    pub fn unaccepted(&self) -> u64 {
        let accepted = self.accepted.map_or(0, |accepted| accepted.changes);
        (self.additions + self.removals + self.values).saturating_sub(accepted)
    }
}

/// The contested changes that the guard accepts.
pub(super) fn accepted(desired: &Desired<'_>, plan: &Plan, devices: &[DeviceChange]) -> Option<Accepted> {
    let (policy, today) = (desired.policy, desired.now.date());
    let entries = policy.guard.accept.iter().zip(&desired.selections.accepted);
    let mut counting: Vec<(&Acceptance, Option<&DeviceSet>)> = entries
        .filter(|(entry, _)| entry.counts_on(today))
        .map(|(entry, set)| (entry, set.as_ref()))
        .collect();
    if counting.is_empty() {
        return None;
    }
    // Of several entries that cover a change, the first accepts it longest.
    counting.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.expires));
    let mut by_tag: HashMap<TagIndex, Vec<(&Acceptance, Option<&DeviceSet>)>> = HashMap::new();
    let (mut changes, mut until) = (0, None::<Date>);
    for device in devices {
        let Some(row) = desired.snapshot.find(&device.id) else { continue };
        for (tag, ..) in device.tag_changes() {
            let entries = by_tag.entry(tag).or_insert_with(|| {
                let names = |(entry, _): &&(&Acceptance, _)| policy.covers(&entry.tag, plan.tag(tag));
                counting.iter().filter(names).copied().collect()
            });
            let mut entries = entries.iter();
            let accepting = entries.find(|(_, devices)| devices.is_none_or(|devices| devices.contains(row)));
            if let Some((entry, _)) = accepting {
                changes += 1;
                until = Some(until.map_or(entry.expires, |until| until.min(entry.expires)));
            }
        }
    }
    Some(Accepted { changes, until: until? })
}
