//! Lists, filters, paging, single devices, hunting. Writes only what a read needs.

use mdetag_sandbox::{Options, Sandbox, serve};
use serde_json::json;

use super::client::{Client, clock, ids, loopback, small};

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
