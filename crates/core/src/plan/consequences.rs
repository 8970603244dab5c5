//! The effects of a plan beyond tags and values: devices that change device group, what that means for remediation and access,
//! and the devices' weight in the exposure score.
//!
//! Predicts from the file of device groups, and says how well the live groups agree with it. `guard` decides whether a move is
//! allowed.

mod check;
mod moves;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeviceChange, Plan, TagIndex};
use crate::device::{DeviceValue, Field};
use crate::groups::{Assignment, GroupSizes, Membership, ReportedGroups, TagEdits};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::{Counted, DeviceGroups, GroupIndex, Policy};

use check::GroupComparison;
pub use check::{ComparedDevices, GroupCheck, HardlyChecked};
use moves::MoveTally;
pub use moves::{GroupMove, MoveDoubt, RemediationChange};

/// Changes whose rows one core looks up at a time.
const AT_ONCE: usize = 1 << 14;

/// What a plan causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Consequences {
    /// Devices in scope by predicted group before the plan, in order of rank, the ungrouped ones last.
    pub before: Vec<GroupCount>,
    /// The same after the plan.
    pub after: Vec<GroupCount>,
    /// Devices that change group: moves that widen access or raise remediation first, then the most devices first.
    pub moves: Vec<GroupMove>,
    /// How far the live groups agree with the file.
    pub check: GroupCheck,
    /// The weight of the devices in scope in the exposure score.
    pub exposure: Exposure,
    /// Devices that change group as predicted.
    pub predicted: u64,
    /// Devices with a planned change of a tag that some group looks at: no more can change group.
    pub possible: u64,
    /// For each invariant that counts a group: the least and the most devices that could be in it after the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<GroupBounds>,
    /// Groups with devices before the plan and none after it, where removed tags take some out.
    #[serde(skip)]
    pub emptied: Vec<EmptiedGroup>,
}

/// How many devices are in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCount {
    /// Its name.
    pub name: String,
    /// Devices in scope.
    pub devices: u64,
}

/// Weight in the exposure score in hundredths: 75 for Low, 100 for Normal, and for High 10 for each device of the tenant
/// (documented: a tenth of the tenant's assets).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// Before the plan.
    pub before: u64,
    /// After it.
    pub after: u64,
}

/// Bounds of the devices in a group after the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupBounds {
    /// The group as the invariant names it.
    pub group: String,
    /// Predicted before the plan.
    pub before: u64,
    /// The fewest after it: as predicted where the prediction is reliable.
    pub least: u64,
    /// The most after it.
    pub most: u64,
    /// Ids of devices that come into it, ascending.
    #[serde(skip)]
    pub gained: Vec<Arc<str>>,
    /// Ids of devices that leave it, ascending.
    #[serde(skip)]
    pub lost: Vec<Arc<str>>,
}

/// A group that removals leave without any device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptiedGroup {
    /// The device group's name in the portal.
    pub name: String,
    /// The removed tags that take devices out of it, bytewise.
    pub tags: Vec<Arc<str>>,
}

impl Consequences {
    /// The number of moves that the cap judges: the predicted ones, or every possible one if the prediction is unreliable.
    pub fn judged_moves(&self) -> u64 {
        if self.check.reliable { self.predicted } else { self.predicted.max(self.possible) }
    }
}

/// The effects of a plan, if the policy names device groups. `written_lately`: ids of devices that a run of the last 24 hours
/// wrote. The service regroups in minutes to hours, so their live group proves nothing.
pub fn consequences(
    policy: &Policy,
    snapshot: &Snapshot,
    scope: &DeviceSet,
    plan: &Plan,
    written_lately: &BTreeSet<Arc<str>>,
) -> Option<Consequences> {
    policy.device_groups.as_ref()?;
    let rows = rows_of(snapshot, &plan.changes);
    of_changes(policy, (snapshot, scope), plan, &rows, written_lately)
}

/// As [`consequences`], where the row of each change is known.
pub(super) fn of_changes(
    policy: &Policy,
    (snapshot, scope): (&Snapshot, &DeviceSet),
    plan: &Plan,
    rows: &[Option<Row>],
    written_lately: &BTreeSet<Arc<str>>,
) -> Option<Consequences> {
    let (groups, _) = policy.device_groups.as_ref()?;
    let (membership, values) = (Membership::new(groups, snapshot), LiveValues::new(snapshot));
    let before = membership.assign();
    // Every planned tag is evaluated once.
    let is_watched: Vec<bool> = plan.tags.iter().map(|tag| membership.is_watched(tag)).collect();
    let touched = TouchedDevices::new(plan, rows, scope, &is_watched, &values);
    let foresight = MovePrediction { groups, snapshot, scope, plan, touched: &touched, is_watched };
    let ((after, moves), (had, (check, lately), exposure)) = rayon::join(
        || {
            let after = membership.assign_after(&before, &plan.tags, &touched.edits);
            let moves = foresight.moves(&before, &after);
            (after, moves)
        },
        || (before.counts(scope), foresight.check(&before, written_lately), values.exposure(scope, &touched)),
    );
    let have = moves.sizes_after(&had);
    let check =
        GroupCheck { hardly_checked: check::hardly_checked(groups, &moves.groups(), &had, &lately), ..check };
    Some(Consequences {
        before: foresight.counts(&had),
        after: foresight.counts(&have),
        exposure,
        predicted: moves.devices(),
        possible: touched.edits.len() as u64,
        emptied: foresight.emptied(&before, &had, &have),
        bounds: foresight.bounds(policy, (&before, &after), (&had, &have), check.reliable),
        moves: moves.finish(groups, plan, check.reliable),
        check,
    })
}

/// The row of each change; both are in the order of ids.
fn rows_of(snapshot: &Snapshot, changes: &[DeviceChange]) -> Vec<Option<Row>> {
    let order = snapshot.order_by_id();
    let rows_of_some = |changes: &[DeviceChange]| -> Vec<Option<Row>> {
        let first = changes.first().map_or("", |change| &*change.id);
        let start = order.partition_point(|row| snapshot.id(*row) < first);
        let mut rows = order[start..].iter().copied().peekable();
        let row_of = |change: &DeviceChange| {
            while rows.next_if(|row| snapshot.id(*row) < &*change.id).is_some() {}
            rows.next_if(|row| snapshot.id(*row) == &*change.id)
        };
        changes.iter().map(row_of).collect()
    };
    changes.par_chunks(AT_ONCE).map(rows_of_some).flatten_iter().collect()
}

impl TagEdits for &DeviceChange {
    fn added(&self) -> impl Iterator<Item = u32> {
        self.add.iter().map(|add| add.tag.0)
    }

    fn removed(&self) -> impl Iterator<Item = u32> {
        self.remove.iter().map(|remove| remove.tag.0)
    }
}

/// What a plan changes on devices in scope, found in one pass over its changes.
struct TouchedDevices<'a> {
    /// Devices whose tags it changes.
    tagged: DeviceSet,
    /// The changes of a tag that some group has a condition on: no others move their device. In the order of ids.
    edits: Vec<(Row, &'a DeviceChange)>,
    /// How much more the devices weigh in the exposure score after it, and how much less.
    gain: u64,
    loss: u64,
}

impl<'a> TouchedDevices<'a> {
    fn new(
        plan: &'a Plan,
        rows: &[Option<Row>],
        scope: &DeviceSet,
        is_watched: &[bool],
        values: &LiveValues<'_>,
    ) -> TouchedDevices<'a> {
        let of_some = |(changes, rows): (&'a [DeviceChange], &[Option<Row>])| {
            let (mut tagged, mut edits, mut gain, mut loss) = (Vec::new(), Vec::new(), 0, 0);
            for (change, row) in changes.iter().zip(rows) {
                let Some(row) = row.filter(|row| scope.contains(*row)) else { continue };
                if let Some(new) = change.value {
                    (gain, loss) = (gain + values.weight(Some(new.to)), loss + values.of(row));
                }
                let mut tags = change.add.iter().chain(&change.remove).peekable();
                if tags.peek().is_some() {
                    tagged.push(row);
                    if tags.any(|tag| is_watched[tag.tag.0 as usize]) {
                        edits.push((row, change));
                    }
                }
            }
            (tagged, edits, gain, loss)
        };
        let parts = plan.changes.par_chunks(AT_ONCE).zip(rows.par_chunks(AT_ONCE)).map(of_some);
        let parts: Vec<_> = parts.collect();
        let mut all = TouchedDevices {
            tagged: DeviceSet::new(values.snapshot.len()),
            edits: Vec::new(),
            gain: 0,
            loss: 0,
        };
        for (tagged, edits, gain, loss) in parts {
            tagged.into_iter().for_each(|row| all.tagged.insert(row));
            all.edits.extend(edits);
            (all.gain, all.loss) = (all.gain + gain, all.loss + loss);
        }
        all
    }
}

struct MovePrediction<'a> {
    groups: &'a DeviceGroups,
    snapshot: &'a Snapshot,
    scope: &'a DeviceSet,
    plan: &'a Plan,
    touched: &'a TouchedDevices<'a>,
    /// By planned tag: whether some group has a condition on it.
    is_watched: Vec<bool>,
}

impl<'a> MovePrediction<'a> {
    /// The tags of a change that some group has a condition on, each with its sign.
    fn watched(&self, change: &DeviceChange) -> impl Iterator<Item = (char, TagIndex)> {
        let added = change.add.iter().map(|add| ('+', add.tag));
        let removed = change.remove.iter().map(|remove| ('-', remove.tag));
        added.chain(removed).filter(|(_, tag)| self.is_watched[tag.0 as usize])
    }

    /// `after`: the group of each edited device.
    fn moves(&self, before: &Assignment, after: &[GroupIndex]) -> MoveTally<'a> {
        let mut found = MoveTally::default();
        for ((row, change), to) in self.touched.edits.iter().zip(after) {
            let from = before.of(*row);
            if from != *to {
                found.count(from, *to, self.watched(change), || self.snapshot.label(*row));
            }
        }
        found
    }

    fn check(&self, before: &Assignment, written_lately: &BTreeSet<Arc<str>>) -> (GroupCheck, GroupSizes) {
        let lately = written_lately.iter().filter_map(|id| self.snapshot.find(id));
        let compared = GroupComparison {
            groups: self.groups,
            snapshot: self.snapshot,
            scope: self.scope,
            before,
            changed: &self.touched.tagged,
            written_lately: &DeviceSet::of(self.snapshot.len(), lately),
        };
        compared.check()
    }

    /// Groups that removals leave without any device, in order of rank.
    fn emptied(&self, before: &Assignment, had: &GroupSizes, have: &GroupSizes) -> Vec<EmptiedGroup> {
        let is_emptied =
            |group: &GroupIndex| matches!(group, GroupIndex::Group(_)) && !have.contains_key(group);
        let mut found: BTreeMap<GroupIndex, BTreeSet<&Arc<str>>> = BTreeMap::new();
        if !had.keys().any(is_emptied) {
            return Vec::new();
        }
        for (row, change) in self.touched.edits.iter().filter(|(row, _)| is_emptied(&before.of(*row))) {
            let removed = change.remove.iter().filter(|remove| self.is_watched[remove.tag.0 as usize]);
            found.entry(before.of(*row)).or_default().extend(removed.map(|remove| self.plan.tag(remove.tag)));
        }
        let emptied = found.into_iter().filter(|(_, tags)| !tags.is_empty());
        let emptied = emptied.map(|(group, tags)| EmptiedGroup {
            name: self.groups.name(group).to_owned(),
            tags: tags.into_iter().map(Arc::clone).collect(),
        });
        emptied.collect()
    }

    fn counts(&self, counts: &GroupSizes) -> Vec<GroupCount> {
        let ranks = (0..self.groups.groups.len()).filter_map(|rank| u16::try_from(rank).ok());
        ranks
            .map(GroupIndex::Group)
            .chain([GroupIndex::Ungrouped])
            .map(|index| GroupCount {
                name: self.groups.name(index).to_owned(),
                devices: counts.get(&index).copied().unwrap_or(0),
            })
            .collect()
    }

    /// The count of each invariant on a group, and the bounds of the true count if the prediction is unreliable.
    fn bounds(
        &self,
        policy: &Policy,
        (before, after): (&Assignment, &[GroupIndex]),
        (had, have): (&GroupSizes, &GroupSizes),
        is_reliable: bool,
    ) -> Vec<GroupBounds> {
        let named = policy.guard.invariants.iter().filter_map(|invariant| match &invariant.counts {
            Counted::Group { name, .. } => Some(name),
            _ => None,
        });
        let named: Vec<&String> = named.collect();
        if named.is_empty() {
            return Vec::new();
        }
        let possible = DeviceSet::of(self.snapshot.len(), self.touched.edits.iter().map(|(row, _)| *row));
        let live = ReportedGroups::new(self.groups, self.snapshot);
        let bounds = named.into_iter().map(|name| {
            let index = self.groups.find(name);
            let devices =
                |sizes: &GroupSizes| index.and_then(|index| sizes.get(&index).copied()).unwrap_or(0);
            let predicted = devices(have);
            let is_certain = is_reliable && index.is_some_and(|index| !self.groups.is_unpredictable(index));
            let (least, most) = if is_certain {
                (predicted, predicted)
            } else {
                let reported = |row: Row| index.is_some() && live.of(row) == index;
                let sure = |row: &Row| reported(*row) && !possible.contains(*row);
                let least = self.scope.iter().filter(sure).count() as u64;
                let most = self.scope.iter().filter(|row| reported(*row) || possible.contains(*row)).count();
                (least.min(predicted), (most as u64).max(predicted))
            };
            let crossing = |is_gained: bool| {
                let edits = self.touched.edits.iter().zip(after);
                let crossing = edits.filter(|((row, _), to)| {
                    let (was, is) = (Some(before.of(*row)) == index, Some(**to) == index);
                    was != is && is == is_gained
                });
                crossing.map(|((_, change), _)| change.id.clone()).collect()
            };
            GroupBounds {
                gained: crossing(true),
                lost: crossing(false),
                group: name.clone(),
                before: devices(had),
                least,
                most,
            }
        });
        bounds.collect()
    }
}

/// The weight of live values in the exposure score.
struct LiveValues<'a> {
    snapshot: &'a Snapshot,
    /// What High weighs.
    high: u64,
    /// By code of the field: few distinct values, each read once.
    weights: Vec<u64>,
}

impl<'a> LiveValues<'a> {
    fn new(snapshot: &'a Snapshot) -> LiveValues<'a> {
        let mut values = LiveValues { snapshot, high: 10 * snapshot.len() as u64, weights: Vec::new() };
        let bound = snapshot.code_bound(Field::DeviceValue).unwrap_or_default();
        let text = |code: usize| snapshot.code_text(Field::DeviceValue, u32::try_from(code).ok()?);
        let weight = |code: usize| values.weight(text(code).and_then(DeviceValue::parse));
        values.weights = (0..bound.max(1)).map(weight).collect();
        values
    }

    fn weight(&self, value: Option<DeviceValue>) -> u64 {
        match value {
            Some(DeviceValue::Low) => 75,
            Some(DeviceValue::High) => self.high,
            Some(DeviceValue::Normal) | None => 100,
        }
    }

    /// The weight of a device as read.
    fn of(&self, row: Row) -> u64 {
        self.weights[self.snapshot.code(Field::DeviceValue, row) as usize]
    }

    fn exposure(&self, scope: &DeviceSet, touched: &TouchedDevices<'_>) -> Exposure {
        let before: u64 = scope.iter().map(|row| self.of(row)).sum();
        Exposure { before, after: (before + touched.gain).saturating_sub(touched.loss) }
    }
}

#[cfg(test)]
pub(super) mod tests;
