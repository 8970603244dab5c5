//! Assembles differences into devices with changes, and sets aside what is withheld.
//!
//! The order of reasons is fixed: a protection takes a whole device; then missing data, then what history says, then trust.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::diff::{Differences, Names, TagEntry, ValueEntry};
use super::{
    Cause, ChangeKey, ChangeWhat, DeviceChange, History, Plan, TagChange, ValueChange, Withheld,
    WithheldReason,
};
use crate::desired::Desired;
use crate::inventory::Row;

/// Where a change goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Planned,
    /// The protection with this index.
    Protected(u32),
    Untrusted,
    /// The rule with this index; none for a default value on a device whose value is not reported.
    Unresolved(Option<u32>),
    /// By this origin.
    Contested(String),
    Pending,
}

/// Devices that are put together before the next ones: on all cores, in bounded memory.
const AT_ONCE: usize = 1 << 14;

/// Fills a plan's tags, causes, changes, withheld and pending changes.
pub(super) fn assemble(
    desired: &Desired<'_>,
    history: &History,
    differences: Differences<'_>,
    plan: &mut Plan,
) {
    let Differences { mut tags, mut values, mut names, causes } = differences;
    plan.causes = causes.list;
    let mut ranks = vec![0u32; desired.snapshot.len()];
    for (rank, row) in desired.snapshot.order_by_id().iter().enumerate() {
        ranks[row.index()] = rank as u32;
    }
    let rank = |row: Row| ranks[row.index()];
    let observed = tags.iter().map(|entry| entry.row).chain(values.iter().map(|entry| entry.row));
    observed.for_each(|row| names.observe(row));
    let places = names.places();
    tags.par_sort_unstable_by_key(|entry| (rank(entry.row), entry.is_removal, places[entry.tag.0 as usize]));
    values.par_sort_unstable_by_key(|entry| rank(entry.row));
    let sorter = Sorter::new(desired, history, plan.is_trusted(), &plan.causes, &names);
    let mut groups: BTreeMap<Target, Vec<DeviceChange>> = BTreeMap::new();
    // Room for all at once: a list that grows step by step leaves holes of its own size. Pages that are not used cost nothing.
    let most = desired.snapshot.len().min(tags.len() + values.len());
    groups.insert(Target::Planned, Vec::with_capacity(most));
    let mut devices = per_device(&tags, &values, rank);
    loop {
        let devices: Vec<Device<'_>> = devices.by_ref().take(AT_ONCE).collect();
        if devices.is_empty() {
            break;
        }
        let split: Vec<Split> = devices.par_iter().map(|device| sorter.split(device)).collect();
        for (target, change) in split.into_iter().flatten() {
            match groups.get_mut(&target) {
                Some(group) => group.push(change),
                None => drop(groups.insert(target, vec![change])),
            }
        }
    }
    plan.tags = names.list;
    for (target, devices) in groups {
        let (reason, name) = match target {
            Target::Planned => {
                plan.changes = devices;
                continue;
            }
            Target::Protected(index) => {
                let name = desired.policy.protections[index as usize].name.clone();
                (WithheldReason::Protected, Some(name))
            }
            Target::Untrusted => (WithheldReason::Untrusted, None),
            Target::Unresolved(rule) => {
                let name = rule.map(|rule| desired.policy.rules[rule as usize].name.clone());
                (WithheldReason::Unresolved, name)
            }
            Target::Contested(origin) => {
                (WithheldReason::Contested, Some(origin).filter(|origin| !origin.is_empty()))
            }
            Target::Pending => (WithheldReason::Pending, None),
        };
        let group = withheld(reason, name, devices);
        if reason == WithheldReason::Pending { plan.pending.push(group) } else { plan.withheld.push(group) }
    }
}

fn withheld(reason: WithheldReason, name: Option<String>, devices: Vec<DeviceChange>) -> Withheld {
    let (mut additions, mut removals, mut values) = (0, 0, 0);
    for device in &devices {
        let counts = device.counts();
        additions += counts.0;
        removals += counts.1;
        values += counts.2;
    }
    Withheld { reason, name, additions, removals, values, device_count: devices.len() as u64, devices }
}

/// What differs on one device: tags to add, tags to remove, bytewise, and the value.
struct Device<'a> {
    row: Row,
    tags: &'a [TagEntry],
    value: Option<ValueEntry>,
}

/// Sorted differences by device, in the order of their ids.
fn per_device<'a>(
    mut tags: &'a [TagEntry],
    mut values: &'a [ValueEntry],
    rank: impl Fn(Row) -> u32,
) -> impl Iterator<Item = Device<'a>> {
    std::iter::from_fn(move || {
        let next = [tags.first().map(|entry| entry.row), values.first().map(|entry| entry.row)];
        let row = next.into_iter().flatten().min_by_key(|row| rank(*row))?;
        let of_device = tags.iter().take_while(|entry| entry.row == row).count();
        let (here, rest) = tags.split_at(of_device);
        tags = rest;
        let value = values.first().filter(|entry| entry.row == row).copied();
        values = &values[usize::from(value.is_some())..];
        Some(Device { row, tags: here, value })
    })
}

/// The changes of one device by where they go: nearly always to one place.
type Split = Vec<(Target, DeviceChange)>;

/// Decides for each change where it goes.
struct Sorter<'a> {
    desired: &'a Desired<'a>,
    history: &'a History,
    /// Devices that history says anything about.
    known: HashSet<&'a str>,
    is_trusted: bool,
    causes: &'a [Cause],
    names: &'a Names<'a>,
}

impl<'a> Sorter<'a> {
    fn new(
        desired: &'a Desired<'a>,
        history: &'a History,
        is_trusted: bool,
        causes: &'a [Cause],
        names: &'a Names<'a>,
    ) -> Sorter<'a> {
        let keys = history.contested.keys().chain(&history.pending);
        let known = keys.map(|key| &*key.device).collect();
        Sorter { desired, history, known, is_trusted, causes, names }
    }

    /// The changes of one device by where they go, in the order of [`Target`].
    fn split(&self, device: &Device<'_>) -> Split {
        let base = self.base(device.row);
        let protection = self.protection(device.row);
        // Old names whose new name is contested: they must not go while the new one does not come.
        let mut held: Vec<(Arc<str>, String)> = Vec::new();
        let mut targets: Vec<Target> = Vec::with_capacity(device.tags.len());
        for entry in device.tags {
            targets.push(match protection {
                Some(index) => Target::Protected(index),
                None => self.tag_target(&base.id, entry, &mut held),
            });
        }
        let value = device.value.map(|entry| {
            let target = match protection {
                Some(index) => Target::Protected(index),
                None => self.value_target(&base, &entry),
            };
            (target, ValueChange { to: entry.to, cause: entry.cause })
        });
        let mut places: Vec<&Target> =
            targets.iter().chain(value.as_ref().map(|(target, _)| target)).collect();
        places.sort_unstable();
        places.dedup();
        let changes = |target: &Target, is_removal: bool| -> Vec<TagChange> {
            let here = |(entry, at): &(&TagEntry, &Target)| entry.is_removal == is_removal && *at == target;
            let count = device.tags.iter().zip(&targets).filter(here).count();
            let mut changes = Vec::with_capacity(count);
            let entries = device.tags.iter().zip(&targets).filter(here);
            changes.extend(entries.map(|(entry, _)| TagChange { tag: entry.tag, cause: entry.cause }));
            changes
        };
        let part = |target: &Target, base: DeviceChange| {
            let value = value.as_ref().filter(|(at, _)| at == target).map(|(_, change)| *change);
            let change =
                DeviceChange { add: changes(target, false), remove: changes(target, true), value, ..base };
            (target.clone(), change)
        };
        if let [only] = places[..] {
            return vec![part(only, base)];
        }
        places.into_iter().map(|target| part(target, base.clone())).collect()
    }

    /// A device without changes.
    fn base(&self, row: Row) -> DeviceChange {
        let snapshot = self.desired.snapshot;
        DeviceChange {
            id: snapshot.id(row).into(),
            name: snapshot.name(row).map(Arc::from),
            observed_tags: snapshot.tags(row).iter().map(|tag| self.names.live(*tag)).collect(),
            observed_value: self.names.value(row),
            add: Vec::new(),
            remove: Vec::new(),
            value: None,
        }
    }

    /// The first protection that matches a device.
    fn protection(&self, row: Row) -> Option<u32> {
        if !self.desired.protected.contains(row) {
            return None;
        }
        let protections = &self.desired.selections.protections;
        protections.iter().position(|protection| protection.contains(row)).map(|index| index as u32)
    }

    fn tag_target(&self, id: &Arc<str>, entry: &TagEntry, held: &mut Vec<(Arc<str>, String)>) -> Target {
        if let Some(rule) = entry.gap {
            return Target::Unresolved(Some(rule.get() - 1));
        }
        if self.known.contains(&**id) {
            let name = &self.names.list[entry.tag.0 as usize];
            let what = if entry.is_removal { ChangeWhat::Remove } else { ChangeWhat::Add };
            if let Some(target) = self.known_from(id, what(name.clone())) {
                if let (false, Target::Contested(origin)) = (entry.is_removal, &target) {
                    held.push((name.clone(), origin.clone()));
                }
                return target;
            }
        }
        if entry.is_removal {
            if let Cause::Renamed { to, .. } = &self.causes[entry.cause.0 as usize] {
                let case = self.desired.tag_case;
                if let Some((_, origin)) = held.iter().find(|(name, _)| case.is_same(name, to)) {
                    return Target::Contested(origin.clone());
                }
            }
            if !self.is_trusted {
                return Target::Untrusted;
            }
        }
        Target::Planned
    }

    fn value_target(&self, device: &DeviceChange, entry: &ValueEntry) -> Target {
        // A default is no statement about this device; where the service reports nothing there is nothing to return from.
        if entry.is_default && device.observed_value.is_none() {
            return Target::Unresolved(None);
        }
        if let Some(target) = self.known_from(&device.id, ChangeWhat::Value(entry.to)) {
            return target;
        }
        if entry.is_default && !self.is_trusted { Target::Untrusted } else { Target::Planned }
    }

    fn known_from(&self, id: &Arc<str>, what: ChangeWhat) -> Option<Target> {
        if !self.known.contains(&**id) {
            return None;
        }
        let key = ChangeKey { device: id.clone(), what };
        if self.history.pending.contains(&key) {
            return Some(Target::Pending);
        }
        self.history.contested.get(&key).map(|origin| Target::Contested(origin.clone()))
    }
}
