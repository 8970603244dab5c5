//! The repository's own policies on the sandbox's fleet: they pass their own guard, settle in one run, and leave unowned tags
//! alone.
//!
//! Applies changes to the fleet's file in memory; `tests/cli` tests the way through HTTP.

use std::collections::BTreeMap;

use mdetag::store::policy_files;
use mdetag_core::inventory::SnapshotBuilder;
use mdetag_core::plan::Plan;
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;
use mdetag_core::{plan, policy};
use mdetag_sandbox::{self as sandbox, FleetFile};
use serde_json::Value;

use super::planning::{self, PolicySet};

const NOW: &str = "2026-11-24T12:00:00Z";

fn now() -> Timestamp {
    Timestamp::parse(NOW).expect("a time")
}

fn policy_set(folder: &str) -> PolicySet {
    // Tests run in the package's root.
    let files = policy_files::read(&[folder.into()], std::path::Path::new("."));
    let (policy, findings) = policy::resolve(&files.policy, TagCase::Exact, now());
    assert!(!planning::has_errors(&findings), "{findings:?}");
    PolicySet { sources: files.policy, policy, findings, reference: plan::PolicyReference::default() }
}

/// A fleet as the API's objects, by id.
fn fleet(devices: u64, seed: u64) -> BTreeMap<String, Value> {
    let mut bytes = Vec::new();
    let file = FleetFile { devices, seed, created: now(), header: false };
    sandbox::generate(&mut bytes, &file).expect("writing to memory does not fail");
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let objects = lines.map(|line| serde_json::from_slice::<Value>(line).expect("a line is an object"));
    objects.map(|object| (object["id"].as_str().expect("a device has an id").to_owned(), object)).collect()
}

/// The plan for a fleet, and whether it passed the guard.
fn planned(set: &PolicySet, fleet: &BTreeMap<String, Value>) -> (Plan, bool) {
    let mut builder = SnapshotBuilder::new();
    for device in fleet.values() {
        builder.read_device(device.to_string().as_bytes()).expect("a device is read");
    }
    let (snapshot, _) = builder.finish();
    let planned = planning::first_plan(set, snapshot, now());
    (planned.plan().clone(), planned.verdict.is_ok())
}

fn apply(plan: &Plan, fleet: &mut BTreeMap<String, Value>) {
    for change in &plan.changes {
        let device = fleet.get_mut(&*change.id).expect("a plan names devices of the fleet");
        let tags = device["machineTags"].as_array_mut().expect("tags are a list");
        let tag = |index: plan::TagIndex| &*plan.tags[index.0 as usize];
        tags.extend(change.add.iter().map(|added| Value::from(tag(added.tag))));
        tags.retain(|live| !change.remove.iter().any(|removed| live == tag(removed.tag)));
        if let Some(value) = change.value {
            device["deviceValue"] = Value::from(value.to.word());
        }
    }
}

fn settles_within_its_guard(folder: &str, devices: u64) {
    let set = policy_set(folder);
    for seed in 1..=3 {
        let mut fleet = fleet(devices, seed);
        let (first, is_safe) = planned(&set, &fleet);
        assert!(!first.changes.is_empty(), "{folder}, seed {seed}: nothing to show");
        assert!(is_safe, "{folder}, seed {seed}: {:?}", first.guard);
        apply(&first, &mut fleet);
        let (second, _) = planned(&set, &fleet);
        assert_eq!(second.changes, [], "{folder}, seed {seed}: a second run finds work");
    }
}

#[test]
fn the_reference_set_passes_its_own_guard_and_settles_in_one_run() {
    settles_within_its_guard("policies", 2_000);
}

#[test]
fn the_quickstart_passes_the_default_guard_and_settles_in_one_run() {
    settles_within_its_guard("examples/quickstart/policies", 2_000);
}

#[test]
fn the_example_of_consequences_passes_its_own_guard_and_settles_in_one_run() {
    settles_within_its_guard("examples/consequences/policies", 2_000);
}

#[test]
fn the_first_run_fits_into_the_first_minute_of_the_budget() {
    let (plan, _) = planned(&policy_set("policies"), &fleet(2_000, 1));
    assert_eq!(plan.schedule.seconds, 0, "the README's first command would wait: {:?}", plan.schedule);
}

#[test]
fn tags_that_nobody_claims_survive_the_reference_set() {
    let set = policy_set("policies");
    let mut fleet = fleet(2_000, 1);
    let foreign = |fleet: &BTreeMap<String, Value>| {
        let owned = |tag: &str| set.policy.claims_tag(tag);
        let tags = fleet.values().flat_map(|device| device["machineTags"].as_array().into_iter().flatten());
        tags.filter(|tag| !owned(tag.as_str().unwrap_or(""))).count()
    };
    let before = foreign(&fleet);
    let (plan, _) = planned(&set, &fleet);
    apply(&plan, &mut fleet);
    assert!(before > 500);
    assert_eq!(foreign(&fleet), before);
}
