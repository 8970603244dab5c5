//! The pure pipeline of mdetag: policies and devices in; plans, calls and reports out. No files, no sockets, no clock.
//!
//! The modules stand in the order in which data flows, and a module uses only the modules above it in this list
//! (`tests/architecture.rs` reads the list and fails when one does not). See `ARCHITECTURE.md` for the picture.

// clippy.toml lists the clock, the environment, files and sockets that this crate must not reach for.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

// The vocabulary, shared with the sandbox.
pub use mdetag_vocabulary::{device, diagnostic, pattern, random, tag, text, time};

// The pipeline.
pub mod policy;
pub mod inventory;
pub mod selection;
pub mod groups;
pub mod desired;
pub mod plan;
pub mod explain;
pub mod rehearsal;
pub mod import;
pub mod coverage;
pub mod apply;
pub mod report;
