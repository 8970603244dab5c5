//! The lanes of a run: the number of calls in flight on each, and which were given up.
//!
//! Does not know windows; that is `budget`.

use crate::plan::Lane;

use super::budget::Budget;
use super::retry::Circuit;

/// All lanes of a run.
#[derive(Default)]
pub(super) struct Lanes {
    circuits: [Circuit; Lane::ALL.len()],
    in_flight: [usize; Lane::ALL.len()],
}

impl Lanes {
    pub(super) fn circuit(&self, lane: Lane) -> &Circuit {
        &self.circuits[lane as usize]
    }

    pub(super) fn circuit_mut(&mut self, lane: Lane) -> &mut Circuit {
        &mut self.circuits[lane as usize]
    }

    pub(super) fn in_flight(&self, lane: Lane) -> usize {
        self.in_flight[lane as usize]
    }

    pub(super) fn call_started(&mut self, lane: Lane) {
        self.in_flight[lane as usize] += 1;
    }

    pub(super) fn call_ended(&mut self, lane: Lane) {
        self.in_flight[lane as usize] -= 1;
    }

    /// Why a lane was given up, by this run or by the shared budget.
    pub(super) fn given_up<'a>(&'a self, lane: Lane, budget: &'a Budget) -> Option<&'a str> {
        self.circuits[lane as usize].opened().or_else(|| budget.given_up(lane))
    }
}
