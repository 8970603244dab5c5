//! Admission of calls: every caller of the service must ask here first.
//!
//! Counts nothing; that is `budget`.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::time::Duration;

use crate::plan::Lane;

/// Admits calls to lanes, so that no window is exceeded, however the server counts. Readers and all processes with the same state
/// directory share it (the ledger on disk implements it).
pub trait Meter: Send + Sync {
    /// Takes a slot of this lane now, or says how long to wait before asking again.
    fn admit(&self, lane: Lane) -> Admission;
    /// The answer to an admitted call has arrived (or will not): its slot frees one window from now. `throttled`: the answer was
    /// a 429, with or without a `Retry-After`.
    fn answered(&self, ticket: Ticket, throttled: Option<Option<Duration>>);
    /// Called before and during each wait with the remaining time, so that every wait is explained.
    fn waits(&self, _wait: &LaneWait) {}
}

/// The answer of a [`Meter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send now, and hand the ticket back with the answer.
    Go(Ticket),
    /// Ask again after this long.
    Wait(LaneWait),
    /// Waiting is useless, for this reason.
    GivenUp(String),
}

/// A wait of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneWait {
    pub lane: Lane,
    pub span: Duration,
    pub reason: WaitReason,
}

/// Why a lane waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The service asked for it, perhaps in an earlier process.
    Throttled,
    /// A window is full, counting the calls of other processes.
    Spent { calls: u32, window: WindowSpan },
    /// Slots must be reserved first, because several computers share the windows.
    Reserving,
}

/// The windows of a lane by their unscaled lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSpan {
    Minute,
    Hour,
}

/// A taken slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub lane: Lane,
    /// Number of the slot, for the meter that gave it.
    pub slot: u64,
}
