//! Entries: what a run says about itself, for the journal, the screen and the report alike.
//!
//! Knows no file format; that is `store::journal`.

use std::sync::Arc;

use crate::time::Timestamp;

use super::changes::{ChangeIndex, What};
use super::run::Run;
use super::{Call, CallId, ChangeOutcome, Outcome};

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A call is about to be sent. Written, and synced, before it is.
    Intent {
        /// Its number.
        call: CallId,
        /// When.
        at: Timestamp,
        /// The call.
        request: Call,
    },
    /// A call got its answer, or will get none.
    Reply {
        /// Its number.
        call: CallId,
        /// When.
        at: Timestamp,
        /// The answer in short: `200`, `400 InvalidInput: …`, `connection reset`.
        answer: String,
        /// Changes that ended with it.
        ended: Vec<ChangeOutcome>,
    },
    /// Changes that ended without a call of their own: by a re-read, by a stop, by another change.
    Ended {
        /// When.
        at: Timestamp,
        /// Which, and how.
        ended: Vec<ChangeOutcome>,
    },
    /// A tag that the run never meant to touch was lost by the service and has to be put back.
    Repair {
        /// When.
        at: Timestamp,
        /// Device id.
        device: Arc<str>,
        /// The tag.
        tag: Arc<str>,
        /// `None` while it is still to be put back; then whether it is back.
        restored: Option<bool>,
    },
    /// Something to know, said once: a fallback, a closed lane.
    Note {
        /// When.
        at: Timestamp,
        /// One sentence.
        text: String,
    },
}

impl Entry {
    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Entry::Intent { at, .. }
            | Entry::Reply { at, .. }
            | Entry::Ended { at, .. }
            | Entry::Repair { at, .. }
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

/// The most changes that one entry ends, so that no journal line grows without bound.
const MAX_ENDED: usize = 1_000;

impl Run<'_> {
    /// Entries since the last call. [`Run::reply`] and [`Run::verify`] return them too; `next` may leave some.
    pub fn drain(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    pub(super) fn note(&mut self, now: Timestamp, text: String) {
        self.entries.push(Entry::Note { at: now, text });
    }

    /// Says how a call was answered, and which changes ended with it.
    pub(super) fn emit_reply(&mut self, call: CallId, now: Timestamp, answer: String) {
        let (ended, repairs) = self.changes.drain_ended();
        self.entries.push(Entry::Reply { call, at: now, answer, ended });
        self.emit_repairs(now, repairs);
        self.emit_ended(now);
    }

    /// Says which changes ended since the last entry.
    pub(super) fn emit_ended(&mut self, now: Timestamp) {
        loop {
            let (ended, repairs) = self.changes.drain_ended();
            if ended.is_empty() && repairs.is_empty() {
                return;
            }
            let mut ended = ended.into_iter().peekable();
            while ended.peek().is_some() {
                let chunk = ended.by_ref().take(MAX_ENDED).collect();
                self.entries.push(Entry::Ended { at: now, ended: chunk });
            }
            self.emit_repairs(now, repairs);
        }
    }

    fn emit_repairs(&mut self, now: Timestamp, repairs: Vec<ChangeIndex>) {
        for repair in repairs {
            let change = self.changes.get(repair);
            let (What::Add(tag), number) = (change.what, change.device) else { continue };
            self.repairing.remove(&(number, tag));
            let outcome = self.changes.outcome(repair).map(|ended| ended.outcome);
            // One that was not sent is still to be put back, by a resumed run.
            let restored = match outcome {
                Some(Outcome::NotAttempted | Outcome::Unknown) => None,
                _ => Some(outcome == Some(Outcome::Done)),
            };
            if restored != Some(true)
                && let Some(addition) = self.changes.planned_tag(number, tag)
            {
                let error = "added, then lost with its twin, and not put back".into();
                self.changes.revise(addition, Outcome::Bounced, &error);
            }
            let device = self.changes.device_id(number).clone();
            let tag = self.changes.tags[tag as usize].clone();
            self.entries.push(Entry::Repair { at: now, device, tag, restored });
        }
    }
}
