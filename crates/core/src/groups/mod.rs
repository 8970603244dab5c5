//! Which device group each device is in, as read and after a plan.
//!
//! Knows the groups' rules and the inventory; what a plan does to them, and whether it may, is for `plan`.

mod assign;

pub use assign::{Assignment, Membership, TagEdits};

#[cfg(test)]
mod tests;
