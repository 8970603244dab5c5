//! The plan: every change, everything withheld, the cause of each, and the cost in calls.
//!
//! Leaves nothing to decide when it is applied; does no I/O.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod accepted;
mod assemble;
pub mod calls;
mod cause;
mod changed_back;
mod combine;
pub mod consequences;
pub mod cost;
mod counted;
mod diff;
mod differences;
pub mod digest;
pub mod document;
mod families;
pub mod guard;
pub mod guard_changes;
mod header;
mod history;
mod idle;
mod lane;
mod last_devices;
mod levels;
mod limits;
mod measure;
mod open;
mod owed;
pub mod replacement;
pub mod revert;
mod rivals;
pub mod stale;
pub mod tight;
mod twins;
pub mod waves;
mod withheld;

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cause::Cause;
pub use changed_back::{ChangedAfter, ChangedBack, UndoneWrite, changed_back};
pub use cost::{LaneCost, LaneLeft, Ledger, Schedule};
pub use diff::diff;
pub use families::PlannedFamily;
pub use guard::{AxisReport, GuardReport, InvariantReport, Refused, SafePlan};
pub use header::{
    FileReference, Header, InventoryReference, Options, PolicyReference, ProfileDigest, TagRoute,
    TenantReference, ValueRoute,
};

pub use history::{History, Owed};
pub use lane::Lane;
pub use last_devices::{LastDevices, LastOf, last_devices};
pub use levels::{denied, level_warnings};
pub use limits::TagLimits;
pub use rivals::{OtherSet, Rival, rivals};

pub use crate::desired::{GapReason, Unresolved, UnresolvedDevice};
use crate::device::DeviceValue;
use crate::diagnostic::Place;
use crate::inventory::BaselineReport;
pub use crate::selection::Unmatched;
pub use crate::tag::TagCase;
use crate::time::Timestamp;
pub use waves::{PlannedWave, PlannedWaves};
pub use withheld::{Accepted, Withheld, WithheldReason};

/// The most devices of one bulk call (documented).
pub const MAX_BULK: usize = 500;

/// Index into [`Plan::tags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagIndex(pub u32);

/// Index into [`Plan::causes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseIndex(pub u32);

/// All changes, all withheld changes, their causes. Ordered by device id; tags of a device bytewise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub header: Header,
    /// Every tag that the plan names, once.
    pub tags: Vec<Arc<str>>,
    /// Every cause, once.
    pub causes: Vec<Cause>,
    /// Rules of the set that causes refer to by index (all rules, in file order).
    pub rules: Vec<RuleReference>,
    /// Devices with changes; a device without is absent.
    pub changes: Vec<DeviceChange>,
    /// Changes that are seen and deliberately not made.
    pub withheld: Vec<Withheld>,
    /// Changes that an earlier run made and the list does not show yet: shown, not planned again, no drift.
    pub pending: Vec<Withheld>,
    /// Templates that yielded no tag, by the missing or unusable value.
    pub unresolved: Vec<Unresolved>,
    /// Values of list files and keys of lookups that match no device.
    pub unmatched: Vec<Unmatched>,
    /// Findings about this plan that are not policy errors.
    pub warnings: Vec<Warning>,
    /// The bases of caps and invariants.
    pub measures: Measures,
    /// Devices that change device group, and the effects; `None` if the policy names no device groups.
    pub groups: Option<consequences::Consequences>,
    /// The same as predicted from the base's device groups, if that shows more moves: the cap judges the greater number.
    pub base_groups: Option<consequences::Consequences>,
    /// Tags, device groups and rules that its removals leave without any device.
    pub last_devices: Vec<LastDevices>,
    /// The families that lose a member.
    pub families: Vec<PlannedFamily>,
    /// The waves in which it is written; `None` if it is written at once.
    pub rollout: Option<PlannedWaves>,
    /// A digest of the changes on the tenant; filled by the guard.
    pub changes_digest: String,
    /// The guard's arithmetic and verdict; filled by the guard.
    pub guard: GuardReport,
    /// The report from the kept state; filled by the guard, outside the digest.
    pub state: guard::StateReport,
    /// Calls per lane, their minimum, and the shortest time.
    pub schedule: Schedule,
    /// The remaining budget; outside the digest, like the wall clock.
    pub ledger: Option<Ledger>,
}

impl Plan {
    /// Whether it changes nothing; something may still be withheld.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The prediction whose moves the cap judges.
    pub fn judged_groups(&self) -> Option<&consequences::Consequences> {
        self.base_groups.as_ref().or(self.groups.as_ref())
    }

    /// The tag at an index of this plan.
    pub fn tag(&self, index: TagIndex) -> &Arc<str> {
        &self.tags[index.0 as usize]
    }

    /// The cause at an index of this plan.
    pub fn cause(&self, index: CauseIndex) -> &Cause {
        &self.causes[index.0 as usize]
    }

    /// Whether the tag at this index equals this tag under the plan's `tagCase`.
    pub fn is_tag(&self, index: TagIndex, tag: &str) -> bool {
        self.header.options.tag_case.is_same(self.tag(index), tag)
    }

    /// Whether every read behind this plan is trusted.
    pub fn is_trusted(&self) -> bool {
        self.header.inventory.reasons.is_empty()
    }

    /// The totals of its changes.
    pub fn totals(&self) -> Totals {
        let (additions, removals, values) = self.counts();
        Totals { devices: self.changes.len() as u64, additions, removals, values }
    }

    /// Tags added, tags removed, values set.
    pub fn counts(&self) -> (u64, u64, u64) {
        self.changes.iter().fold((0, 0, 0), |(additions, removals, values), change| {
            let (add, remove, value) = change.counts();
            (additions + add, removals + remove, values + value)
        })
    }
}

impl DeviceChange {
    /// Tags added, tags removed, values set.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.add.len() as u64, self.remove.len() as u64, u64::from(self.value.is_some()))
    }

    /// The tags to add and to remove, each with its cause.
    pub fn tag_changes(&self) -> impl Iterator<Item = (TagIndex, TagAction, CauseIndex)> {
        let adds = self.add.iter().map(|add| (add.tag, TagAction::Add, add.cause));
        adds.chain(self.remove.iter().map(|remove| (remove.tag, TagAction::Remove, remove.cause)))
    }

    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.value.is_none()
    }
}

/// Changes by kind, and the devices that they are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Devices with changes.
    pub devices: u64,
    /// Device-tag pairs added.
    pub additions: u64,
    /// Device-tag pairs removed.
    pub removals: u64,
    /// Device values set.
    pub values: u64,
}

impl Totals {
    pub fn changes(self) -> u64 {
        self.additions + self.removals + self.values
    }
}

/// A rule as plans and reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleReference {
    /// Its name.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// The higher wins, and is written first.
    #[serde(default)]
    pub priority: i64,
    /// From the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// From the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// From the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// One device with its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceChange {
    pub id: Arc<str>,
    /// The device's name, if it has one.
    pub name: Option<Arc<str>>,
    /// Its tags as read, in the service's order.
    pub observed_tags: Box<[TagIndex]>,
    /// Its value as read; absent if the service reports none. Unknown words are kept.
    pub observed_value: Option<Arc<str>>,
    /// Tags to add, bytewise by tag.
    pub add: Vec<TagChange>,
    /// Tags to remove, bytewise by tag.
    pub remove: Vec<TagChange>,
    pub value: Option<ValueChange>,
}

/// One tag to add to or remove from one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagChange {
    pub tag: TagIndex,
    pub cause: CauseIndex,
}

/// A value to set on one device; the old one is the device's `observed_value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueChange {
    pub to: DeviceValue,
    pub cause: CauseIndex,
}

/// A finding about a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable code, as for diagnostics.
    pub code: Cow<'static, str>,
    /// One sentence.
    pub message: String,
    /// A note that `lints` of `mdetag.yaml` counts as a warning.
    #[serde(default, rename = "isRaised", skip_serializing_if = "std::ops::Not::not")]
    pub is_raised: bool,
}

impl Warning {
    pub fn new(code: &'static str, message: impl Into<String>) -> Warning {
        Warning { code: code.into(), message: message.into(), is_raised: false }
    }

    /// Whether it asks for nothing.
    pub fn is_note(&self) -> bool {
        self.code.starts_with('N') && !self.is_raised
    }
}

/// The bases of caps and invariants, measured on the live inventory when the plan is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Devices in scope.
    pub in_scope: u64,
    /// Live device-tag pairs in scope whose tag this set may remove.
    pub removable_pairs: u64,
    /// For every tag with removals: the live devices in scope that carry it.
    pub carriers: Vec<(TagIndex, u64)>,
    /// Removed tags that the guard or a device group names: a rename does not exempt their removals from any cap.
    pub watched: Vec<TagIndex>,
    /// For every invariant, in policy order: its count before and after the plan.
    pub invariants: Vec<(u64, u64)>,
    /// The `changesDigest` of the reviewed plan that this one is a part of, because an approval may be bound to it.
    pub part_of: Option<String>,
    /// The work of earlier runs of the policy set; `None` if no state is kept.
    pub past: Option<guard::Past>,
    /// Sources that shrank or disappeared, compared with the kept counts.
    pub baselines: Vec<BaselineReport>,
    /// Other policy sets that own the same tags.
    pub rivals: Vec<Rival>,
    /// Changes that others undid at least twice and this plan repeats.
    pub changed_back: Vec<ChangedBack>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagAction {
    /// The device should carry the tag.
    Add,
    /// The device should not carry the tag.
    Remove,
}

/// Identifies a change by content, across files and runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeKey {
    pub device: Arc<str>,
    pub what: ChangeWhat,
}

/// The change of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeWhat {
    Add(Arc<str>),
    Remove(Arc<str>),
    Value(DeviceValue),
}

/// The action of a call on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteAction {
    Add,
    Remove,
    Value,
}

/// A change that the service refuses for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritable {
    pub action: WriteAction,
    /// Only this tag, if other changes of the device work.
    pub tag: Option<Arc<str>>,
    /// The service's words.
    pub reason: String,
    /// When it is tried again.
    pub until: Timestamp,
}

impl Unwritable {
    /// Whether a change of the device is refused, under this `tagCase`.
    pub fn covers(&self, what: &ChangeWhat, case: TagCase) -> bool {
        let (action, tag) = match what {
            ChangeWhat::Add(tag) => (WriteAction::Add, Some(tag)),
            ChangeWhat::Remove(tag) => (WriteAction::Remove, Some(tag)),
            ChangeWhat::Value(_) => (WriteAction::Value, None),
        };
        self.action == action
            && self.tag.as_ref().is_none_or(|own| tag.is_some_and(|tag| case.is_same(own, tag)))
    }
}

/// A place for tests that ask for none.
#[cfg(test)]
pub(crate) fn nowhere() -> crate::diagnostic::Place {
    crate::diagnostic::Place { file: "p".into(), line: 1, column: 1, end_line: 1, end_column: 1 }
}

#[cfg(test)]
mod tests;
