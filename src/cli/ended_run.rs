//! What `--resume` reports about a run that had already ended.
//!
//! Resumes nothing.

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::resume;

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
