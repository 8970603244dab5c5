//! The run: a plan being applied. Gives the next call, and says when to wait, re-read or stop.
//!
//! `answer` judges replies; `changes`, `queue` and `budget` keep devices, items and windows.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::plan::calls::{self, TagLane};
use crate::plan::{Lane, Plan, SafePlan};
use crate::service::ServiceObservations;
use crate::time::Timestamp;

use super::budget::Budget;
use super::changes::{ChangeIndex, Changes, Effect};
use super::held::HeldChanges;
use super::lanes::Lanes;
use super::origins::Origins;
use super::queue::{ItemChanges, ItemIndex, ItemKind, Queue, Queues, WorkItem};
use super::retry::Jitter;
use super::routes::{BulkRoute, PatchRoute, SingleRoute};
use super::{Call, CallId, ChangeKey, ChangeOutcome, Entry, Outcome, TagAction, Ticket};

#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// The most calls in flight.
    pub concurrency: usize,
    /// The wait between the last unproven answer and the re-read of the list.
    pub settle: Duration,
    /// How long the list may lag behind an answer.
    pub visibility: Duration,
    /// The most calls that may start.
    pub max_calls: Option<u64>,
    /// Whether the service was measured to name the unknown ids of a bulk call: then the list is checked for them, instead of
    /// sending each alone.
    pub names_unknown: bool,
    /// Whether the service was measured to refuse a bulk call with unknown ids without naming them: then one of two halves
    /// contains them.
    pub hides_unknown: bool,
    /// Chooses random waits; the same seed and replies give the same run.
    pub seed: u64,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            concurrency: 8,
            settle: Duration::from_secs(15),
            visibility: Duration::from_secs(3_600),
            max_calls: None,
            names_unknown: false,
            hides_unknown: false,
            seed: 0,
        }
    }
}

/// Why a run stops before it has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT or SIGTERM.
    Signal,
    /// `--max-duration`.
    Deadline,
    /// `--max-calls`.
    CallLimit,
    /// Another process may write to the tenant now.
    LeaseLost,
}

impl StopReason {
    /// The end of the sentence "stopped by …".
    pub fn phrase(self) -> &'static str {
        match self {
            StopReason::Signal => "a signal",
            StopReason::Deadline => "the time limit (--max-duration)",
            StopReason::CallLimit => "the call limit (--max-calls)",
            StopReason::LeaseLost => "the loss of its lease on the tenant",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Journal the intent, then send this call. Its slot is taken.
    Send(CallId, Call),
    /// Nothing to send before this moment, unless a reply arrives.
    WaitUntil(Timestamp),
    /// Nothing to send until a reply (or the re-read in progress) arrives.
    AwaitReply,
    /// Read the list again and pass it to [`Run::verify`]; ask for the next step meanwhile.
    Verify,
    Finished,
}

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Changes of the plan.
    pub changes: u64,
    /// Number of these that have ended.
    pub ended: u64,
    /// Calls started by this process.
    pub calls: u64,
    /// Calls without an answer yet.
    pub in_flight: u64,
}

#[derive(Clone, Debug)]
pub(super) struct CallInFlight {
    pub(super) item: ItemIndex,
    pub(super) members: Vec<ChangeIndex>,
    pub(super) lane: Lane,
    pub(super) ticket: Ticket,
    /// Devices that it keeps busy.
    pub(super) devices: Vec<u32>,
}

pub struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) options: RunOptions,
    pub(super) changes: Changes<'p>,
    pub(super) queues: Queues,
    pub(super) lanes: Lanes,
    pub(super) bulk: BulkRoute,
    pub(super) single: SingleRoute,
    /// Tags, with the action, that the service accepted for some device.
    pub(super) taken: HashSet<(u32, TagAction)>,
    /// Devices and tags that the plan saw and that the answer to a removal no longer showed.
    pub(super) missing: BTreeSet<(u32, u32)>,
    /// By index in the plan; empty if nothing is known.
    onboarded: Vec<bool>,
    pub(super) held: HeldChanges,
    pub(super) patch: PatchRoute,
    pub(super) origins: Option<&'p Origins>,
    pub(super) flights: HashMap<CallId, CallInFlight>,
    pub(super) busy: Vec<bool>,
    pub(super) jitter: Jitter,
    /// Calls started by this process.
    pub(super) calls: u64,
    /// The highest call number of earlier processes.
    pub(super) first_call: u64,
    pub(super) stopped: Option<StopReason>,
    pub(super) entries: Vec<Entry>,
    /// The time at which the re-read in progress was requested.
    pub(super) verifying: Option<Timestamp>,
    /// What answers showed about the service in passing.
    pub(super) sightings: ServiceObservations,
    /// Outcomes from before this process, of changes that are not in its plan.
    pub(super) settled: BTreeMap<ChangeKey, ChangeOutcome>,
    /// Changes of the plan.
    planned: u64,
}

impl<'p> Run<'p> {
    /// A run of a plan. `journal`: the entries of earlier processes of this run. Changes that they ended are not sent again,
    /// except those not attempted or with an unknown outcome.
    pub fn new(plan: &'p SafePlan, journal: &[Entry], options: RunOptions, now: Timestamp) -> Run<'p> {
        let (tight, plan) = (plan.tight(), plan.plan());
        let mut run = Run {
            plan,
            options,
            changes: Changes::new(plan, now),
            queues: Queues::default(),
            lanes: Lanes::default(),
            bulk: BulkRoute::default(),
            single: SingleRoute::default(),
            taken: HashSet::new(),
            missing: BTreeSet::new(),
            onboarded: Vec::new(),
            held: HeldChanges::default(),
            patch: PatchRoute::new(
                plan.changes.iter().any(|change| change.value.is_some() && !change.add.is_empty()),
            ),
            origins: None,
            flights: HashMap::new(),
            busy: vec![false; plan.changes.len()],
            jitter: Jitter::new(options.seed),
            calls: 0,
            first_call: 0,
            stopped: None,
            entries: Vec::new(),
            verifying: None,
            sightings: ServiceObservations::default(),
            settled: BTreeMap::new(),
            planned: 0,
        };
        run.planned = u64::from(run.changes.len());
        run.hold(tight, journal);
        run.build_items();
        run.resume(journal);
        run.changes.release_first();
        run
    }

    fn build_items(&mut self) {
        let work = calls::work(self.plan, &self.plan.header.options);
        for device in work.combined {
            let members: Vec<u32> = self.changes.of_device(device).collect();
            let kind = ItemKind::Combined { list: None, has_written: false };
            let blockers = self.held_among(&members);
            let mut item =
                WorkItem::new(kind, Queue::Read, self.priority_of(device), ItemChanges::from(members));
            item.blockers = blockers;
            self.add_item(item);
        }
        for call in work.tags {
            let find = |device: &u32| self.changes.planned_tag(*device, call.tag.0);
            let members: Vec<u32> = call.devices.iter().filter_map(find).collect();
            let kind = ItemKind::Tags { tag: call.tag.0, action: call.action };
            let queue = match work.tag_lane {
                TagLane::Bulk => Queue::Bulk,
                TagLane::Single => Queue::Single,
            };
            let mut item = WorkItem::new(kind, queue, call.priority, ItemChanges::from(members));
            item.blockers = self.held_among(item.members.as_slice());
            if call.action == TagAction::Remove {
                item.blockers = item.members.as_slice().len() as u32;
                item.is_last = item.members.as_slice().iter().any(|change| self.changes.get(*change).is_twin);
            }
            self.add_item(item);
        }
        for value in work.values {
            let Some(change) = self.changes.of_device(value.device).last() else { continue };
            let Effect::Value(to) = self.changes.get(change).what else { continue };
            let mut item =
                WorkItem::new(ItemKind::Value(to), Queue::Value, value.priority, ItemChanges::One(change));
            item.blockers = self.held_among(&[change]);
            self.add_item(item);
        }
    }

    fn priority_of(&self, device: u32) -> i64 {
        let change = &self.plan.changes[device as usize];
        let tags = change.tag_changes().map(|(_, _, cause)| cause);
        let causes = tags.chain(change.value.map(|value| value.cause));
        let causes = causes.filter_map(|cause| self.plan.causes.get(cause.0 as usize));
        causes.map(|cause| calls::priority(self.plan, cause)).max().unwrap_or(0)
    }

    fn held_among(&self, members: &[ChangeIndex]) -> u32 {
        members.iter().filter(|change| self.changes.get(**change).is_held).count() as u32
    }

    fn add_item(&mut self, item: WorkItem) {
        let is_ready = item.blockers == 0;
        let index = self.queues.push(item);
        for place in 0..self.queues.item(index).members.as_slice().len() {
            let member = self.queues.item(index).members.as_slice()[place];
            self.changes.set_item(member, index);
        }
        if is_ready {
            self.queues.enqueue(index);
        }
    }

    /// Sets which devices are onboarded: they come first where single devices are tried for others.
    pub fn know_onboarded(&mut self, is_onboarded: &dyn Fn(&str) -> bool) {
        self.onboarded = self.plan.changes.iter().map(|change| is_onboarded(&change.id)).collect();
    }

    pub(super) fn is_onboarded(&self, device: u32) -> bool {
        self.onboarded.get(device as usize).copied().unwrap_or(false)
    }

    /// Ends changes that were decided before the run: stale, noop, or withheld ones of the reviewed plan. They count in
    /// [`Run::counts`]. Returns the entry to journal.
    pub fn settle(&mut self, outcomes: Vec<ChangeOutcome>, now: Timestamp) -> Vec<Entry> {
        if outcomes.is_empty() {
            return Vec::new();
        }
        for outcome in &outcomes {
            self.settled.insert(outcome.key.clone(), outcome.clone());
        }
        vec![Entry::Ended { at: now, ended: outcomes }]
    }

    /// Starts no further call. Calls in flight may still be answered.
    pub fn stop(&mut self, reason: StopReason) {
        self.stopped.get_or_insert(reason);
    }

    /// Why the run was stopped early, if it was.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }

    /// Lanes that were given up, and why.
    pub fn given_up(&self, budget: &Budget) -> Vec<(Lane, String)> {
        let reason = |lane: Lane| self.lanes.given_up(lane, budget).map(|reason| (lane, reason.to_owned()));
        Lane::ALL.into_iter().filter_map(reason).collect()
    }

    /// Number of changes by outcome, in the order of [`Outcome::ALL`], including changes settled before the run.
    pub fn counts(&self) -> [u64; Outcome::ALL.len()] {
        let mut counts = self.changes.counts();
        for settled in self.settled.values() {
            counts[settled.outcome as usize] += 1;
        }
        counts
    }

    /// The outcome of each change: those of the plan in its order, then those settled before the run. Complete when the run is
    /// [`Step::Finished`].
    pub fn outcomes(&self) -> impl Iterator<Item = ChangeOutcome> {
        let planned = (0..self.changes.len()).filter(|index| !self.changes.get(*index).is_repair);
        planned.filter_map(|index| self.changes.outcome(index)).chain(self.settled.values().cloned())
    }

    /// The intent entry of a call from [`Run::next`].
    pub fn intent(&self, call: CallId, request: Call, at: Timestamp) -> Entry {
        let device = match &request {
            Call::SetValue { device, .. } | Call::Update { device, value: Some(_), .. } => Some(device),
            _ => None,
        };
        let find = |id: &Arc<str>| self.plan.changes.binary_search_by(|change| change.id.cmp(id)).ok();
        let value_was = device.and_then(find).map(|row| {
            let seen = &self.plan.changes[row].observed_value;
            seen.clone().unwrap_or_default()
        });
        Entry::Intent { call, at, request, value_was }
    }

    /// Tags that the service lost and the run put back, or tried to.
    pub fn repairs(&self) -> impl Iterator<Item = ChangeOutcome> {
        let repairs = (0..self.changes.len()).filter(|index| self.changes.get(*index).is_repair);
        repairs.filter_map(|index| self.changes.outcome(index))
    }

    /// The run's observations of the service.
    pub fn sightings(&self) -> &ServiceObservations {
        &self.sightings
    }

    /// The progress of the run.
    pub fn progress(&self) -> Progress {
        let counts = self.changes.counts();
        Progress {
            changes: self.planned,
            ended: counts.iter().sum(),
            calls: self.calls,
            in_flight: self.flights.len() as u64,
        }
    }
}
