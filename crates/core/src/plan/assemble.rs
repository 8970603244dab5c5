//! Assembles differences into devices with changes, and sets aside those that are withheld.
//!
//! The order of reasons is fixed: a protection applies to a whole device; then missing data, then history, then trust.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::accepted::accepted;
use super::differences::{Differences, TagEntry, TagNames, ValueEntry};
use super::replacement::{Caused, Replacements, is_consequence};
use super::{
    Cause, CauseIndex, ChangeKey, ChangeWhat, DeviceChange, History, Plan, TagChange, TagIndex, TagLimits,
    ValueChange, Withheld, WithheldReason, stale,
};
use crate::desired::Desired;
use crate::inventory::{DeviceSet, Row, TagId};
use crate::text;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ChangeSlot {
    Planned,
    /// The protection with this index.
    Protected(u32),
    Untrusted,
    /// The rule with this index; `None` for a default value on a device whose value is not reported.
    Unresolved(Option<u32>),
    /// By this origin.
    Contested(String),
    /// With the service's words.
    Unwritable(String),
    Pending,
    /// Waits for the addition of this tag.
    Unconfirmed(Arc<str>),
    /// This run undid it.
    Reverted(Arc<str>),
}

/// An addition that is not written now, and may hold back removals.
struct HeldAddition {
    tag: TagIndex,
    cause: CauseIndex,
    /// Another origin or the service keeps the tag away for good. Removals that are due anyway do not wait for it.
    is_contested: bool,
    /// The slot of the removals that it holds back.
    slot: ChangeSlot,
}

/// Devices assembled at a time: on all cores, in bounded memory.
const AT_ONCE: usize = 1 << 16;

/// Devices looked up before the first of them is assembled: as many as fit in the nearest cache.
const AHEAD: usize = 64;

/// Differences by device, with their tables.
pub(super) struct DifferencesByDevice<'a> {
    tags: ByDevice<TagEntry>,
    values: ByDevice<ValueEntry>,
    names: TagNames<'a>,
    causes: Vec<Cause>,
}

/// Puts differences in the order of a plan, and numbers the tags of their devices.
pub(super) fn arrange<'a>(desired: &Desired<'_>, differences: Differences<'a>) -> DifferencesByDevice<'a> {
    let Differences { tags, values, mut names, causes } = differences;
    let rows = tags.iter().map(|entry| entry.row).chain(values.iter().map(|entry| entry.row));
    names.observe(&DeviceSet::of(desired.snapshot.len(), rows));
    let places = names.places();
    let order = desired.snapshot.order_by_id();
    let mut tags = ByDevice::new(order, tags, |entry| entry.row);
    let values = ByDevice::new(order, values, |entry| entry.row);
    let of_device = tags.entries.par_chunk_by_mut(|one, other| one.row == other.row);
    of_device.for_each(|entries| {
        entries.sort_unstable_by_key(|entry| (entry.is_removal, places[entry.tag.0 as usize]));
    });
    DifferencesByDevice { tags, values, names, causes: causes.list }
}

/// Fills a plan's lists, and returns the row of each of its changes. The history is [`History::under`] the `tagCase` at hand.
pub(super) fn assemble(
    desired: &Desired<'_>,
    history: &History,
    arranged: DifferencesByDevice<'_>,
    plan: &mut Plan,
) -> Vec<Option<Row>> {
    let DifferencesByDevice { tags, values, names, causes } = arranged;
    plan.causes = causes;
    let sorter = Sorter::new(desired, history, plan.is_trusted(), &plan.causes, &names);
    let mut groups: BTreeMap<ChangeSlot, Vec<DeviceChange>> = BTreeMap::new();
    // Reserves memory for all at once: a list that grows step by step leaves holes of its own size. Unused pages cost nothing.
    let most = desired.snapshot.len().min(tags.entries.len() + values.entries.len());
    groups.insert(ChangeSlot::Planned, Vec::with_capacity(most));
    let mut rows = Vec::with_capacity(most);
    let mut devices = per_device(desired.snapshot.order_by_id(), &tags, &values);
    loop {
        let devices: Vec<DifferingDevice<'_>> = devices.by_ref().take(AT_ONCE).collect();
        if devices.is_empty() {
            break;
        }
        sorter.sort(&devices, &mut groups, &mut rows);
    }
    plan.tags = names.list;
    for (target, devices) in groups {
        let until = next_try(history, plan, &target, &devices);
        let (reason, name) = match target {
            ChangeSlot::Planned => {
                plan.changes = devices;
                continue;
            }
            ChangeSlot::Protected(index) => {
                let name = desired.policy.protections[index as usize].name.clone();
                (WithheldReason::Protected, Some(name))
            }
            ChangeSlot::Untrusted => (WithheldReason::Untrusted, None),
            ChangeSlot::Unresolved(rule) => {
                let name = rule.map(|rule| desired.policy.rules[rule as usize].name.clone());
                (WithheldReason::Unresolved, name)
            }
            ChangeSlot::Contested(origin) => {
                (WithheldReason::Contested, Some(origin).filter(|origin| !origin.is_empty()))
            }
            ChangeSlot::Unwritable(reason) => {
                (WithheldReason::Unwritable, Some(reason).filter(|reason| !reason.is_empty()))
            }
            ChangeSlot::Pending => (WithheldReason::Pending, None),
            ChangeSlot::Unconfirmed(tag) => (WithheldReason::Unconfirmed, Some(tag.to_string())),
            ChangeSlot::Reverted(run) => (WithheldReason::Reverted, Some(run.to_string())),
        };
        let accepted =
            (reason == WithheldReason::Contested).then(|| accepted(desired, plan, &devices)).flatten();
        let group = Withheld { until, accepted, ..Withheld::new(reason, name, devices) };
        if reason == WithheldReason::Pending { plan.pending.push(group) } else { plan.withheld.push(group) }
    }
    rows
}

/// When the first of some changes is tried again that the service refuses, or that another origin holds.
fn next_try(
    history: &History,
    plan: &Plan,
    slot: &ChangeSlot,
    devices: &[DeviceChange],
) -> Option<Timestamp> {
    let case = plan.header.options.tag_case;
    let refused = |key: &ChangeKey| {
        let all = history.unwritable.get(&key.device)?;
        all.iter().find(|one| one.covers(&key.what, case)).map(|one| one.until)
    };
    let keys = devices.iter().flat_map(|device| stale::keys(plan, device));
    match slot {
        ChangeSlot::Unwritable(_) => keys.filter_map(|key| refused(&key)).min(),
        ChangeSlot::Contested(_) => {
            keys.filter_map(|key| history.contested_until.get(&*key.under(case)).copied()).min()
        }
        _ => None,
    }
}

/// Entries by device, devices in order of their ids. Counted into place, because sorting millions by id is slow.
struct ByDevice<T> {
    entries: Vec<T>,
    /// By row, one past the last entry of the device; empty if there are no entries at all.
    ends: Vec<u32>,
}

impl<T: Copy> ByDevice<T> {
    fn new(order: &[Row], entries: Vec<T>, row: impl Fn(&T) -> Row) -> ByDevice<T> {
        let Some(any) = entries.first() else { return ByDevice { entries: Vec::new(), ends: Vec::new() } };
        let mut ends = vec![0u32; order.len()];
        entries.iter().for_each(|entry| ends[row(entry).index()] += 1);
        let mut start = 0;
        for row in order {
            let count = std::mem::replace(&mut ends[row.index()], start);
            start += count;
        }
        let mut placed = vec![*any; entries.len()];
        for entry in entries {
            let place = &mut ends[row(&entry).index()];
            placed[*place as usize] = entry;
            *place += 1;
        }
        ByDevice { entries: placed, ends }
    }

    /// The entries of a device. The previous device's end at `start`, which becomes this device's end.
    fn next(&self, row: Row, start: &mut u32) -> &[T] {
        let Some(end) = self.ends.get(row.index()) else { return &[] };
        &self.entries[std::mem::replace(start, *end) as usize..*end as usize]
    }
}

/// The differences on one device: tags to add, tags to remove, bytewise, and the value.
struct DifferingDevice<'a> {
    row: Row,
    tags: &'a [TagEntry],
    value: Option<&'a ValueEntry>,
}

/// The devices with differences, in the order of their ids.
fn per_device<'a>(
    order: &'a [Row],
    tags: &'a ByDevice<TagEntry>,
    values: &'a ByDevice<ValueEntry>,
) -> impl Iterator<Item = DifferingDevice<'a>> {
    let (mut tag, mut value) = (0, 0);
    order.iter().filter_map(move |row| {
        let tags = tags.next(*row, &mut tag);
        let value = values.next(*row, &mut value).first();
        (!tags.is_empty() || value.is_some()).then_some(DifferingDevice { row: *row, tags, value })
    })
}

/// A device as read.
struct Observed<'a> {
    id: &'a str,
    name: Option<&'a str>,
    tags: &'a [TagId],
    value: Option<&'a Arc<str>>,
}

/// The slots of one device's changes.
enum DeviceSlots {
    /// The same slot for all, as nearly always.
    One(ChangeSlot),
    /// One for each tag, and one for the value.
    Each(Vec<ChangeSlot>, Option<ChangeSlot>),
}

/// Decides the slot of each change.
struct Sorter<'a> {
    desired: &'a Desired<'a>,
    history: &'a History,
    /// Devices that history says anything about.
    known: HashSet<&'a str>,
    is_trusted: bool,
    causes: &'a [Cause],
    names: &'a TagNames<'a>,
    replacements: Replacements<'a>,
    /// By tag: why no call may name it. Empty if tags have no limits.
    limited: Vec<Option<String>>,
}

impl<'a> Sorter<'a> {
    fn new(
        desired: &'a Desired<'a>,
        history: &'a History,
        is_trusted: bool,
        causes: &'a [Cause],
        names: &'a TagNames<'a>,
    ) -> Sorter<'a> {
        let keys = history.contested.keys().chain(&history.pending).chain(history.reverted.keys());
        let devices = keys.map(|key| &*key.device);
        let known = devices.chain(history.unwritable.keys().map(|device| &**device)).collect();
        let replacements = Replacements::new(desired.policy, desired.tag_case);
        let limits = history.limits;
        let is_free = limits == TagLimits::default();
        let limited = names.list.iter().take(if is_free { 0 } else { names.list.len() });
        let limited = limited.map(|tag| limits.refusal(tag)).collect();
        Sorter { desired, history, known, is_trusted, causes, names, replacements, limited }
    }

    /// Appends the changes of some devices to their slots, and the rows of the planned ones to `planned`.
    fn sort(
        &self,
        devices: &[DifferingDevice<'_>],
        groups: &mut BTreeMap<ChangeSlot, Vec<DeviceChange>>,
        planned: &mut Vec<Option<Row>>,
    ) {
        let targets: Vec<DeviceSlots> = devices.par_iter().map(|device| self.targets(device)).collect();
        let mut members: BTreeMap<&ChangeSlot, Vec<usize>> = BTreeMap::new();
        for (index, targets) in targets.iter().enumerate() {
            let (tags, value) = match targets {
                DeviceSlots::One(target) => (std::slice::from_ref(target), &None),
                DeviceSlots::Each(tags, value) => (tags.as_slice(), value),
            };
            for target in tags.iter().chain(value) {
                let members = members.entry(target).or_default();
                if members.last() != Some(&index) {
                    members.push(index);
                }
            }
        }
        for (target, members) in members {
            if *target == ChangeSlot::Planned {
                planned.extend(members.iter().map(|index| Some(devices[*index].row)));
            }
            // In the order of ids, rows are anywhere in memory. A loop that only looks them up waits for many of them at once;
            // one that also assembles each device waits for one after the other.
            let ahead = || (0..0, Vec::with_capacity(AHEAD));
            let changes = (0..members.len()).into_par_iter().map_init(ahead, |(range, observed), place| {
                if !range.contains(&place) {
                    *range = place..members.len().min(place + AHEAD);
                    observed.clear();
                    observed
                        .extend(members[range.clone()].iter().map(|index| self.observe(devices[*index].row)));
                }
                let index = members[place];
                self.change(&devices[index], &observed[place - range.start], &targets[index], target)
            });
            groups.entry(target.clone()).or_default().par_extend(changes);
        }
    }

    /// A device as read.
    fn observe(&self, row: Row) -> Observed<'a> {
        let snapshot = self.desired.snapshot;
        Observed {
            id: snapshot.id(row),
            name: snapshot.name(row),
            tags: snapshot.tags(row),
            value: self.names.value(row),
        }
    }

    fn targets(&self, device: &DifferingDevice<'_>) -> DeviceSlots {
        if let Some(protection) = self.protection(device.row) {
            return DeviceSlots::One(ChangeSlot::Protected(protection));
        }
        let value = device.value.map(|entry| self.value_target(entry));
        let tags = || {
            let mut held: Vec<HeldAddition> = Vec::new();
            device.tags.iter().map(move |entry| self.tag_target(entry, &mut held))
        };
        match itertools::Itertools::all_equal_value(&mut tags().chain(value.clone())) {
            Ok(target) => DeviceSlots::One(target),
            Err(_) => DeviceSlots::Each(tags().collect(), value),
        }
    }

    /// The changes of one device with the same slot.
    fn change(
        &self,
        device: &DifferingDevice<'_>,
        observed: &Observed<'_>,
        targets: &DeviceSlots,
        target: &ChangeSlot,
    ) -> DeviceChange {
        let change = |entry: &TagEntry| TagChange { tag: entry.tag, cause: entry.cause };
        let additions = device.tags.partition_point(|entry| !entry.is_removal);
        let changes = |range: Range<usize>| -> Vec<TagChange> {
            let entries = &device.tags[range.clone()];
            let DeviceSlots::Each(tags, _) = targets else { return entries.iter().map(change).collect() };
            let here = entries.iter().zip(&tags[range]).filter(|(_, at)| *at == target);
            let mut changes = Vec::with_capacity(here.clone().count());
            changes.extend(here.map(|(entry, _)| change(entry)));
            changes
        };
        let value = device.value.filter(|_| match targets {
            DeviceSlots::One(_) => true,
            DeviceSlots::Each(_, value) => value.as_ref() == Some(target),
        });
        DeviceChange {
            id: observed.id.into(),
            name: observed.name.map(Arc::from),
            observed_tags: observed.tags.iter().map(|tag| self.names.live(*tag)).collect(),
            observed_value: observed.value.cloned(),
            add: changes(0..additions),
            remove: changes(additions..device.tags.len()),
            value: value.map(|entry| ValueChange { to: entry.to, cause: entry.cause }),
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

    fn tag_target(&self, entry: &TagEntry, held: &mut Vec<HeldAddition>) -> ChangeSlot {
        if let Some(rule) = entry.gap {
            let slot = ChangeSlot::Unresolved(Some(rule.get() - 1));
            if !entry.is_removal {
                held.push(HeldAddition {
                    tag: entry.tag,
                    cause: entry.cause,
                    is_contested: true,
                    slot: slot.clone(),
                });
            }
            return slot;
        }
        if let Some(Some(why)) = self.limited.get(entry.tag.0 as usize) {
            if !entry.is_removal {
                let slot = ChangeSlot::Unconfirmed(self.names.list[entry.tag.0 as usize].clone());
                held.push(HeldAddition { tag: entry.tag, cause: entry.cause, is_contested: true, slot });
            }
            return ChangeSlot::Unwritable(why.clone());
        }
        if self.is_known(entry.row) {
            let name = &self.names.list[entry.tag.0 as usize];
            let what = if entry.is_removal { ChangeWhat::Remove } else { ChangeWhat::Add };
            if let Some(target) = self.known_from(entry.row, what(name.clone())) {
                if !entry.is_removal {
                    let is_contested = matches!(target, ChangeSlot::Contested(_) | ChangeSlot::Unwritable(_));
                    let slot = ChangeSlot::Unconfirmed(name.clone());
                    held.push(HeldAddition { tag: entry.tag, cause: entry.cause, is_contested, slot });
                }
                return target;
            }
        }
        if entry.is_removal {
            if let Some(addition) = held.iter().find(|addition| self.holds(addition, entry)) {
                return addition.slot.clone();
            }
            if !self.is_trusted {
                return ChangeSlot::Untrusted;
            }
        }
        if entry.is_doubted {
            return ChangeSlot::Untrusted;
        }
        ChangeSlot::Planned
    }

    /// Whether a removal waits for an addition that is not written now, because the device must never have neither tag.
    fn holds(&self, addition: &HeldAddition, removal: &TagEntry) -> bool {
        let caused = |tag: TagIndex, cause: CauseIndex| Caused {
            tag: &self.names.list[tag.0 as usize],
            cause: &self.causes[cause.0 as usize],
        };
        let removed = caused(removal.tag, removal.cause);
        (!addition.is_contested || is_consequence(removed.cause))
            && self.replacements.replaces(caused(addition.tag, addition.cause), removed)
    }

    fn value_target(&self, entry: &ValueEntry) -> ChangeSlot {
        // A default says nothing about this device in particular: without a reported value there is nothing to change back.
        if let Some(rule) = entry.gap {
            return ChangeSlot::Unresolved(Some(rule));
        }
        if entry.is_default && self.names.value(entry.row).is_none() {
            return ChangeSlot::Unresolved(None);
        }
        if let Some(target) = self.known_from(entry.row, ChangeWhat::Value(entry.to)) {
            return target;
        }
        let lowers = entry.is_default || entry.to.lowers(self.names.value(entry.row).map(|value| &**value));
        if entry.is_doubted || lowers && !self.is_trusted {
            ChangeSlot::Untrusted
        } else {
            ChangeSlot::Planned
        }
    }

    /// Whether the list may show the device as it was before the pending write. A tag has two states only; a value that is
    /// neither the old one nor ours was set by somebody else.
    fn may_be_old(&self, row: Row, key: &ChangeKey) -> bool {
        let before = self.history.values_before.get(&key.device);
        let ChangeWhat::Value(_) = key.what else { return true };
        before.is_none_or(|before| {
            before.iter().any(|old| old.as_deref() == self.names.value(row).map(|value| &**value))
        })
    }

    /// Whether history says anything about a device.
    fn is_known(&self, row: Row) -> bool {
        !self.known.is_empty() && self.known.contains(self.desired.snapshot.id(row))
    }

    fn known_from(&self, row: Row, what: ChangeWhat) -> Option<ChangeSlot> {
        if !self.is_known(row) {
            return None;
        }
        let key = ChangeKey { device: self.desired.snapshot.id(row).into(), what };
        let case = self.desired.tag_case;
        if self.history.pending.contains(&*key.awaited(case)) && self.may_be_old(row, &key) {
            return Some(ChangeSlot::Pending);
        }
        let counted = key.under(case);
        if let Some(run) = self.history.reverted.get(&*counted) {
            return Some(ChangeSlot::Reverted(run.clone()));
        }
        let refused = self.history.unwritable.get(&key.device);
        if let Some(refused) = refused.and_then(|all| all.iter().find(|one| one.covers(&key.what, case))) {
            return Some(ChangeSlot::Unwritable(refused.reason.clone()));
        }
        let stated = self.history.contested.get(&*counted)?;
        let twin = match &key.what {
            ChangeWhat::Add(tag) => self.twin(row, tag).map(|twin| (twin, crate::tag::difference(tag, twin))),
            ChangeWhat::Remove(_) | ChangeWhat::Value(_) => None,
        };
        let origin = twin.map(|(twin, difference)| {
            format!("the device carries `{twin}`, which differs {difference}: the service takes the two for one tag")
        });
        Some(ChangeSlot::Contested(origin.unwrap_or_else(|| stated.clone())))
    }

    /// A tag of the device that differs from another one only in case or Unicode form.
    fn twin(&self, row: Row, tag: &str) -> Option<&str> {
        let snapshot = self.desired.snapshot;
        let mut live = snapshot.tags(row).iter().map(|live| snapshot.tag(*live));
        live.find(|live| *live != tag && text::equal(live, tag))
    }
}
