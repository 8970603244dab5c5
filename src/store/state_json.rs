//! JSON of state files, which contain names of devices and tags and may be printed by a job.
//!
//! Knows no file.

use std::io::{Error, Result};

use mdetag_core::report::escape;
use serde::Serialize;

/// A document without any command of a log reader (`##vso[…]`, `##[…]`).
///
/// # Errors
/// A value without a JSON form.
pub(super) fn text<T: Serialize>(value: &T) -> Result<String> {
    let text = serde_json::to_string(value).map_err(Error::other)?;
    Ok(if text.contains("##") { escape::json_text(&text) } else { text })
}

/// Like [`text`], as bytes.
///
/// # Errors
/// As [`text`].
pub(super) fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    text(value).map(String::into_bytes)
}
