//! Tags that calls of a run took along, what they make of its end, and which of them a resumed run puts back.

use std::collections::BTreeMap;

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::{ChangeOutcome, DeviceState, Entry, Outcome, Run, repairs, resume};
use mdetag_core::plan::{ChangeKey, ChangeWhat, Owed, Plan};
use mdetag_core::time::Timestamp;

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

/// What is known beside the journal of a resumed run.
pub struct Around<'a> {
    /// The plan as the run that was cut short had it.
    pub plan: &'a Plan,
    /// What reads have not shown since it was lost.
    pub owed: &'a BTreeMap<ChangeKey, Owed>,
    /// The devices as they were read.
    pub observed: &'a dyn Fn(&str) -> Option<DeviceState>,
}

/// Plans anew what earlier processes of a resumed run failed to put back, or took along unseen. Returns the entries to journal.
pub fn restore(around: &Around<'_>, before: &[Entry], run: &mut Run<'_>, now: Timestamp) -> Vec<Entry> {
    let mut lost = resume::lost_tags(around.plan, before, around.observed);
    let mut said = Vec::new();
    let failed = repairs::lost_tags(before).into_iter().filter(|lost| lost.outcome == Outcome::Failed);
    for key in failed.map(|lost| lost.key) {
        let is_owed = around.owed.contains_key(&key);
        let ChangeKey { device, what: ChangeWhat::Add(tag) } = key else { continue };
        if is_owed {
            lost.push(resume::LostTag { device, tag });
        } else {
            // A read has shown it since: whoever put it back may take it away again.
            said.push(Entry::Repair { at: now, device, tag, restored: Some(true), error: None });
        }
    }
    said.extend(run.restore(&lost, now));
    said
}
