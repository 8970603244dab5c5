//! Compares the planner with a reference that is written straight from the language reference, device by device, on random small
//! fleets and policies; and tests properties of every plan.
//!
//! Parses no policy: worlds are built from the resolved types, so that a mistake in the parser cannot hide one here.

mod accepted;
mod alternatives;
mod levels;
mod old_names;
mod owed;
mod past;
mod reference;
mod unknown;
mod waiting;
mod world;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::desired::{Desired, desire};
use reference::{ReferenceChanges, ReferencePlan};
use world::World;

/// The plan of a world, or its tags and values in conflict.
fn planned(world: &World) -> Result<Plan, BTreeSet<String>> {
    let snapshot = world.snapshot();
    let selections = world.selections(&snapshot);
    let desired = desire(&world.policy, &snapshot, &selections, world.now());
    let desired: Desired<'_> = desired.map_err(|diagnostics| {
        let subject = |found: &crate::diagnostic::Diagnostic| {
            let count = found.devices.as_ref().unwrap().count;
            match found.code {
                "E0601" => {
                    let tag = found.message.split("the tag `").nth(1).and_then(|rest| rest.split('`').next());
                    let key = world.case.key(tag.unwrap()).into_owned();
                    format!("{key} {count}")
                }
                _ => format!("value {count}"),
            }
        };
        diagnostics.iter().map(subject).collect::<BTreeSet<_>>()
    })?;
    Ok(diff(&desired, &world.history, world.header(), &world.sources()))
}

/// A plan in the reference's form.
fn found(world: &World, plan: &Plan) -> ReferencePlan {
    let mut expected = ReferencePlan::default();
    for change in &plan.changes {
        let device = reference::device(world, &change.id);
        let entry = expected.changes.entry(device).or_default();
        list(world, plan, change, entry);
    }
    for group in plan.withheld.iter().chain(&plan.pending) {
        for change in &group.devices {
            let name = group.name.clone().unwrap_or_default();
            let key = (group.reason.word().to_owned(), name, reference::device(world, &change.id));
            list(world, plan, change, expected.withheld.entry(key).or_default());
        }
        let counts = group.devices.iter().map(DeviceChange::counts);
        let sum = counts.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
        assert_eq!(sum, (group.additions, group.removals, group.values), "a group's counts are its devices'");
    }
    expected.removable = plan.measures.removable_pairs;
    expected.invariants = plan.measures.invariants.clone();
    expected
}

fn list(world: &World, plan: &Plan, change: &DeviceChange, found: &mut ReferenceChanges) {
    let cause = |index| match plan.cause(index) {
        Cause::Rule(rules) => format!("rule {rules:?}"),
        Cause::Unselected { claim, .. } => format!("unselected {claim}"),
        Cause::Family { family, .. } => format!("family {family}"),
        Cause::Renamed { to, .. } => format!("renamed {to}"),
        other => other.word().to_owned(),
    };
    for add in &change.add {
        found.add.insert(world.case.key(plan.tag(add.tag)).into_owned(), cause(add.cause));
    }
    for remove in &change.remove {
        found.remove.insert(plan.tag(remove.tag).to_string(), cause(remove.cause));
    }
    found.value = found.value.take().or(change.value.map(|value| (value.to, cause(value.cause))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_are_those_of_the_reference(seed in any::<u64>()) {
        let world = World::random(seed);
        match (planned(&world), reference::expected(&world)) {
            (Ok(plan), Ok(expected)) => prop_assert_eq!(found(&world, &plan), expected, "{:#?}", world),
            (Err(conflicts), Err(expected)) => prop_assert_eq!(conflicts, expected, "{:#?}", world),
            (ours, theirs) => prop_assert!(false, "{:?} but {:?} in {:#?}", ours.map(|plan| found(&world, &plan)), theirs, world),
        }
    }

    #[test]
    fn a_plan_applied_and_planned_again_is_empty(seed in any::<u64>()) {
        let mut world = World::random(seed);
        world.history = History::default();
        if let Ok(plan) = planned(&world) {
            world.apply(&plan);
            let again = planned(&world).expect("applying a plan makes no conflict");
            prop_assert!(again.changes.is_empty(), "{:?} in {:#?}", found(&world, &again), world);
        }
    }

    #[test]
    fn tags_that_nobody_claims_or_names_are_never_touched(seed in any::<u64>()) {
        let world = World::random(seed);
        if let Ok(plan) = planned(&world) {
            let all = plan.withheld.iter().flat_map(|group| &group.devices).chain(&plan.changes);
            for remove in all.flat_map(|change| &change.remove) {
                let tag = plan.tag(remove.tag);
                prop_assert!(reference::is_removable(&world, tag), "{} in {:#?}", tag, world);
            }
        }
    }

    #[test]
    fn plans_are_ordered_and_name_no_device_twice(seed in any::<u64>()) {
        let world = World::random(seed);
        if let Ok(plan) = planned(&world) {
            prop_assert!(plan.changes.is_sorted_by(|one, other| one.id < other.id));
            for change in &plan.changes {
                prop_assert!(!change.is_empty());
                for tags in [&change.add, &change.remove] {
                    prop_assert!(tags.is_sorted_by(|one, other| plan.tag(one.tag) < plan.tag(other.tag)));
                }
            }
        }
    }

    #[test]
    fn a_plan_survives_its_document(seed in any::<u64>()) {
        let world = World::random(seed);
        if let Ok(plan) = planned(&world) {
            let plan = match SafePlan::new(plan, &world.policy.guard, &[], &world.sources()) {
                Ok(safe) => safe.plan().clone(),
                Err(refused) => refused.plan,
            };
            let text = document::written(&plan);
            let read = document::read(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(found_changes(&world, &read), found_changes(&world, &plan));
            prop_assert_eq!(&read.guard, &plan.guard);
            prop_assert_eq!(&read.header, &plan.header);
            prop_assert_eq!(&read.schedule, &plan.schedule);
            // A file keeps only samples of withheld devices, so the second text is compared with that in mind.
            prop_assert_eq!(document::written(&read), text);
        }
    }

    #[test]
    fn what_is_written_of_a_change_is_its_form_and_canonical(seed in any::<u64>(), is_drift in any::<bool>()) {
        if let Ok(plan) = planned(&World::random(seed)) {
            let mut text = Vec::new();
            document::write_open(&plan, is_drift, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap() + "}";
            prop_assert!(document::read(&text).is_ok(), "the digest is that of the text");
            let lines = text.lines().filter_map(|line| line.strip_prefix("    {\"add\":"));
            let lines: Vec<String> = lines.map(|rest| format!("{{\"add\":{}", rest.trim_end_matches(','))).collect();
            prop_assert_eq!(lines.len(), plan.changes.len());
            for line in lines {
                let form: document::ChangeLine = serde_json::from_str(&line).unwrap();
                prop_assert_eq!(&serde_json::to_string(&form).unwrap(), &line);
                prop_assert_eq!(digest::canonical(&line, &[]).unwrap(), line);
            }
        }
    }

    #[test]
    fn a_plan_intersected_with_itself_is_itself(seed in any::<u64>()) {
        let world = World::random(seed);
        if let Ok(plan) = planned(&world) {
            let snapshot = world.snapshot();
            let same = stale::intersect(&plan, plan.clone(), &snapshot, Some(&replacement::Replacements::new(&world.policy, world.case)));
            prop_assert_eq!(&same.plan.changes, &plan.changes);
            prop_assert!(same.dropped.is_empty() && same.unreviewed == 0);
        }
    }
}

fn found_changes(world: &World, plan: &Plan) -> BTreeMap<usize, ReferenceChanges> {
    found(world, &Plan { withheld: Vec::new(), pending: Vec::new(), ..plan.clone() }).changes
}
