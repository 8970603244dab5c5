//! Takes over a tenant as it is: a policy set, written as a person would write it, that plans to zero changes.
//!
//! Only suggests: a rule gets a selector where that selects exactly the devices that carry the tag, and a list of ids with
//! the nearest selector in a comment where none does. Writes no file; `cli` does.

mod candidates;
mod write;

pub use write::ImportedFile;

use std::collections::BTreeSet;

use crate::device::DeviceValue;
use crate::device::Field;
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::tag;

use candidates::{Candidates, Fit};

/// A policy set made from live tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Files to write, policy first, then lists of ids.
    pub files: Vec<ImportedFile>,
    /// What each rule is about, for the summary.
    pub rules: Vec<ImportedRule>,
    /// Live tags that a policy cannot name, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// One imported tag or value.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedRule {
    /// Its rule's name.
    pub name: String,
    /// The tag or the value that it gives.
    pub gives: Gives,
    /// Devices that carry it.
    pub devices: usize,
    /// The best small selector that was found, as YAML on one line.
    pub selector: Option<String>,
    /// Share of the devices that the selector selects which carry it.
    pub precision: f64,
    /// Share of the devices that carry it which the selector selects.
    pub recall: f64,
    /// Whether the rule uses the selector (it is exact) or a list of ids.
    pub is_exact: bool,
}

/// What a rule gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gives {
    /// A tag.
    Tag(String),
    /// A device value.
    Value(DeviceValue),
}

/// Fewer devices than this are listed by id even when some selector happens to fit: it would fit by chance.
const FEWEST_FOR_A_SELECTOR: usize = 3;

/// A policy set that leaves this inventory as it is. `tenant_id` becomes the guard's pin.
pub fn import(snapshot: &Snapshot, tenant_id: Option<&str>) -> Imported {
    let scope =
        DeviceSet::collect(snapshot.len(), |row| snapshot.text(Field::MergedIntoMachineId, row).is_none());
    let candidates = Candidates::new(snapshot, &scope);
    let mut names = BTreeSet::new();
    let mut left_out = Vec::new();
    let mut found: Vec<(Gives, Vec<Row>)> = Vec::new();
    for tag in snapshot.tag_ids() {
        let text = snapshot.tag(tag);
        let reason = match tag::check(text) {
            Err(fault) => Some(fault.to_string()),
            Ok(()) if tag::is_reserved(text) => {
                Some("it is reserved; `guard.allowReserved` would allow it".to_owned())
            }
            Ok(()) => None,
        };
        let rows: Vec<Row> =
            snapshot.carrier_rows(tag).iter().copied().filter(|row| scope.contains(*row)).collect();
        match reason {
            Some(reason) => left_out.push((text.to_owned(), reason)),
            None if rows.is_empty() => {}
            None => found.push((Gives::Tag(text.to_owned()), rows)),
        }
    }
    for value in [DeviceValue::High, DeviceValue::Low] {
        let rows: Vec<Row> = scope.iter().filter(|row| snapshot.value(*row) == Some(value.word())).collect();
        if !rows.is_empty() {
            found.push((Gives::Value(value), rows));
        }
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    left_out.sort();
    let mut rules = Vec::new();
    let mut rows_of = Vec::new();
    for (gives, rows) in found {
        let fit = candidates.best(&rows);
        let is_exact = rows.len() >= FEWEST_FOR_A_SELECTOR && fit.as_ref().is_some_and(Fit::is_exact);
        rules.push(ImportedRule {
            name: rule_name(&gives, &mut names),
            devices: rows.len(),
            selector: fit.as_ref().map(|fit| fit.selector.clone()),
            precision: fit.as_ref().map_or(0.0, Fit::precision),
            recall: fit.as_ref().map_or(0.0, Fit::recall),
            is_exact,
            gives,
        });
        rows_of.push(rows);
    }
    let files = write::files(snapshot, &rules, &rows_of, &left_out, tenant_id);
    Imported { files, rules, left_out }
}

/// A rule name from a tag: its slug, numbered where two tags have the same.
fn rule_name(gives: &Gives, taken: &mut BTreeSet<String>) -> String {
    let slug = match gives {
        Gives::Tag(tag) => crate::text::slug(tag),
        Gives::Value(value) => format!("value-{}", value.word().to_lowercase()),
    };
    let stem: String = if slug.is_empty() { "tag".to_owned() } else { slug.chars().take(70).collect() };
    let mut name = stem.clone();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{stem}-{number}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests;
