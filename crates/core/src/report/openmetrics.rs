//! OpenMetrics text for a node exporter's text collector: how much differs, why, and the cost.
//!
//! The names below are an interface that dashboards and alerts depend on. Series are bounded, so that a template with a thousand
//! tags does not become a thousand time series per scrape.

use std::io::{self, Write};

use hashbrown::HashMap;

use crate::apply::{Halt, Outcome};
use crate::plan::consequences::{Consequences, GroupMove};

use super::consequences;
use super::escape::{self, clip};
use super::finding::rule_id;
use super::model::{Class, Model};

/// Tags, and causes, with a series of their own; the rest is summed up under an empty name.
const SERIES: usize = 200;

/// Labels and value of one series.
type MetricSample = (Vec<(&'static str, String)>, u64);

/// The name and help of every metric.
pub const METRICS: [(&str, &str); 29] = [
    ("mdetag_report_timestamp_seconds", "When the plan was made, in seconds since 1970."),
    ("mdetag_devices", "Devices read."),
    ("mdetag_devices_in_scope", "Devices in scope of the policy set."),
    ("mdetag_inventory_trusted", "1 where the inventory is trusted, 0 where removals are withheld."),
    ("mdetag_changes", "Changes that the policy set wants, by action."),
    ("mdetag_devices_changed", "Devices that the policy set wants to change."),
    ("mdetag_drift", "Differences by class; missing, extra and value are drift."),
    (
        "mdetag_drift_by_cause",
        "Changes by cause and action; the largest ones, the rest under an empty cause.",
    ),
    ("mdetag_drift_by_tag", "Changes by tag and action; the largest ones, the rest under an empty tag."),
    ("mdetag_split_changes", "Changes of this change and before it, against a base."),
    ("mdetag_withheld", "Changes that are not made, by reason."),
    ("mdetag_unresolved", "Templates without a tag for a device, by rule."),
    ("mdetag_calls", "Calls that the plan takes, by lane."),
    ("mdetag_calls_minimum", "The provable minimum of calls, by lane."),
    ("mdetag_least_duration_seconds", "Seconds that the limits allow at best, from an unused budget."),
    ("mdetag_budget_left", "Calls left in this hour, by lane."),
    ("mdetag_guard_planned", "What the guard counts, by axis."),
    ("mdetag_guard_allowed", "What the guard allows, by axis."),
    ("mdetag_guard_refused", "1 where the guard refuses the plan."),
    ("mdetag_invariant_broken", "1 where an invariant does not hold on the tenant as it is, by invariant."),
    ("mdetag_group_moves", "Devices that change device group as predicted, by move; the largest ones."),
    (
        "mdetag_group_devices",
        "Devices in scope by predicted device group, before and after the plan; the largest ones.",
    ),
    ("mdetag_groups_differ", "Devices in another device group than the file predicts."),
    ("mdetag_groups_reliable", "1 where every predicted move may be relied on."),
    ("mdetag_exposure_weight_hundredths", "Weight of the devices in the exposure score, in hundredths."),
    ("mdetag_outcomes", "How the changes of the last run ended."),
    (
        "mdetag_gate_failed",
        "Devices that fail the gate that stopped the rollout, by gate and wave; absent if none did.",
    ),
    ("mdetag_lost_tags", "Tags that calls of the last run took along, by whether they are back."),
    ("mdetag_exit_code", "Exit code of the last run."),
];

/// Writes the report.
///
/// # Errors
/// Those of the writer.
pub fn openmetrics(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    if model.is_sandbox() {
        writeln!(out, "# HELP mdetag_sandbox SANDBOX: these figures are of a simulated tenant.")?;
        writeln!(out, "# TYPE mdetag_sandbox gauge\nmdetag_sandbox 1")?;
    }
    let tenant = &model.plan().header.tenant;
    let tenant = escape::openmetrics(tenant.name.as_deref().or(tenant.id.as_deref()).unwrap_or_default());
    for (name, help) in METRICS {
        let samples = samples(model, name);
        if samples.is_empty() {
            continue;
        }
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")?;
        if name.ends_with("_seconds") {
            writeln!(out, "# UNIT {name} seconds")?;
        }
        for (labels, value) in samples {
            let labels: String = labels
                .iter()
                .map(|(label, text)| format!(",{label}=\"{}\"", escape::openmetrics(text)))
                .collect();
            writeln!(out, "{name}{{tenant=\"{tenant}\"{labels}}} {value}")?;
        }
    }
    writeln!(out, "# EOF")
}

fn single_sample(value: u64) -> Vec<MetricSample> {
    vec![(Vec::new(), value)]
}

fn samples(model: &Model<'_>, name: &str) -> Vec<MetricSample> {
    let plan = model.plan();
    let is_run = model.input.run.is_some();
    let totals =
        [("add", model.totals.additions), ("remove", model.totals.removals), ("value", model.totals.values)];
    match name {
        "mdetag_report_timestamp_seconds" => single_sample(plan.header.created_at.seconds().max(0) as u64),
        "mdetag_devices" => single_sample(plan.header.inventory.devices),
        "mdetag_devices_in_scope" => single_sample(plan.header.inventory.in_scope),
        "mdetag_inventory_trusted" => single_sample(u64::from(plan.header.inventory.reasons.is_empty())),
        "mdetag_changes" => totals.map(|(action, count)| (vec![("action", action.to_owned())], count)).into(),
        "mdetag_devices_changed" => single_sample(model.totals.devices),
        "mdetag_drift" if !is_run => {
            Class::ALL.map(|class| (vec![("class", class.word().to_owned())], model.class(class))).into()
        }
        "mdetag_drift_by_cause" if !is_run => by_cause(model),
        "mdetag_drift_by_tag" if !is_run => by_tag(model),
        "mdetag_split_changes" => split(model),
        "mdetag_withheld" => withheld(model),
        "mdetag_unresolved" => unresolved(model),
        "mdetag_guard_refused" if !is_run => single_sample(u64::from(plan.guard.refused)),
        "mdetag_outcomes" if is_run => Outcome::ALL
            .map(|outcome| (vec![("outcome", outcome.word().to_owned())], model.outcome(outcome)))
            .into(),
        "mdetag_lost_tags" => model.input.run.map_or_else(Vec::new, |run| {
            let (back, left) = super::lost::counts(&run.lost);
            let label = |is_back: bool| vec![("restored", is_back.to_string())];
            vec![(label(true), back), (label(false), left)]
        }),
        "mdetag_gate_failed" => {
            let halt = model.input.run.and_then(|run| run.halt.as_ref());
            let labels =
                |halt: &Halt| vec![("gate", halt.gate.word().to_owned()), ("wave", halt.wave.to_string())];
            halt.map_or_else(Vec::new, |halt| vec![(labels(halt), halt.bad)])
        }
        "mdetag_exit_code" => {
            model.input.run.map_or_else(Vec::new, |run| single_sample(run.exit_code.into()))
        }
        "mdetag_group_moves"
        | "mdetag_group_devices"
        | "mdetag_groups_differ"
        | "mdetag_groups_reliable"
        | "mdetag_exposure_weight_hundredths" => foreseen(model, name),
        _ if !is_run => cost(model, name),
        _ => Vec::new(),
    }
}

/// Calls, budget and guard.
fn cost(model: &Model<'_>, name: &str) -> Vec<MetricSample> {
    let plan = model.plan();
    let lane = |lane: crate::plan::Lane| vec![("lane", lane.word().to_owned())];
    let lanes = plan.schedule.lanes.iter();
    let axes = plan.guard.axes.iter().filter(|axis| axis.tag.is_none());
    match name {
        "mdetag_calls" => lanes.map(|cost| (lane(cost.lane), cost.calls)).collect(),
        "mdetag_calls_minimum" => lanes.map(|cost| (lane(cost.lane), cost.minimum)).collect(),
        "mdetag_least_duration_seconds" => single_sample(plan.schedule.seconds),
        "mdetag_budget_left" => {
            let lanes = plan.ledger.iter().flat_map(|ledger| &ledger.lanes);
            lanes.map(|left| (lane(left.lane), left.left)).collect()
        }
        "mdetag_guard_planned" => {
            axes.map(|axis| (vec![("axis", axis.axis.word().to_owned())], axis.planned)).collect()
        }
        "mdetag_guard_allowed" => {
            axes.map(|axis| (vec![("axis", axis.axis.word().to_owned())], axis.allowed)).collect()
        }
        "mdetag_invariant_broken" => {
            let invariants = plan.guard.invariants.iter().take(SERIES);
            let name = |name: &str| clip(name, 100).into_owned();
            invariants.map(|one| (vec![("invariant", name(&one.name))], u64::from(one.broken))).collect()
        }
        _ => Vec::new(),
    }
}

/// The effects of the plan on the device groups.
fn foreseen(model: &Model<'_>, name: &str) -> Vec<MetricSample> {
    let Some(found) = consequences::foreseen(model) else { return Vec::new() };
    match name {
        "mdetag_group_moves" => {
            let labels = |from: &str, to: &str, remediation: &str, reliable: &str| {
                vec![
                    ("from", clip(from, 100).into_owned()),
                    ("to", clip(to, 100).into_owned()),
                    ("remediation", remediation.to_owned()),
                    ("reliable", reliable.to_owned()),
                ]
            };
            let shown = found.moves.iter().take(SERIES);
            let sample = |one: &GroupMove| {
                let reliable = if one.unreliable.is_empty() { "true" } else { "false" };
                let remediation = consequences::change_word(one.remediation);
                (labels(&one.from, &one.to, remediation, reliable), one.devices)
            };
            let mut moves: Vec<MetricSample> = shown.map(sample).collect();
            let rest: u64 = found.moves.iter().skip(SERIES).map(|one| one.devices).sum();
            if rest > 0 {
                moves.push((labels("", "", "", ""), rest));
            }
            moves
        }
        "mdetag_group_devices" => group_devices(found),
        "mdetag_groups_differ" => single_sample(found.check.differ + found.check.changed.differ),
        "mdetag_groups_reliable" => {
            let is_sure = found.check.reliable && found.moves.iter().all(|one| one.unreliable.is_empty());
            single_sample(u64::from(is_sure))
        }
        "mdetag_exposure_weight_hundredths" => {
            let stages = [("before", found.exposure.before), ("after", found.exposure.after)];
            stages.map(|(stage, weight)| (vec![("stage", stage.to_owned())], weight)).into()
        }
        _ => Vec::new(),
    }
}

/// The groups with the most devices, before or after.
fn group_devices(found: &Consequences) -> Vec<MetricSample> {
    let both = found.before.iter().zip(&found.after);
    let mut groups: Vec<(&str, [u64; 2])> =
        both.map(|(before, after)| (&*before.name, [before.devices, after.devices])).collect();
    groups.sort_by_key(|(_, devices)| std::cmp::Reverse(devices.iter().max().copied()));
    let rest = groups.split_off(groups.len().min(SERIES));
    let rest =
        rest.iter().fold([0, 0], |[before, after], (_, devices)| [before + devices[0], after + devices[1]]);
    let rest = Some(("", rest)).filter(|(_, devices)| *devices != [0, 0]);
    let sample = |(group, devices): (&str, [u64; 2])| {
        let labels =
            |stage: &str| vec![("group", clip(group, 100).into_owned()), ("stage", stage.to_owned())];
        [(labels("before"), devices[0]), (labels("after"), devices[1])]
    };
    groups.into_iter().chain(rest).flat_map(sample).collect()
}

fn split(model: &Model<'_>) -> Vec<MetricSample> {
    let halves = model.parts.iter().filter_map(|part| Some((part.origin?, part.totals)));
    halves
        .flat_map(|(origin, totals)| {
            [("add", totals.additions), ("remove", totals.removals), ("value", totals.values)].map(
                |(action, count)| {
                    (vec![("origin", origin.word().to_owned()), ("action", action.to_owned())], count)
                },
            )
        })
        .collect()
}

fn withheld(model: &Model<'_>) -> Vec<MetricSample> {
    let mut reasons: Vec<MetricSample> = Vec::new();
    for (_, aside) in model.asides() {
        let label = vec![("reason", aside.reason.word().to_owned())];
        let count = aside.additions + aside.removals + aside.values;
        match reasons.iter_mut().find(|(known, _)| *known == label) {
            Some((_, sum)) => *sum += count,
            None => reasons.push((label, count)),
        }
    }
    reasons
}

fn unresolved(model: &Model<'_>) -> Vec<MetricSample> {
    let plan = model.plan();
    let rules = plan.unresolved.iter().map(|entry| {
        (super::words::rule_name(plan, entry.rule).to_owned(), "", entry.missing() + entry.unusable())
    });
    largest("rule", rules).into_iter().map(|(labels, count)| (labels[..1].to_vec(), count)).collect()
}

fn by_cause(model: &Model<'_>) -> Vec<MetricSample> {
    let plan = model.plan();
    let groups = model.parts.iter().flat_map(|part| &part.groups);
    largest(
        "cause",
        groups.map(|group| {
            let cause = group.cause.and_then(|cause| plan.causes.get(cause.0 as usize));
            (rule_id(plan, cause), group.what.action(), group.devices())
        }),
    )
}

fn by_tag(model: &Model<'_>) -> Vec<MetricSample> {
    let groups = model.parts.iter().flat_map(|part| &part.groups);
    largest(
        "tag",
        groups.filter_map(|group| Some((group.what.tag()?.to_owned(), group.what.action(), group.devices()))),
    )
}

/// The largest sums by name and action; the others under an empty name.
fn largest(
    label: &'static str,
    counts: impl Iterator<Item = (String, &'static str, u64)>,
) -> Vec<MetricSample> {
    let mut sums: HashMap<(String, &'static str), u64> = HashMap::new();
    for (name, action, count) in counts {
        *sums.entry((name, action)).or_default() += count;
    }
    let mut sums: Vec<((String, &'static str), u64)> = sums.into_iter().collect();
    sums.sort_unstable_by(|(left, left_count), (right, right_count)| {
        right_count.cmp(left_count).then_with(|| left.cmp(right))
    });
    let rest = sums.split_off(sums.len().min(SERIES));
    let mut samples: Vec<MetricSample> = sums
        .into_iter()
        .map(|((name, action), count)| (vec![(label, name), ("action", action.to_owned())], count))
        .collect();
    for action in ["add", "remove", "value"] {
        let sum: u64 = rest.iter().filter(|((_, of), _)| *of == action).map(|(_, count)| count).sum();
        if sum > 0 {
            samples.push((vec![(label, String::new()), ("action", action.to_owned())], sum));
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use crate::report::model::{Input, Subject};

    fn render(plan: &crate::plan::Plan) -> String {
        let mut out = Vec::new();
        openmetrics(&Model::new(Input::new(Subject::Drift, plan)), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn classes_causes_and_tags_are_counted() {
        let text = render(&fixtures::example());
        for line in [
            "# TYPE mdetag_drift gauge",
            r#"mdetag_drift{tenant="contoso",class="missing"} 3116"#,
            r#"mdetag_drift_by_cause{tenant="contoso",cause="unselected/env/*",action="remove"} 211"#,
            r#"mdetag_drift_by_tag{tenant="contoso",tag="env/prod",action="add"} 3104"#,
            r#"mdetag_calls{tenant="contoso",lane="bulkTag"} 9"#,
            "# UNIT mdetag_least_duration_seconds seconds",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_metric_is_documented() {
        let guide = include_str!("../../../../docs/reports.md");
        for (name, _) in METRICS {
            assert!(guide.contains(&format!("`{name}`")), "{name} is not in docs/reports.md");
        }
    }

    #[test]
    fn series_are_bounded_and_lose_no_count() {
        let text = render(&fixtures::many_tags(400, 2));
        let tags: Vec<&str> = text.lines().filter(|line| line.starts_with("mdetag_drift_by_tag{")).collect();
        assert!(tags.len() <= SERIES + 3);
        let sum: u64 = tags.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 1_600);
    }

    #[test]
    fn hostile_names_stay_in_their_labels() {
        for line in render(&fixtures::hostile()).lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("mdetag_"), "{line}");
            let (labels, value) = line.rsplit_once("} ").unwrap();
            assert!(value.parse::<u64>().is_ok() && labels.contains("{tenant=\""), "{line}");
        }
    }
}
