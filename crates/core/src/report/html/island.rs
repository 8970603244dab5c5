//! The data of the page's table: each device and group once, rows as pairs of numbers.
//!
//! Text has no control or direction characters, and is safe inside a script element.

use std::io::{self, Write};

use hashbrown::HashMap;
use serde_json::{Value, json};

use crate::report::escape::{self, clip};
use crate::report::last;
use crate::report::model::{ChangeOrigin, Model, ReportRow, ReportedChange};
use crate::report::row;
use crate::report::words;

/// The most rows of the list, which browsers handle easily.
pub(super) const MOST: usize = 200_000;

/// Everything in a row except the device. Rows share these.
type SharedCells<'a> = (
    ReportedChange<'a>,
    Option<u32>,
    &'static str,
    Option<&'static str>,
    Option<(&'static str, Option<&'a str>)>,
    Option<(u32, &'a str, &'static str)>,
    Option<&'a str>,
);

/// Number of all rows.
pub(super) fn rows(model: &Model<'_>) -> u64 {
    let rows = if model.input.run.is_some() { model.outcomes.iter().sum() } else { model.totals.changes() };
    rows + model.aside_rows().count() as u64
}

pub(super) fn write(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut groups: Vec<Value> = Vec::new();
    let mut numbers: HashMap<SharedCells<'_>, usize> = HashMap::new();
    let mut devices: Vec<(&str, &str)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let is_cut = rows(model) > MOST as u64;
    // If the list is cut, removals come first.
    let first = model.rows().filter(|row| !is_cut || matches!(row.what, ReportedChange::Remove(_)));
    let rest = model.rows().filter(|row| is_cut && !matches!(row.what, ReportedChange::Remove(_)));
    for row in first.chain(rest).chain(model.aside_rows()).take(MOST) {
        let group = *numbers.entry(key(&row)).or_insert_with(|| {
            groups.push(group(model, &row));
            groups.len() - 1
        });
        let device = *places.entry(row.id).or_insert_with(|| {
            devices.push((row.id, row.name.unwrap_or("")));
            devices.len() - 1
        });
        pairs.push((group, device));
    }
    write!(out, "{{\"groups\":{},\n\"devices\":[", escape::json_island(&Value::Array(groups).to_string()))?;
    for (at, (id, name)) in devices.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let quoted = |text: &str| escape::json_island(&Value::from(escape::terminal(text)).to_string());
        write!(out, "{comma}{},{}", quoted(&clip(name, 300)), quoted(id))?;
    }
    write!(out, "],\n\"rows\":[")?;
    for (at, (group, device)) in pairs.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}{group},{device}")?;
    }
    write!(out, "]}}")
}

fn key<'a>(row: &ReportRow<'a>) -> SharedCells<'a> {
    (
        row.what,
        row.cause.map(|cause| cause.0),
        class(row),
        row.origin.map(|origin| origin.word()),
        row.aside.map(|aside| (aside.reason.word(), aside.name.as_deref())),
        row.unresolved.map(|(entry, lacks)| (entry.rule, &*entry.placeholder, lacks.word())),
        row.outcome.and_then(|outcome| outcome.error.as_deref()),
    )
}

/// The text of the column *Class*: the outcome, or the class.
fn class(row: &ReportRow<'_>) -> &'static str {
    row.outcome.map_or(row.class.word(), |outcome| outcome.outcome.word())
}

/// `[action, symbol, tag or value, cause, place, class, half, link]`.
fn group(model: &Model<'_>, row: &ReportRow<'_>) -> Value {
    let plan = model.plan();
    let cause = row.cause.and_then(|cause| plan.causes.get(cause.0 as usize));
    let mut why = cause.map_or_else(String::new, |cause| words::cause(plan, cause));
    if let Some(name) = row.aside.and_then(|aside| aside.name.as_deref()) {
        why = format!("{name}; {why}");
    }
    if let Some((entry, lacks)) = row.unresolved {
        let rule = words::rule_name(plan, entry.rule);
        why = format!("unresolved: {} ({}); rule {rule}", entry.placeholder, lacks.word());
    }
    if let Some(error) = row.outcome.and_then(|outcome| outcome.error.as_deref()) {
        why = error.to_owned();
    }
    if let Some(mark) = last::phrase(model.last(row)) {
        why.push_str(&format!("; {mark}"));
    }
    let place = row::place(plan, row);
    let at = place.map_or_else(String::new, words::place);
    let link = place.zip(model.links()).and_then(|(place, links)| links.link(place));
    let half = match row.origin {
        Some(ChangeOrigin::ThisChange) => "this change",
        Some(ChangeOrigin::Before) => "before",
        None => "",
    };
    let shown = |text: &str| escape::terminal(&clip(text, 400)).into_owned();
    json!([
        row.what.action(),
        row.what.symbol(),
        shown(&row.what.label()),
        shown(&why),
        shown(&at),
        class(row),
        half,
        link.unwrap_or_default()
    ])
}
