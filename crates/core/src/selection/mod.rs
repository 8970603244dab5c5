//! Selection: the devices that each selector of a policy selects, column by column.
//!
//! Knows selectors and columns; `desired` says what follows from a match.

mod address;
mod compile;
mod evaluate;
mod hits;
mod hunting;
mod join;
mod leaves;
mod matcher;
mod mentions;
mod strangers;
mod superseded;
mod trace;
mod trie;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::device::Field;
use crate::diagnostic::Diagnostic;
use crate::inventory::{DeviceSet, InventoryCounts, Row, Snapshot};
use crate::policy::{self, Hunting, ListFile, LookupCell, Policy, SelectorKind, Test};
use crate::text;
use crate::time::Timestamp;

pub use hunting::{HuntedRows, HuntingResults, Query};
pub use join::Join;
pub(crate) use matcher::TextMatcher;
pub use trace::{Trace, trace};

/// The devices that a policy's selectors select.
#[derive(Clone, Debug)]
pub struct Selections {
    /// Devices that the policy may touch; a device is left out if that is unknown.
    pub scope: DeviceSet,
    /// For each rule of [`Policy::rules`], the devices in scope that it selects; empty if the rule is not in force.
    pub rules: Vec<DeviceSet>,
    /// By rule: devices in scope on which it is undecided, because it reads unknown data. Such devices do not count as selected.
    /// Rules without any are absent.
    pub undecided: BTreeMap<u32, DeviceSet>,
    /// For each of [`Policy::protections`], the devices in scope that it protects or may protect: unknown data protects.
    pub protections: Vec<DeviceSet>,
    /// Devices in scope that go into the first wave of a rollout; `None` if the policy names none.
    pub first: Option<DeviceSet>,
    /// Devices, in scope or not, that are sick by the rollout's `health`; `None` if the policy has no such gate.
    pub ill: Option<DeviceSet>,
    /// Those of them that are certainly sick. Who was sick before a wave is one of these: else a device that nobody could judge
    /// before would never be newly sick.
    pub surely_ill: Option<DeviceSet>,
    /// For each entry of `guard.accept`, the devices in scope that it names; `None` if it names all.
    pub accepted: Vec<Option<DeviceSet>>,
    /// For each of [`Policy::lookups`], the row of each device.
    pub joins: Vec<Join>,
    /// Values of list files, inline values of fields that name devices, and keys of lookups that match no device of the inventory.
    pub unmatched: Vec<Unmatched>,
    /// Named selectors in force that select no device in scope, as indices into [`Policy::selectors`].
    pub idle_selectors: Vec<usize>,
    /// Queries whose result names no device of the tenant: their selection is unknown.
    pub unknown_queries: Vec<Hunting>,
    /// Lists of ids or names of which no value is a device, with the field that they are compared with: what they select is unknown.
    pub unknown_lists: Vec<(Field, ListFile)>,
    /// Warnings about data that leaves something undecided.
    pub findings: Vec<Diagnostic>,
}

/// Values of a data file or of a policy that match no device: reported, never silently dropped.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unmatched {
    /// The list file's path, the lookup's name, or the field of inline values.
    pub source: String,
    /// Whether the source is a lookup (then the values are its keys).
    #[serde(default)]
    pub is_lookup: bool,
    /// Number of values.
    pub count: u64,
    /// The first few.
    #[serde(default)]
    pub sample: Vec<String>,
}

impl Unmatched {
    /// Reports unmatched values in file order; `None` if all matched.
    fn report<'a>(
        source: &str,
        is_lookup: bool,
        missing: impl Iterator<Item = &'a str>,
    ) -> Option<Unmatched> {
        let mut found = Unmatched { source: source.to_owned(), is_lookup, count: 0, sample: Vec::new() };
        for value in missing {
            found.count += 1;
            if found.sample.len() < 3 {
                found.sample.push(value.to_owned());
            }
        }
        (found.count > 0).then_some(found)
    }
}

/// The devices of every selector in force. Each distinct condition is evaluated once.
///
/// # Errors
/// Every hunting query without a recorded result, or with an empty one, and every longer lookup or result that matches no device:
/// a failed or a wrong export must not remove tags.
pub fn select(
    policy: &Policy,
    snapshot: &Snapshot,
    hunting: &HuntingResults,
    now: Timestamp,
) -> Result<Selections, Vec<Diagnostic>> {
    let program = compile::compile(policy, now);
    let mut sources = Joined::new(policy, &program, snapshot, hunting)?;
    let strangers =
        strangers::find(policy, &program, snapshot, hunting, &mut sources.joins, &sources.hunted)?;
    sources.unknown_queries = strangers.queries;
    sources.findings.extend(strangers.findings);
    Ok(evaluate::evaluate(policy, &program, snapshot, sources, now, evaluate::ListJudgement::Judged))
}

/// Like [`select`], for devices of a policy test: they are few, and say nothing about whose export a data file is.
///
/// # Errors
/// Every hunting query without a result, or with an empty one.
pub fn select_stated(
    policy: &Policy,
    snapshot: &Snapshot,
    hunting: &HuntingResults,
    now: Timestamp,
) -> Result<Selections, Vec<Diagnostic>> {
    let program = compile::compile(policy, now);
    let sources = Joined::new(policy, &program, snapshot, hunting)?;
    Ok(evaluate::evaluate(policy, &program, snapshot, sources, now, evaluate::ListJudgement::Stated))
}

/// Lookups and hunting results, joined to the devices.
struct Joined {
    joins: Vec<Join>,
    /// The devices in each query's result.
    hunted: Vec<DeviceSet>,
    /// Keys and ids that match no device.
    unmatched: Vec<Unmatched>,
    /// By query of the program: whether its rows match no device.
    unknown_queries: Vec<bool>,
    /// Warnings about rows.
    findings: Vec<Diagnostic>,
}

impl Joined {
    fn new(
        policy: &Policy,
        program: &compile::Program<'_>,
        snapshot: &Snapshot,
        results: &HuntingResults,
    ) -> Result<Joined, Vec<Diagnostic>> {
        let mut faults = hunting::faults(&program.hunting, results);
        let (mut rows, mut findings) = (Vec::with_capacity(policy.lookups.len()), Vec::new());
        for lookup in &policy.lookups {
            match lookup.query().map(|query| hunting::lookup_rows(lookup, query, results)) {
                None => rows.push(lookup.rows.clone()),
                Some(Ok((found, warnings))) => {
                    rows.push(found.into());
                    findings.extend(warnings);
                }
                Some(Err(errors)) => faults.extend(errors),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        findings.extend(hunting::rows_without_id(&program.hunting, results));
        let lookups = policy.lookups.iter().zip(rows);
        let (joins, keys): (Vec<_>, Vec<_>) =
            lookups.map(|(lookup, rows)| join::join(lookup, rows, snapshot)).unzip();
        let hunted =
            program.hunting.iter().map(|(query, _)| hunting::matches(query, &results.ids(query), snapshot));
        let (hunted, ids): (Vec<_>, Vec<_>) = hunted.unzip();
        let unmatched = keys.into_iter().chain(ids).flatten().collect();
        Ok(Joined { joins, hunted, unmatched, unknown_queries: Vec::new(), findings })
    }
}

/// The devices that each test holds for, in one pass per field. For tests that are in no policy; lookup columns are not possible.
pub fn sets_of(snapshot: &Snapshot, tests: &[(Field, Test)]) -> Vec<DeviceSet> {
    let policy = Policy::default();
    let world = leaves::LeafInputs { policy: &policy, snapshot, joins: &[], now: Timestamp::EPOCH };
    let leaves: Vec<compile::Leaf<'_>> =
        tests.iter().map(|(field, test)| compile::Leaf { field: *field, test }).collect();
    leaves::evaluate(&world, &leaves).sets
}

/// The hunting queries of the selectors in force and of all lookups of some sets, each text once.
pub fn queries(policies: &[&Policy], now: Timestamp) -> Vec<Query> {
    let mut queries: Vec<Query> = Vec::new();
    let mut add = |text: &Arc<str>, columns: &[String]| {
        let known = queries.iter().position(|query| query.text.trim() == text.trim());
        let at = known.unwrap_or_else(|| {
            queries.push(Query { text: text.clone(), columns: Vec::new() });
            queries.len() - 1
        });
        let read = &mut queries[at].columns;
        columns.iter().for_each(|column| {
            if !read.contains(column) {
                read.push(column.clone());
            }
        });
    };
    for policy in policies {
        for (query, _) in compile::compile(policy, now).hunting {
            add(&query.query, &[query.column.to_string()]);
        }
        for lookup in &policy.lookups {
            if let Some(query) = lookup.query() {
                add(&query.query, &lookup.columns);
            }
        }
    }
    queries
}

/// A field of a device as text, including lookup columns: the text that templates insert.
///
/// # Errors
/// Why there is none.
pub fn text_of<'a>(
    policy: &'a Policy,
    snapshot: &'a Snapshot,
    selections: &'a Selections,
    field: Field,
    row: Row,
) -> Result<Cow<'a, str>, Absent> {
    let Field::Lookup { lookup, column } = field else {
        return snapshot.text(field, row).filter(|text| !text.is_empty()).ok_or(Absent::Missing);
    };
    let width = policy.lookups[usize::from(lookup)].columns.len();
    let (join, column) = (&selections.joins[usize::from(lookup)], usize::from(column));
    match join.cell(row, column, width) {
        Some(LookupCell::Text(text)) => Ok(Cow::Borrowed(text)),
        Some(LookupCell::Empty) => Err(Absent::EmptyCell),
        Some(LookupCell::Unknown) => Err(Absent::Unknown(join.why_unknown(row, column, width))),
        None => Err(Absent::NoRow),
    }
}

/// Why a device has no text in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absent {
    /// The device does not report it.
    Missing,
    /// The lookup has no row for the device.
    NoRow,
    /// The row's cell in this column is empty.
    EmptyCell,
    /// The lookup's content is unknown.
    Unknown(UnknownCell),
}

/// Why the content of a lookup is unknown for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnknownCell {
    /// Rows with its key differ.
    Conflict,
    /// Its row ends before the column.
    ShortRow,
    /// The lookup has no row for any device of the inventory.
    Unmatched,
}

/// The counts of a run: devices, and the rows of every lookup, list file and hunting result that the policy names.
pub fn count_sources(policy: &Policy, snapshot: &Snapshot, results: &HuntingResults) -> InventoryCounts {
    let mut sources: BTreeMap<String, u64> = BTreeMap::new();
    for lookup in &policy.lookups {
        let keys = match lookup.query().map(|query| hunting::lookup_rows(lookup, query, results)) {
            None => lookup.rows.keys.len(),
            Some(Ok((rows, _))) => rows.keys.len(),
            Some(Err(_)) => continue,
        };
        sources.insert(lookup.name.clone(), keys as u64);
    }
    policy.for_each_selector(&mut |selector| {
        let count = match &selector.kind {
            SelectorKind::Field { test: Test::Text(list), .. } => list.values.len(),
            SelectorKind::Hunting(query) => match results.get(&query.query) {
                Some(_) => results.ids(query).into_iter().map(text::fold).collect::<HashSet<_>>().len(),
                None => return,
            },
            _ => return,
        };
        if let Some(source) = policy::data_source(selector) {
            sources.insert(source, count as u64);
        }
    });
    InventoryCounts { devices: snapshot.len() as u64, sources }
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
