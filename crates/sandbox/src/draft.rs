//! A generated device before it is written: everything that varies from row to row.
//!
//! Decides nothing about it; that is `people`.

use std::time::Duration;

use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
    pub(super) first_seen: Option<Timestamp>,
    pub(super) last_seen: Option<Timestamp>,
    pub(super) platform: &'static str,
    pub(super) version: Option<&'static str>,
    pub(super) build: Option<u32>,
    pub(super) health: &'static str,
    pub(super) onboarding: &'static str,
    pub(super) risk: Option<&'static str>,
    pub(super) exposure: &'static str,
    pub(super) value: DeviceValue,
    pub(super) group: (i32, Option<&'static str>),
    pub(super) excluded: bool,
    pub(super) duplicate: bool,
    pub(super) merged_into: Option<String>,
    pub(super) joined: Option<bool>,
    pub(super) entra_id: Option<String>,
    pub(super) managed_by: (&'static str, &'static str),
    pub(super) agent: Option<&'static str>,
    pub(super) address: [u8; 4],
    pub(super) serial: u64,
    pub(super) azure: Option<Azure>,
    pub(super) manual: Vec<&'static str>,
    pub(super) registry: Option<&'static str>,
    pub(super) dynamic: Vec<&'static str>,
    pub(super) locked: bool,
}

/// The role of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    DomainController,
    Server,
    Linux,
    Workstation,
    Mac,
    Phone,
    Discovered,
}

/// Where a virtual machine runs in Azure.
#[derive(Debug)]
pub(super) struct Azure {
    pub(super) subscription: u64,
    /// The service sometimes gives only the resource id.
    pub(super) only_resource: bool,
}

/// A moment `days` and `milliseconds` before another.
pub(super) fn days_before(moment: Timestamp, days: u64, milliseconds: u64) -> Timestamp {
    moment.minus(Duration::from_secs(days * 86_400) + Duration::from_millis(milliseconds))
}
