//! Copies of a tenant's state: from its place into a folder, and back if nothing was written there meanwhile.
//!
//! A copy records what it was made from. Ledger, lock and index of `history` are not copied: they are useless elsewhere.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use mdetag_core::hex;
use mdetag_core::strict_json;
use mdetag_core::time::Timestamp;

use super::backend::WriteLease;
use super::journal;
use super::probe_journal;
use super::state::{SANDBOX, StateDir};

/// Upper limit of a file's size in bytes: a plan of a million changes takes a third of it.
const MOST_BYTES: u64 = 4 << 30;

/// Journals are written in parts of about this many bytes.
const PART: usize = 4 << 20;

/// How often a state is read again because it was written to during the read.
const TRIES: u32 = 3;

/// The content of `copy.json`: where the state was copied from, and what it contained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyMark {
    format_version: String,
    /// The place that it was copied from.
    pub from: String,
    pub at: Timestamp,
    files: Digests,
}

/// The digest of each file, by its name below the tenant's folder.
type Digests = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyCount {
    pub files: u64,
    /// Number of all runs that are there now.
    pub runs: u64,
}

/// Why a copy was refused.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Files cannot be read or written.
    #[error("the state cannot be copied")]
    Unusable(#[from] Error),
    /// The folder's files would be lost.
    #[error("{place} holds state that is not in {from}: {files}")]
    Unpushed {
        place: String,
        from: String,
        /// Some of the files.
        files: String,
    },
    /// The place was written to since.
    #[error("{place} went on since the copy was made: {files}")]
    WentOn {
        place: String,
        /// Some of the files.
        files: String,
    },
    /// A journal may only grow.
    #[error("the copy changes what the journal {file} said before: a journal only grows")]
    Rewritten { file: String },
    /// The bytes that were read back differ from those written.
    #[error("{file} did not arrive whole")]
    Torn { file: String },
    /// Runs kept ending during the copy.
    #[error("{place} changes while it is read")]
    Busy { place: String },
}

/// The mark of a copy; `None` if this is the state itself.
///
/// # Errors
/// It cannot be read or parsed.
pub fn mark(state: &StateDir) -> Result<Option<CopyMark>> {
    match state.backend().read(&state.copy_mark(), 64 << 20) {
        Ok(bytes) => strict_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The mark of any tenant of a state directory. Such a directory is a copy, also for tenants and sandboxes that it lacks.
///
/// # Errors
/// As [`mark`].
pub fn mark_below(root: &Path) -> Result<Option<CopyMark>> {
    for cloud in folders(root) {
        let tenants = match cloud.file_name() {
            Some(name) if name == SANDBOX => folders(&cloud).iter().flat_map(|name| folders(name)).collect(),
            _ => folders(&cloud),
        };
        for tenant in tenants {
            let state = StateDir::at(&tenant);
            if let Some(mark) = mark(&state)? {
                return Ok(Some(mark));
            }
        }
    }
    Ok(None)
}

/// The folders in a folder, except links.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    listed
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Copies the state of a tenant into a folder that has none, or an older unchanged copy.
///
/// # Errors
/// [`CopyError`].
pub fn pull(state: &StateDir, copy: &StateDir, now: Timestamp) -> std::result::Result<CopyCount, CopyError> {
    let place = place_of(state);
    let (known, kept) = (mark(copy)?, digests(copy)?);
    let is_known = |name: &String, digest: &String| {
        known.as_ref().is_some_and(|mark| mark.from == place && mark.files.get(name) == Some(digest))
    };
    let unpushed: Vec<&String> =
        kept.iter().filter(|(name, digest)| !is_known(name, digest)).map(|(name, _)| name).collect();
    if !unpushed.is_empty() && digests(state)? != kept {
        return Err(CopyError::Unpushed { place: place_of(copy), from: place, files: some(&unpushed) });
    }
    for _ in 0..TRIES {
        let before = digests(state)?;
        let mark = CopyMark {
            format_version: "1.0".to_owned(),
            from: place.clone(),
            at: now,
            files: before.clone(),
        };
        let mark = serde_json::to_vec(&mark).map_err(Error::other)?;
        // First, so that an interrupted copy is marked as a copy too.
        copy.backend().write(&copy.copy_mark(), &mark)?;
        let mut files = 0;
        for (name, _) in kept.iter().filter(|(name, _)| !before.contains_key(*name)) {
            remove(copy, name)?;
        }
        for (name, digest) in before.iter().filter(|(name, digest)| kept.get(*name) != Some(*digest)) {
            let bytes = read(state, name)?;
            remove(copy, name)?;
            write(copy, name, &bytes, 0)?;
            if digest_of(&read(copy, name)?) != *digest {
                continue;
            }
            files += 1;
        }
        if digests(state)? == before && digests(copy)? == before {
            let runs = journal::runs(copy)?.len() as u64;
            return Ok(CopyCount { files, runs });
        }
    }
    Err(CopyError::Busy { place })
}

/// Copies a folder's state of a tenant to its original place, if nothing was written there since the copy was made. Removes
/// nothing there. The caller holds the tenant's lock there.
///
/// # Errors
/// [`CopyError`].
pub fn push(
    copy: &StateDir,
    state: &StateDir,
    hold: &WriteLease,
    now: Timestamp,
) -> std::result::Result<CopyCount, CopyError> {
    let (mark, wanted, there) = (mark(copy)?, digests(copy)?, digests(state)?);
    // An interrupted push left some files in the copy's version.
    let is_expected = |name: &String, digest: &String| {
        wanted.get(name) == Some(digest)
            || mark.as_ref().is_some_and(|mark| mark.files.get(name) == Some(digest))
    };
    let mut strange: Vec<&String> =
        there.iter().filter(|(name, digest)| !is_expected(name, digest)).map(|(name, _)| name).collect();
    // A file that existed when the copy was made and is gone was dropped: it must not come back.
    let is_same_place = mark.as_ref().is_some_and(|mark| mark.from == place_of(state));
    if let Some(mark) = mark.as_ref().filter(|_| is_same_place && !there.is_empty()) {
        strange.extend(mark.files.keys().filter(|name| !there.contains_key(*name)));
    }
    if !strange.is_empty() {
        return Err(CopyError::WentOn { place: place_of(state), files: some(&strange) });
    }
    let mut files = 0;
    for (name, digest) in wanted.iter().filter(|(name, digest)| there.get(*name) != Some(*digest)) {
        hold.check().map_err(Error::other)?;
        let bytes = read(copy, name)?;
        let known = if is_log(name) && there.contains_key(name) { read(state, name)? } else { Vec::new() };
        if !bytes.starts_with(&known) {
            return Err(CopyError::Rewritten { file: name.clone() });
        }
        write(state, name, &bytes, known.len())?;
        if digest_of(&read(state, name)?) != *digest {
            return Err(CopyError::Torn { file: name.clone() });
        }
        files += 1;
    }
    if let Some(mark) = mark {
        let mark = CopyMark { from: place_of(state), at: now, files: digests(state)?, ..mark };
        copy.backend().write(&copy.copy_mark(), &serde_json::to_vec(&mark).map_err(Error::other)?)?;
    }
    Ok(CopyCount { files, runs: journal::runs(state)?.len() as u64 })
}

fn place_of(state: &StateDir) -> String {
    super::path_text::shown(state.path())
}

fn some(names: &[&String]) -> String {
    let first: Vec<&str> = names.iter().take(3).map(|name| name.as_str()).collect();
    match names.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn is_log(name: &str) -> bool {
    name.ends_with(".jsonl")
}

fn path(state: &StateDir, name: &str) -> PathBuf {
    state.path().join(name)
}

fn read(state: &StateDir, name: &str) -> Result<Vec<u8>> {
    if !is_log(name) {
        return state.backend().read(&path(state, name), MOST_BYTES);
    }
    let mut bytes = Vec::new();
    state.backend().read_log(&path(state, name))?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file; of a journal, the part after its first `known` bytes.
fn write(state: &StateDir, name: &str, bytes: &[u8], known: usize) -> Result<()> {
    let (backend, path) = (state.backend(), path(state, name));
    if !is_log(name) {
        return backend.write(&path, bytes);
    }
    let mut log = if known > 0 { backend.continue_log(&path)? } else { backend.create_log(&path)? };
    let mut left = &bytes[known..];
    while !left.is_empty() {
        // A part ends with a line, so that an interrupted push leaves a valid journal.
        let end = left.iter().skip(PART).position(|byte| *byte == b'\n');
        let (part, rest) = left.split_at(end.map_or(left.len(), |end| PART + end + 1));
        log.append(part)?;
        left = rest;
    }
    log.finish();
    Ok(())
}

fn remove(state: &StateDir, name: &str) -> Result<()> {
    if is_log(name) {
        state.backend().remove_log(&path(state, name))
    } else {
        state.backend().remove(&path(state, name))
    }
}

/// The digests of all files in the state.
fn digests(state: &StateDir) -> Result<Digests> {
    let mut names = Vec::new();
    for run in journal::runs(state)? {
        names.extend([format!("runs/{run}.plan.json"), format!("runs/{run}.jsonl")]);
    }
    names.extend(probe_journal::runs(state)?.into_iter().map(|run| format!("probes/{run}.jsonl")));
    let whole =
        state.whole_files().into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    names.extend(whole);
    let mut digests = Digests::new();
    for name in names {
        match read(state, &name) {
            Ok(bytes) => digests.insert(name, digest_of(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
    }
    Ok(digests)
}

fn digest_of(bytes: &[u8]) -> String {
    hex::digits(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}
