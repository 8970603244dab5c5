//! Claims about `PATCH`, alone and combined: what it must not lose, and what it must not make manual.

use std::sync::Arc;

use mdetag_core::apply::{Call, Origins, Outcome, RunOptions};
use mdetag_core::plan::{CauseIndex, Lane, TagChange, TagIndex, ValueRoute};

use super::claims::{Fared, Wish, all_manual, apply_knowing, apply_with, fleet};
use super::service::{Faults, Patch};

#[test]
fn a_combined_patch_keeps_a_strangers_tag_and_repairs_what_differs() {
    for patch in [Patch::Replace, Patch::Append, Patch::Legacy] {
        let wish = Wish { add: &["a", "b"], remove: &["c"], has: &["own"], value: true, ..Wish::default() };
        let faults = Faults { patch, meddler: Some("stranger"), ..Faults::default() };
        let (mut plan, service) = fleet(&[wish; 3], faults);
        plan.header.options.combine = true;
        // Different tags make bulk calls expensive enough for the planner to combine.
        for (number, change) in plan.changes.iter_mut().enumerate() {
            for add in &mut change.add {
                plan.tags.push(format!("{}{number}", plan.tags[add.tag.0 as usize]).into());
                add.tag = TagIndex(plan.tags.len() as u32 - 1);
            }
        }
        let mut origins = all_manual(&plan);
        for change in &plan.changes {
            origins.insert(change.id.clone(), ["stranger".into()], []);
        }
        let fared = apply_knowing(plan, service, RunOptions::default(), &origins);
        assert_eq!(fared.count(Outcome::Done), 12, "{patch:?}");
        assert!(fared.calls(Lane::UpdateDevice) > 0, "{patch:?}");
        for device in 0..3 {
            let tags = fared.tags(device);
            assert!(
                tags.contains(&"stranger") && tags.contains(&"own") && !tags.contains(&"c"),
                "{patch:?} {tags:?}"
            );
        }
    }
}

/// Three devices that are best served by one `PATCH` each; each has a tag of its own, of its registry, and of a stranger.
fn combined(known: impl Fn(&mut Origins, Arc<str>)) -> Fared {
    let wish = Wish { has: &["own", "site"], value: true, ..Wish::default() };
    let (mut plan, mut service) =
        fleet(&[wish; 3], Faults { meddler: Some("stranger"), ..Faults::default() });
    plan.header.options.combine = true;
    let mut origins = Origins::default();
    for (number, change) in plan.changes.iter_mut().enumerate() {
        for name in ["a", "b"] {
            plan.tags.push(format!("{name}{number}").into());
            change.add.push(TagChange { tag: TagIndex(plan.tags.len() as u32 - 1), cause: CauseIndex(0) });
        }
        known(&mut origins, change.id.clone());
    }
    service.devices.values_mut().for_each(|device| device.registry = Some("site".into()));
    apply_knowing(plan, service, RunOptions::default(), &origins)
}

#[test]
fn a_combined_patch_pins_no_tag_of_another_origin() {
    let fared =
        combined(|origins, id| origins.insert(id, ["own".into(), "stranger".into()], ["site".into()]));
    assert_eq!((fared.count(Outcome::Done), fared.calls(Lane::UpdateDevice)), (9, 3));
    for (_, call) in &fared.world.sent {
        if let Call::Update { tags: Some(tags), .. } = call {
            assert!(!tags.iter().any(|tag| **tag == *"site"), "{tags:?}");
            assert!(tags.iter().any(|tag| **tag == *"own"), "{tags:?}");
        }
    }
}

#[test]
fn a_tag_of_unknown_origin_sends_its_device_over_the_documented_routes() {
    let fared = combined(|origins, id| origins.insert(id, ["own".into()], ["site".into()]));
    assert_eq!((fared.count(Outcome::Done), fared.calls(Lane::UpdateDevice)), (9, 0));
    assert!((0..3).all(|device| fared.tags(device).contains(&"stranger")));
}

#[test]
fn a_patch_that_loses_tags_stops_its_lane_and_the_tags_are_put_back() {
    let wish = Wish { has: &["own", "portal"], value: true, ..Wish::default() };
    let (mut plan, service) = fleet(&[wish; 40], Faults { patch_wipes: true, ..Faults::default() });
    plan.header.options.values = ValueRoute::Both;
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Done), fared.calls(Lane::UpdateDevice), fared.repairs), (40, 1, 2));
    assert!((0..40).all(|device| fared.tags(device).len() == 2));
}

#[test]
fn where_patch_is_closed_missing_or_broken_the_documented_routes_do_the_work() {
    for status in [400, 403, 404, 405, 500] {
        let wish = Wish { has: &["own"], value: true, ..Wish::default() };
        let faults = || Faults { patch_closed: Some(status), ..Faults::default() };
        let (mut plan, service) = fleet(&[wish; 40], faults());
        plan.header.options.values = ValueRoute::Both;
        let fared = apply_with(plan, service, RunOptions::default());
        assert_eq!(fared.count(Outcome::Done), 40, "both, {status}");

        let wish = Wish { add: &["a", "b"], has: &["own"], value: true, ..Wish::default() };
        let (mut plan, service) = fleet(&[wish; 40], faults());
        plan.header.options.combine = true;
        for (number, change) in plan.changes.iter_mut().enumerate() {
            for add in &mut change.add {
                plan.tags.push(format!("{}{number}", plan.tags[add.tag.0 as usize]).into());
                add.tag = TagIndex(plan.tags.len() as u32 - 1);
            }
        }
        let origins = all_manual(&plan);
        let fared = apply_knowing(plan, service, RunOptions::default(), &origins);
        assert_eq!(fared.count(Outcome::Done), 120, "combined, {status}");
        let tried = fared.calls(Lane::UpdateDevice);
        // A 400 is about one device only; every other answer gives up the route.
        assert!(tried > 0 && (status == 400 || tried <= 40), "{status}: {tried} calls");
    }
}

#[test]
fn after_a_sound_patch_a_missing_tag_was_removed_by_a_person_and_stays_away() {
    let wish = Wish { has: &["own", "portal"], value: true, ..Wish::default() };
    let (mut plan, mut service) = fleet(&[wish; 40], Faults::default());
    plan.header.options.values = ValueRoute::Both;
    service.devices.values_mut().skip(20).for_each(|device| device.tags.clear());
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Done), fared.repairs), (40, 0));
    assert!((20..40).all(|device| fared.tags(device).is_empty()));
}

#[test]
fn a_canary_whose_tags_come_from_its_registry_proves_nothing() {
    let wish = Wish { has: &["own"], value: true, ..Wish::default() };
    let (mut plan, mut service) = fleet(&[wish; 40], Faults { patch_wipes: true, ..Faults::default() });
    plan.header.options.values = ValueRoute::Both;
    service.devices.values_mut().take(20).for_each(|device| device.registry = Some("own".into()));
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!(fared.count(Outcome::Done), 40);
    assert!((0..40).all(|device| fared.tags(device) == ["own"]), "no tag is lost");
}

#[test]
fn a_canary_with_manual_tags_is_read_and_then_values_go_side_by_side() {
    let wish = Wish { has: &["own"], value: true, ..Wish::default() };
    let (mut plan, service) = fleet(&[wish; 40], Faults::default());
    plan.header.options.values = ValueRoute::Both;
    let mut origins = Origins::default();
    origins.insert(plan.changes[30].id.clone(), ["own".into()], []);
    let chosen = plan.changes[30].id.clone();
    let fared = apply_knowing(plan, service, RunOptions::default(), &origins);
    let reads = fared.world.sent.iter().filter_map(|(_, call)| match call {
        Call::Get { device } => Some(device.clone()),
        _ => None,
    });
    assert_eq!(reads.collect::<Vec<_>>(), [chosen], "one canary");
    assert!(fared.calls(Lane::UpdateDevice) > 10);
}

#[test]
fn only_the_first_patch_of_a_run_is_a_canary_and_later_values_are_sent_without_reads() {
    for known in [0, 1, 40] {
        let wish = Wish { has: &["own"], value: true, ..Wish::default() };
        let (mut plan, mut service) = fleet(&[wish; 40], Faults::default());
        plan.header.options.values = ValueRoute::Both;
        let mut origins = Origins::default();
        for change in plan.changes.iter().take(known) {
            origins.insert(change.id.clone(), ["own".into()], []);
        }
        // A person removes the tags of all but the first device while the run is under way.
        service.devices.values_mut().skip(1).for_each(|device| device.tags.clear());
        let fared = apply_knowing(plan, service, RunOptions::default(), &origins);
        assert_eq!((fared.count(Outcome::Done), fared.repairs), (40, 0), "{known}");
        assert!(fared.calls(Lane::Get) <= 1, "{known}: {}", fared.calls(Lane::Get));
        assert!((1..40).all(|device| fared.tags(device).is_empty()), "{known}");
    }
}

#[test]
fn a_tag_that_a_person_removes_before_the_canary_is_read_stays_away() {
    let wish = Wish { has: &["own", "portal"], value: true, ..Wish::default() };
    let (mut plan, mut service) = fleet(&[wish; 40], Faults::default());
    plan.header.options.values = ValueRoute::Both;
    service.devices.values_mut().for_each(|device| device.tags.retain(|tag| **tag == *"own"));
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Done), fared.repairs), (40, 0));
    assert!((0..40).all(|device| fared.tags(device) == ["own"]));
}
