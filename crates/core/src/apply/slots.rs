//! The slots of one pair of windows: which calls fill them, and when the next one may start.
//!
//! Knows no lanes and gives nothing up; that is `budget`.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::collections::VecDeque;
use std::time::Duration;

use crate::plan::Lane;
use crate::time::Timestamp;

use super::meter::{WaitReason, WindowSpan};

/// How many calls in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateWindow {
    pub calls: u32,
    /// Half-open: an answer at `t` no longer counts at `t + length`.
    pub length: Duration,
}

/// What happened to a slot or a lane: what processes on one state directory tell each other.
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
    /// The service asked to leave the lane alone.
    Closed { lane: Lane, until: Timestamp },
}

/// A slot without an answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenSlot {
    pub(super) slot: u64,
    pub(super) taken: Timestamp,
    pub(super) expires: Timestamp,
}

/// Slots of one pair of windows that no other computer takes meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    slots: u32,
    pub(super) until: Timestamp,
    pub(super) is_wanted: bool,
    /// Since when a call waits for slots that are free.
    waits_since: Option<Timestamp>,
    /// How many are reserved next time.
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

/// Reserved slots are kept at least so long: the answer of the store that holds the reservation takes its time, also where
/// a simulated minute is over before it comes.
const LEAST_KEPT: Duration = Duration::from_secs(10);

/// So many are reserved first: a command that only looks needs no more.
const FIRST_RESERVED: u32 = 5;

impl Reserved {
    /// Reserved and not taken.
    pub(super) fn left(&self, now: Timestamp) -> u32 {
        if now < self.until { self.slots } else { 0 }
    }

    pub(super) fn spend(&mut self) {
        self.slots = self.slots.saturating_sub(1);
    }

    /// So many are worth the wait until they are free: slots free one after the other, and to ask for each would cost as much
    /// as the calls do.
    pub(super) fn least(minute: RateWindow) -> u32 {
        (minute.calls / 10).clamp(1, 10)
    }

    /// When slots are asked for, where `several` are free then and one is now.
    pub(super) fn ask_at(&mut self, several: Timestamp, minute: RateWindow, now: Timestamp) -> Timestamp {
        let patience = minute.length / 30;
        let ask = several.min(self.waits_since.get_or_insert(now).plus(patience));
        self.is_wanted |= ask <= now;
        // The ledger gets at least a millisecond to reserve slots before it is asked again.
        ask.max(now.plus(Duration::from_millis(1)))
    }

    /// Adds slots, more each time they are used up in time.
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

/// One pair of windows and what fills them.
#[derive(Clone, Debug)]
pub(super) struct SlotWindows {
    /// The minute and the hour.
    pub(super) windows: [RateWindow; 2],
    /// Ascending; older than both windows is dropped.
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

    /// Drops what no window counts any more; a slot whose call has timed out counts as answered then.
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

    /// When this many slots are free at once, and what they wait for; not before `now`. `slots`: at most what a window takes.
    pub(super) fn ready_at(&self, now: Timestamp, slots: u32) -> (Timestamp, WaitReason) {
        let mut ready = (self.closed_until.map_or(now, |until| until.max(now)), WaitReason::Throttled);
        for (window, span) in self.windows.into_iter().zip([WindowSpan::Minute, WindowSpan::Hour]) {
            let used = self.used(window, now) + slots.saturating_sub(1) as usize;
            let Some(over) = used.checked_sub(window.calls as usize) else { continue };
            let freed = self.answered.partition_point(|at| at.plus(window.length) <= now);
            // Slots in flight free no earlier than one window from now, so they come after all that are answered.
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
