//! Changes that wait for an invariant.
//!
//! `hold` fills and releases them.

use std::collections::HashMap;

use super::changes::ChangeIndex;

/// The changes on both sides of one invariant.
#[derive(Debug)]
pub(super) struct HeldInvariant {
    pub(super) name: String,
    /// The number of devices that may move towards the bound, including those that earlier waves keep away from it.
    pub(super) room: u64,
    /// Changes that lead away from the bound, one per device.
    pub(super) keepers: Vec<ChangeIndex>,
    /// Number of these that have ended.
    pub(super) ended: usize,
    /// By device: changes that lead towards the bound.
    pub(super) endangering: Vec<Vec<ChangeIndex>>,
}

/// All invariants in question, and the changes that wait for them.
#[derive(Debug, Default)]
pub(super) struct HeldChanges {
    pub(super) invariants: Vec<HeldInvariant>,
    /// By change: the number of invariants that it waits for.
    pub(super) waiting: HashMap<ChangeIndex, u32>,
}
