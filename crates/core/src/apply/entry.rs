//! Entries: what a run says about itself, for the journal, the screen and the report alike.
//!
//! Knows no file format; that is `store::journal`.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::sync::Arc;

use crate::time::Timestamp;

use super::{Call, CallId, ChangeOutcome, WaveEvent};

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A call is about to be sent. Written, and synced, before it is.
    Intent {
        call: CallId,
        at: Timestamp,
        request: Call,
        /// Where it sets a value: the one that the list showed before, empty where it showed none. Journals of earlier versions do not
        /// say.
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
    /// Changes that ended without a call of their own: by a re-read, by a stop, by another change.
    Ended { at: Timestamp, ended: Vec<ChangeOutcome> },
    /// A tag that the run never meant to touch was lost by the service and has to be put back.
    Repair {
        at: Timestamp,
        device: Arc<str>,
        tag: Arc<str>,
        /// `None` while it is still to be put back; then whether it is back.
        restored: Option<bool>,
        /// Why it is not back.
        error: Option<String>,
    },
    /// The tags of a device as a read showed them just before a `PATCH` of its value: what the call loses is put back
    /// from these. Written before the intent of that call.
    Canary { at: Timestamp, device: Arc<str>, tags: Vec<Arc<str>> },
    /// Something happened to a wave of the plan.
    Wave { at: Timestamp, wave: u32, event: WaveEvent },
    /// Something to know, said once: a fallback, a closed lane.
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
