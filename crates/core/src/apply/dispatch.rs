//! Chooses the next call: lanes work in parallel, the least busy first, and no device is in two calls at once.
//!
//! `answer` reads the replies.

use std::sync::Arc;

use crate::plan::MAX_BULK;
use crate::plan::{Lane, ValueRoute};
use crate::time::Timestamp;

use super::budget::Budget;
use super::changes::{ChangeIndex, Effect, NO_ITEM};
use super::evidence::{ReplyEvidence, RereadReason};
use super::queue::{ItemChanges, ItemIndex, ItemKind, PatchBody, Queue, WorkItem};
use super::run::{CallInFlight, Run, Step, StopReason};
use super::{Call, CallId, Entry, Outcome, TagAction};

/// How long the read of a combined device stays usable. The change of a second writer can only be overwritten within this time.
const READ_IS_FRESH: std::time::Duration = std::time::Duration::from_secs(2);

impl Run<'_> {
    /// The next step. A call that it returns has its slot of the budget.
    pub fn next(&mut self, now: Timestamp, budget: &mut Budget) -> Step {
        self.queues.wake(now);
        self.enqueue_released();
        // Answers that are still expected may end the run, so it only stops when a call cannot be made.
        if self.options.max_calls.is_some_and(|most| self.calls >= most) && !self.queues.is_idle() {
            self.stop(StopReason::CallLimit);
        }
        if self.stopped.is_some() {
            if !self.flights.is_empty() {
                return Step::AwaitReply;
            }
            self.end_rest(now);
            return Step::Finished;
        }
        budget.give_up_distant(now);
        loop {
            let moves = self.queues.moves();
            self.let_go();
            self.enqueue_released();
            self.flush_pool();
            self.end_given_up(now, budget);
            if self.flights.len() < self.options.concurrency.max(1)
                && let Some(step) = self.start_any(now, budget)
            {
                return step;
            }
            // An item may have moved to a queue that was already checked.
            if moves == self.queues.moves() && !self.let_go_of_a_circle() {
                return self.wait(now, budget);
            }
        }
    }

    /// Queues removals whose device is ready. A bulk call goes when all of its removals may.
    pub(super) fn enqueue_released(&mut self) {
        for change in self.changes.drain_released() {
            let item = self.changes.get(change).item;
            if item == NO_ITEM {
                self.pool(change);
                continue;
            }
            if matches!(self.queues.item(item).kind, ItemKind::Tags { .. }) {
                self.unblock(item);
            }
        }
    }

    /// A member that an item waits for may be sent now.
    pub(super) fn unblock(&mut self, index: ItemIndex) {
        let blocked = self.queues.item_mut(index);
        if blocked.blockers > 0 {
            blocked.blockers -= 1;
            if blocked.blockers == 0 {
                self.queues.enqueue(index);
            }
        }
    }

    /// Leaves a tag change to a bulk call with similar ones.
    pub(super) fn pool(&mut self, change: ChangeIndex) {
        if !self.changes.is_waiting(change) {
            return;
        }
        self.changes.set_item(change, NO_ITEM);
        match self.changes.get(change).what {
            Effect::Add(tag) => self.queues.pool(tag, TagAction::Add, change),
            Effect::Remove(tag) if self.changes.is_released(change) => {
                self.queues.pool(tag, TagAction::Remove, change);
            }
            // It comes back when it is released.
            Effect::Remove(_) | Effect::Value(_) => {}
        }
    }

    /// Makes calls of the pooled changes when the bulk lane has nothing else to send.
    fn flush_pool(&mut self) {
        if !self.queues.has_pooled() || self.queues.has_ready(Queue::Bulk) {
            return;
        }
        for ((tag, action), mut changes) in self.queues.drain_pool() {
            // A repair and a planned change may concern the same device: its id is sent once, and the answer ends both.
            changes.sort_by_key(|change| self.changes.get(*change).device);
            for chunk in changes.chunks(MAX_BULK) {
                let members = ItemChanges::from(chunk.to_vec());
                let mut item = WorkItem::new(ItemKind::Tags { tag, action }, Queue::Bulk, i64::MAX, members);
                item.is_last = chunk.iter().any(|change| self.changes.get(*change).is_twin);
                let index = self.queues.push(item);
                chunk.iter().for_each(|change| self.changes.set_item(*change, index));
                self.queues.enqueue(index);
            }
        }
    }

    pub(super) fn takes_both_routes(&self) -> bool {
        self.plan.header.options.values == ValueRoute::Both
    }

    /// Ends the items of queues without a working lane.
    fn end_given_up(&mut self, now: Timestamp, budget: &Budget) {
        for queue in Queue::ALL {
            if !self.queues.has_ready(queue) {
                continue;
            }
            let lanes = queue.lanes(self.takes_both_routes());
            let reasons: Vec<_> = lanes
                .iter()
                .filter_map(|lane| self.lanes.given_up(*lane, budget).map(|why| (*lane, why)))
                .collect();
            let needs_patch =
                queue == Queue::Read && self.lanes.given_up(Lane::UpdateDevice, budget).is_some();
            if reasons.len() < lanes.len() && !needs_patch {
                continue;
            }
            let reason: Option<Arc<str>> = reasons
                .first()
                .map(|(lane, why)| format!("the {} lane was given up: {why}", lane.word()).into());
            while let Some(item) = self.queues.pop(queue) {
                match (&self.queues.item(item).kind, &reason) {
                    // The documented routes still work if `PATCH` does not.
                    (ItemKind::Combined { .. }, _) => self.uncombine(item),
                    (_, Some(reason)) => {
                        self.doubt_members(item, reason, now);
                        self.end_members(item, reason);
                    }
                    (_, None) => {}
                }
            }
        }
        self.emit_ended(now);
    }

    /// Tries that may have had an effect are re-read, however the item ends.
    fn doubt_members(&mut self, item: ItemIndex, error: &Arc<str>, now: Timestamp) {
        let item = self.queues.item(item);
        if !item.may_have_effect {
            return;
        }
        for change in item.members.as_slice() {
            if self.changes.is_waiting(*change) {
                let doubt = RereadReason { since: now, evidence: ReplyEvidence::None, error: error.clone() };
                self.changes.doubt(*change, doubt);
            }
        }
    }

    /// The lane of an item's next call was given up. Its changes on other lanes continue.
    fn end_members(&mut self, index: ItemIndex, reason: &Arc<str>) {
        for change in self.queues.item(index).members.as_slice() {
            if self.changes.is_waiting(*change) {
                self.changes.end(*change, Outcome::NotAttempted, Some(reason));
            }
        }
        self.advance(index);
    }

    /// Ends every waiting change of an item.
    pub(super) fn end_item(&mut self, index: ItemIndex, outcome: Outcome, reason: &Arc<str>) {
        for change in self.unsettled(index) {
            self.changes.end(change, outcome, Some(reason));
        }
        self.queues.item_mut(index).rest.clear();
        self.release_route(index);
    }

    fn start_any(&mut self, now: Timestamp, budget: &mut Budget) -> Option<Step> {
        let both = self.takes_both_routes();
        let pairs =
            Queue::ALL.into_iter().flat_map(|queue| queue.lanes(both).iter().map(move |lane| (queue, *lane)));
        let mut open: Vec<(Queue, Lane)> = pairs.filter(|(queue, _)| self.queues.has_ready(*queue)).collect();
        // The least busy lane first: a slow lane must not take all calls in flight.
        open.sort_by_key(|(queue, lane)| (self.lanes.in_flight(*lane), *queue));
        for (queue, lane) in open {
            if self.lanes.given_up(lane, budget).is_some()
                || budget.ready_at(lane, now) > now
                || !self.may_send(queue, lane, now, budget)
            {
                continue;
            }
            if let Some(step) = self.start(queue, lane, now, budget) {
                return Some(step);
            }
        }
        None
    }

    /// Whether anything besides the budget keeps a queue from sending now.
    fn may_send(&mut self, queue: Queue, lane: Lane, now: Timestamp, budget: &mut Budget) -> bool {
        match queue {
            // A forbidden bulk route is not used again until a single call shows whether the route or the device is the cause.
            Queue::Bulk if self.bulk.is_being_probed() => return false,
            // A `PATCH` of only a value should keep the tags. The others wait until the canary has proven it.
            Queue::Value if lane == Lane::UpdateDevice && !self.may_patch(budget) => return false,
            // A device is only read if it can be written at once, because changes of other writers in between would be lost.
            Queue::Read if self.read_pays_at(now, budget) > now => return false,
            _ => {}
        }
        // A lane in trouble takes no further device while the calls in trouble may still succeed.
        let is_retry = self.queues.peek(queue).is_some_and(|item| self.queues.item(item).is_retry());
        let may_recover = self.queues.has_delayed() || !self.flights.is_empty();
        is_retry || !may_recover || !self.lanes.circuit(lane).is_struggling()
    }

    /// When a read could be followed at once by its write, after the writes that are already due.
    fn read_pays_at(&self, now: Timestamp, budget: &mut Budget) -> Timestamp {
        let calls = u64::from(self.patch.in_hand()) + 1 + u64::from(budget.limits().shared);
        budget.earliest(Lane::UpdateDevice, calls, now)
    }

    fn start(&mut self, queue: Queue, lane: Lane, now: Timestamp, budget: &mut Budget) -> Option<Step> {
        if queue == Queue::Value && lane == Lane::UpdateDevice && !self.patch.is_proven() {
            self.start_canary(budget);
            return None;
        }
        while let Some(index) = self.queues.pop(queue) {
            if queue != Queue::Probe && !self.settle_members(index) {
                continue;
            }
            if queue == Queue::Single && self.single.is_left() && self.is_by_choice(index) {
                self.back_to_bulk(index);
                continue;
            }
            if queue == Queue::Bulk && self.bulk.is_forbidden() {
                self.split_to_singles(index);
                continue;
            }
            let item = self.queues.item_mut(index);
            if let ItemKind::Combined { list: list @ Some(_), .. } = &mut item.kind {
                let is_stale = list.as_ref().is_some_and(|list| now.since(list.read_at) > READ_IS_FRESH);
                if is_stale {
                    *list = None;
                    item.queue = Queue::Read;
                    self.patch.device_let_go();
                    self.queues.enqueue(index);
                    continue;
                }
            }
            let members = self.queues.item(index).members.as_slice().to_vec();
            let mut devices: Vec<u32> =
                members.iter().map(|change| self.changes.get(*change).device).collect();
            devices.dedup();
            if let Some(device) = devices.iter().find(|device| self.busy[**device as usize]) {
                self.queues.park(index, *device);
                continue;
            }
            return Some(self.send(index, members, devices, lane, now, budget));
        }
        None
    }

    /// Drops members that have ended; returns whether the item still needs a call.
    fn settle_members(&mut self, index: ItemIndex) -> bool {
        loop {
            let members = self.queues.item(index).members.as_slice();
            if members.iter().any(|change| !self.changes.is_waiting(*change)) {
                let waiting: Vec<u32> =
                    members.iter().copied().filter(|change| self.changes.is_waiting(*change)).collect();
                self.queues.item_mut(index).members = ItemChanges::Many(waiting);
            }
            let item = self.queues.item_mut(index);
            if !item.members.as_slice().is_empty() {
                return true;
            }
            let queue = item.queue;
            if !self.take_next(index) {
                break;
            }
            if self.queues.item(index).queue != queue {
                self.queues.enqueue(index);
                return false;
            }
        }
        let item = self.queues.item_mut(index);
        if matches!(item.kind, ItemKind::Combined { list: Some(_), .. }) {
            self.patch.device_let_go();
        }
        false
    }

    /// Sends one call per change from now on.
    pub(super) fn split_to_singles(&mut self, index: ItemIndex) {
        let left = self.unsettled(index);
        self.release_route(index);
        let item = self.queues.item_mut(index);
        item.rest.clear();
        item.members = ItemChanges::Many(Vec::new());
        let (kind, priority, is_last) = (item.kind.clone(), item.priority, item.is_last);
        for change in left {
            let mut single = WorkItem::new(kind.clone(), Queue::Single, priority, ItemChanges::One(change));
            single.is_last = is_last;
            let single = self.queues.push(single);
            self.changes.set_item(change, single);
            self.queues.enqueue(single);
        }
    }

    fn send(
        &mut self,
        index: ItemIndex,
        members: Vec<ChangeIndex>,
        devices: Vec<u32>,
        lane: Lane,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Step {
        let id = |device: &u32| self.changes.device_id(*device).clone();
        let item = self.queues.item(index);
        let device = id(&devices[0]);
        let call = match (&item.kind, lane) {
            (ItemKind::Tags { tag, action }, Lane::SingleTag) => {
                Call::SingleTag { tag: self.changes.tags[*tag as usize].clone(), action: *action, device }
            }
            (ItemKind::Tags { tag, action }, _) => Call::BulkTag {
                tag: self.changes.tags[*tag as usize].clone(),
                action: *action,
                devices: devices.iter().map(id).collect(),
            },
            (ItemKind::Value(value), Lane::UpdateDevice) => {
                Call::Update { device, value: Some(*value), tags: None }
            }
            (ItemKind::Value(value), _) => Call::SetValue { device, value: *value },
            (ItemKind::Combined { list: Some(list), .. }, _) => {
                Call::Update { device, value: list.value, tags: list.tags.clone() }
            }
            (ItemKind::Combined { list: None, .. }, _) => Call::Get { device },
        };
        if let ItemKind::Combined { list: Some(PatchBody { tags: None, before, .. }), .. } = &item.kind {
            let before = before.clone();
            self.watch(devices[0], before, now);
        }
        let ticket = budget.take(lane, now);
        devices.iter().for_each(|device| self.busy[*device as usize] = true);
        self.lanes.call_started(lane);
        self.calls += 1;
        let number = CallId(self.first_call + self.calls);
        self.flights.insert(number, CallInFlight { item: index, members, lane, ticket, devices });
        Step::Send(number, call)
    }

    /// What to wait for if nothing can be sent now.
    fn wait(&mut self, now: Timestamp, budget: &mut Budget) -> Step {
        let mut wake = self.queues.next_wake();
        let mut until =
            |moment: Timestamp| wake = Some(wake.map_or(moment, |other: Timestamp| other.min(moment)));
        if self.flights.len() < self.options.concurrency.max(1) {
            for queue in Queue::ALL.into_iter().filter(|queue| self.queues.has_ready(*queue)) {
                for lane in queue.lanes(self.takes_both_routes()) {
                    let moment = budget.ready_at(*lane, now);
                    let moment = match queue {
                        Queue::Read => moment.max(self.read_pays_at(now, budget)),
                        _ => moment,
                    };
                    // A ready lane that sends nothing waits for a reply, not for time.
                    if moment > now {
                        until(moment);
                    }
                }
            }
        }
        let is_idle = self.flights.is_empty() && self.queues.is_idle();
        if let Some(due) = self.reread_due(is_idle) {
            if due <= now {
                self.verifying = Some(now);
                return Step::Verify;
            }
            until(due);
        }
        match wake {
            Some(moment) => Step::WaitUntil(moment),
            None if is_idle && self.verifying.is_none() => {
                self.emit_ended(now);
                Step::Finished
            }
            None => Step::AwaitReply,
        }
    }

    /// Ends the remaining changes of a stopped run.
    fn end_rest(&mut self, now: Timestamp) {
        let phrase = self.stopped.map_or("the end of the run", StopReason::phrase);
        let stopped: Arc<str> = format!("stopped by {phrase} before it was sent").into();
        let unread: Arc<str> = format!("stopped by {phrase} before the list was read again").into();
        for item in self.queues.unclear() {
            self.doubt_members(item, &unread, now);
        }
        let doubts: Vec<ChangeIndex> = self.changes.doubts.keys().copied().collect();
        for change in doubts {
            self.changes.end(change, Outcome::Unknown, Some(&unread));
        }
        for change in 0..self.changes.len() {
            if self.changes.is_waiting(change) {
                self.changes.end(change, Outcome::NotAttempted, Some(&stopped));
            }
        }
        self.emit_ended(now);
        let counts = self.changes.counts();
        let left = counts[Outcome::NotAttempted as usize] + counts[Outcome::Unknown as usize];
        // A lost tag that must still be put back is remaining work, although it is no change of the plan.
        if left == 0 && self.repairs().all(|repair| super::resume::is_final(repair.outcome)) {
            // Nothing was left to do, so the run ended whole even if it reached a limit at the same moment.
            self.stopped = None;
        }
    }

    /// Gives up waiting for calls in flight, when the grace time ends: their effect is unknown.
    pub fn abandon(&mut self, now: Timestamp, budget: &mut Budget) -> Vec<Entry> {
        let mut calls: Vec<CallId> = self.flights.keys().copied().collect();
        calls.sort_unstable();
        self.stop(StopReason::Signal);
        let error: Arc<str> = "no answer before the run ended".into();
        for call in calls {
            let Some(flight) = self.land(call) else { continue };
            budget.answered(flight.ticket, now, None);
            for change in flight.members {
                if self.changes.is_waiting(change) {
                    self.changes.end(change, Outcome::Unknown, Some(&error));
                }
            }
            self.emit_reply(call, now, error.to_string());
        }
        self.drain()
    }

    /// Removes a call from flight and frees its devices.
    pub(super) fn land(&mut self, call: CallId) -> Option<CallInFlight> {
        let flight = self.flights.remove(&call)?;
        self.lanes.call_ended(flight.lane);
        for device in &flight.devices {
            self.busy[*device as usize] = false;
            self.queues.unpark(*device);
        }
        Some(flight)
    }
}
