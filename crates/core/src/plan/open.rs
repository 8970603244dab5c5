//! Differences on devices where unknown data decides: each is withheld, in either direction.
//!
//! `desired` finds the open devices. This gives the changes that would follow if the undecided rules held, and the rule to name.

use std::num::NonZero;

use super::differences::{CauseSource, Differences, TagEntry, ValueEntry};
use crate::desired::{Desired, Settled, SettledPart, TagGroup};
use crate::device::DeviceValue;
use crate::inventory::{DeviceSet, Row};

/// The rule that a tag depends on, in the form of [`TagEntry::gap`].
pub(super) fn gap(
    desired: &Desired<'_>,
    part: &SettledPart,
    tag: &Settled,
    local: Row,
) -> Option<NonZero<u32>> {
    if !tag.open.as_ref().is_some_and(|open| open.contains(local)) {
        return None;
    }
    let row = part.window.row(local);
    let groups = groups(part);
    let group = &desired.groups[tag.group as usize];
    let others = groups.iter().map(|other| &desired.groups[*other as usize]);
    let old_names = others.filter(|other| desired.is_old_name_of(other, group));
    let keeper = || old_names.filter_map(|old| desired.keeper(old, row)).min();
    desired.open_rule(&groups, row).or_else(keeper).and_then(|rule| NonZero::new(rule + 1))
}

fn groups(part: &SettledPart) -> Vec<u32> {
    part.tags.iter().map(|tag| tag.group).collect()
}

/// The changes of a tag that would follow only if undecided rules held.
pub(super) fn differences(
    desired: &Desired<'_>,
    part: &SettledPart,
    tag: &Settled,
    found: &mut Differences<'_>,
) {
    let Some(open) = &tag.open else { return };
    let group = &desired.groups[tag.group as usize];
    let mut added = open.clone();
    added.difference_with(&tag.any_live);
    added.difference_with(&tag.wanted());
    let groups = groups(part);
    let mut push = |local: Row, tag, cause: CauseSource, is_removal| {
        let row = part.window.row(local);
        let Some(rule) = desired.open_rule(&groups, row) else { return };
        let cause = found.causes.number(cause);
        found.tags.push(TagEntry {
            row,
            tag,
            cause,
            is_removal,
            is_doubted: false,
            gap: NonZero::new(rule + 1),
        });
    };
    if !added.is_empty() {
        let name = found.names.of_text(&group.name);
        for local in added.iter() {
            let givers = group.giving.iter().map(|giver| giver.rule);
            let rules = undecided(desired, givers, part.window.row(local));
            if !rules.is_empty() {
                push(local, name, CauseSource::Rules(rules), false);
            }
        }
    }
    for (spelling, carriers) in &tag.live {
        let mut removed = open.clone();
        removed.intersect_with(carriers);
        for (_, rows) in &tag.unwanted {
            removed.difference_with(rows);
        }
        for local in removed.iter() {
            let name = found.names.of_live(*spelling);
            let bans = group.forbidding.iter().map(|ban| ban.rule);
            let rules = undecided(desired, bans, part.window.row(local));
            if let Some(cause) = cause(group, rules) {
                push(local, name, cause, true);
            }
        }
    }
}

/// What would remove a live tag: a rule that forbids it, else a stronger member of its family.
fn cause(group: &TagGroup, bans: Vec<u32>) -> Option<CauseSource> {
    match group.family {
        _ if !bans.is_empty() => Some(CauseSource::Rules(bans)),
        Some((family, _)) => Some(CauseSource::Family(family)),
        None => group.rename.map(CauseSource::Renamed),
    }
}

fn undecided(desired: &Desired<'_>, rules: impl Iterator<Item = u32>, row: Row) -> Vec<u32> {
    let mut rules: Vec<u32> = rules.filter(|rule| desired.is_undecided(*rule, row)).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// The undecided rule that a device's value depends on.
pub(super) fn value_gap(desired: &Desired<'_>, row: Row) -> Option<u32> {
    let is_open = desired.values.open.iter().any(|rows| rows.contains(row));
    if is_open { desired.undecided_valuer(row) } else { None }
}

/// The values that devices would get only if undecided rules held: the value of the first such rule, unless something else
/// changes the value.
pub(super) fn values(desired: &Desired<'_>, found: &mut Differences<'_>) {
    let snapshot = desired.snapshot;
    let mut told = DeviceSet::of(snapshot.len(), found.values.iter().map(|entry| entry.row));
    for to in DeviceValue::ALL {
        for row in desired.values.open[to as usize].iter() {
            if told.contains(row) || snapshot.value(row) == Some(to.word()) {
                continue;
            }
            let Some(rule) = desired.undecided_valuer(row) else { continue };
            told.insert(row);
            let gives = desired.values.rules.iter().filter(|(_, _, value)| *value == to);
            let rules = undecided(desired, gives.map(|(rule, ..)| *rule), row);
            let cause = found.causes.number(CauseSource::Rules(rules));
            found.values.push(ValueEntry {
                row,
                to,
                cause,
                is_default: false,
                is_doubted: false,
                gap: Some(rule),
            });
        }
    }
}
