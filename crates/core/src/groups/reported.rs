//! The group that the service reports for each device, matched to the file's groups. Each distinct name is looked up once.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::device::Field;
use crate::inventory::{Row, Snapshot};
use crate::policy::{DeviceGroups, GroupIndex};
use crate::text;

/// The live groups of an inventory.
#[derive(Debug)]
pub struct ReportedGroups<'a> {
    snapshot: &'a Snapshot,
    /// By code of the field; `None` for a name that the file lacks.
    by_code: Vec<Option<GroupIndex>>,
}

impl<'a> ReportedGroups<'a> {
    /// Looks up each name that the service reports for some device.
    pub fn new(groups: &DeviceGroups, snapshot: &'a Snapshot) -> ReportedGroups<'a> {
        let mut ranks: HashMap<Cow<'_, str>, GroupIndex> = HashMap::with_capacity(groups.groups.len());
        for (group, rank) in groups.groups.iter().zip(0u16..) {
            ranks.entry(text::fold(&group.name)).or_insert(GroupIndex::Group(rank));
        }
        // A name that is not a group's may still mean the ungrouped devices.
        let find = |name: &str| ranks.get(&text::fold(name)).copied().or_else(|| groups.find_ungrouped(name));
        let bound = snapshot.code_bound(Field::RbacGroupName).unwrap_or_default();
        let name = |code: u32| snapshot.code_text(Field::RbacGroupName, code).filter(|name| !name.is_empty());
        let by_code = (0..bound as u32).map(|code| match name(code) {
            Some(name) => find(name),
            None => Some(GroupIndex::Ungrouped),
        });
        let by_code = by_code.collect();
        ReportedGroups { snapshot, by_code }
    }

    /// The group of a device; `None` if the file lacks its name.
    pub fn of(&self, row: Row) -> Option<GroupIndex> {
        self.by_code[self.snapshot.code(Field::RbacGroupName, row) as usize]
    }

    /// Whether the service reports a group name for a device.
    pub fn is_named(&self, row: Row) -> bool {
        self.snapshot.code(Field::RbacGroupName, row) != 0
    }

    /// The name that the service reports; `None` for ungrouped devices.
    pub fn name(&self, row: Row) -> Option<Cow<'a, str>> {
        self.snapshot.text(Field::RbacGroupName, row)
    }
}
