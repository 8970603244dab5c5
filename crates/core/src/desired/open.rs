//! What unknown data leaves open: the tags that a device may get, keep or lose, depending on undecided rules.
//!
//! Settles nothing; `settle` says what follows if those rules do not hold, and here is where that could be otherwise.

use super::settle::{Decision, Possible, Settled};
use super::{Carry, Desired, Group, Rows, Window};
use crate::inventory::DeviceSet;

impl Desired<'_> {
    /// Whether a rule that carries or bans a tag is undecided on some device.
    pub(super) fn has_undecided(&self, group: &Group) -> bool {
        let undecided = &self.selections.undecided;
        !undecided.is_empty()
            && (group.carries.iter().any(|carry| undecided.contains_key(&carry.rule))
                || group.bans.iter().any(|ban| undecided.contains_key(&ban.rule)))
    }

    /// Adds what the statements of one priority could decide, where those above leave the device to them. `certain`: the devices
    /// that they surely give the tag to, and surely forbid it on.
    pub(super) fn allow(
        &self,
        group: &Group,
        priority: i64,
        window: &Window,
        certain: (&DeviceSet, &DeviceSet),
        possible: &mut Possible,
    ) {
        let (mut gives, mut forbids) = (certain.0.clone(), certain.1.clone());
        for carry in group.carries.iter().filter(|carry| carry.priority == priority) {
            gives.union_with(&self.undecided_carriers(carry, window));
        }
        for ban in group.bans.iter().filter(|ban| ban.priority == priority) {
            let Some(undecided) = self.selections.undecided.get(&ban.rule) else { continue };
            let mut rows = window.of_set(undecided);
            // Within one rule its tags win over its own globs.
            for own in group.carries.iter().filter(|carry| ban.is_glob && carry.rule == ban.rule) {
                rows.difference_with(&self.undecided_carriers(own, window));
            }
            forbids.union_with(&rows);
        }
        gives.intersect_with(&possible.neither);
        forbids.intersect_with(&possible.neither);
        possible.carried.union_with(&gives);
        possible.banned.union_with(&forbids);
        possible.neither.difference_with(certain.0);
        possible.neither.difference_with(certain.1);
    }

    /// Devices to which a rule gives a tag if it holds there, which is unknown.
    fn undecided_carriers(&self, carry: &Carry, window: &Window) -> DeviceSet {
        let Some(undecided) = self.selections.undecided.get(&carry.rule) else {
            return DeviceSet::new(window.len());
        };
        let mut rows = window.of_set(undecided);
        if let Rows::Listed(listed) = &carry.rows {
            rows.intersect_with(&window.of_rows(listed));
        }
        rows
    }

    /// Fills in what unknown data decides about each tag of a part, families included. Called before `families` drops members.
    pub(super) fn open(&self, part: &[u32], tags: &mut [Settled], decisions: &[Decision], length: usize) {
        if decisions.iter().all(|decision| decision.possible.is_none()) {
            return;
        }
        let may_carry = |index: usize| {
            decisions[index].possible.as_ref().map_or(&decisions[index].carried, |possible| &possible.carried)
        };
        let always = |index: usize| {
            let mut carried = decisions[index].carried.clone();
            if let Some(possible) = &decisions[index].possible {
                carried.difference_with(&possible.banned);
                carried.difference_with(&possible.neither);
            }
            carried
        };
        let mut order: Vec<usize> = (0..part.len()).collect();
        order.sort_by_key(|index| self.groups[part[*index] as usize].family);
        let (mut family, mut surely_taken, mut maybe_taken) = (None, None, None);
        for index in order {
            let group = &self.groups[part[index] as usize];
            let own = group.family.map(|(family, _)| family);
            if own.is_none() || own != family {
                (family, surely_taken, maybe_taken) =
                    (own, Some(DeviceSet::new(length)), Some(DeviceSet::new(length)));
            }
            let (Some(surely), Some(maybe)) = (&mut surely_taken, &mut maybe_taken) else { continue };
            let mut can_stay = may_carry(index).clone();
            can_stay.difference_with(surely);
            let mut must_stay = always(index);
            must_stay.difference_with(maybe);
            surely.union_with(&must_stay);
            maybe.union_with(&can_stay);
            tags[index].open = self.open_tag(group, &tags[index], &decisions[index], &can_stay, &must_stay);
        }
    }

    /// Where one tag is open. `can_stay`: devices that may be given it; `must_stay`: those that are given it in any case.
    fn open_tag(
        &self,
        group: &Group,
        tag: &Settled,
        decision: &Decision,
        can_stay: &DeviceSet,
        must_stay: &DeviceSet,
    ) -> Option<DeviceSet> {
        let mut rows = can_stay.clone();
        rows.difference_with(must_stay);
        // A tag that nobody owns stays where no rule forbids it.
        if let Some(possible) = &decision.possible
            && group.claimed.is_none()
            && group.retired.is_none()
        {
            let mut stays_anyway = tag.any_live.clone();
            stays_anyway.difference_with(&possible.banned);
            rows.difference_with(&stays_anyway);
            let mut may_stay = possible.carried.clone();
            may_stay.union_with(&possible.neither);
            may_stay.intersect_with(&possible.banned);
            may_stay.intersect_with(&tag.any_live);
            rows.union_with(&may_stay);
        }
        Some(rows).filter(|rows| !rows.is_empty())
    }

    /// An old name stays where the new one may be given or forbidden, which is unknown; and the new one comes only where the old one
    /// surely goes.
    pub(super) fn open_renames(&self, part: &[u32], tags: &mut [Settled], decisions: &[Decision]) {
        if decisions.iter().all(|decision| decision.possible.is_none()) {
            return;
        }
        for (from, group) in part.iter().enumerate() {
            let Some(rename) = self.groups[*group as usize].rename else { continue };
            let name = &self.policy.renames[rename as usize].to;
            let is_new = |group: &u32| self.tag_case.is_same(&self.groups[*group as usize].name, name);
            let Some(to) = part.iter().position(is_new) else { continue };
            let mut old = tags[from].any_live.clone();
            old.difference_with(&decisions[from].carried);
            if let Some(possible) = &decisions[to].possible {
                let mut doubtful = possible.banned.clone();
                doubtful.difference_with(&decisions[to].banned);
                if self.groups[part[to] as usize].claimed.is_some() {
                    let mut given = possible.carried.clone();
                    given.difference_with(&decisions[to].carried);
                    doubtful.union_with(&given);
                } else {
                    // With the old name, a device gets the new one by the rule or by the rename.
                    self.certain_renames(&mut tags[to], &old, possible, &decisions[from]);
                }
                doubtful.intersect_with(&old);
                mark(&mut tags[from], &doubtful);
            }
            if let Some(possible) = &decisions[from].possible {
                let mut doubtful = possible.carried.clone();
                doubtful.intersect_with(&old);
                mark(&mut tags[to], &doubtful);
            }
        }
    }

    fn certain_renames(&self, to: &mut Settled, old: &DeviceSet, possible: &Possible, from: &Decision) {
        let mut certain = old.clone();
        certain.difference_with(&possible.banned);
        if let Some(from) = &from.possible {
            certain.difference_with(&from.carried);
        }
        if let Some(open) = &mut to.open {
            open.difference_with(&certain);
        }
    }
}

/// Adds devices on which unknown data decides about a tag.
fn mark(tag: &mut Settled, rows: &DeviceSet) {
    if rows.is_empty() {
        return;
    }
    match &mut tag.open {
        Some(open) => open.union_with(rows),
        None => tag.open = Some(rows.clone()),
    }
}
