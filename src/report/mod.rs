//! How everything looks: one model computed from values, and many renderings of it.
//!
//! Prints nothing, reads no clock: writers and widths come in.

pub mod escape;
pub mod words;
pub mod model;
pub mod csv;
mod cut;
#[cfg(test)]
mod fixtures;
pub mod fold;
pub mod human;
pub mod markdown;
pub mod ndjson;
pub mod refusal;
pub mod row;
pub mod sentences;
mod split;
pub mod style;
mod table;
