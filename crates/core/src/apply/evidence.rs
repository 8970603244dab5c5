//! What an answer leaves open, and why only a re-read can tell.
//!
//! Judges nothing; that is `verify`.

use std::sync::Arc;

use crate::time::Timestamp;

/// What an answer said about a change that it does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyEvidence {
    /// There was no answer that took the call.
    None,
    /// The service says that there is no such device.
    Missing,
    /// The service named the device as what a bulk call with others failed for.
    Named,
    /// The service took it, and does not show the device.
    Accepted,
    /// The service took it, and shows the device in the old state.
    Refuted,
}

/// Why only a re-read can tell.
#[derive(Clone, Debug)]
pub(super) struct RereadReason {
    pub(super) since: Timestamp,
    pub(super) evidence: ReplyEvidence,
    /// What came back, for people.
    pub(super) error: Arc<str>,
}
