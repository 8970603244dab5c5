//! The words that every part of mdetag shares: points in time, findings, text, patterns, the fields of a device, tags.
//!
//! Judges nothing. The sandbox uses this crate and nothing else of the client, so that neither can copy the other's mistakes.
//! Modules are listed in the order in which data flows, and each uses only the modules above it.

// clippy.toml lists the clock, the environment, files and sockets that this crate must not reach for.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod random;
pub mod hex;
pub mod words;
pub mod cloud;
pub mod time;
pub mod diagnostic;
pub mod text;
pub mod pattern;
pub mod device;
pub mod tag;
