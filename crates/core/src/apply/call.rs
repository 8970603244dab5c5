//! Calls to the service and their replies, as values.
//!
//! Sends nothing; `tenant` does.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::sync::Arc;
use std::time::Duration;

use crate::device::DeviceValue;
use crate::inventory::Snapshot;
use crate::plan::{ChangeWhat, Lane, TagAction};

/// Number of a call within a run, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// An HTTP request that writes, or that reads one device just before a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// One tag, one action, at most 500 devices.
    BulkTag { tag: Arc<str>, action: TagAction, devices: Vec<Arc<str>> },
    /// One tag on one device: used if the bulk route is forbidden, or to isolate a bad id.
    SingleTag { tag: Arc<str>, action: TagAction, device: Arc<str> },
    /// One value on one device.
    SetValue { device: Arc<str>, value: DeviceValue },
    /// `PATCH`: a value, a whole tag list, or both. Never an empty list, never neither.
    Update {
        device: Arc<str>,
        value: Option<DeviceValue>,
        /// The full new list: `PATCH` replaces it.
        tags: Option<Vec<Arc<str>>>,
    },
    /// Reads one device by its id.
    Get { device: Arc<str> },
}

impl Call {
    /// The lane whose budget it uses.
    pub fn lane(&self) -> Lane {
        match self {
            Call::BulkTag { .. } => Lane::BulkTag,
            Call::SingleTag { .. } => Lane::SingleTag,
            Call::SetValue { .. } => Lane::SetValue,
            Call::Update { .. } => Lane::UpdateDevice,
            Call::Get { .. } => Lane::Get,
        }
    }
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

/// A device in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    pub id: Arc<str>,
    pub tags: Vec<Arc<str>>,
    /// Whether it came with a list of tags, be it empty. Without one nothing is known of its tags.
    pub has_tag_list: bool,
    /// Its value; unknown words are kept.
    pub value: Option<Arc<str>>,
}

impl DeviceState {
    /// A device in a snapshot; `None` if the snapshot lacks it.
    pub fn in_snapshot(snapshot: &Snapshot, id: &str) -> Option<DeviceState> {
        let row = snapshot.find(id)?;
        Some(DeviceState {
            id: snapshot.id(row).into(),
            tags: snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag).into()).collect(),
            has_tag_list: snapshot.has_tag_list(row),
            value: snapshot.value(row).map(Into::into),
        })
    }

    /// Whether it is as a change wants it, tags by their exact spelling; `None` where it does not say.
    pub fn shows(&self, wanted: &ChangeWhat) -> Option<bool> {
        match wanted {
            ChangeWhat::Add(tag) => self.carries(tag),
            ChangeWhat::Remove(tag) => self.carries(tag).map(|carries| !carries),
            ChangeWhat::Value(value) => self.has_value(*value),
        }
    }

    /// Whether it carries a tag; `None` where it does not say.
    pub fn carries(&self, tag: &str) -> Option<bool> {
        self.has_tag_list.then(|| self.tags.iter().any(|own| **own == *tag))
    }

    /// Whether it has a value; `None` where it does not say which it has.
    pub fn has_value(&self, value: DeviceValue) -> Option<bool> {
        self.value.as_deref().map(|own| own == value.word())
    }
}

/// The reply to a call. A lost connection is a reply too. On a 401, the sender has already renewed the token once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 2xx: the devices in the answer's body; empty if the body was empty.
    Answered {
        /// The devices in the answer.
        devices: Vec<DeviceState>,
    },
    /// The service rejected the call.
    Rejected(Rejection),
    /// 2xx with an unreadable body: the effect is unknown.
    Broken {
        status: u16,
        /// What is wrong with the body.
        detail: String,
    },
    /// No answer.
    Lost {
        /// The error: `timed out after 100 s`, `connection reset`.
        detail: String,
        /// Whether the request may have reached the service: `false` if no connection was made.
        maybe_sent: bool,
    },
}

/// An answer other than 2xx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    pub status: u16,
    /// `error.code` of the body, or empty.
    pub code: String,
    /// `error.message` of the body, or the start of a body that is not JSON.
    pub message: String,
    /// `error.target` of the body, or the request-id header, for the service's support.
    pub request_id: Option<String>,
    /// `Retry-After` as a wait, counted from the answer's own `Date`.
    pub retry_after: Option<Duration>,
}
