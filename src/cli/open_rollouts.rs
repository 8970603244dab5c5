//! Rollouts that are open: devices of their unwritten waves belong to them until the last wave, a revert, or a person ends them.
//!
//! Withholds nothing itself; that is `plan`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mdetag::store::journal::{self, JournalError, Recorded};
use mdetag::store::state::StateDir;
use mdetag_core::apply::{Entry, WaveEvent};

use super::past;

/// How far the rollout of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The wave that was started last; 0 before the first.
    pub current: u32,
    /// Whether a person or a revert ended it.
    pub is_closed: bool,
}

/// How far the rollout of a journal is.
pub fn progress(recorded: &Recorded) -> Progress {
    let mut progress = Progress { current: 0, is_closed: false };
    for entry in &recorded.entries {
        match entry {
            Entry::Wave { wave, event: WaveEvent::Started { .. }, .. } => {
                progress.current = progress.current.max(*wave);
            }
            Entry::Wave { event: WaveEvent::Closed { .. }, .. } => progress.is_closed = true,
            _ => {}
        }
    }
    progress
}

/// Whether a run has an open rollout.
pub fn is_open(state: &StateDir, recorded: &Recorded) -> bool {
    open(state, None, None).iter().any(|open| open.header.run == recorded.header.run)
}

/// The open rollouts of a policy set, or of all, the oldest first: their journals. `except` is the run that goes on.
pub fn open(state: &StateDir, set: Option<&str>, except: Option<&str>) -> Vec<Recorded> {
    let runs = journal::runs(state).unwrap_or_default();
    let headers: Vec<_> = runs.iter().filter_map(|run| journal::header(state, run)).collect();
    let undone: HashSet<&str> = headers.iter().filter_map(|(_, header)| header.reverts.as_deref()).collect();
    let mut open = Vec::new();
    for (_, header) in &headers {
        let is_other = set.is_some_and(|set| header.set != set) || except == Some(&*header.run);
        if header.waves < 2 || is_other || undone.contains(&*header.run) {
            continue;
        }
        let Ok(recorded) = journal::read(state, &header.run) else { continue };
        let progress = progress(&recorded);
        if progress.current > 0 && progress.current < header.waves && !progress.is_closed {
            open.push(recorded);
        }
    }
    open
}

/// The run that undid a run.
pub fn undone_by(state: &StateDir, run: &str) -> Option<String> {
    let runs = journal::runs(state).unwrap_or_default();
    let headers = runs.iter().filter_map(|run| journal::header(state, run));
    headers
        .map(|(_, header)| header)
        .find(|header| header.reverts.as_deref() == Some(run))
        .map(|header| header.run)
}

/// The open rollout of a state, where there is one.
///
/// # Errors
/// Several: the caller has to name one.
pub fn only(state: &StateDir) -> Result<Option<Recorded>, JournalError> {
    let mut open = open(state, None, None);
    if open.len() > 1 {
        let runs = open.iter().map(|recorded| recorded.header.run.clone()).collect::<Vec<_>>();
        return Err(JournalError::Several { runs: runs.join(", ") });
    }
    Ok(open.pop())
}

/// The devices of unwritten waves, each with the run whose rollout they wait for.
pub fn unwritten(state: &StateDir, set: &str, except: Option<&str>) -> BTreeMap<Arc<str>, String> {
    let mut unwritten = BTreeMap::new();
    for recorded in open(state, Some(set), except) {
        let run = &recorded.header.run;
        let current = progress(&recorded).current;
        let plan = match past::plan_of(state, &recorded) {
            Ok(plan) => plan,
            Err(_) => {
                tracing::warn!(run, "the plan of an open rollout cannot be read: its devices are not known");
                continue;
            }
        };
        let Some(waves) = &plan.rollout else { continue };
        let later = plan.changes.iter().zip(&waves.of).filter(|(_, wave)| **wave > current);
        unwritten.extend(later.map(|(change, _)| (change.id.clone(), run.clone())));
    }
    unwritten
}
