//! The effects of a plan beyond tags and values: devices that change device group, what that means for remediation and access,
//! and the devices' weight in the exposure score.
//!
//! Predicts from the file of device groups, and says how well the live groups agree with it. `guard` decides whether a move is
//! allowed.

mod moves;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeviceChange, Plan};
use crate::device::{DeviceValue, Field};
use crate::groups::{Assignment, GroupSizes, Membership, ReportedGroups, TagEdits};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::{Counted, DeviceGroups, GroupIndex, Policy};
use crate::text;

pub use moves::{GroupMove, MoveDoubt, RemediationChange};
use moves::{MoveTally, SAMPLE};

/// Changes whose rows one core looks up at a time.
const AT_ONCE: usize = 1 << 14;
/// The share of devices with a group name in another group than predicted, in twentieths, above which predictions are unreliable:
/// 5 %.
const UNRELIABLE_TWENTIETHS: u64 = 1;

/// What a plan causes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Consequences {
    /// Devices in scope by predicted group before the plan, in order of rank, the ungrouped ones last.
    pub before: Vec<GroupCount>,
    /// The same after the plan.
    pub after: Vec<GroupCount>,
    /// Devices that change group, the most devices first.
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

/// How far the live `rbacGroupName` agrees with the file, on devices in scope whose tags the plan leaves alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCheck {
    /// Devices whose live group is another one.
    pub differ: u64,
    /// Devices that were compared.
    pub of: u64,
    /// Whether the prediction may be relied on: at most 5 % differ.
    pub reliable: bool,
    /// The first that differ: device, reported group, predicted group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<String>,
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
    let (groups, _) = policy.device_groups.as_ref()?;
    let (membership, changed) =
        rayon::join(|| Membership::new(groups, snapshot), || rows_of(snapshot, &plan.changes));
    // Every planned tag is evaluated once.
    let is_watched: Vec<bool> = plan.tags.iter().map(|tag| membership.is_watched(tag)).collect();
    let edits = edits(plan, &changed, &is_watched);
    let foresight =
        MovePrediction { groups, snapshot, scope, plan, changed: &changed, edits: &edits, is_watched };
    let before = membership.assign();
    let ((after, moves), (check, exposure)) = rayon::join(
        || {
            let after = membership.assign_after(&before, &plan.tags, &edits);
            let moves = foresight.moves(&before, &after);
            (after, moves)
        },
        || (foresight.check(&before, written_lately), foresight.exposure()),
    );
    let (had, have) = rayon::join(|| before.counts(scope), || after.counts(scope));
    let possible = foresight.possible();
    let bounds = foresight.bounds(policy, &before, &after, &possible, check.reliable);
    Some(Consequences {
        before: foresight.counts(&had),
        after: foresight.counts(&have),
        exposure,
        predicted: moves.devices(),
        moves: moves.finish(groups, check.reliable),
        possible: possible.count() as u64,
        emptied: foresight.emptied(&before, &had, &have),
        bounds,
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

/// The changes that may move their device.
fn edits<'a>(plan: &'a Plan, rows: &[Option<Row>], is_watched: &[bool]) -> Vec<(Row, &'a DeviceChange)> {
    let edits = plan.changes.par_iter().zip(rows).filter_map(|(change, row)| Some(((*row)?, change)));
    let may_move = |change: &DeviceChange| {
        change.add.iter().chain(&change.remove).any(|tag| is_watched[tag.tag.0 as usize])
    };
    edits.filter(|(_, change)| may_move(change)).collect()
}

struct MovePrediction<'a> {
    groups: &'a DeviceGroups,
    snapshot: &'a Snapshot,
    scope: &'a DeviceSet,
    plan: &'a Plan,
    changed: &'a [Option<Row>],
    /// The changes that may move their device.
    edits: &'a [(Row, &'a DeviceChange)],
    /// By planned tag: whether some group has a condition on it.
    is_watched: Vec<bool>,
}

impl MovePrediction<'_> {
    /// The changes in scope with their rows.
    fn in_scope(&self) -> impl Iterator<Item = (&DeviceChange, Row)> {
        let changes = self.plan.changes.iter().zip(self.changed);
        changes
            .filter_map(|(change, row)| Some((change, (*row)?)))
            .filter(|(_, row)| self.scope.contains(*row))
    }

    /// The tags of a change that some group has a condition on, each with its sign.
    fn watched(&self, change: &DeviceChange) -> impl Iterator<Item = (char, &str)> {
        let added = change.add.iter().map(|add| ('+', add.tag));
        let removed = change.remove.iter().map(|remove| ('-', remove.tag));
        let watched = added.chain(removed).filter(|(_, tag)| self.is_watched[tag.0 as usize]);
        watched.map(|(sign, tag)| (sign, &**self.plan.tag(tag)))
    }

    /// Devices that could change group at all.
    fn possible(&self) -> DeviceSet {
        let touched = self.edits.iter().map(|(row, _)| *row).filter(|row| self.scope.contains(*row));
        let mut rows: Vec<Row> = touched.collect();
        rows.par_sort_unstable();
        DeviceSet::of(self.snapshot.len(), rows)
    }

    fn moves(&self, before: &Assignment, after: &Assignment) -> MoveTally<'_> {
        let mut found = MoveTally::default();
        for (row, change) in self.edits.iter().filter(|(row, _)| self.scope.contains(*row)) {
            let (from, to) = (before.of(*row), after.of(*row));
            if from != to {
                found.count(from, to, self.watched(change), self.snapshot.label(*row));
            }
        }
        found
    }

    /// Groups that removals leave without any device, in order of rank.
    fn emptied(&self, before: &Assignment, had: &GroupSizes, have: &GroupSizes) -> Vec<EmptiedGroup> {
        let is_emptied =
            |group: &GroupIndex| matches!(group, GroupIndex::Group(_)) && !have.contains_key(group);
        let mut found: BTreeMap<GroupIndex, BTreeSet<&Arc<str>>> = BTreeMap::new();
        if !had.keys().any(is_emptied) {
            return Vec::new();
        }
        for (change, row) in self.in_scope().filter(|(_, row)| is_emptied(&before.of(*row))) {
            let removed = change.remove.iter().filter(|remove| self.is_watched[remove.tag.0 as usize]);
            found.entry(before.of(row)).or_default().extend(removed.map(|remove| self.plan.tag(remove.tag)));
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

    /// Compares the live groups with the prediction for the devices in scope, once per distinct name if there are few.
    fn check(&self, before: &Assignment, written_lately: &BTreeSet<Arc<str>>) -> GroupCheck {
        let mut left_alone = self.scope.clone();
        let tagged =
            self.in_scope().filter(|(change, _)| !change.add.is_empty() || !change.remove.is_empty());
        let mut rows: Vec<Row> = tagged.map(|(_, row)| row).collect();
        rows.extend(written_lately.iter().filter_map(|id| self.snapshot.find(id)));
        rows.par_sort_unstable();
        left_alone.difference_with(&DeviceSet::of(self.snapshot.len(), rows));
        let live = ReportedGroups::new(self.groups, self.snapshot);
        let mut found = GroupCheck { reliable: true, ..GroupCheck::default() };
        let mut named = 0;
        for row in left_alone.iter() {
            let predicted = before.of(row);
            if predicted == GroupIndex::Merged || self.groups.is_unpredictable(predicted) {
                continue;
            }
            named += u64::from(live.is_named(row));
            found.of += 1;
            if live.of(row) != Some(predicted) {
                found.differ += 1;
                if found.sample.len() < SAMPLE {
                    let reported = live.name(row);
                    let reported = reported.as_deref().unwrap_or("ungrouped");
                    let predicted = self.groups.name(predicted);
                    found.sample.push(format!(
                        "{}: reported in {reported}, predicted in {predicted}",
                        self.snapshot.label(row)
                    ));
                }
            }
        }
        found.reliable = found.differ * 20 <= named * UNRELIABLE_TWENTIETHS;
        found
    }

    /// The count of each invariant on a group, and the bounds of the true count if the prediction is unreliable.
    fn bounds(
        &self,
        policy: &Policy,
        before: &Assignment,
        after: &Assignment,
        possible: &DeviceSet,
        is_reliable: bool,
    ) -> Vec<GroupBounds> {
        let named = policy.guard.invariants.iter().filter_map(|invariant| match &invariant.counts {
            Counted::Group { name, .. } => Some(name),
            _ => None,
        });
        named
            .map(|name| {
                let index = self.groups.find(name);
                let count = |assignment: &Assignment, rows: &mut dyn Iterator<Item = Row>| {
                    rows.filter(|row| Some(assignment.of(*row)) == index).count() as u64
                };
                let predicted = count(after, &mut self.scope.iter());
                let is_certain =
                    is_reliable && index.is_some_and(|index| !self.groups.is_unpredictable(index));
                let (least, most) = if is_certain {
                    (predicted, predicted)
                } else {
                    let reported = |row: Row| {
                        let live = self.snapshot.text(Field::RbacGroupName, row);
                        live.is_some_and(|live| text::equal(&live, name))
                    };
                    let sure = |row: &Row| reported(*row) && !possible.contains(*row);
                    let least = self.scope.iter().filter(sure).count() as u64;
                    let most =
                        self.scope.iter().filter(|row| reported(*row) || possible.contains(*row)).count();
                    (least.min(predicted), (most as u64).max(predicted))
                };
                let crosses = |row: Row, is_gained: bool| {
                    let (was, is) = (Some(before.of(row)) == index, Some(after.of(row)) == index);
                    was != is && is == is_gained
                };
                let crossing = |is_gained: bool| {
                    let rows = self.in_scope().filter(|(_, row)| crosses(*row, is_gained));
                    rows.map(|(change, _)| change.id.clone()).collect()
                };
                GroupBounds {
                    gained: crossing(true),
                    lost: crossing(false),
                    group: name.clone(),
                    before: count(before, &mut self.scope.iter()),
                    least,
                    most,
                }
            })
            .collect()
    }

    fn exposure(&self) -> Exposure {
        let high = 10 * self.snapshot.len() as u64;
        let weight = |value: Option<DeviceValue>| match value {
            Some(DeviceValue::Low) => 75,
            Some(DeviceValue::High) => high,
            Some(DeviceValue::Normal) | None => 100,
        };
        // Few distinct values: each is parsed once.
        let bound = self.snapshot.code_bound(Field::DeviceValue).unwrap_or_default();
        let text = |code: usize| self.snapshot.code_text(Field::DeviceValue, u32::try_from(code).ok()?);
        let weights: Vec<u64> =
            (0..bound.max(1)).map(|code| weight(text(code).and_then(DeviceValue::parse))).collect();
        let live = |row: Row| weights[self.snapshot.code(Field::DeviceValue, row) as usize];
        let before: u64 = self.scope.iter().map(live).sum();
        let mut after = before;
        for (change, row) in self.in_scope() {
            if let Some(new) = change.value {
                after = (after + weight(Some(new.to))).saturating_sub(live(row));
            }
        }
        Exposure { before, after }
    }
}

#[cfg(test)]
pub(super) mod tests;
