//! The plan: every change, everything withheld, the cause of each, and what it costs in calls.
//!
//! Nothing is left to decide when it is applied; nothing here does any I/O.

use std::sync::Arc;

use crate::device::DeviceValue;
use crate::diagnostic::Place;
use crate::policy::Axis;
pub use crate::selection::Unmatched;
use crate::time::Timestamp;

/// Index into [`Plan::tags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagIndex(pub u32);

/// Index into [`Plan::causes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseIndex(pub u32);

/// All changes, all withheld changes, their causes. Ordered by device id; tags of a device bytewise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Where, when, from what.
    pub header: Header,
    /// Every tag that the plan names, once.
    pub tags: Vec<Arc<str>>,
    /// Every cause, once.
    pub causes: Vec<Cause>,
    /// Rules of the set that causes refer to by index (all rules, in file order).
    pub rules: Vec<RuleReference>,
    /// Devices with changes; a device without is absent.
    pub changes: Vec<DeviceChange>,
    /// Seen and deliberately not done.
    pub withheld: Vec<Withheld>,
    /// Changes that a previous run made and the list does not show yet: shown, not planned again, not drift.
    pub pending: Vec<Withheld>,
    /// Templates that yielded no tag, by what was missing or unusable.
    pub unresolved: Vec<Unresolved>,
    /// Values of list files and keys of lookups that match no device.
    pub unmatched: Vec<Unmatched>,
    /// Findings about this plan that are no policy errors.
    pub warnings: Vec<Warning>,
    /// What the caps and invariants are measured against.
    pub measures: Measures,
    /// The guard's arithmetic and verdict; filled by the guard.
    pub guard: GuardReport,
    /// Calls a lane, minimum, shortest time.
    pub schedule: Schedule,
}

/// Where a plan is for, when it was made, and from what.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// `mdetag 0.1.0`.
    pub tool: String,
    /// The wall clock; outside the digest.
    pub created_at: Timestamp,
    /// The clock of `within`, `until` and the like.
    pub now: Timestamp,
    /// For which tenant.
    pub tenant: TenantReference,
    /// From which policy.
    pub policy: PolicyReference,
    /// From which inventory.
    pub inventory: InventoryReference,
    /// Options that change what is planned or how it is written; a difference at `apply` refuses.
    pub options: Options,
}

impl Default for Header {
    fn default() -> Header {
        Header {
            tool: format!("mdetag {}", env!("CARGO_PKG_VERSION")),
            created_at: Timestamp::EPOCH,
            now: Timestamp::EPOCH,
            tenant: TenantReference::default(),
            policy: PolicyReference::default(),
            inventory: InventoryReference::default(),
            options: Options::default(),
        }
    }
}

/// A tenant as plans, snapshots and journals name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantReference {
    /// Directory id; absent where an inventory file names none.
    pub id: Option<String>,
    /// Profile name.
    pub name: Option<String>,
    /// `public`, `gcc`, `gcc-high`, `dod`, `sandbox`; absent with the id.
    pub cloud: Option<String>,
}

/// The policy set that a plan was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReference {
    /// `sha256:…` over the files' paths and digests.
    pub digest: String,
    /// Every file read, data files included; paths relative to the repository root (without one: the working directory).
    pub files: Vec<FileReference>,
    /// Git commit, if any.
    pub commit: Option<String>,
    /// The files and directories that were given, relative to the same folder as `files`: `apply` reads them again.
    pub arguments: Vec<String>,
}

/// One file and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReference {
    /// Relative path with `/`.
    pub path: String,
    /// `sha256:…`.
    pub digest: String,
}

/// The inventory that a plan was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryReference {
    /// `sha256:…`.
    pub digest: String,
    /// Devices read.
    pub devices: u64,
    /// Of them, in scope.
    pub in_scope: u64,
    /// Why the read is untrusted; empty: it is trusted.
    pub reasons: Vec<String>,
}

/// How tags of other case count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TagCase {
    /// `Tier0` and `tier0` are two tags.
    #[default]
    Exact,
    /// A live tag that differs only in case counts as the tag.
    Insensitive,
}

/// Which route device values take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ValueRoute {
    /// `setDeviceValue` only.
    #[default]
    SetDeviceValue,
    /// Spread over `setDeviceValue` and `PATCH`: two limits, half the time.
    Both,
}

/// Options that change what is planned or how it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// How tags of other case count.
    pub tag_case: TagCase,
    /// Which route device values take.
    pub values: ValueRoute,
    /// Whether one `PATCH` may carry a device's value and tags.
    pub combine: bool,
}

/// A rule as plans and reports show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleReference {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// The higher wins, and is written first.
    pub priority: i64,
    /// From the policy.
    pub description: Option<String>,
    /// From the policy.
    pub owner: Option<String>,
    /// From the policy.
    pub ticket: Option<String>,
}

/// Why a change is planned. Reads as the end of the sentence "planned because …".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// These rules won (indices into [`Plan::rules`], ascending, never empty).
    Rule(Vec<u32>),
    /// The tag is claimed and no rule assigns it to the device.
    Unselected {
        /// The claim as written (a family name for its members), and where it stands.
        claim: String,
        /// Where the claim stands.
        place: Place,
    },
    /// A stronger member of this family stays.
    Family {
        /// The family's name.
        family: String,
        /// Where it stands.
        place: Place,
    },
    /// The tag is retired.
    Retired {
        /// Where.
        place: Place,
    },
    /// The tag has a new name.
    Renamed {
        /// The new name.
        to: Arc<str>,
        /// Where the rename stands.
        place: Place,
    },
    /// No rule gives the device a value.
    Default {
        /// Where the default stands.
        place: Place,
    },
}

impl Cause {
    /// The word in plans: `rule`, `unselected`, `family`, `retired`, `renamed`, `default`.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Rule(_) => "rule",
            Cause::Unselected { .. } => "unselected",
            Cause::Family { .. } => "family",
            Cause::Retired { .. } => "retired",
            Cause::Renamed { .. } => "renamed",
            Cause::Default { .. } => "default",
        }
    }
}

/// One device with its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceChange {
    /// The device id.
    pub id: Arc<str>,
    /// The device's name, where it has one.
    pub name: Option<Arc<str>>,
    /// Its tags as read, in the service's order.
    pub observed_tags: Box<[TagIndex]>,
    /// Its value as read; absent where the service reports none. Unknown words are kept.
    pub observed_value: Option<Arc<str>>,
    /// Tags to add, bytewise by tag.
    pub add: Vec<TagChange>,
    /// Tags to remove, bytewise by tag.
    pub remove: Vec<TagChange>,
    /// The value to set.
    pub value: Option<ValueChange>,
}

/// One tag to add to or remove from one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagChange {
    /// The tag.
    pub tag: TagIndex,
    /// Why.
    pub cause: CauseIndex,
}

/// A value to set on one device; the old one is the device's `observed_value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueChange {
    /// The new value.
    pub to: DeviceValue,
    /// Why.
    pub cause: CauseIndex,
}

/// Why changes are seen and deliberately not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WithheldReason {
    /// A protection matches the device.
    Protected,
    /// The inventory is untrusted: no removal, no default value.
    Untrusted,
    /// A template's data is missing, or the service reports no value.
    Unresolved,
    /// It bounced in the last three runs: another origin holds it.
    Contested,
}

impl WithheldReason {
    /// The word in plans.
    pub fn word(self) -> &'static str {
        match self {
            WithheldReason::Protected => "protected",
            WithheldReason::Untrusted => "untrusted",
            WithheldReason::Unresolved => "unresolved",
            WithheldReason::Contested => "contested",
        }
    }
}

/// A group of changes that are not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Why.
    pub reason: WithheldReason,
    /// The protection, the rule of a template, the origin of a contest.
    pub name: Option<String>,
    /// Tags that would be added.
    pub additions: u64,
    /// Tags that would be removed.
    pub removals: u64,
    /// Values that would be set.
    pub values: u64,
    /// All devices and what is withheld on each, ordered by id: drift lists them; the plan file shows a sample.
    pub devices: Vec<DeviceChange>,
}

/// Template results that are no tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Index into [`Plan::rules`].
    pub rule: u32,
    /// The template as written.
    pub template: String,
    /// Devices for which a placeholder is missing or empties.
    pub missing: u64,
    /// The placeholders that were missing, by name.
    pub placeholders: Vec<String>,
    /// Devices for which the result is no valid tag.
    pub unusable: u64,
    /// Up to three unusable results.
    pub sample: Vec<String>,
}

/// A finding about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable code, as for diagnostics.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}

/// What caps and invariants are measured against; taken from the live inventory when the plan is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Devices in scope.
    pub in_scope: u64,
    /// Live device-tag pairs in scope whose tag this set may remove.
    pub removable_pairs: u64,
    /// For every tag with removals: live devices in scope that carry it.
    pub carriers: Vec<(TagIndex, u64)>,
    /// For every invariant, in policy order: how many it counts before and after the plan.
    pub invariants: Vec<(u64, u64)>,
}

/// The guard's arithmetic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuardReport {
    /// Whether anything is over a limit.
    pub refused: bool,
    /// Allowances and approvals that raised a cap, as `removals=800 (approval, SEC-2001)`.
    pub approvals: Vec<String>,
    /// One entry an axis, and for `removalsPerTag` one a tag with removals.
    pub axes: Vec<AxisReport>,
    /// One entry an invariant.
    pub invariants: Vec<InvariantReport>,
}

/// One cap against this plan.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisReport {
    /// The axis.
    pub axis: Axis,
    /// The tag, for `removalsPerTag`.
    pub tag: Option<Arc<str>>,
    /// How many the plan has.
    pub planned: u64,
    /// How many are allowed, approvals included.
    pub allowed: u64,
    /// What the percentage is of.
    pub base: u64,
    /// The cap, as `10 %` and its floor.
    pub percent: String,
    /// The floor.
    pub floor: u64,
    /// Where the cap is stated; `None` for a default.
    pub place: Option<Place>,
}

impl AxisReport {
    /// Whether the plan is over it.
    pub fn is_exceeded(&self) -> bool {
        self.planned > self.allowed
    }
}

/// One invariant against this plan.
#[derive(Clone, Debug, PartialEq)]
pub struct InvariantReport {
    /// Its name.
    pub name: String,
    /// What it demands, as a phrase: `at least 4 devices carry Tier0`.
    pub demand: String,
    /// The count now.
    pub before: u64,
    /// The count after the plan.
    pub after: u64,
    /// Whether it refuses the plan.
    pub refuses: bool,
    /// Where it stands.
    pub place: Place,
}

/// A route whose limits calls spend. Each has its own windows, because the documentation states limits per API and an
/// observed throttle message names destination, tenant and app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// `GET /api/machines`.
    List,
    /// `GET /api/machines/{id}`.
    Get,
    /// `POST /api/machines/AddOrRemoveTagForMultipleMachines`.
    BulkTag,
    /// `POST /api/machines/{id}/tags`.
    SingleTag,
    /// `POST /api/machines/{id}/setDeviceValue`.
    SetValue,
    /// `PATCH /api/machines/{id}`.
    UpdateDevice,
    /// Microsoft Graph `runHuntingQuery`.
    Hunting,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Lane; 7] = [
        Lane::List,
        Lane::Get,
        Lane::BulkTag,
        Lane::SingleTag,
        Lane::SetValue,
        Lane::UpdateDevice,
        Lane::Hunting,
    ];

    /// The word in plans, journals and ledgers.
    pub fn name(self) -> &'static str {
        match self {
            Lane::List => "list",
            Lane::Get => "get",
            Lane::BulkTag => "bulkTag",
            Lane::SingleTag => "singleTag",
            Lane::SetValue => "setValue",
            Lane::UpdateDevice => "updateDevice",
            Lane::Hunting => "hunting",
        }
    }

    /// The lane with this name.
    pub fn parse(name: &str) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.name() == name)
    }
}

/// What a plan costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Lanes with calls, in the order of [`Lane::ALL`].
    pub lanes: Vec<LaneCost>,
    /// Calls over all lanes.
    pub total: u64,
    /// The provable minimum over all lanes for the chosen options.
    pub minimum: u64,
    /// Seconds from an unused budget until the last call may start: the greatest of the lanes.
    pub seconds: u64,
}

/// What a plan costs on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneCost {
    /// The lane.
    pub lane: Lane,
    /// Calls planned.
    pub calls: u64,
    /// The provable minimum.
    pub minimum: u64,
}
