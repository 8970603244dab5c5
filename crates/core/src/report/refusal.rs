//! Why the guard refuses a plan: the arithmetic, the setting, its place, and how to proceed once.
//!
//! The guard judges. Names are not escaped here.

use crate::apply::{ChangeOutcome, Outcome};
use crate::diagnostic::Place;
use crate::plan::consequences::Consequences;
use crate::plan::guard::DayReport;
use crate::plan::{AxisReport, InvariantReport, Plan};
use crate::plan::{document, stale};
use crate::policy::Axis;

use super::escape;
use super::model::RunEnd;
use super::words::{counted, number, place, share};

/// A reason for a refusal, in the order in which people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<'p> {
    /// The cap or invariant: `removalsPerTag:Tier0`, `dcs-stay-tier0`.
    pub name: String,
    /// The amount and the exceeded limit.
    pub headline: String,
    /// The arithmetic, the setting and its place.
    pub arithmetic: String,
    /// The next step: an option to pass or an approval to write.
    pub proceed: String,
    /// Where the setting is stated; `None` for a default.
    pub place: Option<&'p Place>,
    /// Whether the snippet to paste raises it.
    pub is_raised_by_snippet: bool,
}

/// The end of an apply that the guard refused: no run was started, so no change was attempted.
///
/// # Errors
/// None in practice: the digest is computed in memory, from the content that a plan file would have.
pub fn refused_run(plan: &Plan, exit_code: u8) -> std::io::Result<RunEnd> {
    const WHY: &str = "the guard refused the plan";
    let keys = plan.changes.iter().flat_map(|change| stale::keys(plan, change));
    let outcomes = keys.map(|key| ChangeOutcome {
        key,
        outcome: Outcome::NotAttempted,
        error: Some(format!("{WHY}: nothing was written")),
    });
    let reasons = refusals(plan).into_iter();
    let notes = reasons.map(|it| format!("refused: {}; {}; {}", it.headline, it.arithmetic, it.proceed));
    Ok(RunEnd {
        plan_digest: document::write_to(plan, &mut std::io::sink())?,
        outcomes: outcomes.collect(),
        stopped: Some(WHY.to_owned()),
        notes: notes.collect(),
        exit_code,
        ..RunEnd::default()
    })
}

/// Every reason, caps first.
pub fn refusals(plan: &Plan) -> Vec<Refusal<'_>> {
    let caps = plan.guard.axes.iter().filter(|axis| axis.is_exceeded()).map(|axis| cap(plan, axis));
    let invariants = plan.guard.invariants.iter().filter(|report| report.refuses);
    let invariants = invariants.map(|report| invariant(plan, report));
    let days = plan.state.day.iter().filter(|day| day.is_exceeded()).map(|over| day(plan, over));
    caps.chain(days).chain(invariants).collect()
}

/// What to paste if caps refuse a plan: raises all of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalSnippet {
    /// What to do first, where an invariant refuses too or the file of device groups is wrong: no flag mends that.
    pub first: Option<String>,
    /// `to proceed`, or what the arguments are for after that.
    pub lead: &'static str,
    /// `--allow removals=312 --allow removalsPerTag:Tier0=312`.
    pub arguments: String,
    /// Entries below `guard.approvals`, one a line.
    pub approvals: Vec<String>,
}

/// The snippet as text; `None` if only invariants refuse, which no flag overrides.
pub fn snippet(plan: &Plan) -> Option<RefusalSnippet> {
    let snippet = plan.guard.snippet.as_ref()?;
    let words: Vec<String> = snippet.allow.iter().map(|word| escape::shell(word)).collect();
    let refusals = refusals(plan);
    let first = refusals.iter().find(|refusal| !refusal.is_raised_by_snippet);
    let first = first.map(|refusal| format!("`{}`: {}", refusal.name, refusal.proceed));
    let has_invariant = plan.guard.invariants.iter().any(|report| report.refuses);
    let lead = match (has_invariant, first.is_some()) {
        (true, _) => "then, for the caps",
        (false, true) => "or, for the caps as they are",
        (false, false) => "to proceed",
    };
    Some(RefusalSnippet { first, lead, arguments: words.join(" "), approvals: snippet.approvals.clone() })
}

/// The number that raises a cap, as the snippet has it.
fn allowance(plan: &Plan, axis: &AxisReport) -> String {
    let tag = axis.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
    let name = format!("{}{tag}=", axis.axis.word());
    let words = plan.guard.snippet.iter().flat_map(|snippet| &snippet.allow);
    let stated = words.into_iter().find(|word| {
        word.strip_prefix(&name).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    escape::shell(&stated.cloned().unwrap_or_else(|| format!("{name}{}", axis.planned)))
}

fn cap<'p>(plan: &Plan, axis: &'p AxisReport) -> Refusal<'p> {
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
    let name = axis.axis.word();
    let tag = axis.tag.as_ref().map_or_else(String::new, |tag| format!(":{}", escape::tag(tag)));
    let allow = allowance(plan, axis);
    // The predicted moves are within the limit; every possible move counts because the prediction is wrong.
    let is_worst_case = is_worst_case(plan, axis.axis, axis.allowed);
    let because = because(plan, is_worst_case);
    let proceed = format!("to proceed: --allow {allow}, or an `approvals` entry in the guard file");
    Refusal {
        name: format!("{name}{tag}"),
        headline: format!("{things}{of_tag} {verb} over the limit of {}{because}", number(axis.allowed)),
        arithmetic: format!(
            "{} of {} {base} ({}); limit `guard.caps.{name}: {}, floor {}`{stated}{}",
            number(axis.planned),
            number(axis.base),
            share(axis.planned, axis.base),
            axis.percent,
            number(axis.floor),
            raised(plan, axis),
        ),
        proceed: if is_worst_case { RENEW.to_owned() } else { proceed },
        place: axis.place.as_ref(),
        is_raised_by_snippet: !is_worst_case,
    }
}

/// Whether only the worst case is over a limit: the predicted moves are within it.
fn is_worst_case(plan: &Plan, axis: Axis, allowed: u64) -> bool {
    let judged = plan.judged_groups().filter(|_| axis == Axis::GroupMoves);
    judged.is_some_and(|groups| !groups.check.reliable && groups.predicted <= allowed)
}

fn because(plan: &Plan, is_worst_case: bool) -> String {
    if !is_worst_case {
        return String::new();
    }
    format!(" in the worst case, because {}", mismatch(plan.judged_groups()))
}

fn day<'p>(plan: &Plan, day: &'p DayReport) -> Refusal<'p> {
    let name = day.axis.word();
    let tag = day.tag.as_ref().map_or_else(String::new, |tag| format!(":{}", escape::tag(tag)));
    let of_tag = day.tag.as_ref().map_or_else(String::new, |tag| format!(" of tag \"{tag}\""));
    let things = match day.axis {
        Axis::Values => "changed value",
        Axis::GroupMoves => "device that changes group|devices that change group",
        _ => "removal",
    };
    let stated = match &day.place {
        Some(at) => format!(" in {}", place(at)),
        None => " (the default)".to_owned(),
    };
    let planned = plan.guard.axes.iter().find(|axis| axis.axis == day.axis && axis.tag == day.tag);
    let allow = planned.map_or_else(String::new, |axis| allowance(plan, axis));
    let is_worst_case = is_worst_case(plan, day.axis, day.allowed.saturating_sub(day.done));
    let proceed = format!("to proceed: --allow {allow}, an `approvals` entry in the guard file, or wait");
    Refusal {
        name: format!("{name}{tag} of a day"),
        headline: format!(
            "{}{of_tag} and the {} of the last 24 hours are over the day's limit of {}{}",
            counted(day.planned, things),
            number(day.done),
            number(day.allowed),
            because(plan, is_worst_case)
        ),
        arithmetic: format!(
            "{} + {} of {} ({}); limit `guard.caps.{name}.day: {}, floor {}`{stated}",
            number(day.done),
            number(day.planned),
            number(day.base),
            share(day.done + day.planned, day.base),
            day.percent,
            number(day.floor),
        ),
        proceed: if is_worst_case { RENEW.to_owned() } else { proceed },
        place: day.place.as_ref(),
        is_raised_by_snippet: !is_worst_case,
    }
}

/// `, raised to 800 until …` with its place, if an approval set the limit.
fn raised(plan: &Plan, axis: &AxisReport) -> String {
    let raise = axis.raised_by.and_then(|index| plan.guard.approvals.get(index as usize));
    let Some(raise) = raise else { return String::new() };
    let at = raise.place.as_ref().map_or_else(String::new, |at| format!(" in {}", place(at)));
    format!(", raised by {}{at}", raise.sentence())
}

/// The advice if the file of device groups is the reason.
const RENEW: &str = "to proceed: save the tenant's device groups anew into the file that the policy names; `mdetag groups` compares \
                     them with what the service reports";

/// The sentence that the file of device groups does not match the tenant, with the count.
fn mismatch(groups: Option<&Consequences>) -> String {
    let Some(check) = groups.map(|groups| &groups.check) else { return String::new() };
    // Of those that the plan leaves alone, unless only those that it changes say so.
    let (differ, of) = match check.differ {
        0 => (check.changed.differ, check.changed.of),
        differ => (differ, check.of),
    };
    let devices = counted(of, "device");
    format!("the file of device groups does not match the tenant ({} of {devices} differ)", number(differ))
}

fn invariant<'p>(plan: &Plan, invariant: &'p InvariantReport) -> Refusal<'p> {
    if invariant.worst_case {
        return Refusal {
            name: invariant.name.clone(),
            headline: format!(
                "invariant `{}` may not hold, because {}: {}",
                invariant.name,
                mismatch(plan.groups.as_ref()),
                invariant.demand
            ),
            arithmetic: format!(
                "{} now as predicted, {} after the plan in the worst case, which counts here; `guard.invariants` in {}",
                number(invariant.before),
                number(invariant.after),
                place(&invariant.place)
            ),
            proceed: RENEW.to_owned(),
            place: Some(&invariant.place),
            is_raised_by_snippet: false,
        };
    }
    Refusal {
        name: invariant.name.clone(),
        headline: format!("invariant `{}` would not hold: {}", invariant.name, invariant.demand),
        arithmetic: counts(invariant),
        proceed: "to proceed: change the rules so that it holds, or the invariant in a reviewed change of the guard \
                  file; no flag overrides it"
            .to_owned(),
        place: Some(&invariant.place),
        is_raised_by_snippet: false,
    }
}

/// An invariant that is already broken: its demand, and the counts with its place.
pub(super) fn broken(invariant: &InvariantReport) -> (String, String) {
    let headline = format!("invariant `{}` is broken: {}", invariant.name, invariant.demand);
    (headline, counts(invariant))
}

fn counts(invariant: &InvariantReport) -> String {
    format!(
        "{} now, {} after the plan; `guard.invariants` in {}",
        number(invariant.before),
        number(invariant.after),
        place(&invariant.place)
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::fixtures;

    fn of_day(axis: Axis, tag: Option<&str>, (done, planned, allowed): (u64, u64, u64)) -> DayReport {
        DayReport {
            axis,
            tag: tag.map(Arc::from),
            done,
            planned,
            allowed,
            base: 100,
            percent: "20 %".to_owned(),
            floor: 20,
            place: None,
        }
    }

    #[test]
    fn a_day_that_only_possible_moves_exceed_says_so_and_asks_for_a_new_file() {
        let mut plan = crate::report::fixtures::regrouped();
        plan.state.day = vec![of_day(Axis::GroupMoves, None, (4, 12, 10))];
        let [refusal] = refusals(&plan).try_into().expect("the day refuses");
        assert!(
            refusal.headline.ends_with(
                "over the day's limit of 10 in the worst case, because the file of device groups does not match the tenant (7 of 100 devices differ)"
            ),
            "{}",
            refusal.headline
        );
        assert_eq!(refusal.proceed, RENEW);
        // Three moves as predicted are too many as well.
        plan.state.day[0].done = 8;
        let [refusal] = refusals(&plan).try_into().expect("the day refuses");
        assert!(refusal.headline.ends_with("over the day's limit of 10"), "{}", refusal.headline);
    }

    #[test]
    fn a_plan_within_limits_says_what_the_runs_of_the_day_leave() {
        use crate::report::model::{Input, Model, Subject};
        let mut plan = crate::report::fixtures::example();
        plan.state.day = vec![
            of_day(Axis::Removals, None, (5, 3, 40)),
            of_day(Axis::RemovalsPerTag, Some("loose"), (1, 1, 90)),
            of_day(Axis::RemovalsPerTag, Some("tight"), (4, 2, 9)),
            of_day(Axis::Values, None, (0, 12, 90)),
            of_day(Axis::GroupMoves, None, (7, 0, 90)),
        ];
        let model = Model::new(Input::new(Subject::Plan, &plan));
        let phrases = crate::report::sentences::guard(&model);
        let phrases: Vec<String> = phrases.iter().map(|phrase| phrase.render(str::to_owned)).collect();
        let of_day: Vec<&String> = phrases.iter().filter(|phrase| phrase.contains("of a day")).collect();
        assert_eq!(of_day, ["removals of a day 5 + 3 of 40", "removalsPerTag of a day 4 + 2 of 9 (tight)"]);
    }

    #[test]
    fn one_snippet_raises_every_cap_that_refuses() {
        let mut plan = Plan::default();
        let axis = |axis, tag: Option<&str>, planned| AxisReport {
            tag: tag.map(Arc::from),
            ..fixtures::axis(axis, planned, 100, 5, 5)
        };
        plan.guard.axes = vec![
            axis(Axis::Removals, None, 12),
            axis(Axis::RemovalsPerTag, Some("a b"), 9),
            axis(Axis::Values, None, 1),
        ];
        plan.header.now = crate::time::Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
        fixtures::offer_snippet(&mut plan);
        let snippet = snippet(&plan).expect("two caps are exceeded");
        assert_eq!(snippet.arguments, "--allow removals=12 --allow 'removalsPerTag:a b=9'");
        assert_eq!((snippet.lead, snippet.first), ("to proceed", None));
        assert_eq!(
            snippet.approvals,
            [
                "- { cap: removals, max: 12, reason: \"WHY\", expires: 2026-12-06 }",
                "- { cap: removalsPerTag, tag: \"a b\", max: 9, reason: \"WHY\", expires: 2026-12-06 }",
            ]
        );
    }

    #[test]
    fn where_an_invariant_refuses_too_the_caps_come_second() {
        let mut plan = fixtures::refused();
        plan.guard.invariants.push(fixtures::refusing());
        let snippet = snippet(&plan).expect("a cap is exceeded");
        assert_eq!(snippet.lead, "then, for the caps");
        assert!(
            snippet.first.unwrap().ends_with("no flag overrides it"),
            "what `--allow` does not do comes first"
        );
    }
}
