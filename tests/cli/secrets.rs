//! Nothing that a run writes contains a secret, an assertion or a token: streams at the highest verbosity, reports, plans,
//! journals, state.

use std::path::Path;

use serde_json::json;

use crate::project::{Project, Ran};
use crate::service::{Environment, Fake, Say, Service, nobody};

const POLICY: &str = "version: 1\nscope: { everything: true }\nclaims: [Zebra]\nrules:\n  - name: all\n    \
                      select: { everything: true }\n    tags: [Zebra]\n  - name: some\n    \
                      select: { osPlatform: { startsWith: Windows } }\n    deviceValue: High\n";

const PEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tenant/auth/testdata/app.pem");

/// Every report that there is.
const REPORTS: [&str; 9] =
    ["human", "json", "ndjson", "markdown", "html", "junit", "sarif", "openmetrics", "csv"];

/// Texts that must not appear: the secrets themselves, and the start of every token and assertion.
fn needles(secrets: &[String]) -> Vec<String> {
    let own = secrets.iter().filter(|secret| !secret.is_empty()).cloned();
    own.chain(["eyJ".to_owned(), "client_assertion=".to_owned(), "BEGIN PRIVATE KEY".to_owned()]).collect()
}

#[track_caller]
fn holds_none(place: &str, bytes: &[u8], needles: &[String]) {
    for needle in needles {
        let found = bytes.windows(needle.len()).position(|window| window == needle.as_bytes());
        assert!(found.is_none(), "{place} holds a secret, after {} bytes", found.unwrap_or(0));
    }
}

/// Searches every file below a folder, except those that contain the secret on purpose; returns the number of files.
fn search(folder: &Path, needles: &[String]) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            searched += search(&path, needles);
        } else if !path.ends_with("federated-token") {
            holds_none(&path.display().to_string(), &std::fs::read(&path).unwrap(), needles);
            searched += 1;
        }
    }
    searched
}

/// A whole day's work with one credential, at the highest verbosity.
fn work(project: &Project, environment: &Environment, secrets: &[String]) {
    let reports: Vec<String> = REPORTS.iter().map(|name| format!("--report={name}=report-{name}")).collect();
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    let (with_reports, needles) = (|words: &[&'static str]| [words, &reports[..]].concat(), needles(secrets));
    let commands: Vec<Vec<&str>> = vec![
        with_reports(&["plan", "-o", "plan.json"]),
        with_reports(&["apply", "plan.json"]),
        with_reports(&["apply", "--auto-approve"]),
        with_reports(&["drift"]),
        vec!["doctor"],
        vec!["doctor", "--format=json"],
        vec!["snapshot", "-o", "devices.ndjson"],
        vec!["history"],
        vec!["history", "--format=json"],
        vec!["plan", "--format=json"],
    ];
    for words in commands {
        let words = [&words[..], &["-vvv", "--log-format=json"]].concat();
        let ran = project.run_in(environment, &words);
        assert!(matches!(ran.code, 0 | 2), "{words:?} {}\n{}\n{}", ran.code, ran.out, ran.err);
        let signs_in = words[0] != "history";
        assert!(!signs_in || ran.err.contains("\"signed in\""), "the log is there: {}", ran.err);
        both_hold_none(&words.join(" "), &ran, &needles);
    }
    assert!(search(project.path(), &needles) > REPORTS.len() + 5);
}

#[track_caller]
fn both_hold_none(words: &str, ran: &Ran, needles: &[String]) {
    holds_none(&format!("standard output of {words}"), ran.out.as_bytes(), needles);
    holds_none(&format!("standard error of {words}"), ran.err.as_bytes(), needles);
}

#[test]
fn no_file_and_no_stream_holds_a_client_secret_or_a_token() {
    let service = Service::start(&["throttle_silent=token:1", "empty_500=list:1"]);
    let project = Project::with_policy(POLICY);
    work(&project, &service.secret(), &[service.sandbox.credentials().client_secret]);
}

#[test]
fn no_file_and_no_stream_holds_an_assertion_or_what_bought_it() {
    let service = Service::start(&["federated_spreading=1"]);
    let project = Project::with_policy(POLICY);
    work(&project, &service.github(), &[service.sandbox.credentials().identity_secret]);

    let service = Service::start(&[]);
    let project = Project::with_policy(POLICY);
    let token = service.federated_token("repo:example-org/policies:ref:refs/heads/main");
    let file = project.write("federated-token", &token).display().to_string();
    work(&project, &[service.ids(), vec![("AZURE_FEDERATED_TOKEN_FILE", file)]].concat(), &[token]);

    let service = Service::start(&[]);
    let text = std::fs::read_to_string(PEM).unwrap();
    service.sandbox.trust_certificate(&text[text.find("-----BEGIN CERTIFICATE").unwrap()..]).unwrap();
    let certificate = ("AZURE_CLIENT_CERTIFICATE_PATH", PEM.to_owned());
    work(&Project::with_policy(POLICY), &[service.ids(), vec![certificate]].concat(), &[]);
}

#[test]
fn a_service_that_repeats_what_it_was_sent_does_not_get_it_printed() {
    let fake = Fake::start(|seen| {
        let sent = format!("{} {:?}", seen.body, seen.headers);
        let text = format!("AADSTS7000215: you sent a-secret: {sent}");
        Say::json(401, &json!({ "error": "invalid_client", "error_description": text }))
    });
    let project = Project::with_policy(POLICY);
    for words in [&["plan"][..], &["plan", "--format=json"], &["doctor"], &["doctor", "--format=json"]] {
        let ran = project.run_in(&fake.secret(), &[words, &["-vvv"]].concat()).exits(1);
        let text = format!("{}{}", ran.out, ran.err);
        assert!(text.contains("[redacted]"), "{text}");
        both_hold_none("a refused sign-in", &ran, &["a-secret".to_owned()]);
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let project = Project::with_policy(POLICY);
    let needles = ["hunter2".to_owned()];
    let proxy = [
        ("HTTPS_PROXY", format!("http://me:hunter2@{}", nobody().trim_start_matches("http://"))),
        ("AZURE_TENANT_ID", "t-1".to_owned()),
        ("AZURE_CLIENT_ID", "c-1".to_owned()),
        ("AZURE_CLIENT_SECRET", "hunter2".to_owned()),
        ("MDETAG_ALLOW_HOSTS", "127.0.0.1:9".to_owned()),
    ];
    for words in [&["doctor", "-vvv"][..], &["plan", "-vvv"]] {
        project.write("mdetag.yaml", "version: 1\ntenants: { one: { endpoints: { api: \"http://127.0.0.1:9\" } } }\nbudget: { timeScale: 100000 }\n");
        both_hold_none("a proxy's password", &project.run_in(&proxy, words).exits(1), &needles);
    }
    project.write("mdetag.yaml", "version: 1\ntenants: { one: { clientSecret: hunter2hunter2 } }\n");
    let ran = project.run(&["plan", "--format=json"]).exits(1);
    assert!(ran.out.contains("E0801"), "{}", ran.out);
    let login = [("MDETAG_LOGIN_URL", "https://me:hunter2@login.example.com".to_owned())];
    std::fs::remove_file(project.path().join("mdetag.yaml")).unwrap();
    both_hold_none("a login URL's password", &project.run_in(&login, &["plan", "-vvv"]).exits(1), &needles);
}

#[test]
fn a_secret_in_mdetag_yaml_is_in_no_stream_and_in_no_report() {
    let needles = ["hunter2-hunter2".to_owned()];
    let reports: Vec<String> = REPORTS.iter().map(|name| format!("--report={name}=report-{name}")).collect();
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    for settings in [
        "version: 1\ntenants: { one: { clientSecret: hunter2-hunter2, foo: 1 } }\n",
        "version: 1\nsharedKey: |\n  hunter2-hunter2\nfoo: 1\n",
        "version: 1\nclientSecret: hunter2-hunter2: x\n",
        "version: 1\ntenantsFile: tenants.csv\n",
    ] {
        let project = Project::with_policy(POLICY);
        project.write("mdetag.yaml", settings);
        project.write("tenants.csv", "name,clientSecret,cloud\none,hunter2-hunter2,gov\n");
        let mut commands: Vec<Vec<&str>> = ["human", "json", "sarif", "github"]
            .iter()
            .map(|format| vec!["validate", "--format", format])
            .collect();
        for command in [&["plan"][..], &["drift"], &["apply", "--auto-approve"]] {
            commands.push([command, &["--sandbox", "-vvv"], &reports].concat());
            commands.push([command, &["--sandbox", "--format=json"]].concat());
        }
        commands.extend([vec!["doctor"], vec!["tenants", "--format=json"]]);
        for words in commands {
            let actions =
                [("GITHUB_ACTIONS", "true".to_owned()), ("GITHUB_STEP_SUMMARY", "summary".to_owned())];
            let ran = project.run_in(&actions, &words).exits(1);
            both_hold_none(&words.join(" "), &ran, &needles);
        }
        for file in std::fs::read_dir(project.path()).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() && !path.ends_with("mdetag.yaml") && !path.ends_with("tenants.csv") {
                holds_none(&path.display().to_string(), &std::fs::read(&path).unwrap(), &needles);
            }
        }
    }
}
