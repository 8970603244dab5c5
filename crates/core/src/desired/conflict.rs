//! Conflicts between rules, as errors that name the rules, their places and the devices.
//!
//! Does not resolve them: the author of the rules decides with `priority` or `not`.

use super::value::ValueConflict;
use super::{Desired, TagGroup};
use crate::diagnostic::{DeviceSample, Diagnostic};
use crate::inventory::{DeviceSet, Row};

/// The most conflicts that are reported one by one.
const MOST: usize = 200;

/// One error for each conflict on unprotected devices: a tag at a priority, or a value at a priority.
pub(super) fn diagnostics(desired: &Desired<'_>, values: Vec<ValueConflict>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut untold = 0u64;
    for (index, group) in desired.groups.iter().enumerate().filter(|(_, group)| can_conflict(group)) {
        let window = desired.window(&[index as u32]);
        for (priority, conflict) in desired.decide(group, &window).conflicts {
            let rows: Vec<Row> = conflict.iter().map(|row| window.row(row)).collect();
            let rows: Vec<Row> = rows.into_iter().filter(|row| !desired.protected.contains(*row)).collect();
            match rows.is_empty() {
                true => {}
                false if found.len() >= MOST => untold += 1,
                false => found.push(tag_conflict(desired, group, priority, &rows)),
            }
        }
    }
    for conflict in values {
        let mut rows = conflict.rows;
        rows.difference_with(&desired.protected);
        if !rows.is_empty() {
            found.push(value_conflict(desired, conflict.priority, &rows));
        }
    }
    if untold > 0 {
        found.push(Diagnostic::error(
            "E0601",
            None,
            format!("{untold} more conflicts like these are not shown"),
        ));
    }
    found
}

fn can_conflict(group: &TagGroup) -> bool {
    group.giving.iter().any(|giver| group.forbidding.iter().any(|ban| ban.priority == giver.priority))
}

fn tag_conflict(desired: &Desired<'_>, group: &TagGroup, priority: i64, rows: &[Row]) -> Diagnostic {
    let involved = |is_involved: &dyn Fn(Row) -> bool| rows.iter().any(|row| is_involved(*row));
    let gives = group.giving.iter().filter(|giver| giver.priority == priority);
    let mut givers: Vec<u32> =
        gives.filter(|giver| involved(&|row| desired.gives(giver, row))).map(|giver| giver.rule).collect();
    givers.dedup();
    let forbids = group.forbidding.iter().filter(|ban| ban.priority == priority);
    let forbidders: Vec<u32> =
        forbids.filter(|ban| involved(&|row| desired.forbids(group, ban, row))).map(|ban| ban.rule).collect();
    let message = format!(
        "{} {} the tag `{}` and {} {} it, at the same priority {priority}, on {}",
        names(desired, &givers),
        if givers.len() == 1 { "gives" } else { "give" },
        group.name,
        names(desired, &forbidders),
        if forbidders.len() == 1 { "removes" } else { "remove" },
        devices(rows.len() as u64),
    );
    let span = desired.policy.rules[givers[0] as usize].span;
    let mut found = Diagnostic::error("E0601", span, message).label("gives it");
    for rule in &givers[1..] {
        found = found.related(desired.policy.rules[*rule as usize].span, "gives it too");
    }
    for rule in &forbidders {
        found = found.related(desired.policy.rules[*rule as usize].span, "removes it");
    }
    found
        .help("give one of the rules a higher `priority`, or exclude the devices from one with `not`")
        .devices(sample(desired, rows.len() as u64, rows.iter().copied()))
}

fn value_conflict(desired: &Desired<'_>, priority: i64, rows: &DeviceSet) -> Diagnostic {
    let involved: Vec<_> = desired
        .values
        .rules
        .iter()
        .filter(|(rule, its, _)| {
            *its == priority && !desired.selections.rules[*rule as usize].is_disjoint(rows)
        })
        .collect();
    let rules: Vec<u32> = involved.iter().map(|(rule, _, _)| *rule).collect();
    let message = format!(
        "{} give different device values, at the same priority {priority}, to {}",
        names(desired, &rules),
        devices(rows.count() as u64),
    );
    let mut found = Diagnostic::error("E0602", desired.policy.rules[rules[0] as usize].span, message)
        .label(format!("gives {}", involved[0].2));
    for (rule, _, value) in &involved[1..] {
        found = found.related(desired.policy.rules[*rule as usize].span, format!("gives {value}"));
    }
    found
        .help("give one of the rules a higher `priority`, or exclude the devices from one with `not`")
        .devices(sample(desired, rows.count() as u64, rows.iter()))
}

fn names(desired: &Desired<'_>, rules: &[u32]) -> String {
    let quoted: Vec<String> =
        rules.iter().map(|rule| format!("`{}`", desired.policy.rules[*rule as usize].name)).collect();
    let word = if rules.len() == 1 { "rule" } else { "rules" };
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{word} {} and {last}", rest.join(", ")),
        _ => format!("{word} {}", quoted.concat()),
    }
}

fn devices(count: u64) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{count} devices") }
}

/// Up to three devices, with the smallest ids.
fn sample(desired: &Desired<'_>, count: u64, rows: impl Iterator<Item = Row>) -> DeviceSample {
    let snapshot = desired.snapshot;
    let mut least: Vec<Row> = Vec::with_capacity(4);
    for row in rows {
        least.push(row);
        least.sort_by(|one, other| snapshot.id(*one).cmp(snapshot.id(*other)));
        least.truncate(3);
    }
    DeviceSample { count, sample: least.into_iter().map(|row| snapshot.label(row).to_owned()).collect() }
}
