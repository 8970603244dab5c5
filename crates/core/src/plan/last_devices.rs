//! Removals that leave a tag, a device group or a rule without any device: reviewers read these first.
//!
//! Judges nothing; `guard` limits removals.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cause, Plan, TagIndex};
use crate::inventory::Snapshot;
use crate::policy::{Policy, Rule, TagExpressionKind};
use crate::selection::Selections;
use crate::tag::TagCase;

/// What is left without any device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LastOf {
    /// No device carries the tag, in scope or not.
    Tag,
    /// No device in scope is in the device group, as predicted.
    Group,
    /// The rule gives the tag, and holds for no device in scope.
    Rule,
}

/// A tag, device group or rule that the plan leaves without any device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct LastDevices {
    /// What it is.
    pub of: LastOf,
    /// The tag, or the name of the group or rule.
    pub name: String,
    /// The removed tags that bring it about, bytewise.
    pub tags: Vec<Arc<str>>,
}

/// The tags, groups and rules that a plan's removals leave without any device. Call it when the emptied device groups are known.
pub fn last_devices(
    policy: &Policy,
    snapshot: &Snapshot,
    selections: &Selections,
    plan: &Plan,
) -> Vec<LastDevices> {
    let removed = removed_tags(plan);
    let mut found = emptied_tags(snapshot, plan, &removed);
    let groups = plan.groups.iter().flat_map(|groups| &groups.emptied);
    found.extend(groups.map(|group| LastDevices {
        of: LastOf::Group,
        name: group.name.clone(),
        tags: group.tags.clone(),
    }));
    found.extend(emptied_rules(policy, selections, plan, &removed));
    found.sort();
    found
}

/// How a tag is removed.
#[derive(Clone, Copy, Default)]
struct Removed {
    devices: u64,
    /// Because no rule gives it.
    is_unselected: bool,
    /// Whether it is more than a rename, which removes nothing unless something depends on the old name.
    takes_away: bool,
}

fn removed_tags(plan: &Plan) -> BTreeMap<TagIndex, Removed> {
    let mut removed: BTreeMap<TagIndex, Removed> = BTreeMap::new();
    for remove in plan.changes.iter().flat_map(|change| &change.remove) {
        let entry = removed.entry(remove.tag).or_default();
        entry.devices += 1;
        match plan.cause(remove.cause) {
            Cause::Renamed { .. } => entry.takes_away |= plan.measures.watched.contains(&remove.tag),
            Cause::Unselected { .. } => (entry.is_unselected, entry.takes_away) = (true, true),
            _ => entry.takes_away = true,
        }
    }
    removed
}

/// Tags that no device carries afterwards, in any equivalent spelling.
fn emptied_tags(snapshot: &Snapshot, plan: &Plan, removed: &BTreeMap<TagIndex, Removed>) -> Vec<LastDevices> {
    let case = plan.header.options.tag_case;
    let mut left: HashMap<_, u64> = HashMap::new();
    for tag in removed.keys() {
        let carriers = snapshot.find_tag(plan.tag(*tag)).map_or(0, |tag| snapshot.carrier_rows(tag).len());
        *left.entry(case.key(plan.tag(*tag))).or_default() += carriers as u64;
    }
    if case == TagCase::Insensitive {
        let named: BTreeSet<&str> = removed.keys().map(|tag| &**plan.tag(*tag)).collect();
        for twin in snapshot.tag_ids().filter(|tag| !named.contains(snapshot.tag(*tag))) {
            if let Some(left) = left.get_mut(&case.key(snapshot.tag(twin))) {
                *left += snapshot.carrier_rows(twin).len() as u64;
            }
        }
    }
    let mut is_added = vec![false; plan.tags.len()];
    for add in plan.changes.iter().flat_map(|change| &change.add) {
        is_added[add.tag.0 as usize] = true;
    }
    for (tag, _) in plan.tags.iter().zip(is_added).filter(|(_, is_added)| *is_added) {
        left.entry(case.key(tag)).and_modify(|left| *left += 1);
    }
    let mut losses: HashMap<_, u64> = HashMap::new();
    for (tag, removed) in removed {
        *losses.entry(case.key(plan.tag(*tag))).or_default() += removed.devices;
    }
    let is_emptied = |tag: &TagIndex| {
        let key = case.key(plan.tag(*tag));
        left.get(&key).zip(losses.get(&key)).is_some_and(|(left, lost)| lost >= left)
    };
    let tags = removed.iter().filter(|(tag, removed)| removed.takes_away && is_emptied(tag));
    tags.map(|(tag, _)| {
        let tag = plan.tag(*tag);
        LastDevices { of: LastOf::Tag, name: tag.to_string(), tags: vec![tag.clone()] }
    })
    .collect()
}

/// Rules in force that select no device, and give a tag that is removed because no rule gives it.
fn emptied_rules(
    policy: &Policy,
    selections: &Selections,
    plan: &Plan,
    removed: &BTreeMap<TagIndex, Removed>,
) -> Vec<LastDevices> {
    let case = plan.header.options.tag_case;
    let gives = |rule: &Rule, tag: &str| {
        rule.tags.iter().any(|given| match &given.kind {
            TagExpressionKind::Literal(literal) => case.is_same(literal, tag),
            TagExpressionKind::Template(template) => template.glob.matches(tag),
        })
    };
    let unselected: Vec<&Arc<str>> =
        removed.iter().filter(|(_, removed)| removed.is_unselected).map(|(tag, _)| plan.tag(*tag)).collect();
    let rules = policy.rules.iter().zip(&selections.rules).zip(0u32..);
    let idle = rules.filter(|((rule, selected), index)| {
        rule.is_live(plan.header.now) && selected.is_empty() && !selections.undecided.contains_key(index)
    });
    let emptied = idle.map(|((rule, _), _)| {
        let mut tags: Vec<Arc<str>> =
            unselected.iter().filter(|tag| gives(rule, tag)).map(|tag| Arc::clone(tag)).collect();
        tags.sort();
        LastDevices { of: LastOf::Rule, name: rule.name.clone(), tags }
    });
    emptied.filter(|rule| !rule.tags.is_empty()).collect()
}

#[cfg(test)]
mod tests;
