//! Decides which process owns a sandbox's directory: one at a time, by a lock.
//!
//! Builds the owner's service from the directory. `sandbox` says what the other processes do meanwhile.

use std::path::Path;
use std::time::Duration;

use crate::disk;
use crate::remote;
use crate::service::Service;
use crate::settings::{Options, SandboxError, Settings};
use crate::switches::Switches;
use crate::wire::Request;
use mdetag_vocabulary::time::Timestamp;

/// The longest wait for a process that holds the sandbox and has not yet announced its address.
pub(super) const OWNER_WAIT: Duration = Duration::from_secs(5);
/// The pause between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// The lock, or `None` if another process holds it and serves. Waits for a process that holds it only for a moment: to make an
/// edit, or because it is about to end.
pub(super) fn lock_unless_served(directory: &Path) -> Result<Option<std::fs::File>, SandboxError> {
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
pub(super) fn owned(
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
    let fleet = disk::first_fleet(Some(directory), &settings, now)?;
    let mut service = Service::new(settings, Switches::default(), fleet);
    configure(&mut service, options)?;
    service.replay(&saved.edits);
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

/// Whether the owner already runs at this speed and with these faults.
pub(super) fn owner_agrees(directory: &Path, faults: &[String], speed: u32) -> bool {
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

/// Reads the settings, which the owner may still be writing.
pub(super) fn wait_for_settings(directory: &Path) -> Result<Settings, SandboxError> {
    for _ in 0..(OWNER_WAIT.as_millis() / PAUSE.as_millis()) {
        if let Some(settings) = disk::settings(directory)? {
            return Ok(settings);
        }
        std::thread::sleep(PAUSE);
    }
    Err(SandboxError::Busy { path: directory.display().to_string() })
}
