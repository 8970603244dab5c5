//! How everything looks: one model computed from values, and many renderings of it.
//!
//! Prints nothing, reads no clock: writers and widths come in.

pub mod escape;
pub mod words;
pub mod model;
#[cfg(test)]
mod fixtures;
pub mod fold;
pub mod human;
pub mod refusal;
pub mod sentences;
mod split;
pub mod style;
mod table;
