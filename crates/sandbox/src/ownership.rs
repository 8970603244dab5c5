//! Who owns a sandbox's directory: one process at a time, found by a lock; others are its guests until it ends.
//!
//! A guest hands on what it is asked, byte by byte, and becomes the owner when the owner has gone: a `drift` beside an
//! `apply` sees the same tenant, and neither has to outlive the other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::disk;
use crate::fleet::Fleet;
use crate::remote;
use crate::service::Service;
use crate::settings::{Options, SandboxError, Settings};
use crate::switches::Switches;
use crate::wire::{Answer, Request};
use crate::{Inner, Role, Sandbox};
use mdetag_vocabulary::time::{Clock, Timestamp};

/// Where a connection goes.
pub(super) enum Door {
    /// To this process.
    Here,
    /// To the process that owns the sandbox.
    Elsewhere(TcpStream),
    /// Nobody answers.
    Shut,
}

/// How long a process waits for another that holds the sandbox and has not yet said where it serves.
const OWNER_WAIT: Duration = Duration::from_secs(5);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(20);

impl Sandbox {
    /// Makes a sandbox in a directory that has none.
    ///
    /// # Errors
    /// There is one already, or the directory cannot be used.
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

    /// Opens the sandbox of a directory, made with these options the first time. If another process serves it, this one
    /// becomes its guest: what it serves is handed on, and it takes over when the other ends.
    ///
    /// # Errors
    /// The directory cannot be used, a switch is wrong, or a guest asks for another speed or other faults than the owner's.
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

    /// Asks the process that owns the sandbox, or becomes the owner if it has gone.
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

    /// Tells other processes where this one serves, if it is the owner.
    pub(super) fn announce(&self, address: SocketAddr) -> Result<(), SandboxError> {
        *self.inner.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        match &*self.role() {
            Role::Owner(service) => service.disk.as_ref().map_or(Ok(()), |disk| disk.announce(address)),
            Role::Guest => Ok(()),
        }
    }

    /// Whether this process owns the sandbox, be it since now: a guest becomes the owner when the owner has gone.
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
            // Without the file others only wait in vain; this process serves all the same.
            let _ = disk.announce(address);
        }
        *role = Role::Owner(Box::new(service));
        true
    }

    /// Where a connection goes now.
    pub(super) async fn door(&self) -> Door {
        let mut waited = Duration::ZERO;
        loop {
            // The lock first: an address that an ended process left may be somebody else's by now.
            if self.takes_over() {
                return Door::Here;
            }
            let address = self.inner.directory.as_deref().and_then(disk::address);
            if let Some(address) = address
                && let Ok(stream) = TcpStream::connect(address).await
            {
                return Door::Elsewhere(stream);
            }
            if waited >= OWNER_WAIT {
                return Door::Shut;
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
    }
}

/// The lock, or `None` where another process holds it and serves. One that holds it only for a moment, to make an edit or
/// because it is about to end, is waited for.
fn lock_unless_served(directory: &Path) -> Result<Option<std::fs::File>, SandboxError> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(lock) = disk::lock(directory)? {
            return Ok(Some(lock));
        }
        let serves = || disk::address(directory).is_some_and(|at| std::net::TcpStream::connect(at).is_ok());
        if waited >= OWNER_WAIT || serves() {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

/// The service of a directory whose lock this process has.
fn owned(
    directory: &Path,
    lock: std::fs::File,
    options: &Options,
    now: Timestamp,
) -> Result<Service, SandboxError> {
    let mut settings = match disk::settings(directory)? {
        Some(settings) => settings,
        None => {
            let settings = Settings::new(options, now);
            disk::save_settings(directory, &settings)?;
            settings
        }
    };
    if let Some(tenant) = options.tenant_id.as_ref().filter(|tenant| **tenant != settings.tenant_id) {
        settings.tenant_id.clone_from(tenant);
        disk::save_settings(directory, &settings)?;
    }
    let (disk, saved) = disk::Disk::open(directory, lock, now)?;
    let fleet = Fleet::generated(settings.devices, settings.seed, settings.created, now);
    let mut service = Service::new(settings, Switches::default(), fleet);
    configure(&mut service, options)?;
    // Nothing is on disk yet as far as the service knows, so replaying writes nothing.
    let _ = service.commit(&saved.edits);
    for (key, at) in &saved.slots {
        service.limits.recall(key, *at);
    }
    service.disk = Some(disk);
    Ok(service)
}

pub(super) fn configure(service: &mut Service, options: &Options) -> Result<(), SandboxError> {
    service.speed = options.speed.max(1);
    let kept = service.settings.switches.clone();
    for text in kept.iter().chain(&options.faults) {
        service.switches.set_text(text).map_err(SandboxError::Switch)?;
    }
    Ok(())
}

/// Whether the owner runs at this speed and has these faults already.
fn owner_agrees(directory: &Path, faults: &[String], speed: u32) -> bool {
    let request = Request { method: "GET".to_owned(), path: "/_sim/state".to_owned(), ..Request::default() };
    let mut waited = Duration::ZERO;
    let answer = loop {
        match remote::call(directory, &request) {
            Ok(answer) => break answer,
            Err(_) if waited >= OWNER_WAIT => return false,
            Err(_) => std::thread::sleep(PAUSE),
        }
        waited += PAUSE;
    };
    let state: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let has = |fault: &String| {
        state["faults"].as_array().is_some_and(|set| set.iter().any(|other| other.as_str() == Some(&**fault)))
    };
    state["speed"].as_u64() == Some(u64::from(speed)) && faults.iter().all(has)
}

/// The owner may still be writing them.
fn wait_for_settings(directory: &Path) -> Result<Settings, SandboxError> {
    for _ in 0..(OWNER_WAIT.as_millis() / PAUSE.as_millis()) {
        if let Some(settings) = disk::settings(directory)? {
            return Ok(settings);
        }
        std::thread::sleep(PAUSE);
    }
    Err(SandboxError::Busy { path: directory.display().to_string() })
}
