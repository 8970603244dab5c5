//! The tenant's device groups, as a data file of the policy states them: ranked rules, and a group's effect on its devices.
//!
//! Tags decide a device's group; groups decide who sees a device and how far automatic remediation goes. `groups` finds each
//! device's group.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod fetched;
mod platforms;
mod read;
mod tag_conditions;

pub use fetched::{FetchedGroups, fetched};
pub use read::read;
pub use tag_conditions::TagConditions;

use super::node::{MappingEntry, shown};
use super::reader::{Reader, shown_long};
use super::{Axis, Counted, Guard, keys};
use crate::diagnostic::{Diagnostic, Span};

use crate::tag::TagCase;

/// The device groups of a tenant, the highest rank first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceGroups {
    /// In order of rank; a device is in the first whose conditions all hold.
    pub groups: Vec<DeviceGroup>,
    /// The group of all other devices.
    pub ungrouped: Ungrouped,
    /// How tag conditions compare; without case unless `deviceGroups.tagCase: exact` says otherwise.
    pub tag_case: TagCase,
    /// Facts about the file for the readers of a plan, one sentence each.
    pub notes: Vec<String>,
    pub file: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupIndex {
    /// In the group of this rank, from 0.
    Group(u16),
    /// In no group of the file.
    Ungrouped,
    /// Merged into another device: in no group at all.
    Merged,
}

/// The devices that meet no group's conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ungrouped {
    /// Their name in the file, if it has one.
    pub name: Option<String>,
    /// How far automatic remediation goes on them, if the file says so.
    pub remediation: Option<Remediation>,
    /// The access groups that see them; empty means everyone.
    pub access: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceGroup {
    /// Its name, unique in the file.
    pub name: String,
    /// How far automatic remediation goes, if the file says so.
    pub remediation: Option<Remediation>,
    /// The access groups that see its devices; empty means everyone.
    pub access: Vec<String>,
    /// Its conditions. A group without conditions matches no device.
    pub conditions: Vec<GroupCondition>,
    /// The condition that mdetag does not understand, so that it cannot predict the group's members.
    pub unpredictable: Option<String>,
}

/// One condition: the property meets one of the tests. Conditions on the same property are alternatives; conditions on different
/// properties must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCondition {
    pub property: Property,
    /// How it is compared, without case.
    pub operator: Operator,
    /// The values; one match is enough.
    pub values: Vec<String>,
}

mdetag_vocabulary::words! {
    /// The property of a device that a condition compares.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Property {
        /// `computerDnsName`.
        Name = "name",
        /// The name after its first dot.
        Domain = "domain",
        /// Any of the device's tags.
        Tag = "tag",
        /// `osPlatform`, by the portal's names.
        Os = "os",
    }
}

mdetag_vocabulary::words! {
    /// How a condition of a device group compares.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Operator {
        /// Portal 0.
        StartsWith = "startsWith",
        /// Portal 1.
        EndsWith = "endsWith",
        /// Portal 2.
        Equals = "equals",
        /// Portal 3.
        Contains = "contains",
        /// Portal 4.
        In = "in",
    }
}

mdetag_vocabulary::words! {
    /// How far automatic remediation goes, in rising order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Remediation {
        /// No automated response.
        None = "none",
        /// Approval for every folder.
        ApproveAll = "approve-all",
        /// Approval for folders that are not temporary.
        ApproveNonTemporary = "approve-non-temporary",
        /// Approval for core folders.
        ApproveCore = "approve-core",
        /// No approval needed.
        Full = "full",
    }
}

impl Operator {
    /// Whether a text meets the operator with this value. Both are already folded if case does not count.
    pub fn holds(self, text: &str, value: &str) -> bool {
        match self {
            Operator::StartsWith => text.starts_with(value),
            Operator::EndsWith => text.ends_with(value),
            Operator::Equals | Operator::In => text == value,
            Operator::Contains => text.contains(value),
        }
    }
}

impl DeviceGroups {
    /// Each value of the conditions on a property, with the rank of its group.
    pub(crate) fn comparisons(&self, property: Property) -> impl Iterator<Item = (u32, Operator, &str)> {
        self.groups.iter().zip(0u32..).flat_map(move |(group, rank)| {
            let of_property = group.conditions.iter().filter(move |condition| condition.property == property);
            of_property.flat_map(move |condition| {
                condition.values.iter().map(move |value| (rank, condition.operator, value.as_str()))
            })
        })
    }

    /// The name of a group in reports.
    pub fn name(&self, index: GroupIndex) -> &str {
        match index {
            GroupIndex::Group(rank) => &self.groups[usize::from(rank)].name,
            GroupIndex::Ungrouped => self.ungrouped.name.as_deref().unwrap_or("ungrouped"),
            GroupIndex::Merged => "merged",
        }
    }

    /// The remediation level of a group, if the file states one.
    pub fn remediation(&self, index: GroupIndex) -> Option<Remediation> {
        match index {
            GroupIndex::Group(rank) => self.groups[usize::from(rank)].remediation,
            GroupIndex::Ungrouped => self.ungrouped.remediation,
            GroupIndex::Merged => None,
        }
    }

    /// Whether a group's members cannot be predicted, because mdetag does not understand one of its conditions.
    pub fn is_unpredictable(&self, index: GroupIndex) -> bool {
        match index {
            GroupIndex::Group(rank) => self.groups[usize::from(rank)].unpredictable.is_some(),
            GroupIndex::Ungrouped | GroupIndex::Merged => false,
        }
    }

    /// The access groups that see the devices of a group; empty means everyone.
    pub fn access(&self, index: GroupIndex) -> &[String] {
        match index {
            GroupIndex::Group(rank) => &self.groups[usize::from(rank)].access,
            GroupIndex::Ungrouped => &self.ungrouped.access,
            GroupIndex::Merged => &[],
        }
    }

    /// The group that a person means by this name, compared without case. The file's own name, `UnassignedGroup` and the word of reports
    /// mean the ungrouped devices.
    pub fn find(&self, name: &str) -> Option<GroupIndex> {
        let is_same = |other: &str| crate::text::equal(other, name);
        if let Some(rank) = self.groups.iter().position(|group| is_same(&group.name)) {
            return u16::try_from(rank).ok().map(GroupIndex::Group);
        }
        self.find_ungrouped(name).or_else(|| {
            let is_word = is_same(self.name(GroupIndex::Ungrouped));
            is_word.then_some(GroupIndex::Ungrouped)
        })
    }

    /// The ungrouped devices, if this is the service's or the file's name for them.
    pub fn find_ungrouped(&self, name: &str) -> Option<GroupIndex> {
        let is_same = |other: &str| crate::text::equal(other, name);
        let is_ungrouped = is_same("UnassignedGroup") || self.ungrouped.name.as_deref().is_some_and(is_same);
        is_ungrouped.then_some(GroupIndex::Ungrouped)
    }
}

impl Reader<'_> {
    /// Checks that a guard on device groups has their file, and that the file has the groups it names. `is_stated`: the set names
    /// a file; if that file is unusable, an error says so already.
    pub(super) fn check_groups(&mut self, guard: &Guard, groups: Option<&DeviceGroups>, is_stated: bool) {
        let cap = guard.caps.iter().find(|(axis, _)| *axis == Axis::GroupMoves).and_then(|(_, cap)| cap.span);
        let named = guard.invariants.iter().filter_map(|invariant| match &invariant.counts {
            Counted::Group { name, span } => Some((name, *span)),
            _ => None,
        });
        let named: Vec<(&String, Span)> = named.collect();
        if !is_stated {
            for span in cap.into_iter().chain(named.iter().map(|(_, span)| *span)) {
                let finding = Diagnostic::error("E0322", span, "this needs the tenant's device groups");
                self.report(finding.help("add `deviceGroups: { file: data/device-groups.json }`"));
            }
        }
        let Some(groups) = groups else { return };
        let known = groups.groups.iter().map(|group| group.name.as_str());
        let known: Vec<&str> = known.chain([groups.name(GroupIndex::Ungrouped)]).collect();
        for (name, span) in named.into_iter().filter(|(name, _)| groups.find(name).is_none()) {
            self.unknown("E0322", span, &format!("device group `{}`", shown(name)), name, &known);
        }
    }

    /// `deviceGroups` of the set, with its file read.
    pub(super) fn device_groups(&mut self, entry: &MappingEntry) -> Option<(DeviceGroups, Span)> {
        let fields = self.fields(&entry.value, keys::DEVICE_GROUPS, "`deviceGroups`")?;
        let tag_case = match fields.get("tagCase") {
            Some(node) if self.word(node, "`tagCase`", &["exact", "insensitive"])? == "exact" => {
                TagCase::Exact
            }
            _ => TagCase::Insensitive,
        };
        let node = fields.get("file")?;
        let file = self.filled_text(node, "`file`")?.to_owned();
        let text = self.data_text(&file, node.span)?.to_owned();
        match read(&text, tag_case) {
            Ok(groups) => {
                for note in &groups.notes {
                    self.report(Diagnostic::warning(
                        "W0321",
                        node.span,
                        format!("`{}`: {}", shown(&file), shown_long(note)),
                    ));
                }
                Some((DeviceGroups { file, ..groups }, entry.key_span))
            }
            Err(why) => {
                let message = format!("`{}` cannot be used: {}", shown(&file), shown_long(&why));
                let finding = Diagnostic::error("E0321", node.span, message);
                self.report(finding.help("`mdetag validate --explain E0321` says which forms it may have"));
                None
            }
        }
    }
}
