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
    Closed {
        lane: Lane,
        /// Until when.
        until: Timestamp,
    },
}

/// A slot without an answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenSlot {
    pub(super) slot: u64,
    pub(super) taken: Timestamp,
    pub(super) expires: Timestamp,
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

    /// When the next call may start, and what it waits for; not before `now`.
    pub(super) fn ready_at(&self, now: Timestamp) -> (Timestamp, WaitReason) {
        let mut ready = (self.closed_until.map_or(now, |until| until.max(now)), WaitReason::Throttled);
        for (window, span) in self.windows.into_iter().zip([WindowSpan::Minute, WindowSpan::Hour]) {
            let used = self.used(window, now);
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
