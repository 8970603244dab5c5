//! Suggests how to raise every cap that refuses a plan: arguments for one run, or entries below `guard.approvals`.
//!
//! Escapes nothing; reports know the rules of terminals and shells.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::approvals::used;
use super::{ApprovalOrigin, ApprovalReport, AxisReport, DayReport, Past};
use crate::pattern;
use crate::plan::TagCase;
use crate::time::Timestamp;

/// Days from the plan to the last day of a suggested approval.
const DAYS: i32 = 14;

/// What to paste where caps refuse a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snippet {
    /// Words of a command line: `--allow`, `removals=312`, `--allow`, `removalsPerTag:Tier0=312`.
    pub allow: Vec<String>,
    /// Entries below `guard.approvals`, a line of YAML each.
    pub approvals: Vec<String>,
}

/// The snippet for the exceeded caps; `None` if only invariants refuse, which nothing overrides. What earlier runs used of
/// the same approval, or this run of its `--allow`, is added: the numbers are totals.
pub fn snippet(
    axes: &[AxisReport],
    day: &[DayReport],
    (past, case): (&Past, TagCase),
    now: Timestamp,
) -> Option<Snippet> {
    let is_over_day = |axis: &AxisReport| {
        day.iter().any(|day| day.axis == axis.axis && day.tag == axis.tag && day.is_exceeded())
    };
    let expires = now.date().plus_days(DAYS).to_string();
    let mut snippet = Snippet::default();
    for axis in axes.iter().filter(|axis| axis.is_exceeded() || is_over_day(axis)) {
        let cap = axis.axis.word();
        let total = |from: ApprovalOrigin, tag: Option<String>, expires: Option<String>| {
            let entry = ApprovalReport { tag, expires, ..ApprovalReport::of(axis.axis, from) };
            axis.planned + used(&past.uses, &entry, axis.tag.as_deref(), case)
        };
        let name = axis.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        let most = total(ApprovalOrigin::Flag, axis.tag.as_deref().map(str::to_owned), None);
        snippet.allow.extend(["--allow".to_owned(), format!("{cap}{name}={most}")]);
        // While a journal cannot be read, no approval of the policy counts.
        if !past.unread.is_empty() {
            continue;
        }
        let pattern = axis.tag.as_ref().map(|tag| pattern::escape(tag));
        let tag = pattern.as_ref().map_or_else(String::new, |tag| format!("tag: {}, ", yaml(tag)));
        let max = total(ApprovalOrigin::Policy, pattern, Some(expires.clone()));
        snippet
            .approvals
            .push(format!("- {{ cap: {cap}, {tag}max: {max}, reason: \"WHY\", expires: {expires} }}"));
    }
    (!snippet.allow.is_empty()).then_some(snippet)
}

/// A double-quoted YAML scalar; JSON's escapes are valid in YAML.
fn yaml(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
