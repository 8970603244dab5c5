//! mdetag at its edges: files and the service. `mdetag-core` decides; the command line is private to the binary.
//!
//! The modules stand in the order in which data flows, and a module uses only the modules above it in this list.

// clippy.toml lists the clock, the environment and the terminal that this crate must not reach for.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod store;
pub mod tenant;
