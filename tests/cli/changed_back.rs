//! Changes that people undo again and again are reported with tag, devices, who and when.

use std::time::Duration;

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{device, policy};

const APPLY: [&str; 3] = ["apply", "--sandbox", "--auto-approve"];

fn project() -> Project {
    let project = Project::with_policy(&policy("", "tags: [Wanted]"));
    project.devices(0);
    take_back(&project);
    // Confirmed changes are known from the first read on.
    read_later(&project, 2);
    take_back(&project);
    project
}

/// Reads the list late enough for it to show the writes.
fn read_later(project: &Project, code: i32) {
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(2 * 3_600)).unwrap());
    project.run(&["drift", "--sandbox"]).exits(code);
}

/// Removes the tag from the devices, as a person would.
fn take_back(project: &Project) {
    let devices: Vec<Value> = (0..3).map(|number| device(number, json!([]))).collect();
    project.portal(|sandbox| {
        sandbox.advance(Duration::from_secs(2 * 3_600)).unwrap();
        sandbox.insert(&json!(devices)).unwrap();
    });
}

fn json_of(project: &Project, command: &str) -> Value {
    let code = if command == "drift" { 2 } else { 0 };
    project.run(&[command, "--sandbox", "--format", "json"]).exits(code).json()
}

#[test]
fn what_was_changed_back_twice_is_named_with_tag_devices_who_and_when() {
    let project = project();
    project.run(&APPLY).exits(0);
    read_later(&project, 0);
    take_back(&project);
    assert_eq!(json_of(&project, "plan")["state"].get("changedBack"), None, "once says nothing");
    let second = project.run(&[&APPLY[..], &["--format", "json"]].concat()).exits(0).json();
    read_later(&project, 0);
    take_back(&project);
    for command in ["plan", "drift"] {
        let document = json_of(&project, command);
        let found = &document["state"]["changedBack"][0];
        assert_eq!((&found["tag"], &found["action"]), (&json!("Wanted"), &json!("add")), "{document}");
        assert_eq!((&found["devices"], &found["times"]), (&json!(3), &json!(2)), "{document}");
        assert_eq!(found["sample"].as_array().unwrap().len(), 3);
        assert_eq!(found["who"], "a person or another tool");
        assert_eq!(found["after"][0]["run"], second["runId"], "{document}");
        assert_eq!(found["after"].as_array().unwrap().len(), 2, "{document}");
        for format in ["human", "markdown", "html"] {
            let code = if command == "drift" { 2 } else { 0 };
            let shown = project.run(&[command, "--sandbox", "--format", format]).exits(code).out;
            let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in [
                "changed back at least twice: Wanted on 3 devices",
                "by a person or another tool",
                "after run",
            ] {
                assert!(words.contains(part), "{command} {format} lacks `{part}`: {shown}");
            }
        }
    }
}

#[test]
fn what_runs_took_back_themselves_was_changed_back_by_nobody() {
    let project = project();
    let mut run = String::new();
    for _ in 0..2 {
        if !run.is_empty() {
            project.run(&["revert", &run, "--output", "back.json", "--sandbox"]).exits(0);
            project.run(&["apply", "back.json", "--sandbox", "--auto-approve"]).exits(0);
        }
        let again = [&APPLY[..], &["--after-revert", "--format", "json"]].concat();
        run = project.run(&again).exits(0).json()["runId"].as_str().unwrap().to_owned();
        read_later(&project, 0);
    }
    take_back(&project);
    assert_eq!(json_of(&project, "plan")["state"].get("changedBack"), None);
}

#[test]
fn values_and_removals_that_were_changed_back_are_named_too() {
    let project = Project::with_policy(&policy("Old", "deviceValue: High"));
    project.devices(0);
    let put_back = || {
        project.portal(|sandbox| {
            sandbox.advance(Duration::from_secs(2 * 3_600)).unwrap();
            sandbox.insert(&json!([device(0, json!(["Old"]))])).unwrap();
        });
    };
    put_back();
    for _ in 0..2 {
        project.run(&APPLY).exits(0);
        put_back();
    }
    let document = json_of(&project, "plan");
    let found = document["state"]["changedBack"].as_array().unwrap();
    let named: Vec<(&str, &str)> = found
        .iter()
        .map(|found| (found["action"].as_str().unwrap(), found["tag"].as_str().unwrap()))
        .collect();
    assert_eq!(named, [("remove", "Old"), ("value", "High")], "{document}");
    assert_eq!(found[0]["who"], "a person, another tool or a rule of the service", "no read showed it");
}
