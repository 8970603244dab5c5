//! A tiny service for the tests of this module: real HTTP on loopback, answers from a closure, every request recorded.
//!
//! The sandbox is the realistic one; this one gives answers that no service should give.

use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use mdetag_core::apply::budget::{Budget, Limits};
use mdetag_core::apply::{Admission, Meter, Ticket};
use mdetag_core::cloud::Cloud;
use mdetag_core::plan::Lane;
use mdetag_core::time::{Clock, Timestamp};

use super::{
    ConnectOptions, Credential, Endpoints, IdentityOptions, Overrides, RequiredAccess, Tenant, TenantError,
    Writer, choose, claims, sign_in, sign_in_to_write,
};

/// A request as received.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceivedRequest {
    pub(super) method: String,
    /// Path and decoded query.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl ReceivedRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

#[derive(Clone, Debug)]
pub(super) struct FakeReply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl FakeReply {
    pub(super) fn json(status: u16, body: &Value) -> FakeReply {
        FakeReply { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    pub(super) fn text(status: u16, body: &str) -> FakeReply {
        FakeReply { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> FakeReply {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A server that runs until the test ends.
pub(super) struct Fake {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Fake {
    pub(super) async fn start(say: impl Fn(&ReceivedRequest) -> FakeReply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<ReceivedRequest>>> = Arc::default();
        let (kept, say) = (seen.clone(), Arc::new(say));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, say) = (kept.clone(), say.clone());
                tokio::spawn(async move {
                    let serve = service_fn(move |request| answer(request, kept.clone(), say.clone()));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), serve)
                        .await;
                });
            }
        });
        Fake { url, seen }
    }

    /// A tenant whose token has these roles, and whose other answers come from the closure.
    pub(super) async fn tenant(
        roles: &[&str],
        say: impl Fn(&ReceivedRequest) -> FakeReply + Send + Sync + 'static,
    ) -> Fake {
        let grant = granted(&json!({ "roles": roles }));
        Fake::start(move |seen| if seen.path.ends_with("/token") { grant.clone() } else { say(seen) }).await
    }

    pub(super) fn seen(&self) -> Vec<ReceivedRequest> {
        self.seen.lock().unwrap().clone()
    }

    /// Requests other than sign-ins.
    pub(super) fn calls(&self) -> Vec<ReceivedRequest> {
        self.seen().into_iter().filter(|seen| !seen.path.ends_with("/token")).collect()
    }

    pub(super) fn endpoints(&self) -> Endpoints {
        Endpoints::new(Cloud::Public, None, &Overrides::local(&self.url), &[]).unwrap()
    }

    pub(super) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.endpoints(), secret(), Arc::new(HandClock::new()));
        options.backoff = Duration::from_millis(1);
        options
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    kept: Arc<Mutex<Vec<ReceivedRequest>>>,
    say: Arc<impl Fn(&ReceivedRequest) -> FakeReply>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let url = reqwest::Url::parse(&format!("http://x{}", head.uri)).unwrap();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = ReceivedRequest {
        method: head.method.to_string(),
        path: url.path().to_owned(),
        query: url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    kept.lock().unwrap().push(seen.clone());
    let said = say(&seen);
    let mut response = hyper::Response::builder().status(said.status);
    for (name, value) in said.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(said.body))).unwrap())
}

/// Signs in and checks the role.
pub(super) async fn connect(options: ConnectOptions, need: RequiredAccess) -> Result<Tenant, TenantError> {
    let tenant = sign_in(options).await?;
    tenant.check(need)?;
    Ok(tenant)
}

/// Signs in to write.
pub(super) async fn writer(options: ConnectOptions) -> Result<Writer, TenantError> {
    sign_in_to_write(options).await.map(|tenant| tenant.split().1)
}

pub(super) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(super) const AUDIENCE: &str = "https://api.securitycenter.microsoft.com";

/// A token answer: claims as given, with the usual tenant and audience unless they say otherwise.
pub(super) fn granted(extra: &Value) -> FakeReply {
    let token = claims::token_of(&claims_with(extra));
    FakeReply::json(
        200,
        &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token.expose_secret() }),
    )
}

pub(super) fn claims_with(extra: &Value) -> Value {
    let mut claims = json!({ "tid": TENANT, "aud": AUDIENCE, "appid": "app-1", "oid": "obj-1" });
    for (name, value) in extra.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

pub(super) fn secret() -> Credential {
    let variables =
        [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", "app-1"), ("AZURE_CLIENT_SECRET", "hunter2")];
    from(&variables)
}

pub(super) fn from(variables: &[(&str, &str)]) -> Credential {
    let look =
        |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    choose(&IdentityOptions::default(), &look).unwrap()
}

/// A clock that stands still until a test moves it.
pub(super) struct HandClock(AtomicI64);

impl HandClock {
    pub(super) fn new() -> HandClock {
        HandClock(AtomicI64::new(1_795_000_000))
    }

    pub(super) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

/// A budget whose waits take no time. Records its calls.
pub(super) struct OpenMeter {
    pub(super) admitted: Mutex<Vec<Lane>>,
    pub(super) throttled: Mutex<Vec<Option<Duration>>>,
    budget: Mutex<(Budget, Timestamp)>,
}

impl Default for OpenMeter {
    fn default() -> OpenMeter {
        let budget = Budget::new(Limits::default(), 1);
        OpenMeter {
            admitted: Mutex::default(),
            throttled: Mutex::default(),
            budget: Mutex::new((budget, Timestamp::from_seconds(1_795_000_000))),
        }
    }
}

impl Meter for OpenMeter {
    fn admit(&self, lane: Lane) -> Admission {
        self.admitted.lock().unwrap().push(lane);
        let (budget, now) = &mut *self.budget.lock().unwrap();
        loop {
            match budget.admit(lane, *now) {
                Admission::Wait(wait) => *now = now.plus(wait.span),
                admission => return admission,
            }
        }
    }

    fn answered(&self, ticket: Ticket, throttled: Option<Option<Duration>>) {
        self.throttled.lock().unwrap().extend(throttled);
        let (budget, now) = &mut *self.budget.lock().unwrap();
        budget.answered(ticket, *now, throttled);
    }
}
