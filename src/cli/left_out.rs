//! The changes that an apply leaves out, and its exit code because of them.
//!
//! Decides nothing about a change; the plan says why each is withheld.

use std::collections::HashSet;

use mdetag_core::plan::{Cause, Plan, WithheldReason};
use mdetag_core::policy::Policy;

use super::exit::Exit;

/// More than one in this many devices of the scope (5 %) that cannot be written are a general fault.
const MANY: u64 = 20;

/// Whether an untrusted inventory kept changes from being written.
pub fn untrusted(plan: &Plan) -> bool {
    plan.withheld
        .iter()
        .any(|group| group.reason == WithheldReason::Untrusted && group.removals + group.values > 0)
}

/// The exit code because of changes that the service refuses: success, unless there are many, or one concerns a tag of a
/// retirement, an invariant or a device group.
pub fn unwritable(plan: &Plan, policy: &Policy) -> Exit {
    let groups = || plan.withheld.iter().filter(|group| group.reason == WithheldReason::Unwritable);
    let devices: HashSet<&str> =
        groups().flat_map(|group| &group.devices).map(|device| &*device.id).collect();
    let matters =
        groups().flat_map(|group| &group.devices).flat_map(|device| &device.remove).any(|removal| {
            let is_retired = matches!(plan.causes.get(removal.cause.0 as usize), Some(Cause::Retired { .. }));
            is_retired || policy.is_counted_on(plan.tag(removal.tag))
        });
    let are_many = devices.len() as u64 * MANY > plan.header.inventory.in_scope;
    if matters || are_many { Exit::Partial } else { Exit::Success }
}

/// Whether a plan held back removals that waited for the list. It says how many, but not which, so a resumed run cannot write
/// them.
pub fn held_back(plan: &Plan) -> bool {
    plan.withheld.iter().any(|group| group.reason == WithheldReason::Unconfirmed && group.removals > 0)
}

/// The exit code because of removals that wait for an addition: 5 if waiting or the next review frees all of them, 4 if another
/// origin or the service prevents the addition.
pub fn waiting(plan: &Plan) -> Exit {
    let contested = plan.withheld.iter().filter(|group| group.reason == WithheldReason::Contested).chain(
        plan.withheld
            .iter()
            .filter(|group| matches!(group.reason, WithheldReason::Unwritable | WithheldReason::Reverted)),
    );
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
