//! Groups as findings at places of the policy: the source of SARIF, JUnit, code quality and CI annotations.
//!
//! Messages contain names unchanged; each renderer escapes them for its target.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeMap;

use crate::apply::Outcome;
use crate::diagnostic::{Place, Severity};
use crate::plan::{Cause, Plan, Withheld};

use super::consequences;
use super::escape::clip;
use super::last;
use super::model::{ChangeGroup, ChangeOrigin, Class, Model, ReportedChange, Subject};
use super::not_done;
use super::refusal;
use super::renamed;
use super::sentences;
use super::words::{self, counted, noun_for, number, outcome_phrase};

/// The most findings of a report, because code-scanning services accept a few thousand. The rest becomes one finding with its
/// counts.
pub const MOST: usize = 4_000;

/// The most device groups whose numbers are named.
const MOST_COUNTS: usize = 50;

/// The most devices that are named for a lost tag.
const MOST_LOST: usize = 20;

#[derive(Clone, Debug)]
pub struct ReportFinding<'a> {
    /// The origin of the finding: `rule/NAME`, `unselected/CLAIM`, `family/NAME`, `retired`, `renamed/TO`, `default`,
    /// `guard/AXIS`, …
    pub rule: String,
    pub severity: Severity,
    /// `missing`, `extra`, `value`, …; an outcome's word; `guard`.
    pub class: &'static str,
    /// Whether a check has failed.
    pub is_failure: bool,
    /// The change and its tag, without counts: the same in every run.
    pub title: String,
    /// One sentence with counts and up to three devices.
    pub message: String,
    pub place: Option<&'a Place>,
    /// Number of changes in it.
    pub changes: u64,
    /// Its half, with a base.
    pub origin: Option<ChangeOrigin>,
}

impl ReportFinding<'_> {
    /// The same finding has the same fingerprint in every run.
    pub fn fingerprint(&self) -> String {
        let digest = crate::plan::digest::sha256(format!("{}\n{}", self.rule, self.title).as_bytes());
        digest.trim_start_matches("sha256:").to_owned()
    }
}

/// All findings of a report, the guard's first.
pub fn findings<'a>(model: &Model<'a>) -> Vec<ReportFinding<'a>> {
    let mut findings = refused(model.plan());
    findings.extend(untrusted(model.plan()));
    findings.extend(broken(model));
    findings.extend(moved(model));
    findings.extend(lost(model));
    findings.extend(halted(model));
    let mut rest = (0, 0);
    for part in &model.parts {
        for group in renamed::joined(model, &part.groups).iter() {
            if findings.len() < MOST
                || matches!(group.what, ReportedChange::Remove(_)) && findings.len() < 2 * MOST
            {
                findings.push(grouped(model, group, part.origin));
            } else {
                rest.0 += 1;
                rest.1 += group.changes();
            }
        }
    }
    // Changes that a run left out are reported with its plan; those that the service refuses are in every report.
    let is_told = |class: &Class| model.input.run.is_none() || *class == Class::Unwritable;
    let asides = model.asides().filter(|(class, _)| is_told(class));
    findings.extend(asides.filter_map(|(class, aside)| withheld(model, class, aside)));
    if rest.0 > 0 {
        findings.push(ReportFinding {
            rule: "more".to_owned(),
            severity: Severity::Note,
            class: "more",
            is_failure: model.input.subject == Subject::Drift,
            title: "further groups".to_owned(),
            message: format!(
                "{} with {} not listed one by one; other formats have all",
                counted(rest.0, "further group"),
                counted(rest.1, "change")
            ),
            place: None,
            changes: rest.1,
            origin: None,
        });
    }
    findings
}

/// The id of a cause.
pub fn rule_id(plan: &Plan, cause: Option<&Cause>) -> String {
    let named = |name: &str| clip(name, 100).into_owned();
    match cause {
        Some(Cause::Rule(rules)) => {
            let names: Vec<&str> = rules.iter().map(|rule| words::rule_name(plan, *rule)).collect();
            named(&format!("rule/{}", names.join("+")))
        }
        Some(Cause::Unselected { claim, .. }) => named(&format!("unselected/{claim}")),
        Some(Cause::Family { family, .. }) => named(&format!("family/{family}")),
        Some(Cause::Retired { .. }) => "retired".to_owned(),
        Some(Cause::Renamed { to, .. }) => named(&format!("renamed/{to}")),
        Some(Cause::Default { .. }) => "default".to_owned(),
        Some(Cause::Restored { .. }) => "restored".to_owned(),
        None => "unplanned".to_owned(),
    }
}

/// Tags that calls of the run removed by accident, by tag and by whether they are back.
fn lost<'a>(model: &Model<'a>) -> Vec<ReportFinding<'a>> {
    let mut groups: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    for row in model.lost_rows() {
        let is_back = row.outcome.is_some_and(|lost| lost.outcome == Outcome::Done);
        groups
            .entry((is_back, row.what.tag().unwrap_or_default()))
            .or_default()
            .push(row.name.unwrap_or(row.id));
    }
    let finding = |((is_back, tag), devices): ((bool, &str), Vec<&str>)| {
        let count = devices.len() as u64;
        let mut names: Vec<String> =
            devices.iter().take(MOST_LOST).map(|name| clip(name, 80).into_owned()).collect();
        if devices.len() > names.len() {
            names.push(format!("… {} more", number((devices.len() - names.len()) as u64)));
        }
        let end = if is_back { "put back" } else { "not put back" };
        ReportFinding {
            rule: "lostTag".to_owned(),
            severity: if is_back { Severity::Note } else { Severity::Error },
            class: "lostTag",
            is_failure: !is_back,
            title: format!("tag \"{tag}\" lost and {end}"),
            message: format!(
                "tag \"{tag}\" was taken along by a call on {} and {end}: {}",
                counted(count, "device"),
                names.join(", ")
            ),
            place: None,
            changes: count,
            origin: None,
        }
    };
    groups.into_iter().map(finding).collect()
}

fn grouped<'a>(
    model: &Model<'a>,
    group: &ChangeGroup<'a>,
    origin: Option<ChangeOrigin>,
) -> ReportFinding<'a> {
    let plan = model.plan();
    let cause = group.cause.and_then(|cause| plan.causes.get(cause.0 as usize));
    let (severity, class, is_failure) = match (model.input.subject, group.outcome) {
        (_, Some(outcome)) => {
            let is_failure = outcome.is_bad();
            let severity = if is_failure { Severity::Error } else { Severity::Note };
            (severity, outcome.word(), is_failure)
        }
        (Subject::Drift, None) => (Severity::Warning, group.what.class().word(), true),
        (_, None) => (Severity::Note, group.what.class().word(), false),
    };
    let why = renamed::why(group).or_else(|| Some(words::cause(plan, cause?)));
    let why = why.map_or_else(String::new, |why| format!(" ({})", clip(&why, 200)));
    let last = last::phrase(&group.last).map_or_else(String::new, |mark| format!(", {mark}"));
    ReportFinding {
        rule: rule_id(plan, cause),
        severity,
        class,
        is_failure,
        title: title(group),
        message: format!("{}{why}{last}: {}", sentence(model, group), sample(model, group)),
        place: cause.and_then(|cause| words::cause_place(plan, cause)),
        changes: group.changes(),
        origin,
    }
}

/// `add tag "Tier0"`.
fn title(group: &ChangeGroup<'_>) -> String {
    match group.what {
        ReportedChange::Add(tag) => format!("add tag \"{tag}\""),
        ReportedChange::Remove(tag) => format!("remove tag \"{tag}\""),
        ReportedChange::Value { .. } => format!("value {}", clip(&group.what.label(), 100)),
    }
}

/// Present tense for facts, future for plans.
fn sentence(model: &Model<'_>, group: &ChangeGroup<'_>) -> String {
    let devices = counted(group.devices(), "device");
    let count = group.devices();
    if let Some(outcome) = group.outcome {
        let error = group.error.map_or_else(String::new, |error| format!(": {}", clip(error, 300)));
        let what = match (group.what, group.new_name) {
            (ReportedChange::Remove(tag), Some(to)) => format!("rename tag \"{tag}\" to \"{to}\""),
            _ => title(group),
        };
        return format!("{what} on {devices}: {}{error}", outcome_phrase(outcome));
    }
    match (model.input.subject, group.what) {
        (Subject::Drift, ReportedChange::Add(tag)) => {
            format!("{devices} {} tag \"{tag}\"", noun_for(count, "lacks|lack"))
        }
        (Subject::Drift, ReportedChange::Remove(tag)) => {
            format!("{devices} {} tag \"{tag}\" and should not", noun_for(count, "carries|carry"))
        }
        (Subject::Drift, ReportedChange::Value { from, to }) => {
            let has = noun_for(count, "has|have");
            format!("{devices} {has} the value {} and should have {to}", clip(from.unwrap_or("(none)"), 40))
        }
        (_, ReportedChange::Add(tag)) => format!("will add tag \"{tag}\" to {devices}"),
        (_, ReportedChange::Remove(tag)) => match group.new_name {
            Some(to) => format!("will rename tag \"{tag}\" to \"{to}\" on {devices}"),
            None => format!("will remove tag \"{tag}\" from {devices}"),
        },
        (_, ReportedChange::Value { from, to }) => {
            format!("will set the value {to} (now {}) on {devices}", clip(from.unwrap_or("(none)"), 40))
        }
    }
}

fn sample(model: &Model<'_>, group: &ChangeGroup<'_>) -> String {
    let mut names: Vec<String> = group
        .members
        .iter()
        .take(3)
        .map(|member| clip(model.device_name(*member), 80).into_owned())
        .collect();
    if group.members.len() > names.len() {
        names.push(format!("… {} more", number((group.members.len() - names.len()) as u64)));
    }
    names.join(", ")
}

fn withheld<'a>(model: &Model<'a>, class: Class, aside: &'a Withheld) -> Option<ReportFinding<'a>> {
    let plan = model.plan();
    let is_drift =
        model.input.subject == Subject::Drift && class == Class::Contested && aside.unaccepted() > 0;
    let changes = aside.additions + aside.removals + aside.values;
    if changes == 0 {
        return None;
    }
    let word = aside.reason.word();
    let name = aside.name.as_deref().unwrap_or_default();
    let rule = plan.rules.iter().find(|rule| rule.name == name);
    let of = if name.is_empty() { String::new() } else { format!(" ({})", clip(name, 100)) };
    let devices = counted(aside.device_count, "device");
    let retried =
        aside.until.map_or_else(String::new, |until| format!("; tried again from {}", until.rounded_up()));
    let accepted = not_done::accepted(aside);
    Some(ReportFinding {
        rule: format!("withheld/{word}"),
        severity: if is_drift { Severity::Warning } else { Severity::Note },
        class: class.word(),
        is_failure: is_drift,
        title: format!("{word}{of}"),
        message: format!(
            "{} on {devices} not written: {word}{of}{retried}{accepted}",
            counted(changes, "change")
        ),
        place: rule.map(|rule| &rule.place).filter(|place| !place.file.is_empty()),
        changes,
        origin: None,
    })
}

/// Invariants that are already broken: drift, but no failure of a plan, which may repair them.
fn broken<'a>(model: &Model<'a>) -> impl Iterator<Item = ReportFinding<'a>> {
    let is_failure = model.input.subject == Subject::Drift;
    sentences::broken(model).take(MOST / 4).map(move |invariant| {
        let (headline, arithmetic) = refusal::broken(invariant);
        ReportFinding {
            rule: format!("invariant/{}", clip(&invariant.name, 100)),
            severity: Severity::Warning,
            class: "invariant",
            is_failure,
            title: format!("invariant {} is broken", clip(&invariant.name, 100)),
            message: format!("{headline}. {arithmetic}"),
            place: Some(&invariant.place).filter(|place| !place.file.is_empty()),
            changes: 0,
            origin: None,
        }
    })
}

fn untrusted(plan: &Plan) -> Option<ReportFinding<'_>> {
    let reasons = &plan.header.inventory.reasons;
    (!reasons.is_empty()).then(|| ReportFinding {
        rule: "inventory/untrusted".to_owned(),
        severity: Severity::Warning,
        class: "untrusted",
        is_failure: true,
        title: "inventory untrusted".to_owned(),
        message: format!("the inventory is untrusted: {}", clip(&reasons.join("; "), 500)),
        place: None,
        changes: 0,
        origin: None,
    })
}

/// What a reviewer of device groups must see: a wrong file, groups that its check hardly sees, and every move; those that
/// widen access or raise remediation are warnings.
fn moved<'a>(model: &Model<'a>) -> Vec<ReportFinding<'a>> {
    let Some(found) = consequences::foreseen(model) else { return Vec::new() };
    let finding = |(severity, rule): (Severity, &str), title: String, message: String| ReportFinding {
        rule: format!("groups/{rule}"),
        severity,
        class: "groups",
        is_failure: false,
        title,
        message,
        place: None,
        changes: 0,
        origin: None,
    };
    let name = |name: &str| clip(name, 100).into_owned();
    let mut findings = Vec::new();
    if let Some(text) = consequences::differing(&found.check) {
        let title = "device groups differ from the file".to_owned();
        findings.push(finding((Severity::Warning, "differ"), title, clip(&text, 1_000).into_owned()));
    }
    let unseen = found.check.hardly_checked.iter().take(MOST / 4);
    findings.extend(unseen.map(|group| {
        let title = format!("device group \"{}\" is hardly compared with the file", name(&group.name));
        finding((Severity::Note, "unseen"), title, consequences::unseen(group))
    }));
    let mut moves = found.moves.iter();
    findings.extend(moves.by_ref().take(MOST / 4).map(|one| {
        let severity = if one.widens() { Severity::Warning } else { Severity::Note };
        let title = format!("device group \"{}\" to \"{}\"", name(&one.from), name(&one.to));
        finding((severity, "move"), title, consequences::sentence(one, &name))
    }));
    let rest: Vec<u64> = moves.map(|one| one.devices).collect();
    if !rest.is_empty() {
        let message = format!(
            "{} with {} not listed one by one; other formats have all",
            counted(rest.len() as u64, "further move"),
            counted(rest.iter().sum(), "device")
        );
        findings.push(finding((Severity::Note, "more"), "further moves".to_owned(), message));
    }
    let counts = consequences::counts(found);
    if !counts.is_empty() {
        let shown = counts.iter().take(MOST_COUNTS);
        let mut shown: Vec<String> = shown
            .map(|(group, before, after)| {
                format!("{}: {} → {}", name(group), number(*before), number(*after))
            })
            .collect();
        if counts.len() > MOST_COUNTS {
            shown.push(format!("… {} more", number((counts.len() - MOST_COUNTS) as u64)));
        }
        let title = "devices of device groups".to_owned();
        findings.push(finding((Severity::Note, "devices"), title, shown.join("; ")));
    }
    if let Some(text) = consequences::exposure(found) {
        findings.push(finding((Severity::Note, "exposure"), "exposure weight".to_owned(), text));
    }
    findings
}

/// The gate that stopped the rollout, with the devices that failed it.
fn halted<'a>(model: &Model<'a>) -> Option<ReportFinding<'a>> {
    let run = model.input.run?;
    let halt = run.halt.as_ref()?;
    let changes = &model.plan().changes;
    let name = |id: &std::sync::Arc<str>| {
        let place = changes.binary_search_by(|change| change.id.cmp(id)).ok();
        let name = place.and_then(|place| changes[place].name.as_deref()).unwrap_or(id);
        clip(name, 80).into_owned()
    };
    let names: Vec<String> = halt.devices.iter().map(name).collect();
    let why = run.stopped.as_deref().unwrap_or("the gate failed");
    Some(ReportFinding {
        rule: format!("gate/{}", halt.gate.word()),
        severity: Severity::Error,
        class: "gate",
        is_failure: true,
        title: format!("wave {} fails the gate {}", halt.wave, halt.gate.word()),
        message: format!("the rollout was stopped: {why}: {}", names.join(", ")),
        place: None,
        changes: 0,
        origin: None,
    })
}

fn refused(plan: &Plan) -> Vec<ReportFinding<'_>> {
    let finding = |title: String, message: String, place| ReportFinding {
        rule: "guard".to_owned(),
        severity: Severity::Error,
        class: "guard",
        is_failure: true,
        title,
        message,
        place,
        changes: 0,
        origin: None,
    };
    let mut refusals = refusal::refusals(plan);
    let rest = refusals.split_off(refusals.len().min(MOST / 4)).len() as u64;
    let refusals = refusals.into_iter().map(|refusal| {
        let message = format!("{}. {}. {}", refusal.headline, refusal.arithmetic, refusal.proceed);
        finding(refusal.name, message, refusal.place.filter(|place| !place.file.is_empty()))
    });
    let more = (rest > 0).then(|| {
        let message =
            format!("{} not listed one by one; other formats have all", counted(rest, "further refusal"));
        finding("further refusals".to_owned(), message, None)
    });
    refusals.chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Gate, Halt};
    use crate::report::markdown::MAX_CHARS;
    use crate::report::model::Input;
    use crate::report::{Format, Style, fixtures, write};

    #[test]
    fn a_gate_that_stopped_a_rollout_is_a_failure_in_every_format_of_findings_and_a_metric() {
        let plan = fixtures::example();
        let mut run = fixtures::run(&plan);
        run.stopped = Some("wave 1 fails the gate `failed`: 9 of 25 devices (at most 5 % may)".to_owned());
        run.halt = Some(Halt {
            wave: 1,
            gate: Gate::Failed,
            bad: 9,
            of: 25,
            at_most: Some("5 %".to_owned()),
            devices: vec![plan.changes[0].id.clone()],
        });
        let input = Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) };
        let render = |format: Format| {
            let mut out = Vec::new();
            write(format, &Model::new(input), &Style::default(), MAX_CHARS, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for format in [Format::Junit, Format::Sarif, Format::CodeQuality] {
            let text = render(format);
            assert!(text.contains("9 of 25 devices"), "{format:?}: {text}");
            assert!(text.contains("(at most 5 % may): dc01.corp.example.com"), "{format:?}: {text}");
        }
        assert!(render(Format::Sarif).contains("gate/failed"));
        let text = render(Format::Openmetrics);
        assert!(
            text.contains("mdetag_gate_failed{tenant=\"contoso\",gate=\"failed\",wave=\"1\"} 9"),
            "{text}"
        );
        run.halt = None;
        let input = Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) };
        assert!(findings(&Model::new(input)).iter().all(|finding| finding.class != "gate"));
    }
}
