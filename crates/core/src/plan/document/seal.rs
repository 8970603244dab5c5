//! The digest of a document, computed without its canonical form in memory: a plan's changes are hashed piece by piece.
//!
//! Compares nothing; `plan::digest` makes the canonical form.

use super::OUTSIDE_DIGEST;
use crate::plan::digest::{self, Sha256};

/// The digest of a document. `frame` is its JSON with an empty list of changes; `changes` hashes the canonical elements of that
/// list, separated by commas.
///
/// # Errors
/// A frame without a canonical form, and the errors of `changes`.
pub(super) fn seal<Fault: From<serde_json::Error>>(
    frame: &str,
    changes: impl FnOnce(&mut Sha256) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let mut changes = Some(changes);
    let mut sha256 = Sha256::new();
    let mut before: &[u8] = b"{";
    for (key, value) in digest::members(frame, &OUTSIDE_DIGEST)? {
        sha256.update(std::mem::replace(&mut before, b","));
        sha256.update(&serde_json::to_vec(&key)?);
        sha256.update(b":");
        match changes.take_if(|_| key == "changes") {
            Some(changes) => {
                sha256.update(b"[");
                changes(&mut sha256)?;
                sha256.update(b"]");
            }
            None => sha256.update(&value),
        }
    }
    sha256.update(b"}");
    Ok(sha256.finish())
}
