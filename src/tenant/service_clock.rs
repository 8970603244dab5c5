//! The service's clock, from its answers: a clock that computers with different clocks agree on.
//!
//! Sends no request of its own: it learns from the `Date` of answers, and is the local clock until the first one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mdetag_core::time::{Clock, Timestamp};

/// A `Date` has whole seconds, so the service's clock may have been this far past it.
const RESOLUTION: Duration = Duration::from_secs(1);

/// The local clock, corrected by the last known difference from the service's.
pub(super) struct ServiceClock {
    local: Arc<dyn Clock>,
    /// How far the service is ahead of the local clock, in ticks.
    ahead: AtomicI64,
}

impl ServiceClock {
    /// A clock without any known difference yet.
    pub(super) fn new(local: Arc<dyn Clock>) -> ServiceClock {
        ServiceClock { local, ahead: AtomicI64::new(0) }
    }

    /// The local clock, for the arguments of [`ServiceClock::learn`].
    pub(super) fn local(&self) -> Timestamp {
        self.local.now()
    }

    /// Learns from an answer with this `Date` to a request that was sent at that time (by the local clock). The answer was made
    /// between the two, so the service's clock now is at least its date, and at most a second and the whole call later. Only a
    /// difference beyond that counts.
    pub(super) fn learn(&self, date: Timestamp, sent: Timestamp) {
        let local = self.local.now();
        let ahead = self.ahead.load(Ordering::Relaxed);
        let supposed = local.ticks().saturating_add(ahead);
        let least = date.ticks();
        let most = date.plus(RESOLUTION).plus(local.since(sent)).ticks();
        let corrected = supposed.clamp(least, most.max(least));
        if corrected != supposed {
            self.ahead.store(corrected.saturating_sub(local.ticks()), Ordering::Relaxed);
        }
    }
}

impl Clock for ServiceClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ticks(self.local.now().ticks().saturating_add(self.ahead.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::fake::HandClock;

    #[test]
    fn hosts_with_different_clocks_agree_within_the_second_of_a_date() {
        for behind in [-7_200, 0, 7_200] {
            let host = Arc::new(HandClock::new());
            let service = host.now();
            host.forward(-behind);
            let clock = ServiceClock::new(host.clone());
            assert_eq!(clock.now(), host.now(), "without an answer it is the local clock");
            clock.learn(service, host.now());
            let apart = (clock.now().ticks() - service.ticks()).abs();
            assert!(apart <= 10_000_000, "{behind}: {apart}");
            host.forward(100);
            assert!(
                (clock.now().ticks() - service.plus(Duration::from_secs(100)).ticks()).abs() <= 10_000_000
            );
        }
    }

    #[test]
    fn a_slow_answer_moves_nothing_that_it_does_not_contradict() {
        let host = Arc::new(HandClock::new());
        let clock = ServiceClock::new(host.clone());
        let (sent, date) = (host.now(), host.now());
        host.forward(40);
        clock.learn(date, sent);
        assert_eq!(clock.now(), host.now());
    }
}
