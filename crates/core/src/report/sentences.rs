//! The sentences that several renderers share: head, sums, calls and guard.
//!
//! Our own texts and foreign names are separate in a [`Phrase`], so that each renderer escapes the names in its own way.

use std::time::Duration;

use itertools::Itertools;

use crate::inventory::BaselineReport;
use crate::plan::guard::DayReport;
use crate::plan::{AxisReport, GuardReport, InvariantReport, Plan};
use crate::policy::{Axis, Percent, ShownIn};
use crate::time::spoken;

use super::consequences;
use super::escape;
use super::model::{Model, Subject, Totals};
use super::refusal;
use super::words::{self, counted, lane, number, share};

/// The most files that one sentence names.
const MOST_FILES: usize = 3;

/// A text, and names that follow it in parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// Our own words.
    pub text: String,
    /// Foreign names, not escaped.
    pub names: Vec<String>,
    /// Our own words after the names.
    pub more: String,
}

impl Phrase {
    /// A phrase without words after its names.
    pub fn new(text: String, names: impl IntoIterator<Item = String>) -> Phrase {
        Phrase { text, names: names.into_iter().collect(), more: String::new() }
    }

    /// The phrase with its names escaped by the renderer.
    pub fn render(&self, escape: impl Fn(&str) -> String) -> String {
        if self.names.is_empty() {
            return self.text.clone();
        }
        let names: Vec<String> = self.names.iter().map(|name| escape(name)).collect();
        format!("{} ({}{})", self.text, names.join(", "), self.more)
    }
}

/// `Plan`, `Drift`, `Applied`.
pub fn title(subject: Subject) -> &'static str {
    match subject {
        Subject::Plan => "Plan for",
        Subject::Drift => "Drift on",
        Subject::Applied => "Applied to",
    }
}

/// The tenant's name and id; not escaped.
pub fn tenant(plan: &Plan) -> Phrase {
    let tenant = &plan.header.tenant;
    match (&tenant.name, &tenant.id) {
        (Some(name), id) => Phrase::new(name.clone(), id.clone()),
        (None, Some(id)) => Phrase::new(id.clone(), None),
        (None, None) => Phrase::new("an unnamed tenant".to_owned(), None),
    }
}

/// The facts after the tenant in the first line. The commit comes from git and is shortened.
pub fn facts(model: &Model<'_>) -> Vec<String> {
    let header = &model.plan().header;
    let inventory = &header.inventory;
    let read = counted(inventory.devices, "device");
    let mut facts = vec![format!("{read} read, {} in scope", number(inventory.in_scope))];
    match &header.policy.commit {
        Some(commit) => facts.push(format!("policy {}", commit.chars().take(7).collect::<String>())),
        None if !header.policy.digest.is_empty() => {
            let digest = header.policy.digest.trim_start_matches("sha256:");
            let state = if header.policy.dirty { ", not committed" } else { "" };
            facts.push(format!("policy {}{state}", digest.chars().take(7).collect::<String>()));
        }
        None => {}
    }
    let trust = if inventory.reasons.is_empty() { "trusted" } else { "UNTRUSTED" };
    facts.push(match inventory.read_at {
        None => format!("inventory {trust}"),
        Some(read_at) => format!("inventory {trust}, recorded {}", words::recorded(read_at, header.now)),
    });
    if let Some(run) = model.input.run.filter(|run| !run.run_id.is_empty()) {
        facts.push(format!("run {}", run.run_id));
    }
    facts
}

/// What a reviewer must read first: a changed guard, protection or scope, an untrusted inventory, a broken invariant, a wrong
/// file of device groups. Not escaped. Leaves out differences that are `hidden` in this report.
pub fn must_read(model: &Model<'_>, hidden: ShownIn) -> Vec<String> {
    must_read_by_kind(model, hidden).into_iter().flat_map(|kind| kind.sentences).collect()
}

/// The same by kind: differences by section, with removed, changed and new ones separate.
pub fn must_read_by_kind(model: &Model<'_>, hidden: ShownIn) -> Vec<MustRead> {
    let other = |sentences: Vec<String>| MustRead { section: "other", sentences };
    let header = &model.input.plan.header;
    let undoes = header.reverts.iter().map(|run| {
        let opposed = header.opposed.map(|opposed| {
            let changes = model.input.plan.changes.iter();
            let changes = changes.map(|change| change.add.len() + change.remove.len() + usize::from(change.value.is_some()));
            format!("; the policies want {} of its {} the other way", number(opposed), counted(changes.sum::<usize>() as u64, "change"))
        });
        let opposed = opposed.unwrap_or_default();
        format!("this undoes run {run}: until the policies change, or with --after-revert, it stays undone{opposed}")
    });
    let mut kinds = vec![other(undoes.collect()), other(model.input.notices.to_vec())];
    let rails = model.input.policy_changes.iter();
    let rails = rails.filter(|difference| difference.area.is_rail() && difference.shown != hidden);
    let rails = rails.sorted_by_key(|difference| (difference.area, difference.kind));
    for ((area, _), differences) in &rails.chunk_by(|difference| (difference.area, difference.kind)) {
        let sentences = differences.map(|difference| difference.sentence.clone()).collect();
        kinds.push(MustRead { section: area.word(), sentences });
    }
    let inventory = &model.plan().header.inventory;
    let untrusted = (!inventory.reasons.is_empty()).then(|| {
        format!(
            "inventory untrusted: {}; no tag will be removed and no default value set",
            inventory.reasons.join("; ")
        )
    });
    let broken = broken(model).map(|invariant| {
        let (headline, arithmetic) = refusal::broken(invariant);
        format!("{headline}; {arithmetic}")
    });
    let state = &model.plan().state;
    let doubts = consequences::foreseen(model).map(|found| consequences::doubts_of_file(&found.check));
    kinds.extend([
        other(consequences::of_base(model).into_iter().collect()),
        other(untrusted.into_iter().collect()),
        other(broken.collect()),
        other(state.baselines.iter().filter_map(baseline).collect()),
        other(state.rivals.iter().map(rival).collect()),
        other(state.changed_back.iter().map(changed_back).collect()),
        other(doubts.unwrap_or_default()),
    ]);
    kinds
}

/// The sentences of one kind that must be read first, so that a report too short for all shows the first of each kind.
pub struct MustRead {
    /// The section of the policies, or `other`.
    pub section: &'static str,
    /// Not escaped.
    pub sentences: Vec<String>,
}

/// Differences from the base that only affect the plan, so that the plan shows their effect. Not escaped.
pub fn further(model: &Model<'_>, hidden: ShownIn) -> Vec<String> {
    let others = model.input.policy_changes.iter();
    let others = others.filter(|difference| !difference.area.is_rail() && difference.shown != hidden);
    others.map(|difference| difference.sentence.clone()).collect()
}

/// The number of differences in each further area, shown or not: `claims 12, data 3`.
pub fn further_by_area(model: &Model<'_>) -> String {
    let others = model.input.policy_changes.iter();
    let others = others.filter(|difference| !difference.area.is_rail() && difference.shown != ShownIn::Short);
    let counts = others.map(|difference| difference.area).sorted().dedup_with_count();
    counts.map(|(count, area)| format!("{} {}", area.word(), number(count as u64))).join(", ")
}

/// Another policy set that owns the same tags.
fn rival(rival: &crate::plan::Rival) -> String {
    let place = match &rival.repository {
        Some(repository) => format!("{} of {repository}", rival.policies),
        None => rival.policies.clone(),
    };
    let by = rival.who.as_ref().map_or_else(String::new, |who| format!(" by {who}"));
    let mut parts = Vec::new();
    if !rival.claims.is_empty() {
        parts.push(format!("claims tags that these claim: {}", rival.claims.join(", ")));
    }
    if rival.undone > 0 {
        let changes = counted(rival.undone, "change");
        let (tags, sample) = (rival.tags.join(", "), rival.sample.join(", "));
        parts.push(format!("wrote {changes} that this plan undoes ({tags} on {sample} …)"));
    }
    format!(
        "another policy set ({place}; run {} at {}{by}) {}",
        rival.run,
        rival.at.rounded_down(),
        parts.join(", and ")
    )
}

/// A change that others undid at least twice.
fn changed_back(found: &crate::plan::ChangedBack) -> String {
    let more = if found.devices > found.sample.len() as u64 { " …" } else { "" };
    let after = found
        .after
        .iter()
        .map(|after| format!("run {} at {}", after.run, after.at.rounded_down()))
        .join(", ");
    format!(
        "changed back at least twice: {} on {} ({}{more}) by {}, after {after}",
        found.tag,
        counted(found.devices, "device"),
        found.sample.join(", "),
        found.who
    )
}

/// Invariants that are already broken. Not for a run, because it has changed the tenant since the count.
pub fn broken<'a>(model: &Model<'a>) -> impl Iterator<Item = &'a InvariantReport> {
    let guard = model.input.run.is_none().then_some(&model.plan().guard);
    guard.into_iter().flat_map(GuardReport::broken)
}

/// The text in place of an empty list of groups.
pub fn nothing(model: &Model<'_>) -> &'static str {
    match model.input.subject {
        Subject::Plan => "Nothing to change.",
        Subject::Drift if broken(model).next().is_some() => "No device differs, but an invariant is broken.",
        Subject::Drift if model.plan().has_unaccepted() => {
            "Only contested changes: another origin holds them."
        }
        Subject::Drift if !model.plan().header.inventory.reasons.is_empty() => {
            "No drift in what was read; the read is untrusted, so that whether there is any cannot be known."
        }
        Subject::Drift => "No drift.",
        Subject::Applied => "Nothing was to be done.",
    }
}

/// `3,116 additions, 211 removals, 12 values on 3,201 devices`.
pub fn totals(totals: Totals) -> String {
    if totals.changes() == 0 {
        return "no changes".to_owned();
    }
    format!("{} on {}", counts(totals), counted(totals.devices, "device"))
}

/// `3,116 additions, 211 removals, 12 values`.
pub fn counts(totals: Totals) -> String {
    let parts = [(totals.additions, "addition"), (totals.removals, "removal"), (totals.values, "value")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count, noun)).collect();
    parts.join(", ")
}

/// Calls, shortest duration, budget; `None` without calls.
pub fn calls(model: &Model<'_>) -> Option<String> {
    let schedule = &model.plan().schedule;
    if schedule.total == 0 {
        return None;
    }
    let lanes: Vec<String> = schedule
        .lanes
        .iter()
        .filter(|cost| cost.calls > 0)
        .map(|cost| {
            // A lane with a single number is at its minimum.
            let above = if cost.calls > cost.minimum {
                format!(" (minimum {})", number(cost.minimum))
            } else {
                String::new()
            };
            format!("{} {}{above}", lane(cost.lane), number(cost.calls))
        })
        .collect();
    let least = spoken(Duration::from_secs(schedule.seconds));
    let mut calls = counted(schedule.total, "call");
    if let Some(uncombined) = schedule.uncombined.filter(|uncombined| *uncombined != schedule.total) {
        calls.push_str(&format!(" ({} without combining)", number(uncombined)));
    }
    Some(format!("{calls}: {} · at least {least}{}", lanes.join(", "), budget(model)))
}

/// How the calls fit this hour's budget.
fn budget(model: &Model<'_>) -> String {
    let Some(budget) = &model.plan().ledger else { return String::new() };
    let schedule = &model.plan().schedule;
    let costs = schedule.lanes.iter().filter(|cost| cost.calls > 0);
    let lanes = costs.filter_map(|cost| {
        let left = budget.lanes.iter().find(|left| left.lane == cost.lane)?;
        Some((left.left.saturating_sub(cost.calls), cost.calls > left.left, left))
    });
    // The lane with the least room limits the whole plan.
    let tightest = lanes.min_by_key(|(room, is_over, _)| (!is_over, *room));
    let Some((_, is_over, left)) = tightest else { return String::new() };
    let left = format!("({} of {} left)", number(left.left), number(left.of));
    if is_over {
        let wait = spoken(Duration::from_secs(budget.seconds));
        format!(", over this hour's budget {left}: at least {wait} from now")
    } else if budget.seconds > schedule.seconds {
        let wait = spoken(Duration::from_secs(budget.seconds));
        format!(", within this hour's budget {left}, {wait} from now")
    } else {
        format!(", within this hour's budget {left}")
    }
}

/// One phrase per axis with planned changes; for `removalsPerTag` the tightest tag.
pub fn guard(model: &Model<'_>) -> Vec<Phrase> {
    let plan = model.plan();
    let mut phrases = Vec::new();
    let mut tightest: Option<&AxisReport> = None;
    for axis in plan.guard.axes.iter().filter(|axis| axis.planned > 0 || axis.is_exceeded()) {
        match &axis.tag {
            None => {
                let renames = match axis.axis {
                    Axis::Removals => model.totals.removals.saturating_sub(axis.planned),
                    _ => 0,
                };
                // No cap counts the removal of a renamed tag, so it must be mentioned or the sums would not add up.
                let besides = match renames {
                    0 => String::new(),
                    count => format!(" besides {}", counted(count, "rename")),
                };
                phrases
                    .push(Phrase::new(format!("{} {}{besides}", axis.axis.word(), of_allowed(axis)), None));
            }
            Some(_) => {
                // Compared as fractions: planned / allowed.
                let is_tighter = tightest.is_none_or(|other| {
                    u128::from(axis.planned) * u128::from(other.allowed.max(1))
                        > u128::from(other.planned) * u128::from(axis.allowed.max(1))
                });
                if is_tighter {
                    tightest = Some(axis);
                }
            }
        }
    }
    if let Some(axis) = tightest {
        phrases.push(Phrase::new(
            format!("removalsPerTag {}", of_allowed(axis)),
            axis.tag.as_deref().map(|tag| escape::tag(tag).into_owned()),
        ));
    }
    phrases.extend(days(plan));
    phrases
}

/// What earlier runs of the last 24 hours leave of the day's caps: one phrase per axis, the tightest tag for `removalsPerTag`.
fn days(plan: &Plan) -> impl Iterator<Item = Phrase> {
    let used = |day: &&DayReport| day.done > 0 && day.planned > 0;
    let all = plan.state.day.iter().filter(used);
    let share =
        |day: &DayReport| u128::from(day.done + day.planned) * 1_000_000 / u128::from(day.allowed.max(1));
    let tightest = all.clone().filter(|day| day.tag.is_some()).max_by_key(|day| share(day));
    let phrase = |day: &DayReport| {
        let (done, planned) = (number(day.done), number(day.planned));
        let of = format!("{} of a day {done} + {planned} of {}", day.axis.word(), number(day.allowed));
        Phrase::new(of, day.tag.as_deref().map(|tag| escape::tag(tag).into_owned()))
    };
    all.filter(|day| day.tag.is_none()).chain(tightest).map(phrase)
}

/// A shrunk source that an approval accepts. Without an approval it makes the read untrusted, and is listed there.
fn baseline(report: &BaselineReport) -> Option<String> {
    let (source, from) = (&report.source, number(report.from));
    let Some(to) = report.to else {
        return Some(format!(
            "the policy set no longer has the source {source}; the last trusted runs counted {from} rows in it"
        ));
    };
    let approved = report.approved.as_ref()?;
    let place = format!("{}:{}", approved.file, approved.line);
    Some(format!("{source} went from {from} to {}, which the approval at {place} accepts", number(to)))
}

/// The facts that the guard could not get from the kept state. Names are not escaped.
pub fn state(plan: &Plan) -> Option<String> {
    let state = &plan.state;
    if state.unreadable.is_empty() {
        // Only if a day's cap depends on it: a plan without removals needs no such figure.
        let matters = state.is_unknown && state.day.iter().any(|day| day.planned > 0);
        let unknown = "no earlier run is kept here: what this policy set did in the last 24 hours is unknown";
        return matters.then(|| unknown.to_owned());
    }
    let files = state.unreadable.iter().take(MOST_FILES).cloned().collect::<Vec<_>>().join(", ");
    let more = state.unreadable.len().saturating_sub(MOST_FILES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let day = if state.is_unknown { ", and so is what was done in the last 24 hours" } else { "" };
    Some(format!(
        "{files}{more} cannot be read whole: what earlier runs used of approvals is unknown{day}; \
         no approval counts until the journal is restored or moved away (`--allow` does)"
    ))
}

/// `7.6 % of 50 %` if the percentage is the limit, `5 of 100` if a floor or an approval is.
fn of_allowed(axis: &AxisReport) -> String {
    let by_percent =
        Percent::parse(&axis.percent).is_some_and(|percent| percent.of(axis.base) == axis.allowed);
    if by_percent && axis.base > 0 && axis.allowed > 0 {
        format!("{} of {}", share(axis.planned, axis.base), axis.percent)
    } else {
        format!("{} of {}", number(axis.planned), number(axis.allowed))
    }
}
