//! Tags that calls of a run took along, what they make of its end, and which of them a resumed run puts back.

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::{ChangeOutcome, Entry, Outcome, Run, repairs, resume};
use mdetag_core::plan::{ChangeKey, ChangeWhat};
use mdetag_core::time::Timestamp;

use super::carry_out::{self, RunInputs};
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

/// Plans anew what earlier processes of a resumed run failed to put back, or took along unseen. Returns the entries to journal.
pub fn restore(inputs: &RunInputs<'_>, before: &[Entry], run: &mut Run<'_>, now: Timestamp) -> Vec<Entry> {
    let (Some(_), Some(plan)) = (inputs.resumed, inputs.reviewed) else { return Vec::new() };
    let mut lost = resume::lost_tags(plan, before, &|id| carry_out::state_of(inputs.snapshot, id));
    let mut said = Vec::new();
    let failed = repairs::lost_tags(before).into_iter().filter(|lost| lost.outcome == Outcome::Failed);
    for ChangeKey { device, what } in failed.map(|lost| lost.key) {
        let ChangeWhat::Add(tag) = what else { continue };
        let key = ChangeKey { device: device.clone(), what: ChangeWhat::Add(tag.clone()) };
        if inputs.owed.contains_key(&key) {
            lost.push(resume::LostTag { device, tag });
        } else {
            // A read has shown it since: whoever put it back may take it away again.
            said.push(Entry::Repair { at: now, device, tag, restored: Some(true), error: None });
        }
    }
    said.extend(run.restore(&lost, now));
    said
}
