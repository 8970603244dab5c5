//! mdetag at its edges: files, the service, the command line. The decisions are made in `mdetag-core`.
//!
//! The modules stand in the order in which data flows, and a module uses only the modules above it in this list.

// clippy.toml lists the clock, the environment and the terminal that this crate must not reach for.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod store;
pub mod tenant;
#[allow(clippy::disallowed_methods)]
pub mod cli;
