//! How changes end: one word each, the same in journals and reports.
//!
//! Does not decide how a change ended; that is `answer` and `verify`.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use crate::plan::ChangeKey;

/// How one change ended. Each change ends as exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Confirmed by an answer or a re-read.
    Done,
    /// Was so already.
    Noop,
    /// The reviewed plan no longer fits.
    Stale,
    /// Accepted, yet a re-read shows the old state: another origin holds it.
    Bounced,
    /// 404 twice, and a fresh read does not show the device.
    Gone,
    /// The service said no to this device, in its own words.
    Refused,
    /// It did not work, with the service's code and message.
    Failed,
    /// Confirmed, and the list does not show it yet.
    Pending,
    /// A removal that waits for the addition that replaces it.
    Unconfirmed,
    /// Never sent: a limit, a signal, an open circuit, an addition that was not confirmed.
    NotAttempted,
    /// Sent, no answer, and a re-read was impossible.
    Unknown,
}

impl Outcome {
    /// All outcomes, in the order of reports.
    pub const ALL: [Outcome; 11] = [
        Outcome::Done,
        Outcome::Noop,
        Outcome::Stale,
        Outcome::Bounced,
        Outcome::Gone,
        Outcome::Refused,
        Outcome::Failed,
        Outcome::Pending,
        Outcome::Unconfirmed,
        Outcome::NotAttempted,
        Outcome::Unknown,
    ];

    /// The word in journals and reports.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Noop => "noop",
            Outcome::Stale => "stale",
            Outcome::Bounced => "bounced",
            Outcome::Gone => "gone",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Pending => "pending",
            Outcome::Unconfirmed => "unconfirmed",
            Outcome::NotAttempted => "notAttempted",
            Outcome::Unknown => "unknown",
        }
    }

    /// Whether the change did not end as it should, and waiting does not help.
    pub fn is_bad(self) -> bool {
        matches!(self, Outcome::Bounced | Outcome::Refused | Outcome::Failed | Outcome::Unknown)
    }

    pub fn parse(word: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

/// How one change ended, and why if not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeOutcome {
    pub key: ChangeKey,
    pub outcome: Outcome,
    /// The service's code and message, or the reason: for people, and for the JSON's `error`.
    pub error: Option<String>,
}
