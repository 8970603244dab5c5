//! The device group of each device, as read and after a plan.
//!
//! Knows the groups' rules and the inventory. `plan` knows what a plan does to them, and whether it may.

mod one_device;
mod conditions;
mod assign;
mod reported;

pub use assign::{Assignment, GroupSizes, Membership, TagEdits};
pub use one_device::{ConditionOnDevice, conditions_on, group_of};
pub use reported::ReportedGroups;

#[cfg(test)]
mod tests;
