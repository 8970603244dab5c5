//! `baselines.json`: the counts of trusted runs, for each policy set of a tenant.
//!
//! Compares nothing; `inventory` of the core does.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};

use mdetag_core::inventory::Baselines;
use mdetag_core::strict_json;
use serde::{Deserialize, Serialize};

use super::set_name;
use super::state::StateDir;
use super::state_json;

/// Upper limit of its size in bytes, above what any counts take.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BaselinesFile {
    sets: BTreeMap<String, Baselines>,
    /// Accepted counts with the person and the reason, the newest last.
    #[serde(default)]
    accepted: Vec<Accepted>,
}

/// A count that somebody accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    pub set: String,
    /// When, who and on which computer.
    pub by: String,
    pub source: String,
    pub count: u64,
    pub reason: String,
}

/// The counts of trusted runs of a policy set, and of other sets that share a part with it; `None` if no run of any is recorded.
///
/// # Errors
/// A file that cannot be read or parsed.
pub fn read(state: &StateDir, set: &str) -> Result<Option<Baselines>> {
    let mut sets = whole(state)?.sets;
    let own = sets.remove(set);
    let others: Vec<Baselines> =
        sets.into_iter().filter(|(name, _)| set_name::overlap(name, set)).map(|(_, counts)| counts).collect();
    if own.is_none() && others.is_empty() {
        return Ok(None);
    }
    Ok(Some(own.unwrap_or_default().beside(others)))
}

/// The counts of every policy set, and the accepted counts.
///
/// # Errors
/// A file that cannot be read or parsed.
pub fn all(state: &StateDir) -> Result<(BTreeMap<String, Baselines>, Vec<Accepted>)> {
    let file = whole(state)?;
    Ok((file.sets, file.accepted))
}

/// Changes the counts of a policy set. Runs that count at the same time do not lose each other's counts.
///
/// # Errors
/// A file that cannot be read or written.
pub fn update(
    state: &StateDir,
    set: &str,
    mut change: impl FnMut(&mut Baselines) -> Option<Accepted>,
) -> Result<()> {
    update_with_others(state, set, &mut change, |_| {})
}

/// Like [`update`], and also changes the counts of every other set that shares a part with it.
///
/// # Errors
/// A file that cannot be read or written.
pub fn update_with_others(
    state: &StateDir,
    set: &str,
    mut change: impl FnMut(&mut Baselines) -> Option<Accepted>,
    mut others: impl FnMut(&mut Baselines),
) -> Result<()> {
    state.backend().update(&state.baselines(), MOST_BYTES, &mut |bytes| {
        let mut file = bytes.map_or_else(|| Ok(BaselinesFile::default()), |bytes| parse(&bytes))?;
        let accepted = change(file.sets.entry(set.to_owned()).or_default());
        file.accepted.extend(accepted);
        let sharing = file.sets.iter_mut().filter(|(name, _)| *name != set && set_name::overlap(name, set));
        sharing.for_each(|(_, counts)| others(counts));
        state_json::bytes(&file)
    })
}

fn parse(bytes: &[u8]) -> Result<BaselinesFile> {
    strict_json::from_slice(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

fn whole(state: &StateDir) -> Result<BaselinesFile> {
    match state.backend().read(&state.baselines(), MOST_BYTES) {
        Ok(bytes) => parse(&bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BaselinesFile::default()),
        Err(error) => Err(error),
    }
}
