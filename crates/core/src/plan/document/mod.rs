//! The plan as a JSON document: the keys that other tools rely on, written from a plan and read back into one.
//!
//! Opens no file (that is `store`). Reading accepts any 1.x, ignores unknown keys, and trusts nothing: a plan file is input.

mod blocks;
mod changes;
mod error;
mod read;
mod seal;
mod tables;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::DocumentError;
pub use read::{read, read_with_digest};
pub(crate) use write::withheld;
pub use write::{write_open, write_to};

use super::consequences::Consequences;
use super::guard::StateReport;
use super::{
    GuardReport, InventoryReference, LastDevices, Ledger, Options, PlannedFamily, PlannedWaves,
    PolicyReference, RuleReference, Schedule, TenantReference, Totals, Unmatched, Warning, WithheldReason,
};
use crate::device::DeviceValue;
use crate::diagnostic::Place;
use crate::time::Timestamp;

/// The version that mdetag writes.
pub const FORMAT_VERSION: &str = "1.0";

/// Keys outside the digest: the wall clock, the ledger, the figures of the kept state, and a report's comparison with a base.
pub const OUTSIDE_DIGEST: [&str; 5] = ["createdAt", "digest", "ledger", "split", "state"];

/// The schema of a plan file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

/// A plan file. `Changes` is a list of [`ChangeLine`], or of its texts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Document<Changes = Vec<ChangeLine<'static>>> {
    /// `1.0`; readers accept any 1.x and ignore keys that they do not know.
    pub format_version: String,
    /// Name and version of the tool.
    pub tool: String,
    /// When the plan was made (the wall clock); outside the digest.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// The clock that the policy was evaluated with.
    #[schemars(with = "String")]
    pub now: Timestamp,
    /// For which tenant.
    pub tenant: TenantReference,
    /// From which policy.
    pub policy: PolicyReference,
    /// From which inventory.
    pub inventory: InventoryReference,
    /// Options that change what is planned or how it is written.
    #[serde(default)]
    pub options: Options,
    /// The run whose confirmed changes this plan undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<String>,
    /// How many of its changes the policies at hand want the other way, where it undoes a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opposed: Option<u64>,
    /// The rules of the set, in file order.
    #[serde(default)]
    pub rules: Vec<RuleReference>,
    /// Every cause with its place; `why` beside a change is an index into this list.
    #[serde(default)]
    pub causes: Vec<CauseEntry>,
    /// Devices with changes, ordered by id.
    pub changes: Changes,
    /// Totals.
    pub summary: Totals,
    /// What the plan costs in calls.
    pub calls: Schedule,
    /// Which changes on which tenant: `sha256:…`, as an approval's `changes` may name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub changes_digest: String,
    /// The guard's arithmetic.
    pub guard: GuardReport,
    /// The figures of the kept state; outside the digest.
    #[serde(default)]
    pub state: StateReport,
    /// Seen and deliberately not done.
    #[serde(default)]
    pub withheld: Vec<WithheldEntry>,
    /// Where plans of earlier versions have what now stands under `withheld` with the reason `pending`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<WithheldEntry>,
    /// Templates that yielded no tag.
    #[serde(default)]
    pub unresolved: Vec<UnresolvedEntry>,
    /// Values of data files that match no device.
    #[serde(default)]
    pub unmatched: Vec<Unmatched>,
    /// Devices that change device group, and what that means; where the policy names device groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Consequences>,
    /// The same as the base's device groups predict it, where they see more devices move: the cap judges the greater number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_groups: Option<Consequences>,
    /// Tags, device groups and rules that the removals leave without any device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_devices: Vec<LastDevices>,
    /// The families of which it removes a member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub families: Vec<PlannedFamily>,
    /// Removed tags that the guard or a device group names: giving the device the new name of such a tag takes its removal off no cap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<Arc<str>>,
    /// The waves in which it is written; where there are any, each device has its `wave`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<PlannedWaves>,
    /// Findings.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// What is left of the budget; outside the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// `sha256:…` over the canonical form (RFC 8785) without `createdAt`, `ledger`, `state` and `digest`.
    #[serde(default)]
    pub digest: String,
}

/// Why a change is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CauseKind {
    /// A rule says so.
    Rule,
    /// Claimed, and no rule assigns it.
    Unselected,
    /// A stronger member of the family stays.
    Family,
    /// Retired.
    Retired,
    /// Has a new name.
    Renamed,
    /// No rule gives a value.
    Default,
    /// A call of an earlier run took the tag along.
    Restored,
}

/// A cause, and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CauseEntry {
    /// The word.
    pub cause: CauseKind,
    /// The winning rules, beside `rule`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The claim as written, beside `unselected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The family, beside `family`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The new name, beside `renamed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Arc<str>>,
    /// The run whose call took the tag along, beside `restored`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Arc<str>>,
    /// Where it stands; the places of rules are in `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceEntry {
    /// Its id.
    pub id: Arc<str>,
    /// Its name; null where it has none.
    #[serde(default)]
    pub name: Option<Arc<str>>,
}

// From here to the values, keys stand in the order of RFC 8785: what is written of a change is its canonical form too.

/// One device with its changes; its texts are borrowed from the document where they stand in it without escapes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeLine<'a> {
    /// Tags to add, bytewise.
    #[serde(default, borrow)]
    pub add: Vec<TagChangeLine<'a>>,
    /// The device.
    pub device: DeviceEntry,
    /// The value to set.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub device_value: Option<ValueChangeLine<'a>>,
    /// As read.
    #[serde(default, borrow)]
    pub observed: ObservedLine<'a>,
    /// Tags to remove, bytewise.
    #[serde(default, borrow)]
    pub remove: Vec<TagChangeLine<'a>>,
    /// The wave in which the device is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
}

/// A text within a change.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// What was read of a device.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedLine<'a> {
    /// Its value; null where the service reports none.
    #[serde(default)]
    pub device_value: Option<Arc<str>>,
    /// Its tags.
    #[serde(default, borrow)]
    pub tags: Vec<Text<'a>>,
}

/// A tag to add or remove.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TagChangeLine<'a> {
    /// Why.
    pub cause: CauseKind,
    /// The class of this difference, in drift reports.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub class: Option<Text<'a>>,
    /// The family, beside `family`.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub family: Option<Text<'a>>,
    /// The winning rules, beside `rule`.
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Text<'a>>,
    /// The run whose call took the tag along, beside `restored`.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub run: Option<Text<'a>>,
    /// The tag.
    #[serde(borrow)]
    pub tag: Text<'a>,
    /// The new name, beside `renamed`.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub to: Option<Text<'a>>,
    /// Index into `causes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<u32>,
}

/// A value to set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValueChangeLine<'a> {
    /// Why.
    pub cause: CauseKind,
    /// The class of this difference, in drift reports.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub class: Option<Text<'a>>,
    /// As read.
    #[serde(borrow)]
    pub from: Option<Text<'a>>,
    /// The winning rules, beside `rule`.
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Text<'a>>,
    /// To be set.
    pub to: DeviceValue,
    /// Index into `causes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<u32>,
}

/// A group of changes that are not done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WithheldEntry {
    /// `protected`, `untrusted`, `unresolved`, `contested`, `unwritable`, `unconfirmed` or `wave` (in `pending`: `pending`).
    pub reason: WithheldReason,
    /// The protection, the rule, the origin, the words of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the first of them is tried again, where time alone brings that about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// What of it `guard.accept` names; only of what is contested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedEntry>,
    /// Tags that would be added.
    pub additions: u64,
    /// Tags that would be removed.
    pub removals: u64,
    /// Values that would be set.
    pub values: u64,
    /// How many devices.
    #[serde(default)]
    pub devices: u64,
    /// The first few devices.
    #[serde(default)]
    pub sample: Vec<DeviceEntry>,
}

/// Contested changes that the guard accepts: `drift` does not exit with 2 for them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AcceptedEntry {
    /// How many.
    pub changes: u64,
    /// The last day, UTC, on which all of them are accepted.
    pub until: String,
}

/// A template that yielded no tag for some devices.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnresolvedEntry {
    /// The rule.
    pub rule: String,
    /// The template.
    pub template: String,
    /// The first placeholder without a value; of an unusable result all of the template's.
    #[serde(default)]
    pub placeholder: String,
    /// Devices by reason: `missing`, `noRow`, `emptyCell`, `notInMap`, `emptySlug`, `conflict`, `shortRow`, `unmatched`, `unusable`.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
    /// Some values that were no use.
    #[serde(default)]
    pub sample: Vec<String>,
    /// The devices without the tag; plans of earlier versions only count them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<UnresolvedDeviceEntry>,
}

/// A device on which a template yielded no tag.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnresolvedDeviceEntry {
    /// The device.
    #[serde(flatten)]
    pub device: DeviceEntry,
    /// One of `missing`, `noRow`, `emptyCell`, `notInMap`, `emptySlug`, `conflict`, `shortRow`, `unmatched`, `unusable`.
    pub reason: String,
}

/// The plan as a text.
#[cfg(test)]
pub(crate) fn written(plan: &super::Plan) -> String {
    let mut text = Vec::new();
    write_to(plan, &mut text).expect("memory takes any text");
    String::from_utf8(text).expect("JSON is UTF-8")
}
