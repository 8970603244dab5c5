//! Makes a policy set from a tenant's tags, written as a person would write it, whose plan has no changes.
//!
//! Only suggests: a rule gets a selector that fits well enough, with its exceptions listed, or else lists its devices in a shared
//! file. Claims only the requested tags. Writes no file; `cli` does.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod candidates;
mod fit;
mod write;

pub use write::ImportedFile;

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::device::{DeviceValue, Field};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::tag::{self, TagCase, TagPattern};

/// The options of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Tags to import; empty: every tag, and the device values.
    pub tags: Vec<TagPattern>,
    /// Tags to claim, as written and as read; empty: none.
    pub claims: Vec<(String, TagPattern)>,
    /// The precision and the recall that a selector must reach, 0 to 1.
    pub fit: f64,
    /// Names of rules that the folder has already.
    pub taken: BTreeSet<String>,
    /// What the guard pins; `None` writes no guard.
    pub guard: Option<String>,
    /// Where editors find the schema, relative to the policy file.
    pub schema: Option<String>,
}

impl Default for ImportOptions {
    fn default() -> ImportOptions {
        ImportOptions {
            tags: Vec::new(),
            claims: Vec::new(),
            fit: 1.0,
            taken: BTreeSet::new(),
            guard: None,
            schema: None,
        }
    }
}

/// A policy set made from live tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Files to write, policy first.
    pub files: Vec<ImportedFile>,
    /// The rules, for the summary.
    pub rules: Vec<ImportedRule>,
    /// Tags and globs that the policy claims.
    pub claims: Vec<String>,
    /// Live tags that a policy cannot name, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// One imported tag or value.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedRule {
    pub name: String,
    /// The tag or the value that it gives.
    pub gives: RuleOutput,
    pub devices: usize,
    /// The best short selector, as YAML on one line.
    pub selector: Option<String>,
    /// The share of the selected devices that carry it.
    pub precision: f64,
    /// The share of the devices with it that the selector selects.
    pub recall: f64,
    /// Whether the rule uses the selector; otherwise the shared list has its devices.
    pub is_selected: bool,
    /// Selected devices that do not carry it.
    pub without: Vec<Row>,
    /// Devices that carry it and that the selector misses.
    pub besides: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleOutput {
    Tag(String),
    Value(DeviceValue),
}

/// The fewest devices for which a selector is used. A selector for fewer would fit by chance, so they are listed by id.
const FEWEST_FOR_A_SELECTOR: usize = 3;

/// A policy set that leaves this inventory unchanged.
pub fn import(snapshot: &Snapshot, options: &ImportOptions) -> Imported {
    let scope =
        DeviceSet::collect(snapshot.len(), |row| snapshot.text(Field::MergedIntoMachineId, row).is_none());
    let candidates = candidates::candidates(snapshot, &scope);
    let (found, left_out) = carried(snapshot, &scope, options);
    let mut names = options.taken.clone();
    let mut rules = Vec::new();
    let mut listed = Vec::new();
    let fits: Vec<(DeviceSet, Option<fit::SelectorFit>)> = found
        .par_iter()
        .map(|(_, rows)| {
            let wanted = DeviceSet::of(snapshot.len(), rows.iter().copied());
            let fit = fit::best(&candidates, &wanted, options.fit);
            (wanted, fit)
        })
        .collect();
    for ((gives, rows), (wanted, fit)) in found.into_iter().zip(fits) {
        let (precision, recall) = fit.as_ref().map_or((0.0, 0.0), |fit| (fit.precision(), fit.recall()));
        let is_selected =
            rows.len() >= FEWEST_FOR_A_SELECTOR && precision >= options.fit && recall >= options.fit;
        let (mut without, mut besides) = (Vec::new(), Vec::new());
        if let Some(fit) = fit.as_ref().filter(|_| is_selected) {
            without = fit.selected.iter().filter(|row| !wanted.contains(*row)).collect();
            besides = rows.iter().copied().filter(|row| !fit.selected.contains(*row)).collect();
        }
        rules.push(ImportedRule {
            name: rule_name(&gives, &mut names),
            devices: rows.len(),
            selector: fit.as_ref().map(fit::SelectorFit::selector),
            precision,
            recall,
            is_selected,
            without,
            besides,
            gives,
        });
        listed.push(rows);
    }
    let claims = claims(snapshot, &rules, options);
    let files = write::files(snapshot, &rules, &listed, &claims, &left_out, options);
    Imported { files, rules, claims, left_out }
}

/// The requested tags and values of the devices in scope, in order of their text, and the ones that no policy can name.
#[expect(clippy::type_complexity, reason = "two lists that are taken apart at once")]
fn carried(
    snapshot: &Snapshot,
    scope: &DeviceSet,
    options: &ImportOptions,
) -> (Vec<(RuleOutput, Vec<Row>)>, Vec<(String, String)>) {
    let mut left_out = Vec::new();
    let mut found: Vec<(RuleOutput, Vec<Row>)> = Vec::new();
    let is_asked = |tag: &str| {
        options.tags.is_empty()
            || options.tags.iter().any(|pattern| pattern.matches(tag, TagCase::Exact, false))
    };
    for tag in snapshot.tag_ids() {
        let text = snapshot.tag(tag);
        let reason = match tag::check(text) {
            _ if !is_asked(text) => continue,
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
            None => found.push((RuleOutput::Tag(text.to_owned()), rows)),
        }
    }
    for value in [DeviceValue::High, DeviceValue::Low] {
        let rows: Vec<Row> = scope.iter().filter(|row| snapshot.value(*row) == Some(value.word())).collect();
        if !rows.is_empty() && options.tags.is_empty() {
            found.push((RuleOutput::Value(value), rows));
        }
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    left_out.sort();
    (found, left_out)
}

/// The claims of the policy: a requested glob if every live tag that it matches has a rule, otherwise the rules' tags by name, so
/// that a claim removes nothing.
fn claims(snapshot: &Snapshot, rules: &[ImportedRule], options: &ImportOptions) -> Vec<String> {
    let tags: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| match &rule.gives {
            RuleOutput::Tag(tag) => Some(tag.as_str()),
            RuleOutput::Value(_) => None,
        })
        .collect();
    let mut claims = BTreeSet::new();
    for (written, pattern) in &options.claims {
        let live = snapshot.tag_ids().map(|tag| snapshot.tag(tag));
        let mut matched = live.filter(|tag| pattern.matches(tag, TagCase::Exact, false)).peekable();
        if matched.peek().is_some() && matched.all(|tag| tags.contains(tag)) {
            claims.insert(written.clone());
        } else {
            let named = tags.iter().filter(|tag| pattern.matches(tag, TagCase::Exact, false));
            claims.extend(named.map(|tag| crate::pattern::escape(tag)));
        }
    }
    claims.into_iter().collect()
}

/// A rule's name from its tag: the slug, numbered if another tag has the same.
fn rule_name(gives: &RuleOutput, taken: &mut BTreeSet<String>) -> String {
    let slug = match gives {
        RuleOutput::Tag(tag) => crate::text::slug(tag),
        RuleOutput::Value(value) => format!("value-{}", value.word().to_lowercase()),
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
