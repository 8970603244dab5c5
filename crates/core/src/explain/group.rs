//! The device group of a device, why it is in it, and which tags would move it.

use serde::Serialize;

use crate::desired::Desired;
use crate::device::Field;
use crate::groups::{conditions_on, group_of};
use crate::inventory::{Row, Snapshot};
use crate::plan::Plan;
use crate::policy::{DeviceGroups, GroupIndex, Property};

/// The group of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupExplained {
    /// As the service reports it; absent if it reports none.
    pub reported: Option<String>,
    /// The file's prediction from the live tags.
    pub predicted: String,
    /// The prediction after the plan.
    pub after: String,
    /// The conditions of the device's groups before and after the plan, evaluated with the live tags.
    pub conditions: Vec<GroupConditions>,
    /// Tags that alone would move the device, if it gained or lost them.
    pub tags: Vec<TagEffect>,
}

/// A group's conditions on the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupConditions {
    /// The group of the conditions.
    pub group: String,
    /// Each condition, and whether the device meets it.
    pub conditions: Vec<(String, bool)>,
    /// Why the group's members cannot be predicted: the condition that mdetag does not understand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpredictable: Option<String>,
}

/// The effect of one tag on the device's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TagEffect {
    /// The tag that the device would gain or lose.
    pub tag: String,
    /// Whether the device carries it: then `to` is the group without it, else the one with it.
    pub is_live: bool,
    /// The group that the device would be in.
    pub to: String,
}

/// The tags of a device after a plan.
pub fn tags_after<'a>(snapshot: &'a Snapshot, plan: &'a Plan, row: Row) -> Vec<&'a str> {
    let mut tags: Vec<&str> = snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag)).collect();
    let id = snapshot.id(row);
    if let Ok(place) = plan.changes.binary_search_by(|change| (*change.id).cmp(id)) {
        let change = &plan.changes[place];
        tags.retain(|tag| change.remove.iter().all(|removal| &**plan.tag(removal.tag) != *tag));
        tags.extend(change.add.iter().map(|addition| &**plan.tag(addition.tag)));
    }
    tags
}

/// The group of a device, if the policy has a file of groups. `tags`: the one of the question, or all that matter.
pub(super) fn explained(
    desired: &Desired<'_>,
    plan: &Plan,
    row: Row,
    asked: Option<&str>,
) -> Option<GroupExplained> {
    let (groups, _) = desired.policy.device_groups.as_ref()?;
    let snapshot = desired.snapshot;
    let live: Vec<&str> = snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag)).collect();
    let now = group_of(groups, snapshot, row, &live);
    let after = group_of(groups, snapshot, row, &tags_after(snapshot, plan, row));
    let mut shown = vec![now, after];
    let mut tags = Vec::new();
    for tag in asked.map_or_else(|| named(groups, &live), |tag| vec![tag.to_owned()]) {
        let is_live = live.contains(&&*tag);
        let edited: Vec<&str> = if is_live {
            live.iter().copied().filter(|own| *own != tag).collect()
        } else {
            live.iter().copied().chain([&*tag]).collect()
        };
        let to = group_of(groups, snapshot, row, &edited);
        if to != now {
            shown.push(to);
            tags.push(TagEffect { tag: tag.clone(), is_live, to: groups.name(to).to_owned() });
        }
    }
    shown.sort();
    shown.dedup();
    let conditions = shown.into_iter().filter_map(|index| {
        let GroupIndex::Group(rank) = index else { return None };
        let group = &groups.groups[usize::from(rank)];
        let stated = conditions_on(groups, group, (snapshot, row, &live)).into_iter();
        let conditions = stated.map(|condition| (condition.label, condition.holds)).collect();
        let unpredictable = group.unpredictable.clone();
        Some(GroupConditions { group: group.name.clone(), conditions, unpredictable })
    });
    Some(GroupExplained {
        reported: snapshot.text(Field::RbacGroupName, row).map(|name| name.into_owned()),
        predicted: groups.name(now).to_owned(),
        after: groups.name(after).to_owned(),
        conditions: conditions.collect(),
        tags,
    })
}

/// The device's tags, and those that conditions name literally.
fn named(groups: &DeviceGroups, live: &[&str]) -> Vec<String> {
    let conditions = groups.groups.iter().flat_map(|group| &group.conditions);
    let on_tags = conditions.filter(|condition| condition.property == Property::Tag);
    let values = on_tags.flat_map(|condition| condition.values.iter().cloned());
    let mut named: Vec<String> = live.iter().map(|tag| (*tag).to_owned()).chain(values).collect();
    named.sort();
    named.dedup();
    named
}
