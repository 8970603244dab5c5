//! The second cap of an axis, over 24 hours: ten runs must not do together what one may not.
//!
//! Knows this plan and the sums of earlier runs; reads no journal.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Past;
use crate::diagnostic::Place;
use crate::inventory::BaselineReport;
use crate::plan::{ChangedBack, Measures, Rival};
use crate::policy::{Axis, Cap};

/// What the kept state says about this plan; outside the plan's digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateReport {
    /// The day's caps, of each axis on which this plan changes something.
    #[serde(default)]
    pub day: Vec<DayReport>,
    /// What earlier runs of the last 24 hours did is unknown: no state is kept here, or it cannot be read. `done` is then what can
    /// be proven.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unknown: bool,
    /// Journals that cannot be read whole. While there is one, no approval of the policy counts: what is left of it is unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Sources that are smaller than what earlier trusted runs counted by more than `guard.inventory.maxShrink`, or gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<BaselineReport>,
    /// Other policy sets that own the same tags, or wrote what this plan undoes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<Rival>,
    /// What others took back at least twice, and this plan writes again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_back: Vec<ChangedBack>,
}

impl StateReport {
    /// The report from a plan's measures.
    pub(super) fn of(measures: &Measures) -> StateReport {
        let past = measures.past.as_ref();
        let unread = past.map(|past| &*past.unread).unwrap_or_default();
        StateReport {
            is_unknown: past.is_none() || unread.iter().any(|journal| journal.may_be_of_day),
            unreadable: unread.iter().map(|journal| journal.file.clone()).collect(),
            baselines: measures.baselines.clone(),
            rivals: measures.rivals.clone(),
            changed_back: measures.changed_back.clone(),
            ..StateReport::default()
        }
    }
}

/// One axis over 24 hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DayReport {
    /// The axis.
    pub axis: Axis,
    /// The tag, for `removalsPerTag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Arc<str>>,
    /// What earlier runs did, except what an allowance covered and what was undone.
    pub done: u64,
    /// What this plan adds; nothing where an allowance covers it.
    #[serde(default)]
    pub planned: u64,
    /// How many are allowed within 24 hours.
    pub allowed: u64,
    /// What the percentage is of: the base at hand, and the removals so counted.
    #[serde(default)]
    pub base: u64,
    /// The cap, as `20 %`.
    #[serde(default)]
    pub percent: String,
    /// The floor.
    #[serde(default)]
    pub floor: u64,
    /// Where the cap is stated; `None` for a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl DayReport {
    /// Whether this plan exceeds the day's cap. A plan that adds nothing never does.
    pub fn is_exceeded(&self) -> bool {
        self.planned > 0 && self.done + self.planned > self.allowed
    }
}

/// An axis of this plan against its day's cap; `None` if it has none.
pub(super) fn measure(
    past: &Past,
    (axis, tag): (Axis, Option<Arc<str>>),
    planned: u64,
    base: u64,
    (cap, place): (Cap, Option<Place>),
) -> Option<DayReport> {
    let done = past.of_day(axis, tag.as_deref())?;
    // Removed tags are missing from the base now, but the day started with them.
    let removed = if matches!(axis, Axis::Removals | Axis::RemovalsPerTag) { done } else { 0 };
    let base = base + removed;
    let (percent, floor) = (cap.percent.to_string(), cap.floor);
    Some(DayReport { axis, tag, done, planned, allowed: cap.allowed(base), base, percent, floor, place })
}
