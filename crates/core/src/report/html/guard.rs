//! The guard, drawn: one bar an axis with what is used, what is allowed, and the part of 24 hours; then why it refuses.
//!
//! Every bar has its numbers beside it, so that no meaning hangs on colour or length.

use std::io::{self, Write};

use crate::plan::Plan;
use crate::plan::guard::AxisReport;
use crate::report::escape::{self, clip, html as text};
use crate::report::model::{Model, Subject};
use crate::report::refusal;
use crate::report::sentences;
use crate::report::words::number;

use super::{LIST, shown};

/// Bars of single tags; the tightest are drawn.
const TAGS: usize = 6;

/// The guard's arithmetic, and why it refuses.
pub(super) fn write(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let plan = model.plan();
    if model.input.subject != Subject::Plan {
        return Ok(());
    }
    let phrases: Vec<String> = sentences::guard(model).iter().map(shown).collect();
    if phrases.is_empty() && !plan.guard.refused {
        return Ok(());
    }
    let verdict = if plan.guard.refused { "<strong class=\"bad\">refused</strong>" } else { "within limits" };
    writeln!(out, "<section aria-labelledby=\"guard\"><h2 id=\"guard\">Guard: {verdict}</h2>")?;
    writeln!(out, "<p>{}</p>", phrases.join(", "))?;
    bars(plan, out)?;
    for approval in plan.guard.approvals.iter().take(LIST) {
        writeln!(out, "<p>Raised: {}</p>", text(&approval.sentence()))?;
    }
    if let Some(unknown) = sentences::state(plan) {
        writeln!(out, "<p>State: {}</p>", text(&unknown))?;
    }
    for refusal in refusal::refusals(plan).iter().take(LIST) {
        let [headline, arithmetic, proceed] =
            [&refusal.headline, &refusal.arithmetic, &refusal.proceed].map(|line| text(line));
        writeln!(
            out,
            "<div class=\"refusal\"><p><strong>{headline}</strong></p><p>{arithmetic}</p><p>{proceed}</p></div>"
        )?;
    }
    writeln!(out, "</section>")
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
    writeln!(out, "<ul class=\"guard\">")?;
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
            " <strong class=\"bad\">over</strong>"
        } else {
            ""
        };
        writeln!(out, "<li><span><bdi>{}</bdi>: {used}{said}{over}</span>", text(&name))?;
        let height = if in_day.is_some() { 22 } else { 10 };
        writeln!(
            out,
            "<svg viewBox=\"0 0 400 {height}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
        )?;
        bar(0, 0, axis.planned, axis.allowed, out)?;
        if let Some((day, sum, _)) = in_day {
            bar(12, day.done, sum, day.allowed, out)?;
        }
        writeln!(out, "</svg></li>")?;
    }
    writeln!(out, "</ul>")
}

/// One track: what was done before, what is used, and a mark where the limit is.
fn bar(top: u64, before: u64, used: u64, allowed: u64, out: &mut dyn Write) -> io::Result<()> {
    const WIDTH: u128 = 400;
    let most = used.max(allowed).max(1);
    let scaled = |value: u64| (u128::from(value) * WIDTH / u128::from(most)) as u64;
    let class = if used > allowed { "remove" } else { "plain" };
    writeln!(out, "<rect y=\"{top}\" width=\"400\" height=\"10\" class=\"track\"/>")?;
    let length = scaled(used).max(u64::from(used > 0) * 2);
    writeln!(out, "<rect y=\"{top}\" width=\"{length}\" height=\"10\" class=\"bar {class}\"/>")?;
    if before > 0 {
        writeln!(
            out,
            "<rect y=\"{top}\" width=\"{}\" height=\"10\" class=\"bar rest\"/>",
            scaled(before).max(2)
        )?;
    }
    let limit = scaled(allowed).min(398);
    writeln!(out, "<rect x=\"{limit}\" y=\"{top}\" width=\"2\" height=\"10\" class=\"limit\"/>")
}
