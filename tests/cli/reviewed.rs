//! Reviewed plans: applied as far as they still fit, otherwise refused with the way to continue.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::project::{Project, Ran, ran};
use crate::tenant::{device, id, policy};

const RULE: &str = "tags: [New]\n    deviceValue: High";

/// Six kinds of devices by number modulo six; each with the unmanaged tag `Own` and the claimed `Old`.
fn reviewed(devices: usize) -> Project {
    let project = Project::with_policy(&policy("New, Old", RULE));
    project.devices(0);
    let all: Vec<Value> = (0..devices).map(|number| device(number, json!(["Own", "Old"]))).collect();
    project.portal(|sandbox| sandbox.insert(&json!(all)).unwrap());
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    project
}

/// `{class: {outcome: count}}` of an apply's JSON, where a class is what a change does.
fn classes(document: &Value) -> BTreeMap<(String, String), usize> {
    let mut classes = BTreeMap::new();
    for change in document["changes"].as_array().unwrap() {
        let what = change["tag"].as_str().or(change["deviceValue"]["to"].as_str()).unwrap();
        let outcome = change["outcome"].as_str().unwrap();
        *classes.entry((what.to_owned(), outcome.to_owned())).or_default() += 1;
    }
    classes
}

#[test]
fn only_what_was_reviewed_and_is_still_wanted_is_applied_and_twice_does_nothing() {
    let project = reviewed(60);
    project.portal(|sandbox| {
        let changed: Vec<Value> = (0..30)
            .map(|number| match number % 3 {
                // Somebody has done it already.
                0 => {
                    let mut done = device(number, json!(["Own", "New"]));
                    done["deviceValue"] = "High".into();
                    done
                }
                // Somebody has added a tag that another plan would remove, and one without a claim.
                1 => device(number, json!(["Own", "Old", "person"])),
                // Somebody has done a part.
                _ => device(number, json!(["Own"])),
            })
            .collect();
        sandbox.insert(&json!(changed)).unwrap();
        // A new device is wanted and was not reviewed; a reviewed one is gone.
        sandbox.insert(&device(60, json!(["Own", "Old"]))).unwrap();
        sandbox.delete(&[&id(59)]).unwrap();
    });
    let first = project.run(&["apply", "--sandbox", "plan.json", "--format", "json"]).exits(0).json();
    let outcomes = &first["outcomes"];
    println!("{outcomes}");
    let sum: u64 = outcomes.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    for change in first["changes"].as_array().unwrap() {
        let file = &change["place"]["file"];
        assert!(file.is_null() || file == "policies/p.yaml", "{file}");
    }
    assert_eq!(sum, 180, "the summary adds up to the plan: {outcomes}");
    let count = |what: &str, outcome: &str| {
        classes(&first).get(&(what.to_owned(), outcome.to_owned())).copied().unwrap_or(0)
    };
    assert_eq!((count("New", "noop"), count("New", "done"), count("New", "stale")), (10, 49, 1));
    assert_eq!((count("Old", "noop"), count("Old", "done"), count("Old", "stale")), (20, 39, 1));
    assert_eq!((count("High", "noop"), count("High", "done"), count("High", "stale")), (10, 49, 1));
    let fleet = project.fleet();
    assert_eq!(fleet[&id(60)], (vec!["Old".into(), "Own".into()], "Normal".into()), "it was not reviewed");
    assert_eq!(fleet[&id(1)], (vec!["New".into(), "Own".into(), "person".into()], "High".into()));
    assert!((0..59).all(|number| fleet[&id(number)].0.contains(&"Own".to_owned())));

    let writes = |project: &Project| {
        ["bulkTag", "singleTag", "setValue", "updateDevice"]
            .map(|route| project.calls("default", route).len())
    };
    let before = writes(&project);
    let second = project.run(&["apply", "--sandbox", "plan.json", "--format", "json"]).exits(0).json();
    assert_eq!(writes(&project), before, "{second}");
    assert_eq!((&second["outcomes"]["noop"], &second["outcomes"]["stale"]), (&177.into(), &3.into()));
    let human = project.run(&["apply", "--sandbox", "plan.json"]).exits(0);
    human.is_for_people();
    assert!(human.out.contains("~ Normal → High") && human.out.contains("d59.example.com"), "{}", human.out);
    assert!(human.out.contains("not reviewed") || human.out.contains("next plan"), "{}", human.out);
}

/// Applying must be refused with this message, and nothing may be written.
#[track_caller]
fn refused(project: &Project, words: &[&str], says: &[&str]) -> Ran {
    let ran = project.run(words).exits(1);
    ran.is_for_people();
    for text in says {
        assert!(ran.err.contains(text), "`{text}` in: {}", ran.err);
    }
    for route in ["bulkTag", "singleTag", "setValue", "updateDevice"] {
        assert!(project.calls("default", route).is_empty(), "{route} was called");
    }
    ran
}

/// The plan file with one text replaced.
fn edit(project: &Project, from: &str, to: &str) {
    let text = project.read("plan.json");
    assert!(text.contains(from), "{from}");
    project.write("edited.json", &text.replacen(from, to, 1));
}

const APPLY: [&str; 3] = ["apply", "--sandbox", "edited.json"];

#[test]
fn a_plan_that_was_changed_by_hand_is_refused() {
    let project = reviewed(8);
    edit(&project, "\"High\"", "\"Low\"");
    refused(&project, &APPLY, &["digest", "help"]);
    project.write("edited.json", "{ \"formatVersion\": \"1.0\" ");
    refused(&project, &APPLY, &["edited.json"]);
    refused(&project, &["apply", "--sandbox", "none.json"], &["none.json"]);
}

#[test]
fn a_plan_that_is_too_old_or_from_the_future_is_refused() {
    let project = reviewed(8);
    let text = project.read("plan.json");
    let document: Value = serde_json::from_str(&text).unwrap();
    let created = document["createdAt"].as_str().unwrap().to_owned();
    // The creation time is outside the digest.
    edit(&project, &format!("\"createdAt\": \"{created}\""), "\"createdAt\": \"2020-01-01T00:00:00Z\"");
    refused(&project, &APPLY, &["old", "--plan-max-age", "new"]);
    edit(&project, &format!("\"createdAt\": \"{created}\""), "\"createdAt\": \"2199-01-01T00:00:00Z\"");
    refused(&project, &APPLY, &["future", "clock"]);
    refused(&project, &["apply", "--sandbox", "plan.json", "--plan-max-age", "0s"], &["old"]);
    project.run(&["apply", "--sandbox", "plan.json", "--plan-max-age", "1h"]).exits(0);
}

#[test]
fn the_rest_of_a_run_is_as_old_as_its_last_line_and_not_as_its_plan() {
    let project = reviewed(8);
    project.run(&["apply", "--sandbox", "plan.json", "--max-calls", "1"]).exits(5);
    let resume = ["apply", "--sandbox", "--resume"];
    let old: Vec<&str> = resume.into_iter().chain(["--resume-max-age", "0s"]).collect();
    let ran = project.run(&old).exits(1);
    assert!(ran.err.contains("wrote its last line") && ran.err.contains("--resume-max-age"), "{}", ran.err);
    let rest: Vec<&str> = resume.into_iter().chain(["--plan-max-age", "0s"]).collect();
    project.run(&rest).exits(0);
}

#[test]
fn a_plan_of_another_tenant_other_policies_or_other_options_is_refused() {
    let project = reviewed(8);
    project.write("edited.json", &project.read("plan.json"));
    let text = project.read("policies/p.yaml");
    project.write("policies/p.yaml", &text.replace("deviceValue: High", "deviceValue: Low"));
    refused(&project, &APPLY, &["policies/p.yaml", "new plan"]);
    project.write("policies/q.yaml", "version: 1\nretire: [Other]\n");
    project.write("policies/p.yaml", &text);
    refused(&project, &APPLY, &["policies/q.yaml", "new plan"]);
    std::fs::remove_file(project.path().join("policies/q.yaml")).unwrap();

    for options in
        ["writes: { combine: true, origins: true }", "tagCase: insensitive", "writes: { values: both }"]
    {
        project.write("mdetag.yaml", &format!("version: 1\n{options}\n"));
        refused(&project, &APPLY, &["options", "new plan"]);
    }
    let tenant = "version: 1\ntenants:\n  other:\n    tenantId: 11111111-2222-4333-8444-555555555555\n    policies: [policies/]\n";
    project.write("mdetag.yaml", tenant);
    refused(&project, &APPLY, &["tenant 11111111-2222-4333-8444-555555555555", "--tenant"]);
}

#[test]
fn recorded_inputs_are_refused_by_apply_unless_the_tenant_is_a_sandbox() {
    let project = reviewed(3);
    project.run(&["snapshot", "--sandbox", "-o", "s.ndjson"]).exits(0);
    project.write("h.json", "{}");
    for flags in [["--inventory", "s.ndjson"], ["--hunting-results", "h.json"], ["--now", "2026-11-22"]] {
        refused(&project, &[&["apply", "--auto-approve"], &flags[..]].concat(), &[flags[0], "sandbox"]);
    }
    let mut command = project.command(&["apply", "--auto-approve"]);
    let ran = ran(command.env("MDETAG_NOW", "2026-11-22").output().unwrap()).exits(1);
    assert!(ran.err.contains("--now"), "{}", ran.err);
    project.run(&["apply", "--sandbox", "--auto-approve", "--inventory", "s.ndjson"]).exits(0);
}

#[test]
fn a_tag_that_a_person_adds_between_plan_and_apply_or_during_it_survives() {
    const DEVICES: usize = 90;
    // Different tags make devices worth combining.
    let rule = "tags: [\"one/{computerDnsName}\", \"two/{computerDnsName}\"]\n    deviceValue: High";
    for (settings, route) in [
        ("version: 1\n", "bulkTag"),
        ("version: 1\nwrites: { combine: true, origins: true }\n", "updateDevice"),
    ] {
        let project = Project::with_policy(&policy("one/*, two/*, Old", rule));
        project.write("mdetag.yaml", settings);
        project.devices(0);
        let edit = |tags: &[&str], numbers: std::ops::Range<usize>| {
            let devices: Vec<Value> = numbers.map(|number| device(number, json!(tags))).collect();
            project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
        };
        edit(&["Own", "Old"], 0..DEVICES);
        project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
        edit(&["Own", "Old", "before"], 0..45);
        let faults = ["--sandbox-speed", "60", "--sandbox-fault", "latency_ms=20"];
        let mut apply = project.start(&[&["apply", "--sandbox", "plan.json"][..], &faults].concat());
        project.wait_for_lines(&mut apply, 20);
        // The last devices come later: edits made there now are read before they would be overwritten.
        edit(&["Own", "Old", "during"], 60..DEVICES);
        let sent = project.calls("default", route).len();
        ran(apply.wait_with_output().unwrap()).exits(0);
        assert!(project.calls("default", route).len() > sent + 30, "it was edited during the run");
        for (number, (tags, value)) in project.fleet().into_values().enumerate() {
            let mut all = vec![
                "Own".to_owned(),
                format!("one/d{number}.example.com"),
                format!("two/d{number}.example.com"),
            ];
            all.extend((number < 45).then(|| "before".to_owned()));
            all.extend((number >= 60).then(|| "during".to_owned()));
            all.sort();
            assert_eq!((tags, &*value), (all, "High"), "{settings}");
        }
    }
}
