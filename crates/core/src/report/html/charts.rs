//! Bar charts as inline SVG: by class, by rule, by tag, calls against the budget, time left under the limits.
//!
//! Drawn here and not by a script, so that they print and work with scripts off. Every bar has its number beside it as text;
//! colour never carries the meaning alone.

use std::io::{self, Write};
use std::time::Duration;

use hashbrown::HashMap;

use crate::apply::Outcome;
use crate::report::escape::{self, clip};
use crate::report::model::{Class, Model, Subject};
use crate::report::words::{self, number, outcome_phrase};
use crate::time;

use super::markup::emit;

/// The most bars of a chart; the rest becomes one bar.
const BARS: usize = 10;

struct Bar {
    label: String,
    /// Its length.
    value: u64,
    /// The text after it.
    shown: String,
    /// A mark on its track: a limit.
    limit: Option<u64>,
    class: &'static str,
}

impl Bar {
    fn counted(label: impl Into<String>, value: u64, class: &'static str) -> Bar {
        Bar { label: label.into(), value, shown: number(value), limit: None, class }
    }
}

/// Writes all charts that have something to show.
pub(super) fn write(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let first = match model.input.subject {
        Subject::Applied => ("How the changes ended", by_outcome(model)),
        Subject::Plan => ("Changes by class", by_class(model)),
        Subject::Drift => ("Drift by class", by_class(model)),
    };
    let mut charts = vec![first, ("By rule or cause", by_cause(model)), ("By tag", by_tag(model))];
    if model.input.run.is_none() {
        charts.push(("Calls against this hour's budget", calls(model)));
        charts.push(("Time under the limits", durations(model)));
    }
    charts.retain(|(_, bars)| bars.iter().any(|bar| bar.value > 0));
    if charts.is_empty() {
        return Ok(());
    }
    emit!(
        out,
        "<section aria-labelledby=\"charts\"><h2 id=\"charts\">At a glance</h2><div class=\"charts\">"
    )?;
    charts.iter().try_for_each(|(title, bars)| chart(title, bars, out))?;
    emit!(out, "</div></section>")
}

fn by_class(model: &Model<'_>) -> Vec<Bar> {
    let shown = Class::ALL.into_iter().filter(|class| model.class(*class) > 0);
    shown
        .map(|class| {
            let colour = match class {
                Class::Missing => "add",
                Class::Extra => "remove",
                Class::Value => "value",
                _ => "rest",
            };
            Bar::counted(class.word(), model.class(class), colour)
        })
        .collect()
}

fn by_outcome(model: &Model<'_>) -> Vec<Bar> {
    let shown = Outcome::ALL.into_iter().filter(|outcome| model.outcome(*outcome) > 0);
    shown
        .map(|outcome| {
            let colour = match outcome {
                Outcome::Done | Outcome::Noop => "add",
                outcome if outcome.is_bad() => "remove",
                _ => "rest",
            };
            Bar::counted(outcome_phrase(outcome), model.outcome(outcome), colour)
        })
        .collect()
}

fn by_cause(model: &Model<'_>) -> Vec<Bar> {
    let plan = model.plan();
    let groups = model.parts.iter().flat_map(|part| &part.groups);
    largest(groups.map(|group| {
        let cause = group.cause.and_then(|cause| plan.causes.get(cause.0 as usize));
        (cause.map_or_else(|| "unplanned".to_owned(), |cause| words::cause(plan, cause)), group.devices())
    }))
}

fn by_tag(model: &Model<'_>) -> Vec<Bar> {
    let groups = model.parts.iter().flat_map(|part| &part.groups);
    largest(groups.filter_map(|group| Some((escape::tag(group.what.tag()?).into_owned(), group.devices()))))
}

/// The largest sums by name, and the rest as one bar.
fn largest(counts: impl Iterator<Item = (String, u64)>) -> Vec<Bar> {
    let mut sums: HashMap<String, u64> = HashMap::new();
    for (name, count) in counts {
        *sums.entry(name).or_default() += count;
    }
    let mut sums: Vec<(String, u64)> = sums.into_iter().collect();
    sums.sort_unstable_by(|(left, left_count), (right, right_count)| {
        right_count.cmp(left_count).then_with(|| left.cmp(right))
    });
    let rest = sums.split_off(sums.len().min(BARS));
    let mut bars: Vec<Bar> =
        sums.into_iter().map(|(name, count)| Bar::counted(name, count, "plain")).collect();
    if !rest.is_empty() {
        let sum = rest.iter().map(|(_, count)| count).sum();
        bars.push(Bar::counted(format!("{} others", number(rest.len() as u64)), sum, "rest"));
    }
    bars
}

fn calls(model: &Model<'_>) -> Vec<Bar> {
    let plan = model.plan();
    let lanes = plan.schedule.lanes.iter().filter(|cost| cost.calls > 0);
    lanes
        .map(|cost| {
            let left =
                plan.ledger.iter().flat_map(|ledger| &ledger.lanes).find(|left| left.lane == cost.lane);
            let of = left.map_or_else(String::new, |left| {
                format!(", {} of {} left", number(left.left), number(left.of))
            });
            let minimum = number(cost.minimum);
            Bar {
                label: words::lane(cost.lane).to_owned(),
                value: cost.calls,
                shown: format!("{} (minimum {minimum}){of}", number(cost.calls)),
                limit: left.map(|left| left.left),
                class: if left.is_some_and(|left| left.left < cost.calls) { "remove" } else { "plain" },
            }
        })
        .collect()
}

fn durations(model: &Model<'_>) -> Vec<Bar> {
    let plan = model.plan();
    let bar = |label: &str, seconds: u64| Bar {
        label: label.to_owned(),
        value: seconds,
        shown: time::spoken(Duration::from_secs(seconds)),
        limit: None,
        class: "plain",
    };
    if plan.schedule.total == 0 {
        return Vec::new();
    }
    let now = plan.ledger.as_ref().map(|ledger| bar("from now", ledger.seconds));
    std::iter::once(bar("from an unused budget", plan.schedule.seconds)).chain(now).collect()
}

/// A chart with labels above their bars, so that long names have room.
fn chart(title: &str, bars: &[Bar], out: &mut dyn Write) -> io::Result<()> {
    const WIDTH: u64 = 400;
    const STEP: usize = 36;
    let most = bars.iter().map(|bar| bar.value.max(bar.limit.unwrap_or(0))).max().unwrap_or(0).max(1);
    let scaled = |value: u64| (u128::from(value) * u128::from(WIDTH) / u128::from(most)) as u64;
    let height = bars.len() * STEP + 4;
    let spoken: Vec<String> =
        bars.iter().map(|bar| format!("{}: {}", clip(&bar.label, 60), bar.shown)).collect();
    emit!(out, "<figure><figcaption>{}</figcaption>", title)?;
    emit!(
        out,
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
        WIDTH,
        height,
        format!("{title}. {}", spoken.join("; "))
    )?;
    for (at, bar) in bars.iter().enumerate() {
        let top = at * STEP;
        let label = clip(&bar.label, 34);
        let length = if bar.value == 0 { 0 } else { scaled(bar.value).max(2) };
        emit!(
            out,
            "<text x=\"0\" y=\"{}\"><title>{}</title>{}</text>",
            top + 13,
            clip(&bar.label, 300),
            label
        )?;
        emit!(out, "<text x=\"{}\" y=\"{}\" class=\"end\">{}</text>", WIDTH, top + 13, bar.shown)?;
        emit!(
            out,
            "<rect x=\"0\" y=\"{}\" width=\"{}\" height=\"10\" rx=\"2\" class=\"track\"/>",
            top + 19,
            WIDTH
        )?;
        emit!(
            out,
            "<rect x=\"0\" y=\"{}\" width=\"{}\" height=\"10\" rx=\"2\" class=\"bar {}\"/>",
            top + 19,
            length,
            bar.class
        )?;
        if let Some(limit) = bar.limit {
            let x = scaled(limit).min(WIDTH - 2);
            emit!(out, "<rect x=\"{}\" y=\"{}\" width=\"2\" height=\"14\" class=\"limit\"/>", x, top + 17)?;
        }
    }
    emit!(out, "</svg></figure>")
}
