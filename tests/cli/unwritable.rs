//! Devices that the service refuses run after run: held back, shown in every report, tried again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{LOOSE, device, policy};

const APPLY: [&str; 7] =
    ["apply", "--sandbox", "--auto-approve", "--format", "json", "--sandbox-speed", "600"];

/// A service that refuses devices that are not onboarded, and whose bulk calls name no device.
const REFUSE: [&str; 4] =
    ["--sandbox-fault", "refuse=unonboarded", "--sandbox-fault", "refuse_answer=opaque"];

fn apply(project: &Project, extra: &[&str], code: i32) -> Value {
    let ran = project.run(&[&APPLY[..], &REFUSE, extra].concat()).exits(code);
    ran.is_for_people();
    ran.json()
}

/// How many changes ended so.
fn count(document: &Value, outcome: &str) -> u64 {
    document["outcomes"][outcome].as_u64().unwrap()
}

/// Changes the first devices so that the service refuses them.
fn unonboarded(project: &Project, devices: usize) {
    let devices: Vec<Value> = (0..devices)
        .map(|number| {
            let mut device = device(number, json!(["Own"]));
            device["onboardingStatus"] = "CanBeOnboarded".into();
            device
        })
        .collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
}

/// Moves the service's clock, and so the runs apart.
fn half_a_day_later(project: &Project) {
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(13 * 3_600)).unwrap());
}

#[test]
fn a_device_that_the_service_refuses_is_not_sent_for_ever() {
    let project = Project::with_policy(&policy("New", "tags: [New]"));
    project.devices(40);
    unonboarded(&project, 2);
    let apply = |extra: &[&str], code: i32| apply(&project, extra, code);
    let first = apply(&[], 4);
    assert_eq!((count(&first, "done"), count(&first, "refused")), (38, 2), "{}", first["outcomes"]);
    project.portal(|sandbox| {
        sandbox.advance(std::time::Duration::from_secs(13 * 3_600)).unwrap();
        sandbox.insert(&json!([device(50, json!(["Own"]))])).unwrap();
    });
    let second = apply(&[], 4);
    assert_eq!((count(&second, "done"), count(&second, "refused")), (1, 2), "{}", second["outcomes"]);
    let writes = || project.calls("default", "bulkTag").len() + project.calls("default", "singleTag").len();
    let sent = writes();
    let third = apply(&[], 0);
    assert_eq!(writes(), sent, "{third}");
    let held = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json()["withheld"][0].clone();
    assert_eq!((&held["reason"], &held["additions"]), (&"unwritable".into(), &2.into()), "{held}");
    assert_eq!(held["sample"].as_array().map(Vec::len), Some(2));
    assert!(held["name"].as_str().is_some_and(|reason| reason.starts_with("404")), "{held}");
    let drift = project.run(&["drift", "--sandbox", "--format", "json"]).exits(0).json();
    assert!(drift.to_string().contains("unwritable"), "{drift}");
    project.portal(|sandbox| sandbox.advance(std::time::Duration::from_secs(26 * 3_600)).unwrap());
    let later = apply(&[], 4);
    assert_eq!(count(&later, "refused"), 2, "tried again a day later: {}", later["outcomes"]);
    for number in 0..2 {
        project.portal(|sandbox| sandbox.insert(&json!([device(number, json!(["Own"]))])).unwrap());
    }
    assert_eq!(count(&apply(&["--retry-contested"], 0), "done"), 2, "they are onboarded");
}

#[test]
fn four_runs_of_which_three_have_nothing_else_to_write_make_two_refused_devices_unwritable() {
    let project = Project::with_policy(&policy("New", "tags: [New]"));
    project.devices(40);
    unonboarded(&project, 2);
    let at = |now: &str, code: i32| apply(&project, &["--now", now], code);
    let drift = |now: &str, code: i32| {
        project.run(&["drift", "--sandbox", "--format", "json", "--now", now]).exits(code).json()
    };
    let first = at("2026-11-01T00:00:00Z", 4);
    assert_eq!((count(&first, "done"), count(&first, "refused")), (38, 2), "{}", first["outcomes"]);
    assert_eq!(first["withheld"], json!([]));
    drift("2026-11-01T00:00:00Z", 2);
    let second = at("2026-11-01T12:00:00Z", 4);
    assert_eq!(count(&second, "refused"), 2, "{}", second["outcomes"]);
    drift("2026-11-01T12:00:00Z", 0);
    let (sent, later) = (project.calls("default", "singleTag").len(), "2026-11-02T06:00:00Z");
    for _ in 0..2 {
        let document = at(later, 0);
        let held = &document["withheld"][0];
        assert_eq!((&held["reason"], &held["additions"]), (&"unwritable".into(), &2.into()), "{document}");
        assert_eq!(held["until"], "2026-11-02T12:00:00Z");
        assert_eq!(held["sample"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!(project.calls("default", "singleTag").len(), sent, "they are not sent");
    for format in ["human", "markdown", "html", "junit", "sarif", "openmetrics", "json", "ndjson", "csv"] {
        let words = ["drift", "--sandbox", "--format", format, "--now", later];
        let ran = project.run(&words).exits(0);
        assert!(ran.out.contains("unwritable"), "{format}: {}", ran.out);
    }
    for format in ["human", "markdown", "html", "junit", "sarif", "openmetrics", "json"] {
        let words = ["apply", "--sandbox", "--auto-approve", "--format", format, "--now", later];
        let ran = project.run(&[&words[..], &REFUSE].concat()).exits(0);
        assert!(ran.out.contains("unwritable"), "{format}: {}", ran.out);
        let is_table = matches!(format, "openmetrics");
        assert!(is_table || ran.out.contains("2026-11-02T12:00:00Z"), "{format}: {}", ran.out);
    }
}

/// Makes devices unwritable in two runs half a day apart, each with other changes to write too.
fn make_unwritable(project: &Project) {
    for number in [900, 901] {
        project.portal(|sandbox| sandbox.insert(&json!([device(number, json!(["Own", "Old"]))])).unwrap());
        apply(project, &[], 4);
        half_a_day_later(project);
    }
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(3_600)).unwrap());
}

#[test]
fn more_than_one_in_twenty_devices_that_are_unwritable_end_each_run_with_4() {
    for (refused, code) in [(5, 0), (6, 4)] {
        let project = Project::with_policy(&policy("New", "tags: [New]"));
        project.devices(98);
        unonboarded(&project, refused);
        make_unwritable(&project);
        // Of 100 devices.
        let document = apply(&project, &[], code);
        assert_eq!(document["outcomes"]["refused"], 0, "{document}");
        assert_eq!(document["withheld"][0]["additions"], refused);
    }
}

#[test]
fn a_tag_that_cannot_be_removed_ends_each_run_with_4_where_the_policy_counts_on_its_end() {
    let groups = "deviceGroups: { file: groups.yaml }\n";
    let invariant = "  invariants: [{ name: few, tag: Old, atMost: 50 }]\n";
    let of_group = "  invariants: [{ name: few, group: Old ones, atMost: 50 }]\n";
    let ban = "rules:\n  - { name: all, select: { everything: true }, tags: [New], removeTags: [Old] }\n";
    let retire = "rules:\n  - { name: all, select: { everything: true }, tags: [New] }\nretire: [Old]\n";
    let cases = [
        ("nothing counts on it", ban, "", "", 0),
        ("retired", retire, "", "", 4),
        ("an invariant", ban, "", invariant, 4),
        ("a device group", ban, groups, "", 4),
        ("an invariant of a device group", ban, groups, of_group, 4),
    ];
    for (name, rules, groups, invariants, code) in cases {
        let text = format!("version: 1\nscope: {{ everything: true }}\n{rules}{groups}{LOOSE}{invariants}");
        let project = Project::with_policy(&text);
        if !groups.is_empty() {
            let when = "groups: [{ name: Old ones, when: { tag: [{ equals: Old }] } }]\n";
            project.write("policies/groups.yaml", when);
        }
        project.devices(40);
        let mut bad = device(0, json!(["Own", "New", "Old"]));
        bad["onboardingStatus"] = "CanBeOnboarded".into();
        project.portal(|sandbox| sandbox.insert(&json!([bad])).unwrap());
        make_unwritable(&project);
        let document = apply(&project, &[], code);
        assert_eq!(document["withheld"][0]["reason"], "unwritable", "{name}: {document}");
        assert_eq!(document["withheld"][0]["removals"], 1, "{name}: {document}");
    }
}
