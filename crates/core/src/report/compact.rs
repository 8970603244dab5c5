//! A comment with too little room for groups, in whole lines: refusals, the number of things to read, the sums; and the hidden
//! marker at the end of every comment.
//!
//! Shows no group. If one fits, `markdown` is used instead.

use crate::policy::ShownIn;

use super::ending::outcomes;
use super::escape::{clip, markdown as code};
use super::first_lines;
use super::model::{Model, Subject};
use super::refusal;
use super::sentences;
use super::words::{counted, length, number};
use crate::plan::TenantReference;

/// The smallest length of a comment, in characters: room for its marker and the sums of any plan.
pub const MIN_CHARS: usize = 1_000;

/// Refusals that are listed before the rest becomes a number.
const REFUSALS: usize = 2;

/// The hidden text by which a job finds its earlier comment, to replace it.
pub(super) fn marker(model: &Model<'_>) -> String {
    let tenant = &model.plan().header.tenant;
    let name = model.input.comment_of.or(tenant.name.as_deref()).or(tenant.id.as_deref());
    marked(model.input.subject, name.unwrap_or_default())
}

/// The marker of a comment about findings that prevent a plan.
pub(super) fn marker_of(subject: Subject, tenant: &TenantReference) -> String {
    marked(subject, tenant.name.as_deref().or(tenant.id.as_deref()).unwrap_or_default())
}

fn marked(subject: Subject, name: &str) -> String {
    format!("<!-- mdetag:{}:{} -->\n", subject.word(), crate::text::slug(&clip(name, 80)))
}

/// The comment of a model in at most `max_chars` characters.
pub(super) fn write(model: &Model<'_>, max_chars: usize) -> String {
    let mut lines = Vec::new();
    let refusals = match model.input.subject {
        Subject::Plan => refusal::refusals(model.plan()),
        _ => Vec::new(),
    };
    for refusal in refusals.iter().take(REFUSALS) {
        lines.push(format!("**⛔ refused: {}**\n\n", code(&clip(&refusal.headline, 120))));
    }
    if refusals.len() > REFUSALS {
        let more = counted((refusals.len() - REFUSALS) as u64, "more refusal");
        lines.push(format!("**⛔ {more}**\n\n"));
    }
    let kinds = sentences::must_read_by_kind(model, ShownIn::Whole);
    let must_read: Vec<(&str, &str)> = kinds.iter().flat_map(first_lines::of_kind).collect();
    lines.push(first_lines::left_out(&must_read, "line"));
    let sandbox = if model.is_sandbox() { "SANDBOX · " } else { "" };
    let tenant = code(&clip(&sentences::tenant(model.plan()).text, 60));
    lines.push(format!("### {sandbox}{} {tenant}\n\n", sentences::title(model.input.subject)));
    let sums = if model.input.run.is_some() { outcomes(model) } else { sentences::totals(model.totals) };
    lines.push(format!("**{sums}**\n\n"));
    let room = number(max_chars as u64);
    lines.push(format!(
        "*Cut to fit into {room} characters (`--max-chars`); the other formats have all.*\n\n"
    ));
    within(&lines, &marker(model), max_chars)
}

/// The first whole lines that fit before the marker. Empty if not even the marker fits.
pub(super) fn within(lines: &[String], marker: &str, max_chars: usize) -> String {
    let Some(mut left) = max_chars.checked_sub(length(marker)) else { return String::new() };
    let mut text = String::new();
    for line in lines {
        let Some(rest) = left.checked_sub(length(line)) else { break };
        left = rest;
        text.push_str(line);
    }
    text + marker
}
