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
}

/// What a [`Meter`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send now, and hand the ticket back with the answer.
    Go(Ticket),
    /// Ask again after this long.
    Wait(Duration),
}

/// A slot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub lane: Lane,
    /// Number of the slot, meaningful to the meter that gave it.
    pub slot: u64,
}
