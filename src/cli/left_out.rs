//! What an apply leaves out, and how it ends because of that.
//!
//! Decides nothing about a change; the plan says why each is withheld.

use std::collections::HashSet;

use mdetag_core::plan::{Plan, WithheldReason};

use super::exit::Exit;

/// Whether an untrusted inventory left something out.
pub fn untrusted(plan: &Plan) -> bool {
    plan.withheld
        .iter()
        .any(|group| group.reason == WithheldReason::Untrusted && group.removals + group.values > 0)
}

/// How an apply ends because of removals that wait for an addition: with 5 where waiting or the next review frees all of them, with
/// 4 where another origin keeps the addition away.
pub fn waiting(plan: &Plan) -> Exit {
    let contested = plan.withheld.iter().filter(|group| group.reason == WithheldReason::Contested);
    let mut stuck: HashSet<(&str, &str)> = HashSet::new();
    for device in contested.flat_map(|group| &group.devices) {
        stuck.extend(device.add.iter().map(|add| (&*device.id, &**plan.tag(add.tag))));
    }
    let mut exit = Exit::Success;
    for group in plan.withheld.iter().filter(|group| group.reason == WithheldReason::Unconfirmed) {
        let tag = group.name.as_deref().unwrap_or_default();
        let is_stuck = group.devices.iter().any(|device| stuck.contains(&(&*device.id, tag)));
        exit = exit.worst(if is_stuck { Exit::Partial } else { Exit::Stopped });
    }
    exit
}
