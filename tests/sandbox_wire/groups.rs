//! Device groups of the simulated tenant: by its own rules, and later than the tags that decide them.

use std::sync::atomic::Ordering;

use mdetag_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use super::client::{Client, clock, small};

const MINUTE: i64 = 60 * 10_000_000;

async fn group(client: &Client, id: &str) -> Value {
    client.get(&format!("/api/machines/{id}")).await.body["rbacGroupName"].clone()
}

#[tokio::test]
async fn a_group_follows_its_tag_after_the_delay() {
    let (_sandbox, _running, client, clock) = small(&["group_delay_s=600"]).await;
    client.bulk("Other", "Add", &["a"]).await;
    client.bulk("tier0", "Add", &["a"]).await;
    assert_eq!(group(&client, "a").await, Value::Null);
    clock.0.fetch_add(11 * MINUTE, Ordering::SeqCst);
    assert_eq!(group(&client, "a").await, "Tier-0");
    client.patch("/api/machines/a", json!({ "machineTags": ["Other"] })).await;
    assert_eq!(group(&client, "a").await, "Tier-0");
    clock.0.fetch_add(11 * MINUTE, Ordering::SeqCst);
    assert_eq!(group(&client, "a").await, "US-Workstations");
}

#[tokio::test]
async fn tags_that_no_group_looks_at_move_nobody() {
    let (_sandbox, _running, client, clock) = small(&[]).await;
    client.bulk("Other", "Add", &["a"]).await;
    clock.0.fetch_add(60 * MINUTE, Ordering::SeqCst);
    assert_eq!(group(&client, "a").await, Value::Null, "the group that it was put in with stays");
}

#[tokio::test]
async fn the_entity_set_is_there_where_the_switch_says_so() {
    let (sandbox, _running, client, _) = small(&[]).await;
    assert_eq!(client.get("/api/DeviceGroups").await.status, 404);
    sandbox.set("device_groups", "on").unwrap();
    let groups = json!([
        { "id": 9, "priority": 1, "deviceGroupName": "Bees", "automationLevel": 7,
          "deviceGroupRules": { "devicesNamesConditions": [{ "condition": 0, "value": "B" }] } },
        { "id": 8, "priority": 99, "deviceGroupName": "Rest", "isUnassignedDeviceGroup": true },
    ]);
    sandbox.set_groups(&groups).unwrap();
    let reply = client.get("/api/DeviceGroups").await;
    let counts: Vec<&Value> =
        reply.body["value"].as_array().unwrap().iter().map(|group| &group["deviceCount"]).collect();
    assert_eq!(counts, [1, 2], "{}", reply.text);
    assert_eq!((group(&client, "b").await, group(&client, "c").await), (json!("Bees"), json!("Rest")));
    assert!(
        sandbox.set_groups(&json!([{ "id": "x", "deviceGroupName": "G" }])).unwrap_err().contains("group G")
    );
}

#[test]
fn a_generated_fleet_stands_in_the_groups_of_its_rules() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { devices: 500, ..Options::default() };
    let sandbox = Sandbox::open(directory.path(), &options, clock()).unwrap();
    let devices = sandbox.devices().unwrap();
    let tags = |device: &Value| device["machineTags"].as_array().unwrap().contains(&json!("Tier0"));
    let is_merged = |device: &Value| !device["mergedIntoMachineId"].is_null();
    assert!(devices.iter().any(tags));
    for device in &devices {
        let is_tier0 = tags(device) && !is_merged(device);
        assert_eq!(device["rbacGroupName"] == "Tier-0", is_tier0, "{device}");
    }
    let names: std::collections::BTreeSet<&str> =
        devices.iter().filter_map(|device| device["rbacGroupName"].as_str()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    drop(sandbox);
    let again = Sandbox::open(directory.path(), &Options::default(), clock()).unwrap();
    again.set_groups(&json!([])).unwrap();
    assert!(again.devices().unwrap().iter().all(|device| device["rbacGroupName"].is_null()));
    drop(again);
    let third = Sandbox::open(directory.path(), &Options::default(), clock()).unwrap();
    assert!(third.devices().unwrap().iter().all(|device| device["rbacGroupName"].is_null()), "kept on disk");
}
