//! Holds changes that would break an invariant if the run ended there, until the changes that keep it have ended; then as many
//! are written as those confirmed.
//!
//! `plan::tight` finds these changes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::plan::ChangeKey;
use crate::plan::tight::TightInvariant;
use crate::time::Timestamp;

use super::changes::{ChangeIndex, ChangeState, Effect, NO_ITEM};
use super::held::HeldInvariant;
use super::queue::{ItemChanges, ItemKind};
use super::run::Run;
use super::{Entry, Outcome};

impl Run<'_> {
    /// Holds the changes that must go last. Call it before the items are built. If an earlier wave of this run helped an
    /// invariant after the plan was made, that counts; harm counts always.
    pub(super) fn hold(&mut self, tight: &[TightInvariant], journal: &[Entry]) {
        if tight.is_empty() {
            return;
        }
        let before = DoneBefore::new(journal, self.plan.header.created_at);
        for one in tight {
            let (mut room, mut taken) = (one.room, 0);
            let (mut keepers, mut endangering) = (Vec::new(), Vec::new());
            for id in &one.keep {
                let changes = self.counting(one, id);
                if changes.is_empty() {
                    room += u64::from(before.lately.contains(&**id));
                } else if !self.is_done(&changes, &before) {
                    keepers.extend(changes);
                }
            }
            for id in &one.endanger {
                let changes = self.counting(one, id);
                if changes.is_empty() {
                    taken += u64::from(before.devices.contains(&**id));
                } else if self.is_done(&changes, &before) {
                    taken += 1;
                } else {
                    endangering.push(changes);
                }
            }
            room = room.saturating_sub(taken);
            if endangering.len() as u64 <= room {
                continue;
            }
            for change in endangering.iter().flatten() {
                *self.held.waiting.entry(*change).or_default() += 1;
                self.changes.hold(*change);
            }
            self.held.invariants.push(HeldInvariant {
                name: one.name.clone(),
                room,
                keepers,
                ended: 0,
                endangering,
            });
        }
    }

    fn is_done(&self, changes: &[ChangeIndex], before: &DoneBefore<'_>) -> bool {
        changes.iter().any(|change| before.changes.contains(&self.changes.key(*change)))
    }

    /// The changes of a device that affect an invariant; none if the device is not in this part of the plan.
    fn counting(&self, one: &TightInvariant, id: &Arc<str>) -> Vec<ChangeIndex> {
        let Ok(device) = self.plan.changes.binary_search_by(|change| change.id.cmp(id)) else {
            return Vec::new();
        };
        let counts = |change: &ChangeIndex| match self.changes.get(*change).what {
            Effect::Add(tag) | Effect::Remove(tag) => one.counts_tag(self.plan, crate::plan::TagIndex(tag)),
            Effect::Value(_) => one.counts_value(),
        };
        self.changes.of_device(device as u32).filter(counts).collect()
    }

    /// Releases changes that no longer wait for anything.
    pub(super) fn let_go(&mut self) {
        let mut place = 0;
        while let Some(held) = self.held.invariants.get_mut(place) {
            while held
                .keepers
                .get(held.ended)
                .is_some_and(|change| matches!(self.changes.get(*change).state, ChangeState::Ended(_)))
            {
                held.ended += 1;
            }
            if held.ended < held.keepers.len() {
                place += 1;
                continue;
            }
            let held = self.held.invariants.remove(place);
            let room = held.room + self.kept(&held.keepers);
            self.open(held, room);
        }
    }

    /// If nothing else is left to do, two invariants wait for each other, and the first is released, since any order passes a
    /// bound; or two bulk calls do, each with a twin on a device that waits for the other. Returns whether that released
    /// anything.
    pub(super) fn let_go_of_a_circle(&mut self) -> bool {
        let is_idle = self.flights.is_empty() && self.queues.is_idle() && self.verifying.is_none();
        if !is_idle || !self.changes.doubts.is_empty() {
            return false;
        }
        if self.held.invariants.is_empty() {
            return self.part_a_call();
        }
        let held = self.held.invariants.remove(0);
        self.open(held, u64::MAX);
        true
    }

    /// Sends the released removals of a bulk call without the others, which go when they are released. Returns whether there was
    /// such a call.
    fn part_a_call(&mut self) -> bool {
        let is_ready =
            |change: &ChangeIndex| self.changes.is_waiting(*change) && self.changes.is_released(*change);
        let Some(call) = self.queues.blocked().find(|item| {
            let item = self.queues.item(*item);
            matches!(item.kind, ItemKind::Tags { .. }) && item.members.as_slice().iter().any(is_ready)
        }) else {
            return false;
        };
        let item = self.queues.item_mut(call);
        item.blockers = 0;
        let members = std::mem::replace(&mut item.members, ItemChanges::Many(Vec::new()));
        members.as_slice().iter().for_each(|change| self.pool(*change));
        true
    }

    /// Number of devices confirmed to keep an invariant.
    fn kept(&self, keepers: &[ChangeIndex]) -> u64 {
        let mut kept: BTreeMap<u32, bool> = BTreeMap::new();
        for change in keepers {
            let row = self.changes.get(*change);
            let is_so = matches!(row.state, ChangeState::Ended(Outcome::Done | Outcome::Noop));
            *kept.entry(row.device).or_insert(true) &= is_so;
        }
        kept.values().filter(|is_so| **is_so).count() as u64
    }

    fn open(&mut self, held: HeldInvariant, room: u64) {
        let reason: Arc<str> = format!(
            "it would break the invariant `{}`, because too few changes that keep it were confirmed",
            held.name
        )
        .into();
        let mut left = room;
        for changes in held.endangering {
            let is_open = changes.iter().any(|change| self.changes.is_waiting(*change));
            for change in changes {
                if is_open && left == 0 && self.changes.is_waiting(change) {
                    self.changes.end(change, Outcome::NotAttempted, Some(&reason));
                }
                self.release_held(change);
            }
            left = left.saturating_sub(u64::from(is_open));
        }
    }

    fn release_held(&mut self, change: ChangeIndex) {
        let Some(waits) = self.held.waiting.get_mut(&change) else { return };
        *waits -= 1;
        if *waits > 0 {
            return;
        }
        self.held.waiting.remove(&change);
        self.changes.unhold(change);
        let item = self.changes.get(change).item;
        if item == NO_ITEM {
            return self.pool(change);
        }
        let is_combined = matches!(self.queues.item(item).kind, ItemKind::Combined { .. });
        // A removal in a bulk call is released with the others of its device.
        if is_combined || !matches!(self.changes.get(change).what, Effect::Remove(_)) {
            self.unblock(item);
        }
    }
}

/// Confirmed changes of earlier parts of the run.
struct DoneBefore<'j> {
    changes: HashSet<&'j ChangeKey>,
    devices: HashSet<&'j str>,
    /// Devices with a change that was confirmed after the plan was made.
    lately: HashSet<&'j str>,
}

impl<'j> DoneBefore<'j> {
    fn new(journal: &'j [Entry], since: Timestamp) -> DoneBefore<'j> {
        let (mut changes, mut devices, mut lately) = (HashSet::new(), HashSet::new(), HashSet::new());
        for entry in journal {
            for ended in entry.ended().iter().filter(|ended| ended.outcome == Outcome::Done) {
                changes.insert(&ended.key);
                devices.insert(&*ended.key.device);
                if entry.at() >= since {
                    lately.insert(&*ended.key.device);
                }
            }
        }
        DoneBefore { changes, devices, lately }
    }
}
