//! Admission of calls: what everybody who calls the service asks first.
//!
//! Counts nothing; that is `budget`.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::time::Duration;

use crate::plan::Lane;

/// Admits calls to lanes, so that no window is exceeded as the server could count it. Shared by readers and by every
/// process on one state directory (the ledger on disk implements it).
pub trait Meter: Send + Sync {
    /// Takes a slot of this lane now, or says how long to wait before asking again.
    fn admit(&self, lane: Lane) -> Admission;
    /// The answer to an admitted call has arrived (or will not): its slot frees one window from now. `throttled`: the
    /// answer was a 429 that asks for this wait, or for none.
    fn answered(&self, ticket: Ticket, throttled: Option<Option<Duration>>);
    /// Called before and during each wait with what is left of it: no wait goes unexplained.
    fn waits(&self, _wait: &LaneWait) {}
}

/// What a [`Meter`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send now, and hand the ticket back with the answer.
    Go(Ticket),
    /// Ask again after this long.
    Wait(LaneWait),
    /// Waiting is no use: why.
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
    /// The service asked for it, perhaps an earlier process.
    Throttled,
    /// As many calls as a window takes have started, those of other processes included.
    Spent { calls: u32, window: WindowSpan },
    /// Slots are reserved first, where several computers share the windows.
    Reserving,
}

/// The windows of a lane by their unscaled lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSpan {
    Minute,
    Hour,
}

/// A slot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub lane: Lane,
    /// Number of the slot, meaningful to the meter that gave it.
    pub slot: u64,
}
