//! Shows a run while it runs, and collects its data for the report.
//!
//! `report::progress` has the words.

use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::{Entry, Progress};
use mdetag_core::plan::Lane;
use mdetag_core::report::progress::{self, Applying};
use mdetag_core::time::{Clock, Timestamp};

use super::drive::DriveEvent;
use super::progress::Meter;
use super::run_inputs::RunInputs;
use super::session::Session;

/// The display of a run in progress.
pub struct RunDisplay<'a> {
    pub meter: Meter,
    session: &'a Session,
    /// Remaining calls of the schedule, by lane. A fallback moves calls to a lane that the schedule lacks.
    lanes: Vec<(Lane, u64)>,
    clock: Arc<dyn Clock>,
    failed: u64,
    pub notes: Vec<String>,
    sent: std::collections::VecDeque<Timestamp>,
    /// Tags that calls removed by accident, and whether they are back.
    pub repairs: Vec<Entry>,
    pub calls: u64,
    /// The time of the last answer.
    pub last: Timestamp,
    /// The earliest time of the last call within the limits, and when it was computed.
    least: Option<(Timestamp, Timestamp)>,
}

impl<'a> RunDisplay<'a> {
    pub fn new(inputs: &RunInputs<'a>, start: Timestamp) -> RunDisplay<'a> {
        let plan = inputs.safe.plan();
        let (additions, removals, values) = plan.counts();
        RunDisplay {
            meter: Meter::start(&inputs.context.console, additions + removals + values),
            session: inputs.session,
            lanes: plan.schedule.lanes.iter().map(|cost| (cost.lane, cost.calls)).collect(),
            clock: inputs.session.ledger.clock().clone(),
            failed: 0,
            notes: Vec::new(),
            repairs: Vec::new(),
            sent: std::collections::VecDeque::new(),
            calls: 0,
            last: start,
            least: None,
        }
    }

    pub fn show(&mut self, event: DriveEvent<'_>, progress: Progress) {
        let now = self.clock.now();
        let mut wait = None;
        match event {
            DriveEvent::Entry(entry) => self.take(entry, now),
            DriveEvent::Waiting(until) => wait = until.map(|until| until.since(now)),
        }
        if let Some(left) = wait {
            self.meter.wait(left, || self.reason(now.plus(left), now));
        }
        let minute = self.session.scaled(Duration::from_secs(60));
        while self.sent.front().is_some_and(|sent| now.since(*sent) >= minute) {
            self.sent.pop_front();
        }
        let least = self.least(now);
        let (session, lanes) = (self.session, &self.lanes);
        let (per_minute, failed) = (self.sent.len() as u64, self.failed);
        self.meter.show(progress.ended, || {
            let left = session.ledger.with(|budget, now| {
                let of_lane = |(lane, _): &(Lane, u64)| budget.left(*lane, now);
                lanes.iter().map(of_lane).map(|(left, of)| (u64::from(left), u64::from(of))).min()
            });
            progress::applying(&Applying {
                ended: progress.ended,
                changes: progress.changes,
                failed,
                per_minute,
                left,
                wait,
                least,
            })
        });
    }

    /// Why the run waits until a moment.
    fn reason(&self, until: Timestamp, now: Timestamp) -> String {
        let wait = self.session.ledger.with(|budget, now| {
            let waits = Lane::ALL.into_iter().filter_map(|lane| budget.wait(lane, now));
            waits.into_iter().find(|wait| now.plus(wait.span) == until)
        });
        match wait {
            Some(wait) => progress::waiting(&wait, now),
            None => {
                progress::waiting_for(until.since(now), "a call is tried again, or the list read again", now)
            }
        }
    }

    /// The shortest time until the last call may start. Computed once a second, because it visits every remaining call.
    fn least(&mut self, now: Timestamp) -> Option<Duration> {
        let is_stale = self.least.is_none_or(|(_, at)| now.since(at) >= Duration::from_secs(1));
        if is_stale {
            let lanes = &self.lanes;
            let end = self.session.ledger.with(|budget, now| {
                lanes.iter().map(|(lane, calls)| budget.earliest(*lane, *calls, now)).max()
            });
            self.least = end.map(|end| (end, now));
        }
        self.least.map(|(end, _)| end.since(now))
    }

    fn take(&mut self, entry: &Entry, now: Timestamp) {
        self.failed += entry.ended().iter().filter(|ended| ended.outcome.is_bad()).count() as u64;
        match entry {
            Entry::Intent { request, .. } => {
                self.sent.push_back(now);
                self.calls += 1;
                if let Some((_, left)) = self.lanes.iter_mut().find(|(lane, _)| *lane == request.lane()) {
                    *left = left.saturating_sub(1);
                }
            }
            Entry::Reply { .. } => self.last = now,
            Entry::Note { text, .. } => {
                self.meter.say(text);
                self.notes.push(text.clone());
            }
            Entry::Repair { .. } => self.repairs.push(entry.clone()),
            Entry::Wave { .. } | Entry::Ended { .. } | Entry::Canary { .. } => {}
        }
    }
}
