//! The guard: why it refuses, and one bar per axis with the used and allowed amounts and the share of the last 24 hours.
//!
//! Every bar has its numbers beside it, so that neither colour nor length carries the meaning alone.

use std::io::{self, Write};

use crate::plan::Plan;
use crate::plan::guard::AxisReport;
use crate::report::escape::{self, clip};
use crate::report::model::{Model, Subject};
use crate::report::refusal;
use crate::report::sentences;
use crate::report::words::{capitalised, counted, number};

use super::markup::{Markup, emit, markup};
use super::{LIST, shown};

/// The most reasons of a refusal at the top of the page; the bars show all.
const FIRST: usize = 12;

/// The most bars of single tags; the tightest are drawn.
const TAGS: usize = 6;

/// The guard's arithmetic.
pub(super) fn write(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let plan = model.plan();
    if model.input.subject != Subject::Plan {
        return Ok(());
    }
    let phrases: Vec<Markup> = sentences::guard(model).iter().map(shown).collect();
    if phrases.is_empty() && !plan.guard.refused {
        return Ok(());
    }
    let verdict = match plan.guard.refused {
        true => markup!("<strong class=\"bad\">refused</strong>"),
        false => markup!("within limits"),
    };
    emit!(out, "<section aria-labelledby=\"guard\"><h2 id=\"guard\">Guard: {}</h2>", verdict)?;
    emit!(out, "<p>{}</p>", Markup::joined(phrases, ", "))?;
    bars(plan, out)?;
    for (index, approval) in plan.guard.approvals.iter().take(LIST).enumerate() {
        let word = if plan.guard.raises(index) { "Raised" } else { "Not enough" };
        emit!(out, "<p>{}: {}</p>", word, approval.sentence())?;
    }
    if let Some(unknown) = sentences::state(plan) {
        emit!(out, "<p>State: {}</p>", unknown)?;
    }
    for refusal in refusal::refusals(plan).iter().take(LIST) {
        emit!(
            out,
            "<div class=\"refusal\"><p><bdi>{}</bdi>: {}</p>",
            clip(&refusal.name, 200),
            refusal.arithmetic
        )?;
        // The snippet says how to raise caps; an invariant has its own advice.
        if !refusal.is_raised_by_snippet {
            emit!(out, "<p>{}</p>", refusal.proceed)?;
        }
        emit!(out, "</div>")?;
    }
    emit!(out, "</section>")
}

/// The first thing on a refused plan's page: what refuses it, and what to paste to proceed.
pub(super) fn refused(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let plan = model.plan();
    let found = refusal::refusals(plan);
    if model.input.subject != Subject::Plan || found.is_empty() {
        return Ok(());
    }
    emit!(out, "<div class=\"refusal\">")?;
    for refusal in found.iter().take(FIRST) {
        emit!(out, "<p><strong>Refused: {}</strong></p>", refusal.headline)?;
    }
    let rest = found.len().saturating_sub(FIRST) as u64;
    if rest > 0 {
        emit!(out, "<p><a href=\"#guard\">{}</a></p>", counted(rest, "more reason"))?;
    }
    match refusal::snippet(plan) {
        Some(snippet) => {
            if let Some(first) = snippet.first {
                emit!(out, "<p>{}</p>", first)?;
            }
            emit!(out, "<p>{}: <code>{}</code></p>", capitalised(snippet.lead), snippet.arguments)?;
            if !snippet.approvals.is_empty() {
                emit!(out, "<p>or in the guard file, below <code>approvals:</code></p>")?;
                emit!(out, "<pre>{}</pre>", snippet.approvals.join("\n"))?;
            }
        }
        // No flag overrides these reasons; the first one says what to do instead.
        None => found.iter().take(1).try_for_each(|refusal| emit!(out, "<p>{}</p>", refusal.proceed))?,
    }
    emit!(out, "</div>")
}

/// Axes that the plan uses, then the tags that come closest to their caps.
fn drawn(plan: &Plan) -> Vec<&AxisReport> {
    let used = plan.guard.axes.iter().filter(|axis| axis.planned > 0);
    let (mut tags, axes): (Vec<&AxisReport>, Vec<&AxisReport>) = used.partition(|axis| axis.tag.is_some());
    // Compared as fractions: planned / allowed.
    let product =
        |one: &AxisReport, other: &AxisReport| u128::from(one.planned) * u128::from(other.allowed.max(1));
    tags.sort_by(|one, other| product(other, one).cmp(&product(one, other)));
    axes.into_iter().chain(tags.into_iter().take(TAGS)).collect()
}

fn bars(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let drawn = drawn(plan);
    if drawn.is_empty() {
        return Ok(());
    }
    emit!(out, "<ul class=\"guard\">")?;
    for axis in drawn {
        let name = match &axis.tag {
            None => axis.axis.word().to_owned(),
            Some(tag) => format!("{} {}", axis.axis.word(), escape::tag(&clip(tag, 80))),
        };
        let day = plan.state.day.iter().find(|day| day.axis == axis.axis && day.tag == axis.tag);
        let used = format!("{} of {} allowed", number(axis.planned), number(axis.allowed));
        let in_day = day.map(|day| {
            let sum = day.done.saturating_add(day.planned);
            (day, sum, format!("{} of {} within 24 hours", number(sum), number(day.allowed)))
        });
        let said = in_day.as_ref().map_or_else(String::new, |(_, _, said)| format!(", {said}"));
        let over = if axis.is_exceeded() || day.is_some_and(|day| day.is_exceeded()) {
            markup!(" <strong class=\"bad\">over</strong>")
        } else {
            Markup::default()
        };
        emit!(out, "<li><span><bdi>{}</bdi>: {}{}{}</span>", name, used, said, over)?;
        let height: u64 = if in_day.is_some() { 22 } else { 10 };
        emit!(out, "<svg viewBox=\"0 0 400 {}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">", height)?;
        bar(0, 0, axis.planned, axis.allowed, out)?;
        if let Some((day, sum, _)) = in_day {
            bar(12, day.done, sum, day.allowed, out)?;
        }
        emit!(out, "</svg></li>")?;
    }
    emit!(out, "</ul>")
}

/// One track: the amount done before, the amount used, and a mark at the limit.
fn bar(top: u64, before: u64, used: u64, allowed: u64, out: &mut dyn Write) -> io::Result<()> {
    const WIDTH: u128 = 400;
    let most = used.max(allowed).max(1);
    let scaled = |value: u64| (u128::from(value) * WIDTH / u128::from(most)) as u64;
    let class = if used > allowed { "remove" } else { "plain" };
    emit!(out, "<rect y=\"{}\" width=\"400\" height=\"10\" class=\"track\"/>", top)?;
    let length = scaled(used).max(u64::from(used > 0) * 2);
    emit!(out, "<rect y=\"{}\" width=\"{}\" height=\"10\" class=\"bar {}\"/>", top, length, class)?;
    if before > 0 {
        emit!(
            out,
            "<rect y=\"{}\" width=\"{}\" height=\"10\" class=\"bar rest\"/>",
            top,
            scaled(before).max(2)
        )?;
    }
    let limit = scaled(allowed).min(398);
    emit!(out, "<rect x=\"{}\" y=\"{}\" width=\"2\" height=\"10\" class=\"limit\"/>", limit, top)
}
