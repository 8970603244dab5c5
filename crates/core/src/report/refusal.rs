//! Why the guard refuses a plan: the arithmetic, the setting, its place, and how to proceed once.
//!
//! Does not judge: the verdicts are the guard's. Names are not escaped here.

use crate::plan::{AxisReport, InvariantReport, Plan};
use crate::policy::Axis;

use super::escape;
use super::words::{counted, number, place, share};

/// One reason for a refusal, in the order in which people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The cap or invariant: `removalsPerTag:Tier0`, `dcs-stay-tier0`.
    pub name: String,
    /// What is over which limit.
    pub headline: String,
    /// The arithmetic, the setting and its place.
    pub arithmetic: String,
    /// What to do next.
    pub proceed: String,
}

/// Every reason, caps first.
pub fn refusals(plan: &Plan) -> Vec<Refusal> {
    let caps = plan.guard.axes.iter().filter(|axis| axis.is_exceeded()).map(cap);
    let invariants = plan.guard.invariants.iter().filter(|invariant| invariant.refuses).map(invariant);
    caps.chain(invariants).collect()
}

/// What to paste where a plan is refused by caps: all of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// `--allow removals=312 --allow removalsPerTag:Tier0=312`.
    pub arguments: String,
    /// Entries below `guard.approvals`, one a line.
    pub approvals: Vec<String>,
}

/// The snippet; `None` where only invariants refuse, which no flag overrides.
pub fn snippet(plan: &Plan) -> Option<Snippet> {
    let exceeded: Vec<&AxisReport> = plan.guard.axes.iter().filter(|axis| axis.is_exceeded()).collect();
    let arguments: Vec<String> = exceeded.iter().map(|axis| format!("--allow {}", allowance(axis))).collect();
    let approvals = exceeded.iter().map(|axis| {
        let tag = axis.tag.as_ref().map_or_else(String::new, |tag| format!("tag: {}, ", yaml(tag)));
        let (cap, max) = (axis.axis.name(), axis.planned);
        format!("- {{ cap: {cap}, {tag}max: {max}, reason: \"WHY\", expires: YYYY-MM-DD }}")
    });
    (!exceeded.is_empty()).then(|| Snippet { arguments: arguments.join(" "), approvals: approvals.collect() })
}

/// A double-quoted YAML scalar; JSON's escapes are YAML's.
fn yaml(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

fn allowance(axis: &AxisReport) -> String {
    let tag = axis.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
    escape::shell(&format!("{}{tag}={}", axis.axis.name(), axis.planned))
}

fn cap(axis: &AxisReport) -> Refusal {
    let (things, base) = match axis.axis {
        Axis::Devices => ("changed device", "devices in scope"),
        Axis::Additions => ("addition", "devices in scope"),
        Axis::Removals => ("removal", "live device-tag pairs that this policy set may remove"),
        Axis::RemovalsPerTag => ("removal", "devices that carry it"),
        Axis::Values => ("changed value", "devices in scope"),
        Axis::GroupMoves => ("device that changes group|devices that change group", "devices in scope"),
    };
    let of_tag = axis.tag.as_ref().map_or_else(String::new, |tag| format!(" of tag \"{tag}\""));
    let verb = if axis.planned == 1 { "is" } else { "are" };
    let things = counted(axis.planned, things);
    let stated = match &axis.place {
        Some(at) => format!(" in {}", place(at)),
        None => " (the default)".to_owned(),
    };
    let name = axis.axis.name();
    let tag = axis.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
    let allow = allowance(axis);
    Refusal {
        name: format!("{name}{tag}"),
        headline: format!("{things}{of_tag} {verb} over the limit of {}", number(axis.allowed)),
        arithmetic: format!(
            "{} of {} {base} ({}); limit `guard.caps.{name}: {}, floor {}`{stated}",
            number(axis.planned),
            number(axis.base),
            share(axis.planned, axis.base),
            axis.percent,
            number(axis.floor),
        ),
        proceed: format!("to proceed: --allow {allow}, or an `approvals` entry in the guard file"),
    }
}

fn invariant(invariant: &InvariantReport) -> Refusal {
    Refusal {
        name: invariant.name.clone(),
        headline: format!("invariant `{}` would not hold: {}", invariant.name, invariant.demand),
        arithmetic: format!(
            "{} now, {} after the plan; `guard.invariants` in {}",
            number(invariant.before),
            number(invariant.after),
            place(&invariant.place)
        ),
        proceed: "to proceed: change the rules so that it holds, or the invariant in a reviewed change of the guard \
                  file; no flag overrides it"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn one_snippet_raises_every_cap_that_refuses() {
        let mut plan = Plan::default();
        let axis = |axis, tag: Option<&str>, planned| AxisReport {
            axis,
            tag: tag.map(Arc::from),
            planned,
            allowed: 5,
            base: 100,
            percent: "5 %".to_owned(),
            floor: 5,
            place: None,
        };
        plan.guard.axes = vec![
            axis(Axis::Removals, None, 12),
            axis(Axis::RemovalsPerTag, Some("a b"), 9),
            axis(Axis::Values, None, 1),
        ];
        let snippet = snippet(&plan).expect("two caps are exceeded");
        assert_eq!(snippet.arguments, "--allow removals=12 --allow 'removalsPerTag:a b=9'");
        assert_eq!(
            snippet.approvals,
            [
                "- { cap: removals, max: 12, reason: \"WHY\", expires: YYYY-MM-DD }",
                "- { cap: removalsPerTag, tag: \"a b\", max: 9, reason: \"WHY\", expires: YYYY-MM-DD }",
            ]
        );
    }
}
