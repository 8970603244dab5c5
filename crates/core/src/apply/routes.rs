//! What a run has learned about the routes with disputed behaviour: bulk tagging, tagging one device, and `PATCH`.
//!
//! Only records it; `answer` and `dispatch` act on it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::queue::ItemIndex;

/// The most devices that are remembered as possible canaries.
const MOST_CANDIDATES: usize = 8;

/// Whether bulk tag calls may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum BulkAccess {
    #[default]
    Untested,
    Works,
    Forbidden,
}

#[derive(Debug, Default)]
pub(super) struct BulkRoute {
    access: BulkAccess,
    /// Number of items that test with single devices whether the route is closed.
    probes: u32,
}

impl BulkRoute {
    pub(super) fn call_worked(&mut self) {
        if self.access == BulkAccess::Untested {
            self.access = BulkAccess::Works;
        }
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.access == BulkAccess::Forbidden
    }

    /// Closes the route, unless a bulk call worked before: then only that one call is forbidden. Returns whether this closed it.
    pub(super) fn forbid(&mut self) -> bool {
        let closes = self.access == BulkAccess::Untested;
        if closes {
            self.access = BulkAccess::Forbidden;
        }
        closes
    }

    pub(super) fn probe_started(&mut self) {
        self.probes += 1;
    }

    pub(super) fn probe_ended(&mut self) {
        self.probes -= 1;
    }

    /// A forbidden bulk route is not used again until a single call shows whether the route or the device is the cause.
    pub(super) fn is_being_probed(&self) -> bool {
        self.probes > 0
    }
}

/// The single-device route, if a measured service makes it the first choice.
#[derive(Debug, Default)]
pub(super) struct SingleRoute {
    works: bool,
    is_left: bool,
}

impl SingleRoute {
    pub(super) fn call_worked(&mut self) {
        self.works = true;
    }

    /// Whether a call on it succeeded in this run, so that a refusal is about its device.
    pub(super) fn works(&self) -> bool {
        self.works
    }

    /// Stops choosing it. Returns whether it was chosen until now.
    pub(super) fn leave(&mut self) -> bool {
        !std::mem::replace(&mut self.is_left, true)
    }

    pub(super) fn is_left(&self) -> bool {
        self.is_left
    }
}

/// `PATCH`, which may replace the tag list.
#[derive(Debug, Default)]
pub(super) struct PatchRoute {
    /// A canary kept tags that are known to be manual.
    is_proven: bool,
    /// The last canary, until the next.
    pub(super) canary: Option<ItemIndex>,
    /// This run adds tags, which are manual, to devices with a waiting value.
    pub(super) awaits_manual: bool,
    /// Devices that would be good canaries: they carry manual tags and have a waiting value. The last goes first.
    candidates: Vec<u32>,
    /// By device: its tags in the read just before a `PATCH` of its value that may have reached it.
    pub(super) watched: HashMap<u32, Vec<Arc<str>>>,
    /// Number of combined devices that are read and not yet written.
    in_hand: u32,
    /// Lost tags that must be put back, as device and tag.
    repairing: HashSet<(u32, u32)>,
}

impl PatchRoute {
    /// `awaits_manual`: the run adds tags to devices with a waiting value.
    pub(super) fn new(awaits_manual: bool) -> Self {
        Self { awaits_manual, ..Self::default() }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    pub(super) fn prove(&mut self) {
        self.is_proven = true;
        self.candidates = Vec::new();
    }

    /// Remembers a device as a possible canary, if one is wanted and few are known.
    pub(super) fn suggest(&mut self, device: u32) {
        if !self.is_proven && self.candidates.len() < MOST_CANDIDATES {
            self.candidates.push(device);
        }
    }

    pub(super) fn has_candidate(&self) -> bool {
        !self.candidates.is_empty()
    }

    pub(super) fn next_candidate(&mut self) -> Option<u32> {
        self.candidates.pop()
    }

    pub(super) fn in_hand(&self) -> u32 {
        self.in_hand
    }

    pub(super) fn device_read(&mut self) {
        self.in_hand += 1;
    }

    pub(super) fn device_let_go(&mut self) {
        self.in_hand -= 1;
    }

    /// Notes that a tag must be put back; `false` if that is already in progress.
    pub(super) fn repair(&mut self, device: u32, tag: u32) -> bool {
        self.repairing.insert((device, tag))
    }

    pub(super) fn repaired(&mut self, device: u32, tag: u32) {
        self.repairing.remove(&(device, tag));
    }
}
