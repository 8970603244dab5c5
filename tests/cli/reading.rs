//! Reads that show nothing, or the wrong thing: every command says so before anybody trusts them.

use serde_json::json;

use crate::project::Project;
use crate::service::{Fake, Say, TENANT};

const POLICY: &str =
    "version: 1\nclaims: [Zebra]\nrules:\n  - { name: all, select: { everything: true }, tags: [Zebra] }\n";
const ROLES: &str = "Machine.ReadWrite.All";

fn answering(status: u16, body: &'static str) -> Fake {
    Fake::tenant(&json!({ "roles": [ROLES] }), move |_| Say(status, Vec::new(), body.to_owned()))
}

const EMPTY: &str = r#"{"value":[]}"#;
const NOT_FOUND: &str = r#"{"error":{"code":"ResourceNotFound","message":"No machine"}}"#;

#[test]
fn drift_without_any_device_is_an_error_unless_the_guard_expects_none() {
    let expecting = format!("{POLICY}guard: {{ inventory: {{ min: 0 }} }}\n");
    for (status, body) in [(200, EMPTY), (404, NOT_FOUND)] {
        let service = answering(status, body);
        let ran = Project::with_policy(POLICY).run_in(&service.secret(), &["drift"]).exits(1);
        assert!(ran.out.contains("inventory untrusted"), "{}", ran.out);
        assert!(ran.err.contains("no device was read") && ran.err.contains("min: 0"), "{}", ran.err);
        Project::with_policy(&expecting).run_in(&service.secret(), &["drift"]).exits(0);
    }
    let project = Project::with_policy(POLICY);
    project.write("empty.json", EMPTY);
    project.run(&["drift", "--inventory", "empty.json"]).exits(1);
}

#[test]
fn a_gateways_page_is_no_empty_tenant() {
    const HTML: &str = "<html><h1>Not here</h1></html>";
    for (status, body) in [(404, HTML), (200, HTML), (200, r#"{"ok":true}"#)] {
        let service = answering(status, body);
        let project = Project::with_policy(POLICY);
        project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 100000 }\n");
        for words in [
            &["drift"][..],
            &["plan"],
            &["doctor"],
            &["snapshot", "-o", "s.ndjson"],
            &["import", "-o", "new"],
        ] {
            let ran = project.run_in(&service.secret(), words).exits(1);
            ran.is_for_people();
            assert!(!ran.out.contains("ok   list"), "{}", ran.out);
        }
        assert!(!project.path().join("s.ndjson").exists());
    }
}

#[test]
fn doctor_snapshot_and_import_say_that_a_read_without_devices_is_untrusted() {
    let service = answering(200, EMPTY);
    let project = Project::with_policy(POLICY);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(ran.out.contains("bad  list         answers, without any device"), "{}", ran.out);
    let ran = project.run_in(&service.secret(), &["snapshot", "-o", "s.ndjson"]);
    assert!(ran.err.contains("untrusted: the service answered with no device"), "{}", ran.err);
    let ran = project.run_in(&service.secret(), &["import", "-o", "new"]);
    assert!(ran.err.contains("the service answered with no device"), "{}", ran.err);
}

#[test]
fn a_certificate_file_that_cannot_be_used_is_named() {
    let project = Project::with_policy(POLICY);
    project.write("ca.der", "0\u{82}");
    for (file, expected) in
        [("/nowhere/ca.pem", "cannot read /nowhere/ca.pem"), ("ca.der", "no certificate in PEM form")]
    {
        let variables = [
            ("SSL_CERT_FILE", file.to_owned()),
            ("AZURE_TENANT_ID", "t-1".to_owned()),
            ("AZURE_CLIENT_ID", "c-1".to_owned()),
            ("AZURE_CLIENT_SECRET", "hunter2".to_owned()),
        ];
        let ran = project.run_in(&variables, &["plan"]).exits(1);
        assert!(ran.err.contains("SSL_CERT_FILE") && ran.err.contains(expected), "{}", ran.err);
        ran.is_for_people();
    }
}

#[test]
fn a_recording_older_than_a_day_is_told_with_the_now_that_fits() {
    let project = Project::with_policy(POLICY);
    let header = r#"{"formatVersion":"1.0","kind":"snapshot","readAt":"2026-11-20T03:00:00.5Z","devices":1,"trusted":true}"#;
    project.write("old.ndjson", &format!("{header}\n{{\"id\":\"a\"}}\n"));
    let plan = |now: &str| project.run(&["plan", "--inventory", "old.ndjson", "--now", now]);
    let ran = plan("2026-11-22T04:00:00Z");
    assert!(ran.err.contains("2 d before") && ran.err.contains("--now 2026-11-20T03:00:00Z"), "{}", ran.err);
    assert!(plan("2026-11-18T02:00:00Z").err.contains("after the time of this plan"));
    for fitting in ["2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z", "2026-11-19T12:00:00Z"] {
        assert!(!plan(fitting).err.contains("was read"), "{fitting}");
    }
}

#[test]
fn what_is_no_inventory_is_refused_with_what_it_seems_to_be() {
    let project = Project::with_policy(POLICY);
    let wide: Vec<u8> = "{\"id\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(project.path().join("wide.json"), wide).unwrap();
    project.write("error.json", NOT_FOUND);
    project.write("pages.json", r#"[{"value":[{"id":"a"}]}]"#);
    project.write("hunted.json", r#"{"schema":[],"results":[{"DeviceId":"a"}]}"#);
    let table = [
        ("wide.json", "it is UTF-16"),
        ("error.json", "an error document of the service"),
        ("pages.json", "an array of list pages"),
        ("hunted.json", "--hunting-results"),
    ];
    for (file, expected) in table {
        let ran = project.run(&["plan", "--inventory", file]).exits(1);
        assert!(ran.err.contains(expected), "{}", ran.err);
        ran.is_for_people();
    }
    project.write("page.json", r#"{"@odata.count":5,"value":[{"id":"a"},{"id":"b","machineTags":"x, y"}]}"#);
    let ran = project.run(&["plan", "--inventory", "page.json"]);
    let out = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(out.contains("first page of more: it holds 2 of 5 devices"), "{out}");
    assert!(out.contains("skipped: b"), "{out}");
}

#[test]
fn the_ledger_counts_by_the_services_clock() {
    let service = Fake::tenant(&json!({ "roles": [ROLES] }), |seen| {
        let date = ("date", "Thu, 01 Jan 2099 00:00:00 GMT".to_owned());
        let body = if seen.is_behind() { r#"{"value":[]}"# } else { r#"{"value":[{"id":"a"}]}"# };
        Say(200, vec![date], body.to_owned())
    });
    let project = Project::with_policy(POLICY);
    project.run_in(&service.secret(), &["plan"]).exits(0);
    let folder = project.path().join(".mdetag/public").join(TENANT).join("ledger/app-1");
    let text = std::fs::read_to_string(folder.join("list.ledger")).unwrap();
    let answered = text.lines().find(|line| line.starts_with("a ")).unwrap();
    let ticks: i64 = answered.split(' ').nth(2).unwrap().parse().unwrap();
    let apart = mdetag_core::time::Timestamp::from_ticks(ticks).seconds() - 4_070_908_800;
    assert!((0..=60).contains(&apart), "{answered}");
}
