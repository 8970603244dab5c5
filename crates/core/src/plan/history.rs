//! What a plan has to know beside policies and inventory: what earlier runs did, and what the service makes of tags.
//!
//! Reads no journal itself; an empty history plans everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ChangeKey, OtherSet, TagLimits, Unwritable, guard};
use crate::time::Timestamp;

/// What the journals of earlier runs say about changes that the list does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Bounced in the last three runs, or known to come from elsewhere, with the origin that holds the old state.
    pub contested: BTreeMap<ChangeKey, String>,
    /// When those that bounced are tried again.
    pub contested_until: BTreeMap<ChangeKey, Timestamp>,
    /// What the service refuses run after run, by device.
    pub unwritable: BTreeMap<Arc<str>, Vec<Unwritable>>,
    /// Confirmed by an answer so lately that the list may not show it yet.
    pub pending: BTreeSet<ChangeKey>,
    /// By device with a pending value: the values that the list showed before these writes. Another one is somebody
    /// else's. A device without an entry is not known.
    pub values_before: BTreeMap<Arc<str>, BTreeSet<Option<Arc<str>>>>,
    /// What the policies may want although a run undid it, with that run.
    pub reverted: BTreeMap<ChangeKey, Arc<str>>,
    /// Devices that a run of the last 24 hours wrote: the service may not have put them into their group yet.
    pub written_lately: BTreeSet<Arc<str>>,
    /// Devices that wait for their wave of an open rollout, with its run.
    pub waiting_for_wave: BTreeMap<Arc<str>, String>,
    /// The other policy sets of the tenant.
    pub others: Vec<OtherSet>,
    /// What earlier runs of the policy set did, as the guard counts it; none where no state is kept.
    pub past: Option<guard::Past>,
    /// What the service makes of tags.
    pub limits: TagLimits,
}
