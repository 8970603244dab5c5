//! What raises every cap that refuses a plan, at once: arguments for one run, or entries below `guard.approvals`.
//!
//! Escapes nothing; a terminal's and a shell's rules are for reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AxisReport, DayReport};
use crate::pattern;
use crate::policy::Axis;
use crate::time::Timestamp;

/// The last day that a suggested approval counts, from the day of the plan.
const DAYS: i32 = 14;

/// What to paste where caps refuse a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snippet {
    /// Words of a command line: `--allow`, `removals=312`, `--allow`, `removalsPerTag:Tier0=312`.
    pub allow: Vec<String>,
    /// Entries below `guard.approvals`, a line of YAML each.
    pub approvals: Vec<String>,
}

/// The snippet for the caps that are exceeded; none where only invariants refuse, which nothing overrides.
pub fn snippet(axes: &[AxisReport], day: &[DayReport], now: Timestamp) -> Option<Snippet> {
    let is_over_day = |axis: &AxisReport| {
        day.iter().any(|day| day.axis == axis.axis && day.tag == axis.tag && day.is_exceeded())
    };
    let expires = now.date().plus_days(DAYS);
    let mut snippet = Snippet::default();
    for axis in axes.iter().filter(|axis| axis.is_exceeded() || is_over_day(axis)) {
        let (cap, max) = (axis.axis.word(), axis.planned);
        let tag = axis.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        snippet.allow.extend(["--allow".to_owned(), format!("{cap}{tag}={max}")]);
        let tag = match (&axis.tag, axis.axis) {
            (Some(tag), Axis::RemovalsPerTag) => format!("tag: {}, ", yaml(&pattern::escape(tag))),
            _ => String::new(),
        };
        snippet
            .approvals
            .push(format!("- {{ cap: {cap}, {tag}max: {max}, reason: \"WHY\", expires: {expires} }}"));
    }
    (!snippet.allow.is_empty()).then_some(snippet)
}

/// A double-quoted YAML scalar; JSON's escapes are YAML's.
fn yaml(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
