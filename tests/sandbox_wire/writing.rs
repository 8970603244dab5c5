//! Writes: their effects, and which are refused, throttled or hit by a fault. Not how state is stored.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{self, Client, Reply, ids, small};

#[tokio::test]
async fn a_bulk_call_answers_with_the_updated_devices_and_is_idempotent() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    for _ in 0..2 {
        let reply = client.bulk("New", "Add", &["a", "b"]).await;
        assert_eq!(ids(&reply), ["a", "b"]);
        assert_eq!(reply.body["value"][0]["machineTags"], json!(["Old", "New"]));
    }
    client.bulk("Old", "Remove", &["a"]).await;
    assert_eq!(client.tags("a").await, ["New"]);
    assert_eq!(client.tags("c").await, ["Old"]);
}

#[tokio::test]
async fn one_unknown_id_fails_the_whole_call_and_is_named() {
    let (sandbox, _running, client, _) = small(&[]).await;
    let reply = client.bulk("New", "Add", &["a", "nobody", "b"]).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body["error"]["message"], "Failed to find machines: nobody");
    assert_eq!(client.tags("a").await, ["Old"]);
    sandbox.set("bulk_unknown", "partial").unwrap();
    assert_eq!(ids(&client.bulk("New", "Add", &["a", "nobody"]).await), ["a"]);
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    let bulk = "/api/machines/AddOrRemoveTagForMultipleMachines";
    let code = |reply: &Reply| reply.body["error"]["code"].as_str().unwrap_or_default().to_owned();
    let cases = [
        (json!({ "value": "x", "Action": "Add", "MachineIds": ["a"] }), "InvalidRequestBody"),
        (json!({ "Value": "x", "MachineIds": ["a"] }), "MissingRequiredParameter"),
        (json!({ "Value": "x", "Action": "Put", "MachineIds": ["a"] }), "InvalidRequestBody"),
        (json!({ "Value": " ", "Action": "Add", "MachineIds": ["a"] }), "InvalidInput"),
        (json!({ "Value": "x", "Action": "Add", "MachineIds": vec!["a"; 501] }), "MaximumBatchSizeExceeded"),
        (json!({ "Value": "x", "Action": "Add", "MachineIds": [] }), "InvalidInput"),
    ];
    for (body, expected) in cases {
        let reply = client.post(bulk, body.clone()).await;
        assert_eq!((reply.status, code(&reply)), (400, expected.to_owned()), "{body}");
    }
    let reply = client.post("/api/machines/a/setDeviceValue", json!({ "DeviceValue": null })).await;
    assert_eq!(reply.status, 400);
    let reply = client.patch("/api/machines/a", json!({ "machineTags": [] })).await;
    assert_eq!(
        reply.body["error"]["message"],
        "Currently supporting only update of: 'tags' and 'deviceValue'"
    );
    assert_eq!(client.tags("a").await, ["Old"]);
}

#[tokio::test]
async fn values_and_single_tags_answer_with_the_device() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    let reply = client.post("/api/machines/a/setDeviceValue", json!({ "DeviceValue": "High" })).await;
    assert_eq!((&reply.body["id"], &reply.body["deviceValue"]), (&json!("a"), &json!("High")));
    assert!(reply.body["@odata.context"].as_str().unwrap().ends_with("$metadata#Machines/$entity"));
    let reply = client.post("/api/machines/b/tags", json!({ "Value": "T", "Action": "Add" })).await;
    assert_eq!(reply.body["machineTags"], json!(["Old", "T"]));
    let reply = client.post("/api/machines/nobody/tags", json!({ "Value": "T", "Action": "Add" })).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (404, &json!("ResourceNotFound")));
    assert_eq!(client.get("/api/machines/B.corp.example.com").await.body["id"], "b");
}

#[tokio::test]
async fn patch_replaces_appends_or_refuses() {
    let (sandbox, _running, client, _) = small(&[]).await;
    let body = json!({ "machineTags": ["New"], "deviceValue": "Low" });
    let reply = client.patch("/api/machines/a", body.clone()).await;
    assert_eq!((&reply.body["machineTags"], &reply.body["deviceValue"]), (&json!(["New"]), &json!("Low")));
    sandbox.set("patch", "append").unwrap();
    assert_eq!(
        client.patch("/api/machines/b", body.clone()).await.body["machineTags"],
        json!(["Old", "New"])
    );
    sandbox.set("patch", "legacy_400").unwrap();
    assert_eq!(client.patch("/api/machines/c", body).await.status, 400);
}

#[tokio::test]
async fn the_hundred_and_first_call_of_a_minute_is_refused_without_effect() {
    let (sandbox, _running, client, clock) = small(&["limit_minute=3"]).await;
    for _ in 0..3 {
        assert_eq!(client.bulk("T", "Add", &["a"]).await.status, 200);
    }
    let reply = client.bulk("U", "Add", &["a"]).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.headers["retry-after"], "60");
    assert_eq!(reply.body["error"]["code"], "429");
    assert_eq!(reply.body["error"]["message"], "API calls quota exceeded! maximum allowed 3 per 00:01:00");
    assert_eq!(client.tags("a").await, ["Old", "T"], "another route has a window of its own");
    clock.0.fetch_add(59 * 10_000_000, Ordering::SeqCst);
    assert_eq!(client.bulk("U", "Add", &["a"]).await.headers["retry-after"], "1");
    sandbox.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(client.bulk("U", "Add", &["a"]).await.status, 200);
    sandbox.set("throttle_key", "shared").unwrap();
    sandbox.set("throttle_body", "documented").unwrap();
    for _ in 0..3 {
        client.get("/api/machines/a").await;
    }
    assert_eq!(client.bulk("U", "Add", &["a"]).await.body["error"]["code"], "TooManyRequests");
}

#[tokio::test]
async fn faults_strike_the_calls_they_name() {
    let (sandbox, _running, client, _) = small(&["html_502=bulkTag:2", "reset_before=setValue:1"]).await;
    assert_eq!(client.bulk("T", "Add", &["a"]).await.status, 200);
    let reply = client.bulk("U", "Add", &["a"]).await;
    assert_eq!(reply.status, 502);
    assert!(reply.text.contains("<html>"));
    assert_eq!(client.bulk("U", "Add", &["b"]).await.status, 200);
    let value = async |id: &str| {
        client.try_post(&format!("/api/machines/{id}/setDeviceValue"), json!({ "DeviceValue": "High" })).await
    };
    assert!(value("a").await.is_err(), "no answer");
    assert_eq!(client.get("/api/machines/a").await.body["deviceValue"], "Normal");
    sandbox.set("reset_after", "setValue:2").unwrap();
    assert!(value("a").await.is_err());
    assert_eq!(
        client.get("/api/machines/a").await.body["deviceValue"],
        "High",
        "done, though never answered"
    );
    sandbox.set("applied_but_500", "bulkTag:4").unwrap();
    let reply = client.bulk("V", "Add", &["c"]).await;
    assert_eq!((reply.status, &*reply.text), (500, ""));
    assert_eq!(client.tags("c").await, ["Old", "V"]);
    sandbox.set("truncated", "list:always").unwrap();
    let reply = client.get("/api/machines").await;
    assert_eq!((reply.status, reply.body), (200, Value::Null));
    sandbox.set("cut_off", "list:always").unwrap();
    sandbox.set("truncated", "off").unwrap();
    let request = client.http.get(format!("{}/api/machines", client.base)).bearer_auth(&client.token);
    assert!(client::reply(request).await.is_err(), "the body breaks off");
}

#[tokio::test]
async fn throttling_faults_differ_in_their_retry_after() {
    let (sandbox, _running, client, _) = small(&[]).await;
    let cases = [
        ("throttle", Some("5")),
        ("throttle_silent", None),
        ("throttle_zero", Some("0")),
        ("throttle_long", Some("2400")),
        ("throttle_date", Some("Sun, 22 Nov 2026 03:00:05 GMT")),
    ];
    for (fault, expected) in cases {
        sandbox.set(fault, "list:always").unwrap();
        let reply = client.get("/api/machines").await;
        let wait = reply.headers.get("retry-after").map(|wait| wait.to_str().unwrap());
        assert_eq!((reply.status, wait), (429, expected), "{fault}");
        sandbox.set(fault, "off").unwrap();
    }
}

#[tokio::test]
async fn readers_see_a_write_when_its_delay_has_passed() {
    let (sandbox, _running, client, _) = small(&["visible_after_s=300"]).await;
    assert_eq!(client.bulk("T", "Add", &["a"]).await.body["value"][0]["machineTags"], json!(["Old", "T"]));
    assert_eq!(client.tags("a").await, ["Old"]);
    sandbox.advance(Duration::from_secs(300)).unwrap();
    assert_eq!(client.tags("a").await, ["Old", "T"]);
}

#[tokio::test]
async fn tags_of_other_origins_stay_or_come_back_and_rules_take_values_back() {
    let (sandbox, _running, client, _) = small(&["external_removal=returns"]).await;
    sandbox
        .insert(&json!({ "id": "r", "machineTags": ["M"], "registryTag": "R", "dynamicTags": ["D"], "lockedValue": "Low" }))
        .unwrap();
    assert_eq!(client.tags("r").await, ["M", "R", "D"]);
    client.bulk("D", "Remove", &["r"]).await;
    client.bulk("R", "Remove", &["r"]).await;
    assert_eq!(client.tags("r").await, ["M"]);
    let reply = client.post("/api/machines/r/setDeviceValue", json!({ "DeviceValue": "High" })).await;
    assert_eq!(reply.body["deviceValue"], "High");
    sandbox.advance(Duration::from_secs(3600)).unwrap();
    let client =
        Client { token: client.sign_in("https://api.securitycenter.microsoft.com/.default").await, ..client };
    assert_eq!(client.tags("r").await, ["M", "D"]);
    assert_eq!(client.get("/api/machines/r").await.body["deviceValue"], "Low");
    for (shows, expected) in [("manual", vec!["M"]), ("manual+registry", vec!["M"]), ("all", vec!["M", "D"])]
    {
        sandbox.set("machineTags_shows", shows).unwrap();
        assert_eq!(client.tags("r").await, expected, "{shows}");
    }
}

#[tokio::test]
async fn case_variants_stand_together_or_fold_to_the_first() {
    let (sandbox, _running, client, _) = small(&[]).await;
    client.bulk("OLD", "Add", &["a"]).await;
    assert_eq!(client.tags("a").await, ["Old", "OLD"]);
    sandbox.set("tag_case", "insensitive_keep_first").unwrap();
    client.bulk("OLD", "Add", &["b"]).await;
    assert_eq!(client.tags("b").await, ["Old"]);
    client.bulk("OLD", "Remove", &["b"]).await;
    assert!(client.tags("b").await.is_empty());
}

#[tokio::test]
async fn overlapping_writes_lose_one_and_are_logged() {
    let (sandbox, _running, client, _) = small(&["rmw_delay_ms=60"]).await;
    let (one, other) = tokio::join!(client.bulk("One", "Add", &["a"]), client.bulk("Two", "Add", &["a"]));
    assert_eq!((one.status, other.status), (200, 200));
    assert_eq!(client.tags("a").await.len(), 2, "Old and the later of the two");
    assert!(sandbox.calls().iter().any(|call| !call.overlaps.is_empty()));
}
