//! A small client of the sandbox, with a clock that tests set. Knows the wire, and nothing of mdetag's own client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Once};

use mdetag_core::time::{Clock, Timestamp};
use mdetag_sandbox::{Credentials, Options, Running, Sandbox, serve};
use serde_json::{Value, json};

/// A clock that tests set.
pub(super) struct Hand(pub(super) AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_ticks(self.0.load(Ordering::SeqCst))
    }
}

pub(super) fn clock() -> Arc<Hand> {
    Arc::new(Hand(AtomicI64::new(Timestamp::parse("2026-11-22T03:00:00Z").unwrap().ticks())))
}

pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) struct Client {
    pub(super) http: reqwest::Client,
    pub(super) base: String,
    pub(super) credentials: Credentials,
    pub(super) token: String,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Value,
    pub(super) text: String,
}

impl Client {
    pub(super) async fn new(running: &Running, sandbox: &Sandbox) -> Client {
        let mut client = Client {
            http: http(),
            base: running.url(),
            credentials: sandbox.credentials(),
            token: String::new(),
        };
        client.token = client.sign_in("https://api.securitycenter.microsoft.com/.default").await;
        client
    }

    pub(super) async fn sign_in(&self, scope: &str) -> String {
        let reply = self.token_call("/oauth2/v2.0/token", &[("scope", scope)]).await;
        reply.body["access_token"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
    }

    pub(super) async fn token_call(&self, path: &str, more: &[(&str, &str)]) -> Reply {
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

    /// Signs in without the secret.
    pub(super) async fn assertion_call(&self, fields: &[(&str, &str)]) -> Reply {
        let mut body = format!("grant_type=client_credentials&client_id={}", self.credentials.client_id);
        for (name, value) in fields {
            body.push_str(&format!("&{name}={}", escape(value)));
        }
        let url = format!("{}/{}/oauth2/v2.0/token", self.base, self.credentials.tenant_id);
        let request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        reply(request.body(body)).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        reply(self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token)).await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        self.try_post(path, body).await.unwrap()
    }

    pub(super) async fn try_post(&self, path: &str, body: Value) -> reqwest::Result<Reply> {
        reply(self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(&body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Reply {
        reply(self.http.patch(format!("{}{path}", self.base)).bearer_auth(&self.token).json(&body))
            .await
            .unwrap()
    }

    pub(super) async fn bulk(&self, tag: &str, action: &str, ids: &[&str]) -> Reply {
        let body = json!({ "Value": tag, "Action": action, "MachineIds": ids });
        self.post("/api/machines/AddOrRemoveTagForMultipleMachines", body).await
    }

    pub(super) async fn tags(&self, id: &str) -> Vec<String> {
        let reply = self.get(&format!("/api/machines/{id}")).await;
        serde_json::from_value(reply.body["machineTags"].clone()).unwrap_or_else(|_| panic!("{}", reply.text))
    }
}

pub(super) fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy().build().unwrap()
}

pub(super) fn escape(text: &str) -> String {
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

pub(super) async fn reply(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    Ok(Reply { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text })
}

/// A sandbox of three devices `a`, `b`, `c`, served.
pub(super) async fn small(faults: &[&str]) -> (Sandbox, Running, Client, Arc<Hand>) {
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

pub(super) fn ids(reply: &Reply) -> Vec<&str> {
    let devices = reply.body["value"].as_array().unwrap_or_else(|| panic!("{}", reply.text));
    devices.iter().map(|device| device["id"].as_str().unwrap()).collect()
}
