//! `mdetag doctor --probe`: what it measures, what it leaves behind, and which devices it refuses.

use std::process::Stdio;

use mdetag_sandbox::{LoggedCall, Route};
use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::service::Service;

const POLICY: &str =
    "version: 1\nclaims: [Zebra]\nrules:\n  - { name: all, select: { everything: true }, tags: [Zebra] }\n";
pub(crate) const DEVICE: &str = "aa00000000000000000000000000000000000001";
pub(crate) const NAME: &str = "pc-probe.contoso.com";

/// A tenant with one more device, which has two manual tags.
pub(crate) fn tenant(faults: &[&str]) -> Service {
    let service = Service::start(faults);
    let device = json!({
        "id": DEVICE, "computerDnsName": NAME, "machineTags": ["Finance", "EU"], "deviceValue": "Low",
        "lastSeen": "2026-11-20T00:00:00Z", "healthStatus": "Active", "onboardingStatus": "Onboarded",
    });
    service.sandbox.insert(&device).unwrap();
    service
}

/// A project with short waits.
pub(crate) fn project(policy: &str) -> Project {
    let project = Project::with_policy(policy);
    project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 100000 }\n");
    project
}

/// Every device by its id: tags sorted, and value.
pub(crate) fn devices(service: &Service) -> Vec<(String, Vec<String>, Value)> {
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
pub(crate) fn calls(service: &Service) -> Vec<LoggedCall> {
    let api = |call: &LoggedCall| call.path.starts_with("/api/");
    service.sandbox.calls().into_iter().filter(api).collect()
}

/// Writes named only the device, scratch tags, its own tags and its value.
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
            Route::SingleTag => {
                assert!(call.path.contains(DEVICE), "{}", call.path);
                let tag = body["Value"].as_str().unwrap();
                assert!(tag.starts_with("mdetag-probe-") && body["Action"] == "Add", "{}", call.body);
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

pub(crate) fn probe(project: &Project, service: &Service, words: &[&str]) -> Ran {
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
    // The assumptions are shown before anything is measured.
    let row = ran.out.lines().find(|line| line.contains("tagCase")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["tagCase", "sensitive", "not", "measured"]);
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

/// Runs a probe, kills it when its journal has this many lines, and returns whether it was still working.
fn killed_at(project: &Project, service: &Service, lines: usize) -> bool {
    let words = ["doctor", "--probe", NAME, "--auto-approve"];
    let mut command = project.command(&words);
    let mut child =
        command.envs(service.secret()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        let written = journals(project).first().map_or(0, |text| text.lines().count());
        if written >= lines {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::yield_now();
    }
}

/// The journals of all probes.
fn journals(project: &Project) -> Vec<String> {
    let tenants = std::fs::read_dir(project.path().join(".mdetag/public")).into_iter().flatten().flatten();
    let folders = tenants.map(|tenant| tenant.path().join("probes"));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
}

#[test]
fn a_probe_that_is_killed_at_any_line_of_its_journal_is_put_right() {
    let faults: [&[&str]; 2] =
        [&["latency_ms=3"], &["latency_ms=3", "bulk_body=empty", "tag_case=insensitive_keep_first"]];
    for faults in faults {
        for lines in 1.. {
            let service = tenant(faults);
            let before = devices(&service);
            let project = project(POLICY);
            if !killed_at(&project, &service, lines) {
                assert!(lines > 20, "only {lines} lines");
                break;
            }
            let words = ["doctor", "--probe-cleanup", "--auto-approve"];
            let ran = project.run_in(&service.secret(), &words).exits(0);
            assert_eq!(devices(&service), before, "after line {lines}: {} {}", ran.out, ran.err);
            only_the_device_was_touched(&calls(&service));
            let again = project.run_in(&service.secret(), &words).exits(0);
            assert!(again.err.contains("nothing to clean up"), "{}", again.err);
        }
    }
}

#[test]
fn a_probe_that_was_killed_before_its_first_write_left_nothing_and_history_and_clean_up_agree() {
    let service = tenant(&["latency_ms=3"]);
    let project = project(POLICY);
    assert!(killed_at(&project, &service, 1));
    let tenants = std::fs::read_dir(project.path().join(".mdetag/public")).unwrap();
    let folder = tenants.map(|tenant| tenant.unwrap().path().join("probes")).next().unwrap();
    let journal = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, format!("{}\n", text.lines().next().unwrap())).unwrap();
    let past = project.run_in(&service.secret(), &["history"]).exits(0);
    assert!(past.out.contains("ended before it wrote anything"), "{}", past.out);
    let words = ["doctor", "--probe-cleanup", "--auto-approve"];
    let cleaned = project.run_in(&service.secret(), &words).exits(0);
    let said = format!("{}{}", cleaned.out, cleaned.err);
    assert!(said.contains("no probe left anything"), "{said}");
}

#[test]
fn an_open_probe_is_cleaned_up_before_the_next() {
    let service = tenant(&["latency_ms=3"]);
    let project = project(POLICY);
    assert!(killed_at(&project, &service, 8));
    let ran = probe(&project, &service, &[]).exits(1);
    assert!(ran.err.contains("--probe-cleanup"), "{}", ran.err);
    project.run_in(&service.secret(), &["doctor", "--probe-cleanup", "--auto-approve"]).exits(0);
    probe(&project, &service, &[]).exits(0);
}

#[test]
fn the_scratch_tags_of_a_device_that_is_named_are_taken_off() {
    let service = tenant(&[]);
    let project = project(POLICY);
    let before = devices(&service);
    let mut device = service.sandbox.devices().unwrap().into_iter().find(|one| one["id"] == DEVICE).unwrap();
    device["machineTags"] = json!(["Finance", "EU", "MDETAG-probe-x ", "mdetag-probe-y"]);
    service.sandbox.delete(&[DEVICE]).unwrap();
    service.sandbox.insert(&device).unwrap();
    let named = format!("--probe-cleanup={NAME}");
    project.run_in(&service.secret(), &["doctor", &named, "--auto-approve"]).exits(0);
    assert_eq!(devices(&service), before);
    only_the_device_was_touched(&calls(&service));
}

#[test]
fn what_is_shared_holds_no_name_id_tag_or_token() {
    let service = tenant(&[]);
    let project = project(POLICY);
    probe(&project, &service, &["--share", "profile.json"]).exits(0);
    // Whoever can write the state must not be able to get it shared.
    let state = std::fs::read_dir(project.path().join(".mdetag/public")).unwrap().flatten().next().unwrap();
    let path = state.path().join("service.json");
    let kept = std::fs::read_to_string(&path).unwrap().replace("GET a device by its id", "Planted");
    std::fs::write(&path, kept.replace("\"present\"", "\"Planted\"")).unwrap();
    probe(&project, &service, &["--share", "profile.json"]).exits(0);
    let shared = project.read("profile.json");
    let credentials = service.sandbox.credentials();
    let secrets = [
        DEVICE,
        NAME,
        "pc-probe",
        "Finance",
        "EU",
        "mdetag-probe-",
        "Planted",
        "127.0.0.1",
        &credentials.tenant_id,
        &credentials.client_id,
        &credentials.client_secret,
    ];
    for secret in secrets {
        assert!(!shared.contains(secret), "{secret} in {shared}");
    }
    for device in service.sandbox.devices().unwrap() {
        assert!(!shared.contains(device["id"].as_str().unwrap()));
    }
    let words: Value = serde_json::from_str(&shared).unwrap();
    for finding in words["findings"].as_array().unwrap() {
        let known = ["question", "verdict", "number", "reason", "evidence", "measuredAt", "tool"];
        assert!(finding.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{finding}");
    }
}

#[test]
fn refusals_for_too_many_calls_change_no_verdict_and_are_one_of_their_own() {
    let plain = probe(&project(POLICY), &tenant(&[]), &["--format=json"]).exits(0).json();
    for (fault, verdict) in [
        ("throttle=bulkTag:2", "withRetryAfter"),
        ("throttle_silent=list:/2", "withoutRetryAfter"),
        ("throttle_garbled=setValue:1", "withoutRetryAfter"),
    ] {
        let service = tenant(&[fault]);
        let before = devices(&service);
        let document = probe(&project(POLICY), &service, &["--format=json"]).exits(0).json();
        assert_eq!(devices(&service), before, "{fault}");
        assert_eq!(measured(&document, "throttle"), verdict, "{fault}");
        for row in plain["service"].as_array().unwrap().iter().filter(|row| row["question"] != "throttle") {
            let question = row["question"].as_str().unwrap();
            assert_eq!(measured(&document, question), &row["measured"], "{fault}: {question}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_probe_that_is_interrupted_by_a_signal_is_put_right() {
    for lines in [2, 6, 12] {
        let service = tenant(&["latency_ms=20"]);
        let before = devices(&service);
        let project = project(POLICY);
        let mut command = project.command(&["doctor", "--probe", NAME, "--auto-approve"]);
        let command = command.envs(service.secret()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while journals(&project).first().map_or(0, |text| text.lines().count()) < lines {
            assert!(child.try_wait().unwrap().is_none(), "it ended before line {lines}");
            std::thread::yield_now();
        }
        let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(signalled.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(5), "after line {lines}");
        // A probe that is ended by a signal cleans up itself; the clean-up finds what it may have left.
        project.run_in(&service.secret(), &["doctor", "--probe-cleanup", "--auto-approve"]).exits(0);
        assert_eq!(devices(&service), before, "after line {lines}");
        only_the_device_was_touched(&calls(&service));
    }
}
