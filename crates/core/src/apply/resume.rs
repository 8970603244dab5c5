//! Resuming: what remains of a run that ended early, from its journal.
//!
//! Reads neither journals nor the list; the caller passes both in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::device::DeviceValue;
use crate::plan::stale::Dropped;
use crate::plan::{Lane, Plan, WithheldReason};
use crate::time::Timestamp;

use super::changes::{Changes, Effect};
use super::run::Run;
use super::{Call, CallId, ChangeKey, ChangeOutcome, ChangeWhat, DeviceState, Entry, Outcome, TagAction};

/// A tag that a call removed from a device by accident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LostTag {
    /// The device that lost the tag.
    pub device: Arc<str>,
    /// The tag that the device lost.
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

/// The outcomes of reviewed changes that are not in the plan that is applied. Leaves out changes that earlier processes of the
/// run ended for good, because the run takes those from the journal. A change that was sent without an answer and is in place now
/// is done.
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

/// The values that calls of a run set, each with its device and the value that the list showed before (`None` if it showed none).
pub fn values_set(journal: &[Entry]) -> impl Iterator<Item = (&Arc<str>, DeviceValue, Option<&Arc<str>>)> {
    journal.iter().filter_map(|entry| {
        let Entry::Intent { request, value_was: Some(was), .. } = entry else { return None };
        let (Call::SetValue { device, value } | Call::Update { device, value: Some(value), .. }) = request
        else {
            return None;
        };
        Some((device, *value, Some(was).filter(|was| !was.is_empty())))
    })
}

fn unanswered(journal: &[Entry]) -> Vec<&Call> {
    let answered: HashSet<CallId> = journal.iter().filter_map(answered).collect();
    let open = journal.iter().filter_map(|entry| match entry {
        Entry::Intent { call, request, .. } if !answered.contains(call) => Some(request),
        _ => None,
    });
    open.collect()
}

/// Whether [`lost_tags`] may find any.
pub fn may_have_lost(journal: &[Entry]) -> bool {
    !unshown_removals(journal).is_empty()
        || !unseen_canaries(journal).is_empty()
        || !unseen_lists(journal).is_empty()
}

/// Tags that calls removed by accident and that no answer showed: twins of a removed tag, and the tags of a canary. `plan` is the
/// plan of the interrupted run, `observed` the list as it is now.
pub fn lost_tags(
    plan: &Plan,
    journal: &[Entry],
    observed: &dyn Fn(&str) -> Option<DeviceState>,
) -> Vec<LostTag> {
    let (removals, canaries) = (unshown_removals(journal), unseen_canaries(journal));
    let lists = unseen_lists(journal);
    if removals.is_empty() && canaries.is_empty() && lists.is_empty() {
        return Vec::new();
    }
    let mut changes = Changes::new(plan, Timestamp::EPOCH);
    end_all(&mut changes, &mut outcomes(journal));
    let mut lost = BTreeSet::new();
    let mut compare = |device: &Arc<str>, expected: &mut dyn Iterator<Item = Arc<str>>| {
        let Some(state) = observed(device).filter(|state| state.has_tag_list) else { return };
        let missing = expected.filter(|tag| !state.tags.contains(tag));
        lost.extend(missing.map(|tag| LostTag { device: device.clone(), tag }));
    };
    for (device, tag) in removals {
        let (index, tag) = (changes.device(device), changes.tag(tag));
        let kept = changes.kept_twins(index, tag);
        compare(device, &mut kept.into_iter().map(|tag| changes.tags[tag as usize].clone()));
    }
    for (device, tags) in canaries {
        let index = changes.device(device);
        let mut kept = Vec::new();
        for tag in tags {
            let own = changes.tag(tag);
            let planned = changes.planned_tag(index, own).map(|change| changes.get(change).what);
            if !matches!(planned, Some(Effect::Remove(_))) {
                kept.push(tag.clone());
            }
        }
        compare(device, &mut kept.into_iter());
    }
    for (device, tags) in lists {
        let index = changes.device(device);
        let mut kept = Vec::new();
        for tag in tags {
            let own = changes.tag(tag);
            if changes.planned_tag(index, own).is_none() {
                kept.push(tag.clone());
            }
        }
        compare(device, &mut kept.into_iter());
    }
    lost.into_iter().collect()
}

/// Removals that may have reached the service and whose effect was never shown: devices and tags.
fn unshown_removals(journal: &[Entry]) -> Vec<(&Arc<str>, &Arc<str>)> {
    let without_effect: HashSet<CallId> = journal.iter().filter_map(had_no_effect).collect();
    let ends = outcomes(journal);
    let is_open = |device: &Arc<str>, tag: &Arc<str>| {
        let key = ChangeKey { device: device.clone(), what: ChangeWhat::Remove(tag.clone()) };
        ends.get(&key).is_none_or(|ended| ended.outcome == Outcome::Unknown)
    };
    let mut open = Vec::new();
    for entry in journal {
        if let Entry::Intent { call, request, .. } = entry
            && let Call::BulkTag { tag, action: TagAction::Remove, .. }
            | Call::SingleTag { tag, action: TagAction::Remove, .. } = request
            && !without_effect.contains(call)
        {
            let devices = request.devices().iter().filter(|device| is_open(device, tag));
            open.extend(devices.map(|device| (device, tag)));
        }
    }
    open
}

/// The call of a reply that rejected it, which therefore had no effect. A conflict or a time-out may have had one.
fn had_no_effect(entry: &Entry) -> Option<CallId> {
    let Entry::Reply { call, answer, .. } = entry else { return None };
    let is_unclear = ["408", "409", "423", "425"].iter().any(|status| answer.starts_with(status));
    (answer.starts_with('4') && !is_unclear).then_some(*call)
}

/// Canaries that may have reached the service without an answer showing their effect on the tags: their devices, and the tags in
/// the read just before.
fn unseen_canaries(journal: &[Entry]) -> BTreeMap<&Arc<str>, &Vec<Arc<str>>> {
    let mut read: BTreeMap<&Arc<str>, &Vec<Arc<str>>> = BTreeMap::new();
    let mut sent: HashMap<CallId, &Arc<str>> = HashMap::new();
    let mut unseen = BTreeMap::new();
    for entry in journal {
        match entry {
            Entry::Canary { device, tags, .. } => drop(read.insert(device, tags)),
            Entry::Intent { call, request: Call::Update { device, tags: None, .. }, .. } => {
                if let Some(tags) = read.remove(device) {
                    sent.insert(*call, device);
                    unseen.insert(device, tags);
                }
            }
            Entry::Reply { call, .. } => {
                if had_no_effect(entry).is_some()
                    && let Some(device) = sent.get(call)
                {
                    unseen.remove(device);
                }
            }
            _ => {}
        }
        let values = entry
            .ended()
            .iter()
            .filter(|ended| ended.outcome == Outcome::Done && matches!(ended.key.what, ChangeWhat::Value(_)));
        for ended in values {
            unseen.remove(&ended.key.device);
        }
    }
    unseen
}

/// Combined `PATCH`es that may have reached the service without an answer or a read showing their effect on the tags: their
/// devices, and the sent lists.
fn unseen_lists(journal: &[Entry]) -> BTreeMap<&Arc<str>, &Vec<Arc<str>>> {
    let mut calls: HashMap<CallId, &Arc<str>> = HashMap::new();
    let mut unseen = BTreeMap::new();
    for entry in journal {
        match entry {
            Entry::Intent { call, request: Call::Update { device, tags: Some(tags), .. }, .. } => {
                calls.insert(*call, device);
                unseen.insert(device, tags);
            }
            Entry::Intent { call, request: Call::Get { device }, .. } => {
                calls.insert(*call, device);
            }
            Entry::Reply { call, answer, .. } => {
                if let Some(device) = calls.get(call)
                    && (answer.starts_with('2') || had_no_effect(entry).is_some())
                {
                    unseen.remove(device);
                }
            }
            _ => {}
        }
    }
    unseen
}

fn answered(entry: &Entry) -> Option<CallId> {
    match entry {
        Entry::Reply { call, .. } => Some(*call),
        _ => None,
    }
}

/// Ends the changes that the journal ended for good, and removes them from `before`.
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
    /// Takes over the work of earlier processes of this run.
    pub(super) fn resume(&mut self, journal: &[Entry]) {
        let mut lost: BTreeSet<(&Arc<str>, &Arc<str>)> = BTreeSet::new();
        let mut canaries: HashMap<&Arc<str>, &Vec<Arc<str>>> = HashMap::new();
        let mut has_patch_lost = false;
        for entry in journal {
            if let Entry::Repair { device, tag, .. } = entry {
                has_patch_lost |= canaries.get(device).is_some_and(|tags| tags.contains(tag));
            }
            match entry {
                Entry::Canary { device, tags, .. } => drop(canaries.insert(device, tags)),
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
        if has_patch_lost {
            // The lane is closed for the whole run: another canary would lose the tags of one more device.
            let circuit = self.lanes.circuit_mut(Lane::UpdateDevice);
            circuit.open("a PATCH of a value alone lost tags earlier in this run".to_owned());
        }
        for (device, tag) in lost {
            let device = self.device(device);
            self.put_back(device, tag, None);
        }
        // Entries that the journal has already are not written again.
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
