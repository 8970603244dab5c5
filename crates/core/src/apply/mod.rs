//! Applying a plan: a state machine that says which call comes next and learns from each reply.
//!
//! Reads no clock, opens no socket, writes no file: `now` and replies come in, steps and journal entries go out.

use std::sync::Arc;
use std::time::Duration;

use crate::device::DeviceValue;
pub use crate::plan::{ChangeKey, ChangeWhat, TagAction};

use crate::plan::Lane;

mod answer;
pub mod budget;
mod changes;
mod combined;
mod dispatch;
mod entry;
mod isolate;
mod queue;
pub mod retry;
pub mod resume;
mod run;
mod verify;

pub use entry::Entry;
pub use run::{Progress, Run, RunOptions, Step, StopReason};

/// Number of a call within a run, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One HTTP request that writes, or reads one device just before a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// One tag, one action, at most 500 devices.
    BulkTag {
        /// The tag.
        tag: Arc<str>,
        /// Add or remove.
        action: TagAction,
        /// Device ids.
        devices: Vec<Arc<str>>,
    },
    /// One tag on one device: where the bulk route is forbidden, or a bad id is being isolated.
    SingleTag {
        /// The tag.
        tag: Arc<str>,
        /// Add or remove.
        action: TagAction,
        /// Device id.
        device: Arc<str>,
    },
    /// One value on one device.
    SetValue {
        /// Device id.
        device: Arc<str>,
        /// The value.
        value: DeviceValue,
    },
    /// `PATCH`: a value, a whole tag list, or both. Never an empty list, never without both.
    Update {
        /// Device id.
        device: Arc<str>,
        /// The value.
        value: Option<DeviceValue>,
        /// The full new list: `PATCH` replaces it.
        tags: Option<Vec<Arc<str>>>,
    },
    /// Reads one device by its id.
    Get {
        /// Device id.
        device: Arc<str>,
    },
}

impl Call {
    /// The lane whose budget it spends.
    pub fn lane(&self) -> Lane {
        match self {
            Call::BulkTag { .. } => Lane::BulkTag,
            Call::SingleTag { .. } => Lane::SingleTag,
            Call::SetValue { .. } => Lane::SetValue,
            Call::Update { .. } => Lane::UpdateDevice,
            Call::Get { .. } => Lane::Get,
        }
    }

    /// The devices that it touches.
    pub fn devices(&self) -> &[Arc<str>] {
        match self {
            Call::BulkTag { devices, .. } => devices,
            Call::SingleTag { device, .. }
            | Call::SetValue { device, .. }
            | Call::Update { device, .. }
            | Call::Get { device } => std::slice::from_ref(device),
        }
    }
}

/// A device as an answer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// Its id.
    pub id: Arc<str>,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// Its value; unknown words are kept.
    pub value: Option<Arc<str>>,
}

/// What came back for a call. A lost connection is a reply too. The edge has already renewed the token once on a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 2xx: the devices in the answer's body; empty where the body was empty.
    Answered {
        /// Devices as the answer shows them.
        devices: Vec<DeviceState>,
    },
    /// The service said no.
    Rejected(Rejection),
    /// 2xx with a body that cannot be read: the effect is unknown.
    Broken {
        /// HTTP status.
        status: u16,
        /// What is wrong with the body.
        detail: String,
    },
    /// No answer.
    Lost {
        /// What happened: `timed out after 100 s`, `connection reset`.
        detail: String,
        /// Whether the request could have reached the service: `false` where no connection was made.
        maybe_sent: bool,
    },
}

/// An answer other than 2xx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// HTTP status.
    pub status: u16,
    /// `error.code` of the body, or empty.
    pub code: String,
    /// `error.message` of the body, or a cut of a body that is no JSON.
    pub message: String,
    /// `error.target` of the body or the request-id header: what support asks for.
    pub request_id: Option<String>,
    /// `Retry-After` as a wait from the answer's own `Date`.
    pub retry_after: Option<Duration>,
}

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
    /// 404 twice.
    Gone,
    /// Rejected, with the service's code and message.
    Failed,
    /// Withheld by the plan.
    Withheld,
    /// Never sent: a limit, a signal, an open circuit, an addition that was not confirmed.
    NotAttempted,
    /// Sent, no answer, and a re-read was impossible.
    Unknown,
}

impl Outcome {
    /// All outcomes, in the order of reports.
    pub const ALL: [Outcome; 9] = [
        Outcome::Done,
        Outcome::Noop,
        Outcome::Stale,
        Outcome::Bounced,
        Outcome::Gone,
        Outcome::Failed,
        Outcome::Withheld,
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
            Outcome::Failed => "failed",
            Outcome::Withheld => "withheld",
            Outcome::NotAttempted => "notAttempted",
            Outcome::Unknown => "unknown",
        }
    }

    /// The outcome with this word.
    pub fn parse(word: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

/// How one change ended, and why if not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// Which change.
    pub key: ChangeKey,
    /// How it ended.
    pub outcome: Outcome,
    /// The service's code and message, or the reason: for people, and for the JSON's `error`.
    pub error: Option<String>,
}

/// Admits calls to lanes, so that no window is exceeded as the server could count it. Shared by readers and by every
/// process on one state directory (the ledger on disk implements it).
pub trait Meter: Send + Sync {
    /// Takes a slot of this lane now, or says how long to wait before asking again.
    fn admit(&self, lane: Lane) -> Admission;
    /// The answer to an admitted call has arrived (or will not): its slot frees one window from now. `throttled`: the
    /// answer was a 429 that asks for this wait, or for none.
    fn answered(&self, ticket: Ticket, throttled: Option<Option<Duration>>);
}

/// What a [`Meter`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send now, and hand the ticket back with the answer.
    Go(Ticket),
    /// Ask again after this long.
    Wait(Duration),
}

/// A slot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The lane.
    pub lane: Lane,
    /// Number of the slot, meaningful to the meter that gave it.
    pub slot: u64,
}
