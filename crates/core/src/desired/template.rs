//! Renders the templates of rules: one tag per device, or the reason why there is none.
//!
//! Does not decide which tags a missing value protects; that is for the plan.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::groups::TagsByRule;
use super::{Gap, GapReason, Unresolved, UnresolvedDevice};
use crate::device::Field;
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::{Filter, Policy, TagExpressionKind, Template, TemplatePart, ValueMap};
use crate::selection::{Absent, Selections, UnknownCell, text_of};
use crate::tag;
use crate::text;
use crate::time::Timestamp;

pub(super) struct Rendered {
    /// For each template that yields tags: the rule, and the devices of each tag, ascending.
    pub(super) yields: TagsByRule,
    pub(super) gaps: Vec<Gap>,
    pub(super) unresolved: Vec<Unresolved>,
}

/// The most unusable values that a sample shows.
const SAMPLE: usize = 3;

/// The text of a field, or why there is none.
type Value = Result<String, Absent>;

/// The tag that a template renders from the values of one device.
enum TemplateResult {
    /// Index into the tags found so far.
    Tag(usize),
    None(Rc<TemplateFailure>),
}

/// Why a template yields no tag.
#[derive(Debug)]
pub(crate) struct TemplateFailure {
    /// By name; if the result is unusable, all placeholders of the template, separated by commas.
    pub(crate) placeholder: String,
    pub(crate) reason: GapReason,
    /// The unusable value, if there was one.
    pub(crate) value: Option<String>,
    /// The field of the placeholder; `None` if the whole result is unusable.
    pub(crate) field: Option<Field>,
    /// The map without an entry for the value: an index into [`Policy::maps`].
    pub(crate) map: Option<usize>,
}

/// Renders every template of every rule in force, on every device that the rule selects. Each distinct combination of values is
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
            // An undecided rule may give its tag, so it is listed; its devices do not count as unresolved.
            let mut selected = Cow::Borrowed(&selections.rules[index]);
            let mut uncounted = Cow::Borrowed(protected);
            if let Some(undecided) = selections.undecided.get(&(index as u32)) {
                selected.to_mut().union_with(undecided);
                uncounted.to_mut().union_with(undecided);
            }
            let value =
                |field, row| text_of(policy, snapshot, selections, field, row).map(|text| text.into_owned());
            let place = (index as u32, template);
            let without =
                render_template(place, &selected, &uncounted, policy, &value, snapshot.len(), &mut rendered);
            rendered.unresolved.extend(unresolved(place, without, snapshot));
        }
    }
    rendered
}

/// Returns the counted devices without a tag, and why they have none.
fn render_template(
    (rule, template): (u32, &Template),
    selected: &DeviceSet,
    uncounted: &DeviceSet,
    policy: &Policy,
    value: &dyn Fn(Field, Row) -> Value,
    length: usize,
    rendered: &mut Rendered,
) -> Vec<(Row, Rc<TemplateFailure>)> {
    let fields: Vec<Field> = placeholders(template).map(|placeholder| placeholder.field).collect();
    let mut tags: Vec<(Arc<str>, Vec<Row>)> = Vec::new();
    let mut numbers: HashMap<Arc<str>, usize> = HashMap::new();
    let mut known: HashMap<Vec<Value>, TemplateResult> = HashMap::new();
    let mut open_rows = Vec::new();
    let mut unknown: Vec<Row> = Vec::new();
    let mut without = Vec::new();
    for row in selected.iter() {
        let values: Vec<Value> = fields.iter().map(|field| value(*field, row)).collect();
        let outcome = match known.get(&values) {
            Some(outcome) => outcome,
            None => {
                let outcome = match tag_of(template, &values, policy) {
                    Err(lack) => TemplateResult::None(Rc::new(lack)),
                    Ok(tag) => {
                        TemplateResult::Tag(*numbers.entry(Arc::from(tag)).or_insert_with_key(|tag| {
                            tags.push((tag.clone(), Vec::new()));
                            tags.len() - 1
                        }))
                    }
                };
                known.entry(values).or_insert(outcome)
            }
        };
        match outcome {
            TemplateResult::Tag(number) => tags[*number].1.push(row),
            TemplateResult::None(lack) => {
                open_rows.push(row);
                if lack.reason.is_unknown() {
                    unknown.push(row);
                }
                if !uncounted.contains(row) {
                    without.push((row, Rc::clone(lack)));
                }
            }
        }
    }
    if !open_rows.is_empty() {
        let unknown = (!unknown.is_empty()).then(|| DeviceSet::of(length, unknown));
        rendered.gaps.push(Gap { rule, glob: template.glob.clone(), rows: open_rows, unknown });
    }
    rendered.yields.push((rule, tags));
    without
}

/// The tag that a template yields on a device, or why it yields none.
pub(crate) fn tag_on(
    policy: &Policy,
    snapshot: &Snapshot,
    selections: &Selections,
    template: &Template,
    row: Row,
) -> Result<String, TemplateFailure> {
    let value = |field| text_of(policy, snapshot, selections, field, row).map(|text| text.into_owned());
    let values: Vec<Value> = placeholders(template).map(|placeholder| value(placeholder.field)).collect();
    tag_of(template, &values, policy)
}

/// The tag of a template for the values of its placeholders, or why there is none.
fn tag_of(template: &Template, values: &[Value], policy: &Policy) -> Result<String, TemplateFailure> {
    let tag = fill(template, values, &policy.maps)?;
    if tag::check(&tag).is_ok() && (!tag::is_reserved(&tag) || policy.guard.allows_reserved()) {
        return Ok(tag);
    }
    let names: Vec<&str> = placeholders(template).map(|one| one.name).collect();
    let placeholder = names.join(", ");
    Err(TemplateFailure {
        placeholder,
        reason: GapReason::Unusable,
        value: Some(tag),
        field: None,
        map: None,
    })
}

/// Counts and lists devices without a tag, by placeholder.
fn unresolved(
    (rule, template): (u32, &Template),
    without: Vec<(Row, Rc<TemplateFailure>)>,
    snapshot: &Snapshot,
) -> Vec<Unresolved> {
    let mut report: Vec<Unresolved> = Vec::new();
    for (row, lack) in without {
        let known = report.iter().position(|entry| entry.placeholder == lack.placeholder);
        let at = known.unwrap_or_else(|| {
            report.push(Unresolved {
                rule,
                template: template.source.clone(),
                placeholder: lack.placeholder.clone(),
                reasons: BTreeMap::new(),
                sample: Vec::new(),
                devices: Vec::new(),
            });
            report.len() - 1
        });
        let entry = &mut report[at];
        *entry.reasons.entry(lack.reason).or_default() += 1;
        let (id, name) = (snapshot.id(row).into(), snapshot.name(row).map(Arc::from));
        entry.devices.push(UnresolvedDevice { id, name, reason: lack.reason });
        if let Some(value) = &lack.value
            && entry.sample.len() < SAMPLE
            && !entry.sample.contains(value)
        {
            entry.sample.push(value.clone());
        }
    }
    report
}

/// A placeholder of a template.
struct Placeholder<'t> {
    field: Field,
    filters: &'t [Filter],
    name: &'t str,
}

fn placeholders(template: &Template) -> impl Iterator<Item = Placeholder<'_>> {
    template.parts.iter().filter_map(|part| match part {
        TemplatePart::Placeholder { field, filters, name } => {
            Some(Placeholder { field: *field, filters, name })
        }
        TemplatePart::Literal(_) => None,
    })
}

/// The text of a template for the values of its placeholders, composed (NFC). An error if a value is missing or becomes empty.
fn fill(template: &Template, values: &[Value], maps: &[ValueMap]) -> Result<String, TemplateFailure> {
    let mut values = placeholders(template).zip(values);
    let mut filled = String::new();
    for part in &template.parts {
        match part {
            TemplatePart::Literal(literal) => filled.push_str(literal),
            TemplatePart::Placeholder { .. } => {
                let (placeholder, value) = values.next().expect("a placeholder has a value, missing or not");
                filled.push_str(&filtered(&placeholder, value, maps)?);
            }
        }
    }
    Ok(text::compose(&filled).into_owned())
}

/// A value after its filters, or why nothing is left of it.
fn filtered(
    placeholder: &Placeholder<'_>,
    value: &Value,
    maps: &[ValueMap],
) -> Result<String, TemplateFailure> {
    let lack = |reason, value| TemplateFailure {
        placeholder: placeholder.name.to_owned(),
        reason,
        value,
        field: Some(placeholder.field),
        map: None,
    };
    let mut value = value.clone().map_err(|absent| lack(reason(absent), None));
    for filter in placeholder.filters {
        value = match (filter, value) {
            // An unknown value may be any value, so no default replaces it.
            (Filter::Default(text), Err(gap)) if !gap.reason.is_unknown() => Ok(text.to_string()),
            (Filter::Default(_), some) | (_, some @ Err(_)) => some,
            (Filter::Lower, Ok(text)) => Ok(text.to_lowercase()),
            (Filter::Upper, Ok(text)) => Ok(text.to_uppercase()),
            (Filter::Slug, Ok(text)) => match text::slug(&text) {
                slug if slug.is_empty() => Err(lack(GapReason::EmptySlug, Some(text))),
                slug => Ok(slug),
            },
            (Filter::Map(map), Ok(text)) => match maps.get(*map).and_then(|map| map.get(&text)) {
                Some(other) => Ok(other.to_owned()),
                None => Err(TemplateFailure { map: Some(*map), ..lack(GapReason::NotInMap, Some(text)) }),
            },
        };
    }
    value
}

/// The reason for a field without text.
pub(super) fn reason(absent: Absent) -> GapReason {
    match absent {
        Absent::Missing => GapReason::Missing,
        Absent::NoRow => GapReason::NoRow,
        Absent::EmptyCell => GapReason::EmptyCell,
        Absent::Unknown(UnknownCell::Conflict) => GapReason::Conflict,
        Absent::Unknown(UnknownCell::ShortRow) => GapReason::ShortRow,
        Absent::Unknown(UnknownCell::Unmatched) => GapReason::Unmatched,
    }
}
