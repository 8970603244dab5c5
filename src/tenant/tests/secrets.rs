//! No secret, assertion or token in any error, `Debug` text or log line, at the highest verbosity.

use std::io::Write;
use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::tenant::fake::{Fake, Open, Say, TENANT, claims_with, from, secret};
use crate::tenant::{ConnectOptions, Need, WriteDevices, claims, connect};
use mdetag_core::apply::Call;
use mdetag_core::device::DeviceValue;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Kept;

    fn make_writer(&'a self) -> Kept {
        self.clone()
    }
}

/// Everything that is logged on this thread until the guard goes.
fn logged() -> (Kept, tracing::subscriber::DefaultGuard) {
    let kept = Kept::default();
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
        path if path.ends_with("/v2.0/token") => Say::json(200, &body),
        _ => Say::text(401, ""),
    })
    .await;
    // Another test's thread may be the first to log from a place, and may note "nobody listens" just as this test starts to:
    // once every place has logged, the notes are made anew.
    connect(fake.options(), Need::Write).await.unwrap();
    tracing::callsite::rebuild_interest_cache();
    let tenant = connect(fake.options(), Need::Write).await.unwrap();
    let call = Call::SetValue { device: "a1".into(), value: DeviceValue::High };
    let reply = tenant.writer().unwrap().send(&call).await;
    let glimpse = tenant.reader().glimpse(&Open::default()).await;
    let mut text = format!("{reply:?} {glimpse:?} {:?} {:?}", tenant.claims(), secret());
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
async fn a_service_that_repeats_the_secret_does_not_get_it_printed() {
    let (kept, _guard) = logged();
    let echo = json!({ "error": "invalid_client hunter2", "error_description": "wrong: hunter2", "trace_id": "hunter2" });
    let fake = Fake::start(move |_| Say::json(401, &echo)).await;
    let error = connect(fake.options(), Need::Read).await.err().unwrap();
    let mut text = format!("{error} {error:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "jwt-assertion").unwrap();
    let variables = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", "app-1"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap()),
    ];
    let fake =
        Fake::start(|seen| Say::json(400, &json!({ "error": "x", "error_description": seen.body }))).await;
    let options = ConnectOptions { credential: from(&variables), ..fake.options() };
    let error = connect(options, Need::Read).await.err().unwrap();
    text.push_str(&format!("{error} {error:?}"));
    text.push_str(&String::from_utf8_lossy(&kept.0.lock().unwrap()));
    for hidden in ["hunter2", "jwt-assertion"] {
        assert!(!text.contains(hidden), "{text}");
    }
}
