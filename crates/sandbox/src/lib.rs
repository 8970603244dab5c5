//! A simulated tenant that speaks the service's own HTTP routes on loopback, with its limits, its errors and its oddities:
//! what a newcomer runs first, what policy authors use before they have credentials, and what the tests run against.
//!
//! It shares nothing with the client: it has its own windows, its own reading of the wire and its own state, so that a
//! mistake of the client meets a refusal and not agreement with itself. It claims nothing about the real service beyond
//! what `docs/sandbox.md` marks.

// clippy.toml lists the clock, the environment and the terminal that this crate must not reach for.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod random;
mod record;
mod generate;
mod people;
mod fleet;
mod routes;
mod faults;
mod switches;
mod wire;
mod filter;
mod limits;
mod edits;
mod log;
mod settings;
mod disk;
mod jwt;
mod access;
mod read;
mod write;
mod hunting;
mod assertion;
mod identity;
mod sign_in;
mod disturb;
mod control;
mod service;
mod ownership;
mod server;
mod remote;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use mdetag_vocabulary::time::{Clock, Timestamp};
use service::{Begun, Service};
use settings::Settings;

pub use disturb::{Disturbance, Disturbed};
pub use faults::{Fault, When};
pub use generate::{FleetFile, generate};
pub use log::LoggedCall;
pub use routes::Route;
pub use server::{Running, serve};
pub use settings::{CLIENT_ID, Federated, Options, SandboxError, TENANT_ID};
pub use switches::{Switch, SwitchRow, table};
pub use wire::{Answer, Delivery, Request};

/// A sandbox. Clones are handles on the same one.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    directory: Option<PathBuf>,
    options: Options,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// Where this process serves.
    address: Mutex<Option<SocketAddr>>,
    role: Mutex<Role>,
}

/// Whether this process owns the state.
enum Role {
    Owner(Box<Service>),
    /// Another process does, and serves it.
    Guest,
}

/// What a client signs in with.
#[derive(Clone)]
pub struct Credentials {
    /// Tenant id.
    pub tenant_id: String,
    /// Client id.
    pub client_id: String,
    /// Client secret: worth nothing outside this sandbox, but still not to be shown.
    pub client_secret: String,
    /// What the managed-identity and OIDC endpoints ask for.
    pub identity_secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials {{ tenant {}, client {} }}", self.tenant_id, self.client_id)
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sandbox {{ {:?}, {:?} }}", self.inner.settings, self.inner.directory)
    }
}

/// A call that has arrived at a sandbox and not yet been answered: the first half of [`Sandbox::begin`].
#[derive(Debug)]
pub struct Arrived(Begun);

impl Arrived {
    /// How long until [`Sandbox::finish`] is due.
    pub fn wait(&self) -> Duration {
        self.0.wait
    }
}

impl Sandbox {
    /// A sandbox that leaves nothing behind.
    ///
    /// # Errors
    /// A switch is wrong.
    pub fn in_memory(options: &Options, clock: Arc<dyn Clock>) -> Result<Sandbox, SandboxError> {
        let now = clock.now();
        let settings = Settings::new(options, now);
        let fleet = fleet::Fleet::generated(settings.devices, settings.seed, settings.created, now);
        let mut service = Service::new(settings.clone(), switches::Switches::default(), fleet);
        ownership::configure(&mut service, options)?;
        let role = Mutex::new(Role::Owner(Box::new(service)));
        Ok(Sandbox {
            inner: Arc::new(Inner {
                directory: None,
                options: options.clone(),
                clock,
                settings,
                address: Mutex::default(),
                role,
            }),
        })
    }

    /// What a client signs in with.
    pub fn credentials(&self) -> Credentials {
        let settings = &self.inner.settings;
        Credentials {
            tenant_id: settings.tenant_id.clone(),
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            identity_secret: settings.identity_header.clone(),
        }
    }

    /// Whether another process owns the sandbox.
    pub fn is_guest(&self) -> bool {
        matches!(*self.role(), Role::Guest)
    }

    /// Sets a switch or a fault, for as long as this process owns the sandbox.
    ///
    /// # Errors
    /// A sentence that names the near name, or the values.
    pub fn set(&self, name: &str, value: &str) -> Result<(), String> {
        self.control("POST", "faults", &json!({ name: value })).map(drop)
    }

    /// Puts in devices: an API object or an array of them. Besides the API's members, `registryTag`, `dynamicTags` and
    /// `lockedValue` say what other origins hold.
    ///
    /// # Errors
    /// A sentence that says what is wrong with an object.
    pub fn insert(&self, devices: &Value) -> Result<(), String> {
        self.control("POST", "machines", devices).map(drop)
    }

    /// Takes out devices.
    ///
    /// # Errors
    /// The state cannot be saved.
    pub fn delete(&self, ids: &[&str]) -> Result<(), String> {
        self.control("DELETE", "machines", &json!({ "ids": ids })).map(drop)
    }

    /// The devices as they truly are, whatever readers see yet.
    ///
    /// # Errors
    /// The process that owns the sandbox does not answer.
    pub fn devices(&self) -> Result<Vec<Value>, String> {
        let text = self.control_text("GET", "machines", &Value::Null)?;
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
    }

    /// The calls of this process, oldest first; the last 20,000. Empty for a guest.
    pub fn calls(&self) -> Vec<LoggedCall> {
        match &*self.role() {
            Role::Owner(service) => service.calls.iter().cloned().collect(),
            Role::Guest => Vec::new(),
        }
    }

    /// Moves the sandbox's clock forward.
    ///
    /// # Errors
    /// The state cannot be saved.
    pub fn advance(&self, span: Duration) -> Result<(), String> {
        self.control("POST", "clock", &json!({ "advance_s": span.as_secs_f64() })).map(drop)
    }

    /// The moment by the sandbox's clock, if this process owns it.
    pub fn now(&self) -> Timestamp {
        match &*self.role() {
            Role::Owner(service) => self.inner.clock.now().plus(service.ahead),
            Role::Guest => self.inner.clock.now(),
        }
    }

    /// Lays down the result of a hunting query.
    ///
    /// # Errors
    /// The process that owns the sandbox does not answer.
    pub fn set_hunting(&self, query: &str, ids: &[&str]) -> Result<(), String> {
        self.control("POST", "hunting", &json!({ "query": query, "ids": ids })).map(drop)
    }

    /// Lets the app sign in with a certificate: PEM, or base64 of the DER form.
    ///
    /// # Errors
    /// It is no certificate with an RSA key, or the settings cannot be saved.
    pub fn trust_certificate(&self, text: &str) -> Result<(), String> {
        self.control("POST", "credentials", &json!({ "certificate": text })).map(drop)
    }

    /// Lets the app sign in with tokens of this issuer, subject and audience.
    ///
    /// # Errors
    /// The settings cannot be saved.
    pub fn trust_federated(&self, federated: &Federated) -> Result<(), String> {
        self.control("POST", "credentials", &json!({ "federated": federated })).map(drop)
    }

    /// A token as an issuer would give it to a workload, good for ten minutes.
    ///
    /// # Errors
    /// The process that owns the sandbox does not answer.
    pub fn federated_token(&self, federated: &Federated) -> Result<String, String> {
        let answer = self.control("POST", "federated-token", &json!(federated))?;
        Ok(answer["token"].as_str().unwrap_or_default().to_owned())
    }

    /// Makes edits as people in the portal would; the next read shows them.
    ///
    /// # Errors
    /// The state cannot be saved, or the process that owns the sandbox does not answer.
    pub fn disturb(&self, count: u64, seed: u64) -> Result<Vec<Disturbance>, String> {
        let done = self.control("POST", "disturb", &json!({ "count": count, "seed": seed }))?;
        serde_json::from_value(done).map_err(|error| error.to_string())
    }

    /// The first half of a call; `None` for a guest. For simulations without a socket: wait as long as it says, then
    /// [`Sandbox::finish`].
    pub fn begin(&self, request: &Request) -> Option<Arrived> {
        // The clock is read under the lock: calls are counted in the order of their times, or one that waited for the lock
        // would meet the future of another and be throttled for it.
        match &mut *self.role() {
            Role::Owner(service) => Some(Arrived(service.begin(request, self.inner.clock.now()))),
            Role::Guest => None,
        }
    }

    /// The second half of a call; `None` for a guest.
    pub fn finish(&self, arrived: Arrived) -> Option<Answer> {
        match &mut *self.role() {
            Role::Owner(service) => Some(service.finish(arrived.0, self.inner.clock.now())),
            Role::Guest => None,
        }
    }

    fn role(&self) -> MutexGuard<'_, Role> {
        // A panic under the lock is a bug of the sandbox; the state is still whole enough to look at.
        self.inner.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn zips(&self) -> bool {
        matches!(&*self.role(), Role::Owner(service) if service.switches.on(Switch::Gzip))
    }

    fn control(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        serde_json::from_str(&self.control_text(method, path, body)?).map_err(|error| error.to_string())
    }

    fn control_text(&self, method: &str, path: &str, body: &Value) -> Result<String, String> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request =
            Request { method: method.to_owned(), path: format!("/_sim/{path}"), body, ..Request::default() };
        let answer = match self.begin(&request) {
            Some(arrived) => self.finish(arrived).ok_or("the sandbox was closed")?,
            None => self.control_elsewhere(&request)?,
        };
        let text = String::from_utf8(answer.body).map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(text) } else { Err(text) }
    }
}
