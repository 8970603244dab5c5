//! Notifications with the real binary and a receiver on loopback: when one is sent, its content, and that a failing receiver does
//! not change the command's end.

use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::service::{Fake, Say, nobody};
use crate::tenant::policy;

/// A part of the address that must never appear.
const SECRET: &str = "s3cret-of-the-hook";

fn project(notify: &str) -> Project {
    let project = Project::with_policy(&policy("Zebra, Own", "tags: [Zebra]"));
    project.write("mdetag.yaml", &format!("version: 1\nnotify: {notify}\n"));
    project.devices(2);
    project
}

/// Runs with the address of a hook, which must not appear anywhere.
fn run(project: &Project, address: &str, words: &[&str]) -> Ran {
    let address = format!("{address}/hooks/{SECRET}");
    let ran = project.run_in(&[("MDETAG_HOOK_OPS", address)], words);
    assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{}{}", ran.out, ran.err);
    ran
}

/// A receiver that answers with this status.
fn receiver(status: u16) -> Fake {
    Fake::start(move |_| Say::json(status, &json!({ "you": SECRET })))
}

/// The only received message.
fn message(receiver: &Fake) -> Value {
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("POST", format!("/hooks/{SECRET}").as_str())
    );
    serde_json::from_str(&seen[0].body).unwrap()
}

#[test]
fn drift_is_told_as_a_cloud_event_with_the_summary() {
    let (project, receiver) = (project("{ webhook: env:MDETAG_HOOK_OPS, on: [drift] }"), receiver(202));
    run(&project, &receiver.url, &["drift", "--sandbox"]).exits(2);
    let event = message(&receiver);
    assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("io.github.mdetag.drift")));
    assert_eq!(event["data"]["summary"], json!({ "devices": 2, "additions": 2, "removals": 2, "values": 0 }));
    assert_eq!(
        (&event["data"]["exitCode"], &event["data"]["tenant"]["name"]),
        (&json!(2), &json!("default"))
    );
    let seen = &receiver.seen()[0];
    assert!(
        seen.headers.contains(&("content-type".into(), "application/cloudevents+json".into())),
        "{seen:?}"
    );
    let schema: Value = project.run(&["schema", "notification"]).exits(0).json();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&event["data"]), "{event}");
}

#[test]
fn apply_tells_what_changed_with_the_run_and_the_job() {
    let (project, receiver) =
        (project("{ webhook: env:MDETAG_HOOK_OPS, on: [changed], format: slack }"), receiver(200));
    let environment = [
        ("MDETAG_HOOK_OPS", format!("{}/hooks/{SECRET}", receiver.url)),
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
        ("GITHUB_REPOSITORY", "contoso/tags".to_owned()),
        ("GITHUB_RUN_ID", "7".to_owned()),
    ];
    let words = ["apply", "--sandbox", "--auto-approve", "--format", "json", "--ci", "none"];
    let ran = project.run_in(&environment, &words).exits(0);
    let text = message(&receiver).to_string();
    for part in [
        "SANDBOX · mdetag apply: changed devices on default",
        "4 done",
        "<https://github.com/contoso/tags/actions/runs/7|",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains(ran.json()["runId"].as_str().unwrap()), "{text}");
    // Nothing differs any more, so nothing changed and no message is sent.
    project.run_in(&environment, &["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert_eq!(receiver.seen().len(), 1);
}

#[test]
fn a_refusal_is_told_to_teams_and_a_plan_tells_nobody() {
    let (project, receiver) = (project("{ webhook: env:MDETAG_HOOK_OPS, format: teams }"), receiver(202));
    let text = project
        .read("policies/p.yaml")
        .replace("removals: { percent: 100, floor: 100000 }", "removals: { percent: 0, floor: 0 }");
    project.write("policies/p.yaml", &text);
    run(&project, &receiver.url, &["plan", "--sandbox"]).exits(3);
    assert_eq!(receiver.seen().len(), 0);
    run(&project, &receiver.url, &["apply", "--sandbox", "--auto-approve"]).exits(3);
    let message = message(&receiver);
    let card = &message["attachments"][0]["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    assert!(
        card.to_string().contains("refused on default") && card.to_string().contains("2 removals"),
        "{card}"
    );
}

#[test]
fn a_failure_is_told_without_names_that_could_render() {
    let receiver = receiver(202);
    let project = project("{ webhook: env:MDETAG_HOOK_OPS, format: teams }");
    project.write("policies/p.yaml", "version: 1\nclaims: [\"<b>**\"]\nrulez: []\n");
    run(&project, &receiver.url, &["drift", "--sandbox"]).exits(1);
    let text = message(&receiver).to_string();
    assert!(text.contains("E9000") && text.contains("failed on default"), "{text}");
    // The shell already has the message about arguments that do not fit together.
    run(&project, &receiver.url, &["drift", "--sandbox", "--report", "nonsense"]).exits(1);
    assert_eq!(receiver.seen().len(), 1);
}

#[test]
fn a_receiver_that_fails_is_a_warning_and_the_exit_code_stays() {
    let project = project("{ webhook: env:MDETAG_HOOK_OPS, on: [drift] }");
    let cases = [
        (400, 1, "check that `notify.format`"),
        (404, 1, "there is no such webhook"),
        (302, 1, "store the receiver's whole address"),
        (503, 3, "run the command again later"),
    ];
    for (status, tries, next) in cases {
        let receiver = receiver(status);
        let ran = run(&project, &receiver.url, &["drift", "--sandbox", "--format", "json"]).exits(2);
        assert!(
            ran.err.contains("the notification cannot be sent")
                && ran.err.contains(&status.to_string())
                && ran.err.contains(next),
            "{}",
            ran.err
        );
        assert_eq!(receiver.seen().len(), tries, "HTTP {status}");
        let ids: Vec<Value> = receiver
            .seen()
            .iter()
            .map(|seen| serde_json::from_str::<Value>(&seen.body).unwrap()["id"].clone())
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
        ran.json();
    }
    let ran = run(&project, &nobody(), &["drift", "--sandbox"]).exits(2);
    assert!(
        ran.err
            .contains("the notification cannot be sent: nothing listens at the address (connection refused)"),
        "{}",
        ran.err
    );
    let ran = project.run(&["drift", "--sandbox"]).exits(2);
    assert!(ran.err.contains("MDETAG_HOOK_OPS is not set; set it to"), "{}", ran.err);
    let ran = run(&project, "http://192.0.2.1", &["drift", "--sandbox"]).exits(2);
    assert!(ran.err.contains("is not https; store the receiver's whole address"), "{}", ran.err);
    let ran = run(&project, "hooks.example.com", &["drift", "--sandbox"]).exits(2);
    assert!(ran.err.contains("is no URL; store the receiver's whole address"), "{}", ran.err);
}

#[test]
fn an_address_in_the_file_is_a_secret_that_is_not_shown() {
    let project = project(&format!("{{ webhook: \"https://hooks.example.com/{SECRET}\" }}"));
    for words in [&["drift", "--sandbox"][..], &["drift", "--sandbox", "--format", "json"]] {
        let ran = project.run(words).exits(1);
        assert!(format!("{}{}", ran.out, ran.err).contains("E0801"), "{}", ran.err);
        assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{}{}", ran.out, ran.err);
    }
}
