//! Twins: tags that differ by what the service folds, trims or truncates, and that disappear together.

use mdetag_core::apply::resume::LostTag;

use super::*;

#[test]
fn batches_of_twins_that_wait_for_each_other_are_parted() {
    let wishes = [
        Wish { remove: &["Tier0", "EU"], has: &["tier0"], ..Wish::default() },
        Wish { remove: &["Tier0", "EU"], has: &["eu"], ..Wish::default() },
    ];
    let fared = apply(&wishes, Faults::default());
    assert_eq!((fared.count(Outcome::Done), fared.calls(Lane::BulkTag)), (4, 3));
    assert_eq!((fared.tags(0), fared.tags(1)), (vec!["tier0"], vec!["eu"]));
}

#[test]
fn a_removal_that_the_service_trims_or_cuts_loses_no_other_tag() {
    let trimmed = Wish { remove: &[" EU"], has: &["EU"], ..Wish::default() };
    let fared = apply(&[trimmed], Faults { trims: true, ..Faults::default() });
    assert_eq!((fared.count(Outcome::Bounced), fared.tags(0)), (1, vec![" EU", "EU"]));
    let cut = Wish { remove: &[TOO_LONG], has: &[LONGEST], ..Wish::default() };
    let fared = apply(&[cut], Faults { long_tag: LongTag::Cut, ..Faults::default() });
    assert_eq!((fared.count(Outcome::Bounced), fared.tags(0).len()), (1, 2));
}

#[test]
fn a_twin_goes_last_and_what_it_takes_along_is_put_back() {
    let wishes = [Wish { add: &["Tier0"], remove: &["tier0", "old"], has: &["x"], ..Wish::default() }];
    let fared = apply(&wishes, Faults { folds_removals: true, ..Faults::default() });
    let action = |(_, call): &(_, Call)| match call {
        Call::BulkTag { tag, action, .. } => {
            format!("{}{tag}", if *action == TagAction::Add { '+' } else { '-' })
        }
        _ => String::new(),
    };
    let actions: Vec<String> = fared.world.sent.iter().map(action).collect();
    assert_eq!(actions, ["+Tier0", "-old", "-tier0", "+Tier0"]);
    assert_eq!((fared.count(Outcome::Done), fared.repairs), (3, 1));
    assert_eq!(fared.tags(0), ["x", "Tier0"]);
}

#[test]
fn a_tag_that_goes_along_once_more_after_it_was_put_back_is_put_back_once_more() {
    // An earlier part of the run took the tag along, and the plan of this part was made without it.
    let wish = Wish { add: &["Tier0"], remove: &["EU "], ..Wish::default() };
    let (plan, service) = fleet(&[wish], Faults { trims: true, ..Faults::default() });
    let mut world = World::new(service, Limits::default(), 1);
    let plan = safe(plan);
    let mut run = Run::new(&plan, &[], RunOptions::default(), world.now);
    let device = world.service.devices.keys().next().expect("a device").clone();
    let entries = run.restore(&[LostTag { device, tag: "EU".into() }], world.now);
    world.journal.extend(entries);
    assert!(world.play(&mut run, usize::MAX));
    let action = |(_, call): &(_, Call)| match call {
        Call::BulkTag { tag, action, .. } => format!("{action:?} {tag}"),
        _ => String::new(),
    };
    let actions: Vec<String> = world.sent.iter().map(action).collect();
    assert_eq!(actions.last().map(|last| &**last), Some("Add EU"), "{actions:?}");
    let device = world.service.devices.values().next().expect("a device");
    assert!(device.tags.iter().any(|tag| **tag == *"EU"), "{:?}", device.tags);
}

#[test]
fn a_twin_that_goes_along_is_put_back_also_where_the_registry_restores_the_removed_tag() {
    let wishes = [Wish { add: &["tier0"], remove: &["Tier0"], ..Wish::default() }];
    let faults = Faults { folds_removals: true, empty_bodies: true, ..Faults::default() };
    let (plan, mut service) = fleet(&wishes, faults);
    service.devices.values_mut().for_each(|device| device.registry = Some("Tier0".into()));
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Done), fared.repairs), (1, 1));
    assert_eq!(fared.tags(0), ["Tier0", "tier0"]);
}

#[test]
fn a_tag_that_is_gone_from_the_answer_to_a_removal_is_told_and_left_alone() {
    let wish = Wish { remove: &["Old"], has: &["own"], ..Wish::default() };
    let (plan, mut service) = fleet(&[wish], Faults::default());
    service.devices.values_mut().for_each(|device| device.tags.retain(|tag| **tag != *"own"));
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Done), fared.repairs), (1, 0));
    assert!(fared.tags(0).is_empty());
    assert!(fared.notes()[0].contains("without \"own\", which the plan saw"), "{:?}", fared.notes());
}
