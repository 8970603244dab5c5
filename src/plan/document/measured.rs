//! The numbers in a plan's document: totals, calls, the guard's arithmetic, the budget.
//!
//! Forms only; `write` fills them and `read` checks them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PlaceDocument;

/// Totals.
    pub summary: SummaryDocument,
    /// What the plan costs in calls.
    pub calls: CallsDocument,
    /// The guard's arithmetic.
    pub guard: GuardDocument,
    /// Seen and deliberately not done.
    #[serde(default)]
    pub withheld: Vec<WithheldDocument>,
    /// Confirmed by an earlier run, not shown by the list yet.
    #[serde(default)]
    pub pending: Vec<WithheldDocument>,
    /// Templates that yielded no tag.
    #[serde(default)]
    pub unresolved: Vec<UnresolvedDocument>,
    /// Values of data files that match no device.
    #[serde(default)]
    pub unmatched: Vec<UnmatchedDocument>,
    /// Findings.
    #[serde(default)]
    pub warnings: Vec<WarningDocument>,
    /// What is left of the budget; outside the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerDocument>,
    /// `sha256:…` over the canonical form (RFC 8785) without `createdAt`, `ledger` and `digest`.
    #[serde(default)]
    pub digest: String,
}

/// A tenant.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TenantDocument {
    /// Directory id; null where an inventory file names none.
    #[serde(default)]
    pub id: Option<String>,
    /// Profile name.
    #[serde(default)]
    pub name: Option<String>,
    /// `public`, `gcc`, `gcc-high`, `dod` or `sandbox`.
    #[serde(default)]
    pub cloud: Option<String>,
}

/// A policy set.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PolicyDocument {
    /// `sha256:…` over paths and digests of the files.
    pub digest: String,
    /// Every file read.
    #[serde(default)]
    pub files: Vec<FileDocument>,
    /// Git commit, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The files and directories that were given: `apply` reads them again.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileDocument {
    /// Relative path.
    pub path: String,
    /// `sha256:…`.
    pub digest: String,
}

/// An inventory.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryDocument {
    /// `sha256:…`.
    pub digest: String,
    /// Devices read.
    pub devices: u64,
    /// Of them, in scope.
    pub in_scope: u64,
    /// Whether the read can be believed.
    pub trusted: bool,
    /// Why not.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// Options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionsDocument {
    /// `exact` or `insensitive`.
    #[serde(default)]
    pub tag_case: TagCaseWord,
    /// `writes.values`.
    #[serde(default)]
    pub values: ValueRouteWord,
    /// `writes.combine`.
    #[serde(default)]
    pub combine: bool,
}

/// How tags of other case count.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TagCaseWord {
    /// Two tags.
    #[default]
    Exact,
    /// One tag.
    Insensitive,
}

/// Which routes values take.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ValueRouteWord {
    /// One.
    #[default]
    SetDeviceValue,
    /// Two.
    Both,
}

/// A place in a policy file; lines and columns from 1.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceDocument {
    /// Path as given.
    pub file: Arc<str>,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// One past the last column.
    pub end_column: u32,
}

/// A rule.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RuleDocument {
    /// Name.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub place: PlaceDocument,
    /// The higher wins.
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

/// Why a change is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CauseWord {
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
}

/// A cause, and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CauseDocument {
    /// The word.
    pub cause: CauseWord,
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
    /// Where it stands; the places of rules are in `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceDocument>,
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceDocument {
    /// Its id.
    pub id: Arc<str>,
    /// Its name; null where it has none.
    #[serde(default)]
    pub name: Option<Arc<str>>,
}

/// What was read of a device.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedDocument {
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Arc<str>>,
    /// Its value; null where the service reports none.
    #[serde(default)]
    pub device_value: Option<Arc<str>>,
}

/// One device with its changes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDocument {
    /// The device.
    pub device: DeviceDocument,
    /// As read.
    #[serde(default)]
    pub observed: ObservedDocument,
    /// Tags to add, bytewise.
    #[serde(default)]
    pub add: Vec<TagChangeDocument>,
    /// Tags to remove, bytewise.
    #[serde(default)]
    pub remove: Vec<TagChangeDocument>,
    /// The value to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_value: Option<ValueChangeDocument>,
}

/// A tag to add or remove.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TagChangeDocument {
    /// The tag.
    pub tag: Arc<str>,
    /// Why.
    #[serde(flatten)]
    pub reason: ReasonDocument,
}

/// A value to set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValueChangeDocument {
    /// As read.
    pub from: Option<Arc<str>>,
    /// To be set.
    pub to: DeviceValue,
    /// Why.
    pub cause: CauseWord,
    /// The winning rules, beside `rule`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Index into `causes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<u32>,
    /// The class of this difference, in drift reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Cow<'static, str>>,
}

/// Why a tag changes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReasonDocument {
    /// The word.
    pub cause: CauseWord,
    /// The winning rules, beside `rule`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The family, beside `family`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The new name, beside `renamed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Arc<str>>,
    /// Index into `causes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<u32>,
    /// The class of this difference, in drift reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Cow<'static, str>>,
}

/// Totals.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SummaryDocument {
    /// Devices with changes.
    pub devices: u64,
    /// Device-tag pairs added.
    pub additions: u64,
    /// Device-tag pairs removed.
    pub removals: u64,
    /// Device values set.
    pub values: u64,
}

/// Calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CallsDocument {
    /// Lanes with calls.
    #[serde(default)]
    pub lanes: Vec<LaneDocument>,
    /// Over all lanes.
    pub total: u64,
    /// The provable minimum.
    pub minimum: u64,
    /// The calls without combining, where combining is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncombined: Option<u64>,
    /// Seconds from an unused budget until the last call may start.
    pub seconds: u64,
}

/// Calls of one lane.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LaneDocument {
    /// `list`, `get`, `bulkTag`, `singleTag`, `setValue`, `updateDevice` or `hunting`.
    pub lane: String,
    /// Planned.
    pub calls: u64,
    /// The provable minimum.
    pub minimum: u64,
}

/// The guard's arithmetic.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct GuardDocument {
    /// Whether the plan is refused.
    pub refused: bool,
    /// What raised a cap.
    #[serde(default)]
    pub approvals: Vec<String>,
    /// One entry an axis, and for `removalsPerTag` one a tag with removals.
    #[serde(default)]
    pub axes: Vec<AxisDocument>,
    /// One entry an invariant.
    #[serde(default)]
    pub invariants: Vec<InvariantDocument>,
}

/// One cap.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AxisDocument {
    /// `devices`, `additions`, `removals`, `removalsPerTag` or `values`.
    pub axis: String,
    /// The tag, for `removalsPerTag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Arc<str>>,
    /// What the plan has.
    pub planned: u64,
    /// What is allowed, approvals included.
    pub allowed: u64,
    /// What the percentage is of.
    pub base: u64,
    /// The cap's share, as `10 %`.
    #[serde(default)]
    pub percent: String,
    /// The cap's floor.
    #[serde(default)]
    pub floor: u64,
    /// Where the cap is stated; absent for a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceDocument>,
}

/// One invariant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InvariantDocument {
    /// Its name.
    pub name: String,
    /// What it demands.
    pub demand: String,
    /// The count now.
    pub before: u64,
    /// The count after the plan.
    pub after: u64,
    /// Whether it refuses the plan.
    pub refuses: bool,
    /// Where it stands.
    pub place: PlaceDocument,
}

/// What is left of the budget.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LedgerDocument {
    /// Seconds from now until the last call may start.
    pub seconds: u64,
    /// Lanes that the plan uses.
    #[serde(default)]
    pub lanes: Vec<LaneLeftDocument>,
}

/// What is left of one lane.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LaneLeftDocument {
    /// The lane.
    pub lane: String,
    /// Calls left in this hour.
    pub left: u64,
    /// Calls an hour.
    pub of: u64,
}
