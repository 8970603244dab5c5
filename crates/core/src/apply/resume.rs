//! Resuming: what the journal of a run that ended early says about the rest.
//!
//! Does not read journals, nor the list; both are handed in.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::plan::stale::Dropped;
use crate::plan::{Plan, WithheldReason};
use crate::time::Timestamp;

use super::changes::Changes;
use super::run::Run;
use super::{Call, CallId, ChangeKey, ChangeOutcome, ChangeWhat, DeviceState, Entry, Outcome, TagAction};

/// A tag that a call took from a device without meaning to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LostTag {
    /// Device id.
    pub device: Arc<str>,
    /// The tag.
    pub tag: Arc<str>,
}

/// Whether a resumed run leaves a change with this outcome alone.
pub fn is_final(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::NotAttempted | Outcome::Unknown | Outcome::Pending | Outcome::Unconfirmed)
}

/// The last outcome of each change in a journal.
pub fn outcomes(journal: &[Entry]) -> HashMap<&ChangeKey, &ChangeOutcome> {
    let mut last = HashMap::new();
    for entry in journal {
        last.extend(entry.ended().iter().map(|ended| (&ended.key, ended)));
    }
    last
}

/// How reviewed changes end that are not in the plan that is applied. Effect earlier processes of the run ended for good is
/// left out: the run takes it from the journal. A change that was sent without an answer, and is so now, is done.
pub fn settle(dropped: &[(ChangeKey, Dropped)], journal: &[Entry]) -> Vec<ChangeOutcome> {
    let before = outcomes(journal);
    let sent = sent_without_answer(journal);
    let open =
        dropped.iter().filter(|(key, _)| !before.get(key).is_some_and(|ended| is_final(ended.outcome)));
    open.map(|(key, why)| {
        let was_unknown = before.get(key).is_some_and(|ended| ended.outcome == Outcome::Unknown);
        let (outcome, error) = match why {
            Dropped::Noop if was_unknown || sent.contains(key) => (Outcome::Done, None),
            Dropped::Noop => (Outcome::Noop, None),
            Dropped::Stale => {
                (Outcome::Stale, Some("it is no longer wanted, or its device is out of sight".to_owned()))
            }
            Dropped::Withheld(WithheldReason::Pending) => (
                Outcome::Pending,
                Some("an answer confirmed it, and the list does not show it yet".to_owned()),
            ),
            Dropped::Withheld(WithheldReason::Unconfirmed) => {
                (Outcome::Unconfirmed, Some("it waits for the tag that comes instead of it".to_owned()))
            }
            Dropped::Withheld(reason) => (Outcome::Stale, Some(format!("withheld now: {}", reason.word()))),
        };
        ChangeOutcome { key: key.clone(), outcome, error }
    })
    .collect()
}

/// Changes of calls whose answer is not in the journal.
pub fn sent_without_answer(journal: &[Entry]) -> HashSet<ChangeKey> {
    let mut sent = HashSet::new();
    for call in unanswered(journal) {
        let tag = |tag: &Arc<str>, action: &TagAction| match action {
            TagAction::Add => ChangeWhat::Add(tag.clone()),
            TagAction::Remove => ChangeWhat::Remove(tag.clone()),
        };
        let mut whats = Vec::new();
        match call {
            Call::BulkTag { tag: own, action, .. } | Call::SingleTag { tag: own, action, .. } => {
                whats.push(tag(own, action));
            }
            Call::SetValue { value, .. } => whats.push(ChangeWhat::Value(*value)),
            Call::Update { value, tags, .. } => {
                whats.extend(value.map(ChangeWhat::Value));
                whats.extend(tags.iter().flatten().cloned().map(ChangeWhat::Add));
            }
            Call::Get { .. } => {}
        }
        for device in call.devices() {
            sent.extend(whats.iter().map(|what| ChangeKey { device: device.clone(), what: what.clone() }));
        }
    }
    sent
}

fn unanswered(journal: &[Entry]) -> Vec<&Call> {
    let answered: HashSet<CallId> = journal.iter().filter_map(answered).collect();
    let open = journal.iter().filter_map(|entry| match entry {
        Entry::Intent { call, request, .. } if !answered.contains(call) => Some(request),
        _ => None,
    });
    open.collect()
}

/// Tags that calls without an answer took along: twins of a removed tag, and any tag after a `PATCH` of a value alone.
/// `plan` is the plan as the run that was cut short had it, `observed` the list as it is now.
pub fn lost_tags(
    plan: &Plan,
    journal: &[Entry],
    observed: &dyn Fn(&str) -> Option<DeviceState>,
) -> Vec<LostTag> {
    let open = unanswered(journal);
    if open.is_empty() {
        return Vec::new();
    }
    let mut changes = Changes::new(plan, Timestamp::EPOCH);
    end_all(&mut changes, &mut outcomes(journal));
    let mut lost = BTreeSet::new();
    let is_patch_proven = has_proven_patch(journal);
    for call in open {
        for device in call.devices() {
            let Some(state) = observed(device) else { continue };
            let index = changes.device(device);
            let expected = match call {
                Call::BulkTag { tag, action: TagAction::Remove, .. }
                | Call::SingleTag { tag, action: TagAction::Remove, .. } => {
                    let tag = changes.tag(tag);
                    changes.kept_twins(index, tag)
                }
                Call::Update { tags: None, .. } if !is_patch_proven => changes.expected_tags(index),
                _ => continue,
            };
            let tags = expected.into_iter().map(|tag| changes.tags[tag as usize].clone());
            lost.extend(
                tags.filter(|tag| !state.tags.contains(tag))
                    .map(|tag| LostTag { device: device.clone(), tag }),
            );
        }
    }
    lost.into_iter().collect()
}

/// Whether a `PATCH` of a value alone was answered, and no tag had to be put back: what is missing later was removed by
/// somebody.
fn has_proven_patch(journal: &[Entry]) -> bool {
    let mut patches = HashSet::new();
    let mut is_proven = false;
    for entry in journal {
        match entry {
            Entry::Intent { call, request: Call::Update { tags: None, .. }, .. } => {
                patches.insert(*call);
            }
            Entry::Reply { call, answer, .. } => is_proven |= answer == "200" && patches.contains(call),
            Entry::Repair { .. } => return false,
            _ => {}
        }
    }
    is_proven
}

fn answered(entry: &Entry) -> Option<CallId> {
    match entry {
        Entry::Reply { call, .. } => Some(*call),
        _ => None,
    }
}

/// Ends the changes that the journal ended for good, and takes them out of `before`.
fn end_all(changes: &mut Changes<'_>, before: &mut HashMap<&ChangeKey, &ChangeOutcome>) {
    if before.is_empty() {
        return;
    }
    for index in 0..changes.len() {
        let Some(ended) = before.remove(&changes.key(index)) else { continue };
        if is_final(ended.outcome) && changes.is_waiting(index) {
            let error = ended.error.as_deref().map(Arc::from);
            if ended.outcome == Outcome::Done {
                changes.distrust_addition(index);
            }
            changes.end(index, ended.outcome, error.as_ref());
        }
    }
}

impl Run<'_> {
    /// Takes in what earlier processes of this run did.
    pub(super) fn resume(&mut self, journal: &[Entry]) {
        let mut lost: BTreeSet<(&Arc<str>, &Arc<str>)> = BTreeSet::new();
        for entry in journal {
            match entry {
                Entry::Intent { call, .. } => self.first_call = self.first_call.max(call.0),
                Entry::Repair { device, tag, restored: None, .. } => {
                    lost.insert((device, tag));
                }
                Entry::Repair { device, tag, restored: Some(_), .. } => {
                    lost.remove(&(device, tag));
                }
                _ => {}
            }
        }
        let mut before = outcomes(journal);
        end_all(&mut self.changes, &mut before);
        self.settled = before.into_iter().map(|(key, ended)| (key.clone(), ended.clone())).collect();
        for (device, tag) in lost {
            let device = self.device(device);
            self.put_back(device, tag, None);
        }
        // What the journal says already is not said again.
        self.changes.drain_ended();
    }

    /// Puts back tags that a run which was cut short took along: see [`lost_tags`]. Returns the entries to journal.
    pub fn restore(&mut self, lost: &[LostTag], now: Timestamp) -> Vec<Entry> {
        for LostTag { device, tag } in lost {
            let device = self.device(device);
            self.put_back(device, tag, Some(now));
        }
        self.drain()
    }

    fn device(&mut self, id: &Arc<str>) -> u32 {
        let device = self.changes.device(id);
        self.busy.resize(self.changes.devices(), false);
        device
    }
}
