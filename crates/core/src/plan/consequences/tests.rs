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

/// Forty servers that the file puts into `Servers`, of which the service reports `differ` elsewhere; the plan tags all of them.
fn all_written(differ: usize, history: &History) -> Consequences {
    let policy = "version: 1\ndeviceGroups: { file: groups.yaml }\nrules:\n  - { name: all, select: { everything: true }, tags: [Seen, Tier0] }\n";
    let group = |id: usize| if id < differ { "Elsewhere" } else { "Servers" };
    let fleet: Vec<String> = (0..40).map(|id| server(id, "", group(id))).collect();
    planned(policy, &fleet, history).plan.groups.unwrap()
}

#[test]
fn a_wrong_file_is_found_by_a_plan_that_changes_every_device() {
    let all = History::default();
    let right = all_written(2, &all).check;
    assert_eq!((right.of, right.changed, right.reliable), (0, ComparedDevices { differ: 2, of: 40 }, true));
    let wrong = all_written(3, &all);
    assert_eq!((wrong.check.differ, wrong.check.changed.differ, wrong.check.reliable), (0, 3, false));
    assert_eq!(wrong.check.sample[0], "s0.lab: reported in Elsewhere, predicted in Servers");
    assert_eq!(wrong.moves[0].unreliable, [MoveDoubt::LiveGroups]);
}

#[test]
fn devices_that_the_plan_changes_do_not_thin_out_what_the_others_say() {
    // 2 of 20 that nobody touches are wrong, and 2 of 120 in all.
    let mut fleet: Vec<String> = (0..20).map(|id| server(id, "", "Servers")).collect();
    fleet[..2].iter_mut().for_each(|device| *device = device.replace("\"Servers\"", "\"Elsewhere\""));
    fleet.extend((20..120).map(|id| server(id, r#""Tier0""#, "Tier-0 servers")));
    let check = planned(TAKES_TIER0, &fleet, &History::default()).plan.groups.unwrap().check;
    assert_eq!((check.differ, check.of, check.changed), (2, 20, ComparedDevices { differ: 0, of: 100 }));
    assert!(!check.reliable);
}

#[test]
fn groups_that_the_check_hardly_sees_are_named_where_the_plan_moves_devices() {
    let mut history = History::default();
    history.written_lately.extend((0..20).map(|id| format!("s{id:04}").into()));
    assert_eq!(all_written(0, &history).check.hardly_checked, [], "half are compared");
    history.written_lately.insert("s0020".into());
    let check = all_written(40, &history).check;
    let servers = HardlyChecked { name: "Servers".to_owned(), left_out: 21, devices: 40 };
    assert_eq!((check.left_out, check.hardly_checked), (21, vec![servers]));
    let policy = TAKES_TIER0.replace("claims: [Tier0]", "claims: [Other]").replace("[Tier0]", "[Other]");
    let fleet: Vec<String> = (0..40).map(|id| server(id, "", "Servers")).collect();
    let check = planned(&policy, &fleet, &history).plan.groups.unwrap().check;
    assert_eq!((check.left_out, check.hardly_checked), (21, vec![]), "nothing moves");
}

#[test]
fn of_many_tags_that_move_devices_the_first_ten_by_name_are_named() {
    let tags: Vec<String> = (0..15).rev().map(|number| format!("t/{number:02}")).collect();
    let rules: String = tags
        .iter()
        .enumerate()
        .map(|(at, tag)| {
            format!("  - {{ name: r{at}, select: {{ computerDnsName: s{at}.lab }}, tags: [{tag}] }}\n")
        })
        .collect();
    let policy = format!("version: 1\ndeviceGroups: {{ file: groups.yaml }}\nrules:\n{rules}");
    let groups = GROUPS.replace("{ equals: Tier0 }", "{ startsWith: t/ }");
    let fleet: Vec<String> = (0..15).map(|id| server(id, "", "Servers")).collect();
    let planned = planned_in(&groups, &policy, TagCase::Exact, &fleet, &History::default());
    let moves = planned.plan.groups.unwrap().moves;
    let expected: Vec<String> = (0..10).map(|number| format!("+t/{number:02}")).collect();
    assert_eq!((moves.len(), moves[0].devices, &moves[0].tags), (1, 15, &expected));
}

#[test]
fn a_group_that_nobody_can_predict_proves_nothing_whether_it_is_predicted_or_reported() {
    let groups = format!("{GROUPS}  - {{ name: Lab, when: {{ os: [{{ in: [BeOS, Windows11] }}] }} }}\n");
    let client = |id: usize, group: &str| server(id, "", group).replace("WindowsServer2022", "Windows11");
    let fleet = [server(0, "", "Servers"), server(1, "", "Lab"), client(2, "Lab"), client(3, "Servers")];
    let planned = planned_in(&groups, TAKES_TIER0, TagCase::Exact, &fleet, &History::default());
    let check = planned.plan.groups.unwrap().check;
    assert_eq!((check.differ, check.of, check.left_out), (0, 1, 3), "{check:?}");
}

#[test]
fn an_invariant_on_the_ungrouped_devices_counts_those_that_the_service_reports_in_no_group() {
    // Nothing is as the file says: the worst case counts, and the ungrouped devices are those without a live name.
    let policy = TAKES_TIER0
        .replace("floor: 2 }", "floor: 99 }")
        .replace("guard:\n", "guard:\n  invariants: [{ name: few, group: ungrouped, atMost: 2 }]\n");
    let fleet: Vec<String> = (0..3).map(|id| server(id, "", "")).chain([server(3, "", "Servers")]).collect();
    let groups = planned(&policy, &fleet, &History::default()).plan.groups.unwrap();
    assert!(!groups.check.reliable, "{:?}", groups.check);
    let [bounds] = groups.bounds.as_slice() else { panic!("{:?}", groups.bounds) };
    assert_eq!((bounds.before, bounds.least, bounds.most), (0, 0, 3));
}

#[test]
fn moves_that_widen_access_or_raise_remediation_stand_before_larger_ones() {
    let groups = "
groups:
  - { name: Tier-0, remediation: none, access: [SOC tier 2], when: { tag: [{ equals: Tier0 }] } }
  - { name: Lab, remediation: none, access: [SOC tier 2], when: { tag: [{ equals: Lab }] } }
  - { name: Other, remediation: none, access: [SOC tier 2], when: { os: [{ startsWith: WindowsServer }] } }
  - { name: Open, remediation: full, when: { os: [{ equals: Windows11 }] } }
";
    let policy = "version: 1\nclaims: [Tier0, Lab]\ndeviceGroups: { file: groups.yaml }\nguard: { caps: { removals: { percent: 100 }, removalsPerTag: { percent: 100 } } }\n\
                  rules:\n  - { name: none, select: { osPlatform: BeOS }, tags: [Tier0, Lab] }\n";
    let mut fleet: Vec<String> = (0..9).map(|id| server(id, r#""Lab""#, "Lab")).collect();
    fleet.push(server(9, r#""Tier0""#, "Tier-0").replace("WindowsServer2022", "Windows11"));
    let planned = planned_in(groups, policy, TagCase::Exact, &fleet, &History::default());
    let moves = planned.plan.groups.unwrap().moves;
    let moves: Vec<(&str, u64)> = moves.iter().map(|one| (&*one.to, one.devices)).collect();
    assert_eq!(moves, [("Open", 1), ("Other", 9)]);
}
