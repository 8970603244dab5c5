//! What the policies cover and what they leave out: every tag with its owners and writers, devices that no rule selects, rules
//! and protections that match no device.
//!
//! Judges nothing: a gap may be intended. `report` decides how it looks.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod tags;

pub use tags::{TagOwner, TagRow, TagStanding, tags};

use crate::diagnostic::{Place, Sources, Span};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::Policy;
use crate::selection::Selections;
use crate::time::{Date, Timestamp};

/// Devices named as a sample.
const SAMPLE: usize = 3;

/// What a policy set covers of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Devices read.
    pub devices: u64,
    /// Of them, devices in scope.
    pub in_scope: u64,
    /// Devices in scope that no rule in force selects.
    pub unselected: DeviceCount,
    /// All of them, by id.
    pub unselected_rows: Vec<Row>,
    /// Live tags that nothing in the set claims, the most frequent first.
    pub unclaimed: Vec<(String, u64)>,
    /// Every rule, in file order.
    pub rules: Vec<RuleCoverage>,
    /// Every protection, in file order, with the devices that it protects.
    pub protections: Vec<ProtectionCoverage>,
}

/// A number of devices and a sample of them, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCount {
    pub count: u64,
    /// The names, or else the ids, of the first three.
    pub sample: Vec<String>,
}

/// A rule and the devices that it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCoverage {
    pub name: String,
    pub place: Place,
    /// Devices in scope that it selects; 0 if it is not in force.
    pub devices: u64,
    /// Whether its dates include the given moment.
    pub is_in_force: bool,
    /// Its first day, if it has one.
    pub from: Option<Date>,
    /// Its last day, if it has one.
    pub until: Option<Date>,
    pub owner: Option<String>,
    /// The ticket that decided it.
    pub ticket: Option<String>,
}

/// A protection and the devices that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectionCoverage {
    pub name: String,
    pub place: Place,
    /// Devices in scope that it protects.
    pub devices: u64,
}

/// The coverage of a policy set.
pub fn coverage(
    policy: &Policy,
    sources: &Sources,
    snapshot: &Snapshot,
    selections: &Selections,
    now: Timestamp,
) -> Coverage {
    let mut unselected = selections.scope.clone();
    for rows in &selections.rules {
        unselected.difference_with(rows);
    }
    let rules = policy.rules.iter().zip(&selections.rules);
    let protections = policy.protections.iter().zip(&selections.protections);
    Coverage {
        devices: snapshot.len() as u64,
        in_scope: selections.scope.count() as u64,
        unselected: count(snapshot, &unselected),
        unselected_rows: by_id(snapshot, &unselected).collect(),
        unclaimed: unclaimed(policy, snapshot),
        rules: rules
            .map(|(rule, rows)| RuleCoverage {
                name: rule.name.clone(),
                place: place(sources, rule.span),
                devices: rows.count() as u64,
                is_in_force: rule.is_live(now),
                from: rule.from,
                until: rule.until,
                owner: rule.owner.clone(),
                ticket: rule.ticket.clone(),
            })
            .collect(),
        protections: protections
            .map(|(protection, rows)| ProtectionCoverage {
                name: protection.name.clone(),
                place: place(sources, protection.span),
                devices: rows.count() as u64,
            })
            .collect(),
    }
}

/// Live tags that no part of the policies claims, the most frequent first, then bytewise.
fn unclaimed(policy: &Policy, snapshot: &Snapshot) -> Vec<(String, u64)> {
    let mut found: Vec<(String, u64)> = snapshot
        .tag_ids()
        .map(|tag| (snapshot.tag(tag).to_owned(), snapshot.carrier_rows(tag).len() as u64))
        .filter(|(tag, carriers)| *carriers > 0 && !policy.claims_tag(tag))
        .collect();
    found.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    found
}

fn count(snapshot: &Snapshot, rows: &DeviceSet) -> DeviceCount {
    let sample = by_id(snapshot, rows).take(SAMPLE);
    DeviceCount {
        count: rows.count() as u64,
        sample: sample.map(|row| snapshot.label(row).to_owned()).collect(),
    }
}

fn by_id<'a>(snapshot: &'a Snapshot, rows: &'a DeviceSet) -> impl Iterator<Item = Row> + 'a {
    snapshot.order_by_id().iter().copied().filter(|row| rows.contains(*row))
}

fn place(sources: &Sources, span: Span) -> Place {
    sources.place(span)
}

#[cfg(test)]
mod tests;
