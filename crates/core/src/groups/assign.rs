//! Which group each device is in: conditions as sets of devices, groups taken in order of rank.
//!
//! Asks a tag once, not once a device; names and platforms are asked in one pass over all groups.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::device::Field;
use crate::inventory::{DeviceSet, Row, Snapshot, TagId};
use crate::pattern::Glob;
use crate::policy::{DeviceGroups, GroupCondition, GroupIndex, Operator, Property, Test};
use crate::selection;
use crate::tag::TagCase;
use crate::text;

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

    /// Devices in each group, those of `among` only.
    pub fn counts(&self, among: &DeviceSet) -> BTreeMap<GroupIndex, u64> {
        let mut counts = BTreeMap::new();
        for row in among.iter() {
            *counts.entry(self.of(row)).or_default() += 1;
        }
        counts
    }
}

/// Tags that devices gain and lose, by the tag's text.
#[derive(Clone, Debug, Default)]
pub struct TagEdits<'a> {
    /// Devices that gain a tag.
    pub added: BTreeMap<&'a str, Vec<Row>>,
    /// Devices that lose a tag.
    pub removed: BTreeMap<&'a str, Vec<Row>>,
}

/// What does not change with tags: for each group the devices that meet its other conditions.
#[derive(Debug)]
pub struct Membership<'a> {
    groups: &'a DeviceGroups,
    snapshot: &'a Snapshot,
    /// By rank: the devices that meet the conditions on name, domain and platform; `None` where there are none.
    fixed: Vec<Option<DeviceSet>>,
    tags: TagConditions<'a>,
    /// By rank: the tags of the inventory that meet its conditions on tags.
    carried: Vec<Vec<TagId>>,
    merged: DeviceSet,
}

/// The conditions on tags of all groups, so that a tag is compared once and not once a group.
#[derive(Debug)]
struct TagConditions<'a> {
    case: TagCase,
    /// Ranks by the whole text of a tag.
    whole: HashMap<Cow<'a, str>, Vec<usize>>,
    /// Every other comparison, with its rank.
    parts: Vec<(Operator, Cow<'a, str>, usize)>,
}

impl<'a> TagConditions<'a> {
    fn new(groups: &'a DeviceGroups) -> TagConditions<'a> {
        let mut conditions =
            TagConditions { case: groups.tag_case, whole: HashMap::new(), parts: Vec::new() };
        for (rank, group) in groups.groups.iter().enumerate() {
            let on_tags = group.conditions.iter().filter(|condition| condition.property == Property::Tag);
            for (operator, value) in
                on_tags.flat_map(|condition| condition.values.iter().map(|value| (condition.operator, value)))
            {
                let value = folded(value, groups.tag_case);
                match operator {
                    Operator::Equals | Operator::In => conditions.whole.entry(value).or_default().push(rank),
                    part => conditions.parts.push((part, value, rank)),
                }
            }
        }
        conditions
    }

    /// The ranks whose conditions on tags a tag meets, some perhaps twice.
    fn ranks(&self, tag: &str) -> impl Iterator<Item = usize> {
        let tag = folded(tag, self.case);
        let whole = self.whole.get(&*tag).cloned().unwrap_or_default();
        let parts: Vec<usize> = self
            .parts
            .iter()
            .filter(|(operator, value, _)| operator.holds(&tag, value))
            .map(|(_, _, rank)| *rank)
            .collect();
        whole.into_iter().chain(parts)
    }
}

impl<'a> Membership<'a> {
    /// Evaluates every condition that does not look at tags.
    pub fn new(groups: &'a DeviceGroups, snapshot: &'a Snapshot) -> Membership<'a> {
        let mut tests: Vec<(Field, Test)> = Vec::new();
        let mut owners: Vec<usize> = Vec::new();
        for (rank, group) in groups.groups.iter().enumerate() {
            for (property, field) in FIXED {
                let patterns: Vec<Glob> = group
                    .conditions
                    .iter()
                    .filter(|condition| condition.property == property)
                    .flat_map(patterns)
                    .collect();
                if group.conditions.iter().any(|condition| condition.property == property) {
                    tests.push((field, Test::Glob(patterns)));
                    owners.push(rank);
                }
            }
        }
        let mut fixed: Vec<Option<DeviceSet>> = groups.groups.iter().map(|_| None).collect();
        for (rank, set) in owners.into_iter().zip(selection::sets_of(snapshot, &tests)) {
            match &mut fixed[rank] {
                Some(known) => known.intersect_with(&set),
                none => *none = Some(set),
            }
        }
        let merged = selection::sets_of(snapshot, &[(Field::MergedIntoMachineId, Test::Exists(true))]);
        let merged = merged.into_iter().next().unwrap_or_else(|| DeviceSet::new(snapshot.len()));
        let tags = TagConditions::new(groups);
        let mut carried: Vec<Vec<TagId>> = vec![Vec::new(); groups.groups.len()];
        for tag in snapshot.tag_ids() {
            for rank in tags.ranks(snapshot.tag(tag)) {
                if carried[rank].last() != Some(&tag) {
                    carried[rank].push(tag);
                }
            }
        }
        Membership { groups, snapshot, fixed, tags, carried, merged }
    }

    /// The group of every device, with the tags as read and these edits made.
    pub fn assign(&self, edits: &TagEdits<'_>) -> Assignment {
        let length = self.snapshot.len();
        let mut open = DeviceSet::full(length);
        open.difference_with(&self.merged);
        let mut groups = vec![GroupIndex::Ungrouped; length];
        for row in self.merged.iter() {
            groups[row.index()] = GroupIndex::Merged;
        }
        let mut gained: Vec<Vec<&[Row]>> = vec![Vec::new(); self.groups.groups.len()];
        for (tag, rows) in &edits.added {
            self.tags.ranks(tag).for_each(|rank| gained[rank].push(rows));
        }
        for (rank, group) in self.groups.groups.iter().enumerate() {
            let looks_at_tags = group.conditions.iter().any(|condition| condition.property == Property::Tag);
            let mut members = match (&self.fixed[rank], looks_at_tags) {
                // A group without conditions matches nothing.
                (None, false) => continue,
                (Some(fixed), false) => fixed.clone(),
                (fixed, true) => {
                    let mut members = self.carriers(&self.carried[rank], edits);
                    gained[rank].iter().copied().flatten().for_each(|row| members.insert(*row));
                    if let Some(fixed) = fixed {
                        members.intersect_with(fixed);
                    }
                    members
                }
            };
            members.intersect_with(&open);
            let index = u16::try_from(rank).map_or(GroupIndex::Ungrouped, GroupIndex::Group);
            for row in members.iter() {
                groups[row.index()] = index;
            }
            open.difference_with(&members);
        }
        Assignment { groups }
    }

    /// The devices that carry one of these tags as read, without those that lose it.
    fn carriers(&self, tags: &[TagId], edits: &TagEdits<'_>) -> DeviceSet {
        let length = self.snapshot.len();
        let mut found = DeviceSet::new(length);
        for tag in tags {
            match edits.removed.get(self.snapshot.tag(*tag)) {
                None => self.snapshot.carrier_rows(*tag).iter().for_each(|row| found.insert(*row)),
                Some(gone) => {
                    let mut left = self.snapshot.carriers(*tag);
                    left.difference_with(&DeviceSet::of(length, gone.iter().copied()));
                    found.union_with(&left);
                }
            }
        }
        found
    }

    /// Whether some condition looks at this tag: no other tag can move a device.
    pub fn is_watched(&self, tag: &str) -> bool {
        self.tags.ranks(tag).next().is_some()
    }
}

/// The properties that tags do not change, and the field that each looks at.
pub(super) const FIXED: [(Property, Field); 3] = [
    (Property::Name, Field::ComputerDnsName),
    (Property::Domain, Field::Domain),
    (Property::Os, Field::OsPlatform),
];

pub(super) fn folded(text: &str, case: TagCase) -> Cow<'_, str> {
    match case {
        TagCase::Exact => Cow::Borrowed(text),
        TagCase::Insensitive => text::fold_case(text),
    }
}

/// A condition as patterns over a text field.
pub(super) fn patterns(condition: &GroupCondition) -> Vec<Glob> {
    let pattern = |value: &String| {
        let literal = escaped(value);
        let source = match condition.operator {
            Operator::StartsWith => format!("{literal}*"),
            Operator::EndsWith => format!("*{literal}"),
            Operator::Contains => format!("*{literal}*"),
            Operator::Equals | Operator::In => literal,
        };
        Glob::text(&source).ok()
    };
    condition.values.iter().filter_map(pattern).collect()
}

/// A text as a glob that matches only it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for scalar in text.chars() {
        if matches!(scalar, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            escaped.push('\\');
        }
        escaped.push(scalar);
    }
    escaped
}
