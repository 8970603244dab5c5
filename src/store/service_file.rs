//! `service.json`: what probes measured of the service of a tenant.

use std::io::{Error, ErrorKind, Result};

use mdetag_core::probe::ServiceProfile;

use super::state::StateDir;

/// More bytes than any profile takes.
const MOST_BYTES: u64 = 4 << 20;

/// What was measured; none where nothing was.
///
/// # Errors
/// A file that cannot be read or understood.
pub fn read(state: &StateDir) -> Result<Option<ServiceProfile>> {
    let bytes = match state.backend().read(&state.service(), MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
    ServiceProfile::read(&text).map(Some).map_err(|why| Error::new(ErrorKind::InvalidData, why))
}

/// Changes what is kept, whole or not at all, and never beside another process that changes it. A file that cannot be read is
/// left alone. `change` gets the profile, empty where there is none, and says whether it changed it.
///
/// # Errors
/// A file that cannot be read or written, or that somebody else is changing.
pub fn update(state: &StateDir, change: impl Fn(&mut ServiceProfile) -> bool) -> Result<()> {
    // Most runs see nothing new, and then nothing is locked.
    if !change(&mut read(state)?.unwrap_or_default()) {
        return Ok(());
    }
    let holder = format!("process {}", std::process::id());
    let _held = state.backend().hold(&state.service_lock(), &holder).map_err(Error::other)?;
    let mut profile = read(state)?.unwrap_or_default();
    if change(&mut profile) { write(state, &profile) } else { Ok(()) }
}

/// Keeps a profile. The caller holds the tenant's lock.
///
/// # Errors
/// A file that cannot be written.
pub fn write(state: &StateDir, profile: &ServiceProfile) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(profile).map_err(Error::other)?;
    text.push(b'\n');
    state.backend().write(&state.service(), &text)
}
