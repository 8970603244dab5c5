//! The sandbox as another client meets it: real HTTP on loopback, one behaviour of the service a test.
//! Does not test the client; nothing of it is used here.

// The lint knows only functions marked as tests; their helpers are tests too.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use mdetag::sandbox::{Credentials, FleetFile, Options, Route, Running, Sandbox, generate, serve};
use mdetag::time::{Clock, Timestamp};
use serde_json::{Value, json};

/// A clock that tests move by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_ticks(self.0.load(Ordering::SeqCst))
    }
}

fn clock() -> Arc<Hand> {
    Arc::new(Hand(AtomicI64::new(Timestamp::parse("2026-11-22T03:00:00Z").unwrap().ticks())))
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

struct Client {
    http: reqwest::Client,
    base: String,
    credentials: Credentials,
    token: String,
}

struct Reply {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
    text: String,
}

impl Client {
    async fn new(running: &Running, sandbox: &Sandbox) -> Client {
        let mut client = Client {
            http: http(),
            base: running.url(),
            credentials: sandbox.credentials(),
            token: String::new(),
        };
        client.token = client.sign_in("https://api.securitycenter.microsoft.com/.default").await;
        client
    }

    async fn sign_in(&self, scope: &str) -> String {
        let reply = self.token_call("/oauth2/v2.0/token", &[("scope", scope)]).await;
        reply.body["access_token"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
    }

    async fn token_call(&self, path: &str, more: &[(&str, &str)]) -> Reply {
        let secret = self.credentials.client_secret.clone();
        let client = self.credentials.client_id.clone();
        let mut form =
            vec![("grant_type", "client_credentials"), ("client_id", &client), ("client_secret", &secret)];
        for (name, value) in more {
            form.retain(|(other, _)| other != name);
            form.push((name, value));
        }
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let url = format!("{}/{}{path}", self.base, self.credentials.tenant_id);
        let request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        reply(request.body(body.join("&"))).await.unwrap()
    }

    async fn get(&self, path: &str) -> Reply {
        reply(self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token)).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.try_post(path, body).await.unwrap()
    }

    async fn try_post(&self, path: &str, body: Value) -> reqwest::Result<Reply> {
        reply(self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(&body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Reply {
        reply(self.http.patch(format!("{}{path}", self.base)).bearer_auth(&self.token).json(&body))
            .await
            .unwrap()
    }

    async fn bulk(&self, tag: &str, action: &str, ids: &[&str]) -> Reply {
        let body = json!({ "Value": tag, "Action": action, "MachineIds": ids });
        self.post("/api/machines/AddOrRemoveTagForMultipleMachines", body).await
    }

    async fn tags(&self, id: &str) -> Vec<String> {
        let reply = self.get(&format!("/api/machines/{id}")).await;
        serde_json::from_value(reply.body["machineTags"].clone()).unwrap_or_else(|_| panic!("{}", reply.text))
    }
}

fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy().build().unwrap()
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

async fn reply(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    Ok(Reply { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text })
}

/// A sandbox of three devices `a`, `b`, `c`, served.
async fn small(faults: &[&str]) -> (Sandbox, Running, Client, Arc<Hand>) {
    let clock = clock();
    let faults = faults.iter().map(|text| (*text).to_owned()).collect();
    let options = Options { devices: 0, faults, ..Options::default() };
    let sandbox = Sandbox::in_memory(&options, clock.clone()).unwrap();
    let device = |id: &str, day: u32| json!({ "id": id, "computerDnsName": format!("{id}.corp.example.com"), "lastSeen": format!("2026-11-{day}T00:00:00Z"), "machineTags": ["Old"] });
    sandbox.insert(&json!([device("a", 10), device("b", 11), device("c", 12)])).unwrap();
    let running = serve(&sandbox, loopback()).await.unwrap();
    let client = Client::new(&running, &sandbox).await;
    (sandbox, running, client, clock)
}

fn ids(reply: &Reply) -> Vec<&str> {
    let devices = reply.body["value"].as_array().unwrap_or_else(|| panic!("{}", reply.text));
    devices.iter().map(|device| device["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_list_has_the_recorded_headers_and_every_member() {
    let sandbox = Sandbox::in_memory(&Options { devices: 50, ..Options::default() }, clock()).unwrap();
    let running = serve(&sandbox, loopback()).await.unwrap();
    let client = Client::new(&running, &sandbox).await;
    let reply = client.get("/api/machines?$top=10000").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.headers["content-type"],
        "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"
    );
    assert_eq!(reply.headers["odata-version"], "4.0");
    assert_eq!(reply.headers["date"], "Sun, 22 Nov 2026 03:00:00 GMT");
    assert!(reply.headers.contains_key("strict-transport-security"));
    assert_eq!(ids(&reply).len(), 50);
    assert!(reply.body["value"][0].as_object().unwrap().len() == 30, "{}", reply.body["value"][0]);
    let again = client.get("/api/v1.0/machines?%24top=7&%24skip=45").await;
    assert_eq!(ids(&again), ids(&reply)[45..]);
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_accept_gzip_gets_chunks_as_they_are() {
    let (_sandbox, running, client, _) = small(&[]).await;
    let plain = reqwest::Client::builder().no_gzip().no_proxy().build().unwrap();
    let request = plain.get(format!("{}/api/machines", running.url())).bearer_auth(&client.token);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    assert!(!response.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn filters_reach_the_list_in_both_spellings() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    for filter in ["lastSeen+ge+2026-11-11Z", "lastSeen%20ge%202026-11-11T00:00:00Z"] {
        let reply = client.get(&format!("/api/machines?$filter={filter}")).await;
        assert_eq!(ids(&reply), ["b", "c"], "{filter}");
    }
    let reply = client.get("/api/machines?$filter=firstSeen+gt+2026-11-11Z").await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("ODataError")));
    assert_eq!(client.get("/api/machines?$top=10001").await.status, 400);
}

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
    assert_eq!((reply.status, &*reply.text == ""), (502, false));
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
    assert!(self::reply(request).await.is_err(), "the body breaks off");
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
async fn rights_are_checked_in_order() {
    let (sandbox, _running, mut client, clock) = small(&[]).await;
    let good = client.token.clone();
    client.token = "garbage".to_owned();
    let reply = client.get("/api/machines").await;
    assert_eq!((reply.status, reply.headers.contains_key("www-authenticate")), (401, true));
    client.token = client.sign_in("https://api.security.microsoft.com/.default").await;
    assert_eq!(client.get("/api/machines").await.status, 403);
    client.token = good;
    sandbox.set("mde_inactive", "on").unwrap();
    let reply = client.get("/api/machines").await;
    assert!(reply.status == 401 && reply.text.contains("Account mode is inactive"));
    sandbox.set("mde_inactive", "off").unwrap();
    sandbox.set("roles", "Machine.Read.All").unwrap();
    client.token = client.sign_in("https://api.securitycenter.microsoft.com/.default").await;
    assert_eq!(client.get("/api/machines").await.status, 200);
    let reply = client.bulk("T", "Add", &["a"]).await;
    assert_eq!(reply.status, 403);
    assert!(
        reply
            .text
            .contains("API required roles: Machine.ReadWrite.All, application roles: Machine.Read.All.")
    );
    clock.0.fetch_add(3599 * 10_000_000, Ordering::SeqCst);
    assert_eq!(client.get("/api/machines").await.status, 401, "expired");
}

#[tokio::test]
async fn a_delegated_user_sees_only_their_groups() {
    let (sandbox, _running, mut client, _) = small(&["delegated=on", "visible_groups=150"]).await;
    sandbox.insert(&json!({ "id": "d", "rbacGroupId": 150, "rbacGroupName": "Servers" })).unwrap();
    client.token = client.sign_in("https://api.securitycenter.microsoft.com/.default").await;
    assert_eq!(ids(&client.get("/api/machines").await), ["d"]);
    assert_eq!(
        client.post("/api/machines/a/tags", json!({ "Value": "T", "Action": "Add" })).await.status,
        404
    );
}

#[tokio::test]
async fn sign_in_errors_are_those_of_the_sign_in_service() {
    let (sandbox, _running, client, _) = small(&[]).await;
    let scope = ("scope", "https://api.securitycenter.microsoft.com/.default");
    let v1 =
        client.token_call("/oauth2/token", &[("resource", "https://api.securitycenter.microsoft.com")]).await;
    assert_eq!(v1.body["expires_in"], "3599", "version 1 writes numbers as text");
    let cases: [(&[(&str, &str)], u16, u64); 4] = [
        (&[("client_secret", "wrong"), scope], 401, 7000215),
        (&[("client_id", "wrong"), scope], 400, 700016),
        (&[("scope", "https://api.securitycenter.microsoft.com")], 400, 1002012),
        (&[("scope", "https://nowhere.example/.default")], 400, 500011),
    ];
    for (fields, status, number) in cases {
        let reply = client.token_call("/oauth2/v2.0/token", fields).await;
        assert_eq!((reply.status, &reply.body["error_codes"]), (status, &json!([number])), "{fields:?}");
    }
    sandbox.set("secret", "expired").unwrap();
    assert_eq!(client.token_call("/oauth2/v2.0/token", &[scope]).await.body["error_codes"], json!([7000222]));
    sandbox.set("tenant", "unknown").unwrap();
    assert_eq!(client.token_call("/oauth2/v2.0/token", &[scope]).await.body["error_codes"], json!([90002]));
}

#[tokio::test]
async fn every_way_of_paging_is_served() {
    let (sandbox, _running, client, _) = small(&["page=2"]).await;
    let first = client.get("/api/machines?$top=10000").await;
    assert_eq!((ids(&first), first.body.get("@odata.nextLink")), (vec!["a", "b"], None));
    assert_eq!(ids(&client.get("/api/machines?$top=10000&$skip=2").await), ["c"]);
    sandbox.set("paging", "hard_cap").unwrap();
    assert!(ids(&client.get("/api/machines?$skip=2").await).is_empty());
    assert_eq!(ids(&client.get("/api/machines?$filter=lastSeen+gt+2026-11-11Z").await), ["c"]);
    sandbox.set("paging", "nextlink").unwrap();
    let reply = client.get("/api/machines?$filter=id+ne+'x'").await;
    let link = reply.body["@odata.nextLink"].as_str().unwrap().to_owned();
    assert!(
        link.starts_with(&client.base) && link.ends_with("/api/machines?$filter=id+ne+%27x%27&$skip=2"),
        "{link}"
    );
    assert_eq!(ids(&client.get(&link[client.base.len()..]).await), ["c"]);
    assert!(client.get("/api/machines?$top=10000").await.body.get("@odata.nextLink").is_none());
    sandbox.set("nextlink_with_top", "on").unwrap();
    sandbox.set("page", "1").unwrap();
    sandbox.set("paging", "nextlink_bad").unwrap();
    let reply = client.get("/api/machines?$top=10000&$filter=id+ne+'x'&$skip=1").await;
    assert!(!reply.body["@odata.nextLink"].as_str().unwrap().contains("filter"));
    for (mode, part) in [
        ("nextlink_global_host", "https://api.securitycenter.microsoft.com/"),
        ("nextlink_foreign_host", "https://attacker.example/"),
    ] {
        sandbox.set("paging", mode).unwrap();
        assert!(
            client.get("/api/machines").await.body["@odata.nextLink"].as_str().unwrap().starts_with(part)
        );
    }
}

#[tokio::test]
async fn a_fleet_can_move_repeat_and_vanish_while_it_is_read() {
    let (sandbox, _running, client, _) = small(&["page=2", "after_page=1:delete", "dup_ids=on"]).await;
    assert_eq!(ids(&client.get("/api/machines").await), ["a", "b"]);
    assert_eq!(ids(&client.get("/api/machines?$skip=2").await), ["b"], "c was skipped, b comes twice");
    sandbox.delete(&["b", "c"]).unwrap();
    assert!(ids(&client.get("/api/machines").await).is_empty());
    sandbox.set("empty", "404").unwrap();
    assert_eq!(client.get("/api/machines").await.status, 404);
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

#[tokio::test]
async fn hunting_projects_columns_and_has_its_own_audience() {
    let (sandbox, _running, mut client, _) = small(&[]).await;
    sandbox.set_hunting("DeviceEvents  | distinct DeviceId", &["a", "ghost"]).unwrap();
    let query = |text: &str| json!({ "Query": text });
    assert_eq!(client.post("/v1.0/security/runHuntingQuery", query("DeviceInfo")).await.status, 403);
    client.token = client.sign_in("https://graph.microsoft.com/.default").await;
    let reply =
        client.post("/v1.0/security/runHuntingQuery", query("DeviceEvents | distinct DeviceId")).await;
    assert_eq!(reply.body["results"], json!([{ "DeviceId": "a" }, { "DeviceId": "ghost" }]));
    let tags =
        "DeviceInfo | summarize arg_max(Timestamp, *) by DeviceId | project DeviceId, DeviceManualTags";
    let reply = client.post("/v1.0/security/runHuntingQuery", query(tags)).await;
    assert_eq!(reply.body["results"][0]["DeviceManualTags"], "[\"Old\"]");
    assert_eq!(reply.body["schema"][0]["name"], "DeviceId");
    assert_eq!(client.post("/v1.0/security/runHuntingQuery", query("DeviceEvents")).await.status, 400);
}

#[tokio::test]
async fn tags_are_found_by_name_or_prefix_and_unknown_routes_are_not() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    client.bulk("Older", "Add", &["b"]).await;
    assert_eq!(ids(&client.get("/api/machines/findbytag?tag=Older").await), ["b"]);
    assert_eq!(ids(&client.get("/api/machines/findbytag?tag=Old&useStartsWithFilter=true").await).len(), 3);
    assert_eq!(client.get("/api/machines/findbytag").await.body["error"]["code"], "MissingRequiredParameter");
    assert_eq!(client.get("/api/machine").await.status, 404);
}

fn open(directory: &Path, clock: Arc<Hand>) -> Sandbox {
    Sandbox::open(directory, &Options { devices: 30, ..Options::default() }, clock).unwrap()
}

#[tokio::test]
async fn state_windows_and_calls_survive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let id;
    {
        let sandbox = open(directory.path(), clock.clone());
        let running = serve(&sandbox, loopback()).await.unwrap();
        let client = Client::new(&running, &sandbox).await;
        id = sandbox.devices().unwrap()[0]["id"].as_str().unwrap().to_owned();
        for _ in 0..100 {
            assert_eq!(client.bulk("Kept", "Add", &[&id]).await.status, 200);
        }
        running.stop().await;
    }
    let sandbox = open(directory.path(), clock.clone());
    let running = serve(&sandbox, loopback()).await.unwrap();
    let client = Client::new(&running, &sandbox).await;
    assert!(client.tags(&id).await.contains(&"Kept".to_owned()));
    assert_eq!(client.bulk("Kept", "Add", &[&id]).await.status, 429);
    clock.0.fetch_add(60 * 10_000_000, Ordering::SeqCst);
    assert_eq!(client.bulk("Kept", "Add", &[&id]).await.status, 200);
    let log = std::fs::read_to_string(directory.path().join("calls.ndjson")).unwrap();
    assert!(log.lines().count() > 103);
    assert!(!log.contains(&client.credentials.client_secret) && !log.contains(&client.token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_opener_is_a_guest_until_the_first_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), clock());
    let running = serve(&first, loopback()).await.unwrap();
    let second = open(directory.path(), clock());
    assert!(second.is_guest());
    let guest = serve(&second, loopback()).await.unwrap();
    let client = Client::new(&guest, &second).await;
    let id = second.devices().unwrap()[3]["id"].as_str().unwrap().to_owned();
    client.bulk("Through", "Add", &[&id]).await;
    assert!(first.calls().iter().any(|call| call.route == Route::BulkTag));
    assert!(!second.disturb(5, 9).unwrap().is_empty());
    let faults = Options { faults: vec!["slow=always".to_owned()], ..Options::default() };
    assert!(Sandbox::open(directory.path(), &faults, clock()).is_err());
    running.stop().await;
    drop(first);
    let client = Client { http: http(), ..client };
    assert!(client.tags(&id).await.contains(&"Through".to_owned()), "the guest has taken over");
    assert!(!second.is_guest());
}

#[tokio::test]
async fn a_torn_last_edit_is_forgotten_and_a_foreign_file_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = {
        let sandbox = open(directory.path(), clock());
        let before = sandbox.devices().unwrap();
        sandbox.disturb(8, 1).unwrap();
        (before, sandbox.devices().unwrap())
    };
    assert_ne!(before, after);
    let edits = directory.path().join("edits.ndjson");
    let whole = std::fs::read(&edits).unwrap();
    std::fs::write(&edits, [&whole[..], b"{\"at\":1,\"op\":\"add\",\"ta"].concat()).unwrap();
    assert_eq!(open(directory.path(), clock()).devices().unwrap(), after);
    assert_eq!(std::fs::read(&edits).unwrap(), whole);
    std::fs::write(&edits, b"hello\n").unwrap();
    let options = Options::default();
    let error = Sandbox::open(directory.path(), &options, clock()).unwrap_err();
    assert!(error.to_string().contains("remove the directory"), "{error}");
    assert!(Sandbox::create(directory.path(), &options, clock()).is_err(), "there is one already");
}

#[tokio::test]
async fn disturbances_are_seen_by_the_next_read_and_differ_by_seed() {
    let sandbox = Sandbox::in_memory(&Options { devices: 200, ..Options::default() }, clock()).unwrap();
    let before = sandbox.devices().unwrap();
    let done = sandbox.disturb(12, 5).unwrap();
    assert_eq!(done.len(), 12);
    let changed =
        before.iter().zip(sandbox.devices().unwrap()).filter(|(one, other)| **one != *other).count();
    assert_eq!(changed, 12);
    assert_ne!(sandbox.disturb(12, 6).unwrap(), done);
}

#[tokio::test]
async fn a_sandbox_serves_no_other_address_than_loopback() {
    let sandbox = Sandbox::in_memory(&Options { devices: 1, ..Options::default() }, clock()).unwrap();
    assert!(serve(&sandbox, SocketAddr::from(([0, 0, 0, 0], 0))).await.is_err());
}

#[test]
fn a_generated_file_holds_the_devices_that_the_sandbox_serves() {
    let created = clock().now();
    let mut file = Vec::new();
    generate(&mut file, &FleetFile { devices: 40, seed: 1, created, header: false }).unwrap();
    let lines = String::from_utf8(file).unwrap();
    let sandbox = Sandbox::in_memory(&Options { devices: 40, ..Options::default() }, clock()).unwrap();
    let served = sandbox.devices().unwrap();
    let written: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written, served);
}
