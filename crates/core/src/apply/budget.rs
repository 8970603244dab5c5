//! The budget: when each lane may start a call, so that no window is exceeded, however the service counts.
//!
//! A slot is taken when a call starts, and frees one window after its answer. Whenever the service counted the call, its window
//! has passed by then. Does no I/O; the ledger on disk saves and merges [`SlotRecord`]s.

use std::collections::VecDeque;
use std::time::Duration;

use crate::plan::Lane;
use crate::time::{Timestamp, spoken};

use super::meter::{Admission, LaneWait, Ticket, WaitReason};
use super::retry::{Jitter, LONGEST_CLOSURE, MAX_RETRY_AFTER, MAX_THROTTLES, MIN_WAIT};
use super::slots::{OpenSlot, Reserved, SlotWindows};

pub use super::slots::{RateWindow, SlotRecord};

/// The limits of all lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Calls per minute and lane (documented for each API).
    pub per_minute: u32,
    /// Calls per hour and lane (documented for each API, and for hunting).
    pub per_hour: u32,
    /// Calls per minute on the hunting lane (documented).
    pub hunting_per_minute: u32,
    /// Whether all lanes except hunting share one pair of windows.
    pub shared: bool,
    /// Divides the windows' lengths: 60 turns a minute into a second. Other than 1 only on loopback.
    pub time_scale: f64,
    /// When a call without an answer is given up; its slot frees one window later.
    pub call_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            per_minute: 100,
            per_hour: 1_500,
            hunting_per_minute: 45,
            shared: false,
            time_scale: 1.0,
            call_timeout: Duration::from_secs(100),
        }
    }
}

impl Limits {
    fn windows(&self, lane: Lane) -> [RateWindow; 2] {
        let scaled = |seconds: f64| Duration::from_secs_f64(seconds / self.time_scale.max(1.0e-6));
        let per_minute = if lane == Lane::Hunting { self.hunting_per_minute } else { self.per_minute };
        [
            RateWindow { calls: per_minute.max(1), length: scaled(60.0) },
            RateWindow { calls: self.per_hour.max(1), length: scaled(3_600.0) },
        ]
    }
}

#[derive(Clone, Debug, Default)]
struct LanePatience {
    /// Episodes of 429 in a row, without a successful call between them.
    throttles: u32,
    /// When the last episode started: calls in flight at that time belong to it.
    episode: Option<Timestamp>,
    given_up: Option<String>,
}

/// The windows of all lanes, and the calls in them.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    tracks: Vec<SlotWindows>,
    lanes: [LanePatience; Lane::ALL.len()],
    jitter: Jitter,
    next_slot: u64,
    records: Vec<SlotRecord>,
    /// By track, if other computers use the same windows.
    reserved: Option<Vec<Reserved>>,
}

impl Budget {
    /// An unused budget. `seed` chooses slot numbers and jitter, and must differ between processes.
    pub fn new(limits: Limits, seed: u64) -> Budget {
        let mut jitter = Jitter::new(seed);
        let next_slot = jitter.number();
        let tracks = Lane::ALL.map(|lane| SlotWindows {
            windows: limits.windows(lane),
            answered: VecDeque::new(),
            open: Vec::new(),
            closed_until: None,
        });
        Budget {
            limits,
            tracks: tracks.into(),
            lanes: Default::default(),
            jitter,
            next_slot,
            records: Vec::new(),
            reserved: None,
        }
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The lane whose windows this lane uses.
    pub fn windows_of(&self, lane: Lane) -> Lane {
        Lane::ALL[self.place(lane)]
    }

    fn place(&self, lane: Lane) -> usize {
        if self.limits.shared && lane != Lane::Hunting { Lane::List as usize } else { lane as usize }
    }

    fn track(&mut self, lane: Lane) -> &mut SlotWindows {
        let place = self.place(lane);
        &mut self.tracks[place]
    }

    /// When the next call of a lane may start; `now` if it may start at once. If slots must be reserved and none are, notes that
    /// some are wanted.
    pub fn ready_at(&mut self, lane: Lane, now: Timestamp) -> Timestamp {
        let place = self.place(lane);
        let track = &mut self.tracks[place];
        track.prune(now);
        let ready = track.ready_at(now, 1).0;
        let Some(reserved) = self.reserved.as_mut().map(|all| &mut all[place]) else { return ready };
        if ready > now || reserved.left(now) > 0 {
            return ready;
        }
        // Slots free one after another, and reserving each on its own would cost as much as the calls.
        let several = track.ready_at(now, Reserved::least(track.windows[0])).0;
        reserved.ask_at(several, track.windows[0], now)
    }

    /// How long the next call of a lane waits, and why; `None` if it may start at once.
    pub fn wait(&mut self, lane: Lane, now: Timestamp) -> Option<LaneWait> {
        let track = self.track(lane);
        track.prune(now);
        let (ready, reason) = track.ready_at(now, 1);
        (ready > now).then(|| LaneWait { lane, span: ready.since(now), reason })
    }

    /// Gives up lanes that the service closed for longer than anybody waits, whichever process it told.
    pub fn give_up_distant(&mut self, now: Timestamp) {
        for lane in Lane::ALL {
            let closed = self.track(lane).closed_until;
            if let Some(until) = closed.filter(|until| until.since(now) > MAX_RETRY_AFTER) {
                let until = Timestamp::from_seconds(until.seconds());
                self.give_up(lane, format!("the service asked for a wait until {until}"));
            }
        }
    }

    /// Takes a slot. Call it only when [`Budget::ready_at`] says now.
    pub fn take(&mut self, lane: Lane, now: Timestamp) -> Ticket {
        let slot = self.next_slot;
        self.next_slot = self.next_slot.wrapping_add(1);
        let expires = now.plus(self.limits.call_timeout);
        let place = self.place(lane);
        if let Some(reserved) = &mut self.reserved {
            reserved[place].spend();
        }
        self.track(lane).open.push(OpenSlot { slot, taken: now, expires });
        self.records.push(SlotRecord::Taken { lane, slot, at: now });
        Ticket { lane, slot }
    }

    /// Takes a slot, or says how long to wait, or that waiting is useless.
    pub fn admit(&mut self, lane: Lane, now: Timestamp) -> Admission {
        self.give_up_distant(now);
        if let Some(reason) = self.given_up(lane) {
            return Admission::GivenUp(reason.to_owned());
        }
        if let Some(wait) = self.wait(lane, now) {
            return Admission::Wait(wait);
        }
        let ready = self.ready_at(lane, now);
        if ready > now {
            let reason = WaitReason::Reserving;
            return Admission::Wait(LaneWait { lane, span: ready.since(now), reason });
        }
        Admission::Go(self.take(lane, now))
    }

    /// Sets whether lanes only start calls for which slots were reserved, because other computers use the same windows. Existing
    /// reservations stay.
    pub fn share(&mut self, is_shared: bool) {
        match (is_shared, &self.reserved) {
            (true, None) => self.reserved = Some(vec![Reserved::default(); self.tracks.len()]),
            (false, Some(_)) => self.reserved = None,
            _ => {}
        }
    }

    /// The lanes that need a reservation.
    pub fn wanted(&self) -> Vec<Lane> {
        let reserved = self.reserved.as_deref().unwrap_or_default();
        Lane::ALL
            .into_iter()
            .filter(|lane| reserved.get(*lane as usize).is_some_and(|it| it.is_wanted))
            .collect()
    }

    /// Number of reserved slots of a lane that are not taken yet, and when the reservation ends.
    pub fn reserved(&self, lane: Lane, now: Timestamp) -> Option<(u32, Timestamp)> {
        let reserved = self.reserved.as_ref()?.get(lane as usize)?;
        (reserved.left(now) > 0).then_some((reserved.left(now), reserved.until))
    }

    /// Reserves slots of a wanted lane: as many as its windows have room for, if that is worth it. Returns the number reserved.
    pub fn reserve(&mut self, lane: Lane, now: Timestamp) -> u32 {
        let track = &mut self.tracks[lane as usize];
        track.prune(now);
        let room = |window: &RateWindow| window.calls.saturating_sub(track.used(*window, now) as u32);
        let room = track.windows.iter().map(room).min().unwrap_or_default();
        let Some(reserved) = &mut self.reserved else { return 0 };
        reserved[lane as usize].grant(room, track.windows[0], now)
    }

    /// The answer to a call has arrived, or will not. `throttled`: it was a 429, with or without a `Retry-After`.
    pub fn answered(&mut self, ticket: Ticket, now: Timestamp, throttled: Option<Option<Duration>>) {
        let Ticket { lane, slot } = ticket;
        let track = self.track(lane);
        let taken = track.open.iter().find(|open| open.slot == slot).map(|open| open.taken);
        track.open.retain(|open| open.slot != slot);
        track.insert(now);
        self.records.push(SlotRecord::Answered { lane, slot, at: now });
        let state = &mut self.lanes[lane as usize];
        let Some(retry_after) = throttled else {
            state.throttles = 0;
            return;
        };
        let is_same_episode = state.episode.zip(taken).is_some_and(|(began, taken)| taken < began);
        if !is_same_episode {
            state.throttles += 1;
            state.episode = Some(now);
        }
        let throttles = state.throttles;
        match retry_after {
            Some(wait) if wait > MAX_RETRY_AFTER => {
                self.give_up(lane, format!("the service asks for a wait of {}", spoken(wait)));
            }
            _ if throttles >= MAX_THROTTLES => {
                self.give_up(
                    lane,
                    format!("{MAX_THROTTLES} times in a row the service asked to slow down (429)"),
                );
            }
            _ => {}
        }
        let wait = retry_after.unwrap_or_else(|| self.jitter.backoff(throttles));
        self.close(lane, now.plus(wait.clamp(MIN_WAIT, LONGEST_CLOSURE)));
    }

    /// Closes a lane until a moment.
    pub fn close(&mut self, lane: Lane, until: Timestamp) {
        let track = self.track(lane);
        track.closed_until = track.closed_until.max(Some(until));
        self.records.push(SlotRecord::Closed { lane, until });
    }

    /// Gives up a lane for the rest of this process. The first reason stays.
    pub fn give_up(&mut self, lane: Lane, reason: String) {
        self.lanes[lane as usize].given_up.get_or_insert(reason);
    }

    /// Why a lane is given up, if it is.
    pub fn given_up(&self, lane: Lane) -> Option<&str> {
        self.lanes[lane as usize].given_up.as_deref()
    }

    /// Merges a record of another or an earlier process. Times in the future count as now.
    pub fn merge(&mut self, record: SlotRecord, now: Timestamp) {
        let timeout = self.limits.call_timeout;
        match record {
            SlotRecord::Taken { lane, slot, at } => {
                self.track(lane).open.push(OpenSlot {
                    slot,
                    taken: at.min(now),
                    expires: at.min(now).plus(timeout),
                });
            }
            SlotRecord::Answered { lane, slot, at } => {
                let track = self.track(lane);
                track.open.retain(|open| open.slot != slot);
                track.insert(at.min(now));
            }
            SlotRecord::Closed { lane, until } => {
                let track = self.track(lane);
                let until = until.min(now.plus(LONGEST_CLOSURE));
                track.closed_until = track.closed_until.max(Some(until));
            }
        }
    }

    /// Forgets the calls in the windows, before all records are merged again. Lanes that are given up stay so.
    pub fn forget(&mut self) {
        for track in &mut self.tracks {
            track.answered.clear();
            track.open.clear();
            track.closed_until = None;
        }
    }

    /// The length of the shorter window: a minute, divided by the time scale.
    pub fn minute(&self) -> Duration {
        self.tracks.iter().map(|track| track.windows[0].length).min().unwrap_or_default()
    }

    /// How long a record can matter.
    pub fn memory(&self) -> Duration {
        let longest = self.tracks.iter().map(SlotWindows::longest).max().unwrap_or_default();
        longest + self.limits.call_timeout
    }

    /// The records since the last call, for the ledger.
    pub fn drain_records(&mut self) -> Vec<SlotRecord> {
        std::mem::take(&mut self.records)
    }

    /// Calls of a lane that may still start within this hour, and the limit per hour.
    pub fn left(&mut self, lane: Lane, now: Timestamp) -> (u32, u32) {
        let track = self.track(lane);
        track.prune(now);
        let hour = track.windows[1];
        (hour.calls.saturating_sub(track.used(hour, now) as u32), hour.calls)
    }

    /// When the last of `calls` further calls of a lane could start, if answers are instant and no other process calls; `now` for
    /// none.
    pub fn earliest(&mut self, lane: Lane, calls: u64, now: Timestamp) -> Timestamp {
        let track = self.track(lane);
        track.prune(now);
        let mut starts: Vec<Timestamp> = track.answered.iter().copied().collect();
        starts.extend(track.open.iter().map(|_| now));
        let mut next = track.closed_until.map_or(now, |until| until.max(now));
        for number in 0..calls {
            for window in track.windows {
                if let Some(place) = starts.len().checked_sub(window.calls as usize) {
                    next = next.max(starts[place].plus(window.length));
                }
            }
            if number + 1 < calls {
                starts.push(next);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_ticks((seconds * 1e7) as i64)
    }

    /// Takes and answers `count` calls at one moment.
    fn spend(budget: &mut Budget, lane: Lane, count: u32, now: Timestamp) {
        for _ in 0..count {
            let ticket = budget.take(lane, now);
            budget.answered(ticket, now, None);
        }
    }

    #[test]
    fn a_slot_frees_one_window_after_its_answer_and_not_before() {
        let mut budget = Budget::new(Limits::default(), 1);
        spend(&mut budget, Lane::SetValue, 99, at(0.0));
        let last = budget.take(Lane::SetValue, at(0.0));
        assert_eq!(budget.ready_at(Lane::SetValue, at(1.0)), at(60.0));
        budget.answered(last, at(2.0), None);
        spend(&mut budget, Lane::SetValue, 99, at(60.0));
        assert_eq!(budget.ready_at(Lane::SetValue, at(60.0)), at(62.0));
        assert_eq!(budget.ready_at(Lane::SetValue, at(62.0)), at(62.0), "half-open");
    }

    #[test]
    fn a_call_without_an_answer_frees_its_slot_one_window_after_its_time_out() {
        let limits = Limits { per_minute: 1, call_timeout: Duration::from_secs(30), ..Limits::default() };
        let mut budget = Budget::new(limits, 1);
        budget.take(Lane::Get, at(0.0));
        assert_eq!(budget.ready_at(Lane::Get, at(10.0)), at(90.0));
        assert_eq!(budget.ready_at(Lane::Get, at(89.9)), at(90.0));
        assert_eq!(budget.ready_at(Lane::Get, at(90.0)), at(90.0));
    }

    #[test]
    fn the_hour_binds_after_fifteen_minutes_of_bursts() {
        let mut budget = Budget::new(Limits::default(), 1);
        for minute in 0..15 {
            spend(&mut budget, Lane::List, 100, at(f64::from(minute) * 60.0));
        }
        assert_eq!(budget.ready_at(Lane::List, at(900.0)), at(3_600.0));
        assert_eq!(budget.left(Lane::List, at(900.0)), (0, 1_500));
        assert_eq!(budget.left(Lane::Get, at(900.0)), (1_500, 1_500), "each lane has its own windows");
    }

    #[test]
    fn shared_lanes_fill_one_window_and_hunting_stays_apart() {
        let mut budget = Budget::new(Limits { shared: true, ..Limits::default() }, 1);
        spend(&mut budget, Lane::List, 50, at(0.0));
        spend(&mut budget, Lane::SetValue, 50, at(0.0));
        assert_eq!(budget.ready_at(Lane::BulkTag, at(1.0)), at(60.0));
        assert_eq!(budget.ready_at(Lane::Hunting, at(1.0)), at(1.0));
        spend(&mut budget, Lane::Hunting, 45, at(1.0));
        assert_eq!(budget.ready_at(Lane::Hunting, at(1.0)), at(61.0));
    }

    #[test]
    fn a_scaled_minute_lasts_a_second() {
        let mut budget = Budget::new(Limits { time_scale: 60.0, ..Limits::default() }, 1);
        spend(&mut budget, Lane::Get, 100, at(0.0));
        assert_eq!(budget.ready_at(Lane::Get, at(0.5)), at(1.0));
    }

    #[test]
    fn retry_after_closes_the_lane_for_at_least_a_second() {
        let mut budget = Budget::new(Limits::default(), 1);
        for (asked, expected) in [(0, 1.0), (8, 8.0)] {
            let ticket = budget.take(Lane::Get, at(0.0));
            budget.answered(ticket, at(0.0), Some(Some(Duration::from_secs(asked))));
            assert_eq!(budget.ready_at(Lane::Get, at(0.0)), at(expected));
        }
        assert_eq!(budget.ready_at(Lane::List, at(0.0)), at(0.0));
    }

    #[test]
    fn ten_throttled_answers_in_a_row_or_a_wait_over_an_hour_give_the_lane_up() {
        let mut budget = Budget::new(Limits::default(), 1);
        let throttle = |budget: &mut Budget, wait: Option<u64>| {
            let ticket = budget.take(Lane::Get, at(0.0));
            budget.answered(ticket, at(0.0), Some(wait.map(Duration::from_secs)));
        };
        (0..9).for_each(|_| throttle(&mut budget, None));
        assert_eq!(budget.given_up(Lane::Get), None);
        spend(&mut budget, Lane::Get, 1, at(0.0));
        (0..9).for_each(|_| throttle(&mut budget, None));
        assert_eq!(budget.given_up(Lane::Get), None, "another answer ends the row");
        throttle(&mut budget, None);
        assert!(budget.given_up(Lane::Get).is_some());
        let mut patient = Budget::new(Limits::default(), 1);
        throttle(&mut patient, Some(3_600));
        assert_eq!(patient.given_up(Lane::Get), None);
        throttle(&mut patient, Some(3_601));
        assert!(patient.given_up(Lane::Get).is_some());
    }

    #[test]
    fn answers_to_calls_that_were_in_flight_together_are_one_episode() {
        let mut budget = Budget::new(Limits::default(), 1);
        for round in 0..9 {
            let start = f64::from(round) * 1_000.0;
            let tickets: Vec<Ticket> = (0..8).map(|_| budget.take(Lane::Get, at(start))).collect();
            for (number, ticket) in tickets.into_iter().enumerate() {
                budget.answered(ticket, at(start + 1.0 + number as f64 / 10.0), Some(None));
            }
        }
        assert_eq!(budget.given_up(Lane::Get), None, "nine episodes of eight answers each");
        let ticket = budget.take(Lane::Get, at(9_000.0));
        budget.answered(ticket, at(9_001.0), Some(None));
        assert!(budget.given_up(Lane::Get).is_some());
    }

    #[test]
    fn another_processes_calls_fill_the_windows_and_its_future_counts_as_now() {
        let mut ours = Budget::new(Limits { per_minute: 2, ..Limits::default() }, 1);
        let mut theirs = Budget::new(Limits::default(), 2);
        theirs.take(Lane::Get, at(9_999.0));
        spend(&mut theirs, Lane::Get, 1, at(9_999.0));
        theirs.drain_records().into_iter().for_each(|record| ours.merge(record, at(10.0)));
        assert_eq!(ours.ready_at(Lane::Get, at(10.0)), at(70.0));
    }

    #[test]
    fn the_outlook_is_the_closed_form_for_an_unused_budget() {
        let mut budget = Budget::new(Limits::default(), 1);
        for calls in [0u64, 1, 100, 101, 1_500, 1_501, 1_600, 1_601, 10_000] {
            let before = calls.saturating_sub(1);
            let seconds = 3_600 * (before / 1_500) + 60 * (before % 1_500 / 100);
            assert_eq!(budget.earliest(Lane::SetValue, calls, at(0.0)), at(seconds as f64), "{calls}");
        }
        spend(&mut budget, Lane::SetValue, 1_500, at(0.0));
        assert_eq!(budget.earliest(Lane::SetValue, 1, at(10.0)), at(3_600.0));
    }
}
