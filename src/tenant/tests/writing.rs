//! Calls are sent, and replies come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::tenant::fake::{Fake, FakeReply, OpenMeter, connect, granted, writer};
use crate::tenant::{RequiredAccess, TenantErrorKind, WriteDevices};
use mdetag_core::apply::{Call, DeviceState, Reply, TagAction};
use mdetag_core::device::DeviceValue;

const WRITES: &[&str] = &["Machine.ReadWrite.All"];

fn value_call() -> Call {
    Call::SetValue { device: "a1".into(), value: DeviceValue::High }
}

async fn reply_to(say: FakeReply) -> Reply {
    let fake = Fake::tenant(WRITES, move |_| say.clone()).await;
    let writer = writer(fake.options()).await.unwrap();
    writer.send(&value_call()).await
}

#[tokio::test]
async fn a_bulk_call_goes_out_as_documented_and_its_devices_come_back() {
    let body = json!({ "value": [{ "id": "a1", "machineTags": ["T"], "deviceValue": "Normal" }] });
    let fake = Fake::tenant(WRITES, move |_| FakeReply::json(200, &body)).await;
    let writer = writer(fake.options()).await.unwrap();
    let call = Call::BulkTag { tag: "T".into(), action: TagAction::Add, devices: vec!["a1".into()] };
    let reply = writer.send(&call).await;
    let tags: Vec<Arc<str>> = vec!["T".into()];
    let devices =
        vec![DeviceState { id: "a1".into(), tags, has_tag_list: true, value: Some("Normal".into()) }];
    assert_eq!(reply, Reply::Answered { devices });
    let sent = &fake.calls()[0];
    assert_eq!(
        (&*sent.method, sent.header("content-type")),
        ("POST", Some("application/json; charset=utf-8"))
    );
    assert_eq!(sent.path, "/api/machines/AddOrRemoveTagForMultipleMachines");
    assert_eq!(sent.body, r#"{"Action":"Add","MachineIds":["a1"],"Value":"T"}"#);
}

#[tokio::test]
async fn every_kind_of_answer_is_a_reply() {
    assert_eq!(reply_to(FakeReply::text(204, "")).await, Reply::Answered { devices: vec![] });
    assert!(matches!(reply_to(FakeReply::text(200, "<html>")).await, Reply::Broken { status: 200, .. }));
    let Reply::Rejected(slow) = reply_to(FakeReply::text(429, "").with("retry-after", "40")).await else {
        panic!()
    };
    assert_eq!((slow.status, slow.retry_after), (429, Some(Duration::from_secs(40))));
    let body = json!({ "error": { "code": "ResourceNotFound", "message": "Machine a1 was not found", "target": "t" } });
    let Reply::Rejected(gone) = reply_to(FakeReply::json(404, &body)).await else { panic!() };
    assert_eq!((gone.status, &*gone.code, gone.request_id.as_deref()), (404, "ResourceNotFound", Some("t")));
}

#[tokio::test]
async fn a_redirect_is_a_rejection_and_its_target_never_hears_of_it() {
    let trap = Fake::start(|_| FakeReply::text(200, "{}")).await;
    for status in [301, 302, 307, 308] {
        let Reply::Rejected(rejection) =
            reply_to(FakeReply::text(status, "").with("location", &trap.url)).await
        else {
            panic!()
        };
        assert!(rejection.message.contains("not followed"), "{rejection:?}");
    }
    let created = FakeReply::json(201, &json!({ "id": "a1" })).with("location", &trap.url);
    assert!(matches!(reply_to(created).await, Reply::Answered { .. }));
    assert!(trap.seen().is_empty());
}

#[tokio::test]
async fn a_401_is_answered_with_a_new_token_once() {
    let signed = Arc::new(AtomicUsize::new(0));
    let (count, grant) = (signed.clone(), granted(&json!({ "roles": WRITES })));
    let fake = Fake::start(move |seen| {
        if seen.path.ends_with("/token") {
            count.fetch_add(1, Ordering::Relaxed);
            return grant.clone();
        }
        FakeReply::text(401, "")
    })
    .await;
    let writer = writer(fake.options()).await.unwrap();
    let Reply::Rejected(rejection) = writer.send(&value_call()).await else { panic!() };
    assert_eq!(rejection.status, 401);
    assert_eq!((signed.load(Ordering::Relaxed), fake.calls().len()), (2, 2));
}

#[tokio::test]
async fn no_connection_is_a_lost_reply_that_was_not_sent() {
    let fake = Fake::tenant(WRITES, |_| FakeReply::text(200, "")).await;
    let mut options = fake.options();
    // Port 1 of loopback, where nobody listens.
    let overrides = crate::tenant::Overrides {
        api: Some(crate::tenant::Override::environment("http://127.0.0.1:1")),
        login: Some(crate::tenant::Override::environment(&fake.url)),
        graph: None,
    };
    options.endpoints =
        crate::tenant::Endpoints::new(mdetag_core::cloud::Cloud::Public, None, &overrides, &[]).unwrap();
    let writer = writer(options).await.unwrap();
    let reply = writer.send(&value_call()).await;
    assert!(matches!(&reply, Reply::Lost { maybe_sent: false, .. }), "{reply:?}");
}

#[tokio::test]
async fn an_id_that_could_leave_its_path_is_not_sent() {
    let fake = Fake::tenant(WRITES, |_| FakeReply::text(200, "")).await;
    let writer = writer(fake.options()).await.unwrap();
    let call = Call::SetValue { device: "../alerts".into(), value: DeviceValue::Low };
    assert!(matches!(writer.send(&call).await, Reply::Rejected(_)));
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn a_reading_token_has_no_writer_and_the_error_says_how_to_get_one() {
    let fake = Fake::tenant(&["Machine.Read.All"], |_| FakeReply::text(200, "")).await;
    assert!(connect(fake.options(), RequiredAccess::Read).await.is_ok());
    let error = writer(fake.options()).await.err().unwrap();
    assert_eq!(error.kind, TenantErrorKind::Role);
    assert!(error.help.iter().any(|step| step.contains("Machine.ReadWrite.All")));
    assert!(fake.calls().is_empty(), "refused before the first call");
}

#[tokio::test]
async fn a_glimpse_shows_how_far_the_clocks_are_apart() {
    // The fixed clock of these tests is at 2026-11-18T11:06:40Z.
    let fake = Fake::tenant(WRITES, |_| {
        FakeReply::json(200, &json!({ "value": [{ "id": "a" }] }))
            .with("date", "Wed, 18 Nov 2026 11:06:30 GMT")
    })
    .await;
    let reader = connect(fake.options(), RequiredAccess::Read).await.unwrap().reader();
    let list_check = reader.check_list(&OpenMeter::default()).await.unwrap();
    assert_eq!((list_check.has_devices, list_check.clock_ahead_millis), (true, Some(10_000)));
    assert_eq!(fake.calls()[0].option("$top"), Some("1"));
}
