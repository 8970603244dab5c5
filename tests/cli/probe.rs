//! `mdetag doctor --probe`: what it measures, what it leaves, and whom it refuses.

use mdetag_sandbox::{LoggedCall, Route};
use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::service::Service;

const POLICY: &str =
    "version: 1\nclaims: [Zebra]\nrules:\n  - { name: all, select: { everything: true }, tags: [Zebra] }\n";
const DEVICE: &str = "aa00000000000000000000000000000000000001";
const NAME: &str = "pc-probe.contoso.com";

/// A tenant with one device more, which has two manual tags.
fn tenant(faults: &[&str]) -> Service {
    let service = Service::start(faults);
    let device = json!({
        "id": DEVICE, "computerDnsName": NAME, "machineTags": ["Finance", "EU"], "deviceValue": "Low",
        "lastSeen": "2026-11-20T00:00:00Z", "healthStatus": "Active", "onboardingStatus": "Onboarded",
    });
    service.sandbox.insert(&device).unwrap();
    service
}

/// A project whose waits are short.
fn project(policy: &str) -> Project {
    let project = Project::with_policy(policy);
    project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 100000 }\n");
    project
}

/// Every device by its id: tags sorted, and value.
fn devices(service: &Service) -> Vec<(String, Vec<String>, Value)> {
    let all = service.sandbox.devices().unwrap();
    let mut devices: Vec<_> = all
        .iter()
        .map(|device| {
            let tags = device["machineTags"].as_array().into_iter().flatten();
            let mut tags: Vec<String> = tags.map(|tag| tag.as_str().unwrap().to_owned()).collect();
            tags.sort();
            (device["id"].as_str().unwrap().to_owned(), tags, device["deviceValue"].clone())
        })
        .collect();
    devices.sort_by(|one, other| one.0.cmp(&other.0));
    devices
}

/// The calls of the device API.
fn calls(service: &Service) -> Vec<LoggedCall> {
    let api = |call: &LoggedCall| call.path.starts_with("/api/");
    service.sandbox.calls().into_iter().filter(api).collect()
}

/// Nothing but the device, scratch tags, its own tags and its value was named in any write.
#[track_caller]
fn only_the_device_was_touched(calls: &[LoggedCall]) {
    for call in calls.iter().filter(|call| call.route.writes()) {
        let body: Value = serde_json::from_str(&call.body).unwrap();
        match call.route {
            Route::BulkTag => {
                let (tag, action) = (body["Value"].as_str().unwrap(), &body["Action"]);
                let is_own = ["Finance", "EU"].contains(&tag) && action == "Add";
                assert!(tag.trim().to_lowercase().starts_with("mdetag-probe-") || is_own, "{}", call.body);
                let ids: Vec<&str> =
                    body["MachineIds"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
                assert!(ids.is_empty() || ids[0] == DEVICE, "{}", call.body);
                assert!(!ids.is_empty() || action == "Remove", "{}", call.body);
                assert!(ids.iter().skip(1).all(|id| *id == DEVICE || id.len() == 40), "{}", call.body);
            }
            Route::SetValue => {
                assert!(call.path.contains(DEVICE), "{}", call.path);
                assert_eq!(body, json!({ "DeviceValue": "Low" }));
            }
            _ => {
                assert!(call.method == "PATCH" && call.path.contains(DEVICE), "{} {}", call.method, call.path)
            }
        }
    }
}

#[track_caller]
fn measured<'v>(document: &'v Value, question: &str) -> &'v Value {
    let rows = document["service"].as_array().unwrap();
    let row = rows.iter().find(|row| row["question"] == question);
    &row.unwrap_or_else(|| panic!("no {question} in {document:#}"))["measured"]
}

fn probe(project: &Project, service: &Service, words: &[&str]) -> Ran {
    let words = [&["doctor", "--probe", NAME, "--auto-approve"], words].concat();
    project.run_in(&service.secret(), &words)
}

#[test]
fn a_probe_measures_and_leaves_the_device_as_it_was() {
    let service = tenant(&["tag_case=insensitive_keep_first", "trim=on", "patch=append"]);
    let project = project(POLICY);
    let before = devices(&service);
    let ran = probe(&project, &service, &["--format=json"]).exits(0);
    let document = ran.json();
    assert_eq!(devices(&service), before);
    assert_eq!(document["restored"], true, "{document:#}");
    for (question, verdict) in [
        ("tagCase", "insensitive"),
        ("tagBlanks", "trimmed"),
        ("patchTags", "appends"),
        ("unknownId", "refusedNamed"),
        ("filterHealthStatus", "accepted"),
        ("pageSize", "atLeast"),
        ("listLag", "measured"),
    ] {
        assert_eq!(measured(&document, question), verdict, "{document:#}");
    }
    let calls = calls(&service);
    assert!(calls.len() <= 40, "{} calls", calls.len());
    only_the_device_was_touched(&calls);
}

#[test]
fn doctor_shows_what_was_measured_and_a_second_probe_what_changed() {
    let service = tenant(&[]);
    let project = project(POLICY);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(0);
    assert!(!ran.out.contains("tagCase"), "{}", ran.out);
    let ran = probe(&project, &service, &[]).exits(0);
    ran.is_for_people();
    assert!(ran.out.contains("as before") && ran.out.contains("tagCase"), "{}", ran.out);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(0);
    let row = ran.out.lines().find(|line| line.contains("tagCase")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["tagCase", "sensitive", "sensitive"]);
    service.sandbox.set("tag_case", "insensitive_keep_first").unwrap();
    let ran = probe(&project, &service, &[]).exits(0);
    assert!(ran.out.contains("tagCase was sensitive in an earlier probe, and is insensitive"), "{}", ran.out);
    let document = project.run_in(&service.secret(), &["doctor", "--format=json"]).exits(0).json();
    assert_eq!(measured(&document, "tagCase"), "insensitive");
}

#[test]
fn devices_that_the_policies_keep_from_being_written_are_refused() {
    for (rule, says) in [
        ("protect:\n  - { name: core, select: { everything: true } }\n", "is protected"),
        ("scope: { osPlatform: Linux }\n", "is outside `scope`"),
        ("guard: { tenantId: 66666666-7777-8888-9999-000000000000 }\n", "guard.tenantId"),
    ] {
        let service = tenant(&[]);
        let project = project(&format!("{POLICY}{rule}"));
        let ran = probe(&project, &service, &[]).exits(3);
        assert!(ran.err.contains(says), "{}", ran.err);
        assert_eq!(service.writes(), 0);
    }
}

#[test]
fn nobody_is_probed_without_a_yes_and_without_policies() {
    let service = tenant(&[]);
    let bare = Project::new();
    let ran = bare.run_in(&service.secret(), &["doctor", "--probe", NAME, "--auto-approve"]).exits(1);
    assert!(ran.err.contains("no policy set here"), "{}", ran.err);
    let project = project(POLICY);
    let ran = project.run_in(&service.secret(), &["doctor", "--probe", NAME]).exits(1);
    assert!(ran.err.contains("--auto-approve"), "{}", ran.err);
    let words = ["doctor", "--probe", "nobody.contoso.com", "--auto-approve"];
    let ran = project.run_in(&service.secret(), &words).exits(1);
    assert!(ran.err.contains("knows no device"), "{}", ran.err);
    assert_eq!(service.writes(), 0);
}

#[test]
fn a_probe_is_a_run_of_its_own_kind() {
    let service = tenant(&[]);
    let project = project(POLICY);
    probe(&project, &service, &[]).exits(0);
    let runs = project.run_in(&service.secret(), &["history", "--format=json"]).exits(0).json();
    let run = &runs["runs"][0];
    assert_eq!(
        (&run["kind"], &run["device"], &run["ended"]),
        (&"probe".into(), &DEVICE.into(), &"finished".into())
    );
    let id = run["run"].as_str().unwrap();
    for words in [vec!["revert", id, "-o", "undo.json"], vec!["apply", "--resume", id]] {
        let ran = project.run_in(&service.secret(), &words).exits(1);
        assert!(ran.err.contains("is a probe of the service"), "{}", ran.err);
    }
    let ran = project.run_in(&service.secret(), &["apply", "--resume"]).exits(1);
    assert!(ran.err.contains("no run to resume"), "{}", ran.err);
    let about = project.run_in(&service.secret(), &["history", DEVICE]).exits(0);
    assert!(about.out.contains("probe of the service"), "{}", about.out);
}
