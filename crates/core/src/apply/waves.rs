//! Waves: which one is written next, what the gates between them decide, and when the next may start.
//!
//! Everything follows from the journal, so a resumed run decides like the interrupted one. Sends nothing: one wave is one
//! [`super::Run`] of a part of the plan.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::plan::waves::wave_of;
use crate::plan::{ChangeKey, DeviceChange, Plan, PlannedWaves, stale};
use crate::policy::Percent;
use crate::time::Timestamp;

use super::gates::Gates;
use super::resume::is_final;
use super::{ChangeOutcome, DeviceState, Entry, Gate, Halt, Outcome, WaveEvent};

/// The fewest devices that say something about a wave, unless they are all of it.
const FEWEST: u64 = 3;

/// The most devices in one journal line.
const LINE: usize = 10_000;

/// The most devices that a failed gate names.
const NAMED: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaveStep {
    /// Write the remaining changes of the waves above `after` up to `wave`.
    Write {
        /// The last wave to write.
        wave: u32,
        /// The wave before the first one to write.
        after: u32,
    },
    /// Read the list again, and pass it to [`Waves::inspect`].
    Inspect,
    /// The next wave may not start before this moment.
    WaitUntil(Timestamp),
    /// A gate failed: only a person lets the next wave start.
    Halted(Halt),
    /// A person or a revert ended the rollout, for this reason.
    Closed(String),
    Finished,
}

/// The list, as read again between two waves.
pub struct GateRead<'a> {
    pub asked: Timestamp,
    /// Whether a device's absence proves anything.
    pub is_trusted: bool,
    /// The device with an id, if the list has it.
    pub observed: &'a dyn Fn(&str) -> Option<DeviceState>,
    /// Whether a device meets the policy's `health`.
    pub is_ill: &'a dyn Fn(&str) -> bool,
}

/// The id of a device of the plan.
type DeviceId<'p> = &'p Arc<str>;

/// The result of a device at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Good,
    Failed,
    Bounced,
    /// The service rejected this device alone, which says nothing about the wave.
    Refused,
    /// Gone, or nothing had to be written.
    Apart,
}

/// A rollout in progress.
pub struct Waves<'p> {
    whole: &'p Plan,
    waves: &'p PlannedWaves,
    /// Waves that still have changes on the current list.
    open: BTreeSet<u32>,
    gates: Gates,
    /// The last outcome of each change, and when an answer confirmed it.
    outcomes: HashMap<ChangeKey, (ChangeOutcome, Option<Timestamp>)>,
    /// The last wave that was started; 0 before the first.
    current: u32,
    is_ended: bool,
    is_passed: bool,
    has_work_left: bool,
    not_before: Option<Timestamp>,
    ill_before: HashSet<Arc<str>>,
    /// The gate that the current wave failed. It stays failed even if the devices recover: only a person can pass it.
    halted: Option<Halt>,
    /// The current list may be incomplete.
    is_doubted: bool,
    closed: Option<String>,
}

impl<'p> Waves<'p> {
    /// A rollout from its journal; `None` if the plan has no waves. `rest` is the remainder of `whole` on the current list.
    pub fn new(whole: &'p Plan, rest: &Plan, gates: Gates, journal: &[Entry]) -> Option<Waves<'p>> {
        let waves = whole.rollout.as_ref().filter(|waves| !waves.waves.is_empty())?;
        let mut rollout = Waves {
            whole,
            waves,
            open: rest.changes.iter().filter_map(|change| wave_of(whole, &change.id)).collect(),
            gates,
            outcomes: HashMap::new(),
            current: 0,
            is_ended: false,
            is_passed: false,
            has_work_left: false,
            not_before: None,
            ill_before: HashSet::new(),
            halted: None,
            is_doubted: false,
            closed: None,
        };
        rollout.learn(journal);
        if rollout.current == 0 && rollout.open.is_empty() {
            return None;
        }
        rollout.has_work_left = rest.changes.iter().any(|change| {
            let is_started = wave_of(whole, &change.id).is_some_and(|wave| wave <= rollout.current);
            is_started && stale::keys(rest, change).any(|key| !rollout.is_final(&key))
        });
        Some(rollout)
    }

    fn is_final(&self, key: &ChangeKey) -> bool {
        self.outcomes.get(key).is_some_and(|(ended, _)| is_final(ended.outcome))
    }

    /// Adds the journal's newer entries.
    pub fn learn(&mut self, entries: &[Entry]) {
        for entry in entries {
            let confirmed = matches!(entry, Entry::Reply { .. }).then(|| entry.at());
            for ended in entry.ended() {
                self.outcomes.insert(ended.key.clone(), (ended.clone(), confirmed));
            }
            if let Entry::Wave { wave, event, .. } = entry {
                self.learn_event(*wave, event);
            }
        }
    }

    fn learn_event(&mut self, wave: u32, event: &WaveEvent) {
        match event {
            WaveEvent::Started { ill } => {
                if wave > self.current {
                    self.current = wave;
                    (self.is_ended, self.is_passed, self.not_before) = (false, false, None);
                    self.ill_before.clear();
                    self.halted = None;
                }
                self.ill_before.extend(ill.iter().cloned());
            }
            WaveEvent::Ended { not_before } if wave == self.current => {
                (self.is_ended, self.not_before) = (true, Some(*not_before));
            }
            WaveEvent::Halted(halt) if wave == self.current => self.halted = Some(halt.clone()),
            WaveEvent::Passed { reason } if wave == self.current => {
                self.halted = self.halted.take().filter(|_| reason.is_none());
                self.is_passed = self.halted.is_none();
            }
            WaveEvent::Closed { reason } => self.closed = Some(reason.clone()),
            _ => {}
        }
    }

    /// The last wave that was started; 0 before the first.
    pub fn current(&self) -> u32 {
        self.current
    }

    pub fn next(&self, now: Timestamp) -> WaveStep {
        if let Some(reason) = &self.closed {
            return WaveStep::Closed(reason.clone());
        }
        if let Some(halt) = &self.halted {
            return WaveStep::Halted(halt.clone());
        }
        if self.current > 0 && (!self.is_ended || self.has_work_left) {
            return WaveStep::Write { wave: self.current, after: 0 };
        }
        let Some(wave) = self.following() else { return WaveStep::Finished };
        if self.current == 0 || self.is_passed {
            // An incomplete list says nothing about devices of a wave that it does not show.
            return match self.open.contains(&wave) {
                true => WaveStep::Write { wave, after: self.current },
                false => WaveStep::Finished,
            };
        }
        if let Some(halt) = self.judge() {
            return WaveStep::Halted(halt);
        }
        match self.not_before {
            Some(moment) if now < moment => WaveStep::WaitUntil(moment),
            _ => WaveStep::Inspect,
        }
    }

    /// The next wave that has, or may have, remaining changes.
    fn following(&self) -> Option<u32> {
        if self.is_doubted {
            return (self.current < self.waves.last()).then_some(self.current + 1);
        }
        self.open.range(self.current + 1..).next().copied()
    }

    /// Marks the current list as possibly incomplete: devices of a wave that it does not show do not end the rollout.
    pub fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Whether the last wave was started.
    pub fn is_over(&self) -> bool {
        self.current == self.waves.last()
    }

    /// Nothing is left of the later waves: returns the entries that close the rollout.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Entry> {
        if self.is_over() || self.following().is_some() {
            return Vec::new();
        }
        let event = WaveEvent::Started { ill: Vec::new() };
        let said = vec![Entry::Wave { at: now, wave: self.waves.last(), event }];
        self.learn(&said);
        said
    }

    /// The entries before the first call of a wave: which of its devices are already sick.
    pub fn start(&mut self, wave: u32, is_ill: &dyn Fn(&str) -> bool, now: Timestamp) -> Vec<Entry> {
        if wave <= self.current {
            return Vec::new();
        }
        let ids = self.devices(wave).map(|change| change.id.clone());
        let ill: Vec<Arc<str>> = ids.filter(|id| is_ill(id)).collect();
        let mut lines: Vec<Vec<Arc<str>>> = ill.chunks(LINE).map(<[_]>::to_vec).collect();
        if lines.is_empty() {
            lines.push(Vec::new());
        }
        let event = |ill| Entry::Wave { at: now, wave, event: WaveEvent::Started { ill } };
        let entries: Vec<Entry> = lines.into_iter().map(event).collect();
        self.learn(&entries);
        entries
    }

    /// The entries after the last call of a wave; `entries` is the journal of its run.
    pub fn end(&mut self, entries: &[Entry], is_stopped: bool, now: Timestamp) -> Vec<Entry> {
        self.learn(entries);
        if is_stopped {
            return Vec::new();
        }
        self.has_work_left = false;
        let is_last = self.following().is_none();
        let mut said = self.finish(now);
        let (wave, wait) = (self.current, if is_last { Duration::ZERO } else { self.gates.wait });
        let not_before = if wait.is_zero() { now } else { now.plus(wait).rounded_up() };
        let ended = [Entry::Wave { at: now, wave, event: WaveEvent::Ended { not_before } }];
        self.learn(&ended);
        said.extend(ended);
        if let Some(halt) = self.judge().filter(|_| !self.is_passed && !is_last) {
            said.push(Entry::Wave { at: now, wave, event: WaveEvent::Halted(halt) });
        }
        said
    }

    /// Judges the wave by a fresh read, or by the reason why there is none. The entries say whether the next may start.
    pub fn inspect(&mut self, read: Result<&GateRead<'_>, &str>, now: Timestamp) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Ok(read) = read {
            let ended = self.bounced(read);
            if !ended.is_empty() {
                entries.push(Entry::Ended { at: now, ended });
                self.learn(&entries);
            }
        }
        let wave = self.current;
        let event = match self.judge().or_else(|| self.health(read)) {
            Some(halt) => WaveEvent::Halted(halt),
            None => WaveEvent::Passed { reason: None },
        };
        let said = [Entry::Wave { at: now, wave, event }];
        self.learn(&said);
        entries.extend(said);
        entries
    }

    /// A person lets the next wave start.
    pub fn pass(&mut self, reason: String, now: Timestamp) -> Vec<Entry> {
        let event = WaveEvent::Passed { reason: Some(reason) };
        let entries = vec![Entry::Wave { at: now, wave: self.current, event }];
        self.learn(&entries);
        entries
    }

    fn devices(&self, wave: u32) -> impl Iterator<Item = &'p DeviceChange> + use<'p> {
        let places = self.whole.changes.iter().zip(&self.waves.of);
        places.filter(move |(_, of)| **of == wave).map(|(change, _)| change)
    }

    /// The devices of the current wave with their results at its gates, and those that the service refused.
    fn sides(&self) -> (Vec<(DeviceId<'p>, Side)>, Vec<DeviceId<'p>>) {
        let (mut judged, mut refused) = (Vec::new(), Vec::new());
        for change in self.devices(self.current) {
            match self.side(change) {
                Side::Apart => {}
                Side::Refused => refused.push(&change.id),
                side => judged.push((&change.id, side)),
            }
        }
        (judged, refused)
    }

    fn side(&self, change: &DeviceChange) -> Side {
        let keys = stale::keys(self.whole, change);
        let outcomes: Vec<Outcome> =
            keys.filter_map(|key| self.outcomes.get(&key)).map(|(ended, _)| ended.outcome).collect();
        let has = |wanted: &[Outcome]| outcomes.iter().any(|outcome| wanted.contains(outcome));
        let is_aside = has(&[Outcome::Refused, Outcome::Gone]);
        if has(&[Outcome::Failed, Outcome::Unknown]) {
            Side::Failed
        } else if has(&[Outcome::Bounced]) {
            Side::Bounced
        } else if has(&[Outcome::NotAttempted]) && !is_aside {
            // Nothing is known about it, and missing evidence stops a rollout.
            Side::Failed
        } else if has(&[Outcome::Refused]) {
            Side::Refused
        } else if !is_aside && has(&[Outcome::Done, Outcome::Pending, Outcome::Unconfirmed]) {
            Side::Good
        } else {
            Side::Apart
        }
    }

    /// The gate that the outcomes of the current wave fail.
    fn judge(&self) -> Option<Halt> {
        let (judged, refused) = self.sides();
        if judged.is_empty() && !refused.is_empty() {
            return Some(self.halted(Gate::Evidence, refused.len() as u64, &refused, None));
        }
        let on = |side: Side| {
            let devices = judged.iter().filter(|(_, of)| *of == side).map(|(id, _)| *id);
            devices.collect::<Vec<_>>()
        };
        let of = judged.len() as u64;
        self.gate(Gate::Failed, &on(Side::Failed), of, self.gates.failed)
            .or_else(|| self.gate(Gate::Bounced, &on(Side::Bounced), of, self.gates.bounced))
    }

    fn gate(&self, gate: Gate, bad: &[&Arc<str>], of: u64, at_most: Percent) -> Option<Halt> {
        let count = bad.len() as u64;
        let is_above = u128::from(count) * 1_000_000 > u128::from(at_most.units()) * u128::from(of);
        let speaks = count >= FEWEST || count == of;
        (count > 0 && is_above && speaks).then(|| self.halted(gate, of, bad, Some(at_most)))
    }

    fn halted(&self, gate: Gate, of: u64, bad: &[&Arc<str>], at_most: Option<Percent>) -> Halt {
        let devices = bad.iter().take(NAMED).map(|id| (*id).clone()).collect();
        let at_most = at_most.map(|share| share.to_string());
        Halt { wave: self.current, gate, bad: bad.len() as u64, of, at_most, devices }
    }

    /// The halt for devices that are sick or cannot be seen.
    fn health(&self, read: Result<&GateRead<'_>, &str>) -> Option<Halt> {
        let (judged, _) = self.sides();
        let of = judged.len() as u64;
        let read = read.ok().filter(|read| read.is_trusted);
        let Some(read) = read else {
            let all: Vec<&Arc<str>> = judged.iter().map(|(id, _)| *id).collect();
            return (of > 0).then(|| self.halted(Gate::Evidence, of, &all, None));
        };
        let is_unseen = |id: &str| (read.observed)(id).is_none();
        let is_ill = |id: &str| (read.is_ill)(id) && !self.ill_before.contains(id);
        let bad = |is_bad: &dyn Fn(&str) -> bool| {
            judged.iter().map(|(id, _)| *id).filter(|id| is_bad(id)).collect::<Vec<&Arc<str>>>()
        };
        match self.gates.health {
            Some(at_most) => self.gate(Gate::Health, &bad(&|id| is_unseen(id) || is_ill(id)), of, at_most),
            // Missing evidence stops a rollout even without a health check: a device that is not shown is unknown, like a
            // failure.
            None => self.gate(Gate::Evidence, &bad(&is_unseen), of, self.gates.failed),
        }
    }

    /// Changes of the current wave that an answer confirmed longer ago than the list may lag, and that a trusted list does not
    /// show.
    fn bounced(&self, read: &GateRead<'_>) -> Vec<ChangeOutcome> {
        let error = "confirmed by its answer, and undone since: another origin holds it";
        let mut bounced = Vec::new();
        if !read.is_trusted {
            return bounced;
        }
        for change in self.devices(self.current) {
            let Some(state) = (read.observed)(&change.id) else { continue };
            for key in stale::keys(self.whole, change) {
                let Some((ended, Some(confirmed))) = self.outcomes.get(&key) else { continue };
                let is_old = confirmed.plus(self.gates.visibility) <= read.asked;
                if ended.outcome == Outcome::Done && is_old && state.shows(&key.what) == Some(false) {
                    let error = Some(error.to_owned());
                    bounced.push(ChangeOutcome { key, outcome: Outcome::Bounced, error });
                }
            }
        }
        bounced
    }

    /// The outcome of every change of the whole plan: those of waves that were not started are not attempted.
    pub fn outcomes(&self) -> Vec<ChangeOutcome> {
        let mut all = Vec::new();
        for (change, wave) in self.whole.changes.iter().zip(&self.waves.of) {
            for key in stale::keys(self.whole, change) {
                let known = self.outcomes.get(&key).map(|(ended, _)| ended.clone());
                all.push(known.unwrap_or_else(|| ChangeOutcome {
                    key,
                    outcome: Outcome::NotAttempted,
                    error: Some(format!("wave {wave} was not written")),
                }));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests;
