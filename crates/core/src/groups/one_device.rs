//! One device against the groups, condition by condition, for explanations of the reasons and of a tag's effect.
//!
//! Must agree with [`super::Membership`], which evaluates all devices at once.

use crate::device::Field;
use crate::inventory::{Row, Snapshot};
use crate::policy::{DeviceGroup, DeviceGroups, GroupCondition, GroupIndex, Property};
use crate::text;

/// A condition of a group on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionOnDevice {
    /// In the file's words: `tag equals Tier0`.
    pub label: String,
    /// Whether the device meets it.
    pub holds: bool,
}

/// The group that a device would be in with these tags.
pub fn group_of(groups: &DeviceGroups, snapshot: &Snapshot, row: Row, tags: &[&str]) -> GroupIndex {
    if snapshot.text(Field::MergedIntoMachineId, row).is_some() {
        return GroupIndex::Merged;
    }
    let matches = |group: &DeviceGroup| {
        !group.conditions.is_empty()
            && group.conditions.iter().all(|condition| {
                // Conditions on the same property are alternatives.
                let of_property =
                    group.conditions.iter().filter(|other| other.property == condition.property);
                of_property.into_iter().any(|other| holds(groups, other, snapshot, row, tags))
            })
    };
    let rank = groups.groups.iter().position(matches);
    let rank = rank.and_then(|rank| u16::try_from(rank).ok());
    rank.map_or(GroupIndex::Ungrouped, GroupIndex::Group)
}

/// The conditions of a group, evaluated on a device with these tags.
pub fn conditions_on(
    groups: &DeviceGroups,
    group: &DeviceGroup,
    (snapshot, row, tags): (&Snapshot, Row, &[&str]),
) -> Vec<ConditionOnDevice> {
    let stated = group.conditions.iter().map(|condition| ConditionOnDevice {
        label: format!(
            "{} {} {}",
            condition.property.word(),
            condition.operator.word(),
            condition.values.join(" or ")
        ),
        holds: holds(groups, condition, snapshot, row, tags),
    });
    stated.collect()
}

fn holds(
    groups: &DeviceGroups,
    condition: &GroupCondition,
    snapshot: &Snapshot,
    row: Row,
    tags: &[&str],
) -> bool {
    let field = match condition.property {
        Property::Name => Field::ComputerDnsName,
        Property::Domain => Field::Domain,
        Property::Os => Field::OsPlatform,
        Property::Tag => {
            let meets = |tag: &&str| {
                let tag = groups.tag_case.key(tag);
                let mut values = condition.values.iter();
                values.any(|value| condition.operator.holds(&tag, &groups.tag_case.key(value)))
            };
            return tags.iter().any(meets);
        }
    };
    let text = snapshot.text(field, row);
    text.is_some_and(|text| {
        let text = text::fold(&text);
        condition.values.iter().any(|value| condition.operator.holds(&text, &text::fold(value)))
    })
}
