//! Engine and service under one virtual clock: plays a run to its end, or to a chosen journal entry.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::budget::{Budget, Limits};
use mdetag_core::apply::resume::{LostTag, is_final, lost_tags};
use mdetag_core::apply::{
    Call, CallId, ChangeKey, ChangeOutcome, ChangeWhat, Entry, Outcome, Reply, Run, RunOptions, Step,
};
use mdetag_core::apply::{DeviceState, TagAction};
use mdetag_core::diagnostic::Sources;
use mdetag_core::plan::guard::Allowance;
use mdetag_core::plan::{Plan, SafePlan, stale};
use mdetag_core::policy::{Axis, Guard};
use mdetag_core::time::Timestamp;

use super::service::{Fate, Service};

/// The next event of a call.
#[derive(Clone, Debug)]
enum Event {
    Arrives(Call),
    Answers(Reply),
    IsReread,
}

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) now: Timestamp,
    pub(crate) budget: Budget,
    pub(crate) journal: Vec<Entry>,
    /// Each call and when it started.
    pub(crate) sent: Vec<(Timestamp, Call)>,
    events: BinaryHeap<Reverse<(Timestamp, u64)>>,
    payload: HashMap<u64, (CallId, Event)>,
    next_event: u64,
    in_flight: BTreeMap<CallId, BTreeSet<Arc<str>>>,
    confirmed: BTreeSet<ChangeKey>,
}

/// A plan that passed a guard without limits.
pub(crate) fn safe(plan: Plan) -> SafePlan {
    let any = Axis::ALL.map(|axis| Allowance { axis, tag: None, max: u64::MAX });
    SafePlan::new(plan, &Guard::default(), &any, &Sources::default()).expect("everything is allowed")
}

impl World {
    pub(crate) fn new(service: Service, limits: Limits, seed: u64) -> World {
        World {
            service,
            now: Timestamp::from_seconds(1_800_000_000),
            budget: Budget::new(limits, seed),
            journal: Vec::new(),
            sent: Vec::new(),
            events: BinaryHeap::new(),
            payload: HashMap::new(),
            next_event: 0,
            in_flight: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    fn at(&mut self, moment: Timestamp, call: CallId, event: Event) {
        self.next_event += 1;
        self.events.push(Reverse((moment, self.next_event)));
        self.payload.insert(self.next_event, (call, event));
    }

    fn delay(&mut self) -> Duration {
        let slowest = self.service.faults.slowest.max(2);
        Duration::from_millis(1 + self.service.random.number() % (slowest / 2))
    }

    /// Journals entries; returns whether the run is killed here.
    pub(crate) fn write(&mut self, entries: Vec<Entry>, kill_at: usize) -> bool {
        for entry in entries {
            for ended in entry.ended() {
                if matches!(ended.outcome, Outcome::Done | Outcome::Noop) {
                    self.confirmed.insert(ended.key.clone());
                }
            }
            self.journal.push(entry);
            if self.journal.len() >= kill_at {
                return true;
            }
        }
        false
    }

    fn check_call(&mut self, id: CallId, call: &Call) {
        let devices: BTreeSet<Arc<str>> = call.devices().iter().cloned().collect();
        assert_eq!(devices.len(), call.devices().len(), "a device is named once");
        assert!((1..=500).contains(&devices.len()));
        for (other, theirs) in &self.in_flight {
            assert!(theirs.is_disjoint(&devices), "{id:?} and {other:?} share a device");
        }
        for key in keys(call) {
            assert!(
                !self.confirmed.contains(&key) || self.is_repair(&key) || self.asks_route(call),
                "{key:?} is confirmed and sent again"
            );
        }
        self.in_flight.insert(id, devices);
    }

    /// A bulk call with one device, after a single call worked for it.
    fn asks_route(&self, call: &Call) -> bool {
        let Call::BulkTag { devices, .. } = call else { return false };
        let is_single =
            |sent: &Call| matches!(sent, Call::SingleTag { device, .. } if devices[..] == [device.clone()]);
        self.sent.iter().any(|(_, sent)| is_single(sent))
    }

    fn is_repair(&self, key: &ChangeKey) -> bool {
        let ChangeWhat::Add(tag) = &key.what else { return false };
        self.journal.iter().any(|entry| {
            matches!(entry, Entry::Repair { device, tag: own, .. } if *device == key.device && own == tag)
        })
    }

    /// Plays a run until it is finished; `false`: killed at journal entry number `kill_at`.
    pub(crate) fn play(&mut self, run: &mut Run<'_>, kill_at: usize) -> bool {
        loop {
            let step = run.next(self.now, &mut self.budget);
            let entries = run.drain();
            if self.write(entries, kill_at) {
                return false;
            }
            match step {
                Step::Send(id, call) => {
                    self.check_call(id, &call);
                    let intent = run.intent(id, call.clone(), self.now);
                    if self.write(vec![intent], kill_at) {
                        return false;
                    }
                    self.sent.push((self.now, call.clone()));
                    let arrival = self.now.plus(self.delay());
                    self.at(arrival, id, Event::Arrives(call));
                }
                Step::WaitUntil(moment) => {
                    assert!(moment > self.now, "waiting makes progress");
                    if !self.turn(run, Some(moment), kill_at) {
                        return false;
                    }
                }
                Step::AwaitReply => {
                    assert!(!self.events.is_empty(), "the run waits for a reply that cannot come");
                    if !self.turn(run, None, kill_at) {
                        return false;
                    }
                }
                Step::Verify => {
                    let moment = self.now.plus(Duration::from_secs(2));
                    self.at(moment, CallId(0), Event::IsReread);
                }
                Step::Finished => return true,
            }
        }
    }

    /// Lets the next event happen, at most until a moment; `false`: killed.
    fn turn(&mut self, run: &mut Run<'_>, until: Option<Timestamp>, kill_at: usize) -> bool {
        let Some(Reverse((moment, number))) = self.events.peek().copied() else {
            self.now = until.expect("something happens or time passes");
            return true;
        };
        if until.is_some_and(|until| until < moment) {
            self.now = until.expect("just tested");
            return true;
        }
        self.events.pop();
        self.now = moment;
        let (id, event) = self.payload.remove(&number).expect("every event has its payload");
        let entries = match event {
            Event::Arrives(call) => {
                let silence = self.now.plus(Duration::from_secs(100));
                match self.service.receive(&call, self.now) {
                    Fate::Answer(reply) => {
                        let is_bulk = matches!(call, Call::BulkTag { .. });
                        let slow = if is_bulk { self.service.faults.slow_bulk } else { 0 };
                        let moment = self.now.plus(self.delay()).plus(Duration::from_millis(slow));
                        self.at(moment, id, Event::Answers(reply));
                    }
                    Fate::Silence => {
                        let detail = "timed out after 100 s".to_owned();
                        self.at(silence, id, Event::Answers(Reply::Lost { detail, maybe_sent: true }));
                    }
                }
                return true;
            }
            Event::Answers(reply) => {
                self.in_flight.remove(&id);
                run.reply(id, reply, self.now, &mut self.budget)
            }
            Event::IsReread => {
                let now = self.now;
                let service = std::cell::RefCell::new(&mut self.service);
                let observed =
                    |id: &str| -> Option<DeviceState> { service.borrow_mut().listed_again(id, now) };
                run.verify(&observed, true, now)
            }
        };
        !self.write(entries, kill_at)
    }

    /// The process is gone: calls in flight arrive or not, nobody gets the answers, an hour may pass.
    pub(crate) fn crash(&mut self) {
        let mut events: Vec<_> =
            std::mem::take(&mut self.events).into_iter().map(|Reverse(event)| event).collect();
        events.sort();
        for (moment, number) in events {
            if let Some((_, Event::Arrives(call))) = self.payload.remove(&number)
                && !self.service.random.number().is_multiple_of(2)
            {
                let _ = self.service.receive(&call, moment);
                self.now = self.now.max(moment);
            }
        }
        self.payload.clear();
        self.in_flight.clear();
        self.now = self.now.plus(Duration::from_millis(1 + self.service.random.number() % 30_000));
    }

    /// Tags that calls without an answer removed by accident.
    pub(crate) fn lost(&mut self, plan: &Plan) -> Vec<LostTag> {
        let (now, service) = (self.now, std::cell::RefCell::new(&mut self.service));
        lost_tags(plan, &self.journal, &|id| service.borrow_mut().listed_again(id, now))
    }

    /// The remaining work of a resumed run: the plan without changes that the list already shows. Also returns the settled
    /// changes.
    pub(crate) fn rest(&mut self, plan: &Plan) -> (Plan, Vec<ChangeOutcome>) {
        let ended: BTreeSet<ChangeKey> = self
            .journal
            .iter()
            .flat_map(Entry::ended)
            .filter(|ended| is_final(ended.outcome))
            .map(|ended| ended.key.clone())
            .collect();
        let mut settled = Vec::new();
        let mut rest = plan.clone();
        for change in &mut rest.changes {
            let Some(listed) = self.service.listed(&change.id, self.now) else {
                let open = stale::keys(plan, change).filter(|key| !ended.contains(key));
                let error = Some("its device is out of sight".to_owned());
                settled.extend(open.map(|key| ChangeOutcome {
                    key,
                    outcome: Outcome::Stale,
                    error: error.clone(),
                }));
                change.add.clear();
                change.remove.clear();
                change.value = None;
                continue;
            };
            let tag = |index: mdetag_core::plan::TagIndex| plan.tags[index.0 as usize].clone();
            let mut keep = |what: ChangeWhat, is_so: bool| {
                let key = ChangeKey { device: change.id.clone(), what };
                if ended.contains(&key) {
                    // A plan from a fresh list has no change that the list already shows.
                    return !is_so;
                }
                if is_so {
                    settled.push(ChangeOutcome { key, outcome: Outcome::Done, error: None });
                }
                !is_so
            };
            change.add.retain(|add| keep(ChangeWhat::Add(tag(add.tag)), listed.tags.contains(&tag(add.tag))));
            change
                .remove
                .retain(|own| keep(ChangeWhat::Remove(tag(own.tag)), !listed.tags.contains(&tag(own.tag))));
            change.value = change.value.filter(|value| {
                keep(ChangeWhat::Value(value.to), listed.value.as_deref() == Some(value.to.word()))
            });
            // A fresh plan has the tags of the fresh list.
            change.observed_tags = listed
                .tags
                .iter()
                .filter_map(|own| {
                    plan.tags
                        .iter()
                        .position(|tag| tag == own)
                        .map(|place| mdetag_core::plan::TagIndex(place as u32))
                })
                .collect();
        }
        rest.changes
            .retain(|change| !change.add.is_empty() || !change.remove.is_empty() || change.value.is_some());
        (rest, settled)
    }

    pub(crate) fn options(&self, seed: u64) -> RunOptions {
        // Every third run believes that unknown ids are hidden, rightly or not.
        RunOptions { seed, hides_unknown: seed.is_multiple_of(3), ..RunOptions::default() }
    }
}

/// The changes that a call makes; a combined `PATCH` is compared by its value only.
fn keys(call: &Call) -> Vec<ChangeKey> {
    let what = |tag: &Arc<str>, action: TagAction| match action {
        TagAction::Add => ChangeWhat::Add(tag.clone()),
        TagAction::Remove => ChangeWhat::Remove(tag.clone()),
    };
    let what = match call {
        Call::BulkTag { tag, action, .. } | Call::SingleTag { tag, action, .. } => what(tag, *action),
        Call::SetValue { value, .. } | Call::Update { value: Some(value), .. } => ChangeWhat::Value(*value),
        Call::Update { .. } | Call::Get { .. } => return Vec::new(),
    };
    call.devices().iter().map(|device| ChangeKey { device: device.clone(), what: what.clone() }).collect()
}
