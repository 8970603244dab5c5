//! The group that the service reports for each device, as a group of the file: each distinct name is looked up once.

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
    groups: &'a DeviceGroups,
    /// By code of the field; `None` for a name that the file does not have.
    by_code: Vec<Option<GroupIndex>>,
}

impl<'a> ReportedGroups<'a> {
    /// Looks up each name that the service reports for some device.
    pub fn new(groups: &'a DeviceGroups, snapshot: &'a Snapshot) -> ReportedGroups<'a> {
        let mut ranks: HashMap<Cow<'_, str>, GroupIndex> = HashMap::with_capacity(groups.groups.len());
        for (group, rank) in groups.groups.iter().zip(0u16..) {
            ranks.entry(text::fold(&group.name)).or_insert(GroupIndex::Group(rank));
        }
        // What is no group of its own may still be a name of the ungrouped devices: `find` knows these.
        let find = |name: &str| ranks.get(&text::fold(name)).copied().or_else(|| groups.find_ungrouped(name));
        let bound = snapshot.code_bound(Field::RbacGroupName).unwrap_or_default();
        let mut by_code = vec![None; bound];
        let mut is_known = vec![false; bound];
        for row in snapshot.rows() {
            let code = snapshot.code(Field::RbacGroupName, row) as usize;
            if let Some(is_known @ false) = is_known.get_mut(code) {
                *is_known = true;
                by_code[code] = match snapshot.text(Field::RbacGroupName, row) {
                    Some(name) => find(&name),
                    None => Some(GroupIndex::Ungrouped),
                };
            }
        }
        ReportedGroups { snapshot, groups, by_code }
    }

    /// The group of a device; `None` where the file does not have the name.
    pub fn of(&self, row: Row) -> Option<GroupIndex> {
        match self.by_code.get(self.snapshot.code(Field::RbacGroupName, row) as usize) {
            Some(known) => *known,
            None => match self.name(row) {
                Some(name) => self.groups.find(&name),
                None => Some(GroupIndex::Ungrouped),
            },
        }
    }

    /// Whether the service reports a name for a device.
    pub fn is_named(&self, row: Row) -> bool {
        self.snapshot.code(Field::RbacGroupName, row) != 0
    }

    /// Its name as the service reports it; none for ungrouped devices.
    pub fn name(&self, row: Row) -> Option<Cow<'a, str>> {
        self.snapshot.text(Field::RbacGroupName, row)
    }
}
