//! A sandbox for the rest of the program: create it, look into it, edit it, and call it with or without a socket.
//!
//! One process at a time owns a sandbox's directory. Any other is its guest: it forwards every request byte by byte, and becomes
//! the owner when the owner ends. Guests exist because a `drift` beside an `apply` must see the same tenant, and either may end
//! first.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::delivery::Coding;
use crate::disk;
use crate::dispatch::OpenCall;
use crate::disturb::Disturbance;
use crate::fleet::Fleet;
use crate::log::LoggedCall;
use crate::ownership::{self, OWNER_WAIT, PAUSE, lock_unless_served, owned, owner_agrees, wait_for_settings};
use crate::remote;
use crate::service::Service;
use crate::settings::{Federated, Options, SandboxError, Settings};
use crate::switches::{Switch, Switches};
use crate::wire::{Answer, Request};
use mdetag_vocabulary::time::{Clock, Timestamp};

pub(super) enum Destination {
    Here,
    /// A connection to the process that owns the sandbox.
    Elsewhere(TcpStream),
    /// No process answers.
    Nowhere,
}

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
    address: Mutex<Option<SocketAddr>>,
    role: Mutex<Role>,
}

/// Whether this process owns the state or another does.
enum Role {
    Owner(Box<Service>),
    /// Another process owns and serves it.
    Guest,
}

/// The credentials that a client signs in with.
#[derive(Clone)]
pub struct Credentials {
    /// The only tenant id it signs in to.
    pub tenant_id: String,
    /// The application id that it accepts.
    pub client_id: String,
    /// Useless outside this sandbox, but still never shown.
    pub client_secret: String,
    /// The secret of the managed-identity and OIDC endpoints.
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

/// A call between [`Sandbox::begin`] and [`Sandbox::finish`].
#[derive(Debug)]
pub struct ReceivedCall(OpenCall);

impl ReceivedCall {
    /// How long until [`Sandbox::finish`] is due.
    pub fn wait(&self) -> Duration {
        self.0.wait
    }
}

impl Sandbox {
    /// Makes a sandbox in a directory that has none.
    ///
    /// # Errors
    /// The directory already has a sandbox, or cannot be used.
    pub fn create(
        directory: &Path,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Sandbox, SandboxError> {
        if disk::settings(directory)?.is_some() {
            return Err(SandboxError::Exists { path: directory.display().to_string() });
        }
        Sandbox::open(directory, options, clock)
    }

    /// Makes a sandbox from lines of NDJSON, one API object each; skips the header of a snapshot file.
    ///
    /// # Errors
    /// The directory already has a sandbox or cannot be used, or a line is no device.
    pub fn create_from(
        directory: &Path,
        lines: &str,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Sandbox, SandboxError> {
        if disk::settings(directory)?.is_some() {
            return Err(SandboxError::Exists { path: directory.display().to_string() });
        }
        let fleet = Fleet::of_lines(lines).map_err(SandboxError::Fleet)?;
        disk::save_fleet(directory, lines)?;
        let options = Options { devices: fleet.devices.len() as u64, ..options.clone() };
        Sandbox::open(directory, &options, clock)
    }

    /// Opens the sandbox of a directory, and makes it with these options the first time. If another process serves it, this one
    /// becomes its guest: it forwards requests, and takes over when the other ends.
    ///
    /// # Errors
    /// The directory cannot be used, a switch is wrong, or a guest asks for a different speed or other faults than the owner's.
    pub fn open(directory: &Path, options: &Options, clock: Arc<dyn Clock>) -> Result<Sandbox, SandboxError> {
        let mut trial = Switches::default();
        options.faults.iter().try_for_each(|text| trial.set_text(text)).map_err(SandboxError::Switch)?;
        let (settings, role) = match lock_unless_served(directory)? {
            Some(lock) => {
                let service = owned(directory, lock, options, clock.now())?;
                (service.settings.clone(), Role::Owner(Box::new(service)))
            }
            None => {
                let in_use = || SandboxError::InUse { path: directory.display().to_string() };
                let wanted = trial.changed();
                if (!wanted.is_empty() || options.speed != 1)
                    && !owner_agrees(directory, &wanted, options.speed)
                {
                    return Err(in_use());
                }
                let settings = wait_for_settings(directory)?;
                if options.tenant_id.as_ref().is_some_and(|tenant| *tenant != settings.tenant_id) {
                    return Err(in_use());
                }
                (settings, Role::Guest)
            }
        };
        let directory = Some(directory.to_owned());
        Ok(Sandbox {
            inner: Arc::new(Inner {
                directory,
                options: options.clone(),
                clock,
                settings,
                address: Mutex::default(),
                role: Mutex::new(role),
            }),
        })
    }

    /// A sandbox in memory, which leaves no files behind.
    ///
    /// # Errors
    /// A switch is wrong.
    pub fn in_memory(options: &Options, clock: Arc<dyn Clock>) -> Result<Sandbox, SandboxError> {
        let now = clock.now();
        let settings = Settings::new(options, now);
        let fleet = Fleet::generated(settings.devices, settings.seed, settings.created, now);
        let mut service = Service::new(settings.clone(), Switches::default(), fleet);
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

    /// The credentials that a client signs in with.
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

    /// Sets a switch or a fault while this process owns the sandbox.
    ///
    /// # Errors
    /// A sentence with the nearest known name, or the allowed values.
    pub fn set(&self, name: &str, value: &str) -> Result<(), String> {
        self.control("POST", "faults", &json!({ name: value })).map(drop)
    }

    /// Inserts devices: an API object or an array of them. Besides the API's members, `registryTag`, `dynamicTags` and
    /// `lockedValue` say what other origins hold.
    ///
    /// # Errors
    /// A sentence that says what is wrong with an object.
    pub fn insert(&self, devices: &Value) -> Result<(), String> {
        self.control("POST", "machines", devices).map(drop)
    }

    /// Resets the fleet, the rate windows and the log to their first state; switches stay.
    ///
    /// # Errors
    /// The state cannot be saved.
    pub fn reset(&self) -> Result<(), String> {
        self.control("POST", "reset", &Value::Null).map(drop)
    }

    /// Sets the tenant's device groups, given as an array of the `DeviceGroups` entity set, and moves every device to where their
    /// rules put it.
    ///
    /// # Errors
    /// A sentence that names the group that could not be parsed.
    pub fn set_groups(&self, groups: &Value) -> Result<(), String> {
        self.control("POST", "groups", groups).map(drop)
    }

    /// Takes out devices.
    ///
    /// # Errors
    /// The state cannot be saved.
    pub fn delete(&self, ids: &[&str]) -> Result<(), String> {
        self.control("DELETE", "machines", &json!({ "ids": ids })).map(drop)
    }

    /// The true state of the devices, including writes that readers do not see yet.
    ///
    /// # Errors
    /// The owning process does not answer.
    pub fn devices(&self) -> Result<Vec<Value>, String> {
        let text = self.control_text("GET", "machines", &Value::Null)?;
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
    }

    /// The last 20,000 calls of this process, oldest first. Empty for a guest.
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

    /// The time by the sandbox's clock, if this process owns it.
    pub fn now(&self) -> Timestamp {
        match &*self.role() {
            Role::Owner(service) => self.inner.clock.now().plus(service.ahead),
            Role::Guest => self.inner.clock.now(),
        }
    }

    /// Sets the result of a hunting query.
    ///
    /// # Errors
    /// The owning process does not answer.
    pub fn set_hunting(&self, query: &str, ids: &[&str]) -> Result<(), String> {
        self.control("POST", "hunting", &json!({ "query": query, "ids": ids })).map(drop)
    }

    /// Lets the app sign in with a certificate: PEM, or base64 of the DER form.
    ///
    /// # Errors
    /// The text is no certificate with an RSA key, or the settings cannot be saved.
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

    /// A token as an issuer gives it to a workload, valid for ten minutes.
    ///
    /// # Errors
    /// The owning process does not answer.
    pub fn federated_token(&self, federated: &Federated) -> Result<String, String> {
        let answer = self.control("POST", "federated-token", &json!(federated))?;
        Ok(answer["token"].as_str().unwrap_or_default().to_owned())
    }

    /// Makes edits like those of people in the portal; the next read shows them. `owned` are a policy's tags, which drift should
    /// find changed. If there are none, likely ones are used.
    ///
    /// # Errors
    /// The state cannot be saved, or the owning process does not answer.
    pub fn disturb(&self, count: u64, seed: u64, owned: &[String]) -> Result<Vec<Disturbance>, String> {
        let done =
            self.control("POST", "disturb", &json!({ "count": count, "seed": seed, "owned": owned }))?;
        serde_json::from_value(done).map_err(|error| error.to_string())
    }

    /// The first half of a call; `None` for a guest. A simulation without a socket waits as long as the call says, then calls
    /// [`Sandbox::finish`].
    pub fn begin(&self, request: &Request) -> Option<ReceivedCall> {
        // The clock is read under the lock, because calls are counted in the order of their times. Otherwise a call that waited
        // for the lock would be throttled for calls that came after it.
        match &mut *self.role() {
            Role::Owner(service) => Some(ReceivedCall(service.begin(request, self.inner.clock.now()))),
            Role::Guest => None,
        }
    }

    /// The second half of a call; `None` for a guest.
    pub fn finish(&self, arrived: ReceivedCall) -> Option<Answer> {
        match &mut *self.role() {
            Role::Owner(service) => Some(service.finish(arrived.0, self.inner.clock.now())),
            Role::Guest => None,
        }
    }

    fn role(&self) -> MutexGuard<'_, Role> {
        // A panic under the lock is a bug of the sandbox; the state can still be read.
        self.inner.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn coding(&self) -> Option<Coding> {
        let Role::Owner(service) = &*self.role() else { return None };
        match service.switches.text(Switch::Gzip) {
            "off" => None,
            "deflate" => Some(Coding::Deflate),
            _ => Some(Coding::Gzip),
        }
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

    /// Asks the owning process, or becomes the owner if that process has ended.
    pub(super) fn control_elsewhere(&self, request: &Request) -> Result<Answer, String> {
        let directory = self.inner.directory.as_deref().ok_or("the sandbox has no directory")?;
        let mut waited = Duration::ZERO;
        loop {
            if self.takes_over() {
                let arrived = self.begin(request).ok_or("the sandbox was closed")?;
                return self.finish(arrived).ok_or_else(|| "the sandbox was closed".to_owned());
            }
            match remote::call(directory, request) {
                Ok(answer) => return Ok(answer),
                Err(error) if waited >= OWNER_WAIT => return Err(error),
                Err(_) => std::thread::sleep(PAUSE),
            }
            waited += PAUSE;
        }
    }

    /// If this process is the owner, tells the others the address that it serves on.
    pub(super) fn announce(&self, address: SocketAddr) -> Result<(), SandboxError> {
        *self.inner.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        match &*self.role() {
            Role::Owner(service) => service.disk.as_ref().map_or(Ok(()), |disk| disk.announce(address)),
            Role::Guest => Ok(()),
        }
    }

    /// Whether this process owns the sandbox now. A guest becomes the owner if the owner has ended.
    fn takes_over(&self) -> bool {
        let mut role = self.role();
        let (Role::Guest, Some(directory)) = (&*role, &self.inner.directory) else { return true };
        let Ok(Some(lock)) = disk::lock(directory) else { return false };
        let Ok(service) = owned(directory, lock, &self.inner.options, self.inner.clock.now()) else {
            return false;
        };
        if let (Some(disk), Some(address)) =
            (&service.disk, *self.inner.address.lock().unwrap_or_else(PoisonError::into_inner))
        {
            // Without the file, other processes cannot find this one; it still serves.
            let _ = disk.announce(address);
        }
        *role = Role::Owner(Box::new(service));
        true
    }

    /// The destination of a new connection.
    pub(super) async fn destination(&self) -> Destination {
        let mut waited = Duration::ZERO;
        loop {
            // The lock first: if the owner has ended, another program may use its address by now.
            if self.takes_over() {
                return Destination::Here;
            }
            let address = self.inner.directory.as_deref().and_then(disk::address);
            if let Some(address) = address
                && let Ok(stream) = TcpStream::connect(address).await
            {
                return Destination::Elsewhere(stream);
            }
            if waited >= OWNER_WAIT {
                return Destination::Nowhere;
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
    }
}
