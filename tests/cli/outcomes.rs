//! The outcomes of changes if the service interferes: unknown ids, other origins, forbidden routes, faults, lost trust.

use serde_json::{Value, json};

use mdetag_core::time::Timestamp;

use crate::project::Project;
use crate::tenant::{device, id, policy, wait_until};

const APPLY: [&str; 7] =
    ["apply", "--sandbox", "--auto-approve", "--format", "json", "--sandbox-speed", "600"];

/// Runs an apply with these faults, checks the exit code, and returns the document.
fn apply(project: &Project, faults: &[&str], code: i32) -> Value {
    let faults = faults.iter().flat_map(|fault| ["--sandbox-fault", fault]);
    let words: Vec<&str> = APPLY.into_iter().chain(faults).collect();
    let ran = project.run(&words).exits(code);
    ran.is_for_people();
    ran.json()
}

fn tagged(devices: usize) -> Project {
    let project = Project::with_policy(&policy("New, Old", "tags: [New]"));
    project.devices(devices);
    project
}

/// How many changes ended so.
fn count(document: &Value, outcome: &str) -> u64 {
    document["outcomes"][outcome].as_u64().unwrap()
}

#[test]
fn one_unknown_id_among_500_is_reported_and_the_others_are_done() {
    for (way, extra) in [("reject_all", 3), ("reject_opaque", 20)] {
        let project = tagged(500);
        // The device disappears between the read and the write: the second list answer would not have it.
        let faults = [format!("bulk_unknown={way}"), "after_page=1:delete".to_owned()];
        let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
        let document = apply(&project, &faults, 0);
        println!("{way}: {}", document["outcomes"]);
        let calls = project.calls("default", "bulkTag").len() + project.calls("default", "singleTag").len();
        println!("{way}: {calls} calls");
        assert_eq!(count(&document, "done"), 499, "{}", document["outcomes"]);
        assert_eq!(count(&document, "gone"), 1);
        assert!(calls <= 1 + extra, "{calls} calls");
        let fleet = project.fleet();
        assert_eq!(fleet.len(), 499);
        assert!(fleet.values().all(|(tags, _)| tags == &["New", "Own"]));
    }
}

#[test]
fn a_forbidden_bulk_route_is_given_up_for_single_calls() {
    let project = tagged(40);
    let document = apply(&project, &["bulk_forbidden=on"], 0);
    assert_eq!(count(&document, "done"), 40);
    let notes = document["notes"].as_array().unwrap();
    assert_eq!(
        notes.iter().filter(|note| note.as_str().unwrap().contains("closed to us")).count(),
        1,
        "{notes:?}"
    );
    assert_eq!(project.calls("default", "singleTag").len(), 40);
}

#[test]
fn what_is_forbidden_altogether_fails_with_4_and_few_calls() {
    let project = tagged(600);
    let document = apply(&project, &["forbidden=bulkTag:always+singleTag:always"], 4);
    assert_eq!(count(&document, "done"), 0);
    let ended = ["refused", "failed", "notAttempted"].map(|outcome| count(&document, outcome));
    assert_eq!(ended.iter().sum::<u64>(), 600);
    let calls = project.calls("default", "bulkTag").len() + project.calls("default", "singleTag").len();
    assert!(calls <= 20, "{calls}");
    assert!(project.fleet().values().all(|(tags, _)| tags == &["Own"]));
}

#[test]
fn a_token_that_ends_in_the_middle_is_renewed() {
    let project = Project::with_policy(&policy("", "deviceValue: High"));
    project.devices(60);
    // Far apart: with eight calls in flight, a repeated call must not be the next to meet an expired token.
    let document = apply(&project, &["token_expired=setValue:3+setValue:40"], 0);
    assert_eq!(count(&document, "done"), 60);
    assert!(project.calls("default", "token").len() >= 2);
}

#[test]
fn a_lane_that_is_forbidden_for_devices_all_over_its_queue_is_given_up_and_the_rest_not_attempted() {
    let project = Project::with_policy(&policy("", "deviceValue: High"));
    project.devices(60);
    let document = apply(&project, &["forbidden=setValue:always"], 4);
    assert!(count(&document, "notAttempted") >= 20, "{}", document["outcomes"]);
    assert!(project.calls("default", "setValue").len() <= 5 + 20 + 8);
    let resumed = project.run(&["apply", "--resume", "--sandbox", "--sandbox-speed", "600"]);
    resumed.is_for_people();
    assert!(resumed.code == 0 || resumed.code == 4, "{resumed:?}");
    let done = project.fleet().values().filter(|(_, value)| value == "High").count() as u64;
    assert_eq!(done, count(&document, "notAttempted"), "what failed is failed; the rest was caught up on");
}

#[test]
fn throttling_costs_time_and_nothing_else() {
    let project = Project::with_policy(&policy("New", "tags: [New]\n    deviceValue: High"));
    project.devices(30);
    let document = apply(&project, &["throttle_zero=setValue:5", "throttle_silent=bulkTag:1"], 0);
    assert_eq!(count(&document, "done"), 60);
}

#[test]
fn lost_answers_and_broken_bodies_end_as_done() {
    let project = Project::with_policy(&policy("New", "tags: [New]\n    deviceValue: High"));
    project.devices(30);
    let faults = [
        "reset_after=setValue:3",
        "reset_before=setValue:9",
        "applied_but_500=bulkTag:1",
        "truncated=setValue:14",
        "html_502=setValue:20",
    ];
    let document = apply(&project, &faults, 0);
    assert_eq!(count(&document, "done"), 60);
}

#[test]
fn answers_without_devices_are_read_again() {
    for body in ["empty", "204"] {
        let project = tagged(20);
        project.write("mdetag.yaml", "version: 1\nwrites: { settle: 15s }\n");
        let document = apply(&project, &[&format!("bulk_body={body}")], 0);
        assert_eq!(count(&document, "done"), 20, "{body}");
        let lists = project.calls("default", "list");
        assert_eq!(lists.iter().filter(|call| call["query"] == "$top=10000").count(), 2);
    }
}

/// A tenant whose policy removes a tag that the registry of three devices sets.
fn held() -> Project {
    let project = tagged(3);
    let devices: Vec<Value> = (0..3)
        .map(|number| {
            let mut device = device(number, json!(["Own", "New"]));
            device["registryTag"] = "Old".into();
            device
        })
        .collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
    project
}

/// An acceptance may be added later: the policies count as the same, so nothing is tried again because of it.
fn accepted_changes_are_no_drift_and_stay_contested(project: &Project, drift: &Value, writes: usize) {
    let guarded = policy("New, Old", "tags: [New]");
    let accept = |entry: &str| {
        project.write("policies/p.yaml", &format!("{guarded}  accept: [{{ {entry} }}]\n"));
    };
    let day = Timestamp::parse(drift["createdAt"].as_str().unwrap()).unwrap().date().plus_days(30);
    accept(&format!("tag: Ol, reason: \"the registry sets it\", expires: {day}"));
    project.run(&["drift", "--sandbox"]).exits(2);
    accept(&format!(
        "tag: Old, select: {{ osPlatform: Nothing }}, reason: \"the registry sets it\", expires: {day}"
    ));
    project.run(&["drift", "--sandbox"]).exits(2);
    accept(&format!("tag: Old, reason: \"the registry sets it\", expires: {day}"));
    let drift = project.run(&["drift", "--sandbox"]).exits(0);
    assert!(drift.out.contains(&format!("; 3 accepted until {day}")), "{}", drift.out);
    assert!(drift.out.contains("No drift."), "{}", drift.out);
    let drift = project.run(&["drift", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(
        drift["withheld"][0]["accepted"],
        json!({ "changes": 3, "until": day.to_string() }),
        "{drift}"
    );
    apply(project, &[], 0);
    assert_eq!(project.calls("default", "bulkTag").len(), writes, "the acceptance frees nothing");
}

#[test]
fn a_tag_of_the_registry_bounces_and_after_three_runs_six_hours_apart_is_contested() {
    let project = held();
    // A person who puts it back at once, even often, makes nothing contested, because only runs that are apart count.
    for quick in [3, 2, 1] {
        for _ in 0..quick {
            let document = apply(&project, &[], 4);
            assert_eq!(count(&document, "bounced"), 3, "{}", document["outcomes"]);
        }
        project.portal(|sandbox| sandbox.advance(std::time::Duration::from_secs(6 * 3_600 + 60)).unwrap());
    }
    let writes = project.calls("default", "bulkTag").len();
    let document = apply(&project, &[], 0);
    assert_eq!(project.calls("default", "bulkTag").len(), writes, "{document}");
    let planned = project.run(&["plan", "--sandbox"]).exits(0);
    assert!(planned.out.contains("contested") || planned.out.contains("another origin"), "{}", planned.out);
    let drift = project.run(&["drift", "--sandbox", "--format", "json"]).exits(2).json();
    assert!(drift.to_string().contains("contested"), "{drift}");
    accepted_changes_are_no_drift_and_stay_contested(&project, &drift, writes);
    let retried: Vec<&str> = APPLY.into_iter().chain(["--retry-contested"]).collect();
    let document = project.run(&retried).exits(4).json();
    assert_eq!(count(&document, "bounced"), 3);
}

#[test]
fn what_the_list_does_not_show_yet_is_pending_and_neither_planned_again_nor_drift() {
    let project = tagged(12);
    let document = apply(&project, &["visible_after_s=86400"], 0);
    assert_eq!(count(&document, "done"), 12);
    let late = ["--sandbox-speed", "600", "--sandbox-fault", "visible_after_s=86400"];
    let drift =
        project.run(&[&["drift", "--sandbox", "--format", "json"][..], &late].concat()).exits(0).json();
    let withheld = drift["withheld"].as_array().unwrap();
    assert!(withheld.iter().any(|group| group["reason"] == "pending" && group["additions"] == 12), "{drift}");
    assert_eq!(drift.get("pending"), None, "{drift}");
    let again = apply(&project, &["visible_after_s=86400"], 0);
    assert_eq!(again["changes"].as_array().unwrap().len(), 0, "{again}");
    assert_eq!(project.calls("default", "bulkTag").len(), 1);
}

#[test]
fn why_a_lane_is_given_up_is_told_once() {
    let project = Project::with_policy(&policy("", "deviceValue: High"));
    project.devices(8);
    let document = apply(&project, &["applied_but_500=setValue:always"], 0);
    let notes = document["notes"].as_array().unwrap();
    let told = notes.iter().filter(|note| note.as_str().unwrap().contains("given up"));
    assert_eq!(told.count(), 1, "{notes:?}");
}

#[test]
fn a_value_that_somebody_else_set_is_drift_although_ours_is_pending() {
    let project = Project::with_policy(&policy("", "deviceValue: Low"));
    project.devices(2);
    apply(&project, &["visible_after_s=86400"], 0);
    project.portal(|sandbox| {
        let device = json!({ "id": id(0), "computerDnsName": "d0.example.com", "deviceValue": "High" });
        sandbox.insert(&json!([device])).unwrap();
    });
    let late = ["--sandbox-speed", "600", "--sandbox-fault", "visible_after_s=86400"];
    let drift =
        project.run(&[&["drift", "--sandbox", "--format", "json"][..], &late].concat()).exits(2).json();
    assert_eq!(drift["changes"].as_array().map(Vec::len), Some(1), "{drift}");
    apply(&project, &[], 0);
    assert_eq!(project.fleet()[&id(0)].1, "Low");
}

#[test]
fn a_value_is_foreign_unless_apply_itself_read_it_before_the_write() {
    let project = Project::with_policy(&policy("", "deviceValue: Low"));
    project.devices(2);
    let set = |value: &str| {
        project.portal(|sandbox| {
            let device = json!({ "id": id(0), "computerDnsName": "d0.example.com", "deviceValue": value });
            sandbox.insert(&json!([device])).unwrap();
        });
    };
    set("High");
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    // The value differs between the review and the apply's read.
    set("Normal");
    let lagging = ["--sandbox-fault", "visible_after_s=86400"];
    project.run(&[&["apply", "--sandbox", "plan.json"][..], &lagging].concat()).exits(0);
    let late = ["--sandbox-speed", "600"];
    let drift = || project.run(&[&["drift", "--sandbox", "--format", "json"][..], &lagging, &late].concat());
    assert!(drift().exits(0).json()["withheld"].to_string().contains("pending"));
    set("High");
    let drift = drift().exits(2).json();
    assert_eq!(drift["changes"].as_array().map(Vec::len), Some(1), "{drift}");
}

#[test]
fn a_device_that_answers_404_twice_is_gone_and_that_is_no_failure() {
    let project = Project::with_policy(&policy("", "deviceValue: High"));
    project.devices(9);
    let document = apply(&project, &["after_page=1:delete"], 0);
    assert_eq!((count(&document, "done"), count(&document, "gone")), (8, 1), "{}", document["outcomes"]);
}

#[test]
fn an_untrusted_read_withholds_removals_and_ends_with_3() {
    let project = Project::with_policy(&policy("New, Old", "tags: [New]"));
    project.devices(0);
    let devices: Vec<Value> = (0..10).map(|number| device(number, json!(["Own", "Old"]))).collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
    let document = apply(&project, &["delegated=on"], 3);
    assert_eq!(count(&document, "done"), 10, "{}", document["outcomes"]);
    assert!(project.fleet().values().all(|(tags, _)| tags == &["New", "Old", "Own"]));
    let removed = apply(&project, &[], 0);
    assert_eq!(count(&removed, "done"), 10);
}

#[test]
fn a_sandbox_that_dies_with_its_process_keeps_what_it_wrote() {
    let project = tagged(30);
    let mut child = project.start(&["apply", "--sandbox", "--auto-approve"]);
    wait_until(&mut child, || !project.journal().is_empty() && project.journal().len() >= 3);
    let _ = child.kill();
    child.wait().unwrap();
    assert_eq!(project.fleet()[&id(0)].0, ["New", "Own"]);
}
