//! The changes of a run as one flat table: the state of each, and which wait for others.
//!
//! Additions of a device release its removals, which release its twins' removals. Does not know calls or lanes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::device::DeviceValue;
use crate::plan::Plan;
use crate::time::Timestamp;

use super::evidence::RereadReason;
use super::twins;
use super::{ChangeKey, ChangeOutcome, ChangeWhat, DeviceState, Outcome};

pub(super) type ChangeIndex = u32;

/// No item has the change now: it goes to the pool when it is released.
pub(super) const NO_ITEM: u32 = u32::MAX;

/// No answer has confirmed the change.
const NEVER: u32 = u32::MAX;

/// The effect of a change; tags are indices into [`Changes::tags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Add(u32),
    Remove(u32),
    Value(DeviceValue),
}

/// The state of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeState {
    /// To be sent (again).
    Waiting,
    /// Sent; only a re-read can tell the effect.
    Unproven,
    Ended(Outcome),
}

#[derive(Clone, Debug)]
pub(super) struct ChangeRow {
    pub(super) device: u32,
    pub(super) what: Effect,
    pub(super) state: ChangeState,
    /// The item that has it.
    pub(super) item: u32,
    /// A removal whose tag differs only in case from one that stays. It goes last, and the remaining tag is checked afterwards.
    pub(super) is_twin: bool,
    /// Puts back a tag that the service lost: not in the plan, so not in its counts.
    pub(super) is_repair: bool,
    /// Reported as released. Each removal is, exactly once, even if it ended before.
    is_freed: bool,
    /// Waits for changes of other devices: see `held`.
    pub(super) is_held: bool,
    /// Seconds from the run's start to the answer that confirmed it; [`NEVER`] without one.
    confirmed: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct DeviceRow {
    first: ChangeIndex,
    end: ChangeIndex,
    additions: u32,
    removals: u32,
    is_unconfirmed: bool,
}

/// All changes of a run.
pub(super) struct Changes<'p> {
    plan: &'p Plan,
    start: Timestamp,
    pub(super) tags: Vec<Arc<str>>,
    /// By device: tags that calls took along, and that are back.
    pub(super) put_back: HashMap<u32, Vec<u32>>,
    /// Tags that the service may treat as the same have the same class.
    classes: Vec<u32>,
    class_of: HashMap<String, u32>,
    tag_of: HashMap<Arc<str>, u32>,
    rows: Vec<ChangeRow>,
    devices: Vec<DeviceRow>,
    /// Devices that only repairs concern.
    others: Vec<Arc<str>>,
    errors: HashMap<ChangeIndex, Arc<str>>,
    pub(super) doubts: BTreeMap<ChangeIndex, RereadReason>,
    /// The number of doubts about tags.
    tag_doubts: u64,
    /// The time of the last doubt.
    last_doubt: Timestamp,
    counts: [u64; Outcome::ALL.len()],
    ended: Vec<ChangeIndex>,
    released: Vec<ChangeIndex>,
}

impl<'p> Changes<'p> {
    /// Every change of the plan, waiting. Removals without additions before them are released at once.
    pub(super) fn new(plan: &'p Plan, start: Timestamp) -> Changes<'p> {
        let mut changes = Changes {
            plan,
            start,
            tags: Vec::new(),
            put_back: HashMap::new(),
            classes: Vec::new(),
            class_of: HashMap::new(),
            tag_of: HashMap::new(),
            rows: Vec::new(),
            devices: Vec::with_capacity(plan.changes.len()),
            others: Vec::new(),
            errors: HashMap::new(),
            doubts: BTreeMap::new(),
            tag_doubts: 0,
            last_doubt: start,
            counts: [0; Outcome::ALL.len()],
            ended: Vec::new(),
            released: Vec::new(),
        };
        for tag in &plan.tags {
            changes.push_tag(tag.clone());
        }
        for (device, change) in plan.changes.iter().enumerate() {
            let first = changes.rows.len() as u32;
            let adds = change.add.iter().map(|add| Effect::Add(add.tag.0));
            let removes = change.remove.iter().map(|remove| Effect::Remove(remove.tag.0));
            let value = change.value.map(|value| Effect::Value(value.to));
            for what in adds.chain(removes).chain(value) {
                changes.rows.push(ChangeRow {
                    device: device as u32,
                    what,
                    state: ChangeState::Waiting,
                    item: NO_ITEM,
                    is_twin: false,
                    is_repair: false,
                    is_freed: false,
                    is_held: false,
                    confirmed: NEVER,
                });
            }
            let end = changes.rows.len() as u32;
            let mut row =
                DeviceRow { first, end, additions: change.add.len() as u32, ..DeviceRow::default() };
            for index in first..end {
                if let Effect::Remove(tag) = changes.rows[index as usize].what {
                    let is_twin = changes.has_twin(device as u32, tag);
                    changes.rows[index as usize].is_twin = is_twin;
                    row.removals += u32::from(!is_twin);
                }
            }
            changes.devices.push(row);
        }
        changes
    }

    /// Releases removals that wait for nothing. Call it once, after every change has its item.
    pub(super) fn release_first(&mut self) {
        for device in 0..self.devices.len() as u32 {
            if self.devices[device as usize].additions == 0 {
                self.release(device, false);
                if self.devices[device as usize].removals == 0 {
                    self.release(device, true);
                }
            }
        }
    }

    fn push_tag(&mut self, tag: Arc<str>) -> u32 {
        let index = self.tags.len() as u32;
        let classes = self.class_of.len() as u32;
        let class = *self.class_of.entry(twins::class(&tag)).or_insert(classes);
        self.classes.push(class);
        self.tag_of.entry(tag.clone()).or_insert(index);
        self.tags.push(tag);
        index
    }

    /// The index of a tag, new if need be.
    pub(super) fn tag(&mut self, tag: &Arc<str>) -> u32 {
        match self.tag_of.get(tag) {
            Some(index) => *index,
            None => self.push_tag(tag.clone()),
        }
    }

    fn has_twin(&self, device: u32, tag: u32) -> bool {
        let change = &self.plan.changes[device as usize];
        let stays = |other: u32| change.remove.iter().all(|remove| remove.tag.0 != other);
        let observed = change.observed_tags.iter().map(|other| other.0).filter(|other| stays(*other));
        let mut kept = observed.chain(change.add.iter().map(|add| add.tag.0));
        kept.any(|other| self.are_twins(tag, other))
    }

    /// Whether a call that removes one tag may remove the other as well.
    pub(super) fn are_twins(&self, removed: u32, other: u32) -> bool {
        other != removed
            && self.classes[other as usize] == self.classes[removed as usize]
            && twins::takes_along(&self.tags[removed as usize], &self.tags[other as usize])
    }

    /// Number of changes in the table, including repairs.
    pub(super) fn len(&self) -> u32 {
        self.rows.len() as u32
    }

    pub(super) fn get(&self, index: ChangeIndex) -> &ChangeRow {
        &self.rows[index as usize]
    }

    pub(super) fn is_waiting(&self, index: ChangeIndex) -> bool {
        self.rows[index as usize].state == ChangeState::Waiting
    }

    pub(super) fn set_item(&mut self, index: ChangeIndex, item: u32) {
        self.rows[index as usize].item = item;
    }

    /// The planned changes of a device.
    pub(super) fn of_device(&self, device: u32) -> std::ops::Range<ChangeIndex> {
        let row = self.devices[device as usize];
        row.first..row.end
    }

    pub(super) fn device_id(&self, device: u32) -> &Arc<str> {
        let planned = self.plan.changes.get(device as usize).map(|change| &change.id);
        planned.unwrap_or_else(|| &self.others[device as usize - self.plan.changes.len()])
    }

    /// The index of a device; added if the plan lacks it.
    pub(super) fn device(&mut self, id: &Arc<str>) -> u32 {
        if let Ok(place) = self.plan.changes.binary_search_by(|change| change.id.cmp(id)) {
            return place as u32;
        }
        let known = self.others.iter().position(|other| other == id);
        let place = known.unwrap_or_else(|| {
            self.others.push(id.clone());
            self.devices.push(DeviceRow::default());
            self.others.len() - 1
        });
        (self.plan.changes.len() + place) as u32
    }

    pub(super) fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Whether a removal may be sent: every addition of its device is confirmed, and for a twin every other removal has ended.
    pub(super) fn is_released(&self, index: ChangeIndex) -> bool {
        let change = self.get(index);
        let row = self.devices[change.device as usize];
        match change.what {
            _ if change.is_held => false,
            Effect::Remove(_) => row.additions == 0 && (!change.is_twin || row.removals == 0),
            _ => true,
        }
    }

    /// Keeps a change from being sent, even if its device is ready.
    pub(super) fn hold(&mut self, index: ChangeIndex) {
        self.rows[index as usize].is_held = true;
    }

    /// Ends the hold on a change. A removal is released if its device is ready, or if it ended meanwhile.
    pub(super) fn unhold(&mut self, index: ChangeIndex) {
        self.rows[index as usize].is_held = false;
        let is_removal = matches!(self.get(index).what, Effect::Remove(_));
        if is_removal && (!self.is_waiting(index) || self.is_released(index)) {
            self.free(index);
        }
    }

    /// The planned change of a device's tag, if there is one.
    pub(super) fn planned_tag(&self, device: u32, tag: u32) -> Option<ChangeIndex> {
        self.of_device(device).find(
            |index| matches!(self.get(*index).what, Effect::Add(own) | Effect::Remove(own) if own == tag),
        )
    }

    /// The expected tags of a device, without edits by others: those read, with the changes done so far.
    pub(super) fn expected_tags(&self, device: u32) -> Vec<u32> {
        let observed = self.plan.changes.get(device as usize).map_or(&[][..], |change| &change.observed_tags);
        let mut expected: Vec<u32> = observed.iter().map(|tag| tag.0).collect();
        expected.extend(self.put_back.get(&device).into_iter().flatten());
        for index in self.of_device(device) {
            let change = self.get(index);
            match (change.what, change.state) {
                (Effect::Add(tag), ChangeState::Ended(Outcome::Done | Outcome::Noop)) => expected.push(tag),
                // After a removal may have been sent, the tag's absence proves nothing.
                (Effect::Remove(tag), _) => expected.retain(|other| *other != tag),
                _ => {}
            }
        }
        expected
    }

    /// The tags that a device should keep and that removing `tag` may remove as well.
    pub(super) fn kept_twins(&self, device: u32, tag: u32) -> Vec<u32> {
        let mut kept = self.expected_tags(device);
        kept.retain(|other| self.are_twins(tag, *other));
        kept
    }

    /// Whether the device is in the state that the change wants; `None` if the state does not tell.
    pub(super) fn is_so(&self, index: ChangeIndex, state: &DeviceState) -> Option<bool> {
        match self.get(index).what {
            Effect::Add(tag) => state.carries(&self.tags[tag as usize]),
            Effect::Remove(tag) => state.carries(&self.tags[tag as usize]).map(|carries| !carries),
            Effect::Value(value) => state.has_value(value),
        }
    }

    pub(super) fn key(&self, index: ChangeIndex) -> ChangeKey {
        let change = self.get(index);
        let tag = |tag: u32| self.tags[tag as usize].clone();
        let what = match change.what {
            Effect::Add(own) => ChangeWhat::Add(tag(own)),
            Effect::Remove(own) => ChangeWhat::Remove(tag(own)),
            Effect::Value(value) => ChangeWhat::Value(value),
        };
        ChangeKey { device: self.device_id(change.device).clone(), what }
    }

    /// Adds a change outside the plan that puts back a lost tag.
    pub(super) fn push_repair(&mut self, device: u32, tag: u32) -> ChangeIndex {
        self.rows.push(ChangeRow {
            device,
            what: Effect::Add(tag),
            state: ChangeState::Waiting,
            item: NO_ITEM,
            is_twin: false,
            is_repair: true,
            is_freed: false,
            is_held: false,
            confirmed: NEVER,
        });
        self.len() - 1
    }

    /// Marks a change whose effect only a re-read can tell.
    pub(super) fn doubt(&mut self, index: ChangeIndex, doubt: RereadReason) {
        debug_assert!(self.is_waiting(index));
        self.rows[index as usize].state = ChangeState::Unproven;
        self.tag_doubts += u64::from(self.is_tag(index));
        self.last_doubt = self.last_doubt.max(doubt.since);
        self.doubts.insert(index, doubt);
    }

    /// Puts a change back into the queue, because the re-read showed that its call must be sent again.
    pub(super) fn wait_again(&mut self, index: ChangeIndex) {
        if self.doubts.remove(&index).is_some() {
            self.tag_doubts -= u64::from(self.is_tag(index));
        }
        self.rows[index as usize].state = ChangeState::Waiting;
    }

    fn is_tag(&self, index: ChangeIndex) -> bool {
        !matches!(self.get(index).what, Effect::Value(_))
    }

    /// The time of the last doubt, if there are any: about tags only, or about anything.
    pub(super) fn last_doubt(&self, tags_only: bool) -> Option<Timestamp> {
        let any = if tags_only { self.tag_doubts > 0 } else { !self.doubts.is_empty() };
        any.then_some(self.last_doubt)
    }

    /// Marks a change as confirmed by an answer.
    pub(super) fn confirm(&mut self, index: ChangeIndex, now: Timestamp) {
        // Rounded up: a read requested within the same second may not show it.
        let seconds = now.since(self.start).as_nanos().div_ceil(1_000_000_000);
        self.rows[index as usize].confirmed = seconds.min(u128::from(NEVER - 1)) as u32;
        self.end(index, Outcome::Done, None);
    }

    /// When an answer confirmed a change, if one has.
    pub(super) fn confirmed_at(&self, index: ChangeIndex) -> Option<Timestamp> {
        let seconds = self.get(index).confirmed;
        (seconds != NEVER).then(|| self.start.plus(Duration::from_secs(u64::from(seconds))))
    }

    /// Ends a change, and releases or ends the changes that wait for it.
    pub(super) fn end(&mut self, index: ChangeIndex, outcome: Outcome, error: Option<&Arc<str>>) {
        let change = &mut self.rows[index as usize];
        debug_assert!(!matches!(change.state, ChangeState::Ended(_)), "a change ends once");
        change.state = ChangeState::Ended(outcome);
        let ChangeRow { device, what, is_twin, is_repair, .. } = *change;
        if self.doubts.remove(&index).is_some() {
            self.tag_doubts -= u64::from(self.is_tag(index));
        }
        self.ended.push(index);
        if let Some(error) = error {
            self.errors.insert(index, error.clone());
        }
        if is_repair {
            return;
        }
        self.counts[outcome as usize] += 1;
        if matches!(what, Effect::Remove(_)) {
            self.free(index);
        }
        let row = &mut self.devices[device as usize];
        match what {
            Effect::Add(_) => {
                row.additions -= 1;
                row.is_unconfirmed |= !matches!(outcome, Outcome::Done | Outcome::Noop);
                self.after_addition(device);
            }
            Effect::Remove(_) if !is_twin => {
                row.removals -= 1;
                if row.removals == 0 && row.additions == 0 && !row.is_unconfirmed {
                    self.release(device, true);
                }
            }
            _ => {}
        }
    }

    /// An earlier part of the run confirmed an addition that the current list lacks. Somebody may have removed the tag, so the
    /// removals of its device must not rely on it.
    pub(super) fn distrust_addition(&mut self, index: ChangeIndex) {
        let ChangeRow { device, what, .. } = *self.get(index);
        if matches!(what, Effect::Add(_)) {
            self.devices[device as usize].is_unconfirmed = true;
        }
    }

    // A device must not leave a device group between two calls: if an addition is not confirmed, the device's removals are not
    // done.
    fn after_addition(&mut self, device: u32) {
        let row = self.devices[device as usize];
        if row.is_unconfirmed {
            let reason: Arc<str> = "an addition to this device was not confirmed".into();
            for index in row.first..row.end {
                if matches!(self.get(index).what, Effect::Remove(_)) && self.is_waiting(index) {
                    self.end(index, Outcome::NotAttempted, Some(&reason));
                }
            }
        } else if row.additions == 0 {
            self.release(device, false);
            if row.removals == 0 {
                self.release(device, true);
            }
        }
    }

    fn release(&mut self, device: u32, twins: bool) {
        for index in self.of_device(device) {
            let change = self.get(index);
            if matches!(change.what, Effect::Remove(_)) && change.is_twin == twins {
                self.free(index);
            }
        }
    }

    fn free(&mut self, index: ChangeIndex) {
        let row = self.get(index);
        if !row.is_freed && !row.is_held {
            self.rows[index as usize].is_freed = true;
            self.released.push(index);
        }
    }

    /// Replaces a good outcome that later evidence contradicts.
    pub(super) fn revise(&mut self, index: ChangeIndex, outcome: Outcome, error: &Arc<str>) {
        let ChangeState::Ended(before @ (Outcome::Done | Outcome::Noop)) = self.get(index).state else {
            return;
        };
        self.rows[index as usize].state = ChangeState::Ended(outcome);
        if !self.get(index).is_repair {
            self.counts[before as usize] -= 1;
            self.counts[outcome as usize] += 1;
        }
        self.errors.insert(index, error.clone());
        self.ended.push(index);
    }

    /// Removals that were released since the last call, and those that ended before.
    pub(super) fn drain_released(&mut self) -> Vec<ChangeIndex> {
        std::mem::take(&mut self.released)
    }

    /// Changes that ended since the last call, except repairs.
    pub(super) fn drain_ended(&mut self) -> (Vec<ChangeOutcome>, Vec<ChangeIndex>) {
        let ended = std::mem::take(&mut self.ended);
        let (repairs, planned): (Vec<u32>, Vec<u32>) =
            ended.into_iter().partition(|index| self.get(*index).is_repair);
        (planned.into_iter().filter_map(|index| self.outcome(index)).collect(), repairs)
    }

    /// The outcome of a change, if it has ended.
    pub(super) fn outcome(&self, index: ChangeIndex) -> Option<ChangeOutcome> {
        let ChangeState::Ended(outcome) = self.get(index).state else { return None };
        let error = self.errors.get(&index).map(|error| error.to_string());
        Some(ChangeOutcome { key: self.key(index), outcome, error })
    }

    /// Number of planned changes by outcome, in the order of [`Outcome::ALL`].
    pub(super) fn counts(&self) -> [u64; Outcome::ALL.len()] {
        self.counts
    }
}
