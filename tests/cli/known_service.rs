//! The findings of a probe in `plan` and `apply`: what they change, and when they do not count.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::probe::{DEVICE, probe, project, tenant};
use crate::project::{Project, Ran};
use crate::service::Service;

/// Gives the probe's device a tag that it has in another case.
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

/// Gives a finding of the kept profile another verdict.
fn set(project: &Project, question: &str, verdict: &str, number: Option<u64>) {
    edit(project, |document| {
        let findings = document["findings"].as_array_mut().unwrap();
        let one = findings.iter_mut().find(|finding| finding["question"] == question).unwrap();
        (one["verdict"], one["number"]) = (json!(verdict), json!(number));
    });
}

/// The tags of the probe's device, sorted.
fn tags(service: &Service) -> Vec<String> {
    let devices = service.sandbox.devices().unwrap();
    let device = devices.iter().find(|device| device["id"] == DEVICE).unwrap();
    let mut tags: Vec<String> = serde_json::from_value(device["machineTags"].clone()).unwrap();
    tags.sort();
    tags
}

/// Gives the probe's device other tags.
fn retag(service: &Service, tags: &[&str]) {
    let devices = service.sandbox.devices().unwrap();
    let mut device = devices.into_iter().find(|device| device["id"] == DEVICE).unwrap();
    device["machineTags"] = json!(tags);
    service.sandbox.delete(&[DEVICE]).unwrap();
    service.sandbox.insert(&device).unwrap();
}

#[test]
fn a_tag_whose_blanks_the_service_takes_off_is_not_removed_in_place_of_another() {
    let service = tenant(&["trim=on"]);
    let project = project(
        "version: 1\nretire: [\" EU\"]\nrules:\n  - { name: eu, select: { id: aa00000000000000000000000000000000000001 }, tags: [EU] }\n",
    );
    probe(&project, &service, &[]).exits(0);
    retag(&service, &[" EU", "EU"]);
    let ran = run(&project, &service, &["apply", "--auto-approve"]).exits(4);
    assert_eq!(tags(&service), [" EU", "EU"], "{}", ran.out);
    assert!(ran.out.contains("unwritable") && ran.out.contains("white space"), "{}", ran.out);
}

#[test]
fn a_tag_that_the_service_would_cut_is_withheld_before_anything_is_written() {
    let service = tenant(&[]);
    let long = "l".repeat(120);
    let project = project(&format!(
        "version: 1\nrules:\n  - {{ name: long, select: {{ id: {DEVICE} }}, tags: [{long}, Short] }}\n"
    ));
    probe(&project, &service, &[]).exits(0);
    set(&project, "tagLength", "cut", Some(100));
    let planned = plan(&project, &service);
    assert_eq!(summary(&planned), (1, 0));
    let withheld = &planned["withheld"][0];
    assert_eq!((&withheld["reason"], &withheld["additions"]), (&json!("unwritable"), &json!(1)));
    assert!(withheld["name"].as_str().unwrap().contains("100 characters"), "{withheld}");
    set(&project, "tagLength", "accepted", None);
    assert_eq!(summary(&plan(&project, &service)), (2, 0));
}

#[test]
fn a_patch_that_was_measured_to_harm_is_not_sent() {
    let service = tenant(&["patch=legacy_400"]);
    retag(&service, &[]);
    let project = project(&format!(
        "version: 1\nrules:\n  - {{ name: high, select: {{ everything: true }}, deviceValue: High }}\n  - {{ name: t, select: {{ id: {DEVICE} }}, tags: [Finance] }}\n"
    ));
    let settings =
        "version: 1\nbudget: { timeScale: 100000 }\nwrites: { values: both, combine: true, origins: true }\n";
    project.write("mdetag.yaml", settings);
    probe(&project, &service, &[]).exits(0);
    set(&project, "patchValue", "losesTags", None);
    let before = service.sandbox.calls().len();
    let ran = run(&project, &service, &["apply", "--auto-approve"]).exits(0);
    assert!(
        ran.err.contains("setDeviceValue alone") && ran.err.contains("no PATCH carries tags"),
        "{}",
        ran.err
    );
    let calls = service.sandbox.calls().split_off(before);
    assert!(calls.iter().all(|call| call.method != "PATCH"), "{}", ran.out);
    assert!(calls.iter().any(|call| call.path.ends_with("/setDeviceValue")));
}

#[test]
fn a_good_device_that_a_refusal_names_along_with_a_bad_one_is_not_lost() {
    let service = tenant(&[&format!("refuse=ids:{DEVICE}"), "refuse_answer=named_with_good+single_404"]);
    let policy = "version: 1\nrules:\n  - { name: all, select: { everything: true }, tags: [zebra-1] }\n";
    let project = project(policy);
    service.sandbox.set("refuse", "off").unwrap();
    probe(&project, &service, &[]).exits(0);
    service.sandbox.set("refuse", &format!("ids:{DEVICE}")).unwrap();
    let ran = run(&project, &service, &["apply", "--auto-approve", "--format=json"]).exits(4);
    let devices = service.sandbox.devices().unwrap();
    let tagged = devices.iter().filter(|device| device["machineTags"].to_string().contains("zebra-1"));
    assert_eq!(tagged.count(), devices.len() - 1, "{}", ran.out);
    assert!(!tags(&service).contains(&"zebra-1".to_owned()));
}

#[test]
fn what_a_run_sees_otherwise_is_told_marked_and_not_used_again() {
    let service = tenant(&[]);
    let project = project(TWIN);
    probe(&project, &service, &[]).exits(0);
    // The service changes after the probe: it folds tags, and answers bulk calls without devices.
    service.sandbox.set("tag_case", "insensitive_keep_first").unwrap();
    let ran = run(&project, &service, &["apply", "--auto-approve"]);
    assert!(ran.err.contains("tagCase is insensitive, not sensitive"), "{}", ran.err);
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file(&project)).unwrap()).unwrap();
    let findings = kept["findings"].as_array().unwrap();
    let finding = |question: &str| findings.iter().find(|one| one["question"] == question).unwrap();
    assert!(finding("tagCase")["staleSince"].is_string(), "{kept:#}");
    assert!(finding("tagLength").get("staleSince").is_none());
    let ran = run(&project, &service, &["doctor"]).exits(0);
    let row = ran.out.lines().find(|line| line.contains("tagCase")).unwrap();
    assert!(row.contains("otherwise since") && row.contains("runs saw insensitive"), "{row}");
    let ran = run(&project, &service, &["plan"]).exits(0);
    assert!(!ran.err.contains("measured otherwise"), "told once: {}", ran.err);
}

#[test]
fn few_tags_prove_themselves_where_bulk_answers_were_measured_to_show_nothing() {
    let service = tenant(&["bulk_body=empty"]);
    let project = project(TWIN);
    probe(&project, &service, &[]).exits(0);
    let planned = plan(&project, &service);
    assert_eq!(planned["options"]["writes"]["tags"], "singleIfFewer", "{planned:#}");
    assert_eq!(planned["calls"]["lanes"][0]["lane"], "singleTag", "{planned:#}");
    run(&project, &service, &["apply", "--auto-approve"]).exits(0);
    let calls = service.sandbox.calls();
    let last = calls.iter().rev().find(|call| call.path.starts_with("/api/")).unwrap();
    assert!(last.path.ends_with("/tags"), "the list is not read again: {}", last.path);
    assert!(tags(&service).contains(&"FINANCE".to_owned()));
    // So many devices that single calls would cost more than one read of the list: they go by a bulk call, whose answer now shows
    // them.
    service.sandbox.set("bulk_body", "full").unwrap();
    project.write(
        "policies/p.yaml",
        "version: 1\nrules:\n  - { name: all, select: { everything: true }, tags: [zebra-1] }\n",
    );
    let ran = run(&project, &service, &["apply", "--auto-approve"]).exits(0);
    assert!(ran.err.contains("bulkAnswer is device, not empty"), "{}", ran.err);
    let planned = plan(&project, &service);
    assert_eq!(planned["options"]["writes"].get("tags"), None, "{planned:#}");
}

#[test]
fn a_field_that_filters_were_measured_to_refuse_is_left_out_and_everything_is_filtered_here() {
    let service = tenant(&[]);
    let project = project(&format!("{TWIN}scope: {{ healthStatus: Active }}\n"));
    probe(&project, &service, &[]).exits(0);
    let filters = |before: usize| {
        let calls = service.sandbox.calls().split_off(before);
        calls.iter().filter(|call| call.query.contains("healthStatus")).count()
    };
    let before = service.sandbox.calls().len();
    let bare = plan(&project, &service);
    assert!(filters(before) > 0, "it is pushed down where it is accepted");
    set(&project, "filterHealthStatus", "refused", None);
    let before = service.sandbox.calls().len();
    let known = plan(&project, &service);
    assert_eq!((filters(before), summary(&known)), (0, summary(&bare)));
    assert_eq!(known["inventory"]["inScope"], bare["inventory"]["inScope"]);
}

#[test]
fn runs_note_what_they_see_and_no_name_id_tag_or_token() {
    let service = tenant(&["unknown_enum=on", "throttle=bulkTag:1"]);
    let project = project(TWIN);
    run(&project, &service, &["apply", "--auto-approve"]).exits(0);
    let text = std::fs::read_to_string(file(&project)).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    let seen = |question: &str| {
        let all = kept["seen"].as_array().unwrap();
        all.iter().find(|one| one["question"] == question).map(|one| one["verdict"].clone())
    };
    assert_eq!(seen("bulkAnswer"), Some(json!("device")), "{text}");
    assert_eq!(seen("unknownWords"), Some(json!("seen")), "{text}");
    assert_eq!(kept["findings"], json!([]));
    let credentials = service.sandbox.credentials();
    let secrets = [
        DEVICE,
        "contoso",
        "FINANCE",
        "Finance",
        "127.0.0.1",
        &credentials.tenant_id,
        &credentials.client_id,
    ];
    for secret in secrets.into_iter().chain([credentials.client_secret.as_str()]) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let planned = plan(&project, &service);
    assert_eq!(planned["options"].get("profile"), None, "nothing is decided by what was only seen");
    let again = std::fs::read_to_string(file(&project)).unwrap();
    assert_eq!(again, text, "a run that sees nothing new writes nothing");
}

#[test]
fn two_runs_side_by_side_leave_a_whole_profile() {
    let service = tenant(&[]);
    let project = project(TWIN);
    probe(&project, &service, &[]).exits(0);
    edit(&project, |document| document["seen"] = json!([]));
    let mut runs: Vec<_> = (0..4)
        .map(|_| {
            project
                .command(&["plan"])
                .envs(service.secret())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut ran in runs.drain(..) {
        assert!(ran.wait().unwrap().success());
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file(&project)).unwrap()).unwrap();
    assert!(kept["findings"].as_array().unwrap().len() > 20 && !kept["seen"].as_array().unwrap().is_empty());
}

#[test]
fn without_case_a_live_spelling_stays_while_one_is_wanted_and_goes_with_the_last() {
    let project = Project::with_policy(
        "version: 1\nclaims: [Tier0]\nrules: [{ name: r, select: { computerDnsName: [a, b, c] }, tags: [Tier0] }]\n",
    );
    project.write("mdetag.yaml", "version: 1\ntagCase: insensitive\n");
    let header = r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"11111111-2222-3333-4444-555555555555","name":"t","cloud":"public"},"readAt":"2026-11-27T06:00:00Z","devices":4,"trusted":true,"reasons":[]}"#;
    let devices = [
        ("a", r#""tier0""#),
        ("b", r#""Tier0","tier0""#),
        ("c", r#""tier0","TIER0""#),
        ("d", r#""tier0","TIER0""#),
    ];
    let lines = devices.map(|(name, tags)| {
        format!(r#"{{"id":"{name}","computerDnsName":"{name}","machineTags":[{tags}]}}"#)
    });
    project.write("i.ndjson", &format!("{header}\n{}\n", lines.join("\n")));
    let lines = project.run(&["plan", "--inventory", "i.ndjson", "--format", "ndjson"]).exits(0).out;
    let changes: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a change")).collect();
    let shown: Vec<(&str, &str)> = changes
        .iter()
        .map(|change| {
            (change["device"]["id"].as_str().expect("an id"), change["action"].as_str().expect("an action"))
        })
        .collect();
    assert_eq!(shown, [("d", "remove"), ("d", "remove")]);
}
