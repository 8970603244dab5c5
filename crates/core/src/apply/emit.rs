//! Turns the events of a run into entries, with a bounded number of changes each.
//!
//! The caller writes them before it shows them.

use crate::time::Timestamp;

use super::changes::{ChangeIndex, Effect};
use super::run::Run;
use super::{CallId, Entry, Outcome};

/// The most changes that one entry ends, so that no journal line grows without bound.
const MAX_ENDED: usize = 1_000;

impl Run<'_> {
    /// Entries since the last call. [`Run::reply`] and [`Run::verify`] return theirs; `next` may leave some.
    pub fn drain(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    pub(super) fn note(&mut self, now: Timestamp, text: String) {
        self.entries.push(Entry::Note { at: now, text });
    }

    /// Records the answer to a call and the changes that ended with it.
    pub(super) fn emit_reply(&mut self, call: CallId, now: Timestamp, answer: String) {
        let (ended, repairs) = self.changes.drain_ended();
        self.entries.push(Entry::Reply { call, at: now, answer, ended });
        self.emit_repairs(now, repairs);
        self.emit_ended(now);
    }

    /// Records the changes that ended since the last entry.
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
            let (Effect::Add(tag), number) = (change.what, change.device) else { continue };
            self.patch.repaired(number, tag);
            let ended = self.changes.outcome(repair);
            let outcome = ended.as_ref().map(|ended| ended.outcome);
            let error = ended.and_then(|ended| ended.error);
            // A change that was not sent is still due, in a resumed run.
            let restored = match outcome {
                Some(Outcome::NotAttempted | Outcome::Unknown) => None,
                _ => Some(outcome == Some(Outcome::Done)),
            };
            if restored == Some(true) {
                self.changes.put_back.entry(number).or_default().push(tag);
            }
            if restored != Some(true)
                && let Some(addition) = self.changes.planned_tag(number, tag)
            {
                let error = "added, then lost with its twin, and not put back".into();
                self.changes.revise(addition, Outcome::Bounced, &error);
            }
            let device = self.changes.device_id(number).clone();
            let tag = self.changes.tags[tag as usize].clone();
            self.entries.push(Entry::Repair { at: now, device, tag, restored, error });
        }
    }
}
