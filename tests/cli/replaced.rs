//! A tag stays until its replacement is on the device, whoever removed the replacement.

use std::time::Duration;

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{LOOSE, device};

const APPLY: [&str; 7] =
    ["apply", "--sandbox", "--auto-approve", "--format", "json", "--sandbox-speed", "600"];

/// Three devices with these tags, and a policy that replaces them.
fn tenant(owned: &str, wanted: &str, live: &[&str]) -> Project {
    let project = Project::with_policy(&format!(
        "version: 1\nscope: {{ everything: true }}\n{owned}\nrules:\n  - name: all\n    select: {{ everything: true }}\n    tags: [{wanted}]\n{LOOSE}"
    ));
    project.devices(0);
    put(&project, live);
    project
}

/// Gives the devices these tags, as a person would.
fn put(project: &Project, tags: &[&str]) {
    let devices: Vec<Value> = (0..3).map(|number| device(number, json!(tags))).collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
}

fn tags(project: &Project) -> Vec<Vec<String>> {
    project.fleet().into_values().map(|(tags, _)| tags).collect()
}

fn apply(project: &Project, extra: &[&str], code: i32) -> Value {
    let ran = project.run(&[&APPLY[..], extra].concat()).exits(code);
    ran.is_for_people();
    ran.json()
}

fn six_hours_later(project: &Project) {
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(6 * 3_600 + 60)).unwrap());
}

#[test]
fn four_runs_against_a_service_that_folds_case_leave_the_other_spelling_alone() {
    let fold = ["--sandbox-fault", "tag_case=insensitive_keep_first"];
    let project = tenant("claims: [TIER0, Tier0]", "TIER0", &["Tier0"]);
    for run in 1..=4 {
        let document = apply(&project, &fold, 4);
        assert_eq!(tags(&project), vec![vec!["Tier0"]; 3], "run {run}: {document}");
        assert_eq!(document["outcomes"]["done"], 0, "run {run}: {document}");
        if run == 4 {
            let reasons: Vec<&str> = document["withheld"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|one| one["reason"].as_str())
                .collect();
            assert_eq!(reasons, ["contested", "unconfirmed"], "{document}");
        }
        six_hours_later(&project);
    }
}

#[test]
fn an_addition_that_somebody_takes_away_three_times_holds_what_its_family_loses() {
    let project = tenant("families: { group: [grp-b, grp-a] }", "grp-b", &[]);
    for _ in 0..3 {
        let document = apply(&project, &[], 0);
        assert_eq!(document["outcomes"]["done"], 3, "{document}");
        put(&project, &[]);
        six_hours_later(&project);
    }
    put(&project, &["grp-a"]);
    let document = apply(&project, &[], 4);
    assert_eq!(document["withheld"][1]["reason"], "unconfirmed", "{document}");
    assert_eq!(
        (&document["withheld"][1]["name"], &document["withheld"][1]["removals"]),
        (&"grp-b".into(), &3.into())
    );
    assert_eq!(tags(&project), vec![vec!["grp-a"]; 3]);
}

#[test]
fn a_reviewed_removal_waits_where_a_person_took_the_wanted_tag_away_since() {
    let project = tenant("claims: [\"grp-*\"]", "grp-b", &["grp-a", "grp-b"]);
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    put(&project, &["grp-a"]);
    let words = ["apply", "plan.json", "--sandbox", "--format", "json", "--sandbox-speed", "600"];
    let document = project.run(&words).exits(5).json();
    assert_eq!(document["outcomes"]["unconfirmed"], 3, "{document}");
    assert_eq!(tags(&project), vec![vec!["grp-a"]; 3]);
    apply(&project, &[], 0);
    assert_eq!(tags(&project), vec![vec!["grp-b"]; 3]);
}

#[test]
fn a_resumed_run_removes_nothing_on_the_strength_of_an_addition_that_a_person_undid() {
    for is_killed in [false, true] {
        let project = tenant("claims: [\"grp-*\"]", "grp-b", &["grp-a"]);
        if is_killed {
            let refused = ["--sandbox-fault", "html_502=bulkTag:2-1000"];
            let mut child = project.start(&[&APPLY[..5], &refused].concat());
            // A header, the addition and its answer, and the removal, which no try carries out.
            project.wait_for_lines(&mut child, 4);
            let _ = child.kill();
            child.wait().unwrap();
        } else {
            apply(&project, &["--max-calls", "1"], 5);
        }
        assert_eq!(tags(&project), vec![vec!["grp-a", "grp-b"]; 3]);
        put(&project, &["grp-a"]);
        let resumed =
            project.run(&["apply", "--resume", "--sandbox", "--format", "json", "--sandbox-speed", "600"]);
        assert_eq!(tags(&project), vec![vec!["grp-a"]; 3], "{resumed:?}");
        resumed.exits(5);
        // For an hour the list may just be late; after that, a person's edit is planned against.
        six_hours_later(&project);
        apply(&project, &[], 0);
        assert_eq!(tags(&project), vec![vec!["grp-b"]; 3]);
    }
}
