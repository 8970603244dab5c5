//! The effects of a plan, from policy text and devices to the guard's verdict.

use std::sync::Arc;

use super::*;
use crate::desired;
use crate::diagnostic::{Severity, Source, Sources};
use crate::inventory::SnapshotBuilder;
use crate::plan::{self, Header, History, SafePlan};
use crate::policy;
use crate::selection::{self, HuntingResults};
use crate::tag::TagCase;
use crate::time::Timestamp;

const GROUPS: &str = "
groups:
  - { name: Tier-0 servers, remediation: none, access: [SOC tier 2], when: { tag: [{ equals: Tier0 }] } }
  - { name: Servers, remediation: full, access: [SOC tier 1, SOC tier 2], when: { os: [{ startsWith: WindowsServer }] } }
";

fn sources(policy: &str, groups: &str) -> Sources {
    let mut sources =
        Sources { files: vec![Source::new("p.yaml", 0, "p.yaml", policy)], ..Sources::default() };
    sources.data.insert((0, "groups.yaml".to_owned()), Ok(Arc::from(groups.as_bytes())));
    sources
}

struct Planned {
    plan: Plan,
    verdict: Result<SafePlan, Box<plan::Refused>>,
}

fn planned(policy_text: &str, devices: &[String], history: &History) -> Planned {
    planned_under(policy_text, TagCase::Exact, devices, history)
}

/// The plan alone, for tests of other modules.
pub(in crate::plan) fn planned_with(policy_text: &str, case: TagCase, devices: &[String]) -> Plan {
    planned_under(policy_text, case, devices, &History::default()).plan
}

fn planned_under(policy_text: &str, case: TagCase, devices: &[String], history: &History) -> Planned {
    planned_in(GROUPS, policy_text, case, devices, history)
}

fn planned_in(
    groups: &str,
    policy_text: &str,
    case: TagCase,
    devices: &[String],
    history: &History,
) -> Planned {
    let now = Timestamp::parse("2026-11-24").unwrap();
    let sources = sources(policy_text, groups);
    let (policy, findings) = policy::resolve(&sources, case, now);
    assert!(findings.iter().all(|finding| finding.severity != Severity::Error), "{findings:?}");
    let mut builder = SnapshotBuilder::new();
    devices.iter().for_each(|device| builder.read_device(device.as_bytes()).unwrap());
    let snapshot = builder.finish().0;
    let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desired::desire(&policy, &snapshot, &selections, now).unwrap();
    let plan = plan::diff(&desired, history, Header::default(), &sources);
    let verdict = SafePlan::new(plan.clone(), &policy.guard, &[], &sources);
    Planned { plan, verdict }
}

pub(in crate::plan) fn server(id: usize, tags: &str, group: &str) -> String {
    format!(
        r#"{{"id":"s{id:04}","computerDnsName":"s{id}.lab","osPlatform":"WindowsServer2022","deviceValue":"Normal","machineTags":[{tags}],"rbacGroupName":"{group}"}}"#
    )
}

const TAKES_TIER0: &str = "version: 1\nclaims: [Tier0]\ndeviceGroups: { file: groups.yaml }\nguard:\n  caps: { removals: { percent: 100 }, removalsPerTag: { percent: 100 }, devices: { percent: 100 }, groupMoves: { percent: 0, floor: 2 } }\nrules:\n  - { name: none, select: { osPlatform: BeOS }, tags: [Tier0] }\n";

#[test]
fn a_move_says_what_happens_to_remediation_and_to_who_sees_the_devices() {
    let fleet: Vec<String> = (0..3).map(|id| server(id, r#""Tier0""#, "Tier-0 servers")).collect();
    let planned = planned(TAKES_TIER0, &fleet, &History::default());
    let groups = planned.plan.groups.expect("the policy names device groups");
    assert_eq!(groups.predicted, 3);
    let [only] = groups.moves.as_slice() else { panic!("{:?}", groups.moves) };
    assert_eq!((&*only.from, &*only.to, only.devices), ("Tier-0 servers", "Servers", 3));
    assert_eq!(only.tags, ["-Tier0"]);
    assert_eq!(only.remediation, RemediationChange::Rises);
    assert_eq!((only.gain.as_slice(), only.lose.len()), (["SOC tier 1".to_owned()].as_slice(), 0));
    assert_eq!(only.sample, ["s0.lab", "s1.lab", "s2.lab"]);
    assert_eq!(groups.before[0].devices, 3);
    assert_eq!(groups.after.iter().map(|group| group.devices).collect::<Vec<_>>(), [0, 3, 0]);
    let refused = planned.verdict.expect_err("three moves are over the cap of two");
    let axis = refused.plan.guard.axes.iter().find(|axis| axis.is_exceeded()).unwrap();
    assert_eq!((axis.axis, axis.planned, axis.allowed, axis.base), (policy::Axis::GroupMoves, 3, 2, 3));
}

#[test]
fn a_file_that_the_live_groups_contradict_is_judged_by_every_possible_move() {
    // Tier0 is removed from one device that in truth is not in a higher group; twenty others are in another group than predicted.
    let mut fleet: Vec<String> = (0..20).map(|id| server(id, "", "Somewhere else")).collect();
    fleet.push(server(20, r#""Tier0""#, "Tier-0 servers"));
    let planned = planned(TAKES_TIER0, &fleet, &History::default());
    let groups = planned.plan.groups.unwrap();
    assert_eq!((groups.check.differ, groups.check.of, groups.check.reliable), (20, 20, false));
    assert_eq!(groups.check.sample[0], "s0.lab: reported in Somewhere else, predicted in Servers");
    assert_eq!((groups.predicted, groups.possible, groups.judged_moves()), (1, 1, 1));
}

#[test]
fn a_move_says_why_it_cannot_be_relied_on() {
    let doubts = |fleet: &[String], groups: &str| -> Vec<Vec<MoveDoubt>> {
        let planned = planned_in(groups, TAKES_TIER0, TagCase::Exact, fleet, &History::default());
        planned.plan.groups.unwrap().moves.into_iter().map(|one| one.unreliable).collect()
    };
    let moving = server(20, r#""Tier0""#, "Tier-0 servers");
    assert_eq!(doubts(std::slice::from_ref(&moving), GROUPS), [[]]);
    let contradicted: Vec<String> =
        (0..20).map(|id| server(id, "", "Elsewhere")).chain([moving.clone()]).collect();
    assert_eq!(doubts(&contradicted, GROUPS), [[MoveDoubt::LiveGroups]]);
    let from = GROUPS.replace("when: { tag", "when: { os: [{ in: [BeOS, WindowsServer2022] }], tag");
    assert_eq!(doubts(std::slice::from_ref(&moving), &from), [[MoveDoubt::From]]);
    let to = GROUPS.replace("{ startsWith: WindowsServer }", "{ in: [BeOS, WindowsServer2022] }");
    assert_eq!(doubts(std::slice::from_ref(&moving), &to), [[MoveDoubt::To]]);
}

#[test]
fn devices_written_lately_prove_nothing_about_the_file() {
    let fleet = [server(0, r#""Old""#, "Tier-0 servers"), server(1, "", "Servers")];
    let mut history = History::default();
    history.written_lately.insert("s0000".into());
    let groups = planned(TAKES_TIER0, &fleet, &history).plan.groups.unwrap();
    assert_eq!((groups.check.differ, groups.check.of, groups.check.reliable), (0, 1, true));
    let groups = planned(TAKES_TIER0, &fleet, &History::default()).plan.groups.unwrap();
    assert_eq!((groups.check.differ, groups.check.of), (1, 2));
}

#[test]
fn an_invariant_keeps_devices_in_a_group() {
    let policy = format!(
        "{}\n",
        TAKES_TIER0
            .replace(
                "guard:\n",
                "guard:\n  invariants: [{ name: tier0, group: Tier-0 servers, atLeast: 2 }]\n"
            )
            .replace("floor: 2", "floor: 9")
    );
    let fleet: Vec<String> = (0..3).map(|id| server(id, r#""Tier0""#, "Tier-0 servers")).collect();
    let refused =
        planned(&policy, &fleet, &History::default()).verdict.expect_err("nobody stays in the group");
    let invariant = &refused.plan.guard.invariants[0];
    assert_eq!((invariant.before, invariant.after, invariant.refuses), (3, 0, true));
    assert_eq!(invariant.demand, "at least 2 devices are in the device group Tier-0 servers");
}

#[test]
fn the_weight_in_the_exposure_score_follows_the_values() {
    let policy = "version: 1\ndeviceGroups: { file: groups.yaml }\nrules:\n  - { name: high, select: { computerDnsName: s0.lab }, deviceValue: High }\n";
    let fleet: Vec<String> = (0..4).map(|id| server(id, "", "Servers")).collect();
    let groups = planned(policy, &fleet, &History::default()).plan.groups.unwrap();
    assert_eq!(groups.exposure, Exposure { before: 400, after: 340 });
    assert_eq!(groups.predicted, 0);
}

#[test]
fn without_device_groups_a_plan_says_nothing_of_them() {
    let planned = planned(
        "version: 1\nrules:\n  - { name: a, select: { everything: true }, tags: [A] }\n",
        &[server(0, "", "x")],
        &History::default(),
    );
    assert_eq!(planned.plan.groups, None);
    assert!(
        planned.verdict.unwrap().plan().guard.axes.iter().all(|axis| axis.axis != policy::Axis::GroupMoves)
    );
}

#[test]
fn each_distinct_name_of_a_live_group_is_compared_whatever_its_spelling() {
    let names = ["SERVERS", "Servers", "UnassignedGroup", "Elsewhere", "Elsewhere", ""];
    let fleet: Vec<String> = (0..).zip(names).map(|(id, name)| server(id, "", name)).collect();
    let check = planned(TAKES_TIER0, &fleet, &History::default()).plan.groups.unwrap().check;
    assert_eq!((check.differ, check.of), (4, 6), "{check:?}");
    let told = |id: usize, name: &str| format!("s{id}.lab: reported in {name}, predicted in Servers");
    assert_eq!(check.sample, [told(2, "UnassignedGroup"), told(3, "Elsewhere"), told(4, "Elsewhere")]);
}
