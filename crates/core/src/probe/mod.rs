//! Measures the service: finds out, with one device and scratch tags, which of the disputed answers this tenant's service gives.
//!
//! Opens no socket and reads no clock: questions go to a [`ProbeClient`], answers come back, and the result is a
//! [`ServiceProfile`]. Writes nothing but scratch tags, listed in [`scratch`], and state that the device already has.

mod asking;
mod clean;
mod judge;
mod known;
mod measure;
mod profile;
pub mod scratch;
#[cfg(test)]
mod tests;

pub use crate::service::{Question, assumed};
pub use asking::{Answer, Interrupted, MAX_CALLS, ProbeCall, ProbeClient};
pub use clean::{Leftover, clean_up};
pub use known::{FILTERS, KnownService};
pub use measure::{Measured, ProbedDevice, measure};
pub use profile::{Evidence, Finding, Seen, ServiceProfile, VALID_FOR};
