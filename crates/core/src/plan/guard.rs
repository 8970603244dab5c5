//! The guard: caps and invariants, and the only constructor of a plan that may be applied.
//!
//! Has no off switch: a cap is raised to a number, on the record, or the plan is refused.

mod approvals;
mod changes_digest;
mod day;
mod past;
mod snippet;

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use approvals::{Allowance, ApprovalOrigin, ApprovalReport, ApprovalUse};
pub use changes_digest::changes_digest;
pub use day::{DayReport, StateReport};
pub use past::{Past, PastCount, PastWork, UnreadJournal};
pub use snippet::{Snippet, snippet};

use super::counted::{counts_after, counts_before, shortfall};
use super::families::MemberTags;
use super::tight::{self, TightInvariant};
use super::{Cause, DeviceChange, Plan, TagIndex};
use crate::diagnostic::{Place, Sources};
use crate::policy::{Axis, Counted, Guard, Invariant, Quantity};

/// The guard's arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuardReport {
    /// Whether anything is over a limit.
    pub refused: bool,
    /// Allowances and approvals that raised a cap, and those of which too little is left where it refuses.
    #[serde(default)]
    pub approvals: Vec<ApprovalReport>,
    /// What to paste to raise every cap that refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
    /// The `changesDigest` of the reviewed plan that this one is a part of.
    #[serde(default, rename = "partOf", skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// One entry an axis, and for `removalsPerTag` one a tag with removals.
    #[serde(default)]
    pub axes: Vec<AxisReport>,
    /// One entry an invariant.
    #[serde(default)]
    pub invariants: Vec<InvariantReport>,
}

/// One cap against this plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AxisReport {
    /// The axis.
    pub axis: Axis,
    /// The tag, for `removalsPerTag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Arc<str>>,
    /// How many the plan has.
    pub planned: u64,
    /// How many are allowed, approvals included.
    pub allowed: u64,
    /// How many the cap alone allows.
    #[serde(default)]
    pub cap: u64,
    /// Which of the guard's `approvals` set the limit; none where the cap did.
    #[serde(default, rename = "raisedBy", skip_serializing_if = "Option::is_none")]
    pub raised_by: Option<u32>,
    /// What the percentage is of.
    pub base: u64,
    /// The cap, as `10 %` and its floor.
    #[serde(default)]
    pub percent: String,
    /// The floor.
    #[serde(default)]
    pub floor: u64,
    /// Where the cap is stated; `None` for a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl GuardReport {
    /// Invariants that do not hold on the tenant as it is.
    pub fn broken(&self) -> impl Iterator<Item = &InvariantReport> {
        self.invariants.iter().filter(|invariant| invariant.broken)
    }

    /// Whether an entry of `approvals` set the limit of an axis; else too little of it is left.
    pub fn raises(&self, index: usize) -> bool {
        self.axes.iter().any(|axis| axis.raised_by.is_some_and(|raised_by| raised_by as usize == index))
    }

    /// The approvals and allowances without which this plan would be refused, with what it uses of each.
    pub fn needed(&self, state: &StateReport) -> Vec<ApprovalUse> {
        let needs = |axis: &&AxisReport| {
            let mut day = state.day.iter().filter(|day| day.axis == axis.axis && day.tag == axis.tag);
            axis.planned > axis.cap || day.any(|day| day.planned == 0 && axis.planned > 0)
        };
        let of = |axis: &AxisReport| {
            let approval = self.approvals.get(axis.raised_by? as usize)?.clone();
            Some(ApprovalUse { approval, tag: axis.tag.as_deref().map(str::to_owned), count: axis.planned })
        };
        self.axes.iter().filter(needs).filter_map(of).collect()
    }
}

impl AxisReport {
    /// Whether the plan is over it.
    pub fn is_exceeded(&self) -> bool {
        self.planned > self.allowed
    }
}

/// One invariant against this plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InvariantReport {
    /// Its name.
    pub name: String,
    /// What it demands, as a phrase: `at least 4 devices carry Tier0`.
    pub demand: String,
    /// The count now.
    pub before: u64,
    /// The count after the plan.
    pub after: u64,
    /// Whether it is broken now, before the plan: said, and drift, but no refusal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
    /// Whether it refuses the plan.
    pub refuses: bool,
    /// Whether it refuses only because the worst case counts: the file of device groups does not match the tenant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub worst_case: bool,
    /// Where it stands.
    pub place: Place,
}

/// A plan that passed the guard: `apply` takes nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct SafePlan {
    plan: Plan,
    tight: Vec<TightInvariant>,
}

/// A plan that the guard refused, with the arithmetic in its [`GuardReport`]. It can be shown, never applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The refused plan, for the report.
    pub plan: Plan,
}

impl SafePlan {
    /// Measures a plan against the guard. The plan's own `now` decides which approvals have expired.
    ///
    /// # Errors
    /// The plan with its arithmetic, if a cap or an invariant fails.
    pub fn new(
        mut plan: Plan,
        guard: &Guard,
        allowances: &[Allowance],
        sources: &Sources,
    ) -> Result<SafePlan, Box<Refused>> {
        plan.changes_digest = changes_digest(&plan);
        let raises = approvals::raises(&mut plan, guard, allowances, sources);
        let mut report = GuardReport { part_of: plan.measures.part_of.clone(), ..GuardReport::default() };
        let no_past = Past::default();
        let past = plan.measures.past.as_ref().unwrap_or(&no_past);
        let mut state = StateReport::of(&plan.measures);
        for AxisRow { axis, tag, planned, of_day, base } in planned(&plan) {
            let cap = guard.cap(axis);
            let place = cap.span.map(|span| sources.place(span));
            let (day_cap, has_day) = (guard.day_cap(axis), of_day > 0 && plan.header.reverts.is_none());
            let day_place = day_cap.span.map(|span| sources.place(span));
            let day = day::measure(past, (axis, tag.clone()), of_day, base, (day_cap, day_place));
            let mut day = day.filter(|_| has_day);
            let needs_day = day.as_ref().is_some_and(DayReport::is_exceeded);
            let least = if needs_day { planned.saturating_sub(1) } else { cap.allowed(base) };
            let raised = raise(&plan, &raises, axis, tag.as_deref(), least.min(cap.allowed(base)));
            let left = raised.map_or(0, |(raise, used)| raise.max.saturating_sub(used));
            // Changes that an allowance covers do not count against the day.
            if let Some(day) = day.as_mut().filter(|_| left >= planned) {
                day.planned = 0;
            }
            let raised_by = raised.map(|(raise, used)| record(&mut report.approvals, raise, used));
            let is_over =
                planned > left.max(cap.allowed(base)) || day.as_ref().is_some_and(DayReport::is_exceeded);
            if is_over && raised_by.is_none() {
                used_up(&plan, &raises, axis, tag.as_deref(), &mut report.approvals);
            }
            state.day.extend(day);
            report.axes.push(AxisReport {
                axis,
                tag,
                planned,
                allowed: left.max(cap.allowed(base)),
                cap: cap.allowed(base),
                raised_by,
                base,
                percent: cap.percent.to_string(),
                floor: cap.floor,
                place,
            });
        }
        plan.measures.invariants = after(&plan, guard);
        let counts = guard.invariants.iter().zip(&plan.measures.invariants);
        report.invariants = counts
            .map(|(invariant, counts)| {
                let in_scope = plan.measures.in_scope;
                let report = invariant_report(invariant, *counts, in_scope, sources);
                let as_predicted =
                    predicted(&plan, invariant).map(|it| invariant_report(invariant, it, in_scope, sources));
                let worst_case = report.refuses && as_predicted.is_some_and(|it| !it.refuses);
                InvariantReport { worst_case, ..report }
            })
            .collect();
        report.refused = report.axes.iter().any(AxisReport::is_exceeded)
            || state.day.iter().any(DayReport::is_exceeded)
            || report.invariants.iter().any(|invariant| invariant.refuses);
        let spent = (past, plan.header.options.tag_case);
        report.snippet = snippet(&report.axes, &state.day, spent, plan.header.now);
        plan.state = state;
        plan.guard = report;
        if plan.guard.refused {
            return Err(Box::new(Refused { plan }));
        }
        let tight = tight::tight(&plan, guard);
        Ok(SafePlan { plan, tight })
    }

    /// The plan that the guard let pass.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The invariants that this plan could break on its way.
    pub fn tight(&self) -> &[TightInvariant] {
        &self.tight
    }

    /// Some of its waves: a part of a plan that passed the guard is safe too.
    #[must_use]
    pub fn waves(&self, waves: std::ops::RangeInclusive<u32>) -> SafePlan {
        SafePlan { plan: super::waves::part(&self.plan, waves), tight: self.tight.clone() }
    }
}

/// The approval or allowance that raises a cap the most (of equal ones the first), and what earlier runs used of it; `None` if
/// nothing raises the cap.
fn raise<'a>(
    plan: &Plan,
    raises: &'a [ApprovalReport],
    axis: Axis,
    tag: Option<&str>,
    cap: u64,
) -> Option<(&'a ApprovalReport, u64)> {
    // If the use of a total is unknown, nothing of it is provably left; `--allow` is not a total over runs.
    let is_unknown = plan.measures.past.as_ref().is_some_and(|past| !past.unread.is_empty());
    let counts = |raise: &ApprovalReport| raise.from == ApprovalOrigin::Flag || !is_unknown;
    let left = |(raise, used): &(&ApprovalReport, u64)| raise.max.saturating_sub(*used);
    let covering = covering(plan, raises, axis, tag).into_iter().filter(|(raise, _)| counts(raise));
    covering.rev().filter(|raise| left(raise) > cap).max_by_key(left)
}

/// Every entry on an axis and a tag, with what earlier runs used of it.
fn covering<'a>(
    plan: &Plan,
    raises: &'a [ApprovalReport],
    axis: Axis,
    tag: Option<&str>,
) -> Vec<(&'a ApprovalReport, u64)> {
    let case = plan.header.options.tag_case;
    let uses = plan.measures.past.as_ref().map(|past| &*past.uses).unwrap_or_default();
    let covering = raises.iter().filter(|raise| raise.covers(axis, tag, case));
    covering.map(|raise| (raise, approvals::used(uses, raise, tag, case))).collect()
}

/// Lists the approvals of which too little is left to raise a cap that refuses.
fn used_up(
    plan: &Plan,
    raises: &[ApprovalReport],
    axis: Axis,
    tag: Option<&str>,
    approvals: &mut Vec<ApprovalReport>,
) {
    for (raise, used) in covering(plan, raises, axis, tag).into_iter().filter(|(_, used)| *used > 0) {
        record(approvals, raise, used);
    }
}

/// Adds the approval to the list once, and returns its index.
fn record(approvals: &mut Vec<ApprovalReport>, raise: &ApprovalReport, used: u64) -> u32 {
    let is_same = |other: &ApprovalReport| ApprovalReport { used: 0, ..other.clone() } == *raise;
    let at = approvals.iter().position(is_same).unwrap_or_else(|| {
        approvals.push(raise.clone());
        approvals.len() - 1
    });
    approvals[at].used = approvals[at].used.max(used);
    at as u32
}

/// The changes of a plan on an axis.
struct AxisRow {
    axis: Axis,
    tag: Option<Arc<str>>,
    planned: u64,
    /// The same without changes that no day counts.
    of_day: u64,
    base: u64,
}

/// The changes of a plan on each axis, and each axis's base.
fn planned(plan: &Plan) -> Vec<AxisRow> {
    let in_scope = plan.measures.in_scope;
    let (mut additions, mut removals, mut removals_of_day, mut values) = (0, 0, 0, 0);
    let mut per_tag: HashMap<TagIndex, (u64, u64)> = HashMap::new();
    let members = MemberTags::of(plan);
    for change in &plan.changes {
        additions += change.add.len() as u64;
        values += u64::from(change.value.is_some());
        for remove in &change.remove {
            let cause = plan.cause(remove.cause);
            // A rename only moves a device to the new name. That removes nothing, unless something depends on the old name.
            let is_free =
                gains_new_name(plan, change, cause, |_| true) && !plan.measures.watched.contains(&remove.tag);
            let counted = u64::from(!is_free);
            let is_replaced = members.is_replaced(change, *remove, |_| true);
            let of_day = if is_replaced { 0 } else { counted };
            (removals, removals_of_day) = (removals + counted, removals_of_day + of_day);
            let of_tag = per_tag.entry(remove.tag).or_default();
            (of_tag.0, of_tag.1) = (of_tag.0 + counted, of_tag.1 + of_day);
        }
    }
    let carriers: HashMap<TagIndex, u64> = plan.measures.carriers.iter().copied().collect();
    let of_tag = |(tag, (planned, of_day))| {
        let base = carriers.get(&tag).copied().unwrap_or(0);
        AxisRow { axis: Axis::RemovalsPerTag, tag: Some(plan.tag(tag).clone()), planned, of_day, base }
    };
    let mut tags: Vec<AxisRow> = per_tag.into_iter().map(of_tag).collect();
    tags.sort_by(|one, other| one.tag.cmp(&other.tag));
    let row = |axis, planned, of_day, base| AxisRow { axis, tag: None, planned, of_day, base };
    let mut rows = vec![
        row(Axis::Devices, plan.changes.len() as u64, 0, in_scope),
        row(Axis::Additions, additions, 0, in_scope),
        row(Axis::Removals, removals, removals_of_day, plan.measures.removable_pairs),
    ];
    rows.extend(tags);
    rows.push(row(Axis::Values, values, values, in_scope));
    if let Some(groups) = plan.judged_groups() {
        rows.push(row(Axis::GroupMoves, groups.judged_moves(), groups.judged_moves(), in_scope));
    }
    rows
}

/// Whether a removal is the second half of a rename whose first half is in the same plan and was `written`.
fn gains_new_name(
    plan: &Plan,
    change: &DeviceChange,
    cause: &Cause,
    written: impl Fn(TagIndex) -> bool,
) -> bool {
    let Cause::Renamed { to, .. } = cause else { return false };
    // A revert has the causes of the run that it undoes: they explain, but exempt nothing.
    if plan.header.reverts.is_some() {
        return false;
    }
    change.add.iter().any(|add| plan.is_tag(add.tag, to) && written(add.tag))
}

/// Every invariant's count before the plan (as measured) and after it.
pub fn after(plan: &Plan, guard: &Guard) -> Vec<(u64, u64)> {
    let before = |index: usize| plan.measures.invariants.get(index).map_or(0, |counts| counts.0);
    let counted = guard.invariants.iter().enumerate();
    counted
        .map(|(index, invariant)| {
            if let Counted::Group { name, .. } = &invariant.counts {
                return in_group(plan, invariant, name);
            }
            let (mut gained, mut lost) = (0, 0);
            for change in &plan.changes {
                match (
                    counts_before(plan, change, &invariant.counts),
                    counts_after(plan, change, &invariant.counts),
                ) {
                    (false, true) => gained += 1,
                    (true, false) => lost += 1,
                    _ => {}
                }
            }
            (before(index), (before(index) + gained).saturating_sub(lost))
        })
        .collect()
}

/// The count of an invariant on a device group: predicted, or the worst case if the prediction is unreliable.
fn in_group(plan: &Plan, invariant: &Invariant, name: &str) -> (u64, u64) {
    let bounds = plan.groups.iter().flat_map(|groups| &groups.bounds).find(|bounds| bounds.group == name);
    let Some(bounds) = bounds else { return (0, 0) };
    let is_short = invariant
        .at_least
        .is_some_and(|quantity| shortfall(bounds.least, quantity, plan.measures.in_scope) > 0);
    let worst = if is_short || invariant.at_most.is_none() { bounds.least } else { bounds.most };
    (bounds.before, worst)
}

/// The predicted count of an invariant on a device group, if the file does not match the tenant.
fn predicted(plan: &Plan, invariant: &Invariant) -> Option<(u64, u64)> {
    let Counted::Group { name, .. } = &invariant.counts else { return None };
    let groups = plan.groups.as_ref().filter(|groups| !groups.check.reliable)?;
    let bounds = groups.bounds.iter().find(|bounds| bounds.group == *name)?;
    let after = (bounds.before + bounds.gained.len() as u64).saturating_sub(bounds.lost.len() as u64);
    Some((bounds.before, after))
}

fn invariant_report(
    invariant: &Invariant,
    (before, after): (u64, u64),
    in_scope: u64,
    sources: &Sources,
) -> InvariantReport {
    let least = invariant
        .at_least
        .map(|quantity| (shortfall(before, quantity, in_scope), shortfall(after, quantity, in_scope)));
    let most = invariant
        .at_most
        .map(|quantity| (-shortfall(before, quantity, in_scope), -shortfall(after, quantity, in_scope)));
    // An invariant that is already broken only refuses changes that make it worse, so that incomplete repairs and unrelated
    // changes can pass.
    let bounds = || [least, most].into_iter().flatten();
    let refuses = bounds().any(|(before, after)| after > 0 && after > before.max(0));
    InvariantReport {
        name: invariant.name.clone(),
        demand: demand(invariant),
        before,
        after,
        broken: bounds().any(|(before, _)| before > 0),
        refuses,
        worst_case: false,
        place: sources.place(invariant.span),
    }
}

/// `at least 4 devices carry Tier0`.
fn demand(invariant: &Invariant) -> String {
    let amount = |quantity: Quantity| match quantity {
        Quantity::Count(1) => "1 device".to_owned(),
        Quantity::Count(count) => format!("{count} devices"),
        Quantity::Share(percent) => format!("{percent} of the devices in scope"),
    };
    let bounds = [("at least", invariant.at_least), ("at most", invariant.at_most)];
    let bounds: Vec<String> = bounds
        .into_iter()
        .filter_map(|(word, quantity)| quantity.map(|quantity| format!("{word} {}", amount(quantity))))
        .collect();
    let last = invariant.at_most.or(invariant.at_least);
    let (carry, have, are) = match last {
        Some(Quantity::Count(1)) => ("carries", "has", "is"),
        _ => ("carry", "have", "are"),
    };
    let what = match &invariant.counts {
        Counted::Tag(tag) => format!("{carry} {tag}"),
        Counted::Value(value) => format!("{have} the value {value}"),
        Counted::Group { name, .. } => format!("{are} in the device group {name}"),
    };
    format!("{} {what}", bounds.join(" and "))
}

#[cfg(test)]
mod tests;
