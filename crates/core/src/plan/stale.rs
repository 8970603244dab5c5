//! Applies a reviewed plan: the changes that were reviewed *and* are still wanted.
//!
//! Reads nothing itself; the caller passes the fresh plan and its snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::replacement::{Caused, Replacements};
use super::{ChangeKey, ChangeWhat, DeviceChange, Plan, TagChange, TagIndex, Withheld, WithheldReason, cost};
use crate::inventory::Snapshot;
use crate::tag::TagCase;

/// The remaining part of a reviewed plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Intersection {
    /// The fresh plan without unreviewed changes: its measures are the fresh ones, its guard report is empty.
    pub plan: Plan,
    /// Reviewed changes that it lacks, in the reviewed plan's order.
    pub dropped: Vec<(ChangeKey, Dropped)>,
    /// Number of changes that are wanted now but were not reviewed: left for the next plan.
    pub unreviewed: u64,
}

/// Why a reviewed change is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// The device is already in that state.
    Noop,
    /// It is no longer wanted, or its device is not visible.
    Stale,
    /// It is still wanted, but withheld now.
    Withheld(WithheldReason),
}

/// Keeps the changes of a fresh plan that a reviewed plan contains too. `snapshot` is that of `fresh`. A removal waits for an
/// unreviewed addition that replaces it; without `replacements` (a revert) every addition of a device replaces its removals.
pub fn intersect(
    reviewed: &Plan,
    fresh: Plan,
    snapshot: &Snapshot,
    replacements: Option<&Replacements<'_>>,
) -> Intersection {
    let wanted: HashSet<ChangeKey> =
        reviewed.changes.iter().flat_map(|change| keys(reviewed, change)).collect();
    let mut plan = fresh;
    let mut kept: HashSet<ChangeKey> = HashSet::new();
    let mut unreviewed = 0;
    let mut changes = std::mem::take(&mut plan.changes);
    let mut waiting: BTreeMap<TagIndex, Vec<DeviceChange>> = BTreeMap::new();
    for change in &mut changes {
        let unseen = restrict(&plan, change, &wanted);
        unreviewed += unseen.count;
        for (tag, removals) in wait(&plan, change, &unseen.additions, replacements) {
            let whole = DeviceChange { add: Vec::new(), remove: removals, value: None, ..change.clone() };
            waiting.entry(tag).or_default().push(whole);
        }
        kept.extend(keys(&plan, change));
    }
    changes.retain(|change| !change.is_empty());
    plan.changes = changes;
    let groups = waiting.into_iter().map(|(tag, devices)| {
        Withheld::new(WithheldReason::Unconfirmed, Some(plan.tag(tag).to_string()), devices)
    });
    let groups: Vec<Withheld> = groups.collect();
    plan.withheld.extend(groups);
    let withheld = withheld_now(&plan);
    let case = plan.header.options.tag_case;
    plan.guard = super::GuardReport::default();
    plan.schedule = cost::schedule(&plan, &plan.header.options);

    let all = reviewed.changes.iter().flat_map(|change| keys(reviewed, change));
    let dropped = all
        .filter(|key| !kept.contains(key))
        .map(|key| {
            let why = match withheld.get(&key) {
                Some(WithheldReason::Pending) => Dropped::Noop,
                Some(reason) => Dropped::Withheld(*reason),
                None if is_so(snapshot, &key, case) => Dropped::Noop,
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

/// The unreviewed changes of a fresh device.
struct UnreviewedChanges {
    count: u64,
    additions: Vec<TagChange>,
}

/// Removes unreviewed changes from a fresh device.
fn restrict(plan: &Plan, change: &mut DeviceChange, wanted: &HashSet<ChangeKey>) -> UnreviewedChanges {
    let id = change.id.clone();
    let is_wanted = |what: ChangeWhat| wanted.contains(&ChangeKey { device: id.clone(), what });
    let before: u64 = count(change);
    let is_seen = |add: &mut TagChange| is_wanted(ChangeWhat::Add(plan.tag(add.tag).clone()));
    let additions = change.add.extract_if(.., |add| !is_seen(add)).collect();
    change.remove.retain(|remove| is_wanted(ChangeWhat::Remove(plan.tag(remove.tag).clone())));
    if change.value.is_some_and(|value| !is_wanted(ChangeWhat::Value(value.to))) {
        change.value = None;
    }
    UnreviewedChanges { count: before - count(change), additions }
}

/// Takes out the removals of a device that wait for unreviewed additions, by the addition.
fn wait(
    plan: &Plan,
    change: &mut DeviceChange,
    unseen: &[TagChange],
    replacements: Option<&Replacements<'_>>,
) -> BTreeMap<TagIndex, Vec<TagChange>> {
    let caused = |change: &TagChange| Caused { tag: plan.tag(change.tag), cause: plan.cause(change.cause) };
    let replaces = |add: &TagChange, remove: &TagChange| {
        replacements.is_none_or(|known| known.replaces(caused(add), caused(remove)))
    };
    let mut waiting: BTreeMap<TagIndex, Vec<TagChange>> = BTreeMap::new();
    if !unseen.is_empty() {
        change.remove.retain(|remove| match unseen.iter().find(|add| replaces(add, remove)) {
            Some(add) => {
                waiting.entry(add.tag).or_default().push(*remove);
                false
            }
            None => true,
        });
    }
    waiting
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

/// Whether a change is already in place. An addition is if the device carries the tag in any spelling; a removal concerns one
/// spelling.
/// A device that is listed without its tags proves no removal.
fn is_so(snapshot: &Snapshot, key: &ChangeKey, case: TagCase) -> bool {
    let Some(row) = snapshot.find(&key.device) else { return false };
    let mut own = snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag));
    match &key.what {
        ChangeWhat::Add(tag) => own.any(|own| case.is_same(own, tag)),
        ChangeWhat::Remove(tag) => snapshot.has_tag_list(row) && own.all(|own| *own != **tag),
        ChangeWhat::Value(value) => snapshot.value(row) == Some(value.word()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::device::DeviceValue;
    use crate::inventory;
    use crate::plan::{Cause, CauseIndex, ValueChange};
    use crate::policy::Policy;
    use crate::tag::TagCase;

    const TAGS: [&str; 3] = ["Old", "New", "X"];

    fn change(id: &str, add: &[u32], remove: &[(u32, u32)], value: Option<DeviceValue>) -> DeviceChange {
        DeviceChange {
            id: id.into(),
            name: None,
            observed_tags: Box::default(),
            observed_value: None,
            add: add.iter().map(|tag| TagChange { tag: TagIndex(*tag), cause: CauseIndex(0) }).collect(),
            remove: remove
                .iter()
                .map(|(tag, cause)| TagChange { tag: TagIndex(*tag), cause: CauseIndex(*cause) })
                .collect(),
            value: value.map(|to| ValueChange { to, cause: CauseIndex(0) }),
        }
    }

    /// Cause 0 is retired, cause 1 renamed to `New`.
    fn plan(changes: Vec<DeviceChange>) -> Plan {
        let place = crate::plan::nowhere();
        let causes =
            vec![Cause::Retired { place: place.clone() }, Cause::Renamed { to: "New".into(), place }];
        Plan { tags: TAGS.map(Arc::from).to_vec(), causes, changes, ..Plan::default() }
    }

    #[test]
    fn an_addition_is_so_in_any_spelling_where_tags_compare_so_and_a_removal_in_its_own() {
        let snapshot = inventory::fleet(&[json!({ "machineTags": ["NEW"] })]);
        let reviewed = plan(vec![change("d0", &[1], &[(0, 0)], None)]);
        let why = |case| {
            let mut fresh = plan(Vec::new());
            fresh.header.options.tag_case = case;
            let left = intersect(&reviewed, fresh, &snapshot, None);
            left.dropped.into_iter().map(|(_, why)| why).collect::<Vec<_>>()
        };
        assert_eq!(why(TagCase::Insensitive), [Dropped::Noop, Dropped::Noop]);
        assert_eq!(why(TagCase::Exact), [Dropped::Stale, Dropped::Noop]);
    }

    #[test]
    fn a_device_that_is_listed_without_its_tags_proves_no_removal() {
        let reviewed = plan(vec![change("d0", &[], &[(0, 0)], None)]);
        for (tags, why) in [(json!([]), Dropped::Noop), (json!(null), Dropped::Stale)] {
            let snapshot = inventory::fleet(&[json!({ "machineTags": tags })]);
            assert_eq!(intersect(&reviewed, plan(Vec::new()), &snapshot, None).dropped[0].1, why);
        }
    }

    #[test]
    fn only_what_was_reviewed_and_is_still_wanted_is_left() {
        let reviewed =
            plan(vec![change("d0", &[1, 2], &[], Some(DeviceValue::High)), change("d1", &[1], &[], None)]);
        let fresh =
            plan(vec![change("d0", &[1], &[(0, 0)], Some(DeviceValue::Low)), change("d2", &[1], &[], None)]);
        let snapshot = inventory::fleet(&[json!({ "machineTags": ["X"] }), json!({ "machineTags": [] })]);
        let left = intersect(
            &reviewed,
            fresh,
            &snapshot,
            Some(&Replacements::new(&Policy::default(), TagCase::Exact)),
        );
        assert_eq!(left.plan.changes, [change("d0", &[1], &[], None)]);
        assert_eq!(left.unreviewed, 3, "the removal, the other value, the other device");
        let dropped: Vec<_> = left.dropped.iter().map(|(key, why)| (&*key.device, *why)).collect();
        // d0 already has `X`; the value and d1 are no longer wanted.
        assert_eq!(dropped, [("d0", Dropped::Noop), ("d0", Dropped::Stale), ("d1", Dropped::Stale)]);
    }

    #[test]
    fn an_old_name_stays_while_its_new_name_waits_for_a_review() {
        let reviewed = plan(vec![change("d0", &[], &[(0, 1)], None)]);
        let fresh = plan(vec![change("d0", &[1], &[(0, 1)], None)]);
        let snapshot = inventory::fleet(&[json!({ "machineTags": ["Old"] })]);
        let left = intersect(
            &reviewed,
            fresh,
            &snapshot,
            Some(&Replacements::new(&Policy::default(), TagCase::Exact)),
        );
        assert!(left.plan.changes.is_empty());
        assert_eq!(left.unreviewed, 1);
        assert_eq!(left.dropped[0].1, Dropped::Withheld(WithheldReason::Unconfirmed));
        let [group] = left.plan.withheld.as_slice() else { panic!("one group") };
        assert_eq!((group.name.as_deref(), group.removals), (Some("New"), 1));
    }

    #[test]
    fn what_is_withheld_now_says_so_and_what_is_pending_is_so_already() {
        let reviewed = plan(vec![change("d0", &[1], &[(0, 0)], None)]);
        let mut fresh = plan(Vec::new());
        let group = |reason: WithheldReason, device: DeviceChange| Withheld {
            reason,
            name: None,
            until: None,
            accepted: None,
            additions: 0,
            removals: 0,
            values: 0,
            device_count: 1,
            devices: vec![device],
        };
        fresh.withheld = vec![group(WithheldReason::Untrusted, change("d0", &[], &[(0, 0)], None))];
        fresh.pending = vec![group(WithheldReason::Pending, change("d0", &[1], &[], None))];
        let snapshot = inventory::fleet(&[json!({ "machineTags": ["Old"] })]);
        let dropped: Vec<_> = intersect(
            &reviewed,
            fresh,
            &snapshot,
            Some(&Replacements::new(&Policy::default(), TagCase::Exact)),
        )
        .dropped
        .into_iter()
        .map(|(_, why)| why)
        .collect();
        assert_eq!(dropped, [Dropped::Noop, Dropped::Withheld(WithheldReason::Untrusted)]);
    }
}
