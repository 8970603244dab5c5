//! Which device group each device is in, as read and after a plan.
//!
//! Knows the groups' rules and the inventory; what a plan does to them, and whether it may, is for `plan`.

mod one_device;
mod conditions;
mod assign;
mod reported;

pub use assign::{Assignment, GroupSizes, Membership, TagEdits};
pub use one_device::{ConditionOnDevice, conditions_on, group_of};
pub use reported::ReportedGroups;

#[cfg(test)]
mod tests;
