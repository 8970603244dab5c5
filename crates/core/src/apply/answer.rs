//! Judges replies: which changes they prove, which are tried again, which end.
//!
//! A 2xx is not a proof: the answer must show the device as the change wants it. The list is read again for changes that no
//! answer proves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::Lane;
use crate::service::Question;
use crate::text;
use crate::time::Timestamp;

use super::budget::Budget;
use super::changes::{ChangeIndex, ChangeRow, Effect};
use super::evidence::{ReplyEvidence, RereadReason};
use super::queue::{ItemIndex, ItemKind, PatchBody, Queue};
use super::retry::{LONGEST_CLOSURE, MAX_FAILURES, MAX_FORBIDDEN, MAX_TRIES, MIN_WAIT};
use super::run::{CallInFlight, Run};
use super::twins::CUT_BEYOND;
use super::{CallId, DeviceState, Entry, Outcome, Rejection, Reply};

/// How long after a 404 the device is requested again: some 404s are temporary (field-reported).
const MISS_WAIT: Duration = Duration::from_secs(1);

/// The most missing tags that notes name.
const MOST_MISSING: usize = 20;

impl Run<'_> {
    /// Processes a reply. Ignores one to a call that is not in flight.
    pub fn reply(&mut self, call: CallId, reply: Reply, now: Timestamp, budget: &mut Budget) -> Vec<Entry> {
        let Some(flight) = self.land(call) else { return self.drain() };
        let throttled = match &reply {
            Reply::Rejected(rejection) if rejection.status == 429 => Some(rejection.retry_after),
            _ => None,
        };
        budget.answered(flight.ticket, now, throttled);
        let words = words(&reply);
        match reply {
            Reply::Answered { devices } => self.answered(flight, &devices, now),
            Reply::Rejected(rejection) => self.rejected(flight, &rejection, &words, now, budget),
            Reply::Broken { .. } => self.try_again(flight, true, &words, now),
            Reply::Lost { maybe_sent, .. } => self.try_again(flight, maybe_sent, &words, now),
        }
        self.emit_reply(call, now, words);
        self.drain()
    }

    fn answered(&mut self, flight: CallInFlight, devices: &[DeviceState], now: Timestamp) {
        self.lanes.circuit_mut(flight.lane).succeeded();
        if flight.lane == Lane::BulkTag {
            self.bulk.call_worked();
        }
        let shown = if devices.is_empty() { "empty" } else { "device" };
        match flight.lane {
            Lane::BulkTag => self.sightings.note(Question::BulkAnswer, shown, None),
            Lane::SingleTag => {
                self.single.call_worked();
                self.sightings.note(Question::SingleAnswer, shown, None);
            }
            Lane::SetValue => self.sightings.note(Question::ValueAnswer, shown, None),
            _ => {}
        }
        let states: HashMap<&str, &DeviceState> =
            devices.iter().map(|state| (state.id.as_ref(), state)).collect();
        if matches!(self.queues.item(flight.item).kind, ItemKind::Combined { .. }) {
            let id = self.changes.device_id(flight.devices[0]).clone();
            return self.combined_answered(&flight, states.get(id.as_ref()).copied(), now);
        }
        for change in &flight.members {
            let device = self.changes.get(*change).device;
            let state = states.get(self.changes.device_id(device).as_ref()).copied();
            self.check(*change, state, now);
            if let Some(state) = state {
                self.check_neighbours(*change, state, now);
            }
        }
        if let ItemKind::Tags { tag, action } = self.queues.item(flight.item).kind {
            self.taken.insert((tag, action));
        }
        if flight.lane == Lane::BulkTag {
            self.cut_other_half(&flight);
        }
        if flight.lane == Lane::SingleTag && self.ask_route(&flight) {
            return;
        }
        self.advance(flight.item);
    }

    /// Compares one change with the device in an answer.
    pub(super) fn check(&mut self, change: ChangeIndex, state: Option<&DeviceState>, now: Timestamp) {
        if !self.changes.is_waiting(change) {
            return;
        }
        let shown = state.and_then(|state| Some((state, self.changes.is_so(change, state)?)));
        let (evidence, error) = match shown {
            Some((_, true)) => {
                self.changes.confirm(change, now);
                let ChangeRow { device, what, .. } = *self.changes.get(change);
                if matches!(what, Effect::Add(_)) {
                    self.suggest_canary(device);
                }
                return;
            }
            Some((state, false)) => {
                self.learn_tag(change, state);
                (ReplyEvidence::Refuted, "the service accepted it, and its answer shows the old state")
            }
            None if state.is_some() => (
                ReplyEvidence::Accepted,
                "the service accepted it, and its answer does not say what came of it",
            ),
            None => {
                (ReplyEvidence::Accepted, "the service accepted it, and its answer does not show the device")
            }
        };
        self.changes.doubt(change, RereadReason { since: now, evidence, error: error.into() });
    }

    /// An answer that shows another tag than the added one tells how the service stores tags.
    fn learn_tag(&mut self, change: ChangeIndex, state: &DeviceState) {
        let Effect::Add(tag) = self.changes.get(change).what else { return };
        let tag = &self.changes.tags[tag as usize];
        let is_cut = |other: &&Arc<str>| other.len() > CUT_BEYOND && tag.starts_with(&***other);
        if state.tags.iter().any(|other| other != tag && text::equal_case(other, tag)) {
            self.sightings.note(Question::TagCase, "insensitive", None);
        } else if let Some(cut) = state.tags.iter().find(is_cut) {
            self.sightings.note(Question::TagLength, "cut", Some(cut.chars().count() as u64));
        }
    }

    /// Checks tags that a call should not touch: twins of a removed tag, and the tags of a canary.
    pub(super) fn check_neighbours(&mut self, change: ChangeIndex, state: &DeviceState, now: Timestamp) {
        let ChangeRow { device, what, is_twin, .. } = *self.changes.get(change);
        self.check_watched(device, state, false, now);
        if !state.has_tag_list {
            return;
        }
        let Effect::Remove(tag) = what else { return };
        self.note_missing(device, tag, state, now);
        // The plan of a resumed run does not have what an earlier part of it took along and put back.
        if !is_twin && !self.changes.put_back.contains_key(&device) {
            return;
        }
        let kept = self.changes.kept_twins(device, tag);
        let lost = kept.into_iter().map(|tag| self.changes.tags[tag as usize].clone());
        let lost: Vec<Arc<str>> = lost.filter(|tag| !state.tags.contains(tag)).collect();
        for tag in &lost {
            self.put_back(device, tag, Some(now));
        }
    }

    /// Notes the tags that the plan saw on a device and that the answer to a removal no longer shows. Either somebody removed them
    /// meanwhile or the call took them along; an answer does not say which, so they are not put back.
    fn note_missing(&mut self, device: u32, removed: u32, state: &DeviceState, now: Timestamp) {
        for tag in self.changes.expected_tags(device) {
            let text = self.changes.tags[tag as usize].clone();
            let is_told = self.missing.len() >= MOST_MISSING || self.changes.are_twins(removed, tag);
            if is_told || state.tags.contains(&text) || !self.missing.insert((device, tag)) {
                continue;
            }
            let id = self.changes.device_id(device);
            let name = self.plan.changes.get(device as usize).and_then(|change| change.name.as_deref());
            let more = if self.missing.len() == MOST_MISSING { "; further ones are not listed" } else { "" };
            let text = format!(
                "the answer to the removal of \"{}\" shows {} without \"{text}\", which the plan saw: somebody removed it meanwhile, \
                 or the call took it along{more}",
                self.changes.tags[removed as usize],
                name.map_or_else(|| id.to_string(), |name| format!("{name} ({id})")),
            );
            self.note(now, text);
        }
    }

    fn rejected(
        &mut self,
        flight: CallInFlight,
        rejection: &Rejection,
        words: &str,
        now: Timestamp,
        budget: &mut Budget,
    ) {
        if !matches!(rejection.status, 408 | 409 | 423 | 425 | 429 | 500..=599) {
            self.lanes.circuit_mut(flight.lane).answered();
            if flight.lane == Lane::UpdateDevice {
                // The call had no effect.
                self.patch.watched.remove(&flight.devices[0]);
            }
        }
        match rejection.status {
            429 => {
                self.back_to_read(flight.item);
                self.queues.enqueue(flight.item);
            }
            408 | 409 | 423 | 425 | 500..=599 => {
                if let Some(wait) = rejection.retry_after {
                    budget.close(flight.lane, now.plus(wait.clamp(MIN_WAIT, LONGEST_CLOSURE)));
                }
                self.try_again(flight, true, words, now);
            }
            400 | 402..=499 if flight.lane == Lane::BulkTag => {
                if self.queues.item(flight.item).queue == Queue::Probe {
                    self.close_route(flight.item, words, now);
                } else {
                    self.isolate(&flight, rejection, words, now);
                }
            }
            403 | 405 if self.is_by_choice(flight.item) && !self.single.works() => {
                self.leave_single_route(words, now);
                self.back_to_bulk(flight.item);
            }
            // A missing `PATCH` may be missing for every device; the documented routes tell.
            404 if flight.lane != Lane::UpdateDevice => self.missed(&flight, rejection, words, now),
            _ => self.refused(flight, rejection, words, now),
        }
    }

    /// The effect is unknown: the call is sent again, up to a limit, because adds, removals and values are idempotent.
    fn try_again(&mut self, flight: CallInFlight, may_have_effect: bool, words: &str, now: Timestamp) {
        self.lanes.circuit_mut(flight.lane).struggled(flight.devices[0]);
        if may_have_effect && flight.lane == Lane::UpdateDevice {
            self.watch_list(flight.item, None);
        }
        self.back_to_read(flight.item);
        let item = self.queues.item_mut(flight.item);
        item.tries += 1;
        item.may_have_effect |= may_have_effect && flight.lane != Lane::Get;
        if item.tries < MAX_TRIES {
            let wait = self.jitter.backoff(u32::from(item.tries));
            self.queues.delay(flight.item, now.plus(wait));
            return;
        }
        let error: Arc<str> = format!("{words} ({MAX_TRIES} tries)").into();
        if flight.lane == Lane::Get {
            // The documented routes need no read.
            self.failed(&flight, &error, now);
            return self.uncombine(flight.item);
        }
        if flight.lane == Lane::UpdateDevice {
            // Only this route was tried, and the documented ones are idempotent.
            self.failed(&flight, &error, now);
            return self.by_documented_routes(flight.item);
        }
        let may_have_effect = self.queues.item(flight.item).may_have_effect;
        for change in &flight.members {
            if !self.changes.is_waiting(*change) {
                continue;
            }
            if may_have_effect {
                let doubt = RereadReason { since: now, evidence: ReplyEvidence::None, error: error.clone() };
                self.changes.doubt(*change, doubt);
            } else {
                self.changes.end(*change, Outcome::Failed, Some(&error));
            }
        }
        self.failed(&flight, &error, now);
        self.advance(flight.item);
    }

    /// A call was given up. Enough of these in a row give up the lane.
    fn failed(&mut self, flight: &CallInFlight, error: &str, now: Timestamp) {
        let circuit = self.lanes.circuit_mut(flight.lane);
        if circuit.failed(flight.devices[0], error) {
            // In the words of the reason, so that the end of the run sees that it was reported.
            let reason = circuit.opened().unwrap_or_default().to_owned();
            self.note(now, format!("the {} lane is given up: {reason}", flight.lane.word()));
        }
    }

    // A refusal of one device says nothing about the lane: a rule may own that device. Only a missing role, a token that stays
    // rejected after a fresh sign-in, or 403 for devices drawn evenly from the whole queue do.
    fn learn_from_refusal(
        &mut self,
        flight: &CallInFlight,
        rejection: &Rejection,
        words: &str,
        now: Timestamp,
    ) {
        if rejection.status == 401 {
            return self.failed(flight, words, now);
        }
        let has_no_patch = flight.lane == Lane::UpdateDevice && matches!(rejection.status, 404 | 405);
        if rejection.status != 403 && !has_no_patch {
            return;
        }
        let circuit = self.lanes.circuit_mut(flight.lane);
        let is_closed = match circuit.forbidden() {
            _ if names_missing_role(&rejection.message) => true,
            Some(count) => {
                if count == MAX_FAILURES {
                    let queue = self.queues.item(flight.item).queue;
                    self.queues.draw_evenly(queue, MAX_FORBIDDEN);
                }
                count >= MAX_FAILURES + MAX_FORBIDDEN
            }
            None => false,
        };
        let circuit = self.lanes.circuit_mut(flight.lane);
        if is_closed && circuit.opened().is_none() {
            let reason = match has_no_patch {
                true => format!("it is not there, the last answer: {words}"),
                false => format!("it is forbidden, the last answer: {words}"),
            };
            circuit.open(reason.clone());
            self.note(now, format!("the {} lane is given up: {reason}", flight.lane.word()));
        }
    }

    /// The service rejected the call, and would do so again.
    fn refused(&mut self, flight: CallInFlight, rejection: &Rejection, words: &str, now: Timestamp) {
        // Documents contradict each other about `PATCH` only; the other routes still work, and need no read.
        if matches!(flight.lane, Lane::UpdateDevice | Lane::Get) {
            if let ItemKind::Combined { list: Some(PatchBody { tags: Some(_), .. }), .. } =
                &self.queues.item(flight.item).kind
            {
                let text = format!("a combined PATCH was refused ({words}): its changes go one by one");
                self.note(now, text);
            }
            self.by_documented_routes(flight.item);
            return self.learn_from_refusal(&flight, rejection, words, now);
        }
        // A token that stays rejected after a fresh sign-in says nothing about the device.
        let is_about_device = (400..500).contains(&rejection.status) && rejection.status != 401;
        let outcome = if is_about_device { Outcome::Refused } else { Outcome::Failed };
        let error: Arc<str> = words.into();
        for change in &flight.members {
            if self.changes.is_waiting(*change) {
                self.changes.end(*change, outcome, Some(&error));
            }
        }
        self.refused_alone(flight.item, rejection);
        self.learn_from_refusal(&flight, rejection, words, now);
        self.advance(flight.item);
    }

    /// Sends the changes of a `PATCH` that does not work by the routes that are documented for them.
    fn by_documented_routes(&mut self, index: ItemIndex) {
        let item = self.queues.item_mut(index);
        if matches!(item.kind, ItemKind::Combined { .. }) {
            return self.uncombine(index);
        }
        item.tries = 0;
        item.queue = Queue::SetValue;
        self.queues.enqueue(index);
    }

    /// One 404 may be temporary. After two, the list tells whether the device is gone or the service only refuses it. Nothing
    /// else is sent to the device meanwhile.
    fn missed(&mut self, flight: &CallInFlight, rejection: &Rejection, words: &str, now: Timestamp) {
        self.back_to_read(flight.item);
        let item = self.queues.item_mut(flight.item);
        item.misses += 1;
        if item.misses < 2 {
            return self.queues.delay(flight.item, now.plus(MISS_WAIT));
        }
        self.learn_unknown_id(flight.item, flight.devices[0]);
        let doubt = RereadReason { since: now, evidence: ReplyEvidence::Missing, error: words.into() };
        for change in self.changes.of_device(flight.devices[0]).chain(flight.members.iter().copied()) {
            if self.changes.is_waiting(change) {
                self.changes.doubt(change, doubt.clone());
            }
        }
        self.refused_alone(flight.item, rejection);
        self.advance(flight.item);
    }
}

/// Whether a message blames the application's roles rather than the device.
fn names_missing_role(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("application roles") || message.contains("missing") && message.contains("role")
}

/// A short form of a reply, for journals and errors.
fn words(reply: &Reply) -> String {
    match reply {
        Reply::Answered { .. } => "200".to_owned(),
        Reply::Broken { status, detail } => format!("{status} with a body that cannot be read: {detail}"),
        Reply::Lost { detail, .. } => detail.clone(),
        Reply::Rejected(Rejection { status, code, message, request_id, .. }) => {
            let mut words = status.to_string();
            if !code.is_empty() {
                words = format!("{words} {code}");
            }
            if !message.is_empty() {
                // A message may name 500 ids; the journal has them in the call.
                let cut: String = message.chars().take(300).collect();
                words = format!("{words}: {cut}");
            }
            match request_id {
                Some(request_id) => format!("{words} (request {request_id})"),
                None => words,
            }
        }
    }
}
