//! Undoing a run: the inverse of its confirmed changes, as a plan like any other.
//!
//! A change is undone only where the device is still as the run left it: what somebody changed since is theirs.

use std::collections::HashMap;
use std::collections::HashSet;

use super::stale::{Dropped, Intersection, is_so, keys};
use super::{ChangeKey, ChangeWhat, DeviceChange, Plan, TagIndex, ValueChange, WithheldReason, cost};
use crate::device::DeviceValue;
use crate::inventory::{DeviceSet, Snapshot};

/// Where a revert may act.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The devices as they are.
    pub snapshot: &'a Snapshot,
    /// Devices that the policies may touch.
    pub scope: &'a DeviceSet,
    /// Devices that a protection matches.
    pub protected: &'a DeviceSet,
}

/// The inverse of the confirmed changes of the run `run`. `ran`: the plan that the run applied; `confirmed`: what its journal
/// confirms; `fresh`: a plan of today's policies on today's inventory, for header, base figures and warnings.
pub fn inverse(run: &str, ran: &Plan, confirmed: &HashSet<ChangeKey>, fresh: Plan, reach: Reach<'_>) -> Plan {
    let mut plan = on(fresh, ran);
    plan.header.reverts = Some(run.to_owned());
    for change in &ran.changes {
        let mut undone = DeviceChange { add: Vec::new(), remove: Vec::new(), value: None, ..change.clone() };
        let is_confirmed =
            |what: ChangeWhat| confirmed.contains(&ChangeKey { device: change.id.clone(), what });
        let tag = |index: TagIndex| ran.tag(index).clone();
        undone.remove.extend(change.add.iter().filter(|add| is_confirmed(ChangeWhat::Add(tag(add.tag)))));
        undone
            .add
            .extend(change.remove.iter().filter(|gone| is_confirmed(ChangeWhat::Remove(tag(gone.tag)))));
        // A value that the service did not know before cannot be written again.
        let before = change.observed_value.as_deref().and_then(DeviceValue::parse);
        if let (Some(set), Some(to)) = (change.value, before)
            && is_confirmed(ChangeWhat::Value(set.to))
        {
            undone.value = Some(ValueChange { to, cause: set.cause });
        }
        plan.changes.push(undone);
    }
    let left = as_the_run_left(ran);
    keep_fitting(&mut plan, &reach, |change| {
        let value_is_left = left.get(&change.id).is_none_or(|value| {
            reach.snapshot.find(&change.id).is_some_and(|row| reach.snapshot.value(row) == Some(value.word()))
        });
        if !value_is_left {
            change.value = None;
        }
    });
    measured(plan, &reach)
}

/// What is left of a reviewed revert on the tenant as it is now.
pub fn refit(reviewed: &Plan, fresh: Plan, reach: Reach<'_>) -> Intersection {
    let is_trusted = fresh.is_trusted();
    let mut plan = on(fresh, reviewed);
    plan.header.reverts.clone_from(&reviewed.header.reverts);
    plan.changes.clone_from(&reviewed.changes);
    keep_fitting(&mut plan, &reach, |change| {
        if !is_trusted {
            change.remove.clear();
        }
        // Still the reviewed device here: a value that somebody set since the review is theirs.
        let row = reach.snapshot.find(&change.id);
        if row.and_then(|row| reach.snapshot.value(row)) != change.observed_value.as_deref() {
            change.value = None;
        }
    });
    let plan = measured(plan, &reach);
    let kept: HashSet<ChangeKey> = plan.changes.iter().flat_map(|change| keys(&plan, change)).collect();
    let all = reviewed.changes.iter().flat_map(|change| keys(reviewed, change));
    let dropped = all.filter(|key| !kept.contains(key)).map(|key| {
        let row = reach.snapshot.find(&key.device);
        let is_protected = row.is_some_and(|row| reach.protected.contains(row));
        let why = match () {
            () if is_so(reach.snapshot, &key) => Dropped::Noop,
            () if is_protected => Dropped::Withheld(WithheldReason::Protected),
            () if !is_trusted && matches!(key.what, ChangeWhat::Remove(_)) => {
                Dropped::Withheld(WithheldReason::Untrusted)
            }
            () => Dropped::Stale,
        };
        (key, why)
    });
    let dropped = dropped.collect();
    Intersection { plan, dropped, unreviewed: 0 }
}

/// A fresh plan without its changes, over the tags, causes and rules of another.
fn on(fresh: Plan, other: &Plan) -> Plan {
    Plan {
        tags: other.tags.clone(),
        causes: other.causes.clone(),
        rules: other.rules.clone(),
        changes: Vec::new(),
        withheld: Vec::new(),
        pending: Vec::new(),
        unresolved: Vec::new(),
        unmatched: Vec::new(),
        ..fresh
    }
}

/// The values that a run set, by device.
fn as_the_run_left(ran: &Plan) -> HashMap<std::sync::Arc<str>, DeviceValue> {
    ran.changes.iter().filter_map(|change| Some((change.id.clone(), change.value?.to))).collect()
}

/// Takes out what is so already, what no device in reach has, and what `limit` takes out; looks at each device anew.
fn keep_fitting(plan: &mut Plan, reach: &Reach<'_>, limit: impl Fn(&mut DeviceChange)) {
    let mut changes = std::mem::take(&mut plan.changes);
    for change in &mut changes {
        let row = reach.snapshot.find(&change.id);
        let Some(row) = row.filter(|row| reach.scope.contains(*row) && !reach.protected.contains(*row))
        else {
            (change.add, change.remove, change.value) = (Vec::new(), Vec::new(), None);
            continue;
        };
        limit(change);
        let carries = |tag: TagIndex| {
            let live = reach.snapshot.find_tag(plan.tag(tag));
            live.is_some_and(|live| reach.snapshot.carries(row, live))
        };
        change.add.retain(|add| !carries(add.tag));
        change.remove.retain(|remove| carries(remove.tag));
        let value = reach.snapshot.value(row);
        change.value = change.value.filter(|set| value != Some(set.to.word()));
        observe(plan, reach.snapshot, row, change);
    }
    changes.retain(|change| !change.is_empty());
    plan.changes = changes;
}

/// The device's tags and value as they are now.
fn observe(plan: &mut Plan, snapshot: &Snapshot, row: crate::inventory::Row, change: &mut DeviceChange) {
    let mut observed = Vec::new();
    for tag in snapshot.tags(row) {
        let text = snapshot.tag(*tag);
        let known = plan.tags.iter().position(|tag| &**tag == text);
        let index = known.unwrap_or_else(|| {
            plan.tags.push(text.into());
            plan.tags.len() - 1
        });
        observed.push(TagIndex(index as u32));
    }
    change.observed_tags = observed.into();
    change.observed_value = snapshot.value(row).map(Into::into);
}

/// With bases for the guard and its cost.
fn measured(mut plan: Plan, reach: &Reach<'_>) -> Plan {
    let removed: HashSet<TagIndex> =
        plan.changes.iter().flat_map(|change| change.remove.iter().map(|gone| gone.tag)).collect();
    let mut carriers: Vec<(TagIndex, u64)> = removed
        .into_iter()
        .map(|tag| {
            let live = reach.snapshot.find_tag(plan.tag(tag));
            let rows = live.map(|live| reach.snapshot.carrier_rows(live)).unwrap_or_default();
            (tag, rows.iter().filter(|row| reach.scope.contains(**row)).count() as u64)
        })
        .collect();
    carriers.sort_by(|one, other| plan.tag(one.0).cmp(plan.tag(other.0)));
    // Tags that the run added need not be claimed: the removals of a revert are measured against all that carry them.
    let pairs: u64 = carriers.iter().map(|(_, count)| count).sum();
    plan.measures.removable_pairs = plan.measures.removable_pairs.max(pairs);
    plan.measures.carriers = carriers;
    plan.schedule = cost::schedule(&plan, &plan.header.options);
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inventory::fleet;
    use crate::plan::{Cause, CauseIndex, TagChange};

    fn ran() -> Plan {
        let change = DeviceChange {
            id: "d0".into(),
            name: None,
            observed_tags: Box::new([TagIndex(1)]),
            observed_value: Some("Low".into()),
            add: vec![TagChange { tag: TagIndex(0), cause: CauseIndex(0) }],
            remove: vec![TagChange { tag: TagIndex(1), cause: CauseIndex(0) }],
            value: Some(ValueChange { to: DeviceValue::High, cause: CauseIndex(0) }),
        };
        let tags = vec!["New".into(), "Old".into()];
        Plan { tags, causes: vec![Cause::Rule(vec![])], changes: vec![change], ..Plan::default() }
    }

    fn undo(device: serde_json::Value, confirmed: &[ChangeWhat]) -> Plan {
        let snapshot = fleet(&[device]);
        let (scope, protected) = (DeviceSet::full(1), DeviceSet::new(1));
        let key = |what: &ChangeWhat| ChangeKey { device: "d0".into(), what: what.clone() };
        let confirmed = confirmed.iter().map(key).collect();
        inverse(
            "r",
            &ran(),
            &confirmed,
            Plan::default(),
            Reach { snapshot: &snapshot, scope: &scope, protected: &protected },
        )
    }

    #[test]
    fn only_confirmed_changes_are_undone() {
        let left = json!({ "machineTags": ["New"], "deviceValue": "High" });
        let all = [
            ChangeWhat::Add("New".into()),
            ChangeWhat::Remove("Old".into()),
            ChangeWhat::Value(DeviceValue::High),
        ];
        let plan = undo(left.clone(), &all);
        let change = &plan.changes[0];
        assert_eq!((change.remove.len(), change.add.len()), (1, 1));
        assert_eq!(plan.tag(change.remove[0].tag).as_ref(), "New");
        assert_eq!(change.value.unwrap().to, DeviceValue::Low);
        assert_eq!(plan.header.reverts.as_deref(), Some("r"));
        let plan = undo(left, &all[..1]);
        assert_eq!(
            (plan.changes[0].remove.len(), plan.changes[0].add.len(), plan.changes[0].value),
            (1, 0, None)
        );
    }

    #[test]
    fn what_somebody_changed_since_is_theirs() {
        let touched = json!({ "machineTags": ["Old"], "deviceValue": "Normal" });
        let all = [
            ChangeWhat::Add("New".into()),
            ChangeWhat::Remove("Old".into()),
            ChangeWhat::Value(DeviceValue::High),
        ];
        assert_eq!(undo(touched, &all).changes, []);
    }

    #[test]
    fn a_reviewed_revert_is_kept_where_it_fits_and_the_rest_is_told() {
        let plan =
            undo(json!({ "machineTags": ["New"], "deviceValue": "High" }), &[ChangeWhat::Add("New".into())]);
        let snapshot = fleet(&[json!({ "machineTags": ["New"] })]);
        let (scope, protected) = (DeviceSet::full(1), DeviceSet::full(1));
        let free = DeviceSet::new(1);
        let reach = Reach { snapshot: &snapshot, scope: &scope, protected: &free };
        assert_eq!(refit(&plan, Plan::default(), reach).plan.changes.len(), 1);
        let met = refit(&plan, Plan::default(), Reach { protected: &protected, ..reach });
        assert_eq!(met.plan.changes, []);
        assert_eq!(met.dropped[0].1, Dropped::Withheld(WithheldReason::Protected));
    }

    #[test]
    fn a_value_that_was_set_since_the_review_is_theirs() {
        let set = [ChangeWhat::Value(DeviceValue::High)];
        let plan = undo(json!({ "machineTags": [], "deviceValue": "High" }), &set);
        assert_eq!(plan.changes[0].value.map(|value| value.to), Some(DeviceValue::Low));
        let met = |value: &str| {
            let snapshot = fleet(&[json!({ "machineTags": [], "deviceValue": value })]);
            let (scope, free) = (DeviceSet::full(1), DeviceSet::new(1));
            refit(&plan, Plan::default(), Reach { snapshot: &snapshot, scope: &scope, protected: &free })
        };
        assert_eq!(met("High").plan.changes.len(), 1);
        assert_eq!((met("Normal").plan.changes.len(), met("Normal").dropped[0].1), (0, Dropped::Stale));
        assert_eq!((met("Low").plan.changes.len(), met("Low").dropped[0].1), (0, Dropped::Noop));
    }
}
