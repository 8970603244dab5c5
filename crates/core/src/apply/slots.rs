//! The slots of one pair of windows: the calls in them, and when the next one may start.
//!
//! Knows no lanes and gives nothing up; that is `budget`.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::collections::VecDeque;
use std::time::Duration;

use crate::plan::Lane;
use crate::time::Timestamp;

use super::meter::{WaitReason, WindowSpan};

/// A number of calls in a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateWindow {
    pub calls: u32,
    /// Half-open: an answer at `t` no longer counts at `t + length`.
    pub length: Duration,
}

/// An event of a slot or a lane, shared by the processes of one state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRecord {
    /// A call takes a slot.
    Taken {
        lane: Lane,
        /// The slot's number, unique over processes.
        slot: u64,
        at: Timestamp,
    },
    /// Its answer has arrived, or will not.
    Answered { lane: Lane, slot: u64, at: Timestamp },
    /// The service asked to stop using the lane.
    Closed { lane: Lane, until: Timestamp },
}

/// A slot without an answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenSlot {
    pub(super) slot: u64,
    pub(super) taken: Timestamp,
    pub(super) expires: Timestamp,
}

/// Slots of one pair of windows that are reserved against other computers.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    slots: u32,
    pub(super) until: Timestamp,
    pub(super) is_wanted: bool,
    /// Since when a call waits for slots that are free.
    waits_since: Option<Timestamp>,
    /// The number of slots of the next reservation.
    next: u32,
}

impl Default for Reserved {
    fn default() -> Reserved {
        Reserved {
            slots: 0,
            until: Timestamp::EPOCH,
            is_wanted: false,
            waits_since: None,
            next: FIRST_RESERVED,
        }
    }
}

/// The shortest life of reserved slots: the store that holds the reservation takes time to answer, even if a simulated minute is
/// over by then.
const LEAST_KEPT: Duration = Duration::from_secs(10);

/// The size of the first reservation: a read-only command needs no more.
const FIRST_RESERVED: u32 = 5;

impl Reserved {
    /// Number of reserved slots that are not taken.
    pub(super) fn left(&self, now: Timestamp) -> u32 {
        if now < self.until { self.slots } else { 0 }
    }

    pub(super) fn spend(&mut self) {
        self.slots = self.slots.saturating_sub(1);
    }

    /// The number of free slots worth waiting for: they free one after another, and reserving each on its own would cost as much
    /// as the calls.
    pub(super) fn least(minute: RateWindow) -> u32 {
        (minute.calls / 10).clamp(1, 10)
    }

    /// When to request slots, if one is free now and `several` is when more are.
    pub(super) fn ask_at(&mut self, several: Timestamp, minute: RateWindow, now: Timestamp) -> Timestamp {
        let patience = minute.length / 30;
        let ask = several.min(self.waits_since.get_or_insert(now).plus(patience));
        self.is_wanted |= ask <= now;
        // The ledger gets at least a millisecond to reserve slots before the next request.
        ask.max(now.plus(Duration::from_millis(1)))
    }

    /// Adds slots: more each time that they were used up in time.
    pub(super) fn grant(&mut self, room: u32, minute: RateWindow, now: Timestamp) -> u32 {
        let most = (minute.calls / 4).max(1);
        if self.left(now) == 0 && self.slots > 0 {
            self.next = FIRST_RESERVED;
        }
        let slots = self.next.min(most).min(room.saturating_sub(self.left(now)));
        self.slots = self.left(now) + slots;
        self.next = (self.next * 2).min(most.max(FIRST_RESERVED));
        let kept = minute.length.max(LEAST_KEPT);
        (self.until, self.is_wanted, self.waits_since) = (now.plus(kept), false, None);
        self.slots
    }
}

/// One pair of windows and the calls in them.
#[derive(Clone, Debug)]
pub(super) struct SlotWindows {
    /// The minute and the hour.
    pub(super) windows: [RateWindow; 2],
    /// Ascending, without those older than both windows.
    pub(super) answered: VecDeque<Timestamp>,
    pub(super) open: Vec<OpenSlot>,
    pub(super) closed_until: Option<Timestamp>,
}

impl SlotWindows {
    pub(super) fn longest(&self) -> Duration {
        self.windows[0].length.max(self.windows[1].length)
    }

    pub(super) fn insert(&mut self, at: Timestamp) {
        let place = match self.answered.back() {
            Some(last) if *last > at => self.answered.partition_point(|other| *other <= at),
            _ => self.answered.len(),
        };
        self.answered.insert(place, at);
    }

    /// Drops calls that no window counts any more. A slot whose call timed out counts as answered at that time.
    pub(super) fn prune(&mut self, now: Timestamp) {
        let longest = self.longest();
        let expired: Vec<Timestamp> =
            self.open.iter().filter(|open| open.expires <= now).map(|open| open.expires).collect();
        self.open.retain(|open| open.expires > now);
        expired.into_iter().for_each(|at| self.insert(at));
        while self.answered.front().is_some_and(|at| at.plus(longest) <= now) {
            self.answered.pop_front();
        }
    }

    pub(super) fn used(&self, window: RateWindow, now: Timestamp) -> usize {
        let freed = self.answered.partition_point(|at| at.plus(window.length) <= now);
        self.answered.len() - freed + self.open.len()
    }

    /// When this many slots are free at once, and why they are not yet; not before `now`. `slots`: at most the limit of a window.
    pub(super) fn ready_at(&self, now: Timestamp, slots: u32) -> (Timestamp, WaitReason) {
        let mut ready = (self.closed_until.map_or(now, |until| until.max(now)), WaitReason::Throttled);
        for (window, span) in self.windows.into_iter().zip([WindowSpan::Minute, WindowSpan::Hour]) {
            let used = self.used(window, now) + slots.saturating_sub(1) as usize;
            let Some(over) = used.checked_sub(window.calls as usize) else { continue };
            let freed = self.answered.partition_point(|at| at.plus(window.length) <= now);
            // Slots in flight free one window from now at the earliest, so after all answered ones.
            let nth = match self.answered.get(freed + over) {
                Some(at) => *at,
                None => self.nth_open(freed + over - self.answered.len()),
            };
            let free = nth.plus(window.length);
            if free > ready.0 {
                ready = (free, WaitReason::Spent { calls: window.calls, window: span });
            }
        }
        ready
    }

    fn nth_open(&self, nth: usize) -> Timestamp {
        let mut expiries: Vec<Timestamp> = self.open.iter().map(|open| open.expires).collect();
        expiries.sort_unstable();
        expiries[nth.min(expiries.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Budget, Limits};
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_shared_lane_starts_only_what_was_reserved() {
        let mut budget = Budget::new(Limits::default(), 1);
        budget.share(true);
        assert!(budget.ready_at(Lane::Get, at(0)) > at(0));
        assert_eq!(budget.wanted(), [Lane::Get]);
        let mut granted = Vec::new();
        for _ in 0..6 {
            granted.push(budget.reserve(Lane::Get, at(0)));
            while budget.ready_at(Lane::Get, at(0)) <= at(0) {
                let ticket = budget.take(Lane::Get, at(0));
                budget.answered(ticket, at(0), None);
            }
        }
        assert_eq!(granted, [5, 10, 20, 25, 25, 15], "more each time, and never more than the window has");
        assert_eq!(budget.ready_at(Lane::Get, at(0)), at(60));
        assert_eq!(budget.reserve(Lane::Get, at(60)), 25);
        assert_eq!(budget.reserved(Lane::Get, at(119)), Some((25, at(120))));
        assert_eq!(
            budget.reserved(Lane::Get, at(120)),
            None,
            "what is not taken in a minute is free for others"
        );
    }

    #[test]
    fn what_was_reserved_outlives_the_answer_of_the_store_however_fast_time_runs() {
        let mut budget = Budget::new(Limits { time_scale: 100_000.0, ..Limits::default() }, 1);
        budget.share(true);
        budget.ready_at(Lane::Get, at(0));
        assert_eq!(budget.reserve(Lane::Get, at(0)), 5);
        assert_eq!(budget.ready_at(Lane::Get, at(2)), at(2));
    }

    #[test]
    fn slots_that_free_one_by_one_are_asked_for_together() {
        let mut budget = Budget::new(Limits::default(), 1);
        for second in 0..100 {
            let ticket = budget.take(Lane::Get, at(0));
            budget.answered(ticket, Timestamp::from_ticks(second * 1_000_000), None);
        }
        budget.share(true);
        let tenth = Timestamp::from_ticks(609_000_000);
        assert_eq!(budget.ready_at(Lane::Get, at(60)), tenth, "ten are free 0.9 seconds after the first");
        assert!(budget.wanted().is_empty());
        budget.ready_at(Lane::Get, tenth);
        assert_eq!(budget.wanted(), [Lane::Get]);
        assert_eq!(budget.reserve(Lane::Get, tenth), 5);
    }
}
