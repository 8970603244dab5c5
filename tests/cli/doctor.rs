//! `mdetag doctor`: every check with its result, as far as it can go.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::project::{Project, Ran};
use crate::service::{Service, hosts, nobody};

const POLICY: &str =
    "version: 1\nclaims: [Zebra]\nrules:\n  - { name: all, select: { everything: true }, tags: [Zebra] }\n";
const HUNTS: &str = "version: 1\nclaims: [Zebra]\nselectors:\n  facing: { hunting: { query: \"DeviceInfo\" } }\nrules:\n  \
                     - { name: all, select: { use: facing }, tags: [Zebra] }\n";

/// A check in the document.
#[track_caller]
fn check(document: &Value, name: &str) -> Value {
    let checks = document["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["check"] == name)
        .unwrap_or_else(|| panic!("no {name} in {document:#}"))
        .clone()
}

/// A check's line for people.
#[track_caller]
fn line<'r>(ran: &'r Ran, name: &str) -> &'r str {
    let found = ran.out.lines().find(|line| line.get(5..).is_some_and(|rest| rest.starts_with(name)));
    found.unwrap_or_else(|| panic!("no {name} in:\n{}", ran.out))
}

#[test]
fn a_healthy_tenant_is_all_good_and_the_text_can_be_pasted() {
    let service = Service::start(&[]);
    let project = Project::with_policy(POLICY);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(0);
    assert!(!ran.out.contains("bad "), "{}", ran.out);
    for name in [
        "credential",
        "sign-in host",
        "API host",
        "proxy",
        "state",
        "policies",
        "tenant",
        "roles",
        "may plan",
        "may apply",
        "list",
        "clock",
        "may hunt",
    ] {
        line(&ran, name);
    }
    assert!(ran.out.contains("budget left this hour") && ran.out.contains("1,499 of 1,500"), "{}", ran.out);
    assert!(!ran.out.contains(&service.sandbox.credentials().client_secret));
    ran.is_for_people();
    let document = project.run_in(&service.secret(), &["doctor", "--format=json"]).exits(0).json();
    assert!(document["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{document:#}");
    assert_eq!(document["tenant"]["id"], service.sandbox.credentials().tenant_id);
    assert_eq!(document["budget"].as_array().unwrap().len(), 7);
}

#[test]
fn an_identity_that_only_reads_is_fine() {
    let service = Service::start(&["roles=Machine.Read.All"]);
    let project = Project::with_policy(POLICY);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(0);
    assert!(line(&ran, "may apply").contains("right for an identity that only plans"), "{}", ran.out);
    let document = project.run_in(&service.secret(), &["doctor", "--format=json"]).exits(0).json();
    assert!(check(&document, "may apply")["help"].as_str().unwrap().contains("Machine.ReadWrite.All"));
}

#[test]
fn a_missing_role_is_named_with_its_cure_beside_the_other_checks() {
    let service = Service::start(&["roles=none"]);
    let project = Project::with_policy(POLICY);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(ran.out.contains("bad  may plan"), "{}", ran.out);
    assert!(
        ran.out.contains("WindowsDefenderATP > Application permissions > Machine.Read.All"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("az rest --method POST"), "{}", ran.out);
    assert!(line(&ran, "proxy").contains("none") && line(&ran, "roles").contains("none"));
    ran.is_for_people();
}

#[test]
fn a_clock_that_is_wrong_is_found_even_if_nobody_can_sign_in() {
    let service = Service::start(&[]);
    let project = Project::with_policy(POLICY);
    service.sandbox.advance(Duration::from_secs(600)).unwrap();
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(line(&ran, "clock").starts_with("bad") && line(&ran, "clock").contains("behind"), "{}", ran.out);
    service.sandbox.set("secret", "expired").unwrap();
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(line(&ran, "sign-in  ").contains("AADSTS7000222"), "{}", ran.out);
    assert!(line(&ran, "network").starts_with("ok") && line(&ran, "clock").starts_with("bad"), "{}", ran.out);
    let document = project.run_in(&service.secret(), &["doctor", "--format=json"]).exits(1).json();
    assert_eq!(check(&document, "sign-in")["ok"], false);
    assert!(document["tenant"].is_null());
}

#[test]
fn a_host_that_does_not_answer_and_a_proxy_are_named_without_its_password() {
    let service = Service::start(&[]);
    let project = Project::with_policy(POLICY);
    project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 100000 }\n");
    let proxy = ("HTTPS_PROXY", "http://me:hunter2@proxy.example.com".to_owned());
    let environment = [service.secret(), hosts(&nobody()), vec![proxy]].concat();
    let ran = project.run_in(&environment, &["doctor"]).exits(1);
    assert!(line(&ran, "network").starts_with("bad"), "{}", ran.out);
    assert!(
        line(&ran, "proxy").contains("HTTPS_PROXY is set") && !ran.out.contains("hunter2"),
        "{}",
        ran.out
    );
}

#[test]
fn the_hunting_role_is_asked_for_where_the_policies_hunt() {
    let service = Service::start(&[]);
    let project = Project::with_policy(HUNTS);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(0);
    assert!(line(&ran, "may hunt").contains("yes, for 1 query"), "{}", ran.out);
    service.sandbox.set("roles", "Machine.Read.All").unwrap();
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(line(&ran, "may hunt").starts_with("bad"), "{}", ran.out);
    assert!(
        ran.out.contains("Microsoft Graph > Application permissions > ThreatHunting.Read.All"),
        "{}",
        ran.out
    );
    assert!(line(&ran, "may plan").starts_with("ok"), "{}", ran.out);
}

#[test]
fn policies_that_cannot_be_read_and_a_wrong_pin_are_findings() {
    let service = Service::start(&[]);
    let project = Project::new();
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(0);
    assert!(line(&ran, "policies").contains("none here"), "{}", ran.out);
    project.write("policies/p.yaml", "version: 1\nrulez: []\n");
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(line(&ran, "policies").starts_with("bad") && ran.out.contains("mdetag validate"), "{}", ran.out);
    let pin = "guard: { tenantId: 66666666-7777-8888-9999-000000000000 }\n";
    project.write("policies/p.yaml", &format!("{POLICY}{pin}"));
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(line(&ran, "sign-in  ").contains("guard.tenantId"), "{}", ran.out);
}

/// Answers one request with a release, and returns the request.
fn release(tag: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/latest", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        let body = format!("{{\"tag_name\":\"{tag}\"}}");
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, served)
}

#[test]
fn a_newer_version_is_told_only_when_asked_and_nobody_is_told_who_asks() {
    let service = Service::start(&[]);
    let project = Project::with_policy(POLICY);
    for (tag, says) in [("v99.1.2", "99.1.2 is out"), ("v0.0.1", ", the newest")] {
        let (url, served) = release(tag);
        let environment = [&service.secret()[..], &[("MDETAG_RELEASES_URL", url)]].concat();
        // Without the flag the listener gets nothing: its first request is the one below.
        project.run_in(&environment, &["doctor"]).exits(0);
        let ran = project.run_in(&environment, &["doctor", "--check-version"]).exits(0);
        assert!(line(&ran, "version").contains(says), "{}", ran.out);
        let asked = served.join().unwrap().to_lowercase();
        assert!(asked.starts_with("get /latest") && !asked.contains("authorization"), "{asked}");
        assert!(!asked.contains(&service.sandbox.credentials().client_secret.to_lowercase()), "{asked}");
    }
    let (url, served) = release("nonsense");
    let environment = [&service.secret()[..], &[("MDETAG_RELEASES_URL", url)]].concat();
    let ran = project.run_in(&environment, &["doctor", "--check-version"]).exits(1);
    assert!(line(&ran, "version").contains("cannot be asked: the answer is no release"), "{}", ran.out);
    served.join().unwrap();
}

#[test]
fn state_in_the_default_folder_of_a_ci_job_is_said_to_be_this_jobs_alone() {
    let service = Service::start(&[]);
    let project = Project::with_policy(
        "version: 1\nclaims: [T]\nrules: [{ name: r, select: { everything: true }, tags: [T] }]\n",
    );
    let ci = [service.secret(), vec![("CI", "true".to_owned())]].concat();
    let doctor = |environment: &[(&'static str, String)]| {
        let told = project.run_in(environment, &["doctor"]).exits(0);
        told.out.contains("another job does not see this one's lock")
    };
    assert!(doctor(&ci) && !doctor(&service.secret()));
    let named = [ci.clone(), vec![("MDETAG_STATE", "kept".to_owned())]].concat();
    assert!(!doctor(&named), "who names a folder keeps it");
    let apply = |environment: &[(&'static str, String)]| {
        project.run_in(environment, &["apply", "--auto-approve", "--allow", "devices=20"]).exits(0).err
    };
    let first = apply(&ci);
    assert!(
        first.contains("state lies in .mdetag on this runner") && first.contains("MDETAG_STATE"),
        "{first}"
    );
    assert!(!apply(&ci).contains("on this runner"), "an earlier run is here: somebody carries the folder");
}
