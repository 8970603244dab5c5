//! How everything looks: one model computed from values, and many renderings of it.
//!
//! Prints nothing, reads no clock: writers and widths come in.

pub mod escape;
pub mod words;
