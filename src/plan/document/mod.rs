//! The plan as a JSON document: the keys that other tools rely on, written from a [`Plan`] and read back into one.
//!
//! Opens no file (that is `store`). Reading takes any 1.x, ignores unknown keys, and trusts nothing: a plan file is input.

mod measured;
mod read;
mod write;

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use measured::{
    AxisDocument, CallsDocument, GuardDocument, InvariantDocument, LaneDocument, LaneLeftDocument, LedgerDocument,
    SummaryDocument,
};
pub use read::{DocumentError, read};
pub use write::{write, write_drift};

use crate::device::DeviceValue;
use crate::time::Timestamp;

/// The version that this tool writes.
pub const FORMAT_VERSION: &str = "1.0";

/// Keys that stand outside the digest.
pub const OUTSIDE_DIGEST: [&str; 3] = ["createdAt", "digest", "ledger"];

/// A plan file. `Changes` is a list of [`ChangeDocument`], or what writes one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Document<Changes = Vec<ChangeDocument>> {
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
    pub tenant: TenantDocument,
    /// From which policy.
    pub policy: PolicyDocument,
    /// From which inventory.
    pub inventory: InventoryDocument,
    /// Options that change what is planned or how it is written.
    #[serde(default)]
    pub options: OptionsDocument,
    /// The rules of the set, in file order.
    #[serde(default)]
    pub rules: Vec<RuleDocument>,
    /// Every cause with its place; `why` beside a change is an index into this list.
    #[serde(default)]
    pub causes: Vec<CauseDocument>,
    /// Devices with changes, ordered by id.
    pub changes: Changes,
    /// A group of changes that are not done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WithheldDocument {
    /// `protected`, `untrusted`, `unresolved` or `contested` (in `pending`: `pending`).
    pub reason: String,
    /// The protection, the rule, the origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
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
    pub sample: Vec<DeviceDocument>,
}

/// A template that yielded no tag for some devices.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnresolvedDocument {
    /// The rule.
    pub rule: String,
    /// The template.
    pub template: String,
    /// Devices whose data is missing.
    pub missing: u64,
    /// Placeholders that were missing.
    #[serde(default)]
    pub placeholders: Vec<String>,
    /// Devices whose data makes an invalid tag.
    #[serde(default)]
    pub unusable: u64,
    /// Some of those results.
    #[serde(default)]
    pub sample: Vec<String>,
}

/// Values of a data file that match no device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmatchedDocument {
    /// The list file, or the lookup's name.
    pub source: String,
    /// Whether it is a lookup.
    #[serde(default)]
    pub is_lookup: bool,
    /// How many.
    pub count: u64,
    /// The first few.
    #[serde(default)]
    pub sample: Vec<String>,
}

/// A finding.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WarningDocument {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
}
