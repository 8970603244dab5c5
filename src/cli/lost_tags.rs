//! Tags that calls of a run removed by accident: their effect on the run's end, and which of them a resumed run puts back.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::{ChangeOutcome, DeviceState, Entry, Outcome, Run, repairs, resume};
use mdetag_core::inventory::Snapshot;
use mdetag_core::plan::{ChangeKey, ChangeWhat, Owed, Plan, TagCase};
use mdetag_core::time::Timestamp;

use super::exit::Exit;

/// The most tags that notes name.
const MOST_NAMED: usize = 20;

/// The known facts about a run that may be resumed.
pub struct LostTagContext<'a> {
    pub resumed: Option<&'a RecordedRun>,
    /// The plan of the interrupted run.
    pub plan: Option<&'a Plan>,
    /// Lost tags that no read has shown since.
    pub owed: &'a BTreeMap<ChangeKey, Owed>,
    /// The devices as they were read.
    pub snapshot: &'a Snapshot,
    /// How tags compare.
    pub case: TagCase,
}

/// The report of a run about lost tags.
pub struct LostTags {
    /// Each that is back or must be put back.
    pub lost: Vec<ChangeOutcome>,
    /// Those that need not be put back although they are missing, one sentence each.
    pub notes: Vec<String>,
}

/// Every tag that a call of the run removed by accident, including earlier processes.
pub fn lost_tags(around: &LostTagContext<'_>, repairs: &[Entry]) -> LostTags {
    let OwedNoMore { mut back, mut removed } = owed_no_more(around);
    // A tag that was lost again is reported in the state that this process left.
    for ChangeOutcome { key, .. } in &repairs::lost_tags(repairs) {
        back.remove(key);
        removed.remove(key);
    }
    let mut lost = repairs::lost_tags(before(around).iter().chain(repairs));
    lost.retain(|lost| !removed.contains(&lost.key));
    for lost in lost.iter_mut().filter(|lost| back.contains(&lost.key)) {
        (lost.outcome, lost.error) = (Outcome::Done, None);
    }
    let mut notes: Vec<String> =
        removed.iter().take(MOST_NAMED).filter_map(|key| was_removed(around, key)).collect();
    if let Some(more) = removed.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        notes.push(format!("removed by somebody since: {more} more"));
    }
    LostTags { lost, notes }
}

fn was_removed(around: &LostTagContext<'_>, key: &ChangeKey) -> Option<String> {
    let (ChangeWhat::Add(tag), id) = (&key.what, &key.device) else { return None };
    let name = around.snapshot.find(id).and_then(|row| around.snapshot.name(row));
    let device = name.map_or_else(|| id.to_string(), |name| format!("{name} ({id})"));
    Some(format!("removed by somebody since: \"{tag}\" on {device}"))
}

/// The exit code because of lost tags: one that must still be put back is remaining work.
pub fn exit(lost: &[ChangeOutcome], is_stopped: bool) -> Exit {
    let worst = lost.iter().map(|lost| match lost.outcome {
        Outcome::Done => Exit::Success,
        Outcome::NotAttempted if is_stopped => Exit::Stopped,
        _ => Exit::Partial,
    });
    worst.fold(Exit::Success, Exit::worst)
}

/// The journal of earlier processes of a resumed run.
fn before<'a>(around: &LostTagContext<'a>) -> &'a [Entry] {
    around.resumed.map(|recorded| recorded.entries.as_slice()).unwrap_or_default()
}

/// Tags that earlier processes of a resumed run did not put back, and that a read has shown since, or a run removed.
#[derive(Default)]
struct OwedNoMore {
    /// The list shows these.
    back: BTreeSet<ChangeKey>,
    /// The list does not show these: they were put back and removed again.
    removed: BTreeSet<ChangeKey>,
}

fn owed_no_more(around: &LostTagContext<'_>) -> OwedNoMore {
    let mut known = OwedNoMore::default();
    let lost = repairs::lost_tags(before(around)).into_iter();
    for ChangeOutcome { key, .. } in lost.filter(|lost| lost.outcome != Outcome::Done) {
        // A device that was not read, or came without its tags, says nothing.
        let row = around.snapshot.find(&key.device);
        let is_told = row.is_some_and(|row| around.snapshot.has_tag_list(row));
        if around.owed.contains_key(&key) || !is_told {
            continue;
        }
        let is_back = shows(around, &key);
        if is_back {
            known.back.insert(key)
        } else {
            known.removed.insert(key)
        };
    }
    known
}

/// Whether the list shows the tag that a change adds.
fn shows(around: &LostTagContext<'_>, key: &ChangeKey) -> bool {
    let (snapshot, case) = (around.snapshot, around.case);
    let (Some(row), ChangeWhat::Add(tag)) = (snapshot.find(&key.device), &key.what) else { return false };
    snapshot.tags(row).iter().any(|live| case.key(snapshot.tag(*live)) == case.key(tag))
}

/// The journal without the open put-backs of earlier processes that are no longer due; otherwise the run would make them.
pub fn without_removed<'j>(around: &LostTagContext<'_>, journal: &'j [Entry]) -> Cow<'j, [Entry]> {
    let OwedNoMore { removed, .. } = owed_no_more(around);
    if removed.is_empty() {
        return Cow::Borrowed(journal);
    }
    let mut journal = journal.to_vec();
    for entry in journal.iter_mut().take(before(around).len()) {
        let Entry::Repair { device, tag, restored, .. } = entry else { continue };
        let key = ChangeKey { device: device.clone(), what: ChangeWhat::Add(tag.clone()) };
        if removed.contains(&key) {
            *restored = Some(false);
        }
    }
    Cow::Owned(journal)
}

/// Plans again what earlier processes of a resumed run failed to put back, or removed unseen. Returns the entries to journal.
/// There are none for a tag that somebody removed since, because a journal only records that a tag is back or still due.
pub fn restore(around: &LostTagContext<'_>, run: &mut Run<'_>, now: Timestamp) -> Vec<Entry> {
    let (Some(_), Some(plan)) = (around.resumed, around.plan) else { return Vec::new() };
    let before = before(around);
    let mut lost = resume::lost_tags(plan, before, &|id| DeviceState::in_snapshot(around.snapshot, id));
    let failed = repairs::lost_tags(before).into_iter().filter(|lost| lost.outcome == Outcome::Failed);
    for key in failed.map(|lost| lost.key).filter(|key| around.owed.contains_key(key)) {
        let ChangeKey { device, what: ChangeWhat::Add(tag) } = key else { continue };
        lost.push(resume::LostTag { device, tag });
    }
    let mut said = Vec::new();
    for key in owed_no_more(around).back {
        let ChangeKey { device, what: ChangeWhat::Add(tag) } = key else { continue };
        said.push(Entry::Repair { at: now, device, tag, restored: Some(true), error: None });
    }
    said.extend(run.restore(&lost, now));
    said
}
