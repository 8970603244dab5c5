//! An answer that is an error, or a part, is never taken for the whole.

use serde_json::{Value, json};

use crate::tenant::fake::{AUDIENCE, Fake, FakeReply, OpenMeter, ReceivedRequest, connect, granted, writer};
use crate::tenant::{ReadDevices, ReadScope, ReadWatch, RequiredAccess, TenantErrorKind, WriteDevices};
use mdetag_core::apply::{Call, Reply, TagAction};
use mdetag_core::device::DeviceValue;

const ODD: [u16; 7] = [201, 202, 203, 204, 206, 207, 226];

fn with_error(mut body: Value) -> Value {
    body["error"] = json!({ "code": "InternalServerError", "message": "the rest could not be read" });
    body
}

/// Answers with this body that do not promise a whole read.
fn partial(body: &Value) -> Vec<FakeReply> {
    let mut answers: Vec<FakeReply> = ODD.into_iter().map(|status| FakeReply::json(status, body)).collect();
    answers.push(FakeReply::json(200, &with_error(body.clone())));
    answers
}

fn signing_in(seen: &ReceivedRequest) -> Option<FakeReply> {
    let is_graph = seen.body.contains("graph.microsoft.com");
    let audience = if is_graph { "https://graph.microsoft.com" } else { AUDIENCE };
    let roles = json!({ "aud": audience, "roles": ["Machine.ReadWrite.All", "ThreatHunting.Read.All"] });
    seen.path.ends_with("/token").then(|| granted(&roles))
}

async fn answering(say: FakeReply) -> Fake {
    Fake::start(move |seen| signing_in(seen).unwrap_or_else(|| say.clone())).await
}

#[tokio::test]
async fn a_list_page_that_is_partial_or_says_that_it_is_an_error_is_no_inventory() {
    let page = json!({ "value": [{ "id": "a1" }] });
    let mut answers = partial(&page);
    for body in [
        r#"{"value":[{"id":"a1"}],"value":[]}"#,
        r#"{"value":[{"id":"a1"}],"Value":[{"id":"a2"}]}"#,
        r#"{"value":[{"id":"a1"}],"Error":{"code":"x"}}"#,
        r#"{"value":[{"id":"a1"}],"errors":[{"code":"x"}]}"#,
        r#"{"value":[{"id":"a1"}],"@odata.nextlink":"https://x/"}"#,
    ] {
        answers.push(FakeReply::text(200, body));
    }
    for say in answers {
        let (status, body) = (say.status, String::from_utf8_lossy(&say.body).into_owned());
        let fake = answering(say).await;
        let reader = connect(fake.options(), RequiredAccess::Read).await.unwrap().reader();
        let meter = OpenMeter::default();
        let watch = ReadWatch { meter: &meter, progress: &|_| {}, pages: None };
        let read = reader.read(&ReadScope::default(), watch).await;
        let error = read.err().unwrap_or_else(|| panic!("{status} {body}"));
        assert_eq!(error.kind, TenantErrorKind::Answer, "{status} {error}");
        assert!(reader.check_list(&meter).await.is_err(), "{status} {body}");
    }
}

#[tokio::test]
async fn one_device_hunting_and_groups_are_errors_too() {
    let body = json!({ "id": "a1", "value": [], "results": [{ "DeviceId": "a1" }], "schema": [{ "name": "DeviceId" }] });
    let mut answers = partial(&body);
    answers.push(FakeReply::text(200, r#"{"error":{},"results":[],"results":[{"DeviceId":"a1"}]}"#));
    for say in answers {
        let status = say.status;
        let fake = answering(say).await;
        let tenant = connect(fake.options(), RequiredAccess::Read).await.unwrap();
        let meter = OpenMeter::default();
        assert!(tenant.reader().device("a1", &meter).await.is_err(), "{status}");
        assert!(tenant.reader().device_groups(&meter).await.is_err(), "{status}");
        let hunter = tenant.hunter().await.unwrap();
        assert!(hunter.run("DeviceInfo", &["DeviceId"], &meter).await.is_err(), "{status}");
    }
}

#[tokio::test]
async fn a_write_is_done_only_where_the_answer_says_so() {
    let bulk = Call::BulkTag { tag: "T".into(), action: TagAction::Remove, devices: vec!["a1".into()] };
    let single = Call::SingleTag { tag: "T".into(), action: TagAction::Remove, device: "a1".into() };
    let value = Call::SetValue { device: "a1".into(), value: DeviceValue::High };
    let get = Call::Get { device: "a1".into() };
    let device = json!({ "id": "a1", "machineTags": [] });
    let twice = r#"{"value":[{"id":"a1","machineTags":["T"],"machineTags":[]}]}"#;
    for (call, done) in [(bulk, &[201, 204][..]), (single, &[201, 204]), (value, &[201, 204]), (get, &[])] {
        for status in ODD {
            let fake = answering(FakeReply::json(status, &device)).await;
            let reply = writer(fake.options()).await.unwrap().send(&call).await;
            let is_answered = matches!(reply, Reply::Answered { .. });
            assert_eq!(is_answered, done.contains(&status), "{status} {call:?} {reply:?}");
            assert!(is_answered || matches!(reply, Reply::Broken { .. }), "the effect is unknown: {reply:?}");
        }
        for body in [with_error(device.clone()).to_string(), twice.to_owned()] {
            let fake = answering(FakeReply::text(200, &body)).await;
            let reply = writer(fake.options()).await.unwrap().send(&call).await;
            assert!(matches!(reply, Reply::Broken { .. }), "{body} {reply:?}");
        }
    }
}

#[tokio::test]
async fn tags_that_are_no_list_of_texts_prove_nothing_about_a_device() {
    for tags in [json!("T"), json!(["A", 5]), json!({ "0": "T" })] {
        let fake = answering(FakeReply::json(200, &json!({ "id": "a1", "machineTags": tags }))).await;
        let reply = writer(fake.options()).await.unwrap().send(&Call::Get { device: "a1".into() }).await;
        assert_eq!(reply, Reply::Answered { devices: vec![] });
    }
}

#[tokio::test]
async fn a_token_with_an_error_or_another_status_is_none() {
    let whole = granted(&json!({ "roles": ["Machine.Read.All"] }));
    let body: Value = serde_json::from_slice(&whole.body).unwrap();
    for say in partial(&body) {
        let status = say.status;
        let fake = Fake::start(move |_| say.clone()).await;
        let error = connect(fake.options(), RequiredAccess::Read).await.err();
        assert!(error.is_some_and(|error| error.kind == TenantErrorKind::SignIn), "{status}");
    }
}
