//! The service's throttling: the calls of each key in its windows, and the wait until the next one passes.
//!
//! Deliberately separate from the client's budget: a mistake there must meet a 429 here, not agreement.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use mdetag_vocabulary::time::Timestamp;

/// One rate window: the calls allowed in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) calls: usize,
    /// As documented; the sandbox's speed shortens it.
    pub(super) length: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A window ends at every moment.
    Sliding,
    /// A window begins with the first call after the last one ended.
    Fixed,
}

/// Whether a call passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    /// Refused by this window; the next call passes after this wait.
    Throttled(Window, Duration),
}

/// The counted calls of every key.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    keys: HashMap<String, VecDeque<Timestamp>>,
}

impl Limits {
    /// Counts or refuses a call that arrives now. `punish`: refused calls count too.
    pub(super) fn admit(
        &mut self,
        key: &str,
        windows: &[Window],
        shape: Shape,
        punish: bool,
        speed: u32,
        now: Timestamp,
    ) -> Verdict {
        let calls = self.keys.entry(key.to_owned()).or_default();
        let length = |window: &Window| window.length / speed.max(1);
        let longest = windows.iter().map(length).max().unwrap_or_default();
        // A fixed window may have begun one length before the oldest call that still counts.
        let keep = if shape == Shape::Fixed { longest * 2 } else { longest };
        while calls.front().is_some_and(|oldest| oldest.plus(keep) <= now) {
            calls.pop_front();
        }
        let mut verdict = Verdict::Admitted;
        let mut latest = now;
        for window in windows {
            let free = free_at(calls, window.calls, length(window), shape, now);
            if free > latest {
                latest = free;
                verdict = Verdict::Throttled(*window, free.since(now));
            }
        }
        if verdict == Verdict::Admitted || punish {
            calls.push_back(now);
        }
        verdict
    }

    /// Restores a call that an earlier process counted. Calls must be restored in the order of their times.
    pub(super) fn recall(&mut self, key: &str, at: Timestamp) {
        self.keys.entry(key.to_owned()).or_default().push_back(at);
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }
}

/// The time at which a window lets the next call pass.
fn free_at(
    calls: &VecDeque<Timestamp>,
    limit: usize,
    length: Duration,
    shape: Shape,
    now: Timestamp,
) -> Timestamp {
    if limit == 0 {
        return now.plus(length);
    }
    match shape {
        Shape::Sliding => {
            // Half-open: a call at t no longer counts at t + length.
            let inside = calls.iter().rev().take_while(|at| at.plus(length) > now).count();
            if inside < limit { now } else { calls[calls.len() - limit].plus(length) }
        }
        Shape::Fixed => {
            let mut start: Option<Timestamp> = None;
            let mut count = 0;
            for at in calls {
                if start.is_none_or(|start| start.plus(length) <= *at) {
                    (start, count) = (Some(*at), 0);
                }
                count += 1;
            }
            match start {
                Some(start) if start.plus(length) > now && count >= limit => start.plus(length),
                _ => now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const MINUTE: Window = Window { calls: 3, length: Duration::from_secs(60) };

    fn admit(limits: &mut Limits, shape: Shape, punish: bool, at: i64) -> Option<u64> {
        match limits.admit("k", &[MINUTE], shape, punish, 1, Timestamp::from_seconds(at)) {
            Verdict::Admitted => None,
            Verdict::Throttled(_, wait) => Some(wait.as_secs()),
        }
    }

    #[test]
    fn a_sliding_window_frees_a_slot_one_length_after_the_call_that_took_it() {
        let mut limits = Limits::default();
        let mut at = |second| admit(&mut limits, Shape::Sliding, false, second);
        assert_eq!((at(0), at(10), at(20)), (None, None, None));
        assert_eq!(at(59), Some(1));
        assert_eq!(at(60), None);
        assert_eq!(at(61), Some(9));
    }

    #[test]
    fn a_fixed_window_frees_all_slots_at_once() {
        let mut limits = Limits::default();
        let mut at = |second| admit(&mut limits, Shape::Fixed, false, second);
        assert_eq!((at(0), at(50), at(59)), (None, None, None));
        assert_eq!(at(59), Some(1));
        assert_eq!((at(60), at(61), at(62)), (None, None, None));
        assert_eq!(at(63), Some(57));
    }

    #[test]
    fn a_punished_call_counts() {
        let mut limits = Limits::default();
        let mut at = |second| admit(&mut limits, Shape::Sliding, true, second);
        assert_eq!((at(0), at(0), at(0)), (None, None, None));
        assert_eq!(at(30), Some(30));
        assert_eq!((at(60), at(60)), (None, None));
        assert_eq!(at(60), Some(30), "the refused call still fills a slot");
    }

    #[test]
    fn speed_shortens_the_window() {
        let mut limits = Limits::default();
        let mut at =
            |millis| limits.admit("k", &[MINUTE], Shape::Sliding, false, 60, Timestamp::from_millis(millis));
        for _ in 0..3 {
            assert_eq!(at(0), Verdict::Admitted);
        }
        assert_eq!(at(999), Verdict::Throttled(MINUTE, Duration::from_millis(1)));
        assert_eq!(at(1000), Verdict::Admitted);
    }

    #[test]
    fn no_sliding_window_ever_holds_more_than_its_calls() {
        let windows = [
            Window { calls: 5, length: Duration::from_secs(10) },
            Window { calls: 12, length: Duration::from_secs(60) },
        ];
        for seed in 0..50 {
            let (mut limits, mut random) = (Limits::default(), Random::new(seed));
            let (mut now, mut admitted) = (Timestamp::EPOCH, Vec::new());
            for _ in 0..400 {
                now = now.plus(Duration::from_millis(random.below(3000)));
                match limits.admit("k", &windows, Shape::Sliding, false, 1, now) {
                    Verdict::Admitted => admitted.push(now),
                    Verdict::Throttled(_, wait) => {
                        let mut later = limits.clone();
                        let free = now.plus(wait);
                        let verdict = later.admit("k", &windows, Shape::Sliding, false, 1, free);
                        assert_eq!(verdict, Verdict::Admitted, "seed {seed}: the wait is long enough");
                    }
                }
            }
            for window in &windows {
                for (place, start) in admitted.iter().enumerate() {
                    let end = start.plus(window.length);
                    let inside = admitted[place..].iter().take_while(|at| **at < end).count();
                    assert!(inside <= window.calls, "seed {seed}: {inside} calls from {start}");
                }
            }
        }
    }
}
