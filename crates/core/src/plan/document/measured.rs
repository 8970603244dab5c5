//! The numbers in a plan's document: totals, calls, the guard's arithmetic, the budget.
//!
//! Forms only; `write` fills them and `read` checks them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PlaceDocument;

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
