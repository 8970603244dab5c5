//! `service.json`: the findings of probes about the service of a tenant.

use std::io::{Error, ErrorKind, Result};

use mdetag_core::probe::ServiceProfile;

use super::state::StateDir;

/// Upper limit of its size in bytes, above what any profile takes.
const MOST_BYTES: u64 = 4 << 20;

/// The findings; `None` if there are none.
///
/// # Errors
/// A file that cannot be read or parsed.
pub fn read(state: &StateDir) -> Result<Option<ServiceProfile>> {
    match state.backend().read(&state.service(), MOST_BYTES) {
        Ok(bytes) => parse(bytes).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes the profile so that no change of another process is lost. Leaves an unreadable file alone. `change` gets the profile,
/// empty if there is none, and returns whether it changed it.
///
/// # Errors
/// A file that cannot be read or written.
pub fn update(state: &StateDir, change: impl Fn(&mut ServiceProfile) -> bool) -> Result<()> {
    // Most runs see nothing new, and then nothing is written.
    if !change(&mut read(state)?.unwrap_or_default()) {
        return Ok(());
    }
    state.backend().update(&state.service(), MOST_BYTES, &mut |bytes| {
        let mut profile = bytes.map_or_else(|| Ok(ServiceProfile::default()), parse)?;
        change(&mut profile);
        text(&profile)
    })
}

/// Like [`update`], for a probe, which measures anew: a file that cannot be parsed has no valid findings, and is replaced.
///
/// # Errors
/// A file that cannot be read or written.
pub fn renew(state: &StateDir, mut change: impl FnMut(&mut ServiceProfile)) -> Result<()> {
    state.backend().update(&state.service(), MOST_BYTES, &mut |bytes| {
        let mut profile = bytes.and_then(|bytes| parse(bytes).ok()).unwrap_or_default();
        change(&mut profile);
        text(&profile)
    })
}

fn parse(bytes: Vec<u8>) -> Result<ServiceProfile> {
    let text = String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
    ServiceProfile::read(&text).map_err(|why| Error::new(ErrorKind::InvalidData, why))
}

fn text(profile: &ServiceProfile) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(profile).map_err(Error::other)?;
    text.push(b'\n');
    Ok(text)
}
