//! Results of an apply besides its changes: a run that had already ended, other open rollouts, and the command that plans what a
//! resume does not write.
//!
//! Resumes nothing.

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::resume;
use mdetag_core::time::Timestamp;

use super::exit::Exit;

/// An open rollout besides the resumed run.
#[derive(Clone, Debug)]
pub struct OtherRollout {
    pub run: String,
    /// The exit code of an otherwise complete apply because of it.
    pub exit: Exit,
    /// When its next wave may start; `None` if a person must decide.
    pub not_before: Option<Timestamp>,
    /// The sentence about it.
    pub sentence: String,
}

/// One sentence about each of these rollouts.
pub fn about_others(others: &[OtherRollout]) -> Vec<String> {
    others.iter().map(|other| other.sentence.clone()).collect()
}

/// The earliest start of a next wave, and which of these rollouts it belongs to: `None` for the run itself, whose wave may start at
/// `own`.
pub fn first_wave(own: Option<Timestamp>, others: &[OtherRollout]) -> (Option<Timestamp>, Option<String>) {
    let waves = others.iter().filter_map(|other| Some((other.not_before?, &other.run)));
    match waves.min().filter(|(moment, _)| own.is_none_or(|own| *moment < own)) {
        Some((moment, run)) => (Some(moment), Some(run.clone())),
        None => (own, None),
    }
}

/// A run that held back removals is only over when a later one has written them. `command`: the command that plans them.
pub fn held_anew(command: &str) -> String {
    format!("what the run held back waits no longer: {command} plans it anew")
}

/// The command for removals that the run's plan held back. Its resumes lack them, so they are planned anew, and for a review if
/// the plan was reviewed. `flags`: those that name the tenant.
pub fn next_plan(is_reviewed: bool, flags: &str) -> String {
    if is_reviewed { format!("mdetag plan{flags} -o plan.json") } else { format!("mdetag apply{flags}") }
}

/// The end of a resumed run that was already finished and needed nothing more, and the command for the rest. `flags`: those that
/// name the tenant.
pub fn was_finished(resumed: Option<&RecordedRun>, flags: &str, calls: u64) -> Option<String> {
    let recorded = resumed.filter(|recorded| calls == 0 && !recorded.is_resumable())?;
    let run = &recorded.header.run;
    let outcomes = resume::outcomes(&recorded.entries);
    let left = match outcomes.values().filter(|ended| ended.outcome.is_bad()).count() {
        0 => return Some(format!("run {run} was finished already: nothing was written now")),
        1 => "1 of its changes was not done, and a resume does not try it again".to_owned(),
        several => format!("{several} of its changes were not done, and a resume does not try them again"),
    };
    let next = match &recorded.header.reverts {
        Some(undone) => format!(
            "undo the rest with `mdetag revert {undone} -o undo.json{flags}` and `mdetag apply undo.json{flags}`"
        ),
        None => format!("`mdetag plan{flags}` plans what is left"),
    };
    Some(format!("run {run} had come to its end, and nothing was written now: {left}; {next}"))
}
