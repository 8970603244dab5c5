//! Contested changes that `guard.accept` names.

use serde_json::json;

use super::*;
use crate::device::DeviceValue;
use crate::diagnostic::Sources;
use crate::policy;
use crate::selection::{self, HuntingResults};
use crate::time::Timestamp;

const OTHERS: &str =
    "claims: [Old, Older]\nrules: [{ name: low, select: { osPlatform: Linux }, deviceValue: Low }]\n";

/// The plan for a Linux device and a Windows device whose tags another origin holds, on 2026-11-22.
fn plan_of(accept: &str, with_value: bool) -> Plan {
    let sources =
        Sources::from_text("p.yaml", &format!("version: 1\n{OTHERS}guard:\n  accept: [{accept}]\n"));
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let (policy, findings) = policy::resolve(&sources, TagCase::Exact, now);
    assert!(!findings.iter().any(|one| one.severity == crate::diagnostic::Severity::Error), "{findings:?}");
    let device = |platform: &str, value: &str| json!({ "osPlatform": platform, "machineTags": ["Old", "Older"], "deviceValue": value });
    let value = if with_value { "High" } else { "Low" };
    let snapshot = crate::inventory::fleet(&[device("Linux", value), device("Windows11", "Normal")]);
    let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    let mut history = History::default();
    let mut contest = |device: &str, what: ChangeWhat| {
        history.contested.insert(ChangeKey { device: device.into(), what }, "another origin".to_owned());
    };
    for device in ["d0", "d1"] {
        contest(device, ChangeWhat::Remove("Old".into()));
        contest(device, ChangeWhat::Remove("Older".into()));
    }
    contest("d0", ChangeWhat::Value(DeviceValue::Low));
    diff(&desired, &history, Header::default(), &sources)
}

/// Number of accepted contested changes, until when, and number of the others.
fn accepted(accept: &str) -> (u64, Option<String>, u64) {
    let plan = plan_of(accept, false);
    let [group] = plan.withheld.as_slice() else { panic!("{:?}", plan.withheld) };
    assert_eq!((plan.changes.len(), group.removals), (0, 4), "what is accepted stays contested");
    assert_eq!(plan.has_unaccepted(), group.unaccepted() > 0);
    let changes = group.accepted.map_or(0, |accepted| accepted.changes);
    (changes, group.accepted.map(|accepted| accepted.until.to_string()), group.unaccepted())
}

#[test]
fn an_acceptance_names_contested_changes_by_tag_and_device() {
    let until = |day: &str| Some(day.to_owned());
    assert_eq!(accepted(""), (0, None, 4));
    assert_eq!(accepted("{ tag: Old, reason: r, expires: 2026-12-01 }"), (2, until("2026-12-01"), 2));
    assert_eq!(accepted("{ tag: \"Old*\", reason: r, expires: 2026-12-01 }"), (4, until("2026-12-01"), 0));
    let linux = "{ tag: \"Old*\", select: { osPlatform: Linux }, reason: r, expires: 2026-12-01 }";
    assert_eq!(accepted(linux), (2, until("2026-12-01"), 2));
    assert_eq!(accepted("{ tag: Other, reason: r, expires: 2026-12-01 }"), (0, None, 4));
    // Of two entries for a change, the later day counts; of a group, the earliest day on which some change is no longer accepted.
    let both = format!("{linux}, {{ tag: \"Old*\", reason: r, expires: 2026-11-25 }}");
    assert_eq!(accepted(&both), (4, until("2026-11-25"), 0));
    let twice = format!("{linux}, {}", linux.replace("12-01", "11-25"));
    assert_eq!(accepted(&twice), (2, until("2026-12-01"), 2));
}

#[test]
fn an_acceptance_counts_through_its_last_day_and_at_most_90_days_ahead() {
    for (day, changes) in [("2026-11-21", 0), ("2026-11-22", 2), ("2027-02-20", 2), ("2027-02-21", 0)] {
        assert_eq!(accepted(&format!("{{ tag: Old, reason: r, expires: {day} }}")).0, changes, "{day}");
    }
}

#[test]
fn no_acceptance_names_a_value() {
    let plan = plan_of("{ tag: \"Old*\", reason: r, expires: 2026-12-01 }", true);
    assert!(plan.has_unaccepted());
    assert_eq!((plan.withheld[0].values, plan.withheld[0].unaccepted()), (1, 1));
}

#[test]
fn a_plan_file_keeps_what_is_accepted() {
    let plan = plan_of("{ tag: Old, reason: r, expires: 2026-12-01 }", false);
    let read = document::read(&document::written(&plan)).unwrap();
    assert!(read.withheld[0].accepted.is_some());
    assert_eq!(read.withheld[0].accepted, plan.withheld[0].accepted);
}
