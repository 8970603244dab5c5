//! Journals of probes: `probes/RUN-ID.jsonl`, in the same form as other journals, with the device's original state.
//!
//! Knows the tags that a probe may have left on its device; removes none.

use std::io::BufReader;
use std::sync::Arc;

use mdetag_core::apply::{Call, DeviceState, Entry, TagAction};
use mdetag_core::probe::scratch::is_scratch;
use mdetag_core::time::Timestamp;

use super::journal::{self, Header, Journal, JournalError, RecordedRun, RunKind};
use super::journal_line::Line;
use super::state::StateDir;

/// Starts the journal of a probe.
///
/// # Errors
/// As [`Journal::create`].
pub fn create(state: &StateDir, header: &Header, now: Timestamp) -> Result<Journal, JournalError> {
    let header = Header { kind: RunKind::Probe, ..header.clone() };
    Journal::begin(state, state.probe(&header.run), &header, Vec::new(), now)
}

/// Continues the journal of a probe, to clean up.
///
/// # Errors
/// As [`Journal::resume`].
pub fn resume(state: &StateDir, header: &Header, now: Timestamp) -> Result<Journal, JournalError> {
    let header = Header { kind: RunKind::Probe, ..header.clone() };
    Journal::go_on(state, state.probe(&header.run), &header, now)
}

/// Records the device's state before anything is written to it.
///
/// # Errors
/// As [`Journal::append`].
pub fn keep(journal: &mut Journal, device: &DeviceState, now: Timestamp) -> Result<(), JournalError> {
    journal.write(&[Line::Before { at: now, device: device.clone() }])
}

/// Reads the journal of a probe.
///
/// # Errors
/// As [`journal::read`].
pub fn read(state: &StateDir, run: &str) -> Result<RecordedRun, JournalError> {
    let path = state.probe(run);
    let log = state.backend().read_log(&path).map_err(|source| journal::unusable(&path, source))?;
    journal::read_lines(BufReader::new(log), &path)
}

/// The end of a probe, in words. Nothing is written to a device before the journal has its state.
pub fn ended(recorded: &RecordedRun) -> &str {
    match (&recorded.closing, &recorded.before) {
        (Some(closing), _) => &closing.reason,
        (None, Some(_)) => "did not put its device back",
        (None, None) => "ended before it wrote anything",
    }
}

/// The ids of all probes, oldest first.
///
/// # Errors
/// The folder cannot be read.
pub fn runs(state: &StateDir) -> std::io::Result<Vec<String>> {
    state.backend().logs(&state.probes())
}

/// The newest probe that may have left its device changed; only of this device, if one is named.
///
/// # Errors
/// A folder or a journal that cannot be read.
pub fn last_unfinished(state: &StateDir, device: Option<&str>) -> Result<Option<RecordedRun>, JournalError> {
    let runs = runs(state).map_err(|source| journal::unusable(&state.probes(), source))?;
    for run in runs.iter().rev() {
        let recorded = match read(state, run) {
            // It was killed before its first line was complete, and before any call.
            Err(JournalError::NoHeader { .. }) => continue,
            recorded => recorded?,
        };
        let is_it = |before: &DeviceState| device.is_none_or(|device| before.id.eq_ignore_ascii_case(device));
        if recorded.is_resumable() && recorded.before.as_ref().is_some_and(is_it) {
            return Ok(Some(recorded));
        }
    }
    Ok(None)
}

/// Scratch tags that the probe may have added.
pub fn added(recorded: &RecordedRun) -> Vec<Arc<str>> {
    let mut added = Vec::new();
    for entry in &recorded.entries {
        let Entry::Intent { request, .. } = entry else { continue };
        if let Call::BulkTag { tag, action: TagAction::Add, .. }
        | Call::SingleTag { tag, action: TagAction::Add, .. } = request
            && is_scratch(tag)
            && !added.contains(tag)
        {
            added.push(Arc::clone(tag));
        }
    }
    added
}

/// Whether it sent a call that can have lost a tag of the device.
pub fn is_patched(recorded: &RecordedRun) -> bool {
    let is_patch = |entry: &Entry| matches!(entry, Entry::Intent { request: Call::Update { .. }, .. });
    recorded.entries.iter().any(is_patch)
}
