//! Settles connected tags: which devices should carry each, which should not, and why, as sets of devices.
//!
//! Decides nothing about withholding: protections, trust and history belong to the plan.

use super::{Desired, GivenRows, TagGroup, Window};
use crate::inventory::{DeviceSet, TagId};

/// Connected tags, settled.
#[derive(Clone, Debug)]
pub struct SettledPart {
    /// The devices that the part's sets number.
    pub window: Window,
    /// One entry per group.
    pub tags: Vec<Settled>,
}

/// A settled tag. Its sets use the window's row numbers and contain only devices in scope.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Index into [`Desired::groups`].
    pub group: u32,
    /// Devices that carry each live spelling.
    pub live: Vec<(TagId, DeviceSet)>,
    /// Devices that carry any of them.
    pub any_live: DeviceSet,
    /// Devices that should carry the tag because rules give it to them.
    pub given: DeviceSet,
    /// Devices that should carry it because a rename applies to an old name of it.
    pub renamed: Vec<(u32, DeviceSet)>,
    /// Devices that carry it and should not, by reason; disjoint, in the order of [`Reason`].
    pub unwanted: Vec<(Reason, DeviceSet)>,
    /// Devices on which unknown data decides whether the tag stays, comes or goes: it is not written there. The other sets say
    /// what follows if the undecided rules do not hold. `None` if there are none.
    pub open: Option<DeviceSet>,
}

impl Settled {
    /// Devices that should carry the tag.
    pub fn wanted(&self) -> DeviceSet {
        let mut wanted = self.given.clone();
        for (_, rows) in &self.renamed {
            wanted.union_with(rows);
        }
        wanted
    }
}

/// Why a device should not carry a tag. If several reasons apply, the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Rules forbid it ([`Desired::forbidders`]).
    Rule,
    /// A stronger member of this family stays.
    Family(u32),
    /// This rename gives it a new name.
    Renamed(u32),
    /// This entry of `retire` covers it.
    Retired(u32),
    /// It is claimed and no rule assigns it.
    Unselected,
}

/// The winning statement on each device.
pub(super) struct Decision {
    pub(super) carried: DeviceSet,
    pub(super) banned: DeviceSet,
    /// Devices on which the same highest priority gives and forbids the tag, by priority.
    pub(super) conflicts: Vec<(i64, DeviceSet)>,
    /// The possible results, if a rule's statement is unknown.
    pub(super) possible: Option<PossibleTag>,
}

/// The possible decisions about a tag over all values of the unknown data. Devices in several sets are open.
pub(super) struct PossibleTag {
    pub(super) carried: DeviceSet,
    pub(super) banned: DeviceSet,
    pub(super) neither: DeviceSet,
}

impl PossibleTag {
    pub(super) fn new(length: usize) -> PossibleTag {
        let none = || DeviceSet::new(length);
        PossibleTag { carried: none(), banned: none(), neither: DeviceSet::full(length) }
    }
}

impl Desired<'_> {
    /// Settles one part of [`Desired::parts`].
    pub fn settle(&self, part: &[u32]) -> SettledPart {
        let window = self.window(part);
        let scope = window.of_set(&self.selections.scope);
        let decisions: Vec<Decision> =
            part.iter().map(|group| self.decide(self.group(*group), &window)).collect();
        let mut tags: Vec<Settled> = Vec::with_capacity(part.len());
        for (group, decision) in part.iter().zip(&decisions) {
            let mut any_live = DeviceSet::new(window.len());
            let mut live = Vec::new();
            for tag in &self.group(*group).live {
                let mut rows = window.of_rows(self.snapshot.carrier_rows(*tag));
                rows.intersect_with(&scope);
                any_live.union_with(&rows);
                live.push((*tag, rows));
            }
            tags.push(Settled {
                group: *group,
                live,
                any_live,
                given: decision.carried.clone(),
                renamed: Vec::new(),
                unwanted: Vec::new(),
                open: None,
            });
        }
        self.open(part, &mut tags, &decisions, window.len());
        let dropped = self.families(part, &mut tags, window.len());
        let (old, kept) = self.renames(part, &mut tags, &decisions, window.len());
        for (index, decision) in decisions.iter().enumerate() {
            self.unwanted(&mut tags[index], decision, &dropped[index], &old[index], &kept[index]);
        }
        self.open_renames(part, &mut tags, &decisions, &window);
        SettledPart { window, tags }
    }

    fn group(&self, group: u32) -> &TagGroup {
        &self.groups[group as usize]
    }

    /// The devices that matter to a part: those that carry one of its tags, are given one, or may be.
    pub(super) fn window(&self, part: &[u32]) -> Window {
        let fleet = self.snapshot.len();
        let mut rows = Vec::new();
        for group in part.iter().map(|group| self.group(*group)) {
            for tag in &group.live {
                let carriers = self.snapshot.carrier_rows(*tag).iter().copied();
                rows.extend(carriers.filter(|row| self.selections.scope.contains(*row)));
            }
            for giver in &group.giving {
                match &giver.rows {
                    GivenRows::Rule => {
                        let most = (fleet / 16).max(64) + 1;
                        let undecided = self.selections.undecided.get(&giver.rule);
                        rows.extend(self.selections.rules[giver.rule as usize].iter().take(most));
                        rows.extend(undecided.into_iter().flat_map(DeviceSet::iter).take(most));
                    }
                    GivenRows::Listed(listed) => rows.extend(listed),
                }
                if rows.len() > (fleet / 16).max(64) {
                    return Window::whole(fleet);
                }
            }
        }
        Window::new(fleet, rows)
    }

    /// Works down from the highest priority: a decision of a higher one stands.
    pub(super) fn decide(&self, group: &TagGroup, window: &Window) -> Decision {
        let none = || DeviceSet::new(window.len());
        let (mut carried, mut banned, mut decided) = (none(), none(), none());
        let mut conflicts = Vec::new();
        let mut possible = self.is_open(group).then(|| PossibleTag::new(window.len()));
        let mut priorities: Vec<i64> = group.giving.iter().map(|giver| giver.priority).collect();
        priorities.extend(group.forbidding.iter().map(|ban| ban.priority));
        priorities.extend(self.may_yield(group).map(|(priority, _)| priority));
        priorities.sort_unstable();
        priorities.dedup();
        for priority in priorities.into_iter().rev() {
            let mut gives = none();
            for giver in group.giving.iter().filter(|giver| giver.priority == priority) {
                gives.union_with(&self.giver_set(giver, window));
            }
            let mut forbids = none();
            for ban in group.forbidding.iter().filter(|ban| ban.priority == priority) {
                let mut rows = window.of_set(&self.selections.rules[ban.rule as usize]);
                // A rule's own tags win over its own globs.
                for own in group.giving.iter().filter(|giver| ban.is_glob && giver.rule == ban.rule) {
                    rows.difference_with(&self.giver_set(own, window));
                }
                forbids.union_with(&rows);
            }
            let mut certain = DeviceSet::full(window.len());
            if let Some(possible) = &mut possible {
                certain.difference_with(&possible.carried);
                certain.difference_with(&possible.banned);
                self.allow(group, priority, window, (&gives, &forbids), possible);
            }
            gives.difference_with(&decided);
            forbids.difference_with(&decided);
            decided.union_with(&gives);
            decided.union_with(&forbids);
            let mut both = gives.clone();
            both.intersect_with(&forbids);
            gives.difference_with(&both);
            forbids.difference_with(&both);
            carried.union_with(&gives);
            banned.union_with(&forbids);
            // If an unknown statement may win, it is not known whether rules contradict each other.
            both.intersect_with(&certain);
            if !both.is_empty() {
                conflicts.push((priority, both));
            }
        }
        Decision { carried, banned, conflicts, possible }
    }

    /// The devices that a rule certainly gives a tag to.
    fn giver_set(&self, giver: &super::GivingRule, window: &Window) -> DeviceSet {
        match &giver.rows {
            GivenRows::Rule => window.of_set(&self.selections.rules[giver.rule as usize]),
            GivenRows::Listed(rows) => {
                let mut rows = window.of_rows(rows);
                if let Some(undecided) = self.selections.undecided.get(&giver.rule) {
                    rows.difference_with(&window.of_set(undecided));
                }
                rows
            }
        }
    }

    /// Of the family members that a device is given, the one listed first stays. Returns the devices that each tag lost.
    fn families(&self, part: &[u32], tags: &mut [Settled], length: usize) -> Vec<DeviceSet> {
        let mut dropped = vec![DeviceSet::new(length); part.len()];
        let mut members: Vec<(u32, u32, usize)> = part
            .iter()
            .enumerate()
            .filter_map(|(index, group)| {
                self.group(*group).family.map(|(family, place)| (family, place, index))
            })
            .collect();
        members.sort_unstable();
        for family in members.chunk_by(|one, other| one.0 == other.0) {
            let mut taken = DeviceSet::new(length);
            for (_, _, index) in family {
                let given = &mut tags[*index].given;
                dropped[*index].union_with(given);
                dropped[*index].intersect_with(&taken);
                given.difference_with(&dropped[*index]);
                taken.union_with(given);
            }
        }
        dropped
    }

    /// The devices that lose an old name to a rename, and those that keep it because the rename does not apply. New names are
    /// wanted if no part of the policies claims them.
    fn renames(
        &self,
        part: &[u32],
        tags: &mut [Settled],
        decisions: &[Decision],
        length: usize,
    ) -> (Vec<DeviceSet>, Vec<DeviceSet>) {
        let mut old = vec![DeviceSet::new(length); part.len()];
        let mut kept = vec![DeviceSet::new(length); part.len()];
        let renamed = part.iter().enumerate();
        let mut renamed: Vec<(u32, usize)> = renamed
            .filter_map(|(from, group)| self.group(*group).rename.map(|rename| (rename, from)))
            .collect();
        // If two old names have the same new name, the rename that is written first is the cause.
        renamed.sort_unstable();
        for (rename, from) in renamed {
            let name = &self.policy.renames[rename as usize].to;
            let is_new = |group: &&u32| self.tag_case.is_same(&self.group(**group).name, name);
            let to = part.iter().find(is_new).and_then(|group| part.iter().position(|other| other == group));
            let to = to.expect("a rename joins its two names in one part");
            let mut rows = tags[from].any_live.clone();
            rows.difference_with(&decisions[from].carried);
            kept[from].union_with(&rows);
            if self.is_waiting(self.group(part[to])) {
                continue;
            }
            kept[from].intersect_with(&decisions[to].banned);
            rows.difference_with(&decisions[to].banned);
            if self.group(part[to]).claimed.is_none() {
                let mut wanted = rows.clone();
                wanted.difference_with(&decisions[to].carried);
                for (_, earlier) in &tags[to].renamed {
                    wanted.difference_with(earlier);
                }
                if !wanted.is_empty() {
                    tags[to].renamed.push((rename, wanted));
                }
            }
            old[from] = rows;
        }
        (old, kept)
    }

    /// Splits the devices that carry a tag and should not by reason.
    fn unwanted(
        &self,
        tag: &mut Settled,
        decision: &Decision,
        dropped: &DeviceSet,
        old: &DeviceSet,
        kept: &DeviceSet,
    ) {
        let group = self.group(tag.group);
        let mut rest = tag.any_live.clone();
        rest.difference_with(&tag.wanted());
        // Only protected devices can still be in conflict, and nothing is decided about the tag on those.
        for (_, conflict) in &decision.conflicts {
            rest.difference_with(conflict);
        }
        let mut take = |reason: Reason, rows: Option<&DeviceSet>| {
            let mut taken = rest.clone();
            if let Some(rows) = rows {
                taken.intersect_with(rows);
            }
            rest.difference_with(&taken);
            if !taken.is_empty() {
                tag.unwanted.push((reason, taken));
            }
        };
        take(Reason::Rule, Some(&decision.banned));
        if let Some((family, _)) = group.family {
            take(Reason::Family(family), Some(dropped));
        }
        if let Some(rename) = group.rename {
            take(Reason::Renamed(rename), Some(old));
        }
        if group.retired.is_none() && group.claimed.is_none() {
            return;
        }
        let mut open = tag.any_live.clone();
        open.difference_with(kept);
        if let Some(retired) = group.retired {
            take(Reason::Retired(retired), Some(&open));
        }
        if group.claimed.is_some() {
            take(Reason::Unselected, Some(&open));
        }
    }
}
