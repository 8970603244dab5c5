//! Finds the bad ids of a rejected call with few further calls, so that no good device is lost with a bad one.
//!
//! One refused device fails a whole bulk call (field-reported). Ids that the message names are sent alone, because a text may
//! name good ones too. Without names the call is halved, breadth first, because the other half of a rejected half is usually
//! good. Before every device is tried, a few calls test whether the tag or the bulk route itself is the cause.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::time::Timestamp;

use super::changes::{ChangeIndex, Effect, NO_ITEM};
use super::evidence::{ReplyEvidence, RereadReason};
use super::isolation::Isolation;
use super::queue::{ItemChanges, ItemIndex, ItemKind, Queue, WorkItem};
use super::run::{CallInFlight, Run};
use super::{Outcome, Rejection, TagAction};
use crate::service::Question;

/// Single devices that must be refused in the same way before the tag is suspected.
const SAMPLE: usize = 4;

/// Rejected calls of an item before single devices are tried: the whole and both halves.
const SUSPICIOUS: u32 = 3;

/// The most ids from a message that are retried one by one; more may just repeat the call.
const MAX_ECHO: usize = 10;

/// The members of a call that a message names, and the rest.
pub(super) fn named<'a>(
    members: &[ChangeIndex],
    id: impl Fn(ChangeIndex) -> &'a str,
    message: &str,
) -> (Vec<ChangeIndex>, Vec<ChangeIndex>) {
    // Ids consist of `A-Z a-z 0-9 . _ -`, but a full stop may also end the sentence.
    let is_id = |scalar: char| scalar.is_ascii_alphanumeric() || matches!(scalar, '.' | '_' | '-');
    let words: HashSet<&str> = message
        .split(|scalar| !is_id(scalar))
        .flat_map(|word| [word, word.trim_end_matches('.')])
        .filter(|word| !word.is_empty())
        .collect();
    members.iter().partition(|member| words.contains(id(**member)))
}

/// Two halves; the first is at least as large.
fn halves(members: &[ChangeIndex]) -> [Vec<ChangeIndex>; 2] {
    let (first, second) = members.split_at(members.len().div_ceil(2));
    [first.to_vec(), second.to_vec()]
}

/// The code of a rejection, or its status if it has none.
fn code(rejection: &Rejection) -> String {
    if rejection.code.is_empty() { rejection.status.to_string() } else { rejection.code.clone() }
}

impl Run<'_> {
    /// Splits a bulk call that was rejected with 4xx down to the devices that the service refuses.
    pub(super) fn isolate(
        &mut self,
        flight: &CallInFlight,
        rejection: &Rejection,
        words: &str,
        now: Timestamp,
    ) {
        if self.bulk.is_forbidden() {
            return self.split_to_singles(flight.item);
        }
        let id = |change: ChangeIndex| &**self.changes.device_id(self.changes.get(change).device);
        let (named, others) = named(&flight.members, id, &rejection.message);
        let is_taken = self.is_taken(flight.item);
        let item = self.queues.item_mut(flight.item);
        let isolation = item.isolation.get_or_insert_with(Box::default);
        isolation.rejections += 1;
        isolation.halves.retain(|(one, _)| *one != flight.members[0]);
        let is_first = isolation.rejections == 1;
        let is_about_route = matches!(rejection.status, 403..=405);
        isolation.doubts_route |= is_about_route;
        if !is_taken && isolation.suspected.take().is_some_and(|suspected| suspected == code(rejection)) {
            let error = format!("{words} (the same for {SAMPLE} devices alone: the tag is at fault)");
            return self.end_item(flight.item, Outcome::Failed, &error.into());
        }
        let is_sampled = isolation.sample.is_some();
        let mut dropped = Vec::new();
        let is_echo = others.is_empty() && named.len() > MAX_ECHO && !is_sampled;
        if flight.members.len() == 1 {
            item.rest.push_front(flight.members.clone());
        } else if named.is_empty() || is_echo {
            let [one, other] = halves(&flight.members);
            if rejection.status == 400 && named.is_empty() {
                isolation.halves.push((one[0], other[0]));
            }
            item.rest.extend([one, other]);
        } else {
            let is_sure = self.options.names_unknown && rejection.status == 400 && !others.is_empty();
            if !others.is_empty() {
                let devices = named.iter().map(|change| self.changes.get(*change).device);
                isolation.named.extend(devices);
            }
            if is_sure {
                dropped.clone_from(&named);
            } else {
                item.rest.extend(named.into_iter().map(|change| vec![change]));
            }
            if !others.is_empty() {
                item.rest.push_front(others);
            }
        }
        self.drop_named(&dropped, words, now);
        if is_about_route && is_first && flight.members.len() > 1 {
            self.ask_alone(flight, 1);
        } else if !is_taken && !is_sampled && self.isolation(flight.item).rejections >= SUSPICIOUS {
            self.ask_alone(flight, SAMPLE);
        }
        self.advance(flight.item);
    }

    /// A half of a rejected call was accepted. If the service was measured to hide the unknown ids that it refuses, the other
    /// half contains one, and is split without being sent whole.
    pub(super) fn cut_other_half(&mut self, flight: &CallInFlight) {
        let item = self.queues.item_mut(flight.item);
        let Some(isolation) = item.isolation.as_mut().filter(|_| self.options.hides_unknown) else { return };
        let is_it = |(one, _): &(ChangeIndex, ChangeIndex)| flight.members.first() == Some(one);
        let Some(place) = isolation.halves.iter().position(is_it) else { return };
        let (_, first) = isolation.halves.swap_remove(place);
        let is_next = item.rest.front().is_some_and(|next| next.len() > 1 && next[0] == first);
        if let Some(half) = item.rest.pop_front_if(|_| is_next) {
            let [one, other] = halves(&half);
            isolation.halves.push((one[0], other[0]));
            item.rest.push_front(other);
            item.rest.push_front(one);
        }
    }

    /// Lets the list decide whether the devices that a rejection names are gone. Nothing is sent to them meanwhile.
    fn drop_named(&mut self, dropped: &[ChangeIndex], words: &str, now: Timestamp) {
        let error: Arc<str> = words.into();
        for named in dropped {
            let device = self.changes.get(*named).device;
            for change in self.changes.of_device(device).chain([*named]) {
                if self.changes.is_waiting(change) {
                    let doubt =
                        RereadReason { since: now, evidence: ReplyEvidence::Named, error: error.clone() };
                    self.changes.doubt(change, doubt);
                }
            }
        }
    }

    /// The list shows a device that a rejection named: it is tried alone before it is blamed.
    pub(super) fn ask_named_alone(&mut self, change: ChangeIndex) {
        self.changes.wait_again(change);
        let (kind, queue) = match self.changes.get(change).what {
            Effect::Add(tag) => (ItemKind::Tags { tag, action: TagAction::Add }, Queue::Single),
            // Its addition is not confirmed yet: it comes back when it is released.
            Effect::Remove(_) if !self.changes.is_released(change) => {
                return self.changes.set_item(change, NO_ITEM);
            }
            Effect::Remove(tag) => (ItemKind::Tags { tag, action: TagAction::Remove }, Queue::Single),
            Effect::Value(to) => (ItemKind::Value(to), Queue::SetValue),
        };
        let item = self.queues.push(WorkItem::new(kind, queue, i64::MAX, ItemChanges::One(change)));
        self.changes.set_item(change, item);
        self.queues.enqueue(item);
    }

    /// A device of a rejected call turned out to be unknown: records whether the rejection named it.
    pub(super) fn learn_unknown_id(&mut self, item: ItemIndex, device: u32) {
        let Some(isolation) = &self.queues.item(item).isolation else { return };
        if isolation.rejections > 0 {
            let verdict = if isolation.named.contains(&device) { "refusedNamed" } else { "refusedUnnamed" };
            self.sightings.note(Question::UnknownId, verdict, None);
        }
    }

    /// Whether a tag call goes to one device because the measured service makes that the better route, not after a rejection.
    pub(super) fn is_by_choice(&self, index: ItemIndex) -> bool {
        let item = self.queues.item(index);
        item.queue == Queue::Single && item.isolation.is_none() && matches!(item.kind, ItemKind::Tags { .. })
    }

    /// The single-device route does not behave as measured: tags go by bulk calls from now on.
    pub(super) fn leave_single_route(&mut self, words: &str, now: Timestamp) {
        self.sightings.note(Question::SingleAnswer, "refused", None);
        if self.single.leave() {
            self.note(
                now,
                format!(
                    "tags of one device are not taken alone ({words}): they go by bulk calls from here on"
                ),
            );
        }
    }

    /// Leaves an item's changes to bulk calls.
    pub(super) fn back_to_bulk(&mut self, index: ItemIndex) {
        let left = self.unsettled(index);
        let item = self.queues.item_mut(index);
        item.rest.clear();
        item.members = ItemChanges::Many(Vec::new());
        left.into_iter().for_each(|change| self.pool(change));
    }

    fn isolation(&mut self, item: ItemIndex) -> &mut Isolation {
        self.queues.item_mut(item).isolation.get_or_insert_with(Box::default)
    }

    /// Picks single devices from different parts of an item to be tried next, onboarded ones first.
    fn ask_alone(&mut self, flight: &CallInFlight, count: usize) {
        let waiting = self.unsettled(flight.item);
        let mut drawn = VecDeque::new();
        for part in 0..count {
            let (from, to) = (waiting.len() * part / count, waiting.len() * (part + 1) / count);
            let part = &waiting[from..to];
            let is_onboarded = |change: &&ChangeIndex| self.is_onboarded(self.changes.get(**change).device);
            if let Some(change) = part.iter().find(is_onboarded).or(part.get(part.len() / 2)) {
                drawn.push_back(vec![*change]);
            }
        }
        let item = self.queues.item_mut(flight.item);
        let isolation = item.isolation.get_or_insert_with(Box::default);
        if count == SAMPLE && drawn.len() == SAMPLE {
            isolation.sample = Some(Vec::new());
        }
        drawn.append(&mut item.rest);
        item.rest = drawn;
        if isolation.doubts_route && !std::mem::replace(&mut isolation.holds_route, true) {
            self.bulk.probe_started();
        }
    }

    /// The remaining changes of an item, each once.
    pub(super) fn unsettled(&self, item: ItemIndex) -> Vec<ChangeIndex> {
        let item = self.queues.item(item);
        let all = item.members.as_slice().iter().chain(item.rest.iter().flatten()).copied();
        let mut left: Vec<ChangeIndex> = all.filter(|change| self.changes.is_waiting(*change)).collect();
        left.sort_unstable();
        left.dedup();
        left
    }

    /// Whether the service accepted the item's tag for any device in this run.
    fn is_taken(&self, item: ItemIndex) -> bool {
        match self.queues.item(item).kind {
            ItemKind::Tags { tag, action } => self.taken.contains(&(tag, action)),
            _ => true,
        }
    }

    /// A call on one device of a rejected call was refused too. Four in the same way cast suspicion on the tag, and all others
    /// are sent together once more.
    pub(super) fn refused_alone(&mut self, index: ItemIndex, rejection: &Rejection) {
        let (is_taken, others) = (self.is_taken(index), self.unsettled(index));
        let item = self.queues.item_mut(index);
        let Some(isolation) = &mut item.isolation else { return };
        let Some(sample) = &mut isolation.sample else { return };
        sample.push(code(rejection));
        let is_unknown_device = rejection.status == 404;
        let is_alike = sample.len() == SAMPLE && sample.iter().all(|other| *other == sample[0]);
        if is_alike && !is_taken && !is_unknown_device && others.len() > 1 {
            isolation.suspected = Some(code(rejection));
            item.rest = VecDeque::from([others]);
        }
    }

    /// A call on one device worked although the bulk call was forbidden or not found. A bulk call with only that device tells
    /// whether the route is closed. Returns whether such a call was queued.
    pub(super) fn ask_route(&mut self, flight: &CallInFlight) -> bool {
        let item = self.queues.item_mut(flight.item);
        let Some(isolation) = &mut item.isolation else { return false };
        if !std::mem::take(&mut isolation.doubts_route) {
            return false;
        }
        if self.bulk.is_forbidden() {
            self.split_to_singles(flight.item);
            return true;
        }
        if !std::mem::replace(&mut isolation.holds_route, true) {
            self.bulk.probe_started();
        }
        item.members = ItemChanges::One(flight.members[0]);
        item.queue = Queue::Probe;
        self.queues.enqueue(flight.item);
        true
    }

    /// The bulk call with one device for which a single call worked was rejected: the route is closed to us.
    pub(super) fn close_route(&mut self, item: ItemIndex, words: &str, now: Timestamp) {
        // If bulk calls worked before, the service rejects this call and not the route.
        if self.bulk.forbid() {
            self.note(
                now,
                format!(
                    "the bulk tag route is closed to us ({words}) and single tag calls work: one call a device from here on"
                ),
            );
        }
        self.split_to_singles(item);
    }

    /// Lets other bulk calls continue.
    pub(super) fn release_route(&mut self, item: ItemIndex) {
        let isolation = self.queues.item_mut(item).isolation.as_mut();
        if isolation.is_some_and(|isolation| std::mem::take(&mut isolation.holds_route)) {
            self.bulk.probe_ended();
        }
    }

    /// Goes on to the next call of an item, if it has one.
    pub(super) fn advance(&mut self, index: ItemIndex) {
        if self.take_next(index) {
            self.queues.enqueue(index);
        }
    }

    /// Makes the next part of an item its members; returns whether there was one.
    pub(super) fn take_next(&mut self, index: ItemIndex) -> bool {
        let item = self.queues.item_mut(index);
        let Some(next) = item.rest.pop_front() else {
            item.members = ItemChanges::Many(Vec::new());
            self.release_route(index);
            return false;
        };
        item.members = ItemChanges::from(next);
        (item.tries, item.misses, item.may_have_effect) = (0, 0, false);
        if item.isolation.is_some() {
            let is_single = item.members.as_slice().len() == 1;
            item.queue = if is_single { Queue::Single } else { Queue::Bulk };
            if !is_single {
                self.release_route(index);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_ids_are_found_in_prose() {
        let ids = ["aa-1", "bb.2", "cc_3"];
        let split = |message: &str| named(&[0, 1, 2], |member| ids[member as usize], message);
        assert_eq!(split("Failed to find machines: bb.2."), (vec![1], vec![0, 2]));
        assert_eq!(split("Failed to find machines: [\"aa-1\",\"cc_3\"]"), (vec![0, 2], vec![1]));
        assert!(split("aa-11 is unknown").0.is_empty(), "only whole ids count");
        assert_eq!(split("bad request aa-1 bb.2 cc_3"), (vec![0, 1, 2], vec![]));
        assert!(split("").0.is_empty());
    }
}
