//! The index of the journals: the changes of each finished run in the form of `history`, in one small file per run.
//!
//! Contains nothing that the journals and their plans do not say, so it may be deleted at any time and is rebuilt when needed.
//! Nothing decides by it: plans, reverts and resumptions read the journals.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use mdetag_core::apply::Outcome;
use mdetag_core::plan::{Cause, ChangeKey, ChangeWhat, Plan, document, stale};
use mdetag_core::report::words::{self, counted};
use mdetag_core::time::Timestamp;

use super::history_entries;
use super::journal::{self, Header, JournalError, RecordedRun};
use super::state::StateDir;
use super::state_json;

/// A file of another version is rebuilt.
const FORMAT: u32 = 2;

/// Upper limit of its size in bytes: a million changes take about 300 MB.
const MOST_BYTES: u64 = 1 << 30;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedRun {
    format: u32,
    pub started: Option<Timestamp>,
    pub header: Header,
    pub ended: String,
    /// Whether it can be resumed; such a run is never in the index.
    pub is_resumable: bool,
    /// Number of unreadable lines of the journal.
    pub damaged: u64,
    /// The last outcome of each change, in the order of the journal.
    pub changes: Vec<IndexedChange>,
}

/// The outcome of a change, and why it was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedChange {
    pub at: Timestamp,
    pub device: String,
    /// Its name, if the plan knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `add`, `remove` or `value`.
    pub action: String,
    /// The tag or the value.
    pub what: String,
    pub outcome: String,
    /// The reason of a bad outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Whether it is a tag that a call removed by accident.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_lost: bool,
}

impl IndexedRun {
    /// Number of changes with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        let ended_so = |change: &&IndexedChange| change.outcome == outcome.word() && !change.was_lost;
        self.changes.iter().filter(ended_so).count() as u64
    }
}

/// A run from the index, or else from its journal, which is then indexed if the run is finished.
///
/// # Errors
/// A journal that cannot be read.
pub fn read(state: &StateDir, run: &str) -> Result<IndexedRun, JournalError> {
    let path = state.history(run);
    let kept = state.backend().read(&path, MOST_BYTES).ok();
    let kept = kept.and_then(|bytes| serde_json::from_slice::<IndexedRun>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.format == FORMAT && kept.header.run == run) {
        return Ok(kept);
    }
    let made = make(state, &journal::read(state, run)?);
    if !made.is_resumable
        && let Ok(bytes) = state_json::bytes(&made)
        && let Err(error) = state.backend().write(&path, &bytes)
    {
        // Nothing is lost: the next reader rebuilds it.
        tracing::debug!(%error, run, "the run cannot be indexed");
    }
    Ok(made)
}

fn make(state: &StateDir, recorded: &RecordedRun) -> IndexedRun {
    let run = &recorded.header.run;
    let plan = journal::plan_text(state, run).ok().and_then(|text| document::read(&text).ok());
    let known = plan.as_ref().map(reasons).unwrap_or_default();
    let changes = history_entries::entries_of(recorded).into_iter().map(|entry| {
        let because = known.get(&entry.key).filter(|_| !entry.was_lost).cloned();
        let (action, what) = match &entry.key.what {
            ChangeWhat::Add(tag) => ("add", tag.to_string()),
            ChangeWhat::Remove(tag) => ("remove", tag.to_string()),
            ChangeWhat::Value(value) => ("value", value.to_string()),
        };
        IndexedChange {
            at: entry.at,
            device: entry.key.device.to_string(),
            name: plan.as_ref().and_then(|plan| name(plan, &entry.key.device)),
            action: action.to_owned(),
            what,
            outcome: entry.outcome.word().to_owned(),
            error: entry.error,
            because,
            was_lost: entry.was_lost,
        }
    });
    IndexedRun {
        format: FORMAT,
        started: recorded.started,
        header: recorded.header.clone(),
        ended: recorded.closing.as_ref().map_or_else(|| "not ended".to_owned(), |end| end.reason.clone()),
        is_resumable: recorded.is_resumable(),
        damaged: recorded.damaged,
        changes: changes.collect(),
    }
}

/// A device's name in the plan.
fn name(plan: &Plan, device: &str) -> Option<String> {
    let place = plan.changes.binary_search_by(|change| (*change.id).cmp(device)).ok()?;
    plan.changes[place].name.as_deref().map(str::to_owned)
}

/// The reasons of planned changes.
fn reasons(plan: &Plan) -> HashMap<ChangeKey, String> {
    let mut reasons = HashMap::new();
    for change in &plan.changes {
        let tags = change.add.iter().chain(&change.remove).map(|tag| tag.cause);
        let causes = tags.chain(change.value.map(|value| value.cause));
        for (key, cause) in stale::keys(plan, change).zip(causes) {
            let because = match plan.cause(cause) {
                Cause::Rule(rules) if rules.len() > 3 => counted(rules.len() as u64, "rule"),
                cause => words::cause(plan, cause),
            };
            reasons.insert(key, because);
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Closing, Journal};
    use super::*;
    use mdetag_core::apply::{ChangeOutcome, Entry};

    fn run(state: &StateDir, second: i64, is_complete: bool) -> String {
        let now = Timestamp::from_seconds(1_800_000_000 + second);
        let header = Header { run: journal::run_id(now), ..Header::default() };
        let mut journal = Journal::create(state, &header, &Plan::default(), b"{}", now).unwrap();
        let key = ChangeKey { device: "d".into(), what: ChangeWhat::Add("T".into()) };
        let done = ChangeOutcome { key, outcome: Outcome::Done, error: None };
        journal.append(vec![Entry::Ended { at: now, ended: vec![done] }]).unwrap();
        journal.close(Closing { at: now, is_complete, reason: "finished".to_owned() }).unwrap();
        header.run
    }

    #[test]
    fn the_index_says_what_the_journals_say_and_is_made_again_when_it_is_gone_or_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path(), "public", "t").unwrap();
        let run = run(&state, 0, true);
        let first = read(&state, &run).unwrap();
        assert_eq!((first.changes.len(), first.count(Outcome::Done)), (1, 1));
        let hidden = folder.path().join("hidden");
        std::fs::rename(state.journal(&run), &hidden).unwrap();
        assert_eq!(read(&state, &run).unwrap(), first, "without the journal");
        std::fs::rename(&hidden, state.journal(&run)).unwrap();
        for damage in ["", "{", "{\"format\":0}"] {
            std::fs::write(state.history(&run), damage).unwrap();
            assert_eq!(read(&state, &run).unwrap(), first);
            assert!(std::fs::metadata(state.history(&run)).unwrap().len() > 20, "made again");
        }
        std::fs::remove_file(state.history(&run)).unwrap();
        assert_eq!(read(&state, &run).unwrap(), first);
    }

    #[test]
    fn a_run_that_may_go_on_is_read_from_its_journal() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path(), "public", "t").unwrap();
        let run = run(&state, 0, false);
        assert!(read(&state, &run).unwrap().is_resumable);
        assert!(!state.history(&run).exists());
    }
}
