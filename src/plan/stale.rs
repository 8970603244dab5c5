//! Applying a reviewed plan: what the review saw *and* what is still wanted.
//!
//! Reads nothing anew; it is handed the fresh plan and the snapshot that it was made from.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use super::{Cause, ChangeKey, ChangeWhat, DeviceChange, Plan, WithheldReason, cost};
use crate::inventory::Row;
use crate::inventory::Snapshot;

/// What is left of a reviewed plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Intersection {
    /// The fresh plan without what the review did not see: its measures are the fresh ones, its guard report is empty.
    pub plan: Plan,
    /// Reviewed changes that are not in it, in the reviewed plan's order.
    pub dropped: Vec<(ChangeKey, Dropped)>,
    /// Changes that are wanted now but were not reviewed: left for the next plan.
    pub unreviewed: u64,
}

/// Why a reviewed change is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// It is so already.
    Noop,
    /// It is no longer wanted, or its device is out of sight.
    Stale,
    /// It is still wanted, and withheld now.
    Withheld(WithheldReason),
}

/// Keeps of a fresh plan what a reviewed plan has too. `snapshot` is the one that `fresh` was made from.
pub fn intersect(reviewed: &Plan, fresh: Plan, snapshot: &Snapshot) -> Intersection {
    let wanted: HashSet<ChangeKey> =
        reviewed.changes.iter().flat_map(|change| keys(reviewed, change)).collect();
    let withheld = withheld_now(&fresh);
    let mut plan = fresh;
    let mut kept: HashSet<ChangeKey> = HashSet::new();
    let mut unreviewed = 0;
    let mut changes = std::mem::take(&mut plan.changes);
    for change in &mut changes {
        unreviewed += restrict(&plan, change, &wanted);
        kept.extend(keys(&plan, change));
    }
    changes.retain(|change| !change.is_empty());
    plan.changes = changes;
    plan.guard = super::GuardReport::default();
    plan.schedule = cost::schedule(&plan, &plan.header.options);

    let all = reviewed.changes.iter().flat_map(|change| keys(reviewed, change));
    let dropped = all
        .filter(|key| !kept.contains(key))
        .map(|key| {
            let why = match withheld.get(&key) {
                Some(WithheldReason::Pending) => Dropped::Noop,
                Some(reason) => Dropped::Withheld(*reason),
                None if is_so(snapshot, &key) => Dropped::Noop,
                None => Dropped::Stale,
            };
            (key, why)
        })
        .collect();
    Intersection { plan, dropped, unreviewed }
}

/// The changes of a device, by content.
pub fn keys<'a>(plan: &'a Plan, change: &'a DeviceChange) -> impl Iterator<Item = ChangeKey> + 'a {
    let key = |what: ChangeWhat| ChangeKey { device: change.id.clone(), what };
    let tag = |index| Arc::clone(plan.tag(index));
    let adds = change.add.iter().map(move |add| key(ChangeWhat::Add(tag(add.tag))));
    let removes = change.remove.iter().map(move |remove| key(ChangeWhat::Remove(tag(remove.tag))));
    adds.chain(removes).chain(change.value.iter().map(move |value| key(ChangeWhat::Value(value.to))))
}

/// Takes out of a fresh device what the review did not see; returns how many changes that were.
fn restrict(plan: &Plan, change: &mut DeviceChange, wanted: &HashSet<ChangeKey>) -> u64 {
    let id = change.id.clone();
    let is_wanted = |what: ChangeWhat| wanted.contains(&ChangeKey { device: id.clone(), what });
    let before: u64 = count(change);
    let new_names: Vec<Arc<str>> = change.add.iter().map(|add| plan.tag(add.tag).clone()).collect();
    change.add.retain(|add| is_wanted(ChangeWhat::Add(plan.tag(add.tag).clone())));
    change.remove.retain(|remove| is_wanted(ChangeWhat::Remove(plan.tag(remove.tag).clone())));
    if change.value.is_some_and(|value| !is_wanted(ChangeWhat::Value(value.to))) {
        change.value = None;
    }
    let unreviewed = before - count(change);
    // An old name goes only once the new one is there: if its addition waits for the next review, so does the removal.
    let added = &change.add;
    change.remove.retain(|remove| match plan.cause(remove.cause) {
        Cause::Renamed { to, .. } => {
            !new_names.iter().any(|name| counts_as(plan, name, to))
                || added.iter().any(|add| counts_as(plan, plan.tag(add.tag), to))
        }
        _ => true,
    });
    unreviewed
}

fn counts_as(plan: &Plan, name: &str, tag: &str) -> bool {
    plan.header.options.tag_case.is_same(name, tag)
}

fn count(change: &DeviceChange) -> u64 {
    let (additions, removals, values) = change.counts();
    additions + removals + values
}

fn withheld_now(plan: &Plan) -> HashMap<ChangeKey, WithheldReason> {
    let groups = plan.withheld.iter().chain(&plan.pending);
    groups
        .flat_map(|group| {
            group.devices.iter().flat_map(|device| keys(plan, device)).map(|key| (key, group.reason))
        })
        .collect()
}

/// Whether a change is so already.
fn is_so(snapshot: &Snapshot, key: &ChangeKey) -> bool {
    let Some(row) = snapshot.find(&key.device) else { return false };
    let carries = |row: Row, tag: &str| snapshot.find_tag(tag).is_some_and(|tag| snapshot.carries(row, tag));
    match &key.what {
        ChangeWhat::Add(tag) => carries(row, tag),
        ChangeWhat::Remove(tag) => !carries(row, tag),
        ChangeWhat::Value(value) => snapshot.value(row) == Some(value.word()),
    }
}
