//! Turns answers into verdicts on the questions of a probe.
//!
//! Sends nothing.

use std::sync::Arc;

use super::asking::Answer;
use super::scratch::DOCUMENTED_LENGTH;

/// A verdict and its number, if it has one.
pub(super) type MeasuredVerdict = Option<(&'static str, Option<u64>)>;

/// Judges by the tags that a device has after one was added.
pub(super) type Kept = fn(&[Arc<str>], &str) -> MeasuredVerdict;

pub(super) fn kept_case(tags: &[Arc<str>], wanted: &str) -> MeasuredVerdict {
    let is_there = tags.iter().any(|tag| **tag == *wanted);
    Some((if is_there { "sensitive" } else { "insensitive" }, None))
}

pub(super) fn kept_blanks(tags: &[Arc<str>], wanted: &str) -> MeasuredVerdict {
    let kept = tags.iter().any(|tag| **tag == *wanted);
    let trimmed = tags.iter().any(|tag| **tag == *wanted.trim());
    match (kept, trimmed) {
        (true, _) => Some(("kept", None)),
        (false, true) => Some(("trimmed", None)),
        (false, false) => None,
    }
}

/// Whether the tags show that this one was added, however the service changed it.
pub(super) fn shows(tags: &[Arc<str>], added: &str) -> bool {
    kept_blanks(tags, added).is_some() || kept_length(tags, added).is_some()
}

pub(super) fn kept_length(tags: &[Arc<str>], wanted: &str) -> MeasuredVerdict {
    if tags.iter().any(|tag| **tag == *wanted) {
        return Some(("accepted", None));
    }
    let is_cut = |tag: &&Arc<str>| tag.len() > DOCUMENTED_LENGTH / 2 && wanted.starts_with(&***tag);
    let longest = tags.iter().filter(is_cut).map(|tag| tag.chars().count()).max()?;
    Some(("cut", Some(longest as u64)))
}

/// A 4xx that is about the request itself.
pub(super) fn is_refusal(answer: &Answer) -> bool {
    (400..500).contains(&answer.status) && !matches!(answer.status, 401 | 403 | 408 | 429)
}

pub(super) fn accepted(answer: &Answer) -> MeasuredVerdict {
    match (answer.is_success(), is_refusal(answer)) {
        (true, _) => Some(("accepted", None)),
        (false, true) => Some(("refused", None)),
        (false, false) => None,
    }
}

pub(super) fn answered(answer: &Answer, shows_device: bool) -> MeasuredVerdict {
    match (answer.is_success(), is_refusal(answer)) {
        (true, _) => Some((if shows_device { "device" } else { "empty" }, None)),
        (false, true) => Some(("refused", None)),
        (false, false) => None,
    }
}
