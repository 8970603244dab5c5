//! The guard as written: caps, invariants, approvals, the tenant pin.
//!
//! Says what is allowed; `plan` checks plans against it.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use super::Selector;
use super::quantity::{Percent, Quantity};
use super::rollout::Rollout;
use crate::device::DeviceValue;
use crate::diagnostic::Span;
use crate::tag::TagPattern;
use crate::time::Date;

/// The most days ahead that an approval may expire. A later one does not count, because nobody reviews a cap that is raised for
/// years.
pub const MOST_DAYS_AHEAD: i32 = 90;

mdetag_vocabulary::words! {
    /// What a cap counts, and the base of its percentage.
    #[derive(
        Clone,
        Copy,
        Debug,
        PartialEq,
        Eq,
        PartialOrd,
        Ord,
        Hash,
        serde::Serialize,
        serde::Deserialize,
        schemars::JsonSchema,
    )]
    #[serde(rename_all = "camelCase")]
    pub enum Axis {
        /// Devices changed, of devices in scope.
        Devices = "devices",
        /// Device-tag pairs added, of devices in scope.
        Additions = "additions",
        /// Device-tag pairs removed, of live pairs in scope that this set may remove.
        Removals = "removals",
        /// Pairs of one tag removed, of live devices in scope that carry it.
        RemovalsPerTag = "removalsPerTag",
        /// Device values changed, of devices in scope.
        Values = "values",
        /// Devices that change device group, of devices in scope; judged only where device groups are given.
        GroupMoves = "groupMoves",
    }
}

impl Axis {
    /// The cap of an axis that the guard does not state.
    pub fn default_cap(self) -> Cap {
        let (percent, floor) = match self {
            Axis::Devices => (50, 100),
            Axis::Additions => (100, 100),
            Axis::Removals | Axis::GroupMoves => (10, 10),
            Axis::RemovalsPerTag => (50, 5),
            Axis::Values => (25, 25),
        };
        Cap { percent: Percent::whole(percent), floor, span: None }
    }
}

/// `max(floor, ⌊percent × base / 100⌋)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Share of the base.
    pub percent: Percent,
    /// Always allowed, however small the base.
    pub floor: u64,
    /// The place that states it; `None` for a default.
    pub span: Option<Span>,
}

impl Cap {
    /// The changes that the cap allows for a base.
    pub fn allowed(self, base: u64) -> u64 {
        self.floor.max(self.percent.of(base))
    }
}

/// A cap over 24 hours as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayCap {
    /// Share of the base.
    pub percent: Option<Percent>,
    /// Always allowed, however small the base.
    pub floor: Option<u64>,
    pub span: Span,
}

#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// The only tenant that this set may be applied to.
    pub tenant_id: Option<(String, Span)>,
    /// Caps that the guard states, at most one an axis; a key left out keeps its default.
    pub caps: Vec<(Axis, Cap)>,
    /// Caps over 24 hours that the guard states; a key left out is twice the cap of a run.
    pub day_caps: Vec<(Axis, DayCap)>,
    /// Distrust a read with fewer devices.
    pub min_devices: Option<(u64, Span)>,
    /// Distrust a read that shrank by more than this since the last trusted run.
    pub max_shrink: Option<(Percent, Span)>,
    /// Reserved tags that may be written after all (only [`crate::tag::RESERVED`] is reserved).
    pub allow_reserved: Vec<(String, Span)>,
    /// Conditions that must hold after the plan.
    pub invariants: Vec<Invariant>,
    /// Caps raised for a while.
    pub approvals: Vec<Approval>,
    /// How large plans are rolled out in waves.
    pub rollout: Option<Rollout>,
    /// Approvals of sources that really shrank.
    pub shrinks: Vec<ShrinkApproval>,
    /// Contested changes that `drift` accepts for a while.
    pub accept: Vec<Acceptance>,
    /// The place of `guard`; `None` if no file has one.
    pub span: Option<Span>,
}

impl Guard {
    /// The cap of an axis.
    pub fn cap(&self, axis: Axis) -> Cap {
        self.caps.iter().find(|(named, _)| *named == axis).map_or_else(|| axis.default_cap(), |(_, cap)| *cap)
    }

    /// The cap of an axis over 24 hours.
    pub fn day_cap(&self, axis: Axis) -> Cap {
        let run = self.cap(axis);
        let stated = self.day_caps.iter().find(|(named, _)| *named == axis).map(|(_, day)| *day);
        Cap {
            percent: stated.and_then(|day| day.percent).unwrap_or(run.percent.doubled()),
            floor: stated.and_then(|day| day.floor).unwrap_or(run.floor.saturating_mul(2)),
            span: stated.map_or(run.span, |day| Some(day.span)),
        }
    }

    /// The selectors of the rollout (the first devices, and the sick ones), and those of `accept`.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let first = self.rollout.iter().filter_map(|rollout| rollout.first.as_ref());
        let health = self.rollout.iter().filter_map(|rollout| rollout.health.as_ref());
        let accepted = self.accept.iter().filter_map(|acceptance| acceptance.select.as_ref());
        first.chain(health.map(|health| &health.select)).chain(accepted)
    }

    /// How much a read may shrink since the last trusted run.
    pub fn max_shrink(&self) -> Percent {
        self.max_shrink.map_or(Percent::whole(20), |(limit, _)| limit)
    }

    /// Whether the reserved tag may be written.
    pub fn allows_reserved(&self) -> bool {
        self.allow_reserved.iter().any(|(tag, _)| crate::tag::is_reserved(tag))
    }
}

/// An entry of `guard.invariants`, over the devices in scope after the plan.
#[derive(Clone, Debug)]
pub struct Invariant {
    pub name: String,
    pub counts: Counted,
    pub at_least: Option<Quantity>,
    pub at_most: Option<Quantity>,
    pub span: Span,
}

/// The devices that an invariant counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Devices that carry this tag.
    Tag(String),
    Value(DeviceValue),
    /// Devices that are predicted to be in this device group.
    Group {
        /// Its name in the file of device groups.
        name: String,
        span: Span,
    },
}

/// An entry of `guard.approvals`.
#[derive(Clone, Debug)]
pub struct Approval {
    pub axis: Axis,
    /// The tags, only with `removalsPerTag`.
    pub tag: Option<TagPattern>,
    /// Raised to this, a total over all runs until it expires; a lower number changes nothing.
    pub max: u64,
    /// The plan's `changesDigest` that it is bound to.
    pub changes: Option<String>,
    pub reason: Option<String>,
    /// Where the approval was decided: a ticket.
    pub ticket: Option<String>,
    /// Last day, UTC.
    pub expires: Date,
    pub span: Span,
}

/// An entry of `guard.approvals` with the cap `shrink`.
#[derive(Clone, Debug)]
pub struct ShrinkApproval {
    /// `devices`, or the name of a source.
    pub source: String,
    /// Counts from this on are trusted.
    pub to: u64,
    /// Last day, UTC.
    pub expires: Date,
    pub span: Span,
}

impl ShrinkApproval {
    /// Whether it counts: not expired, and not too far ahead.
    pub fn counts_on(&self, today: Date) -> bool {
        (0..=MOST_DAYS_AHEAD).contains(&self.expires.days_since(today))
    }
}

/// An entry of `guard.accept`.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Contested changes of these tags.
    pub tag: TagPattern,
    /// The devices; `None` means all.
    pub select: Option<Selector>,
    /// Last day, UTC.
    pub expires: Date,
}

impl Acceptance {
    /// Whether it counts: not expired, and not too far ahead.
    pub fn counts_on(&self, today: Date) -> bool {
        (0..=MOST_DAYS_AHEAD).contains(&self.expires.days_since(today))
    }
}
