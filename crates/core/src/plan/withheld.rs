//! Changes that are seen and deliberately not made, with the reason.
//!
//! Decides nothing; `assemble` and the guard do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeviceChange;
use crate::time::{Date, Timestamp};

/// Why changes are seen and deliberately not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WithheldReason {
    /// A protection matches the device.
    Protected,
    /// The inventory is untrusted: no removal, no default value.
    Untrusted,
    /// A template's data is missing, or the service reports no value.
    Unresolved,
    /// It bounced in the last three runs: another origin holds it.
    Contested,
    /// The service refused it in runs at least 12 hours apart: it is tried again later.
    Unwritable,
    /// An answer confirmed it and the list does not show it yet; only in [`Plan::pending`](super::Plan::pending).
    Pending,
    /// A removal that waits for the addition that replaces it on the same device.
    Unconfirmed,
    /// The device waits for its wave of a rollout that is open.
    Wave,
    /// A run undid it, and the policies have not changed since.
    Reverted,
}

impl WithheldReason {
    pub fn word(self) -> &'static str {
        match self {
            WithheldReason::Protected => "protected",
            WithheldReason::Untrusted => "untrusted",
            WithheldReason::Unresolved => "unresolved",
            WithheldReason::Contested => "contested",
            WithheldReason::Unwritable => "unwritable",
            WithheldReason::Pending => "pending",
            WithheldReason::Unconfirmed => "unconfirmed",
            WithheldReason::Wave => "wave",
            WithheldReason::Reverted => "reverted",
        }
    }
}

/// The part of a group's changes that the guard accepts, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Tags added or removed; no acceptance names a value.
    pub changes: u64,
    /// The last day on which all of these are accepted.
    pub until: Date,
}

/// A group of changes that are not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    pub reason: WithheldReason,
    /// The protection, the rule of a template, the origin of a contest, the tag that a removal waits for, the run of a rollout,
    /// or the run that undid it.
    pub name: Option<String>,
    /// When the first of them is tried again, if time alone allows that.
    pub until: Option<Timestamp>,
    /// The part of it that the guard accepts; only for contested changes.
    pub accepted: Option<Accepted>,
    /// Tags that would be added.
    pub additions: u64,
    /// Tags that would be removed.
    pub removals: u64,
    /// Values that would be set.
    pub values: u64,
    pub device_count: u64,
    /// All devices with what is withheld on each, ordered by id: drift lists them; the plan file shows a sample.
    pub devices: Vec<DeviceChange>,
}

impl Withheld {
    /// Builds a group with its sums.
    pub fn new(reason: WithheldReason, name: Option<String>, devices: Vec<DeviceChange>) -> Withheld {
        let (mut additions, mut removals, mut values) = (0, 0, 0);
        for device in &devices {
            let counts = device.counts();
            additions += counts.0;
            removals += counts.1;
            values += counts.2;
        }
        let device_count = devices.len() as u64;
        Withheld {
            reason,
            name,
            until: None,
            accepted: None,
            additions,
            removals,
            values,
            device_count,
            devices,
        }
    }
}
