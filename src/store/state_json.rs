//! JSON of state files: names of devices and tags stand in it, and a job may print it.
//!
//! Knows no file.

use std::io::{Error, Result};

use mdetag_core::report::escape;
use serde::Serialize;

/// A document in which no log reader finds a command (`##vso[…]`, `##[…]`).
///
/// # Errors
/// A value that has no JSON form.
pub(super) fn text<T: Serialize>(value: &T) -> Result<String> {
    let text = serde_json::to_string(value).map_err(Error::other)?;
    Ok(if text.contains("##") { escape::json_text(&text) } else { text })
}

/// The same as bytes.
///
/// # Errors
/// As [`text`].
pub(super) fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    text(value).map(String::into_bytes)
}
