//! How long to wait before a call is tried again, and when a lane is given up.
//!
//! Knows neither calls nor windows. Randomness comes from a seed, so that a run can be played again.

use std::time::Duration;

use crate::random::SeededNumbers;

/// How often a call whose effect is unknown is sent.
pub const MAX_TRIES: u8 = 5;

/// Failures in a row, each on other devices, that open a lane's circuit.
pub const MAX_FAILURES: usize = 5;

/// The number of devices, drawn evenly from a lane's queue, that must end in 403 before the lane itself counts as forbidden.
pub const MAX_FORBIDDEN: usize = 20;

/// Answers of 429 in a row that open a lane's circuit.
pub const MAX_THROTTLES: u32 = 10;

/// The longest `Retry-After` that a lane waits out.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// The longest time for which a lane is remembered as closed: a ledger may be damaged, and must not close it for ever.
pub const LONGEST_CLOSURE: Duration = Duration::from_secs(86_400);

/// The shortest wait after an answer that asks for one: a service that says 0 is not asked again at once.
pub const MIN_WAIT: Duration = Duration::from_secs(1);

/// The longest wait that is chosen here.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Random waits: the same seed gives the same ones.
#[derive(Clone, Debug)]
pub struct Jitter(SeededNumbers);

impl Jitter {
    /// The same seed gives the same delays.
    pub fn new(seed: u64) -> Jitter {
        Jitter(SeededNumbers::new(seed))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0.number()
    }

    /// 1 s doubling to 60 s, plus up to a quarter of it: the wait after failure number `failures` in a row (from 1).
    pub fn backoff(&mut self, failures: u32) -> Duration {
        let base = MIN_WAIT * 2u32.pow(failures.saturating_sub(1).min(6));
        let permille = (self.number() % 251) as u32;
        (base + base * permille / 1_000).min(MAX_WAIT)
    }
}

/// The failures in a row on one lane. A failure is a call that was given up, whatever it took to give it up; an answer
/// that does what was asked ends the row.
#[derive(Clone, Debug, Default)]
pub struct Circuit {
    failed: Vec<u32>,
    struggling: Vec<u32>,
    has_passed: bool,
    /// Answers of 403 while no call has passed.
    forbidden: usize,
    opened: Option<String>,
}

impl Circuit {
    /// Why the lane is given up, if it is.
    pub fn opened(&self) -> Option<&str> {
        self.opened.as_deref()
    }

    /// Gives the lane up. The first reason stays.
    pub fn open(&mut self, reason: String) {
        self.opened.get_or_insert(reason);
    }

    /// A call did what was asked.
    pub fn succeeded(&mut self) {
        self.failed.clear();
        self.struggling.clear();
        self.has_passed = true;
    }

    /// A call ended in 403. Returns how many have, or `None` once any call has passed: then it is about the device.
    pub fn forbidden(&mut self) -> Option<usize> {
        self.forbidden += 1;
        (!self.has_passed).then_some(self.forbidden)
    }

    /// The service said no clearly: it is not in trouble.
    pub fn answered(&mut self) {
        self.struggling.clear();
    }

    /// A call on `device` got no good answer and will be tried again.
    pub fn struggled(&mut self, device: u32) {
        if !self.struggling.contains(&device) && self.struggling.len() < MAX_FAILURES {
            self.struggling.push(device);
        }
    }

    /// Whether so many different calls struggle that no further device should be drawn in before one succeeds.
    pub fn is_struggling(&self) -> bool {
        self.struggling.len() >= MAX_FAILURES
    }

    /// A call whose first device is `device` was given up; says whether that opened the circuit.
    pub fn failed(&mut self, device: u32, error: &str) -> bool {
        if !self.failed.contains(&device) {
            self.failed.push(device);
        }
        let opens = self.failed.len() >= MAX_FAILURES && self.opened.is_none();
        if opens {
            self.open(format!("{MAX_FAILURES} failures in a row on different devices, the last: {error}"));
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_from_one_second_to_sixty() {
        let mut jitter = Jitter::new(7);
        for (failures, base) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60)] {
            let wait = jitter.backoff(failures).as_secs_f64();
            assert!(
                wait >= f64::from(base) && wait <= (f64::from(base) * 1.25).min(60.0),
                "{failures}: {wait}"
            );
        }
    }

    #[test]
    fn only_failures_on_different_devices_open_a_circuit() {
        let mut circuit = Circuit::default();
        for _ in 0..9 {
            assert!(!circuit.failed(1, "500"));
        }
        for device in 2..5 {
            assert!(!circuit.failed(device, "500"));
        }
        let mut saved = circuit.clone();
        saved.succeeded();
        assert!(!saved.failed(5, "500"), "a success ends the row");
        assert!(circuit.failed(5, "500"));
        assert!(circuit.opened().is_some_and(|reason| reason.contains("500")));
    }
}
