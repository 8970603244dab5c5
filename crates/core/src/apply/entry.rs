//! Entries: the record of a run for the journal, the screen and the report.
//!
//! Knows no file format; that is `store::journal`.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::sync::Arc;

use crate::time::Timestamp;

use super::{Call, CallId, ChangeOutcome, WaveEvent};

/// An event of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A call is about to be sent. Written and synced first.
    Intent {
        call: CallId,
        at: Timestamp,
        request: Call,
        /// For a call that sets a value: the value that the list showed before, empty if it showed none. Journals of earlier
        /// versions lack it.
        value_was: Option<Arc<str>>,
    },
    /// A call got its answer, or will get none.
    Reply {
        call: CallId,
        at: Timestamp,
        /// The answer in short: `200`, `400 InvalidInput: …`, `connection reset`.
        answer: String,
        /// Changes that ended with it.
        ended: Vec<ChangeOutcome>,
    },
    /// Changes that ended without a call of their own: by a re-read, a stop, or another change.
    Ended { at: Timestamp, ended: Vec<ChangeOutcome> },
    /// The service lost a tag that the run did not mean to touch, and it must be put back.
    Repair {
        at: Timestamp,
        device: Arc<str>,
        tag: Arc<str>,
        /// `None` while it is due; then whether it is back.
        restored: Option<bool>,
        /// Why it is not back.
        error: Option<String>,
    },
    /// The tags of a device in a read just before a `PATCH` of its value: if the call loses any, they are put back from this
    /// list. Written before the intent of that call.
    Canary { at: Timestamp, device: Arc<str>, tags: Vec<Arc<str>> },
    /// Something happened to a wave of the plan.
    Wave { at: Timestamp, wave: u32, event: WaveEvent },
    /// A notice, written once: a fallback, a closed lane.
    Note { at: Timestamp, text: String },
}

impl Entry {
    pub fn at(&self) -> Timestamp {
        match self {
            Entry::Intent { at, .. }
            | Entry::Reply { at, .. }
            | Entry::Ended { at, .. }
            | Entry::Repair { at, .. }
            | Entry::Wave { at, .. }
            | Entry::Canary { at, .. }
            | Entry::Note { at, .. } => *at,
        }
    }

    /// The changes that ended with it.
    pub fn ended(&self) -> &[ChangeOutcome] {
        match self {
            Entry::Reply { ended, .. } | Entry::Ended { ended, .. } => ended,
            _ => &[],
        }
    }
}
