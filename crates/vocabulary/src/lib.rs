//! The words that every part of mdetag shares: points in time, findings, text, patterns, the fields of a device, tags.
//!
//! Judges nothing. The sandbox knows these words and nothing else of the client, so that neither can copy the other's mistakes.
//! The modules stand in the order in which data flows, and a module uses only the modules above it in this list.

pub mod time;
pub mod diagnostic;
pub mod text;
pub mod pattern;
pub mod device;
pub mod tag;
