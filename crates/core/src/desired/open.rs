//! Tags that a device may get, keep or lose because undecided rules depend on unknown data.
//!
//! Settles nothing. `settle` says what follows if those rules do not hold; this finds the devices where it could be otherwise.

use super::settle::{Decision, PossibleTag, Settled};
use super::{Desired, GivenRows, GivingRule, TagGroup, Window};
use crate::inventory::DeviceSet;

impl Decision {
    fn may_carry(&self) -> &DeviceSet {
        self.possible.as_ref().map_or(&self.carried, |possible| &possible.carried)
    }

    fn may_ban(&self) -> &DeviceSet {
        self.possible.as_ref().map_or(&self.banned, |possible| &possible.banned)
    }

    fn must_carry(&self) -> DeviceSet {
        let mut rows = self.carried.clone();
        if let Some(possible) = &self.possible {
            rows.difference_with(&possible.banned);
            rows.difference_with(&possible.neither);
        }
        rows
    }

    fn must_ban(&self) -> DeviceSet {
        let mut rows = self.banned.clone();
        if let Some(possible) = &self.possible {
            rows.difference_with(&possible.carried);
            rows.difference_with(&possible.neither);
        }
        rows
    }
}

impl Desired<'_> {
    /// Whether a statement about a tag is unknown on some device.
    pub(super) fn is_open(&self, group: &TagGroup) -> bool {
        let undecided = &self.selections.undecided;
        let is_undecided = |rule: u32| !undecided.is_empty() && undecided.contains_key(&rule);
        !group.may_yield.is_empty()
            || group.giving.iter().any(|giver| is_undecided(giver.rule))
            || group.forbidding.iter().any(|ban| is_undecided(ban.rule))
    }

    /// Devices on which a template may yield a tag if unknown data says so, with the priority of its rule.
    pub(super) fn may_yield(&self, group: &TagGroup) -> impl Iterator<Item = (i64, &DeviceSet)> {
        let gaps = group.may_yield.iter().map(|gap| &self.gaps[*gap as usize]);
        gaps.filter_map(|gap| Some((self.policy.rules[gap.rule as usize].priority, gap.unknown.as_ref()?)))
    }

    /// Adds the possible effects of the statements of one priority, on devices that higher ones leave undecided. `certain`: the
    /// devices that they certainly give the tag to, and those that they certainly forbid it on.
    pub(super) fn allow(
        &self,
        group: &TagGroup,
        priority: i64,
        window: &Window,
        certain: (&DeviceSet, &DeviceSet),
        possible: &mut PossibleTag,
    ) {
        let (mut gives, mut forbids) = (certain.0.clone(), certain.1.clone());
        for giver in group.giving.iter().filter(|giver| giver.priority == priority) {
            gives.union_with(&self.undecided_givers(giver, window));
        }
        for (_, rows) in self.may_yield(group).filter(|(its, _)| *its == priority) {
            gives.union_with(&window.of_set(rows));
        }
        for ban in group.forbidding.iter().filter(|ban| ban.priority == priority) {
            let Some(undecided) = self.selections.undecided.get(&ban.rule) else { continue };
            let mut rows = window.of_set(undecided);
            // A rule's own tags win over its own globs.
            for own in group.giving.iter().filter(|giver| ban.is_glob && giver.rule == ban.rule) {
                rows.difference_with(&self.undecided_givers(own, window));
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

    /// Devices that a rule would give a tag to if it selected them, which is unknown.
    fn undecided_givers(&self, giver: &GivingRule, window: &Window) -> DeviceSet {
        let Some(undecided) = self.selections.undecided.get(&giver.rule) else {
            return DeviceSet::new(window.len());
        };
        let mut rows = window.of_set(undecided);
        if let GivenRows::Listed(listed) = &giver.rows {
            rows.intersect_with(&window.of_rows(listed));
        }
        rows
    }

    /// Fills in which devices unknown data decides about, for each tag of a part, families included. Call it before `families`
    /// drops members.
    pub(super) fn open(&self, part: &[u32], tags: &mut [Settled], decisions: &[Decision], length: usize) {
        if decisions.iter().all(|decision| decision.possible.is_none()) {
            return;
        }
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
            let mut can_stay = decisions[index].may_carry().clone();
            can_stay.difference_with(surely);
            let mut must_stay = decisions[index].must_carry();
            must_stay.difference_with(maybe);
            surely.union_with(&must_stay);
            maybe.union_with(&can_stay);
            tags[index].open = self.open_tag(group, &tags[index], &decisions[index], &can_stay, &must_stay);
        }
    }

    /// The devices on which a tag is open. `can_stay`: devices that may be given it; `must_stay`: those that are given it in any
    /// case.
    fn open_tag(
        &self,
        group: &TagGroup,
        tag: &Settled,
        decision: &Decision,
        can_stay: &DeviceSet,
        must_stay: &DeviceSet,
    ) -> Option<DeviceSet> {
        let mut rows = can_stay.clone();
        rows.difference_with(must_stay);
        // A tag without an owner stays unless a rule forbids it.
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

    /// If it is unknown whether the new name is given or forbidden, the old one stays. The new name is only added to devices that
    /// certainly lose the old one.
    pub(super) fn open_renames(
        &self,
        part: &[u32],
        tags: &mut [Settled],
        decisions: &[Decision],
        window: &Window,
    ) {
        let group = |index: usize| &self.groups[part[index] as usize];
        if (0..part.len()).all(|from| group(from).rename.is_none()) {
            return;
        }
        for to in 0..part.len() {
            let old_names = (0..part.len()).filter(|from| self.is_old_name_of(group(*from), group(to)));
            let old_names: Vec<usize> = old_names.collect();
            if old_names.is_empty() || self.is_waiting(group(to)) {
                continue;
            }
            let is_claimed = group(to).claimed.is_some();
            // The old names' effect on the new one, unless a rule forbids it.
            let (mut surely, mut possibly) = (DeviceSet::new(window.len()), DeviceSet::new(window.len()));
            for from in old_names {
                let mut doubtful = decisions[to].may_ban().clone();
                doubtful.difference_with(&decisions[to].must_ban());
                if is_claimed {
                    let mut given = decisions[to].may_carry().clone();
                    given.difference_with(&decisions[to].must_carry());
                    doubtful.union_with(&given);
                }
                let mut may_be_renamed = tags[from].any_live.clone();
                may_be_renamed.difference_with(&decisions[from].must_carry());
                doubtful.intersect_with(&may_be_renamed);
                doubtful.difference_with(&decisions[from].must_ban());
                mark(&mut tags[from], &doubtful);
                let mut is_renamed = tags[from].any_live.clone();
                is_renamed.difference_with(decisions[from].may_carry());
                self.keep(group(from), &mut is_renamed, window);
                surely.union_with(&is_renamed);
                possibly.union_with(&may_be_renamed);
            }
            if !is_claimed {
                surely.difference_with(decisions[to].may_ban());
                surely.union_with(&decisions[to].must_carry());
                possibly.difference_with(&decisions[to].must_ban());
                possibly.union_with(decisions[to].may_carry());
                open_new_name(&mut tags[to], &surely, possibly);
            }
        }
    }

    /// Removes the devices on which a template without data keeps an old name, because no rename may do only half of its work
    /// there.
    fn keep(&self, group: &TagGroup, rows: &mut DeviceSet, window: &Window) {
        if !self.gaps.iter().any(|gap| gap.glob.matches(&group.name)) {
            return;
        }
        let kept = rows.iter().filter(|local| self.keeper(group, window.row(*local)).is_some());
        let kept = DeviceSet::of(window.len(), kept);
        rows.difference_with(&kept);
    }
}

/// The devices on which a new name is open: it may be wanted but is not certainly wanted. A live one stays, whatever happens to
/// the old names.
fn open_new_name(tag: &mut Settled, surely: &DeviceSet, mut possibly: DeviceSet) {
    possibly.difference_with(surely);
    possibly.difference_with(&tag.any_live);
    if let Some(mut open) = tag.open.take() {
        open.intersect_with(&tag.any_live);
        possibly.union_with(&open);
    }
    tag.open = Some(possibly).filter(|rows| !rows.is_empty());
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
