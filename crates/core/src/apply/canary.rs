//! The canary: the first `PATCH` of a value alone, read just before and compared just after, because it may replace the tag list.
//!
//! It carries tags that are known to be manual, because a device whose tags all come from its registry or from rules would prove
//! nothing. If a canary keeps no such tag, values go by `setDeviceValue` from then on: nobody watches later `PATCH`es, and their
//! lost tags would be gone. Puts back only tags that the read showed.

use std::sync::Arc;

use crate::plan::{Lane, TagIndex};
use crate::service::Question;
use crate::time::Timestamp;

use super::budget::Budget;
use super::changes::{ChangeState, Effect};
use super::origins::TagOrigin;
use super::queue::{ItemKind, Queue};
use super::run::Run;
use super::{DeviceState, Entry, Outcome, TagAction};

impl<'p> Run<'p> {
    /// Sets the known origins of tags, so that devices with manual tags come first.
    pub fn know_origins(&mut self, origins: &'p super::Origins) {
        self.origins = Some(origins);
        if !self.takes_both_routes() {
            return;
        }
        for (device, change) in self.plan.changes.iter().enumerate() {
            let stays = |tag: &&TagIndex| change.remove.iter().all(|remove| remove.tag != **tag);
            let is_manual =
                |tag: &TagIndex| origins.of(&change.id, self.plan.tag(*tag)) == Some(TagOrigin::Manual);
            if change.value.is_some() && change.observed_tags.iter().filter(stays).any(is_manual) {
                self.patch.suggest(device as u32);
            }
        }
    }

    /// The origin of a tag on a device: from hunting, or manual if this run added it.
    pub(super) fn origin(&self, device: u32, tag: &Arc<str>) -> Option<TagOrigin> {
        let told = self.origins.and_then(|origins| origins.of(self.changes.device_id(device), tag));
        told.or_else(|| {
            let added = self.changes.of_device(device).any(|index| {
                let change = self.changes.get(index);
                let is_tag =
                    matches!(change.what, Effect::Add(own) if self.changes.tags[own as usize] == *tag);
                is_tag
                    && change.state == ChangeState::Ended(Outcome::Done)
                    && self.changes.confirmed_at(index).is_some()
            });
            added.then_some(TagOrigin::Manual)
        })
    }

    /// Whether the plan removes a tag from a device.
    pub(super) fn removes(&mut self, device: u32, tag: &Arc<str>) -> bool {
        let index = self.changes.tag(tag);
        let planned = self.changes.planned_tag(device, index);
        planned.is_some_and(|change| matches!(self.changes.get(change).what, Effect::Remove(_)))
    }

    /// An answer confirmed an addition, so its device carries a manual tag and may be a canary if it has a value to write.
    pub(super) fn suggest_canary(&mut self, device: u32) {
        if self.takes_both_routes() {
            self.patch.suggest(device);
        }
    }

    /// Whether a canary is in progress, so that no other `PATCH` of a value may start.
    pub(super) fn has_canary(&self) -> bool {
        self.patch.canary.is_some_and(|index| {
            let item = self.queues.item(index);
            matches!(item.kind, ItemKind::Combined { .. })
                && item.members.as_slice().iter().any(|change| self.changes.is_waiting(*change))
        })
    }

    /// Whether a `PATCH` of a value may start now. Until one kept its tags, that `PATCH` is the canary.
    pub(super) fn may_patch(&self, budget: &Budget) -> bool {
        self.patch.is_proven()
            || (!self.has_canary() && (self.patch.has_candidate() || self.takes_any_canary(budget)))
    }

    /// Whether a canary need not wait for a tag that this run adds: none is planned, or there is no other route.
    fn takes_any_canary(&self, budget: &Budget) -> bool {
        !self.patch.awaits_manual || self.lanes.given_up(Lane::SetValue, budget).is_some()
    }

    /// Makes a canary of a device with manual tags, else of the next in the queue. The device is read first.
    pub(super) fn start_canary(&mut self, budget: &Budget) {
        let mut chosen = None;
        while let (None, Some(device)) = (chosen, self.patch.next_candidate()) {
            let value = self.changes.of_device(device).last();
            let waits = |index: &u32| {
                matches!(self.changes.get(*index).what, Effect::Value(_)) && self.changes.is_waiting(*index)
            };
            let item = value.filter(waits).map(|index| self.changes.get(index).item);
            chosen = item.filter(|item| self.queues.take(Queue::Value, *item));
        }
        if chosen.is_none() && self.takes_any_canary(budget) {
            chosen = self.queues.pop(Queue::Value);
        }
        let Some(index) = chosen else { return };
        let item = self.queues.item_mut(index);
        item.kind = ItemKind::Combined { list: None, has_written: false };
        item.queue = Queue::Read;
        self.patch.canary = Some(index);
        self.queues.enqueue(index);
    }

    /// Records the tags that a `PATCH` of a value may lose, in memory and in the journal, before it is sent.
    pub(super) fn watch(&mut self, device: u32, tags: Vec<Arc<str>>, now: Timestamp) {
        if self.patch.is_proven() {
            return;
        }
        let id = self.changes.device_id(device).clone();
        self.entries.push(Entry::Canary { at: now, device: id, tags: tags.clone() });
        self.patch.watched.insert(device, tags);
    }

    /// Compares a device with the read before its `PATCH`. `is_answer`: the state is from the answer to that call.
    pub(super) fn check_watched(
        &mut self,
        device: u32,
        state: &DeviceState,
        is_answer: bool,
        now: Timestamp,
    ) {
        if !state.has_tag_list || !self.patch.watched.contains_key(&device) {
            return;
        }
        let before = self.patch.watched.remove(&device).unwrap_or_default();
        let (mut lost, mut loses, mut has_kept_manual) = (Vec::new(), false, false);
        for tag in before {
            // This run may have removed the tag meanwhile.
            if self.removes(device, &tag) {
                // Nothing else was sent for the device between the read and the answer: the PATCH took it.
                loses |= is_answer && !state.tags.contains(&tag);
                continue;
            }
            if !state.tags.contains(&tag) {
                lost.push(tag);
            } else if self.origin(device, &tag) == Some(TagOrigin::Manual) {
                has_kept_manual = true;
            }
        }
        if loses || !lost.is_empty() {
            self.sightings.note(Question::PatchValue, "losesTags", None);
            self.stop_patch("a PATCH of a value alone lost tags", now);
        } else if is_answer && has_kept_manual {
            self.sightings.note(Question::PatchValue, "keepsTags", None);
            self.patch.prove();
        } else if is_answer {
            self.stop_patch("the first PATCH of a value met no tag that is known as manual", now);
        }
        for tag in &lost {
            self.put_back(device, tag, Some(now));
        }
    }

    pub(super) fn stop_patch(&mut self, reason: &str, now: Timestamp) {
        let circuit = self.lanes.circuit_mut(Lane::UpdateDevice);
        if circuit.opened().is_none() {
            circuit.open(reason.to_owned());
            self.note(now, format!("{reason}: values go by setDeviceValue from here on"));
        }
    }

    /// Plans a call that puts back a lost tag. `now`: also records in the journal that it is due.
    pub(super) fn put_back(&mut self, device: u32, tag: &Arc<str>, now: Option<Timestamp>) {
        let index = self.changes.tag(tag);
        if !self.patch.repair(device, index) {
            return;
        }
        let repair = self.changes.push_repair(device, index);
        self.queues.pool(index, TagAction::Add, repair);
        if let Some(at) = now {
            let device = self.changes.device_id(device).clone();
            self.entries.push(Entry::Repair { at, device, tag: tag.clone(), restored: None, error: None });
        }
    }
}
