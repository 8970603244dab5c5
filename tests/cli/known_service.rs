//! What a probe measured, used by `plan` and `apply`: what it changes, and when it does not count.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::probe::{DEVICE, probe, project, tenant};
use crate::project::{Project, Ran};
use crate::service::Service;

/// Gives the device of the probe the tag that it has in another case.
const TWIN: &str = "version: 1\nrules:\n  - { name: finance, select: { id: aa00000000000000000000000000000000000001 }, tags: [FINANCE] }\n";

/// A tenant that folds tags, and a project that measured it.
fn folding() -> (Service, Project) {
    let service = tenant(&["tag_case=insensitive_keep_first"]);
    let project = project(TWIN);
    probe(&project, &service, &[]).exits(0);
    (service, project)
}

fn run(project: &Project, service: &Service, words: &[&str]) -> Ran {
    project.run_in(&service.secret(), words)
}

/// A change of the profile's document.
type Edit<'a> = &'a dyn Fn(&mut Value);

/// The profile's file.
fn file(project: &Project) -> PathBuf {
    let tenants = std::fs::read_dir(project.path().join(".mdetag/public")).unwrap();
    tenants.flatten().next().unwrap().path().join("service.json")
}

fn edit(project: &Project, change: impl FnOnce(&mut Value)) {
    let path = file(project);
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut document);
    std::fs::write(&path, document.to_string()).unwrap();
}

fn plan(project: &Project, service: &Service) -> Value {
    run(project, service, &["plan", "-o", "plan.json"]).exits(0);
    serde_json::from_str(&project.read("plan.json")).unwrap()
}

fn summary(plan: &Value) -> (u64, u64) {
    let count = |what: &str| plan["summary"][what].as_u64().unwrap();
    (count("additions"), count("removals"))
}

#[test]
fn twins_are_one_tag_where_the_service_was_measured_to_fold_them() {
    let (service, project) = folding();
    let planned = plan(&project, &service);
    assert_eq!(summary(&planned), (0, 0), "{planned:#}");
    assert_eq!(planned["options"]["tagCase"], "insensitive");
    assert!(planned["options"]["profile"].as_str().unwrap().starts_with("sha256:"));
    let ran = run(&project, &service, &["apply", "--auto-approve"]).exits(0);
    assert!(ran.err.contains("compare without case"), "{}", ran.err);
    let ran = run(&project, &service, &["explain", DEVICE]).exits(0);
    assert!(!ran.out.contains("will add"), "{}", ran.out);
    assert_eq!(run(&project, &service, &["drift"]).code, 0);
}

#[test]
fn mdetag_yaml_has_the_last_word_on_the_case_of_tags() {
    let (service, project) = folding();
    project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 100000 }\ntagCase: exact\n");
    let planned = plan(&project, &service);
    assert_eq!((summary(&planned).0, &planned["options"]["tagCase"]), (1, &json!("exact")));
}

#[test]
fn a_profile_that_cannot_be_believed_is_told_and_not_used() {
    let (service, project) = folding();
    let good = std::fs::read_to_string(file(&project)).unwrap();
    let old = |document: &mut Value| {
        for finding in document["findings"].as_array_mut().unwrap() {
            finding["measuredAt"] = json!("2026-01-01T00:00:00Z");
        }
    };
    let changes: [(&str, Edit<'_>); 6] = [
        ("older than 90 days", &old),
        ("not measured on this tenant", &|document| document["check"] = json!("zzzz")),
        ("not measured on this tenant", &|document| document["check"] = Value::Null),
        ("this version reads 1.x", &|document| document["formatVersion"] = json!("2.0")),
        ("no service profile", &|document| *document = json!([1])),
        ("answers `tagCase` twice", &|document| {
            let findings = document["findings"].as_array_mut().unwrap();
            let again = findings.iter().find(|finding| finding["question"] == "tagCase").unwrap().clone();
            findings.push(again);
        }),
    ];
    for (why, change) in changes {
        std::fs::write(file(&project), &good).unwrap();
        edit(&project, change);
        let ran = run(&project, &service, &["plan", "-o", "plan.json"]).exits(0);
        assert!(ran.err.contains("the service profile is not used") && ran.err.contains(why), "{}", ran.err);
        let planned: Value = serde_json::from_str(&project.read("plan.json")).unwrap();
        assert_eq!(summary(&planned), (1, 0), "{why}");
        assert_eq!(planned["options"].get("profile"), None, "{why}");
    }
}

#[test]
fn a_reviewed_plan_with_another_profile_is_planned_again_and_with_other_options_refused() {
    let service = tenant(&[]);
    let project = project(TWIN);
    probe(&project, &service, &[]).exits(0);
    plan(&project, &service);
    let good = std::fs::read_to_string(file(&project)).unwrap();
    let set = |question: &str, verdict: &str| {
        std::fs::write(file(&project), &good).unwrap();
        edit(&project, |document| {
            let findings = document["findings"].as_array_mut().unwrap();
            let one = findings.iter_mut().find(|finding| finding["question"] == question).unwrap();
            one["verdict"] = json!(verdict);
        });
    };
    set("tagCase", "insensitive");
    let ran = run(&project, &service, &["apply", "plan.json"]).exits(1);
    assert!(ran.err.contains("other options") && ran.err.contains("service profile"), "{}", ran.err);
    let before = service.writes();
    set("removeAbsent", "refused");
    let ran = run(&project, &service, &["apply", "plan.json"]).exits(0);
    assert!(ran.err.contains("another service profile"), "{}", ran.err);
    assert!(service.writes() > before, "{}", ran.out);
}
