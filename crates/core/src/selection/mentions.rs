//! Values of a policy that no device has: those of list files, and inline ones of fields that name single devices.
//!
//! Reports what is missing; people decide whether it matters.

use std::collections::BTreeMap;

use super::Unmatched;
use super::compile::Leaf;
use super::leaves::{self, LeafInputs, SeenLists};
use super::matcher::SeenList;
use crate::device::Field;
use crate::inventory::DeviceSet;
use crate::policy::Test;

/// The values of list files, and inline ones of fields that name single devices, that match no device. Takes the results of
/// [`leaves::evaluate`].
pub(super) fn unmatched<'p>(
    world: &LeafInputs<'_>,
    leaves: &[Leaf<'p>],
    sets: &[DeviceSet],
    lists: &SeenLists<'p>,
) -> Vec<Unmatched> {
    let mut mentions = Mentions::default();
    lists.iter().for_each(|(field, lists)| mentions.take(*field, lists));
    mentions.take_globs(world, leaves, sets);
    mentions.unmatched()
}

/// Values by their source (the path of a list file or the name of a field) over all tests.
#[derive(Default)]
struct Mentions<'p> {
    sources: BTreeMap<&'p str, Mentioned<'p>>,
}

/// Values in the order of their first mention, and whether some device has each.
#[derive(Default)]
struct Mentioned<'p> {
    order: Vec<&'p str>,
    seen: BTreeMap<&'p str, bool>,
}

impl<'p> Mentions<'p> {
    /// Adds the lists of one field, after all devices were tested.
    fn take(&mut self, field: Field, lists: &[SeenList<'p>]) {
        for list in lists {
            let source = match &list.list.file {
                Some(file) => &*file.written,
                None if names_devices(field) => field.name(),
                None => continue,
            };
            for (index, value) in list.list.values.iter().enumerate() {
                self.add(source, value, list.is_seen(index));
            }
        }
    }

    /// Adds the globs of fields that name devices. If none of several globs holds, which one does is not tested.
    fn take_globs(&mut self, world: &LeafInputs<'_>, leaves: &[Leaf<'p>], sets: &[DeviceSet]) {
        let mut open: Vec<(Field, &'p str, Test)> = Vec::new();
        for (leaf, set) in leaves.iter().zip(sets).filter(|(leaf, _)| names_devices(leaf.field)) {
            let Test::Glob(globs) = leaf.test else { continue };
            let is_clear = globs.len() == 1 || set.is_empty();
            for glob in globs {
                if is_clear {
                    self.add(leaf.field.name(), glob.source(), !set.is_empty());
                } else {
                    open.push((leaf.field, glob.source(), Test::Glob(vec![glob.clone()])));
                }
            }
        }
        let single: Vec<Leaf<'_>> =
            open.iter().map(|(field, _, test)| Leaf { field: *field, test }).collect();
        if !single.is_empty() {
            let found = leaves::evaluate(world, &single);
            for ((field, value, _), set) in open.iter().zip(found.sets) {
                self.add(field.name(), value, !set.is_empty());
            }
        }
    }

    fn add(&mut self, source: &'p str, value: &'p str, is_seen: bool) {
        let mentioned = self.sources.entry(source).or_default();
        *mentioned.seen.entry(value).or_insert_with(|| {
            mentioned.order.push(value);
            false
        }) |= is_seen;
    }

    fn unmatched(&self) -> Vec<Unmatched> {
        let report = |(source, mentioned): (&&str, &Mentioned<'p>)| {
            let missing = mentioned.order.iter().filter(|value| !mentioned.seen[**value]);
            Unmatched::report(source, false, missing.copied())
        };
        self.sources.iter().filter_map(report).collect()
    }
}

/// Whether people use the field to name a device or a few, so that an unknown value is probably a slip.
pub(super) fn names_devices(field: Field) -> bool {
    matches!(field, Field::Id | Field::ComputerDnsName | Field::DeviceName | Field::AadDeviceId)
        || field.name().starts_with("vmMetadata.")
}
