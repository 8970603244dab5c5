//! Invariants that hold after the whole plan but may not hold after a part of it. Names their devices, so that changes which
//! would break them are written after those that keep them.
//!
//! Sends nothing; `apply` orders the changes of a run.

use std::sync::Arc;

use super::counted::{counts_after, counts_before, shortfall};
use super::{DeviceChange, Plan};
use crate::policy::{Counted, Guard, Invariant};

/// An invariant that a run could break if it ends early.
#[derive(Clone, Debug, PartialEq)]
pub struct TightInvariant {
    /// The invariant's name in `guard.invariants`.
    pub name: String,
    /// The devices that the invariant counts.
    pub counts: Counted,
    /// Number of devices that may move towards its bound before one has moved away from it.
    pub room: u64,
    /// Ids of devices whose change leads away from the bound, ascending.
    pub keep: Vec<Arc<str>>,
    /// Ids of devices whose change leads towards it, ascending.
    pub endanger: Vec<Arc<str>>,
}

impl TightInvariant {
    /// Whether a tag of a device's change affects this invariant. A device group may depend on every tag.
    pub fn counts_tag(&self, plan: &Plan, tag: super::TagIndex) -> bool {
        match &self.counts {
            Counted::Tag(own) => plan.is_tag(tag, own),
            Counted::Group { .. } => true,
            Counted::Value(_) => false,
        }
    }

    /// Whether a change of the value affects it.
    pub fn counts_value(&self) -> bool {
        matches!(self.counts, Counted::Value(_))
    }
}

/// The invariants of a guard that this plan could break on its way.
pub fn tight(plan: &Plan, guard: &Guard) -> Vec<TightInvariant> {
    guard
        .invariants
        .iter()
        .enumerate()
        .flat_map(|(index, invariant)| tight_invariants(plan, index, invariant))
        .collect()
}

fn tight_invariants(plan: &Plan, index: usize, invariant: &Invariant) -> Vec<TightInvariant> {
    let before = plan.measures.invariants.get(index).map_or(0, |counts| counts.0);
    let rooms = [
        invariant.at_least.map(|least| (room(-shortfall(before, least, plan.measures.in_scope)), true)),
        invariant.at_most.map(|most| (room(shortfall(before, most, plan.measures.in_scope)), false)),
    ];
    // Most plans are far from every bound: the changes are only examined if there are more than the smallest room.
    let rooms = rooms.into_iter().flatten().filter(|(room, _)| *room < plan.changes.len() as u64);
    let rooms: Vec<(u64, bool)> = rooms.collect();
    if rooms.is_empty() {
        return Vec::new();
    }
    let (gained, lost) = crossings(plan, &invariant.counts);
    let tight = rooms.into_iter().map(|(room, is_least)| {
        let (keep, endanger) = if is_least { (&gained, &lost) } else { (&lost, &gained) };
        let (keep, endanger) = (keep.clone(), endanger.clone());
        TightInvariant {
            name: invariant.name.clone(),
            counts: invariant.counts.clone(),
            room,
            keep,
            endanger,
        }
    });
    tight.filter(|one| one.endanger.len() as u64 > one.room).collect()
}

/// Whole devices in a distance given in millionths; 0 if the bound is already reached or passed.
fn room(distance: i128) -> u64 {
    u64::try_from(distance.max(0) / 1_000_000).unwrap_or(u64::MAX)
}

/// Devices that start to count, and devices that stop.
fn crossings(plan: &Plan, counts: &Counted) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
    if let Counted::Group { name, .. } = counts {
        let bounds =
            plan.groups.iter().flat_map(|groups| &groups.bounds).find(|bounds| bounds.group == *name);
        return bounds.map(|bounds| (bounds.gained.clone(), bounds.lost.clone())).unwrap_or_default();
    }
    let crosses = |change: &&DeviceChange, from: bool| {
        counts_before(plan, change, counts) == from && counts_after(plan, change, counts) != from
    };
    let ids = |from: bool| {
        plan.changes.iter().filter(|change| crosses(change, from)).map(|change| change.id.clone()).collect()
    };
    (ids(false), ids(true))
}
