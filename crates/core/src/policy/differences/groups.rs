//! What differs between two files of device groups: group by group and key by key, whatever their form and layout.
//!
//! Says nothing of a file that cannot be read as device groups: then its lines are compared.

use std::collections::{HashMap, HashSet};

use super::between::{PathComparison, written};
use super::{Area, Difference, DifferenceKind, ShownIn, listed};
use crate::diagnostic::{SourceId, Span};
use crate::policy::node::{MappingEntry, Node, NodeKind};
use crate::policy::{DeviceGroup, DeviceGroups, GroupIndex, Property, Remediation, read_device_groups};
use crate::tag::TagCase;
use crate::text;

/// The differences between the groups of two files; a file that is not there has none. Nothing where one cannot be understood.
pub(super) fn differences(
    area: Area,
    path: &str,
    (was, is): (Option<&[u8]>, Option<&[u8]>),
) -> Option<Vec<Difference>> {
    let read = |bytes: Option<&[u8]>| match bytes {
        None => Some(DeviceGroups::default()),
        Some(bytes) => read_device_groups(std::str::from_utf8(bytes).ok()?, TagCase::Exact).ok(),
    };
    let (before, after) = (read(was)?, read(is)?);
    let moved = moved(&before, &after);
    let (before, after) = (nodes(&before, &moved), nodes(&after, &moved));
    let (mut found, mut gone) = (Vec::new(), Vec::new());
    let mut others: HashMap<&str, &Node> = after.iter().map(|(name, node)| (&**name, node)).collect();
    for (name, old) in &before {
        match others.remove(&**name) {
            Some(new) => {
                let mut comparison = PathComparison { area, found: &mut found };
                comparison.values(&format!("{path}: group[{name}]"), old, new);
            }
            None => gone.push(written(old)),
        }
    }
    let new = after.iter().filter(|(name, _)| others.contains_key(&**name));
    let new: Vec<String> = new.map(|(_, node)| written(node)).collect();
    listed((area, DifferenceKind::TakenOut), path, "device group", &gone, &mut found);
    listed((area, DifferenceKind::New), path, "device group", &new, &mut found);
    if found.is_empty() && was.is_some() && is.is_some() && was != is {
        let how = format!("{path} is written in another way, and its groups are the same");
        found.push(Difference::shown(area, DifferenceKind::Changed, &how, ShownIn::All));
    }
    Some(found)
}

/// Groups of both files whose order changed, by their folded names: as few as explain it.
fn moved(before: &DeviceGroups, after: &DeviceGroups) -> HashSet<String> {
    let key = |group: &DeviceGroup| text::fold(&group.name).into_owned();
    let places: HashMap<String, usize> = before.groups.iter().map(key).zip(0..).collect();
    let common: Vec<(String, usize)> = after
        .groups
        .iter()
        .map(key)
        .filter_map(|name| places.get(&name).map(|place| (name, *place)))
        .collect();
    // The longest run of groups that kept their order: `ends[n]` is the one that ends the best run of n + 1 groups.
    let (mut ends, mut previous): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (at, (_, place)) in common.iter().enumerate() {
        let length = ends.partition_point(|end| common[*end].1 < *place);
        previous.push(length.checked_sub(1).map(|before| ends[before]));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut is_kept = vec![false; common.len()];
    let mut last = ends.last().copied();
    while let Some(at) = last {
        is_kept[at] = true;
        last = previous[at];
    }
    common.into_iter().zip(is_kept).filter(|(_, is_kept)| !is_kept).map(|((name, _), _)| name).collect()
}

/// The groups by name, the ungrouped devices last. A rank is a key of groups that moved only: one more group moves no other.
fn nodes(groups: &DeviceGroups, moved: &HashSet<String>) -> Vec<(String, Node)> {
    let of_group = |(group, rank): (&DeviceGroup, usize)| {
        let mut entries = head(&group.name, group.remediation, &group.access);
        if moved.contains(&*text::fold(&group.name)) {
            entries.push(entry("rank", node(NodeKind::Number(rank.to_string()))));
        }
        entries.extend(Property::ALL.iter().filter_map(|property| conditions(group, *property)));
        entries.extend(group.unpredictable.as_ref().map(|why| entry("unpredictable", words(why))));
        (group.name.clone(), node(NodeKind::Map(entries)))
    };
    let mut nodes: Vec<(String, Node)> = groups.groups.iter().zip(1..).map(of_group).collect();
    if groups.ungrouped.name.is_some() {
        let name = groups.name(GroupIndex::Ungrouped);
        let head = head(name, groups.ungrouped.remediation, &groups.ungrouped.access);
        nodes.push((name.to_owned(), node(NodeKind::Map(head))));
    }
    nodes
}

fn head(name: &str, remediation: Option<Remediation>, access: &[String]) -> Vec<MappingEntry> {
    let access = match access {
        [] => vec![words("everyone")],
        named => named.iter().map(|name| words(name)).collect(),
    };
    vec![
        entry("name", words(name)),
        entry("remediation", words(remediation.map_or("not stated", Remediation::word))),
        entry("access", node(NodeKind::List(access))),
    ]
}

fn conditions(group: &DeviceGroup, property: Property) -> Option<MappingEntry> {
    let of_property = group.conditions.iter().filter(|condition| condition.property == property);
    let each = of_property.flat_map(|condition| {
        condition.values.iter().map(|value| words(&format!("{} {value}", condition.operator.word())))
    });
    let each: Vec<Node> = each.collect();
    (!each.is_empty()).then(|| entry(property.word(), node(NodeKind::List(each))))
}

fn entry(key: &str, value: Node) -> MappingEntry {
    MappingEntry { key: key.to_owned(), key_span: value.span, value }
}

fn words(text: &str) -> Node {
    node(NodeKind::Text(text.to_owned()))
}

fn node(kind: NodeKind) -> Node {
    Node { kind, span: Span { source: SourceId(0), start: 0, end: 0 } }
}
