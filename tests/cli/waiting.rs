//! Removals that wait until the list shows the addition: the run is unfinished until they are written.

use std::time::Duration;

use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::tenant::{LOOSE, device};

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--sandbox-fault", "visible_after_s=1800"];

/// Devices with a tag that another of the same claim should replace.
fn tenant(devices: usize) -> Project {
    let project = Project::with_policy(&format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [\"env/*\"]\nrules:\n  - name: all\n    select: {{ everything: true }}\n    tags: [env/b]\n{LOOSE}"
    ));
    project.devices(0);
    let devices: Vec<Value> = (0..devices).map(|number| device(number, json!(["env/a"]))).collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
    project
}

fn tags(project: &Project) -> Vec<Vec<String>> {
    project.fleet().into_values().map(|(tags, _)| tags).collect()
}

#[test]
fn a_run_whose_removals_wait_for_the_list_is_resumed_until_they_are_written() {
    let project = tenant(2);
    project.run(&[&APPLY[..], &["--max-calls", "1"]].concat()).exits(5);
    let resume = [&APPLY[..], &["--resume"]].concat();
    for _ in 0..2 {
        let ran = project.run(&resume).exits(5);
        ran.is_for_people();
        let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("2 unconfirmed"), "{flat}");
        assert!(flat.contains("until the list shows what was written, at the latest at 20"), "{flat}");
        assert!(flat.contains("mdetag apply --resume"), "{flat}");
        let document = project.run(&[&resume[..], &["--format", "json"]].concat()).exits(5).json();
        assert_eq!(document["resumable"], true, "{document}");
        assert!(document["shownBy"].as_str().is_some_and(|time| time.starts_with("20")), "{document}");
    }
    assert_eq!(tags(&project), vec![vec!["env/a", "env/b"]; 2]);
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(1_860)).unwrap());
    project.run(&resume).exits(0);
    assert_eq!(tags(&project), vec![vec!["env/b"]; 2]);
}

#[test]
fn an_apply_that_makes_no_run_because_all_waits_says_until_when_and_what_to_run() {
    let project = tenant(2);
    project.run(&[&APPLY[..], &["--max-calls", "1"]].concat()).exits(5);
    let ran = project.run(&APPLY).exits(5);
    let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("at the latest at 20") && flat.contains("to continue: mdetag apply --sandbox"),
        "{flat}"
    );
    let document = project.run(&[&APPLY[..], &["--format", "json"]].concat()).exits(5).json();
    assert!(document["shownBy"].is_string(), "{document}");
}

#[test]
fn a_resume_does_not_end_well_while_what_its_run_held_back_is_undone() {
    let project = tenant(2);
    project.run(&[&APPLY[..], &["--max-calls", "1"]].concat()).exits(5);
    let text = project.read("policies/p.yaml").replace("[env/b]", "[env/b, More]");
    project.write("policies/p.yaml", &text.replace("[\"env/*\"]", "[\"env/*\", More]"));
    let ran = project.run(&APPLY).exits(5);
    assert_eq!(tags(&project), vec![vec!["More", "env/a", "env/b"]; 2], "the removals wait");
    // Only a new plan has the removals.
    let waits = |ran: &Ran| {
        let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("at the latest at 20"), "{flat}");
        assert!(ran.out.contains("to continue: mdetag apply --sandbox\n"), "{}", ran.out);
    };
    waits(&ran);
    waits(&project.run(&[&APPLY[..], &["--resume"]].concat()).exits(5));
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(1_860)).unwrap());
    let resume = [&APPLY[..], &["--resume"]].concat();
    let ran = project.run(&resume).exits(5);
    assert!(ran.out.contains("mdetag apply --sandbox plans it anew"), "{}", ran.out);
    assert!(!ran.out.contains("to continue"), "{}", ran.out);
    project.run(&APPLY).exits(0);
    assert_eq!(tags(&project), vec![vec!["More", "env/b"]; 2]);
    assert!(project.run(&resume).exits(0).err.contains("nothing to resume"));
}

#[test]
fn nothing_to_resume_is_one_document_for_programs() {
    let project = tenant(1);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    let ran = project.run(&["apply", "--resume", "--sandbox", "--format", "json"]).exits(0);
    let document = ran.json();
    assert_eq!((&document["exitCode"], &document["resumable"]), (&json!(0), &json!(false)));
    assert!(document["notes"][0].as_str().unwrap().starts_with("nothing to resume"), "{document}");
    assert!(ran.err.contains("nothing to resume"), "{}", ran.err);
}
