//! One `PATCH` for all changes of a device: read, build the whole list, write, compare.
//!
//! `PATCH` replaces the tag list (observed; the documents contradict each other). So the list is built from a read just before,
//! is never empty, and is never sent again unchanged. `plan::combine` chooses the devices.

use std::sync::Arc;

use crate::device::DeviceValue;
use crate::time::Timestamp;

use super::changes::{ChangeIndex, Effect};
use super::origins::TagOrigin;
use super::queue::{ItemChanges, ItemIndex, ItemKind, PatchBody, Queue, WorkItem};
use super::run::{CallInFlight, Run};
use super::{DeviceState, Outcome};

impl Run<'_> {
    /// Handles the answer to a read or a write of a combined device.
    pub(super) fn combined_answered(
        &mut self,
        flight: &CallInFlight,
        state: Option<&DeviceState>,
        now: Timestamp,
    ) {
        let ItemKind::Combined { list, .. } = &mut self.queues.item_mut(flight.item).kind else { return };
        match (list.take(), state) {
            (Some(sent), state) => {
                self.patch.device_let_go();
                self.compare(flight, &sent, state, now);
            }
            (None, Some(state)) => self.build(flight, state, now),
            (None, None) => self.uncombine(flight.item),
        }
    }

    /// Builds the write from a fresh read. Changes that are already in place need no call.
    fn build(&mut self, flight: &CallInFlight, state: &DeviceState, now: Timestamp) {
        self.check_watched(flight.devices[0], state, false, now);
        let ItemKind::Combined { has_written, .. } = self.queues.item(flight.item).kind else { return };
        let so = if has_written { Outcome::Done } else { Outcome::Noop };
        for change in &flight.members {
            if self.changes.is_waiting(*change) && self.changes.is_so(*change, state) == Some(true) {
                self.changes.end(*change, so, None);
            }
        }
        let waits_for_tags = |change: &ChangeIndex| {
            self.changes.is_waiting(*change) && !matches!(self.changes.get(*change).what, Effect::Value(_))
        };
        let mut tags = Vec::new();
        if flight.members.iter().any(waits_for_tags) {
            let Some(manual) = self.manual_tags(flight.devices[0], state) else {
                return self.uncombine(flight.item);
            };
            tags = manual;
        }
        let mut value: Option<DeviceValue> = None;
        let mut changes_tags = false;
        for change in flight.members.iter().filter(|change| self.changes.is_waiting(**change)) {
            match self.changes.get(*change).what {
                Effect::Add(tag) => {
                    let tag = &self.changes.tags[tag as usize];
                    if !tags.contains(tag) {
                        tags.push(tag.clone());
                    }
                }
                Effect::Remove(_) => {}
                Effect::Value(to) => {
                    value = Some(to);
                    continue;
                }
            }
            changes_tags = true;
        }
        if value.is_none() && !changes_tags {
            return;
        }
        if changes_tags && tags.is_empty() {
            return self.uncombine(flight.item);
        }
        let tags = changes_tags.then_some(tags);
        let item = self.queues.item_mut(flight.item);
        let before = state.tags.clone();
        let list = Some(PatchBody { value, tags, before, read_at: now });
        item.kind = ItemKind::Combined { list, has_written };
        item.queue = Queue::Write;
        self.patch.device_read();
        self.queues.enqueue(flight.item);
    }

    /// The device's tags that its `PATCH` may contain: the manual ones. A registry or dynamic tag would become manual. `None` if
    /// the origin of some tag is unknown, because it would be lost or made manual.
    fn manual_tags(&mut self, device: u32, state: &DeviceState) -> Option<Vec<Arc<str>>> {
        let mut manual = Vec::new();
        for tag in &state.tags {
            if self.removes(device, tag) {
                // The tag is removed anyway, if this call can remove it.
                continue;
            }
            match self.origin(device, tag)? {
                TagOrigin::Manual => manual.push(tag.clone()),
                TagOrigin::Foreign => {}
            }
        }
        Some(manual)
    }

    /// A write that must be sent again starts with a new read.
    pub(super) fn back_to_read(&mut self, index: ItemIndex) {
        let item = self.queues.item_mut(index);
        if let ItemKind::Combined { list, has_written } = &mut item.kind {
            if list.take().is_some() {
                *has_written = true;
                self.patch.device_let_go();
            }
            item.queue = Queue::Read;
        }
    }

    /// The effect of a write is unknown: the next read of the device is compared with the sent list.
    pub(super) fn watch_list(&mut self, index: ItemIndex, sent: Option<&PatchBody>) {
        let item = self.queues.item(index);
        let ItemKind::Combined { list, .. } = &item.kind else { return };
        let Some(sent) = sent.or(list.as_ref()) else { return };
        let (device, tags) = (self.changes.get(item.members.as_slice()[0]).device, sent.tags.clone());
        for tag in tags.into_iter().flatten() {
            let own = self.changes.tag(&tag);
            if self.changes.planned_tag(device, own).is_none() {
                self.patch.watched.entry(device).or_default().push(tag);
            }
        }
    }

    /// Compares the answer with the sent list, and leaves differences to bulk calls.
    fn compare(
        &mut self,
        flight: &CallInFlight,
        sent: &PatchBody,
        state: Option<&DeviceState>,
        now: Timestamp,
    ) {
        let device = flight.devices[0];
        let Some(state) = state.filter(|state| state.has_tag_list) else {
            self.watch_list(flight.item, Some(sent));
            flight.members.iter().for_each(|change| self.check(*change, None, now));
            if sent.tags.is_none() && !self.patch.is_proven() {
                let reason =
                    "the answer to a PATCH does not show the device, so a lost tag would not be seen";
                self.stop_patch(reason, now);
            }
            return;
        };
        let mut differs = false;
        for change in &flight.members {
            if !self.changes.is_waiting(*change) {
                continue;
            }
            match self.changes.get(*change).what {
                Effect::Value(_) => self.check(*change, Some(state), now),
                _ if self.changes.is_so(*change, state) == Some(true) => self.changes.confirm(*change, now),
                _ => {
                    differs = true;
                    self.pool(*change);
                }
            }
        }
        for tag in sent.tags.iter().flatten().filter(|tag| !state.tags.contains(tag)) {
            let index = self.changes.tag(tag);
            if self.changes.planned_tag(device, index).is_none() {
                differs = true;
                self.put_back(device, tag, Some(now));
            }
        }
        if sent.tags.is_none() {
            self.check_watched(device, state, true, now);
        }
        if differs {
            let id = self.changes.device_id(device);
            self.note(now, format!("device {id}: the answer to a combined PATCH differs from the list that was sent; what differs goes by bulk calls"));
        }
    }

    /// Uses the documented routes, one change at a time, for changes that one `PATCH` cannot make.
    pub(super) fn uncombine(&mut self, index: ItemIndex) {
        self.back_to_read(index);
        let item = self.queues.item_mut(index);
        let members = std::mem::replace(&mut item.members, ItemChanges::Many(Vec::new()));
        let priority = item.priority;
        for change in members.as_slice().iter().copied() {
            if !self.changes.is_waiting(change) {
                continue;
            }
            match self.changes.get(change).what {
                Effect::Value(to) => self.value_alone(change, to, priority),
                _ => self.pool(change),
            }
        }
    }

    fn value_alone(&mut self, change: ChangeIndex, to: DeviceValue, priority: i64) {
        let item = WorkItem::new(ItemKind::Value(to), Queue::SetValue, priority, ItemChanges::One(change));
        let index = self.queues.push(item);
        self.changes.set_item(change, index);
        self.queues.enqueue(index);
    }
}
