//! The run that `apply --resume` continues if none is named: the newest of a policy set that ended early and need not wait.
//!
//! Reads only journals; `apply` checks whether the rest of a run still fits.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mdetag::store::journal::{self, Header, JournalError, RecordedRun};
use mdetag::store::path_text::shown;
use mdetag::store::set_name;
use mdetag::store::state::StateDir;
use mdetag_core::report::escape::terminal;
use mdetag_core::time::Timestamp;

use super::context::Context;
use super::failure::{Failure, chain};
use super::flags;
use super::open_rollouts::{self, Progress};

/// The runs of a state that ended early.
pub struct Unfinished {
    /// Those of the policy set, newest first. After [`Unfinished::choose`], the run to continue comes before them.
    pub runs: Vec<RecordedRun>,
    /// Those of other policy sets.
    others: Vec<Header>,
    /// Whether the state has no run.
    pub is_new: bool,
    /// The newest run of the set that undoes no other, finished or not.
    pub newest: Option<Header>,
}

/// Judges the runs of a state, newest first.
pub struct UnfinishedRuns<'a> {
    undone: HashSet<&'a str>,
    /// Sets with a finished run.
    over: BTreeSet<&'a str>,
}

impl<'a> UnfinishedRuns<'a> {
    /// `headers` tell which runs were undone.
    pub fn new(headers: &'a [Header]) -> UnfinishedRuns<'a> {
        let undone = headers.iter().filter_map(|header| header.reverts.as_deref()).collect();
        UnfinishedRuns { undone, over: BTreeSet::new() }
    }

    /// Whether a run need not be checked: it was undone, or a later one of its set planned everything anew.
    pub fn is_over(&self, header: &Header) -> bool {
        self.undone.contains(&*header.run) || self.over.iter().any(|set| set_name::covers(set, &header.set))
    }

    /// Whether the next older run ended early and must still continue.
    pub fn is_left(
        &mut self,
        header: &'a Header,
        is_resumable: bool,
        is_closed: impl FnOnce() -> bool,
    ) -> bool {
        if self.is_over(header) {
            return false;
        }
        if !is_resumable && header.reverts.is_none() {
            self.over.insert(&header.set);
        }
        is_resumable && !is_closed()
    }
}

/// Finds the runs that ended early. A run no longer counts as unfinished after a later one of its set, which planned everything
/// anew, has finished. An open rollout still does, because later plans leave its devices alone.
///
/// # Errors
/// An unreadable journal that may be of the newest run: continuing an older one would be a guess.
pub fn find(context: &Context, state: &StateDir, set: &str) -> Result<Unfinished, Failure> {
    let flags = flags::tenant_flags(context);
    let unreadable = |error: &JournalError| {
        Failure::file(chain(error)).help(format!(
            "it may be the journal of the newest run; restore it, or name the run: mdetag apply --resume RUN{flags}"
        ))
    };
    let runs = journal::runs(state).map_err(|error| {
        Failure::file(format!("cannot list the runs in {}: {error}", shown(&state.runs())))
    })?;
    let mut headers = Vec::new();
    let mut unread: BTreeSet<&String> = BTreeSet::new();
    for run in &runs {
        match journal::header(state, run) {
            Ok(header) => headers.extend(header.map(|(_, header)| header)),
            Err(_) => drop(unread.insert(run)),
        }
    }
    let mut judge = UnfinishedRuns::new(&headers);
    let mut found = BTreeMap::new();
    let (mut ended, mut others) = (None, Vec::new());
    for header in headers.iter().rev() {
        if judge.is_over(header) {
            continue;
        }
        let recorded = match journal::read(state, &header.run) {
            Ok(recorded) => recorded,
            Err(error) if set_name::covers(set, &header.set) => return Err(unreadable(&error)),
            Err(_) => continue,
        };
        let is_left =
            judge.is_left(header, recorded.is_resumable(), || open_rollouts::progress(&recorded).is_closed);
        if judge.is_over(header) && set_name::covers(set, &header.set) {
            ended = ended.or_else(|| Some(header.run.clone()));
        }
        if is_left {
            match set_name::covers(set, &header.set) {
                true => drop(found.insert(header.run.clone(), recorded)),
                false => others.push(header.clone()),
            }
        }
    }
    let decided = found.keys().next_back().or(ended.as_ref());
    if let Some(run) = unread.last().filter(|run| decided.is_none_or(|decided| **run > decided)) {
        return Err(unreadable(&JournalError::NoHeader { path: shown(&state.journal(run)) }));
    }
    // An unreadable older one decides nothing here; if it may have a rollout, planning says so.
    for header in headers.iter().filter(|header| set_name::covers(set, &header.set) && header.waves > 1) {
        if judge.undone.contains(&*header.run) || found.contains_key(&header.run) {
            continue;
        }
        let recorded = journal::read(state, &header.run).map_err(|error| unreadable(&error))?;
        if open_rollouts::progress(&recorded).is_open(header.waves) {
            found.insert(header.run.clone(), recorded);
        }
    }
    let newest = headers
        .iter()
        .rev()
        .find(|header| set_name::covers(set, &header.set) && header.reverts.is_none())
        .cloned();
    Ok(Unfinished { runs: found.into_values().rev().collect(), others, is_new: runs.is_empty(), newest })
}

impl Unfinished {
    /// Moves the run to continue to the front: the newest that could write at this time, else the one whose next wave may start first.
    /// A newer rollout that waits for its next wave, or for a person, must not keep an older one from a wave that is due. With
    /// `--next-wave`, the newest that a gate stopped comes before both.
    pub fn choose(&mut self, now: Timestamp, passes_gate: bool) {
        let progress: Vec<Progress> = self.runs.iter().map(open_rollouts::progress).collect();
        let halted = || progress.iter().position(|one| one.halted.is_some()).filter(|_| passes_gate);
        let due = || progress.iter().position(|one| one.is_due(now));
        let first = || {
            let waiting = progress.iter().enumerate().filter(|(_, one)| one.halted.is_none());
            waiting.min_by_key(|(_, one)| one.not_before).map(|(at, _)| at)
        };
        if let Some(chosen) = halted().or_else(due).or_else(first) {
            self.runs[..=chosen].rotate_right(1);
        }
    }

    /// Reports the unfinished runs besides the one that continues.
    pub fn report_leftovers(&self, context: &Context, now: Timestamp) {
        let (console, flags) = (&context.console, flags::tenant_flags(context));
        if let [chosen, rest @ ..] = &self.runs[..]
            && !rest.is_empty()
        {
            let (run, progress) = (&chosen.header.run, open_rollouts::progress(chosen));
            let which = match (progress.halted, progress.not_before) {
                (Some(_), _) => format!("; the newest that a gate stopped is {run}"),
                (None, Some(moment)) if moment > now => {
                    format!(
                        ", and none may go on now; the first that may is {run}, at {}",
                        moment.rounded_up()
                    )
                }
                _ => format!("; the newest that need not wait goes on, which is {run}"),
            };
            console.say(&format!(
                "{} runs of these policies ended early{which}. Also unfinished, each resumed with \
                 `mdetag apply --resume RUN{flags}`:",
                self.runs.len()
            ));
            rest.iter().for_each(|recorded| console.say(&format!("  {}", line(&recorded.header))));
        }
        if self.runs.is_empty() && !self.others.is_empty() {
            console.say(&format!(
                "runs of other policies ended early, each resumed with `mdetag apply --resume RUN{flags}`:"
            ));
            self.others.iter().for_each(|header| console.say(&format!("  {}", line(header))));
        }
    }
}

/// `20261126T120000Z-000000 (https://github.com/contoso/tags policies)`.
fn line(header: &Header) -> String {
    format!("{} ({})", header.run, terminal(set_name::shown(&header.set).trim()))
}
