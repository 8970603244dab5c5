//! No secret, assertion or token appears in any error, `Debug` text or log line, at the highest verbosity.

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::tenant::fake::{Fake, FakeReply, OpenMeter, TENANT, claims_with, connect, from, secret, writer};
use crate::tenant::{
    ConnectOptions, ReadDevices, ReadScope, ReadWatch, RequiredAccess, Tenant, TenantError, WriteDevices,
    claims,
};
use mdetag_core::apply::{Call, Reply};
use mdetag_core::device::DeviceValue;
use mdetag_core::inventory::{Snapshot, Trust};

#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogBuffer {
    type Writer = LogBuffer;

    fn make_writer(&'a self) -> LogBuffer {
        self.clone()
    }
}

/// Everything logged on this thread until the guard is dropped.
fn logged() -> (LogBuffer, tracing::subscriber::DefaultGuard) {
    let kept = LogBuffer::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(kept.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    (kept, guard)
}

#[tokio::test]
async fn a_whole_session_at_trace_level_shows_neither_secret_nor_token() {
    let (kept, _guard) = logged();
    let token = claims::token_of(&claims_with(&json!({ "roles": ["Machine.ReadWrite.All"] })));
    let body = json!({ "access_token": token.expose_secret(), "expires_in": 3599 });
    // A careless service that repeats what it was sent.
    let fake = Fake::start(move |seen| match seen.path.as_str() {
        path if path.ends_with("/v2.0/token") => FakeReply::json(200, &body),
        _ => FakeReply::text(401, ""),
    })
    .await;
    // Another test's thread may be the first to log at a call site, and may cache "nobody listens" just as this test starts.
    // After every call site has logged, the caches are rebuilt.
    connect(fake.options(), RequiredAccess::Write).await.unwrap();
    tracing::callsite::rebuild_interest_cache();
    let tenant = connect(fake.options(), RequiredAccess::Write).await.unwrap();
    let call = Call::SetValue { device: "a1".into(), value: DeviceValue::High };
    let reply = writer(fake.options()).await.unwrap().send(&call).await;
    let list_check = tenant.reader().check_list(&OpenMeter::default()).await;
    let mut text = format!("{reply:?} {list_check:?} {:?} {:?}", tenant.claims(), secret());
    let log = String::from_utf8_lossy(&kept.0.lock().unwrap()).into_owned();
    assert!(
        log.contains("signed in") && log.contains("client-secret"),
        "the credential is named in the log: {log}"
    );
    text.push_str(&log);
    for hidden in ["hunter2", token.expose_secret()] {
        assert!(!text.contains(hidden), "{text}");
    }
}

#[tokio::test]
async fn a_service_that_repeats_the_token_in_any_form_does_not_get_it_shown() {
    let (kept, _guard) = logged();
    let token = claims::token_of(&claims_with(&json!({ "roles": ["Machine.ReadWrite.All"] })));
    let whole = token.expose_secret().to_owned();
    let half = whole[..whole.len() / 2].to_owned();
    let packed = URL_SAFE_NO_PAD.encode(format!("Bearer {whole}"));
    let forms =
        [whole.clone(), half.clone(), packed, crate::tenant::percent::encode(&format!("Bearer {whole}"))];
    let mut text = String::new();
    for form in forms {
        for status in [200, 400, 403, 404] {
            let grant = json!({ "access_token": whole, "expires_in": 3599 });
            let message = format!("headers: {form}");
            let body = match status {
                200 => json!({ "value": [{ "id": "a1", "computerDnsName": form, "machineTags": [form] }] }),
                _ => json!({ "error": { "code": form, "message": message, "target": form } }),
            };
            let form = form.clone();
            let fake = Fake::start(move |seen| match seen.path.as_str() {
                path if path.ends_with("/v2.0/token") => FakeReply::json(200, &grant),
                _ => FakeReply::json(status, &body).with("request-id", &form),
            })
            .await;
            let tenant = connect(fake.options(), RequiredAccess::Write).await.unwrap();
            let (reply, read, pages) = used(&tenant, &fake).await;
            if let Ok((snapshot, _)) = &read {
                for row in snapshot.rows() {
                    let tags: Vec<&str> = snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag)).collect();
                    text.push_str(&format!("{} {tags:?}\n", snapshot.label(row)));
                }
            }
            text.push_str(&format!("{reply:?} {:?} {}\n", read.err(), String::from_utf8_lossy(&pages)));
        }
    }
    text.push_str(&String::from_utf8_lossy(&kept.0.lock().unwrap()));
    assert!(text.contains("[redacted]"));
    for start in (0..whole.len() - 23).step_by(5) {
        assert!(!text.contains(&whole[start..start + 23]), "{text}");
        let packed = URL_SAFE_NO_PAD.encode(&whole[start..start + 23]);
        assert!(!text.contains(&packed[2..packed.len() - 2]), "{text}");
    }
}

/// What a write and a read answer, and the pages of the read.
async fn used(tenant: &Tenant, fake: &Fake) -> (Reply, Result<(Snapshot, Trust), TenantError>, Vec<u8>) {
    let call = Call::SetValue { device: "a1".into(), value: DeviceValue::High };
    let reply = writer(fake.options()).await.unwrap().send(&call).await;
    let meter = OpenMeter::default();
    let mut pages = Vec::new();
    let mut sink = |page: &[u8]| {
        pages.extend_from_slice(page);
        Ok(())
    };
    let watch = ReadWatch { meter: &meter, progress: &|_| {}, pages: Some(&mut sink) };
    let read = tenant.reader().read(&ReadScope::default(), watch).await;
    (reply, read, pages)
}

#[tokio::test]
async fn a_service_that_repeats_the_secret_does_not_get_it_printed() {
    let (kept, _guard) = logged();
    let echo = json!({ "error": "invalid_client hunter2", "error_description": "wrong: hunter2", "trace_id": "hunter2" });
    let fake = Fake::start(move |_| FakeReply::json(401, &echo)).await;
    let error = connect(fake.options(), RequiredAccess::Read).await.err().unwrap();
    let mut text = format!("{error} {error:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "jwt-assertion").unwrap();
    let variables = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", "app-1"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap()),
    ];
    let fake =
        Fake::start(|seen| FakeReply::json(400, &json!({ "error": "x", "error_description": seen.body })))
            .await;
    let options = ConnectOptions { credential: from(&variables), ..fake.options() };
    let error = connect(options, RequiredAccess::Read).await.err().unwrap();
    text.push_str(&format!("{error} {error:?}"));
    text.push_str(&String::from_utf8_lossy(&kept.0.lock().unwrap()));
    for hidden in ["hunter2", "jwt-assertion"] {
        assert!(!text.contains(hidden), "{text}");
    }
}

/// A JSON text in which every character of each occurrence of the secret is escaped.
fn escaped(document: &serde_json::Value, secret: &str, form: fn(u8) -> String) -> String {
    document.to_string().replace(secret, &secret.bytes().map(form).collect::<String>())
}

#[tokio::test]
async fn a_secret_behind_escapes_is_shown_in_no_text_of_an_answer() {
    let token = claims::token_of(&claims_with(&json!({ "roles": ["Machine.ReadWrite.All"] })));
    let whole = token.expose_secret().to_owned();
    let w = &whole;
    let documents = [
        (
            200,
            json!({ "value": [{ "id": "a1", "computerDnsName": w, "machineTags": [w, "T"], "deviceValue": w,
            "osPlatform": w, "rbacGroupName": w, "vmMetadata": { "vmId": w }, "aadDeviceId": w }] }),
        ),
        (200, json!({ "id": "a1", "computerDnsName": w, "machineTags": [w], "deviceValue": w })),
        (200, json!({ "value": [], "error": { "code": w, "message": w } })),
        (400, json!({ "error": { "code": w, "message": w, "target": w } })),
        (403, json!({ "error": w })),
        (404, json!({ "message": w })),
    ];
    let forms: [fn(u8) -> String; 5] = [
        |byte| format!("\\u{byte:04x}"),
        |byte| format!("\\u{byte:04X}"),
        |byte| format!("%{byte:02x}"),
        |byte| format!("%{byte:02X}"),
        |byte| format!("&#{byte};"),
    ];
    for (status, document) in documents {
        for form in forms {
            let grant = json!({ "access_token": whole, "expires_in": 3599 });
            let body = escaped(&document, &whole, form);
            let fake = Fake::start(move |seen| match seen.path.as_str() {
                path if path.ends_with("/v2.0/token") => FakeReply::json(200, &grant),
                _ => FakeReply::text(status, &body),
            })
            .await;
            let tenant = connect(fake.options(), RequiredAccess::Write).await.unwrap();
            let (reply, read, pages) = used(&tenant, &fake).await;
            let meter = OpenMeter::default();
            let one = tenant.reader().device("a1", &meter).await;
            let groups = tenant.reader().device_groups(&meter).await;
            let mut text = format!(
                "{reply:?} {:?} {:?} {:?}",
                one.as_ref().err(),
                groups.as_ref().err(),
                read.as_ref().err()
            );
            for snapshot in read.iter().map(|read| &read.0).chain(one.iter().flatten()) {
                for row in snapshot.rows() {
                    for field in mdetag_core::device::Field::ALL {
                        text.push_str(&snapshot.shown(*field, row).unwrap_or_default());
                    }
                }
            }
            text.push_str(&String::from_utf8_lossy(&pages));
            text.push_str(&String::from_utf8_lossy(&groups.unwrap_or_default()));
            let coded: String = whole.bytes().take(30).map(form).collect();
            assert!(!text.contains(&whole[..23]) && !text.contains(&coded), "{status} {text}");
        }
    }
}

#[tokio::test]
async fn a_secret_behind_escapes_is_not_shown_by_a_failed_sign_in() {
    for form in [|byte| format!("\\u{byte:04x}"), |byte: u8| format!("%{byte:02x}")] {
        let document = json!({ "error": "hunter2", "error_description": "secret hunter2 is wrong", "trace_id": "hunter2" });
        let body = escaped(&document, "hunter2", form);
        let fake = Fake::start(move |_| FakeReply::text(400, &body)).await;
        let error = connect(fake.options(), RequiredAccess::Read).await.err().unwrap();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && !text.contains("%68%75"), "{text}");
    }
}
