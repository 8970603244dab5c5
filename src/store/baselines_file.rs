//! `baselines.json`: what trusted runs counted, for each policy set of a tenant.
//!
//! Compares nothing; that is `inventory` of the core.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};

use mdetag_core::inventory::Baselines;
use serde::{Deserialize, Serialize};

use super::state::StateDir;

/// More bytes than any counts take.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    sets: BTreeMap<String, Baselines>,
    /// Who accepted which count, and why: the newest last.
    #[serde(default)]
    accepted: Vec<Accepted>,
}

/// A count that somebody accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Of which policy set.
    pub set: String,
    /// When, who and where.
    pub by: String,
    /// Which source.
    pub source: String,
    /// The count.
    pub count: u64,
    /// Why.
    pub reason: String,
}

/// What trusted runs of a policy set counted; none where no run of it is kept.
///
/// # Errors
/// A file that cannot be read or understood.
pub fn read(state: &StateDir, set: &str) -> Result<Option<Baselines>> {
    Ok(whole(state)?.sets.remove(set))
}

/// What is kept of every policy set, and the counts that somebody accepted.
///
/// # Errors
/// A file that cannot be read or understood.
pub fn all(state: &StateDir) -> Result<(BTreeMap<String, Baselines>, Vec<Accepted>)> {
    let file = whole(state)?;
    Ok((file.sets, file.accepted))
}

/// Changes what is kept of a policy set. Runs that count at the same time lose nothing of each other.
///
/// # Errors
/// A file that cannot be read or written.
pub fn update(
    state: &StateDir,
    set: &str,
    mut change: impl FnMut(&mut Baselines) -> Option<Accepted>,
) -> Result<()> {
    state.backend().update(&state.baselines(), MOST_BYTES, &mut |bytes| {
        let mut file = bytes.map_or_else(|| Ok(File::default()), |bytes| parse(&bytes))?;
        let accepted = change(file.sets.entry(set.to_owned()).or_default());
        file.accepted.extend(accepted);
        serde_json::to_vec(&file).map_err(Error::other)
    })
}

fn parse(bytes: &[u8]) -> Result<File> {
    serde_json::from_slice(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

fn whole(state: &StateDir) -> Result<File> {
    match state.backend().read(&state.baselines(), MOST_BYTES) {
        Ok(bytes) => parse(&bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(error),
    }
}
