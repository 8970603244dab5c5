//! Undoes a run: the inverse of its confirmed changes, as a plan like any other.
//!
//! A change is undone only if the device is still as the run left it: later changes belong to others. A plan file can only narrow
//! what is undone; the run's own plan and journal say what can be.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::stale::{self, Intersection, keys};
use super::{
    ChangeKey, ChangeWhat, DeviceChange, Plan, TagChange, TagIndex, ValueChange, Withheld, WithheldReason,
    cost,
};
use crate::desired::Desired;
use crate::device::DeviceValue;
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::tag::{RESERVED, is_reserved};

/// The devices and tags that a revert may touch.
#[derive(Clone, Copy, Debug)]
pub struct RevertScope<'a> {
    /// The current devices.
    pub snapshot: &'a Snapshot,
    /// Devices in the policies' scope.
    pub scope: &'a DeviceSet,
    /// Devices that a protection matches.
    pub protected: &'a DeviceSet,
    /// Whether the guard names the reserved tag.
    pub allows_reserved: bool,
}

/// A run, as the state proves it. What is undone comes from here, never from a plan file.
#[derive(Clone, Copy, Debug)]
pub struct RevertedRun<'a> {
    /// The id of the run to undo.
    pub id: &'a str,
    /// The plan that it applied.
    pub plan: &'a Plan,
    /// The changes that its journal confirms.
    pub confirmed: &'a HashSet<ChangeKey>,
}

/// The inverse of a run's confirmed changes. `fresh`: a plan of today's policies on today's inventory, for header, bases and
/// warnings.
pub fn inverse(ran: RevertedRun<'_>, fresh: Plan, reach: RevertScope<'_>) -> Plan {
    let is_trusted = fresh.is_trusted();
    let mut plan = on(fresh, ran.plan);
    plan.header.reverts = Some(ran.id.to_owned());
    plan.changes = undone(ran);
    let left = as_the_run_left(ran.plan);
    let mut aside = ExcludedChanges::default();
    keep_fitting(&mut plan, &reach, &mut aside, |change| {
        let value = reach.snapshot.find(&change.id).and_then(|row| reach.snapshot.value(row));
        if left.get(&change.id).is_some_and(|set| value != Some(set.word())) {
            change.value = None;
        }
    });
    if !is_trusted {
        aside.hold_untrusted(&mut plan.changes);
    }
    plan.withheld = aside.groups();
    measured(plan, &reach)
}

/// Number of changes of a revert that the policies want the other way: tags that they give and the plan removes, tags that they
/// remove and the plan gives, and other values.
pub fn opposed(plan: &Plan, desired: &Desired<'_>) -> u64 {
    let mut opposed = 0;
    // By the key of a tag's spellings: devices, and whether the plan removes the tag.
    let mut edits: HashMap<Cow<'_, str>, Vec<(Row, bool)>> = HashMap::new();
    for change in &plan.changes {
        let Some(row) = desired.snapshot.find(&change.id) else { continue };
        let is_other = |set: ValueChange| desired.value_of(row).is_some_and(|wanted| wanted != set.to);
        opposed += u64::from(change.value.is_some_and(is_other));
        for (entries, is_removal) in [(&change.add, false), (&change.remove, true)] {
            for entry in entries {
                let key = desired.tag_case.key(plan.tag(entry.tag));
                edits.entry(key).or_default().push((row, is_removal));
            }
        }
    }
    for part in &desired.parts {
        let settled = desired.settle(part);
        for tag in &settled.tags {
            let group = &desired.groups[tag.group as usize];
            let Some(edits) = edits.remove(&desired.tag_case.key(&group.name)) else { continue };
            let (wanted, is_owned) = (tag.wanted(), group.claimed.is_some() || group.retired.is_some());
            let is_opposed = |(row, is_removal): &&(Row, bool)| {
                let is_wanted = settled.window.find(*row).is_some_and(|local| wanted.contains(local));
                let is_unwanted = || !is_wanted && (is_owned || !desired.forbidders(group, *row).is_empty());
                if *is_removal { is_wanted } else { is_unwanted() }
            };
            opposed += edits.iter().filter(is_opposed).count() as u64;
        }
    }
    // Tags that no device carries and no rule gives.
    for (tag, edits) in edits {
        let policy = desired.policy;
        let is_owned =
            policy.claims_tag(&tag) || policy.retire.iter().any(|entry| policy.covers(&entry.pattern, &tag));
        let forbids = |rule: usize, row: Row| {
            desired.is_live(rule as u32)
                && desired.selections.rules[rule].contains(row)
                && policy.rules[rule].remove_tags.iter().any(|pattern| policy.covers(&pattern.pattern, &tag))
        };
        let is_unwanted = |row: Row| is_owned || (0..policy.rules.len()).any(|rule| forbids(rule, row));
        opposed += edits.iter().filter(|(row, is_removal)| !is_removal && is_unwanted(*row)).count() as u64;
    }
    opposed
}

/// The part of a reviewed revert that still fits the tenant: its changes that the run's inverse contains as well.
///
/// # Errors
/// The first reviewed change that the run's journal does not prove.
pub fn refit(
    reviewed: &Plan,
    ran: RevertedRun<'_>,
    fresh: Plan,
    reach: RevertScope<'_>,
) -> Result<Intersection, ChangeKey> {
    let undone = undone(ran);
    let proven: HashSet<ChangeKey> = undone.iter().flat_map(|change| keys(ran.plan, change)).collect();
    let foreign = reviewed.changes.iter().flat_map(|change| keys(reviewed, change));
    if let Some(key) = foreign.into_iter().find(|key| !proven.contains(key)) {
        return Err(key);
    }
    Ok(stale::intersect(reviewed, inverse(ran, fresh, reach), reach.snapshot, None))
}

/// The inverse of the changes that a run's journal confirms, whatever has happened to the devices since.
fn undone(ran: RevertedRun<'_>) -> Vec<DeviceChange> {
    let inverse = |change: &DeviceChange| {
        let is_confirmed =
            |what: ChangeWhat| ran.confirmed.contains(&ChangeKey { device: change.id.clone(), what });
        let tag = |index: TagIndex| ran.plan.tag(index).clone();
        let added = change.add.iter().filter(|add| is_confirmed(ChangeWhat::Add(tag(add.tag))));
        let removed = change.remove.iter().filter(|gone| is_confirmed(ChangeWhat::Remove(tag(gone.tag))));
        // A value that mdetag does not know cannot be written again.
        let before = change.observed_value.as_deref().and_then(DeviceValue::parse);
        let set = change.value.filter(|set| is_confirmed(ChangeWhat::Value(set.to)));
        DeviceChange {
            add: removed.copied().collect(),
            remove: added.copied().collect(),
            value: set.zip(before).map(|(set, to)| ValueChange { to, cause: set.cause }),
            ..change.clone()
        }
    };
    ran.plan.changes.iter().map(inverse).collect()
}

/// Changes of a revert that are seen and not made.
#[derive(Default)]
struct ExcludedChanges {
    protected: Vec<DeviceChange>,
    reserved: Vec<DeviceChange>,
    untrusted: Vec<DeviceChange>,
}

impl ExcludedChanges {
    /// Removes changes that a possibly incomplete read must not cause: removals and lowered values.
    fn hold_untrusted(&mut self, changes: &mut Vec<DeviceChange>) {
        for change in changes.iter_mut() {
            let held = DeviceChange {
                add: Vec::new(),
                remove: std::mem::take(&mut change.remove),
                value: change.value.take_if(|set| set.to.lowers(change.observed_value.as_deref())),
                ..change.clone()
            };
            self.untrusted.extend(Some(held).filter(|held| !held.is_empty()));
        }
        changes.retain(|change| !change.is_empty());
    }

    fn groups(self) -> Vec<Withheld> {
        let reserved = format!("the reserved tag {RESERVED}, which `guard.allowReserved` does not name");
        let groups = [
            (WithheldReason::Protected, None, self.protected),
            (WithheldReason::Protected, Some(reserved), self.reserved),
            (WithheldReason::Untrusted, None, self.untrusted),
        ];
        let held = groups.into_iter().filter(|(_, _, devices)| !devices.is_empty());
        held.map(|(reason, name, devices)| Withheld::new(reason, name, devices)).collect()
    }
}

/// A fresh plan without its changes, with the tags, causes and rules of another.
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
        families: Vec::new(),
        ..fresh
    }
}

/// The values that a run set, by device.
fn as_the_run_left(ran: &Plan) -> HashMap<std::sync::Arc<str>, DeviceValue> {
    ran.changes.iter().filter_map(|change| Some((change.id.clone(), change.value?.to))).collect()
}

/// Removes changes that are already in place, that concern no device in reach, that are protected or reserved, or that `limit`
/// excludes. Updates the observed state of each device.
fn keep_fitting(
    plan: &mut Plan,
    reach: &RevertScope<'_>,
    aside: &mut ExcludedChanges,
    limit: impl Fn(&mut DeviceChange),
) {
    let mut changes = std::mem::take(&mut plan.changes);
    for change in &mut changes {
        let Some(row) = reach.snapshot.find(&change.id).filter(|row| reach.scope.contains(*row)) else {
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
        if reach.protected.contains(row) {
            let none = DeviceChange { add: Vec::new(), remove: Vec::new(), value: None, ..change.clone() };
            let held = std::mem::replace(change, none);
            aside.protected.extend(Some(held).filter(|held| !held.is_empty()));
        } else if !reach.allows_reserved {
            let is_reserved = |entry: &TagChange| is_reserved(plan.tag(entry.tag));
            let mut held = DeviceChange { value: None, ..change.clone() };
            held.add.retain(is_reserved);
            held.remove.retain(is_reserved);
            change.add.retain(|add| !is_reserved(add));
            change.remove.retain(|remove| !is_reserved(remove));
            aside.reserved.extend(Some(held).filter(|held| !held.is_empty()));
        }
    }
    changes.retain(|change| !change.is_empty());
    plan.changes = changes;
}

/// The device's tags and value as they are now.
fn observe(plan: &mut Plan, snapshot: &Snapshot, row: Row, change: &mut DeviceChange) {
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

/// Adds the guard's bases and the cost.
fn measured(mut plan: Plan, reach: &RevertScope<'_>) -> Plan {
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
    // Tags that the run added need not be claimed, so removals of a revert are measured against all devices that carry them.
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
    use crate::plan::stale::Dropped;
    use crate::plan::{Cause, CauseIndex};

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
            RevertedRun { id: "r", plan: &ran(), confirmed: &confirmed },
            Plan::default(),
            RevertScope { snapshot: &snapshot, scope: &scope, protected: &protected, allows_reserved: false },
        )
    }

    /// A reviewed plan on another inventory, compared with the changes that the journal confirms.
    fn meet(
        reviewed: &Plan,
        device: serde_json::Value,
        confirmed: &[ChangeWhat],
        is_protected: bool,
    ) -> Result<Intersection, ChangeKey> {
        let snapshot = fleet(&[device]);
        let (scope, free) = (DeviceSet::full(1), DeviceSet::new(1));
        let protected = if is_protected { &scope } else { &free };
        let reach = RevertScope { snapshot: &snapshot, scope: &scope, protected, allows_reserved: false };
        let key = |what: &ChangeWhat| ChangeKey { device: "d0".into(), what: what.clone() };
        let confirmed = confirmed.iter().map(key).collect();
        refit(reviewed, RevertedRun { id: "r", plan: &ran(), confirmed: &confirmed }, Plan::default(), reach)
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
    fn what_the_policies_want_the_other_way_is_counted() {
        let all = [
            ChangeWhat::Add("New".into()),
            ChangeWhat::Remove("Old".into()),
            ChangeWhat::Value(DeviceValue::High),
        ];
        for (policy, expected) in [
            (
                "rules: [{ name: r, select: { everything: true }, tags: [New], removeTags: [Old], deviceValue: High }]",
                3,
            ),
            ("claims: [Old, New]\nrules: [{ name: r, select: { everything: true }, tags: [New] }]", 2),
            ("rules: [{ name: r, select: { everything: true }, deviceValue: Low }]", 0),
            ("claims: [New]\nrules: [{ name: r, select: { everything: true }, tags: [Old] }]", 0),
            ("retire: [Old]", 1),
        ] {
            let text = format!("version: 1\nscope: {{ everything: true }}\n{policy}\n");
            let sources = crate::diagnostic::Sources::from_text("p.yaml", &text);
            let now = crate::time::Timestamp::EPOCH;
            let (policy, _) = crate::policy::resolve(&sources, crate::tag::TagCase::Exact, now);
            let left = json!({ "machineTags": ["New"], "deviceValue": "High" });
            let (snapshot, plan) = (fleet(std::slice::from_ref(&left)), undo(left, &all));
            let hunting = crate::selection::HuntingResults::default();
            let selections = crate::selection::select(&policy, &snapshot, &hunting, now).expect("no query");
            let desired = crate::desired::desire(&policy, &snapshot, &selections, now).expect("no conflict");
            assert_eq!(opposed(&plan, &desired), expected, "{text}");
        }
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
        let added = [ChangeWhat::Add("New".into())];
        let plan = undo(json!({ "machineTags": ["New"], "deviceValue": "High" }), &added);
        let now = json!({ "machineTags": ["New"] });
        assert_eq!(meet(&plan, now.clone(), &added, false).unwrap().plan.changes.len(), 1);
        let met = meet(&plan, now, &added, true).unwrap();
        assert_eq!(met.plan.changes, []);
        assert_eq!(met.dropped[0].1, Dropped::Withheld(WithheldReason::Protected));
    }

    #[test]
    fn a_reviewed_change_that_the_journal_does_not_prove_refuses_the_plan() {
        let all = [ChangeWhat::Add("New".into()), ChangeWhat::Remove("Old".into())];
        let now = json!({ "machineTags": ["New"], "deviceValue": "High" });
        let plan = undo(now.clone(), &all);
        let foreign = meet(&plan, now, &all[..1], false).unwrap_err();
        assert_eq!(foreign.what, ChangeWhat::Add("Old".into()));
    }

    #[test]
    fn a_reserved_tag_comes_back_only_where_the_guard_names_it() {
        let mut ran = ran();
        ran.tags[1] = RESERVED.into();
        let snapshot = fleet(&[json!({ "machineTags": [] })]);
        let (scope, protected) = (DeviceSet::full(1), DeviceSet::new(1));
        let key = ChangeKey { device: "d0".into(), what: ChangeWhat::Remove(RESERVED.into()) };
        let confirmed = HashSet::from([key]);
        let ran = RevertedRun { id: "r", plan: &ran, confirmed: &confirmed };
        for allows_reserved in [false, true] {
            let reach =
                RevertScope { snapshot: &snapshot, scope: &scope, protected: &protected, allows_reserved };
            let plan = inverse(ran, Plan::default(), reach);
            assert_eq!(
                (plan.changes.len(), plan.withheld.len()),
                (usize::from(allows_reserved), usize::from(!allows_reserved))
            );
        }
    }

    #[test]
    fn a_value_that_was_set_since_the_review_is_theirs() {
        let set = [ChangeWhat::Value(DeviceValue::High)];
        let plan = undo(json!({ "machineTags": [], "deviceValue": "High" }), &set);
        assert_eq!(plan.changes[0].value.map(|value| value.to), Some(DeviceValue::Low));
        let met = |value: &str| {
            meet(&plan, json!({ "machineTags": [], "deviceValue": value }), &set, false).unwrap()
        };
        assert_eq!(met("High").plan.changes.len(), 1);
        assert_eq!((met("Normal").plan.changes.len(), met("Normal").dropped[0].1), (0, Dropped::Stale));
        assert_eq!((met("Low").plan.changes.len(), met("Low").dropped[0].1), (0, Dropped::Noop));
    }
}
