//! The devices that matter to a few tags, renumbered: a tag on ten of a million devices is settled in ten bits.
//!
//! Knows rows and nothing about the devices.

use crate::inventory::{DeviceSet, Row};

/// The part of a fleet that matters: all of it, or listed rows under new numbers. Sets in a window use its numbers.
#[derive(Clone, Debug)]
pub struct Window {
    length: usize,
    listed: Option<Vec<Row>>,
}

impl Window {
    /// The window of these rows in a fleet of this size; the whole fleet if there are many rows.
    pub(super) fn new(fleet: usize, mut rows: Vec<Row>) -> Window {
        rows.sort_unstable();
        rows.dedup();
        if rows.len() > (fleet / 32).max(4) {
            return Window::whole(fleet);
        }
        Window { length: rows.len(), listed: Some(rows) }
    }

    /// The window of the whole fleet.
    pub(super) fn whole(fleet: usize) -> Window {
        Window { length: fleet, listed: None }
    }

    /// The number of devices in the window.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no device.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The fleet's row number of a device in this window.
    pub fn row(&self, local: Row) -> Row {
        self.listed.as_ref().map_or(local, |listed| listed[local.index()])
    }

    /// The window's row number of a device of the fleet, if it is in the window.
    pub fn find(&self, row: Row) -> Option<Row> {
        match &self.listed {
            None => (row.index() < self.length).then_some(row),
            Some(listed) => listed.binary_search(&row).ok().map(|index| Row(index as u32)),
        }
    }

    /// Converts a set of the fleet to the window's numbers.
    pub(super) fn of_set(&self, set: &DeviceSet) -> DeviceSet {
        match &self.listed {
            None => set.clone(),
            Some(listed) => {
                let inside = listed.iter().enumerate().filter(|(_, row)| set.contains(**row));
                DeviceSet::of(self.length, inside.map(|(index, _)| Row(index as u32)))
            }
        }
    }

    /// Converts ascending rows of the fleet to a set of the window.
    pub(super) fn of_rows(&self, rows: &[Row]) -> DeviceSet {
        match &self.listed {
            None => DeviceSet::of(self.length, rows.iter().copied()),
            Some(_) => DeviceSet::of(self.length, rows.iter().filter_map(|row| self.find(*row))),
        }
    }
}
