//! The switches that make the sandbox as difficult as the world: refused devices, gateways, lists without an end, slow bytes.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, ids, small};

fn message(reply: &super::client::Reply) -> String {
    reply.body["error"]["message"].as_str().unwrap_or_default().to_owned()
}

async fn single(client: &Client, id: &str) -> u16 {
    client.post(&format!("/api/machines/{id}/tags"), json!({ "Value": "T", "Action": "Add" })).await.status
}

#[tokio::test]
async fn a_refused_device_fails_the_bulk_call_and_is_named_as_the_switch_says() {
    let (sandbox, _running, client, _) = small(&["refuse=ids:a+b"]).await;
    for (answer, named) in [
        ("named", "Machines cannot be tagged: a, b"),
        ("partly_named", "Machines cannot be tagged: a"),
        ("named_with_good", "Machines cannot be tagged: a, b, c"),
        ("opaque", "The request could not be processed."),
        ("single_403", "The request could not be processed."),
    ] {
        sandbox.set("refuse_answer", answer).unwrap();
        let reply = client.bulk("T", "Add", &["a", "b", "c"]).await;
        assert_eq!((reply.status, message(&reply)), (400, named.to_owned()), "{answer}");
    }
    assert_eq!(client.tags("c").await, ["Old"], "nothing was applied");
    assert_eq!(client.bulk("T", "Add", &["c"]).await.status, 200);
    for (answer, status) in [("named+single_404", 404), ("single_403", 403), ("opaque+single_400", 400)] {
        sandbox.set("refuse_answer", answer).unwrap();
        assert_eq!(single(&client, "a").await, status, "{answer}");
    }
    assert_eq!(single(&client, "c").await, 200);
    assert_eq!(client.tags("a").await, ["Old"]);
}

#[tokio::test]
async fn devices_are_refused_by_onboarding_or_by_share() {
    let (sandbox, _running, client, _) = small(&["refuse=unonboarded"]).await;
    sandbox.insert(&json!({ "id": "d", "onboardingStatus": "CanBeOnboarded" })).unwrap();
    assert_eq!((single(&client, "a").await, single(&client, "d").await), (200, 404));
    let devices: Vec<Value> = (0..50).map(|number| json!({ "id": format!("{number:040x}") })).collect();
    sandbox.insert(&json!(devices)).unwrap();
    sandbox.set("refuse", "share:0.3").unwrap();
    let mut refused = 0;
    for device in &devices {
        refused += u16::from(single(&client, device["id"].as_str().unwrap()).await == 404);
    }
    assert!((5..26).contains(&refused), "{refused} of 50");
    for wrong in ["share:2", "ids:", "some"] {
        assert!(sandbox.set("refuse", wrong).unwrap_err().contains("share:0.1"), "{wrong}");
    }
    assert!(sandbox.set("refuse_answer", "named+rude").is_err());
}

#[tokio::test]
async fn a_value_of_a_forbidden_share_answers_403_and_tags_still_work() {
    let (_sandbox, _running, client, _) = small(&["value_forbidden=share:1"]).await;
    let reply = client.post("/api/machines/a/setDeviceValue", json!({ "DeviceValue": "High" })).await;
    assert_eq!(reply.status, 403);
    assert_eq!(client.bulk("T", "Add", &["a"]).await.status, 200);
}

#[tokio::test]
async fn the_bulk_route_can_be_missing_while_single_tagging_works() {
    let (sandbox, _running, client, _) = small(&["bulk_route=missing"]).await;
    assert_eq!(client.bulk("T", "Add", &["a"]).await.status, 404);
    sandbox.set("bulk_route", "missing_405").unwrap();
    assert_eq!(client.bulk("T", "Add", &["a"]).await.status, 405);
    assert_eq!(single(&client, "a").await, 200);
}

#[tokio::test]
async fn both_spellings_of_the_bulk_action_are_one_route() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    let body = json!({ "Value": "T", "Action": "Add", "MachineIds": ["a"] });
    let reply = client.post("/api/machines/addOrRemoveTagForMultipleMachines", body).await;
    assert_eq!(ids(&reply), ["a"]);
}

#[tokio::test]
async fn a_list_can_be_something_else() {
    let (sandbox, _running, client, _) = small(&[]).await;
    for (value, status) in [("empty", 200), ("html404", 404), ("html200", 200), ("json_without_value", 200)] {
        sandbox.set("list_body", value).unwrap();
        let reply = client.get("/api/machines").await;
        assert_eq!(reply.status, status, "{value}");
        assert_eq!(reply.text.starts_with('<'), value.starts_with("html"), "{value}");
        assert!(!reply.text.contains("\"id\""), "{value}");
    }
}

#[tokio::test]
async fn many_rows_of_one_last_seen_stand_behind_a_hard_cap() {
    let (_sandbox, _running, client, _) = small(&["paging=hard_cap", "page=2", "same_last_seen=3"]).await;
    let first = client.get("/api/machines").await;
    let moment = first.body["value"][0]["lastSeen"].as_str().unwrap().to_owned();
    assert_eq!(first.body["value"][1]["lastSeen"], moment);
    let later = client.get(&format!("/api/machines?$filter=lastSeen%20gt%20{moment}")).await;
    assert_eq!(ids(&later), [""; 0]);
    let same = client.get(&format!("/api/machines?$filter=lastSeen%20ge%20{moment}")).await;
    assert_eq!(ids(&same), ids(&first), "no filter on it reaches the third");
}

#[tokio::test]
async fn lists_without_an_end_never_have_an_empty_page() {
    let (sandbox, _running, client, _) = small(&["paging=skip_endless", "page=2"]).await;
    assert_eq!(ids(&client.get("/api/machines?$skip=400").await), ["b", "c"]);
    sandbox.set("paging", "nextlink_endless").unwrap();
    let page = client.get("/api/machines?$skip=400").await;
    assert!(page.body["@odata.nextLink"].as_str().unwrap().ends_with("$skip=402"), "{}", page.text);
}

#[tokio::test]
async fn an_error_can_repeat_the_authorization_header() {
    let (_sandbox, _running, client, _) = small(&["echo_authorization=on"]).await;
    let reply = client.bulk("T", "Add", &["nobody"]).await;
    assert!(message(&reply).contains(&client.token), "{}", reply.text);
    assert!(!client.get("/api/machines").await.text.contains(&client.token));
}

#[tokio::test]
async fn an_entra_id_is_found_quoted_and_unquoted_in_any_case() {
    let (sandbox, _running, client, _) = small(&[]).await;
    let guid = "5d0c3a0e-9f0c-4f7e-8d37-3b6c9a1e7f42";
    sandbox.insert(&json!({ "id": "e", "aadDeviceId": guid })).unwrap();
    for written in [guid.to_owned(), format!("'{guid}'"), guid.to_uppercase()] {
        let reply = client.get(&format!("/api/machines?$filter=aadDeviceId%20eq%20{written}")).await;
        assert_eq!(ids(&reply), ["e"], "{written}");
    }
    assert_eq!(client.get("/api/machines?$filter=aadDeviceId%20eq%20nobody").await.status, 400);
}

#[tokio::test]
async fn the_sign_in_service_describes_itself() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    let tenant = &client.credentials.tenant_id;
    let reply = client.get(&format!("/{tenant}/v2.0/.well-known/openid-configuration")).await;
    let endpoint = format!("{}/{tenant}/oauth2/v2.0/token", client.base);
    assert_eq!(reply.body["token_endpoint"], json!(endpoint));
    assert_eq!(client.get("/nobody/v2.0/.well-known/openid-configuration").await.status, 400);
}

#[tokio::test]
async fn the_old_scope_reads_the_machine_routes() {
    let (_sandbox, _running, mut client, _) = small(&[]).await;
    client.token = client.sign_in("https://securitycenter.onmicrosoft.com/windowsatpservice/.default").await;
    assert_eq!(client.get("/api/machines").await.status, 200);
}

#[tokio::test]
async fn the_old_hunting_route_brings_its_role() {
    let (_sandbox, _running, client, _) = small(&["mde_hunting=on"]).await;
    let reply =
        client.post("/api/advancedqueries/run", json!({ "Query": "DeviceInfo | project DeviceId" })).await;
    assert_eq!(
        (reply.status, reply.body["Results"].as_array().map(Vec::len)),
        (200, Some(3)),
        "{}",
        reply.text
    );
}

#[tokio::test]
async fn retry_after_comes_in_forms_that_few_expect() {
    let (_sandbox, _running, client, _) =
        small(&["throttle_fraction=list:1", "throttle_garbled=list:2"]).await;
    for form in ["2.5", "soon"] {
        let reply = client.get("/api/machines").await;
        assert_eq!((reply.status, reply.headers["retry-after"].to_str().unwrap()), (429, form));
    }
}

#[tokio::test]
async fn an_answer_can_be_coded_as_nobody_asked() {
    let (sandbox, _running, client, _) = small(&[]).await;
    sandbox.set("gzip", "deflate").unwrap();
    let request = client.http.get(format!("{}/api/machines", client.base)).bearer_auth(&client.token);
    let response = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "deflate");
}

#[tokio::test]
async fn a_body_can_come_a_byte_at_a_time() {
    let (_sandbox, _running, client, _) = small(&["drip=get:1", "drip_ms=1"]).await;
    let started = std::time::Instant::now();
    let reply = client.get("/api/machines/a").await;
    assert_eq!(reply.body["id"], "a");
    assert!(started.elapsed() > Duration::from_millis(reply.text.len() as u64 / 2));
}

#[tokio::test]
async fn interim_answers_can_go_on_without_an_answer() {
    let (_sandbox, _running, client, _) = small(&["endless_1xx=get:1"]).await;
    let request = client.http.get(format!("{}/api/machines/a", client.base)).bearer_auth(&client.token);
    let error = request.timeout(Duration::from_millis(400)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(client.get("/api/machines/a").await.status, 200, "the next call is answered");
}
