//! Finds each device's group: the first by rank whose conditions all hold.
//!
//! Groups are bits of a mask. Each combination of platform and domain is evaluated once, and so is each tag; a name only if a
//! group with a condition on names could still come first. After a plan, only devices whose tags change are evaluated again.

use std::collections::BTreeMap;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use hashbrown::HashMap;
use rayon::prelude::*;

use super::conditions::{TextConditions, free};
use crate::device::Field;
use crate::inventory::{DeviceSet, Row, Snapshot, TagId};
use crate::policy::{DeviceGroups, GroupIndex, Property, TagConditions};

/// Rows of one parallel task.
const CHUNK: usize = 1 << 14;

/// The most combinations of platform and domain that are kept: hostile names could each have their own domain.
const MOST_PLACES: usize = 1 << 12;

/// Number of devices by group, without empty groups.
pub type GroupSizes = BTreeMap<GroupIndex, u64>;

/// The group of every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// By row.
    groups: Vec<GroupIndex>,
}

impl Assignment {
    /// The group of a device.
    pub fn of(&self, row: Row) -> GroupIndex {
        self.groups[row.index()]
    }

    /// Number of devices in each group, counting only those of `among`.
    pub fn counts(&self, among: &DeviceSet) -> GroupSizes {
        let mut ranks: Vec<u64> = Vec::new();
        let (mut ungrouped, mut merged) = (0, 0);
        for row in among.iter() {
            match self.of(row) {
                GroupIndex::Group(rank) => {
                    let rank = usize::from(rank);
                    if rank >= ranks.len() {
                        ranks.resize(rank + 1, 0);
                    }
                    ranks[rank] += 1;
                }
                GroupIndex::Ungrouped => ungrouped += 1,
                GroupIndex::Merged => merged += 1,
            }
        }
        let groups = (0..).map(GroupIndex::Group).zip(ranks);
        let all = groups.chain([(GroupIndex::Ungrouped, ungrouped), (GroupIndex::Merged, merged)]);
        all.filter(|(_, devices)| *devices > 0).collect()
    }
}

/// The tags that a device gains and loses, as indices into a list of tags.
pub trait TagEdits {
    /// Tags that the device gains.
    fn added(&self) -> impl Iterator<Item = u32>;
    /// Tags that the device loses, in their exact spelling.
    fn removed(&self) -> impl Iterator<Item = u32>;
}

/// The conditions of all groups over an inventory.
#[derive(Debug)]
pub struct Membership<'a> {
    snapshot: &'a Snapshot,
    /// Groups with at least one condition. A group without any matches no device.
    stated: FixedBitSet,
    names: TextConditions,
    domains: TextConditions,
    platforms: TextConditions,
    tags: TagConditions,
    /// Groups without a condition on tags.
    untagged: FixedBitSet,
    /// By tag of the inventory: the ranks whose conditions the tag meets.
    carried: Vec<Vec<u32>>,
    merged: DeviceSet,
}

impl<'a> Membership<'a> {
    /// Compiles the conditions, and evaluates them for each tag of the inventory.
    pub fn new(groups: &DeviceGroups, snapshot: &'a Snapshot) -> Membership<'a> {
        let mut stated = FixedBitSet::with_capacity(groups.groups.len());
        for (rank, group) in groups.groups.iter().enumerate() {
            stated.set(rank, !group.conditions.is_empty());
        }
        let tags = TagConditions::new(groups);
        let carried = snapshot.tag_ids().map(|tag| tags.ranks(snapshot.tag(tag))).collect();
        let is_merged = |row: Row| snapshot.plain(Field::MergedIntoMachineId, row).is_some();
        Membership {
            snapshot,
            stated,
            names: TextConditions::new(groups, Property::Name),
            domains: TextConditions::new(groups, Property::Domain),
            platforms: TextConditions::new(groups, Property::Os),
            tags,
            untagged: free(groups, Property::Tag),
            carried,
            merged: DeviceSet::collect(snapshot.len(), is_merged),
        }
    }

    /// The group of every device, by the tags as read.
    pub fn assign(&self) -> Assignment {
        let group = |judge: &mut GroupJudge<'_, 'a>, row: u32| {
            let row = Row(row);
            judge.ranks.clear();
            for tag in self.snapshot.tags(row) {
                judge.ranks.extend_from_slice(&self.carried[tag.0 as usize]);
            }
            judge.group(row)
        };
        let rows = (0..self.snapshot.len() as u32).into_par_iter().with_min_len(CHUNK);
        Assignment { groups: rows.map_init(|| GroupJudge::new(self), group).collect() }
    }

    /// The group of every device after edits. Edits refer to `tags` by index, and name each device at most once.
    pub fn assign_after<E: TagEdits + Sync>(
        &self,
        before: &Assignment,
        tags: &[Arc<str>],
        edits: &[(Row, E)],
    ) -> Assignment {
        let ranks: Vec<Vec<u32>> = tags.iter().map(|tag| self.tags.ranks(tag)).collect();
        let live: Vec<Option<TagId>> = tags.iter().map(|tag| self.snapshot.find_tag(tag)).collect();
        let group = |judge: &mut GroupJudge<'_, 'a>, (row, edit): &(Row, E)| {
            let was = before.of(*row);
            let lost = edit.removed().filter_map(|tag| live[tag as usize]);
            let lost = lost.flat_map(|tag| &self.carried[tag.0 as usize]).copied();
            let gained = edit.added().flat_map(|tag| &ranks[tag as usize]).copied();
            if let Some(known) = judge.regroup(*row, was, lost, gained) {
                return known;
            }
            judge.ranks.clear();
            for tag in self.snapshot.tags(*row) {
                if !edit.removed().any(|removed| live[removed as usize] == Some(*tag)) {
                    judge.ranks.extend_from_slice(&self.carried[tag.0 as usize]);
                }
            }
            for added in edit.added() {
                judge.ranks.extend_from_slice(&ranks[added as usize]);
            }
            judge.group(*row)
        };
        let moved: Vec<GroupIndex> =
            edits.par_iter().with_min_len(CHUNK).map_init(|| GroupJudge::new(self), group).collect();
        let mut after = before.clone();
        for ((row, _), group) in edits.iter().zip(moved) {
            after.groups[row.index()] = group;
        }
        after
    }

    /// Whether some condition depends on this tag. Other tags move no device.
    pub fn is_watched(&self, tag: &str) -> bool {
        self.tags.look_at(tag)
    }
}

/// No group.
const NONE: u32 = u32::MAX;

/// The part of a device's group that its platform and domain decide.
#[derive(Debug)]
struct PlatformAndDomain {
    /// Groups whose conditions on platform and domain hold.
    met: FixedBitSet,
    /// The first of them without conditions on names and tags.
    first: u32,
    /// The first of them with a condition on names.
    first_named: u32,
}

impl PlatformAndDomain {
    fn new(of: &Membership<'_>, row: Row) -> PlatformAndDomain {
        let text = |field: Field| of.snapshot.plain(field, row);
        let mut met = of.platforms.met(text(Field::OsPlatform));
        met.intersect_with(&of.stated);
        if of.domains.is_asked() {
            met.intersect_with(&of.domains.met(text(Field::Domain)));
        }
        let is_open = |rank: &usize| of.names.free.contains(*rank) && of.untagged.contains(*rank);
        let first = met.ones().find(is_open).map_or(NONE, |rank| rank as u32);
        let is_named = |rank: &usize| !of.names.free.contains(*rank);
        let first_named = met.ones().find(is_named).map_or(NONE, |rank| rank as u32);
        PlatformAndDomain { met, first, first_named }
    }
}

/// Evaluates devices one by one, and keeps the results for each platform and domain.
struct GroupJudge<'m, 'a> {
    of: &'m Membership<'a>,
    places: HashMap<(u32, &'a str), PlatformAndDomain>,
    /// The ranks whose tag conditions the current device meets.
    ranks: Vec<u32>,
}

impl<'m, 'a> GroupJudge<'m, 'a> {
    fn new(of: &'m Membership<'a>) -> GroupJudge<'m, 'a> {
        GroupJudge { of, places: HashMap::new(), ranks: Vec::new() }
    }

    /// The group of a device that was in `was`, lost tags that meet the conditions of `lost`, and gained tags that meet those of
    /// `gained`. While its old group still matches, only a gained tag can move it to a higher rank. `None` if the old group
    /// depends on a lost tag, or if a group depends on the name as well: then everything must be evaluated again.
    fn regroup(
        &mut self,
        row: Row,
        was: GroupIndex,
        mut lost: impl Iterator<Item = u32>,
        gained: impl Iterator<Item = u32>,
    ) -> Option<GroupIndex> {
        let own = match was {
            GroupIndex::Merged => return Some(was),
            GroupIndex::Ungrouped => NONE,
            GroupIndex::Group(rank) => u32::from(rank),
        };
        if lost.any(|rank| rank == own) {
            return None;
        }
        let mut best = own;
        for rank in gained {
            if rank < best && !self.of.names.free.contains(rank as usize) {
                return None;
            }
            if rank < best && place(self.of, &mut self.places, row).met.contains(rank as usize) {
                best = rank;
            }
        }
        Some(of_rank(best))
    }

    /// The group of a device whose tags meet the conditions of `ranks`.
    fn group(&mut self, row: Row) -> GroupIndex {
        let GroupJudge { of, places, ranks } = self;
        if of.merged.contains(row) {
            return GroupIndex::Merged;
        }
        let place = place(of, places, row);
        let mut best = place.first;
        for rank in &**ranks {
            let is_met = || place.met.contains(*rank as usize) && of.names.free.contains(*rank as usize);
            if *rank < best && is_met() {
                best = *rank;
            }
        }
        // Names are evaluated last, because each device has its own.
        if place.first_named < best
            && let Some(name) = of.snapshot.plain(Field::ComputerDnsName, row)
        {
            of.names.find(name, |rank| {
                let index = rank as usize;
                let is_met =
                    || place.met.contains(index) && (of.untagged.contains(index) || ranks.contains(&rank));
                if rank < best && is_met() {
                    best = rank;
                }
            });
        }
        of_rank(best)
    }
}

/// The part that platform and domain decide, computed once for all devices that share both.
fn place<'p, 'a>(
    of: &Membership<'a>,
    places: &'p mut HashMap<(u32, &'a str), PlatformAndDomain>,
    row: Row,
) -> &'p PlatformAndDomain {
    let domain = if of.domains.is_asked() { of.snapshot.plain(Field::Domain, row) } else { None };
    let key = (of.snapshot.code(Field::OsPlatform, row), domain.unwrap_or_default());
    if places.len() >= MOST_PLACES && !places.contains_key(&key) {
        places.clear();
    }
    places.entry(key).or_insert_with(|| PlatformAndDomain::new(of, row))
}

fn of_rank(rank: u32) -> GroupIndex {
    u16::try_from(rank).map_or(GroupIndex::Ungrouped, GroupIndex::Group)
}
