//! Lines of progress: what is done, how fast, what the budget allows, how long it takes at least.
//!
//! Draws no bar and knows no clock: whoever watches hands in the figures.

use std::time::Duration;

use crate::time::spoken;

use super::words::{counted, noun_for, number};

/// How far a read is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Devices read.
    pub devices: u64,
    /// Pages read.
    pub pages: u64,
    /// Which pass over the list, from 1: a list that changed under the read is read again.
    pub pass: u32,
    /// Until a call may be sent, where the read waits for it.
    pub wait: Option<Duration>,
}

/// How far an apply is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applying {
    /// Changes that have ended.
    pub ended: u64,
    /// All changes.
    pub changes: u64,
    /// Of the ended ones, those that failed, bounced or are unknown.
    pub failed: u64,
    /// Calls in the last minute.
    pub per_minute: u64,
    /// What is left of this hour on the busiest lane, and its limit.
    pub left: Option<(u64, u64)>,
    /// Until the next call may be sent, where the run waits for it.
    pub wait: Option<Duration>,
    /// The least time until the last call may start.
    pub least: Option<Duration>,
}

/// `20,000 devices in 2 pages · pass 2 · next window in 42 s`.
pub fn reading(reading: &Reading) -> String {
    let devices = counted(reading.devices, "device");
    let mut parts = vec![format!("{devices} in {}", counted(reading.pages, "page"))];
    if reading.pass > 1 {
        parts.push(format!("pass {}", number(reading.pass.into())));
    }
    parts.extend(waiting(reading.wait));
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
    parts.extend(waiting(applying.wait));
    if let Some(least) = applying.least.filter(|least| !least.is_zero()) {
        parts.push(format!("at least {} left", spoken(least)));
    }
    parts.join(" · ")
}

/// A wait of under a second is no news.
fn waiting(wait: Option<Duration>) -> Option<String> {
    let wait = wait.filter(|wait| *wait >= Duration::from_secs(1))?;
    Some(format!("next window in {}", spoken(wait)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_nothing_is_not_said() {
        let line = applying(&Applying { ended: 1, changes: 1, per_minute: 1, ..Applying::default() });
        assert_eq!(line, "1 of 1 change · 1 call a minute");
        let read = Reading { devices: 20_000, pages: 2, pass: 1, wait: Some(Duration::from_millis(20)) };
        assert_eq!(reading(&read), "20,000 devices in 2 pages");
        let again = Reading { pass: 2, wait: Some(Duration::from_secs(42)), ..read };
        assert_eq!(reading(&again), "20,000 devices in 2 pages · pass 2 · next window in 42 s");
    }
}
