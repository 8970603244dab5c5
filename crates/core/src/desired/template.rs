//! Renders the templates of rules: one tag a device, or the reason why there is none.
//!
//! Does not decide what a missing value protects; that is for the plan.

use std::collections::HashMap;
use std::sync::Arc;

use super::groups::TagsByRule;
use super::{Gap, Unresolved};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::{Filter, Policy, TagExpressionKind, Template, TemplatePart, ValueMap};
use crate::selection::{Selections, text_of};
use crate::tag;
use crate::text;
use crate::time::Timestamp;

/// Everything that templates gave.
pub(super) struct Rendered {
    /// For each template that yields tags: the rule, and for each tag the devices, ascending.
    pub(super) yields: TagsByRule,
    pub(super) gaps: Vec<Gap>,
    pub(super) unresolved: Vec<Unresolved>,
}

/// What a template makes of the values of one device.
#[derive(Clone, Copy)]
enum TemplateResult {
    /// Index into the tags found so far.
    Tag(usize),
    /// A placeholder is missing or empties.
    Missing,
    /// The result is no tag.
    Unusable,
}

/// Renders every template of every live rule, on every device that the rule selects. Each distinct combination of values is
/// rendered once.
pub(super) fn render(
    policy: &Policy,
    snapshot: &Snapshot,
    selections: &Selections,
    now: Timestamp,
    protected: &DeviceSet,
) -> Rendered {
    let mut rendered = Rendered { yields: Vec::new(), gaps: Vec::new(), unresolved: Vec::new() };
    for (index, rule) in policy.rules.iter().enumerate().filter(|(_, rule)| rule.is_live(now)) {
        for expression in &rule.tags {
            let TagExpressionKind::Template(template) = &expression.kind else { continue };
            let selected = &selections.rules[index];
            let value =
                |field, row| text_of(policy, snapshot, selections, field, row).map(|text| text.into_owned());
            one(template, index as u32, selected, protected, policy, &value, &mut rendered);
        }
    }
    rendered
}

fn one(
    template: &Template,
    rule: u32,
    selected: &DeviceSet,
    protected: &DeviceSet,
    policy: &Policy,
    value: &dyn Fn(crate::device::Field, Row) -> Option<String>,
    rendered: &mut Rendered,
) {
    let allow_reserved = policy.guard.allows_reserved();
    let fields: Vec<_> = template
        .parts
        .iter()
        .filter_map(|part| match part {
            TemplatePart::Placeholder { field, .. } => Some(*field),
            TemplatePart::Literal(_) => None,
        })
        .collect();
    let mut tags: Vec<(Arc<str>, Vec<Row>)> = Vec::new();
    let mut numbers: HashMap<Arc<str>, usize> = HashMap::new();
    let mut known: HashMap<Vec<Option<String>>, TemplateResult> = HashMap::new();
    let mut open_rows = Vec::new();
    let mut report = Unresolved {
        rule,
        template: template.source.clone(),
        missing: 0,
        placeholders: Vec::new(),
        unusable: 0,
        sample: Vec::new(),
    };
    for row in selected.iter() {
        let values: Vec<Option<String>> = fields.iter().map(|field| value(*field, row)).collect();
        let is_counted = !protected.contains(row);
        let outcome = match known.get(&values) {
            Some(outcome) => *outcome,
            None => {
                let outcome = match fill(template, &values, &policy.maps) {
                    None => TemplateResult::Missing,
                    Some(tag) if tag::check(&tag).is_err() || (tag::is_reserved(&tag) && !allow_reserved) => {
                        if is_counted && report.sample.len() < 3 && !report.sample.contains(&tag) {
                            report.sample.push(tag);
                        }
                        TemplateResult::Unusable
                    }
                    Some(tag) => {
                        TemplateResult::Tag(*numbers.entry(Arc::from(tag)).or_insert_with_key(|tag| {
                            tags.push((tag.clone(), Vec::new()));
                            tags.len() - 1
                        }))
                    }
                };
                known.insert(values.clone(), outcome);
                outcome
            }
        };
        match outcome {
            TemplateResult::Tag(number) => tags[number].1.push(row),
            TemplateResult::Unusable => {
                open_rows.push(row);
                report.unusable += u64::from(is_counted);
            }
            TemplateResult::Missing => {
                open_rows.push(row);
                if is_counted {
                    report.missing += 1;
                    name_missing(template, &values, &policy.maps, &mut report.placeholders);
                }
            }
        }
    }
    if !open_rows.is_empty() {
        rendered.gaps.push(Gap { rule, glob: template.glob.clone(), rows: open_rows });
    }
    if report.missing + report.unusable > 0 {
        rendered.unresolved.push(report);
    }
    rendered.yields.push((rule, tags));
}

/// The text of a template for the values of its placeholders; nothing where one is missing or empties.
fn fill(template: &Template, values: &[Option<String>], maps: &[ValueMap]) -> Option<String> {
    let mut values = values.iter();
    let mut filled = String::new();
    for part in &template.parts {
        match part {
            TemplatePart::Literal(literal) => filled.push_str(literal),
            TemplatePart::Placeholder { filters, .. } => {
                filled.push_str(&filtered(values.next()?.as_deref(), filters, maps)?);
            }
        }
    }
    Some(filled)
}

/// A value through its filters; nothing where it is missing or nothing is left.
fn filtered(value: Option<&str>, filters: &[Filter], maps: &[ValueMap]) -> Option<String> {
    let mut value = value.map(str::to_owned);
    for filter in filters {
        value = match (filter, value.filter(|text| !text.is_empty())) {
            (Filter::Default(text), None) => Some(text.to_string()),
            (_, None) => None,
            (Filter::Default(_), some) => some,
            (Filter::Lower, Some(text)) => Some(text.to_lowercase()),
            (Filter::Upper, Some(text)) => Some(text.to_uppercase()),
            (Filter::Slug, Some(text)) => Some(text::slug(&text)),
            (Filter::Map(map), Some(text)) => maps.get(*map)?.get(&text).map(str::to_owned),
        };
    }
    value.filter(|text| !text.is_empty())
}

/// Adds the names of the placeholders that are missing for these values.
fn name_missing(template: &Template, values: &[Option<String>], maps: &[ValueMap], names: &mut Vec<String>) {
    let mut values = values.iter();
    for part in &template.parts {
        let TemplatePart::Placeholder { filters, name, .. } = part else { continue };
        let value = values.next().and_then(Option::as_deref);
        if filtered(value, filters, maps).is_none() && !names.contains(name) {
            names.push(name.clone());
        }
    }
}
