//! Calls to the service and what comes back for them, as values.
//!
//! Does not send anything; that is the edge's writer.

#![expect(missing_docs, reason = "fields are named by what they hold")]

use std::sync::Arc;
use std::time::Duration;

use crate::device::DeviceValue;
use crate::inventory::Snapshot;
use crate::plan::{Lane, TagAction};

/// Number of a call within a run, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One HTTP request that writes, or reads one device just before a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// One tag, one action, at most 500 devices.
    BulkTag { tag: Arc<str>, action: TagAction, devices: Vec<Arc<str>> },
    /// One tag on one device: where the bulk route is forbidden, or a bad id is being isolated.
    SingleTag { tag: Arc<str>, action: TagAction, device: Arc<str> },
    /// One value on one device.
    SetValue { device: Arc<str>, value: DeviceValue },
    /// `PATCH`: a value, a whole tag list, or both. Never an empty list, never without both.
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
    pub id: Arc<str>,
    pub tags: Vec<Arc<str>>,
    /// Its value; unknown words are kept.
    pub value: Option<Arc<str>>,
}

impl DeviceState {
    /// A device as a snapshot has it; `None` where it lists no such device.
    pub fn in_snapshot(snapshot: &Snapshot, id: &str) -> Option<DeviceState> {
        let row = snapshot.find(id)?;
        Some(DeviceState {
            id: snapshot.id(row).into(),
            tags: snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag).into()).collect(),
            value: snapshot.value(row).map(Into::into),
        })
    }
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
