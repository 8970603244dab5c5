//! Measuring the service: which of the disputed answers this tenant's service gives, asked with one device and scratch tags.
//!
//! Opens no socket and reads no clock: questions go to an [`ProbeClient`], answers come back, and a [`ServiceProfile`] comes out.
//! Writes nothing but scratch tags and what the device already has; [`scratch`] says which tags those are.

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
