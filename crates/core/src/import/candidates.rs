//! Conditions that might explain a tag: values, prefixes, name parts and networks. The selection engine finds the devices of
//! each, so a condition counted here selects the same devices in a plan.
//!
//! Judges nothing; that is `fit`.

use std::collections::BTreeMap;

use crate::device::{Field, Kind};
use crate::inventory::{DeviceSet, Snapshot};
use crate::policy::{Test, TextList};
use crate::selection;
use crate::text;

/// Fields whose whole value is compared, the most telling first. Ids and names belong to one device, times and risks change
/// daily, and tags must not explain each other: device groups follow tags, so a rule that reads them would lose a device with its
/// tag and never give it back.
const FIELDS: [Field; 18] = [
    Field::OsPlatform,
    Field::Domain,
    Field::DeviceName,
    Field::VmSubscriptionId,
    Field::OnboardingStatus,
    Field::ManagedBy,
    Field::IsAadJoined,
    Field::Version,
    Field::OsVersion,
    Field::OsBuild,
    Field::OsProcessor,
    Field::OsArchitecture,
    Field::VmCloudProvider,
    Field::LastIpAddress,
    Field::IsExcluded,
    Field::ExclusionReason,
    Field::ManagedByStatus,
    Field::HealthStatus,
];

/// The fewest devices of a condition that says something about a group of devices.
const FEWEST_DEVICES: usize = 3;

/// The most conditions of one field and kind. More of them would be values of single devices.
const MOST_VALUES: usize = 500;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Comparison {
    Equals,
    StartsWith,
    EndsWith,
    Contains,
    Network,
}

/// A condition on one field, and the devices in scope that meet it.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The index of the field in [`FIELDS`].
    pub(super) order: usize,
    pub(super) field: Field,
    pub(super) comparison: Comparison,
    pub(super) value: String,
    pub(super) devices: DeviceSet,
    pub(super) count: usize,
}

/// Every condition that some devices in scope meet and others do not.
pub(super) fn candidates(snapshot: &Snapshot, scope: &DeviceSet) -> Vec<Candidate> {
    let mut proposed: BTreeMap<(usize, Comparison, String), (String, usize)> = BTreeMap::new();
    for (order, field) in FIELDS.into_iter().enumerate() {
        for row in scope.iter() {
            let Some(value) = snapshot.shown(field, row).filter(|value| !value.is_empty()) else { continue };
            for (comparison, text) in proposals(field, &value) {
                let key = (order, comparison, text::fold(&text).into_owned());
                proposed.entry(key).or_insert((text, 0)).1 += 1;
            }
        }
    }
    let mut kept: Vec<(usize, Comparison, String, usize)> = proposed
        .into_iter()
        .filter(|(_, (_, count))| *count >= FEWEST_DEVICES)
        .map(|((order, comparison, _), (text, count))| (order, comparison, text, count))
        .collect();
    kept.sort_by(|left, right| (left.0, left.1, right.3, &left.2).cmp(&(right.0, right.1, left.3, &right.2)));
    let mut seen = (usize::MAX, Comparison::Equals, 0);
    kept.retain(|(order, comparison, ..)| {
        let number = if (seen.0, seen.1) == (*order, *comparison) { seen.2 + 1 } else { 0 };
        seen = (*order, *comparison, number);
        number < MOST_VALUES
    });
    let tests: Vec<(Field, Test)> = kept
        .iter()
        .map(|(order, comparison, value, _)| (FIELDS[*order], test(FIELDS[*order], *comparison, value)))
        .collect();
    let sets = selection::sets_of(snapshot, &tests);
    let in_scope = scope.count();
    let found = kept.into_iter().zip(sets).map(|((order, comparison, value, _), mut devices)| {
        devices.intersect_with(scope);
        let count = devices.count();
        Candidate { order, field: FIELDS[order], comparison, value, devices, count }
    });
    longest_forms(found.filter(|found| found.count < in_scope).collect())
}

/// Of prefixes, suffixes or parts that select the same devices, keeps only the longest.
fn longest_forms(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|left, right| {
        let key = |one: &Candidate| (one.order, one.comparison, one.count);
        key(left).cmp(&key(right)).then_with(|| right.value.len().cmp(&left.value.len()))
    });
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let same = kept.iter().rev().take_while(|other| {
            (other.order, other.comparison, other.count)
                == (candidate.order, candidate.comparison, candidate.count)
        });
        let is_part = candidate.comparison != Comparison::Equals;
        let is_known = |other: &Candidate| other.devices.count_common(&candidate.devices) == candidate.count;
        if !(is_part && same.into_iter().any(is_known)) {
            kept.push(candidate);
        }
    }
    kept
}

/// The conditions that a value suggests.
fn proposals(field: Field, value: &str) -> Vec<(Comparison, String)> {
    match field {
        Field::DeviceName => name_parts(&value.to_lowercase()),
        Field::Domain => {
            let domain = value.to_lowercase();
            let ends = domain.match_indices('.').map(|(at, _)| domain[at + 1..].to_owned());
            let ends = ends.filter(|end| end.contains('.')).map(|end| (Comparison::EndsWith, end));
            ends.chain([(Comparison::EndsWith, domain.clone()), (Comparison::Equals, domain.clone())])
                .collect()
        }
        Field::LastIpAddress => {
            let Ok(address) = value.parse::<std::net::Ipv4Addr>() else { return Vec::new() };
            let [a, b, c, _] = address.octets();
            vec![
                (Comparison::Network, format!("{a}.{b}.{c}.0/24")),
                (Comparison::Network, format!("{a}.{b}.0.0/16")),
            ]
        }
        Field::OsPlatform => {
            let stem = value.find(|scalar: char| scalar.is_ascii_digit()).filter(|end| *end >= 2);
            let stem = stem.map(|end| (Comparison::StartsWith, value[..end].to_owned()));
            stem.into_iter().chain([(Comparison::Equals, value.to_owned())]).collect()
        }
        _ => vec![(Comparison::Equals, value.to_owned())],
    }
}

/// Prefixes of a name up to each boundary, parts between separators, and the part after the last one: `dc` of `dc01`, `fin-` and
/// `fin-lt-` of `fin-lt-0012`, `-lt-`.
fn name_parts(name: &str) -> Vec<(Comparison, String)> {
    let is_separator = |scalar: char| matches!(scalar, '-' | '_' | ' ');
    let mut parts = Vec::new();
    let scalars: Vec<(usize, char)> = name.char_indices().collect();
    for pair in scalars.windows(2) {
        let ((_, before), (at, after)) = (pair[0], pair[1]);
        let turns = before.is_alphabetic() && after.is_ascii_digit();
        if at >= 2 && (turns || is_separator(before)) && parts.len() < 6 {
            parts.push((Comparison::StartsWith, name[..at].to_owned()));
        }
    }
    let cuts: Vec<usize> =
        scalars.iter().filter(|(_, scalar)| is_separator(*scalar)).map(|(at, _)| *at).collect();
    for pair in cuts.windows(2) {
        let inner = &name[pair[0] + 1..pair[1]];
        if inner.len() >= 2 && inner.chars().any(char::is_alphabetic) {
            parts.push((Comparison::Contains, name[pair[0]..=pair[1]].to_owned()));
        }
    }
    if let Some(last) = cuts.last() {
        let end = &name[last + 1..];
        if end.len() >= 2 && end.chars().all(char::is_alphabetic) {
            parts.push((Comparison::EndsWith, name[*last..].to_owned()));
        }
    }
    parts
}

/// The condition as the engine evaluates it.
fn test(field: Field, comparison: Comparison, value: &str) -> Test {
    let values = || vec![value.to_owned()];
    match (comparison, field.kind()) {
        (Comparison::StartsWith, _) => Test::StartsWith(values()),
        (Comparison::EndsWith, _) => Test::EndsWith(values()),
        (Comparison::Contains, _) => Test::Contains(values()),
        (Comparison::Network, _) => Test::Cidr(value.parse().into_iter().collect()),
        (_, Kind::Integer) => Test::Integer(value.parse().into_iter().collect()),
        (_, Kind::Boolean) => Test::Boolean(value == "true"),
        _ => Test::Text(TextList { values: values().into(), file: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_suggests_its_beginnings_and_parts() {
        let parts: Vec<String> = name_parts("fin-lt-0012").into_iter().map(|(_, text)| text).collect();
        assert_eq!(parts, ["fin-", "fin-lt-", "-lt-"]);
        let parts: Vec<String> = name_parts("dc01").into_iter().map(|(_, text)| text).collect();
        assert_eq!(parts, ["dc"]);
    }
}
