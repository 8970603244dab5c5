//! Assembles differences into devices with changes, and sets aside what is withheld.
//!
//! The order of reasons is fixed: a protection takes a whole device; then missing data, then what history says, then trust.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

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
    tags.sort_by_key(|entry| ranks[entry.row.index()]);
    values.sort_by_key(|entry| ranks[entry.row.index()]);

    let mut sorter = Sorter::new(desired, history, plan.is_trusted(), &plan.causes);
    let mut groups: BTreeMap<Target, Vec<DeviceChange>> = BTreeMap::new();
    let (mut tags, mut values) = (tags.as_slice(), values.as_slice());
    loop {
        let next = [tags.first().map(|entry| entry.row), values.first().map(|entry| entry.row)];
        let Some(row) = next.into_iter().flatten().min_by_key(|row| ranks[row.index()]) else { break };
        let of_device = tags.iter().take_while(|entry| entry.row == row).count();
        let (here, rest) = tags.split_at(of_device);
        tags = rest;
        let value = values.first().filter(|entry| entry.row == row).copied();
        values = &values[usize::from(value.is_some())..];
        for (target, change) in sorter.split(row, here, value, &mut names) {
            groups.entry(target).or_default().push(change);
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

/// Decides for each change where it goes.
struct Sorter<'a> {
    desired: &'a Desired<'a>,
    history: &'a History,
    /// Devices that history says anything about.
    known: HashSet<&'a str>,
    is_trusted: bool,
    causes: &'a [Cause],
}

impl<'a> Sorter<'a> {
    fn new(
        desired: &'a Desired<'a>,
        history: &'a History,
        is_trusted: bool,
        causes: &'a [Cause],
    ) -> Sorter<'a> {
        let keys = history.contested.keys().chain(&history.pending);
        Sorter { desired, history, known: keys.map(|key| &*key.device).collect(), is_trusted, causes }
    }

    /// The changes of one device by where they go, in the order of [`Target`].
    fn split(
        &mut self,
        row: Row,
        tags: &[TagEntry],
        value: Option<ValueEntry>,
        names: &mut Names<'_>,
    ) -> Vec<(Target, DeviceChange)> {
        let snapshot = self.desired.snapshot;
        let base = DeviceChange {
            id: snapshot.id(row).into(),
            name: snapshot.name(row).map(Arc::from),
            observed_tags: snapshot.tags(row).iter().map(|tag| names.of_live(*tag)).collect(),
            observed_value: snapshot.value(row).map(Arc::from),
            add: Vec::new(),
            remove: Vec::new(),
            value: None,
        };
        let mut tags = tags.to_vec();
        tags.sort_by(|one, other| {
            let text = |entry: &TagEntry| names.list[entry.tag.0 as usize].clone();
            one.is_removal.cmp(&other.is_removal).then_with(|| text(one).cmp(&text(other)))
        });
        let mut parts: BTreeMap<Target, DeviceChange> = BTreeMap::new();
        let mut part = |target: Target, change: &dyn Fn(&mut DeviceChange)| {
            change(parts.entry(target).or_insert_with(|| base.clone()));
        };
        let protection = self.protection(row);
        // Old names whose new name is contested: they must not go while the new one does not come.
        let mut held: Vec<(Arc<str>, String)> = Vec::new();
        for entry in tags {
            let name = names.list[entry.tag.0 as usize].clone();
            let target = match protection {
                Some(index) => Target::Protected(index),
                None => self.tag_target(&base.id, &entry, &name, &mut held),
            };
            let change = TagChange { tag: entry.tag, cause: entry.cause };
            if entry.is_removal {
                part(target, &|device| device.remove.push(change));
            } else {
                part(target, &|device| device.add.push(change));
            }
        }
        if let Some(entry) = value {
            let target = match protection {
                Some(index) => Target::Protected(index),
                None => self.value_target(&base, &entry),
            };
            part(target, &|device| device.value = Some(ValueChange { to: entry.to, cause: entry.cause }));
        }
        parts.into_iter().collect()
    }

    /// The first protection that matches a device.
    fn protection(&self, row: Row) -> Option<u32> {
        if !self.desired.protected.contains(row) {
            return None;
        }
        let protections = &self.desired.selections.protections;
        protections.iter().position(|protection| protection.contains(row)).map(|index| index as u32)
    }

    fn tag_target(
        &self,
        id: &Arc<str>,
        entry: &TagEntry,
        name: &Arc<str>,
        held: &mut Vec<(Arc<str>, String)>,
    ) -> Target {
        if let Some(rule) = entry.gap {
            return Target::Unresolved(Some(rule));
        }
        let what =
            if entry.is_removal { ChangeWhat::Remove(name.clone()) } else { ChangeWhat::Add(name.clone()) };
        if let Some(target) = self.known_from(id, what) {
            if let (false, Target::Contested(origin)) = (entry.is_removal, &target) {
                held.push((name.clone(), origin.clone()));
            }
            return target;
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
