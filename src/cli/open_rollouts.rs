//! Open rollouts: they own the devices of their unwritten waves until the last wave, a revert, or a person ends them.
//!
//! Withholds nothing itself; `plan` does.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mdetag::store::journal::{self, Header, JournalError, RecordedRun};
use mdetag::store::path_text::shown;
use mdetag::store::set_name;
use mdetag::store::state::StateDir;
use mdetag_core::apply::{Entry, Gate, Outcome, WaveEvent, resume};
use mdetag_core::plan::PlannedWaves;
use mdetag_core::time::Timestamp;

use super::context::Context;
use super::ended_run::OtherRollout;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::flags::tenant_flags;
use super::past_run;
use super::set_names;
use super::show;

/// The progress of a run's rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The wave that was started last; 0 before the first.
    pub current: u32,
    /// Whether a person ended it.
    pub is_closed: bool,
    /// Nothing follows the journal's first line: it is unknown whether the run was killed before its first wave, or lines were
    /// lost.
    pub is_unknown: bool,
    /// The earliest start of the next wave.
    pub not_before: Option<Timestamp>,
    /// The gate that the wave failed.
    pub halted: Option<Gate>,
}

impl Progress {
    /// Whether a resume at this time would write: an interrupted wave, or the next one.
    pub fn is_due(self, now: Timestamp) -> bool {
        self.halted.is_none() && self.not_before.is_none_or(|moment| moment <= now)
    }

    /// Whether a rollout with this many waves is open.
    pub fn is_open(self, waves: u32) -> bool {
        (self.current > 0 || self.is_unknown) && self.current < waves && !self.is_closed
    }
}

/// The rollout of a run, if it is open. `flags`: those that name the tenant.
pub fn other(recorded: &RecordedRun, now: Timestamp, flags: &str) -> Option<OtherRollout> {
    let (progress, run) = (progress(recorded), &recorded.header.run);
    if !progress.is_open(recorded.header.waves) {
        return None;
    }
    let resume = format!("mdetag apply --resume {run}");
    let what = match (progress.halted, progress.not_before) {
        (Some(gate), _) => format!(
            "wave {} failed the gate `{}`; {resume} --next-wave --reason TEXT{flags} goes on, mdetag state end {run} --reason \
             TEXT{flags} ends it",
            progress.current,
            gate.word()
        ),
        (None, Some(moment)) if moment > now => {
            format!("its next wave may start at {}: {resume}{flags}", moment.rounded_up())
        }
        (None, _) => {
            format!("it may go on now: {resume}{flags} (with --or-plan if the policies have changed since)")
        }
    };
    let is_halted = progress.halted.is_some();
    Some(OtherRollout {
        run: run.clone(),
        exit: if is_halted { Exit::Partial } else { Exit::Waiting },
        not_before: (!is_halted).then(|| progress.not_before.unwrap_or(now.rounded_down())),
        sentence: format!("the rollout of run {run} is open as well: {what}"),
    })
}

/// The progress of the rollout in a journal.
pub fn progress(recorded: &RecordedRun) -> Progress {
    let is_unknown = recorded.entries.is_empty() && recorded.closing.is_none();
    let mut progress = Progress { current: 0, is_closed: false, is_unknown, not_before: None, halted: None };
    for entry in &recorded.entries {
        match entry {
            Entry::Wave { wave, event: WaveEvent::Started { .. }, .. } if *wave > progress.current => {
                (progress.current, progress.not_before, progress.halted) = (*wave, None, None);
            }
            Entry::Wave { event, .. } => match event {
                WaveEvent::Ended { not_before } => progress.not_before = Some(*not_before),
                WaveEvent::Halted(halt) => progress.halted = Some(halt.gate),
                WaveEvent::Passed { reason: Some(_) } => {
                    (progress.halted, progress.not_before) = (None, None)
                }
                WaveEvent::Closed { .. } => progress.is_closed = true,
                _ => {}
            },
            _ => {}
        }
    }
    progress
}

/// Whether a run has an open rollout.
///
/// # Errors
/// Those of [`undone_by`].
pub fn is_open(state: &StateDir, recorded: &RecordedRun) -> Result<bool, JournalError> {
    let (header, progress) = (&recorded.header, progress(recorded));
    Ok(header.waves > 1
        && progress.is_open(header.waves)
        && !undone(state, &journal::headers(state)?)?.contains(&header.run))
}

/// The journals of the open rollouts of a policy set and of all sets that share a part with it, or of all, oldest first. `except`
/// is the resumed run.
///
/// # Errors
/// An unreadable journal: its rollout may be open.
pub fn open(
    state: &StateDir,
    set: Option<&str>,
    except: Option<&str>,
) -> Result<Vec<RecordedRun>, JournalError> {
    let headers = journal::headers(state)?;
    let undone = undone(state, &headers)?;
    let mut open = Vec::new();
    for header in &headers {
        let is_other =
            set.is_some_and(|set| !set_name::overlap(&header.set, set)) || except == Some(&*header.run);
        if header.waves < 2 || is_other || undone.contains(&header.run) {
            continue;
        }
        let recorded = journal::read(state, &header.run)?;
        if progress(&recorded).is_open(header.waves) {
            open.push(recorded);
        }
    }
    Ok(open)
}

/// The runs that later ones undid. A revert with remaining work has not ended the run that it undoes.
///
/// # Errors
/// An unreadable journal of a revert.
pub fn undone(state: &StateDir, headers: &[Header]) -> Result<HashSet<String>, JournalError> {
    let mut undone = HashSet::new();
    for header in headers {
        if let Some(run) = &header.reverts
            && !undone.contains(run)
            && is_written(state, &journal::read(state, &header.run)?)
        {
            undone.insert(run.clone());
        }
    }
    Ok(undone)
}

/// Whether a revert has no remaining work. One that was planned from a possibly incomplete list names only a part.
fn is_written(state: &StateDir, revert: &RecordedRun) -> bool {
    let is_undone =
        |outcome| matches!(outcome, Outcome::Done | Outcome::Noop | Outcome::Gone | Outcome::Pending);
    revert.closing.as_ref().is_some_and(|closing| closing.is_complete)
        && resume::outcomes(&revert.entries).values().all(|ended| is_undone(ended.outcome))
        && past_run::plan_of(state, revert).is_ok_and(|plan| plan.is_trusted())
}

/// Refuses to continue a run that a revert undid, or started to undo.
///
/// # Errors
/// The run was undone; an unreadable journal.
pub fn not_undone(state: &StateDir, recorded: &RecordedRun, flags: &str) -> Result<(), Failure> {
    let run = &recorded.header.run;
    let Some(undo) = undone_by(state, run).map_err(Failure::journal)? else { return Ok(()) };
    if is_open(state, recorded).map_err(Failure::journal)? {
        return Err(Failure::usage(format!(
            "the rollout of run {run} is open, and run {undo} began to undo it: something of that is left"
        ))
        .help(format!(
            "undo the rest (mdetag revert {run} -o undo.json{flags}, then mdetag apply undo.json{flags}), \
             or end the rollout as it is: mdetag state end {run} --reason TEXT{flags}"
        )));
    }
    Err(Failure::usage(format!("run {run} was undone by run {undo}"))
        .help(format!("nothing was written; plan again with `mdetag plan{flags}`")))
}

/// The run that undid a run, or started to.
///
/// # Errors
/// An unreadable journal: it may be that run's.
fn undone_by(state: &StateDir, run: &str) -> Result<Option<String>, JournalError> {
    let undoes = |header: &Header| header.reverts.as_deref() == Some(run);
    Ok(journal::headers(state)?.into_iter().find(undoes).map(|header| header.run))
}

/// The devices of unwritten waves, each with the run whose rollout it waits for.
///
/// # Errors
/// A rollout with an unreadable journal or plan: its devices are unknown, and another plan would write them before their wave.
pub fn unwritten(
    context: &Context,
    state: &StateDir,
    set: &str,
    except: Option<&str>,
) -> Result<BTreeMap<Arc<str>, String>, Failure> {
    let mut unwritten = BTreeMap::new();
    let flags = tenant_flags(context);
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
        let plan = past_run::plan_of(state, &recorded).map_err(|failure| unknown(failure.message))?;
        let waves = plan.rollout.as_ref().ok_or_else(|| unknown("its plan has no waves".to_owned()))?;
        let later = plan.changes.iter().zip(&waves.of).filter(|(_, wave)| **wave > current);
        unwritten.extend(later.map(|(change, _)| (change.id.clone(), run.clone())));
    }
    lost_journals(context, state, set)?;
    Ok(unwritten)
}

/// Refuses to plan if the state has a plan in waves without its journal: the progress of its rollout is unknown.
fn lost_journals(context: &Context, state: &StateDir, set: &str) -> Result<(), Failure> {
    let unlisted =
        |error| Failure::file(format!("cannot list the plans in {}: {error}", shown(&state.runs())));
    for run in state.backend().plans(&state.runs()).map_err(unlisted)? {
        if journal::header(state, &run).is_ok_and(|header| header.is_some()) {
            continue;
        }
        let path = state.plan(&run);
        let lost = |cause: &str| {
            let path = shown(&path);
            Failure::file(format!("a rollout may be open, and its devices are unknown: {path} {cause}")).help(
                "nothing is planned beside it; restore the journal, or, where nobody has it any more, move the plan out of \
                 the state: what it says is forgotten then",
            )
        };
        let text = journal::plan_text(state, &run).ok();
        let Some((plan, _)) = text.and_then(|text| show::parse(&path, &text).ok()) else {
            return Err(lost("cannot be read, and has no journal beside it"));
        };
        let waves = plan.rollout.as_ref().map_or(0, PlannedWaves::last);
        if waves > 1 && set_name::overlap(&set_names::set_of(context, &plan.header.policy), set) {
            return Err(lost("is a plan in waves that has no journal beside it"));
        }
    }
    Ok(())
}
