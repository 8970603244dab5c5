//! The value that each device should have.
//!
//! Does not compare it with the live value; that is for the plan.

use super::Values;
use crate::device::DeviceValue;
use crate::inventory::{DeviceSet, Snapshot};
use crate::policy::Policy;
use crate::selection::Selections;
use crate::time::Timestamp;

/// Devices that rules of the same highest priority give different values.
pub(super) struct ValueConflict {
    pub(super) priority: i64,
    pub(super) rows: DeviceSet,
}

/// Values by priority: the highest wins. Different values at the same highest priority are a conflict.
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
    let mut may = PossibleValues::new(snapshot.len());
    let mut conflicts = Vec::new();
    for level in rules.chunk_by(|one, other| one.1 == other.1) {
        let mut here = [none(), none(), none()];
        let above = may.any.clone();
        for (rule, _, value) in level {
            here[*value as usize].union_with(&selections.rules[*rule as usize]);
            if let Some(undecided) = selections.undecided.get(rule) {
                may.add(*value, undecided, &decided);
            }
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
        // If an unknown statement may win, it is not known whether rules contradict each other.
        twice.difference_with(&above);
        if !twice.is_empty() {
            conflicts.push(ValueConflict { priority: level[0].1, rows: twice });
        }
    }
    let mut defaulted = none();
    if policy.default_value.is_some() {
        defaulted.union_with(&selections.scope);
        defaulted.difference_with(&decided);
    }
    let open = may.open(&given);
    (Values { given, defaulted, open, rules }, conflicts)
}

/// The values that undecided rules may give.
struct PossibleValues {
    values: [DeviceSet; 3],
    any: DeviceSet,
}

impl PossibleValues {
    fn new(length: usize) -> PossibleValues {
        let none = || DeviceSet::new(length);
        PossibleValues { values: [none(), none(), none()], any: none() }
    }

    /// `decided`: devices that a rule of higher priority certainly gives a value.
    fn add(&mut self, value: DeviceValue, undecided: &DeviceSet, decided: &DeviceSet) {
        let mut rows = undecided.clone();
        rows.difference_with(decided);
        self.any.union_with(&rows);
        self.values[value as usize].union_with(&rows);
    }

    /// The devices that may get another value than the one that they certainly get, if any, by that other value.
    fn open(self, given: &[DeviceSet; 3]) -> [DeviceSet; 3] {
        let mut open = self.values;
        for (set, given) in open.iter_mut().zip(given) {
            set.difference_with(given);
        }
        open
    }
}
