//! Lookups, hunting results and lists that match no device of the inventory: another tenant's export, or the wrong column.
//!
//! Finds them; `evaluate` handles what depends on them.

use std::sync::Arc;

use super::compile::{Leaf, Program};
use super::hunting::HuntedRows;
use super::leaves::{self, LeafInputs, UnknownList};
use super::mentions::names_devices;
use super::{HuntingResults, Join};
use crate::device::Field;
use crate::diagnostic::Diagnostic;
use crate::inventory::{DeviceSet, Snapshot};
use crate::policy::{Lookup, Policy, Test, TextList};

/// The number of rows from which a source that matches nothing is an error. Fewer rows can match nothing by chance, and are
/// unknown.
const TELLING_ROWS: usize = 5;

/// Sources that match no device.
#[derive(Debug, Default)]
pub(super) struct UnmatchedSources {
    /// By query of the program: whether its rows match no device.
    pub(super) queries: Vec<bool>,
    /// Warnings about those whose content is unknown.
    pub(super) findings: Vec<Diagnostic>,
}

/// Finds them, and marks the joins of lookups whose content is unknown. Without any device there is no verdict.
///
/// # Errors
/// Sources that are too long to match nothing by chance.
pub(super) fn find(
    policy: &Policy,
    program: &Program<'_>,
    snapshot: &Snapshot,
    results: &HuntingResults,
    joins: &mut [Join],
    hunted: &[DeviceSet],
) -> Result<UnmatchedSources, Vec<Diagnostic>> {
    let mut found = UnmatchedSources { queries: vec![false; program.hunting.len()], findings: Vec::new() };
    if snapshot.is_empty() {
        return Ok(found);
    }
    let mut faults = Vec::new();
    for (lookup, join) in policy.lookups.iter().zip(joins) {
        let rows = join.rows.count();
        if rows == 0 || !join.matches_none() {
            continue;
        }
        let message = format!(
            "{} of the lookup `{}` has the `{}` of a device",
            none_of(rows, "row"),
            lookup.name,
            lookup.matches.name()
        );
        if rows >= TELLING_ROWS {
            let finding = Diagnostic::error("E0307", lookup.span, message).label("matches no device");
            faults.push(finding.help(format!(
                "the key column, `match` or the {} is wrong: every tag that depends on it would go",
                noun(lookup)
            )));
            continue;
        }
        join.is_foreign = true;
        let finding = Diagnostic::warning("W0302", lookup.span, message).label("matches no device");
        found.findings.push(
            finding
                .help(format!("its columns are unknown, and nothing is written that depends on them: check the key column, `match` and the {}", noun(lookup))),
        );
    }
    for (index, (query, span)) in program.hunting.iter().enumerate() {
        let rows = results.get(&query.query).map_or(0, HuntedRows::len);
        if rows == 0 || query.is_unlisted_ok || !hunted[index].is_empty() {
            continue;
        }
        let message = format!("{} of this hunting result has the id of a device", none_of(rows, "row"));
        if rows >= TELLING_ROWS {
            let finding = Diagnostic::error("E0703", *span, message).label("matches no device");
            faults.push(finding.help(format!(
                "`{}` must hold device ids of this tenant: every tag that depends on it would go",
                query.column
            )));
            continue;
        }
        found.queries[index] = true;
        let finding = Diagnostic::warning("W0701", *span, message).label("matches no device");
        found.findings.push(finding.help(
            "whether it selects a device is unknown, and nothing is written that depends on it; if its rows need not be devices here, write `unlisted: ok`",
        ));
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Lists from files, of ids or names, of which no value is a device that was read, each once for a field, and warnings about them.
/// With no device read, or none that has the field, there is no verdict.
pub(super) fn lists(
    world: &LeafInputs<'_>,
    leaves: &[Leaf<'_>],
    sets: &[DeviceSet],
) -> (Vec<UnknownList>, Vec<Diagnostic>) {
    let (mut unknown, mut findings): (Vec<UnknownList>, Vec<Diagnostic>) = Default::default();
    let silent = leaves.iter().zip(sets).filter(|(leaf, set)| set.is_empty() && names_devices(leaf.field));
    for (leaf, _) in silent {
        let Test::Text(TextList { values, file: Some(file) }) = leaf.test else { continue };
        let is_told = |known: &UnknownList| known.field == leaf.field && known.list == *file;
        if file.is_unlisted_ok || values.is_empty() || unknown.iter().any(is_told) {
            continue;
        }
        let devices = having(world, leaf.field);
        if devices.is_empty() {
            continue;
        }
        let message = format!(
            "{} of `{}` is the `{}` of a device",
            none_of(values.len(), "value"),
            file.written,
            leaf.field.name()
        );
        let finding = Diagnostic::warning("W0303", file.span, message).label("matches no device");
        findings.push(finding.help(
            "what the list selects is unknown, and nothing is written that depends on it; if its values need not be devices here, write `inFile: { file: …, unlisted: ok }`",
        ));
        unknown.push(UnknownList { field: leaf.field, list: file.clone(), devices: Arc::new(devices) });
    }
    (unknown, findings)
}

/// The devices that have a field.
fn having(world: &LeafInputs<'_>, field: Field) -> DeviceSet {
    let mut found = leaves::evaluate(world, &[Leaf { field, test: &Test::Exists(true) }]).sets;
    found.pop().unwrap_or_else(|| DeviceSet::new(world.snapshot.len()))
}

fn noun(lookup: &Lookup) -> &'static str {
    if lookup.query().is_some() { "query" } else { "file" }
}

fn none_of(count: usize, noun: &str) -> String {
    if count == 1 { format!("not even the one {noun}") } else { format!("none of the {count} {noun}s") }
}
