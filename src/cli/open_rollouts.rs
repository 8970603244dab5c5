//! Rollouts that are open: devices of their unwritten waves belong to them until the last wave, a revert, or a person ends them.
//!
//! Withholds nothing itself; that is `plan`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mdetag::store::journal::{self, Header, JournalError, Recorded};
use mdetag::store::set_name;
use mdetag::store::state::StateDir;
use mdetag_core::apply::{Entry, WaveEvent};

use super::carry_out;
use super::context::Context;
use super::failure::{Failure, chain};
use super::past;

/// How far the rollout of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The wave that was started last; 0 before the first.
    pub current: u32,
    /// Whether a person or a revert ended it.
    pub is_closed: bool,
}

impl Progress {
    /// Whether a rollout of so many waves goes on.
    pub fn is_open(self, waves: u32) -> bool {
        self.current > 0 && self.current < waves && !self.is_closed
    }
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
///
/// # Errors
/// As [`undone_by`].
pub fn is_open(state: &StateDir, recorded: &Recorded) -> Result<bool, JournalError> {
    let (header, progress) = (&recorded.header, progress(recorded));
    Ok(header.waves > 1 && progress.is_open(header.waves) && undone_by(state, &header.run)?.is_none())
}

/// The open rollouts of a policy set and of all that share a part with it, or of all, the oldest first: their journals. `except` is the run that goes on.
///
/// # Errors
/// A journal that cannot be read: its rollout could be open.
pub fn open(
    state: &StateDir,
    set: Option<&str>,
    except: Option<&str>,
) -> Result<Vec<Recorded>, JournalError> {
    let headers = journal::headers(state)?;
    let undone: HashSet<&str> = headers.iter().filter_map(|header| header.reverts.as_deref()).collect();
    let mut open = Vec::new();
    for header in &headers {
        let is_other =
            set.is_some_and(|set| !set_name::overlap(&header.set, set)) || except == Some(&*header.run);
        if header.waves < 2 || is_other || undone.contains(&*header.run) {
            continue;
        }
        let recorded = journal::read(state, &header.run)?;
        if progress(&recorded).is_open(header.waves) {
            open.push(recorded);
        }
    }
    Ok(open)
}

/// The run that undid a run.
///
/// # Errors
/// A journal that cannot be read: it could be the one.
pub fn undone_by(state: &StateDir, run: &str) -> Result<Option<String>, JournalError> {
    let undoes = |header: &Header| header.reverts.as_deref() == Some(run);
    Ok(journal::headers(state)?.into_iter().find(undoes).map(|header| header.run))
}

/// The devices of unwritten waves, each with the run whose rollout they wait for.
///
/// # Errors
/// A rollout whose journal or plan cannot be read: its devices are unknown, and another plan would write them before their wave.
pub fn unwritten(
    context: &Context,
    state: &StateDir,
    set: &str,
    except: Option<&str>,
) -> Result<BTreeMap<Arc<str>, String>, Failure> {
    let mut unwritten = BTreeMap::new();
    let flags = carry_out::tenant_flags(context);
    let rollouts = open(state, Some(set), except).map_err(|error| {
        Failure::file(format!("a rollout may be open, and its devices are unknown: {}", chain(&error)))
            .help(
                "nothing is planned beside it; restore the file, or, where nobody has it any more, move it out of the state: \
                 what it says is forgotten then",
            )
    })?;
    for recorded in rollouts {
        let run = &recorded.header.run;
        let current = progress(&recorded).current;
        let unknown = |cause: String| {
            Failure::plan(format!(
                "the rollout of run {run} is open, and its unwritten devices are unknown: {cause}"
            ))
            .help(format!(
                "nothing is planned beside it; restore the state directory, or end the rollout: \
                 mdetag state end {run} --reason TEXT{flags}"
            ))
        };
        let plan = past::plan_of(state, &recorded).map_err(|failure| unknown(failure.message))?;
        let waves = plan.rollout.as_ref().ok_or_else(|| unknown("its plan has no waves".to_owned()))?;
        let later = plan.changes.iter().zip(&waves.of).filter(|(_, wave)| **wave > current);
        unwritten.extend(later.map(|(change, _)| (change.id.clone(), run.clone())));
    }
    Ok(unwritten)
}
