//! The outcomes of changes: one word each, the same in journals and reports.
//!
//! `answer` and `verify` decide them.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use crate::plan::ChangeKey;

mdetag_vocabulary::words! {
    /// The outcome of one change. Each change has exactly one in the end.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Outcome {
        /// Confirmed by an answer or a re-read.
        Done = "done",
        /// The device was already in that state.
        Noop = "noop",
        /// The reviewed plan no longer fits.
        Stale = "stale",
        /// Accepted, yet a re-read shows the old state: another origin holds it.
        Bounced = "bounced",
        /// 404 twice, and a fresh read does not show the device.
        Gone = "gone",
        /// The service rejected it for this device, in its own words.
        Refused = "refused",
        /// It did not work, with the service's code and message.
        Failed = "failed",
        /// Confirmed, but the list does not show it yet.
        Pending = "pending",
        /// A removal that waits for the addition that replaces it.
        Unconfirmed = "unconfirmed",
        /// Never sent: a limit, a signal, an open circuit, or an addition that was not confirmed.
        NotAttempted = "notAttempted",
        /// Sent without an answer, and a re-read was impossible.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// Whether the change did not end as it should, and waiting does not help.
    pub fn is_bad(self) -> bool {
        matches!(self, Outcome::Bounced | Outcome::Refused | Outcome::Failed | Outcome::Unknown)
    }
}

/// The outcome of one change, and the reason if it is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeOutcome {
    pub key: ChangeKey,
    pub outcome: Outcome,
    /// The service's code and message, or the reason: for people, and for `error` in JSON.
    pub error: Option<String>,
}
