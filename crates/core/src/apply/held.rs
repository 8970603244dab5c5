//! The changes that wait for an invariant.
//!
//! `hold` fills them in and lets them go.

use std::collections::HashMap;

use super::changes::ChangeIndex;

/// The changes on both sides of one invariant.
#[derive(Debug)]
pub(super) struct HeldInvariant {
    pub(super) name: String,
    /// How many devices may take a step towards the bound, those that kept it in earlier waves included.
    pub(super) room: u64,
    /// Changes that lead away from the bound, device by device.
    pub(super) keepers: Vec<ChangeIndex>,
    /// How many of them have ended.
    pub(super) ended: usize,
    /// By device: changes that lead towards it.
    pub(super) endangering: Vec<Vec<ChangeIndex>>,
}

/// All invariants that wait, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct HeldChanges {
    pub(super) invariants: Vec<HeldInvariant>,
    /// By change: for how many invariants it waits.
    pub(super) waiting: HashMap<ChangeIndex, u32>,
}
