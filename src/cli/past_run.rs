//! An earlier run, with its plan as proven by its journal.

use std::collections::HashSet;

use mdetag::store::journal::{self, RecordedRun};
use mdetag::store::path_text::shown;
use mdetag::store::regular_file::reason;
use mdetag::store::state::StateDir;
use mdetag_core::apply::{Outcome, resume};
use mdetag_core::plan::revert::RevertedRun;
use mdetag_core::plan::{ChangeKey, Plan};

use super::failure::{Failure, chain};
use super::show;

/// A run with a proven plan.
pub struct ProvenRun {
    pub recorded: RecordedRun,
    /// Its plan, whose digest matches the journal's header.
    pub plan: Plan,
    /// The changes that its journal confirms.
    pub confirmed: HashSet<ChangeKey>,
}

impl ProvenRun {
    /// The run in the planner's form.
    pub fn as_past(&self) -> RevertedRun<'_> {
        RevertedRun { id: &self.recorded.header.run, plan: &self.plan, confirmed: &self.confirmed }
    }
}

/// A run from its journal.
///
/// # Errors
/// No such run, or a journal that cannot be used.
pub fn recorded(state: &StateDir, run: &str) -> Result<RecordedRun, Failure> {
    journal::read(state, run).map_err(|error| {
        Failure::file(chain(&error)).help("`mdetag history` lists the runs of the state directory")
    })
}

/// A run of the state, with its plan proven.
///
/// # Errors
/// No such run, or the plan beside its journal is not the one that the journal names.
pub fn run(state: &StateDir, run: &str) -> Result<ProvenRun, Failure> {
    let recorded = recorded(state, run)?;
    let plan = plan_of(state, &recorded)?;
    let outcomes = resume::outcomes(&recorded.entries).into_iter();
    let confirmed = outcomes.filter(|(_, ended)| ended.outcome == Outcome::Done).map(|(key, _)| key.clone());
    Ok(ProvenRun { confirmed: confirmed.collect(), plan, recorded })
}

/// The plan of a run. Whoever can replace the file beside the journal must not be able to change the run's plan.
///
/// # Errors
/// A file that is no plan, or not the one in the journal's header.
pub fn plan_of(state: &StateDir, recorded: &RecordedRun) -> Result<Plan, Failure> {
    let path = state.plan(&recorded.header.run);
    let text = journal::plan_text(state, &recorded.header.run)
        .map_err(|error| Failure::plan(format!("{}: {}", shown(&path), reason(&error))))?;
    let (plan, digest) = show::parse(&path, &text)?;
    if digest == recorded.header.plan {
        return Ok(plan);
    }
    let (path, run) = (shown(&path), &recorded.header.run);
    Err(Failure::plan(format!("{path} is not the plan of run {run}: its journal names another digest"))
        .help("nothing was written; restore the state directory, or plan again with `mdetag plan`"))
}
