//! Sets of devices: one bit a device, combined at memory speed.
//!
//! Knows rows, not what they hold.

use fixedbitset::FixedBitSet;

use super::Row;

/// A set of rows of one snapshot. Sets of different snapshots must not be mixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSet {
    bits: FixedBitSet,
}

impl DeviceSet {
    /// No device of `length`.
    pub fn new(length: usize) -> DeviceSet {
        DeviceSet { bits: FixedBitSet::with_capacity(length) }
    }

    /// Every device of `length`.
    pub fn full(length: usize) -> DeviceSet {
        let mut set = DeviceSet::new(length);
        set.bits.insert_range(..);
        set
    }

    /// The devices for which `holds`; rows are asked on all cores, each exactly once.
    pub fn collect(length: usize, holds: impl Fn(Row) -> bool + Sync) -> DeviceSet {
        use rayon::prelude::*;
        const WIDTH: usize = usize::BITS as usize;
        let block = |index: usize| -> usize {
            let rows = index * WIDTH..length.min((index + 1) * WIDTH);
            rows.enumerate().fold(0, |bits, (bit, row)| bits | (usize::from(holds(Row(row as u32))) << bit))
        };
        let blocks: Vec<usize> =
            (0..length.div_ceil(WIDTH)).into_par_iter().with_min_len(256).map(block).collect();
        DeviceSet { bits: FixedBitSet::with_capacity_and_blocks(length, blocks) }
    }

    /// These devices of `length`.
    pub fn of(length: usize, rows: impl IntoIterator<Item = Row>) -> DeviceSet {
        let mut set = DeviceSet::new(length);
        rows.into_iter().for_each(|row| set.insert(row));
        set
    }

    /// How many devices the snapshot has: the size of the universe, not of the set.
    pub fn universe(&self) -> usize {
        self.bits.len()
    }

    /// Adds a device.
    pub fn insert(&mut self, row: Row) {
        self.bits.insert(row.index());
    }

    /// Takes a device out.
    pub fn remove(&mut self, row: Row) {
        self.bits.remove(row.index());
    }

    /// Whether a device is in it.
    pub fn contains(&self, row: Row) -> bool {
        self.bits.contains(row.index())
    }

    /// How many devices are in it.
    pub fn count(&self) -> usize {
        self.bits.count_ones(..)
    }

    /// Whether no device is in it.
    pub fn is_empty(&self) -> bool {
        self.bits.is_clear()
    }

    /// Whether every device is in it.
    pub fn is_full(&self) -> bool {
        self.bits.is_full()
    }

    /// The devices in it, ascending by row.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.bits.ones().map(|index| Row(index as u32))
    }

    /// Adds the devices of another set.
    pub fn union_with(&mut self, other: &DeviceSet) {
        self.bits.union_with(&other.bits);
    }

    /// Keeps only devices that are in the other set too.
    pub fn intersect_with(&mut self, other: &DeviceSet) {
        self.bits.intersect_with(&other.bits);
    }

    /// Takes the devices of another set out.
    pub fn difference_with(&mut self, other: &DeviceSet) {
        self.bits.difference_with(&other.bits);
    }

    /// Swaps in and out.
    pub fn complement(&mut self) {
        self.bits.toggle_range(..);
    }

    /// How many devices are in both, without building their set.
    pub fn count_common(&self, other: &DeviceSet) -> usize {
        self.bits.intersection_count(&other.bits)
    }

    /// Whether no device is in both.
    pub fn is_disjoint(&self, other: &DeviceSet) -> bool {
        self.bits.is_disjoint(&other.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collected_sets_ask_every_row_once_and_keep_their_length() {
        for length in [0, 1, 63, 64, 65, 1000] {
            let set = DeviceSet::collect(length, |row| row.0 % 3 == 0);
            assert_eq!(set.count(), length.div_ceil(3));
            assert_eq!(set.universe(), length);
            let mut rest = set.clone();
            rest.complement();
            assert_eq!(rest.count() + set.count(), length);
            rest.union_with(&set);
            assert!(rest.is_full());
        }
    }
}
