//! What an apply reports beside its changes: a run that had already ended, other rollouts that are left, and the command that plans
//! what a resume does not write.
//!
//! Resumes nothing.

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::resume;
use mdetag_core::time::Timestamp;

use super::exit::Exit;

/// A rollout that is left beside the run that goes on.
#[derive(Clone, Debug)]
pub struct OtherRollout {
    /// How an apply that did everything else ends because of it.
    pub exit: Exit,
    /// When its next wave may start; none where a person has to decide.
    pub not_before: Option<Timestamp>,
    /// What is said of it.
    pub sentence: String,
}

/// One sentence about each rollout that is left.
pub fn about_others(others: &[OtherRollout]) -> Vec<String> {
    others.iter().map(|other| other.sentence.clone()).collect()
}

/// When the first of them may go on.
pub fn next_wave(others: &[OtherRollout]) -> Option<Timestamp> {
    others.iter().filter_map(|other| other.not_before).min()
}

/// A run that held removals back is over only once a later one has written them. `command`: what plans them.
pub fn held_anew(command: &str) -> String {
    format!("what the run held back waits no longer: {command} plans it anew")
}

/// What writes removals that the run's plan held back: its resumes do not have them, so they are planned anew, and where somebody
/// reviewed the plan, the new one is for a review too. `flags`: which tenant the command line named.
pub fn next_plan(is_reviewed: bool, flags: &str) -> String {
    if is_reviewed { format!("mdetag plan{flags} -o plan.json") } else { format!("mdetag apply{flags}") }
}

/// A resumed run that had come to its end, and to which nothing was to be added: what became of it, and what does the rest.
/// `flags`: which tenant the command line named.
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
