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
use crate::inventory::{DeviceSet, Row, Snapshot, TagId, domain_of};
use crate::policy::{DeviceGroups, GroupIndex, Operator, Property, TagConditions};

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

    /// The group of each edited device after its edits. Edits refer to `tags` by index, and name each device at most once.
    pub fn assign_after<E: TagEdits + Sync>(
        &self,
        before: &Assignment,
        tags: &[Arc<str>],
        edits: &[(Row, E)],
    ) -> Vec<GroupIndex> {
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
        edits.par_iter().with_min_len(CHUNK).map_init(|| GroupJudge::new(self), group).collect()
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
    /// The first of them with a condition on names, by operator.
    first_named: Vec<(Operator, u32)>,
}

impl PlatformAndDomain {
    fn new(of: &Membership<'_>, platform: Option<&str>, domain: Option<&str>) -> PlatformAndDomain {
        let mut met = of.platforms.met(platform);
        met.intersect_with(&of.stated);
        if of.domains.is_asked() {
            met.intersect_with(&of.domains.met(domain));
        }
        let is_open = |rank: &usize| of.names.free.contains(*rank) && of.untagged.contains(*rank);
        let first = met.ones().find(is_open).map_or(NONE, |rank| rank as u32);
        let first_named = of.names.compared.iter().filter_map(|(operator, by)| {
            let rank = met.intersection(by).next()? as u32;
            (rank < first).then_some((*operator, rank))
        });
        PlatformAndDomain { first_named: first_named.collect(), met, first }
    }

    /// Whether a name decides, compared by this operator, where a device is of rank `best` without.
    fn wants(&self, operator: Operator, best: u32) -> bool {
        self.first_named.iter().any(|(own, first)| *own == operator && *first < best)
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
            if rank < best && self.place(row).1.met.contains(rank as usize) {
                best = rank;
            }
        }
        Some(of_rank(best))
    }

    /// The group of a device whose tags meet the conditions of `ranks`.
    fn group(&mut self, row: Row) -> GroupIndex {
        let of = self.of;
        if of.merged.contains(row) {
            return GroupIndex::Merged;
        }
        let ranks = std::mem::take(&mut self.ranks);
        let (name, place) = self.place(row);
        let mut best = place.first;
        for rank in &ranks {
            let is_met = || place.met.contains(*rank as usize) && of.names.free.contains(*rank as usize);
            if *rank < best && is_met() {
                best = *rank;
            }
        }
        // Names are evaluated last, because each device has its own.
        let without = best;
        if let Some(name) = name
            && place.first_named.iter().any(|(_, first)| *first < without)
        {
            let wants = |operator: Operator| place.wants(operator, without);
            of.names.find(name, wants, |rank| {
                let index = rank as usize;
                let is_met =
                    || place.met.contains(index) && (of.untagged.contains(index) || ranks.contains(&rank));
                if rank < best && is_met() {
                    best = rank;
                }
            });
        }
        self.ranks = ranks;
        of_rank(best)
    }

    /// A device's name, and the part that platform and domain decide, computed once for all devices that share both.
    fn place(&mut self, row: Row) -> (Option<&'a str>, &PlatformAndDomain) {
        let GroupJudge { of, places, .. } = self;
        let name = of.snapshot.name(row);
        let domain = if of.domains.is_asked() { name.and_then(domain_of) } else { None };
        let key = (of.snapshot.code(Field::OsPlatform, row), domain.unwrap_or_default());
        if places.len() >= MOST_PLACES && !places.contains_key(&key) {
            places.clear();
        }
        let place = places
            .entry(key)
            .or_insert_with(|| PlatformAndDomain::new(of, of.snapshot.plain(Field::OsPlatform, row), domain));
        (name, place)
    }
}

fn of_rank(rank: u32) -> GroupIndex {
    u16::try_from(rank).map_or(GroupIndex::Ungrouped, GroupIndex::Group)
}
