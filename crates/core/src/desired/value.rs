//! Which device value each device should have.
//!
//! Compares nothing with the live value; that is for the plan.

use super::Values;
use crate::device::DeviceValue;
use crate::inventory::{DeviceSet, Snapshot};
use crate::policy::Policy;
use crate::selection::Selections;
use crate::time::Timestamp;

/// Devices to which rules of one priority, the highest there, give different values.
pub(super) struct ValueConflict {
    pub(super) priority: i64,
    pub(super) rows: DeviceSet,
}

/// Values by priority: the highest wins, different ones at the same highest priority are a conflict.
pub(super) fn values(
    policy: &Policy,
    snapshot: &Snapshot,
    selections: &Selections,
    now: Timestamp,
) -> (Values, Vec<ValueConflict>) {
    let none = || DeviceSet::new(snapshot.len());
    let mut rules: Vec<(u32, i64, DeviceValue)> = policy
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.is_live(now))
        .filter_map(|(index, rule)| Some((index as u32, rule.priority, rule.device_value?)))
        .collect();
    rules.sort_by_key(|(index, priority, _)| (std::cmp::Reverse(*priority), *index));
    let mut given = [none(), none(), none()];
    let mut decided = none();
    let mut conflicts = Vec::new();
    for level in rules.chunk_by(|one, other| one.1 == other.1) {
        let mut here = [none(), none(), none()];
        for (rule, _, value) in level {
            here[*value as usize].union_with(&selections.rules[*rule as usize]);
        }
        let mut any = none();
        let mut twice = none();
        for set in &mut here {
            set.difference_with(&decided);
            let mut both = set.clone();
            both.intersect_with(&any);
            twice.union_with(&both);
            any.union_with(set);
        }
        decided.union_with(&any);
        for (set, given) in here.iter_mut().zip(&mut given) {
            set.difference_with(&twice);
            given.union_with(set);
        }
        if !twice.is_empty() {
            conflicts.push(ValueConflict { priority: level[0].1, rows: twice });
        }
    }
    let mut defaulted = none();
    if policy.default_value.is_some() {
        defaulted.union_with(&selections.scope);
        defaulted.difference_with(&decided);
    }
    (Values { given, defaulted, rules }, conflicts)
}
