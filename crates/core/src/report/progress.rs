//! Lines of progress: what is done, how fast, the budget, and the shortest time to the end.
//!
//! Draws no bar and reads no clock: the caller passes the figures in.

use std::time::Duration;

use crate::apply::{LaneWait, WaitReason, WindowSpan};
use crate::time::{Timestamp, spoken};

use super::words::{counted, noun_for, number};

/// The progress of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Devices read.
    pub devices: u64,
    /// List pages read so far.
    pub pages: u64,
    /// The pass over the list, from 1. A list that changes during the read is read again.
    pub pass: u32,
}

/// The progress of an apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applying {
    /// Changes that have ended.
    pub ended: u64,
    /// All changes of the plan.
    pub changes: u64,
    /// Those of the ended changes that failed, bounced or are unknown.
    pub failed: u64,
    /// Calls in the last minute.
    pub per_minute: u64,
    /// The calls left this hour on the busiest lane, and its limit.
    pub left: Option<(u64, u64)>,
    /// The time until the next call, if the run waits for it.
    pub wait: Option<Duration>,
    /// The shortest time until the last call may start.
    pub least: Option<Duration>,
}

/// `20,000 devices in 2 pages · pass 2`.
pub fn reading(reading: &Reading) -> String {
    let devices = counted(reading.devices, "device");
    let mut parts = vec![format!("{devices} in {}", counted(reading.pages, "page"))];
    if reading.pass > 1 {
        parts.push(format!("pass {}", number(reading.pass.into())));
    }
    parts.join(" · ")
}

/// `8,412 of 9,000 changes · 97 calls a minute · 1,203 of 1,500 left this hour · next window in 42 s · at least 12 min left`.
pub fn applying(applying: &Applying) -> String {
    let changes = format!("{} of {}", number(applying.ended), counted(applying.changes, "change"));
    let mut parts = vec![changes];
    if applying.failed > 0 {
        parts.push(format!("{} failed", number(applying.failed)));
    }
    parts.push(format!("{} {} a minute", number(applying.per_minute), noun_for(applying.per_minute, "call")));
    if let Some((left, of)) = applying.left {
        parts.push(format!("{} of {} left this hour", number(left), number(of)));
    }
    parts.extend(next_window(applying.wait));
    if let Some(least) = applying.least.filter(|least| !least.is_zero()) {
        parts.push(format!("at least {} left", spoken(least)));
    }
    parts.join(" · ")
}

/// Waits under a second are not shown.
fn next_window(wait: Option<Duration>) -> Option<String> {
    let wait = wait.filter(|wait| *wait >= Duration::from_secs(1))?;
    Some(format!("next window in {}", spoken(wait)))
}

/// `waiting 42 s, until 03:52:10 UTC: the service asked to leave the lane list alone`.
pub fn waiting(wait: &LaneWait, now: Timestamp) -> String {
    let lane = wait.lane.word();
    let reason = match wait.reason {
        WaitReason::Throttled => format!("the service asked to leave the lane {lane} alone"),
        WaitReason::Reserving => {
            format!("calls of the lane {lane} are reserved, for other computers to know")
        }
        WaitReason::Spent { calls, window } => {
            let window = match window {
                WindowSpan::Minute => "a minute",
                WindowSpan::Hour => "an hour",
            };
            format!(
                "the {} {window} of the lane {lane} are used up, by earlier commands as well",
                counted(calls.into(), "call")
            )
        }
    };
    waiting_for(wait.span, &reason, now)
}

/// Like [`waiting`], for any reason.
pub fn waiting_for(span: Duration, reason: &str, now: Timestamp) -> String {
    // Rounded up, so that the wait is over when a reader looks at the clock at that time.
    let span = Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0));
    let end = now.plus(span).to_string();
    let time = end.get(11..19).unwrap_or(&end);
    format!("waiting {}, until {time} UTC: {reason}", spoken(span))
}

/// Which waits are reported without a progress bar: one of more than ten seconds at once, then every thirty seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitNotes {
    told: Option<Duration>,
    seen: Option<Duration>,
}

impl WaitNotes {
    /// A wait reports every five seconds; after a longer silence it is a new one.
    const SAME_WAIT: Duration = Duration::from_secs(6);

    /// Whether to report a wait with this much time `left`. `elapsed` counts from any start.
    pub fn is_due(&mut self, left: Duration, elapsed: Duration) -> bool {
        let is_same = self.seen.is_some_and(|seen| elapsed.saturating_sub(seen) <= Self::SAME_WAIT);
        self.seen = Some(elapsed);
        self.told = self.told.filter(|_| is_same);
        let is_due = match self.told {
            None => left > Duration::from_secs(10),
            Some(told) => elapsed.saturating_sub(told) >= Duration::from_secs(30),
        };
        if is_due {
            self.told = Some(elapsed);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Lane;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let line = applying(&Applying {
            ended: 8_412,
            changes: 9_000,
            failed: 0,
            per_minute: 97,
            left: Some((1_203, 1_500)),
            wait: Some(Duration::from_secs(42)),
            least: Some(Duration::from_secs(720)),
        });
        assert_eq!(
            line,
            "8,412 of 9,000 changes · 97 calls a minute · 1,203 of 1,500 left this hour · next window in 42 s · \
             at least 12 min left"
        );
    }

    #[test]
    fn a_wait_is_told_with_its_reason_and_its_end() {
        let now = Timestamp::parse("2026-11-24T03:51:28Z").unwrap();
        let span = Duration::from_millis(41_500);
        let wait = LaneWait { lane: Lane::List, span, reason: WaitReason::Throttled };
        assert_eq!(
            waiting(&wait, now),
            "waiting 42 s, until 03:52:10 UTC: the service asked to leave the lane list alone"
        );
        let reason = WaitReason::Spent { calls: 1_500, window: WindowSpan::Hour };
        assert!(
            waiting(&LaneWait { reason, ..wait }, now).ends_with(
                "the 1,500 calls an hour of the lane list are used up, by earlier commands as well"
            )
        );
    }

    #[test]
    fn a_wait_of_more_than_ten_seconds_is_told_at_once_and_every_thirty_seconds() {
        let mut notes = WaitNotes::default();
        let seconds = Duration::from_secs;
        let told = |notes: &mut WaitNotes, start: u64, span: u64| {
            let told = (0..=span).filter(|at| notes.is_due(seconds(span - at), seconds(start + at)));
            told.collect::<Vec<u64>>()
        };
        assert_eq!(told(&mut notes, 0, 10), Vec::<u64>::new());
        assert_eq!(told(&mut notes, 20, 100), [0, 30, 60, 90]);
        assert_eq!(told(&mut notes, 140, 11), [0], "the next wait is told at once as well");
    }

    #[test]
    fn what_is_nothing_is_not_said() {
        let line = applying(&Applying { ended: 1, changes: 1, per_minute: 1, ..Applying::default() });
        assert_eq!(line, "1 of 1 change · 1 call a minute");
        let read = Reading { devices: 20_000, pages: 2, pass: 1 };
        assert_eq!(reading(&read), "20,000 devices in 2 pages");
        assert_eq!(reading(&Reading { pass: 2, ..read }), "20,000 devices in 2 pages · pass 2");
    }
}
