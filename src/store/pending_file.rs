//! Which confirmed changes a policy set's newest read did not show yet (`pending.json`).
//!
//! A change that the list has shown and that is gone later was undone by somebody. Without this file it would count as pending
//! until `writes.visibility` has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use mdetag_core::apply::{ChangeKey, ChangeWhat};
use mdetag_core::device::DeviceValue;
use mdetag_core::plan::TagCase;
use mdetag_core::time::Timestamp;

use super::state::StateDir;

/// More bytes than the pending changes of a million devices take.
const MOST_BYTES: u64 = 1 << 30;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// By policy set: the plan of one set says nothing about the changes of another.
    sets: BTreeMap<String, Read>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    /// When the read started.
    read_at: Timestamp,
    missing: Vec<Missing>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Missing {
    device: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    add: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remove: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_value: Option<DeviceValue>,
}

impl Missing {
    fn of(key: &ChangeKey) -> Self {
        let mut missing = Self { device: key.device.clone(), add: None, remove: None, device_value: None };
        match &key.what {
            ChangeWhat::Add(tag) => missing.add = Some(tag.clone()),
            ChangeWhat::Remove(tag) => missing.remove = Some(tag.clone()),
            ChangeWhat::Value(value) => missing.device_value = Some(*value),
        }
        missing
    }

    fn key(self, case: TagCase) -> Option<ChangeKey> {
        let add = self.add.map(ChangeWhat::Add);
        let what =
            add.or(self.remove.map(ChangeWhat::Remove)).or(self.device_value.map(ChangeWhat::Value))?;
        Some(ChangeKey { device: self.device, what }.awaited(case).into_owned())
    }
}

/// What the newest read of each policy set did not show.
#[derive(Default)]
pub struct Unshown(BTreeMap<String, (Timestamp, BTreeSet<ChangeKey>)>);

impl Unshown {
    /// Whether the list may still lag behind a change of this set that the service confirmed at this time. A set of which no
    /// read is known was not read since.
    pub fn may_lag(&self, set: &str, confirmed: Timestamp, key: &ChangeKey) -> bool {
        self.0.get(set).is_none_or(|(read_at, missing)| confirmed > *read_at || missing.contains(key))
    }
}

/// What is kept of a tenant. A file that cannot be read says nothing: its changes count as pending until their time has passed.
pub fn read(state: &StateDir, case: TagCase) -> Unshown {
    let file = state.backend().read(&state.pending(), MOST_BYTES).ok();
    let file = file.and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok()).unwrap_or_default();
    let keys = |read: Read| {
        (read.read_at, read.missing.into_iter().filter_map(|missing| missing.key(case)).collect())
    };
    Unshown(file.sets.into_iter().map(|(set, read)| (set, keys(read))).collect())
}

/// Keeps what a trusted live read of this set, started at `read_at`, did not show of its pending changes. A read that started
/// later counts, whichever ends first.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep<'a>(
    state: &StateDir,
    set: &str,
    read_at: Timestamp,
    pending: impl Iterator<Item = &'a ChangeKey> + Clone,
) -> Result<()> {
    state.backend().update(&state.pending(), MOST_BYTES, &mut |bytes| {
        // Nothing is lost with a file that nobody can read: it is only a memory of reads, and each plan renews it.
        let mut file: File = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        if file.sets.get(set).is_none_or(|known| known.read_at <= read_at) {
            let missing = pending.clone().map(Missing::of).collect();
            file.sets.insert(set.to_owned(), Read { read_at, missing });
        }
        serde_json::to_vec(&file).map_err(|error| Error::new(ErrorKind::InvalidData, error))
    })
}
