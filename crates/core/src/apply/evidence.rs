//! What an answer leaves unproven, and why only a re-read can prove it.
//!
//! Judges nothing; that is `verify`.

use std::sync::Arc;

use crate::time::Timestamp;

/// What an answer said about a change without proving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyEvidence {
    /// No answer accepted the call.
    None,
    /// The service says that the device does not exist.
    Missing,
    /// The service named the device as the reason why a bulk call failed.
    Named,
    /// The service accepted the call, and does not show the device.
    Accepted,
    /// The service accepted the call, and shows the device in the old state.
    Refuted,
}

/// Why only a re-read can prove the effect.
#[derive(Clone, Debug)]
pub(super) struct RereadReason {
    pub(super) since: Timestamp,
    pub(super) evidence: ReplyEvidence,
    /// The reply, for people.
    pub(super) error: Arc<str>,
}
