//! Sets of devices: one bit per device, combined at memory speed, or a list of rows if there are few.
//!
//! Knows rows and nothing about the devices. Callers do not see which of the two forms a set has.

use fixedbitset::FixedBitSet;
use itertools::Either;

use super::Row;

/// A set of rows of one snapshot. Sets of different snapshots must not be mixed.
#[derive(Clone, Debug)]
pub struct DeviceSet {
    length: usize,
    form: SetForm,
}

#[derive(Clone, Debug)]
enum SetForm {
    Bits(FixedBitSet),
    /// Ascending, distinct.
    Rows(Vec<u32>),
}

/// Above one row in this many, bits are kept instead: a row in a list takes 32 bits and is found more slowly.
const SPARSE: usize = 64;

/// The longest list that accepts rows out of order; a longer one becomes bits, so that no order takes quadratic time.
const SHORT: usize = 64;

impl PartialEq for DeviceSet {
    fn eq(&self, other: &DeviceSet) -> bool {
        self.length == other.length && self.iter().eq(other.iter())
    }
}

impl Eq for DeviceSet {}

impl DeviceSet {
    /// The empty set, for a snapshot of `length` devices.
    pub fn new(length: usize) -> DeviceSet {
        DeviceSet { length, form: SetForm::Rows(Vec::new()) }
    }

    /// All devices of a snapshot with `length` devices.
    pub fn full(length: usize) -> DeviceSet {
        let mut bits = FixedBitSet::with_capacity(length);
        bits.insert_range(..);
        DeviceSet { length, form: SetForm::Bits(bits) }
    }

    /// The devices for which `holds`. All cores ask, each row exactly once.
    pub fn collect(length: usize, holds: impl Fn(Row) -> bool + Sync) -> DeviceSet {
        use rayon::prelude::*;
        const WIDTH: usize = usize::BITS as usize;
        let block = |index: usize| -> usize {
            let rows = index * WIDTH..length.min((index + 1) * WIDTH);
            rows.enumerate().fold(0, |bits, (bit, row)| bits | (usize::from(holds(Row(row as u32))) << bit))
        };
        let blocks: Vec<usize> =
            (0..length.div_ceil(WIDTH)).into_par_iter().with_min_len(256).map(block).collect();
        DeviceSet { length, form: SetForm::Bits(FixedBitSet::with_capacity_and_blocks(length, blocks)) }
    }

    /// These rows of a snapshot with `length` devices.
    pub fn of(length: usize, rows: impl IntoIterator<Item = Row>) -> DeviceSet {
        let mut set = DeviceSet::new(length);
        rows.into_iter().for_each(|row| set.insert(row));
        set
    }

    /// Adds a device; adding it twice changes nothing.
    pub fn insert(&mut self, row: Row) {
        assert!(row.index() < self.length, "rows come from the set's snapshot");
        let limit = self.limit();
        match &mut self.form {
            SetForm::Bits(bits) => bits.insert(row.index()),
            SetForm::Rows(rows) if rows.last().is_none_or(|last| *last < row.0) => {
                rows.push(row.0);
                if rows.len() > limit {
                    self.bits();
                }
            }
            SetForm::Rows(rows) if rows.len() <= SHORT => {
                if let Err(place) = rows.binary_search(&row.0) {
                    rows.insert(place, row.0);
                }
            }
            SetForm::Rows(rows) if rows.binary_search(&row.0).is_ok() => {}
            SetForm::Rows(_) => self.bits().insert(row.index()),
        }
    }

    /// Whether the set contains a device.
    pub fn contains(&self, row: Row) -> bool {
        match &self.form {
            SetForm::Bits(bits) => bits.contains(row.index()),
            SetForm::Rows(rows) => rows.binary_search(&row.0).is_ok(),
        }
    }

    /// Number of devices.
    pub fn count(&self) -> usize {
        match &self.form {
            SetForm::Bits(bits) => bits.count_ones(..),
            SetForm::Rows(rows) => rows.len(),
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        match &self.form {
            SetForm::Bits(bits) => bits.is_clear(),
            SetForm::Rows(rows) => rows.is_empty(),
        }
    }

    /// The devices, ascending by row.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        match &self.form {
            SetForm::Bits(bits) => Either::Left(bits.ones().map(|index| Row(index as u32))),
            SetForm::Rows(rows) => Either::Right(rows.iter().map(|row| Row(*row))),
        }
    }

    /// Adds the devices of another set.
    pub fn union_with(&mut self, other: &DeviceSet) {
        let limit = self.limit();
        match (&mut self.form, &other.form) {
            (SetForm::Bits(bits), SetForm::Bits(others)) => bits.union_with(others),
            (SetForm::Bits(bits), SetForm::Rows(others)) => {
                others.iter().for_each(|row| bits.insert(*row as usize))
            }
            (SetForm::Rows(_), SetForm::Bits(others)) => self.bits().union_with(others),
            (SetForm::Rows(rows), SetForm::Rows(others)) if rows.len() + others.len() <= limit => {
                if rows.is_empty() {
                    rows.clone_from(others);
                } else if !others.is_empty() {
                    *rows = itertools::merge(rows.iter(), others).copied().collect();
                    rows.dedup();
                }
            }
            (SetForm::Rows(_), SetForm::Rows(others)) => {
                let bits = self.bits();
                others.iter().for_each(|row| bits.insert(*row as usize));
            }
        }
    }

    /// Keeps only devices that the other set contains too.
    pub fn intersect_with(&mut self, other: &DeviceSet) {
        match (&mut self.form, &other.form) {
            (SetForm::Bits(bits), SetForm::Bits(others)) => bits.intersect_with(others),
            (SetForm::Bits(bits), SetForm::Rows(others)) => {
                let common = others.iter().copied().filter(|row| bits.contains(*row as usize)).collect();
                self.form = SetForm::Rows(common);
            }
            (SetForm::Rows(rows), _) => rows.retain(|row| other.contains(Row(*row))),
        }
    }

    /// Removes the devices of another set.
    pub fn difference_with(&mut self, other: &DeviceSet) {
        match (&mut self.form, &other.form) {
            (SetForm::Bits(bits), SetForm::Bits(others)) => bits.difference_with(others),
            (SetForm::Bits(bits), SetForm::Rows(others)) => {
                others.iter().for_each(|row| bits.remove(*row as usize))
            }
            (SetForm::Rows(rows), _) => rows.retain(|row| !other.contains(Row(*row))),
        }
    }

    /// Replaces the set by all other devices.
    pub fn complement(&mut self) {
        self.bits().toggle_range(..);
    }

    /// Number of devices in both, without building their set.
    pub fn count_common(&self, other: &DeviceSet) -> usize {
        match (&self.form, &other.form) {
            (SetForm::Bits(bits), SetForm::Bits(others)) => bits.intersection_count(others),
            (SetForm::Rows(_), _) => self.iter().filter(|row| other.contains(*row)).count(),
            (_, SetForm::Rows(_)) => other.count_common(self),
        }
    }

    /// Whether no device is in both.
    pub fn is_disjoint(&self, other: &DeviceSet) -> bool {
        match (&self.form, &other.form) {
            (SetForm::Bits(bits), SetForm::Bits(others)) => bits.is_disjoint(others),
            (SetForm::Rows(_), _) => self.iter().all(|row| !other.contains(row)),
            (_, SetForm::Rows(_)) => other.is_disjoint(self),
        }
    }

    /// Frees memory that the few devices do not need, for sets that are kept.
    pub fn shrink(&mut self) {
        let limit = self.limit();
        match &mut self.form {
            SetForm::Bits(bits) if bits.count_ones(..) <= limit => {
                let mut rows = Vec::with_capacity(bits.count_ones(..));
                rows.extend(bits.ones().map(|index| index as u32));
                self.form = SetForm::Rows(rows);
            }
            SetForm::Bits(_) => {}
            SetForm::Rows(rows) => rows.shrink_to_fit(),
        }
    }

    /// The most rows of a list.
    fn limit(&self) -> usize {
        (self.length / SPARSE).max(4)
    }

    /// Converts the set to bits.
    fn bits(&mut self) -> &mut FixedBitSet {
        if let SetForm::Rows(rows) = &self.form {
            let mut bits = FixedBitSet::with_capacity(self.length);
            rows.iter().for_each(|row| bits.insert(*row as usize));
            self.form = SetForm::Bits(bits);
        }
        let SetForm::Bits(bits) = &mut self.form else { unreachable!("a list has just become bits") };
        bits
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn collected_sets_ask_every_row_once_and_keep_their_length() {
        for length in [0, 1, 63, 64, 65, 1000] {
            let set = DeviceSet::collect(length, |row| row.0 % 3 == 0);
            assert_eq!(set.count(), length.div_ceil(3));
            let mut rest = set.clone();
            rest.complement();
            assert_eq!(rest.count() + set.count(), length);
            rest.union_with(&set);
            assert_eq!(rest.count(), length);
        }
    }

    /// Few rows or many, in any order.
    fn rows() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            prop::collection::vec(0u32..1000, 0..12),
            prop::collection::vec(0u32..1000, 0..300),
            prop::collection::vec(0u32..20, 0..40),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_its_form_a_set_behaves_as_a_set_of_rows(one in rows(), other in rows(), shrinks: bool) {
            let set = |rows: &[u32]| {
                let mut set = DeviceSet::of(1000, rows.iter().map(|row| Row(*row)));
                if shrinks {
                    set.shrink();
                }
                set
            };
            let plain = |rows: &[u32]| rows.iter().copied().collect::<BTreeSet<u32>>();
            let shown = |set: &DeviceSet| set.iter().map(|row| row.0).collect::<BTreeSet<u32>>();
            let (left, right) = (plain(&one), plain(&other));
            type Change = (fn(&mut DeviceSet, &DeviceSet), BTreeSet<u32>);
            let changes: [Change; 4] = [
                (DeviceSet::union_with, &left | &right),
                (DeviceSet::intersect_with, &left & &right),
                (DeviceSet::difference_with, &left - &right),
                (|set, _| set.complement(), &(0..1000).collect::<BTreeSet<u32>>() - &left),
            ];
            for (change, expected) in changes {
                let mut changed = set(&one);
                change(&mut changed, &set(&other));
                prop_assert_eq!(shown(&changed), expected.clone());
                prop_assert_eq!((changed.count(), changed.is_empty()), (expected.len(), expected.is_empty()));
                let again = DeviceSet::of(1000, expected.iter().rev().map(|row| Row(*row)));
                prop_assert_eq!(&changed, &again);
                changed.shrink();
                prop_assert_eq!(&changed, &again);
            }
            let common = &left & &right;
            prop_assert_eq!(set(&one).count_common(&set(&other)), common.len());
            prop_assert_eq!(set(&one).is_disjoint(&set(&other)), common.is_empty());
        }
    }
}
