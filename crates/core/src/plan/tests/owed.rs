//! Tags that calls removed by accident: each is put back exactly if the policies would let it stay.

use super::world::TAGS;
use super::*;
use crate::time::Timestamp;

/// A world with some lost tags and no other history.
fn owing(seed: u64) -> World {
    let mut world = World::random(seed);
    world.history = History::default();
    let owed = Owed { run: "run".into(), lost: Timestamp::EPOCH, shown_until: None };
    for (index, device) in world.devices.iter().enumerate() {
        let tag = TAGS[(seed.rotate_left(index as u32) % TAGS.len() as u64) as usize];
        let key = ChangeKey { device: device.id.as_str().into(), what: ChangeWhat::Add(tag.into()) };
        world.history.lost.insert(key, owed.clone());
    }
    world
}

/// The device-tag pairs that a plan puts back, including withheld changes.
fn restored(plan: &Plan) -> BTreeSet<(String, String)> {
    let all = plan.withheld.iter().flat_map(|group| &group.devices).chain(&plan.changes);
    let is_restored = |add: &&TagChange| matches!(plan.cause(add.cause), Cause::Restored { .. });
    let of = |change: &DeviceChange| {
        let tags = change.add.iter().filter(is_restored).map(|add| plan.tag(add.tag).to_string());
        tags.map(|tag| (change.id.to_string(), tag)).collect::<Vec<_>>()
    };
    all.flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_put_back_is_not_taken_away_by_the_next_plan(seed in any::<u64>()) {
        let mut world = owing(seed);
        if let Ok(plan) = planned(&world) {
            world.apply(&plan);
            world.history = History::default();
            let again = planned(&world).expect("applying a plan makes no conflict");
            prop_assert!(again.changes.is_empty(), "{:?} in {:#?}", found(&world, &again), world);
        }
    }

    #[test]
    fn a_tag_is_put_back_where_no_plan_would_take_it_away(seed in any::<u64>()) {
        let world = owing(seed);
        let Ok(plan) = planned(&world) else { return Ok(()) };
        let restored = restored(&plan);
        // For tags that the policies own or may forbid, it is enough that none is put back that would be removed.
        let is_free = |tag: &str| {
            let forbids = |rule: &crate::policy::Rule| {
                rule.remove_tags.iter().any(|remove| world.policy.covers(&remove.pattern, tag))
            };
            let is_owned = world.policy.claims_tag(tag) || crate::tag::is_reserved(tag);
            !is_owned && !world.policy.rules.iter().any(forbids)
        };
        for key in world.history.lost.keys() {
            let ChangeWhat::Add(tag) = &key.what else { continue };
            let index = world.devices.iter().position(|device| *device.id == *key.device).unwrap();
            let is_live = world.devices[index].tags.iter().any(|live| world.case.is_same(live, tag));
            let is_protected = world.protected.iter().any(|rows| rows.contains(&index));
            if is_live || is_protected || !world.scope.contains(&index) {
                continue;
            }
            let mut with = World { history: History::default(), ..world.clone() };
            with.devices[index].tags.push(tag.to_string());
            let Ok(with_tag) = planned(&with) else { continue };
            let of_device = |change: &&DeviceChange| change.id == key.device;
            // With data missing, we cannot know whether the tag should go, so it stays.
            let withheld = with_tag.withheld.iter().filter(|group| group.reason != WithheldReason::Unresolved);
            let whole = withheld.flat_map(|group| &group.devices).chain(&with_tag.changes);
            let mut removed = whole.filter(of_device).flat_map(|change| &change.remove);
            let goes = removed.any(|gone| with_tag.tag(gone.tag) == tag);
            let all = plan.withheld.iter().flat_map(|group| &group.devices).chain(&plan.changes);
            let mut added = all.filter(of_device).flat_map(|change| &change.add);
            let comes = added.any(|add| plan.is_tag(add.tag, tag));
            let is_restored = restored.contains(&(key.device.to_string(), tag.to_string()));
            if goes {
                prop_assert!(!is_restored, "{tag} on {} in {world:#?}", key.device);
            } else if is_free(tag) {
                prop_assert!(is_restored || comes, "{tag} on {} in {world:#?}", key.device);
            }
        }
    }
}
