//! `groups --fetch`: the file of device groups from the service, and how far it can be trusted.

use mdetag_sandbox::Route;
use serde_json::json;

use crate::project::Project;
use crate::service::{Fake, Say, Service};

const FETCH: [&str; 4] = ["groups", "--fetch", "-o", "policies/groups.json"];
const POLICY: &str = "version: 1\ndeviceGroups: { file: groups.json }\nrules:\n  - { name: a, select: { osPlatform: Linux }, tags: [A] }\n";

#[test]
fn what_was_fetched_predicts_what_the_service_reports() {
    let service = Service::start(&["device_groups=on"]);
    let project = Project::with_policy(POLICY);
    let fetched = project.run_in(&service.secret(), &FETCH).exits(0);
    assert!(fetched.out.contains("device groups in policies/groups.json"), "{}{}", fetched.out, fetched.err);
    assert_eq!((service.count(Route::DeviceGroups), service.count(Route::List)), (1, 0));
    let first = project.read("policies/groups.json");
    let document = project.run_in(&service.secret(), &["groups", "--format", "json"]).exits(0).json();
    let rows = document["rows"].as_array().unwrap();
    assert!(rows.len() > 5, "{document}");
    for row in rows {
        assert_eq!(row["predicted"], row["reported"], "{row}");
    }
    assert!(rows.iter().filter(|row| row["predicted"].as_u64() > Some(0)).count() > 3, "{document}");
    assert!(!fetched.err.contains("note: "), "{}", fetched.err);
    let beside = project.run_in(&service.secret(), &["groups", "--fetch", "-o", "new.json"]).exits(0);
    let hint = "note: the policies read `groups.json` (policies/p.yaml:2), not this file";
    assert!(beside.err.contains(hint), "{}", beside.err);
    let again =
        project.run_in(&service.secret(), &[&FETCH[..], &["--format", "json"]].concat()).exits(0).json();
    assert_eq!((&again["file"], again["groups"].as_u64() > Some(5)), (&json!("policies/groups.json"), true));
    assert_eq!(project.read("policies/groups.json"), first, "the same groups are the same file");
}

#[test]
fn a_service_without_the_entity_set_is_told_with_the_way_through_the_portal() {
    let service = Service::start(&[]);
    let project = Project::with_policy(POLICY);
    project.write("policies/groups.json", "kept");
    let refused = project.run_in(&service.secret(), &FETCH).exits(1);
    assert!(refused.err.contains("does not offer its device groups (HTTP 404)"), "{}", refused.err);
    assert!(refused.err.contains("Settings > Endpoints > Device groups"), "{}", refused.err);
    assert!(refused.err.contains("policies/groups.json stays as it was"), "{}", refused.err);
    refused.is_for_people();
    assert_eq!(project.read("policies/groups.json"), "kept");
}

#[test]
fn an_answer_that_cannot_be_used_leaves_the_file_as_it_was() {
    let rules = json!({ "devicesTagsConditions": [{ "condition": 2, "value": "T" }] });
    let strange = json!({ "value": [{ "deviceGroupName": "a\u{202e}b\u{1b}[31m", "priority": "1", "deviceGroupRules": rules }] });
    let part = json!({ "@odata.nextLink": "https://elsewhere.example/", "value": [{ "deviceGroupName": "a", "priority": 1, "deviceGroupRules": rules }] });
    for (say, message) in [
        (Say::json(200, &strange), "`priority` is no whole number"),
        (Say::json(200, &part), "only a part"),
        (Say::json(200, &json!({ "value": [] })), "has no group"),
        (
            Say::json(403, &json!({ "error": { "code": "Forbidden", "message": "no" } })),
            "reading the device groups",
        ),
        (Say(404, Vec::new(), "<html>no such page</html>".to_owned()), "endpoints.api"),
    ] {
        let service = Fake::tenant(&json!({ "roles": ["Machine.Read.All"] }), move |_| say.clone());
        let project = Project::new();
        project.write("policies/groups.json", "kept");
        let refused = project.run_in(&service.secret(), &FETCH).exits(1);
        assert!(refused.err.contains(message), "{}", refused.err);
        assert!(refused.err.contains("Settings > Endpoints > Device groups"), "{}", refused.err);
        assert!(!refused.err.contains(['\u{202e}', '\u{1b}']), "{}", refused.err);
        refused.is_for_people();
        assert_eq!(project.read("policies/groups.json"), "kept");
    }
}

#[test]
fn words_that_do_not_fit_are_told_before_anybody_is_asked() {
    let project = Project::with_policy(POLICY);
    for words in [
        &["groups", "--fetch"][..],
        &["groups", "-o", "groups.json"],
        &["groups", "policies", "--fetch", "-o", "groups.json"],
        &["groups", "--fetch", "-o", "groups.json", "--inventory", "fleet.json"],
        &["groups", "--fetch", "-o", "groups.json", "--format", "csv"],
    ] {
        project.run(words).exits(1);
    }
    assert!(!project.path().join("groups.json").exists());
}
