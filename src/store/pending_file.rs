//! The confirmed changes that no read has shown since (`pending.json`).
//!
//! If the list showed a change that is gone later, somebody undid it: it is planned again, and did not bounce. Without this file
//! it would count as pending until `writes.visibility` has passed, and as bounced after that.

use std::collections::HashSet;
use std::io::Result;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use mdetag_core::apply::{ChangeKey, ChangeWhat, Entry, Outcome};
use mdetag_core::device::DeviceValue;
use mdetag_core::plan::TagCase;
use mdetag_core::time::Timestamp;

use super::journal;
use super::state::StateDir;
use super::state_json;

/// Upper limit of its size in bytes, above what the pending changes of a million devices take.
const MOST_BYTES: u64 = 1 << 30;

/// Older bounces no longer decide anything.
const KEPT: Duration = Duration::from_secs(60 * 86_400);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PendingFile {
    /// Changes confirmed before this time are unknown.
    since: Timestamp,
    /// The start of the newest read.
    read_at: Timestamp,
    /// Changes confirmed between the two that no read has shown.
    unshown: Vec<Unshown>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unshown {
    run: Arc<str>,
    at: Timestamp,
    #[serde(flatten)]
    change: PendingChange,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PendingChange {
    device: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    add: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remove: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_value: Option<DeviceValue>,
}

impl PendingChange {
    fn of(key: &ChangeKey) -> Self {
        let mut missing = Self { device: key.device.clone(), add: None, remove: None, device_value: None };
        match &key.what {
            ChangeWhat::Add(tag) => missing.add = Some(tag.clone()),
            ChangeWhat::Remove(tag) => missing.remove = Some(tag.clone()),
            ChangeWhat::Value(value) => missing.device_value = Some(*value),
        }
        missing
    }

    fn key(&self) -> Option<ChangeKey> {
        let add = self.add.clone().map(ChangeWhat::Add);
        let what = add
            .or(self.remove.clone().map(ChangeWhat::Remove))
            .or(self.device_value.map(ChangeWhat::Value))?;
        Some(ChangeKey { device: self.device.clone(), what })
    }
}

/// The changes that later reads of the list have shown.
#[derive(Default)]
pub struct ShownChanges {
    /// Changes confirmed after the first and until the second of these times are known.
    between: Option<(Timestamp, Timestamp)>,
    unshown: HashSet<(Arc<str>, ChangeKey)>,
}

impl ShownChanges {
    /// Whether a read that started after the service confirmed this change of a run has shown it. A change that no known read has
    /// shown may be late, or have bounced.
    pub fn holds(&self, run: &str, confirmed: Timestamp, key: &ChangeKey, case: TagCase) -> bool {
        self.between.is_some_and(|(since, read_at)| since < confirmed && confirmed <= read_at)
            && !self.unshown.contains(&(run.into(), key.awaited(case).into_owned()))
    }
}

/// Reads the file of a tenant. An unreadable one counts as empty: its changes count as pending until their time has passed.
pub fn read(state: &StateDir, case: TagCase) -> ShownChanges {
    let Some(file) = parsed(state.backend().read(&state.pending(), MOST_BYTES).ok()) else {
        return ShownChanges::default();
    };
    let keys = file
        .unshown
        .iter()
        .filter_map(|unshown| Some((unshown.run.clone(), unshown.change.key()?.awaited(case).into_owned())));
    ShownChanges { unshown: keys.collect(), between: Some((file.since, file.read_at)) }
}

fn parsed(bytes: Option<Vec<u8>>) -> Option<PendingFile> {
    serde_json::from_slice(&bytes?).ok()
}

/// Stores the changes that runs confirmed before a trusted live read, started at `read_at`, and that the read did not show. A
/// change that any read has shown stays shown, whichever read ends first; a read that leaves out a device does not show its
/// changes.
///
/// # Errors
/// The file cannot be written.
pub fn keep(state: &StateDir, read_at: Timestamp, shows: &dyn Fn(&ChangeKey) -> bool) -> Result<()> {
    let known = parsed(state.backend().read(&state.pending(), MOST_BYTES).ok());
    let new = known.map_or_else(Vec::new, |known| confirmed_since(state, known.read_at, read_at, shows));
    state.backend().update(&state.pending(), MOST_BYTES, &mut |bytes| {
        // An unreadable file loses nothing: earlier confirmed changes count as not shown.
        let known = parsed(bytes);
        let mut file = known.unwrap_or_else(|| PendingFile { since: read_at, read_at, unshown: Vec::new() });
        let last = file.read_at;
        let is_unshown =
            |unshown: &Unshown| unshown.at > read_at || unshown.change.key().is_some_and(|key| !shows(&key));
        file.unshown.retain(is_unshown);
        file.unshown
            .extend(new.iter().filter(|unshown| unshown.at > last && unshown.at > file.since).cloned());
        file.read_at = last.max(read_at);
        let oldest = file.read_at.minus(KEPT);
        file.since = file.since.max(oldest);
        file.unshown.retain(|unshown| unshown.at > oldest);
        state_json::bytes(&file)
    })
}

/// Changes that runs confirmed in this time and that the read does not show.
fn confirmed_since(
    state: &StateDir,
    after: Timestamp,
    until: Timestamp,
    shows: &dyn Fn(&ChangeKey) -> bool,
) -> Vec<Unshown> {
    let mut unshown = Vec::new();
    for run in journal::runs(state).unwrap_or_default().iter().rev() {
        let Ok(recorded) = journal::read(state, run) else { continue };
        if recorded.entries.last().is_none_or(|entry| entry.at() <= after) {
            break;
        }
        let run: Arc<str> = run.as_str().into();
        for entry in &recorded.entries {
            let Entry::Reply { at, ended, .. } = entry else { continue };
            let done = ended.iter().filter(|ended| ended.outcome == Outcome::Done);
            if *at > after && *at <= until {
                let missing = done.filter(|ended| !shows(&ended.key));
                unshown.extend(missing.map(|ended| Unshown {
                    run: run.clone(),
                    at: *at,
                    change: PendingChange::of(&ended.key),
                }));
            }
        }
    }
    unshown
}
