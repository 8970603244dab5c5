//! Tags that calls of a run took along, and what they make of its end.
//!
//! Puts none back; that is `apply` (the room).

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::{ChangeOutcome, Entry, Outcome, repairs};

use super::exit::Exit;

/// Every tag that a call of the run took along, in earlier processes too.
pub fn lost_tags(resumed: Option<&RecordedRun>, repairs: &[Entry]) -> Vec<ChangeOutcome> {
    let before = resumed.into_iter().flat_map(|recorded| &recorded.entries);
    repairs::lost_tags(before.chain(repairs))
}

/// What lost tags make of the exit code: one that is still to be put back is work left.
pub fn exit(lost: &[ChangeOutcome], is_stopped: bool) -> Exit {
    let worst = lost.iter().map(|lost| match lost.outcome {
        Outcome::Done => Exit::Success,
        Outcome::NotAttempted if is_stopped => Exit::Stopped,
        _ => Exit::Partial,
    });
    worst.fold(Exit::Success, Exit::worst)
}
