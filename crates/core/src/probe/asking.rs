//! One call of a probe, its answer, and the client that makes it.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::apply::{Call, DeviceState, TagAction};
use crate::device::DeviceValue;
use crate::plan::Lane;
use crate::time::Timestamp;

/// The most calls of a probe, including cleaning up.
pub const MAX_CALLS: u32 = 40;

/// A call of a probe. Every one is about the probe's device, or reads the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeCall {
    /// The device by its id.
    Device,
    /// One page of the list.
    List {
        /// `$top`.
        top: Option<u32>,
        /// `$skip`; 0 is not sent.
        skip: u32,
        /// `$filter`, starting with a field's name.
        filter: Option<String>,
    },
    /// A bulk call for a scratch tag, or for one of the device's own that `PATCH` removed.
    Bulk {
        tag: Arc<str>,
        /// Add or remove.
        action: TagAction,
        /// The device's id, once or twice; its id and one that no device has; or nothing.
        ids: Vec<Arc<str>>,
    },
    /// Tags only the device, by its own route, with a scratch tag.
    Single { tag: Arc<str> },
    /// Sets the value that the device already has.
    Value { value: DeviceValue },
    /// `PATCH`; never without content.
    Patch {
        /// The value that the device already has.
        value: Option<DeviceValue>,
        /// Tags that the device already has.
        tags: Option<Vec<Arc<str>>>,
    },
}

impl ProbeCall {
    /// The lane whose budget it spends.
    pub fn lane(&self) -> Lane {
        match self {
            ProbeCall::Device => Lane::Get,
            ProbeCall::List { .. } => Lane::List,
            ProbeCall::Bulk { .. } => Lane::BulkTag,
            ProbeCall::Single { .. } => Lane::SingleTag,
            ProbeCall::Value { .. } => Lane::SetValue,
            ProbeCall::Patch { .. } => Lane::UpdateDevice,
        }
    }

    /// Whether it can change the device.
    pub fn writes(&self) -> bool {
        !matches!(self, ProbeCall::Device | ProbeCall::List { .. })
    }

    /// The equivalent call of an apply on the probe's device; `None` for the list.
    pub fn as_call(&self, device: &Arc<str>) -> Option<Call> {
        let device = Arc::clone(device);
        Some(match self {
            ProbeCall::Device => Call::Get { device },
            ProbeCall::List { .. } => return None,
            ProbeCall::Bulk { tag, action, ids } => {
                Call::BulkTag { tag: Arc::clone(tag), action: *action, devices: ids.clone() }
            }
            ProbeCall::Single { tag } => {
                Call::SingleTag { tag: Arc::clone(tag), action: TagAction::Add, device }
            }
            ProbeCall::Value { value } => Call::SetValue { device, value: *value },
            ProbeCall::Patch { value, tags } => Call::Update { device, value: *value, tags: tags.clone() },
        })
    }

    /// Its form as evidence: route and parameters, never a name, an id or a tag.
    pub fn shape(&self) -> String {
        match self {
            ProbeCall::Device => "GET a device by its id".to_owned(),
            ProbeCall::List { top, skip, filter } => {
                let mut shape = "GET the list".to_owned();
                if let Some(top) = top {
                    shape.push_str(&format!(", $top={top}"));
                }
                if *skip > 0 {
                    shape.push_str(&format!(", $skip={skip}"));
                }
                let field = filter.as_deref().and_then(|filter| filter.split(' ').next());
                if let Some(field) = field {
                    shape.push_str(&format!(", $filter on {field}"));
                }
                shape
            }
            ProbeCall::Bulk { action, ids, .. } => {
                let what = if *action == TagAction::Add { "Add" } else { "Remove" };
                format!("POST the bulk call, {what}, {} ids", ids.len())
            }
            ProbeCall::Single { .. } => "POST a tag of one device, Add".to_owned(),
            ProbeCall::Value { .. } => "POST setDeviceValue".to_owned(),
            ProbeCall::Patch { value, tags } => {
                let tags = tags.as_ref().map(|tags| format!("machineTags of {}", tags.len()));
                let value = value.map(|_| "deviceValue".to_owned());
                let parts: Vec<String> = value.into_iter().chain(tags).collect();
                format!("PATCH with {}", parts.join(" and "))
            }
        }
    }
}

/// Error codes that may be evidence. Any other could be a word of the tenant's own, inserted by a gateway.
const KNOWN_CODES: [&str; 15] = [
    "BadRequest",
    "ODataError",
    "InvalidInput",
    "InvalidRequestBody",
    "MissingRequiredParameter",
    "MaximumBatchSizeExceeded",
    "Unauthorized",
    "Forbidden",
    "DisabledFeature",
    "DisallowedOperation",
    "NotFound",
    "ResourceNotFound",
    "UnsupportedMediaType",
    "TooManyRequests",
    "InternalServerError",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status; 0 if no answer came.
    pub status: u16,
    /// `error.code`, or empty.
    pub code: String,
    /// `error.message`, or empty. Never becomes evidence.
    pub message: String,
    /// The probe's device, if the answer shows it.
    pub device: Option<DeviceState>,
    /// Devices in the answer.
    pub rows: usize,
    /// Whether there is a link to the next page.
    pub next_link: bool,
    /// The 429s before this answer, and whether each said how long to wait.
    pub throttled: Vec<bool>,
}

impl Answer {
    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn shape(&self) -> String {
        if self.status == 0 {
            return "no answer".to_owned();
        }
        let mut shape = self.status.to_string();
        match KNOWN_CODES.iter().find(|known| **known == self.code) {
            Some(code) => shape.push_str(&format!(" {code}")),
            None if self.code.is_empty() => {}
            None => shape.push_str(" another code"),
        }
        if self.is_success() {
            shape.push_str(&format!(", {} devices", self.rows));
        }
        if self.next_link {
            shape.push_str(", next link");
        }
        shape
    }
}

/// Why the probe ends early: a signal, a full journal, a lost lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupted(pub String);

/// Sends the calls of a probe.
pub trait ProbeClient {
    /// Sends one call within the budget. Journals it first if it writes, waits out 429s, renews the token.
    ///
    /// # Errors
    /// The probe must end.
    fn send(&mut self, call: &ProbeCall) -> impl Future<Output = Result<Answer, Interrupted>>;

    /// Waits.
    ///
    /// # Errors
    /// The probe must end.
    fn pause(&mut self, wait: Duration) -> impl Future<Output = Result<(), Interrupted>>;

    fn now(&self) -> Timestamp;
}
