//! The differences between the desired and the live state, as changes with causes.
//!
//! Works tag by tag on sets of devices, and only ever lists differences. `assemble` decides what is withheld.

use std::num::NonZero;

use rayon::prelude::*;

use super::consequences;
use super::differences::{CauseSource, Differences, TagEntry, ValueEntry};
use super::last_devices::last_devices;
use super::{
    Header, History, Plan, RuleReference, assemble, cost, families, guard, idle, levels, measure, open, owed,
    twins,
};
use crate::desired::{Desired, Gap, Reason, Settled, SettledPart, TagGroup};
use crate::device::DeviceValue;
use crate::diagnostic::Sources;
use crate::inventory::DeviceSet;
use crate::pattern::Glob;

/// Parts settled at a time: enough for all cores, few enough to hold their sets in memory.
const AT_ONCE: usize = 64;

/// The plan that turns the live inventory into the desired state. The header gives tenant, policy, options and reasons for
/// distrust; the inventory's size is filled in here. The guard's report stays empty.
pub fn diff(desired: &Desired<'_>, history: &History, header: Header, sources: &Sources) -> Plan {
    // The digest only needs the inventory, and keeps all cores busy while one lists and orders the differences.
    let ((arranged, not_restored), digest) = rayon::join(
        || {
            let mut found = differences(desired, sources);
            let not_restored = owed::restore(desired, &history.lost, &mut found);
            (assemble::arrange(desired, found), not_restored)
        },
        || header.inventory.digest.is_empty().then(|| desired.snapshot.digest()),
    );
    let mut plan = Plan { header, ..Plan::default() };
    plan.header.now = desired.now;
    plan.header.options.tag_case = desired.tag_case;
    let inventory = &mut plan.header.inventory;
    inventory.devices = desired.snapshot.len() as u64;
    inventory.in_scope = desired.selections.scope.count() as u64;
    if let Some(digest) = digest {
        inventory.digest = digest;
    }
    plan.rules = desired
        .policy
        .rules
        .iter()
        .map(|rule| RuleReference {
            name: rule.name.clone(),
            place: sources.place(rule.span),
            priority: rule.priority,
            description: rule.description.clone(),
            owner: rule.owner.clone(),
            ticket: rule.ticket.clone(),
        })
        .collect();
    let rows = assemble::assemble(desired, &history.under(desired.tag_case), arranged, &mut plan);
    plan.unresolved = desired.unresolved.clone();
    plan.unmatched = desired.selections.unmatched.clone();
    plan.warnings = levels::of_selectors(desired);
    plan.warnings.extend(twins::twins(desired));
    plan.warnings.extend(idle::idle(desired));
    plan.warnings.extend(levels::unneeded_exceptions(desired));
    plan.warnings.extend(not_restored);
    plan.measures = measure::measures(desired, &plan);
    plan.families = families::planned(desired.policy, &plan);
    plan.groups = consequences::of_changes(
        desired.policy,
        (desired.snapshot, &desired.selections.scope),
        &plan,
        &rows,
        &history.written_lately,
    );
    plan.last_devices = last_devices(desired.policy, desired.snapshot, desired.selections, &plan);
    plan.measures.invariants = guard::after(&plan, &desired.policy.guard);
    plan.schedule = cost::schedule(&plan, &plan.header.options);
    plan
}

fn differences<'a>(desired: &'a Desired<'a>, sources: &'a Sources) -> Differences<'a> {
    let mut found = Differences::new(desired, sources);
    let gaps: Vec<Glob> = desired.gaps.iter().map(|gap| gap.glob.clone()).collect();
    for parts in desired.parts.chunks(AT_ONCE) {
        let settled: Vec<SettledPart> = parts.par_iter().map(|part| desired.settle(part)).collect();
        for part in &settled {
            for tag in &part.tags {
                additions(desired, part, tag, &mut found);
                removals(desired, part, tag, &gaps, &mut found);
                open::differences(desired, part, tag, &mut found);
            }
        }
    }
    values(desired, &mut found);
    found
}

fn additions(desired: &Desired<'_>, part: &SettledPart, tag: &Settled, found: &mut Differences<'_>) {
    let group = &desired.groups[tag.group as usize];
    let mut given = tag.given.clone();
    given.difference_with(&tag.any_live);
    if !given.is_empty() {
        // No search if only one rule gives the tag.
        let only = match group.giving.as_slice() {
            [only] => Some(found.causes.number(CauseSource::Rules(vec![only.rule]))),
            _ => None,
        };
        let only_is_doubted = match group.giving.as_slice() {
            [only] => desired.doubts.of_addition(group, &[only.rule]),
            _ => false,
        };
        let name = found.names.of_text(&group.name);
        for local in given.iter() {
            let row = part.window.row(local);
            let gap = open::gap(desired, part, tag, local);
            let (cause, is_doubted) = only.map_or_else(
                || {
                    let givers = desired.givers(group, row);
                    let is_doubted = desired.doubts.of_addition(group, &givers);
                    (found.causes.number(CauseSource::Rules(givers)), is_doubted)
                },
                |only| (only, only_is_doubted),
            );
            found.tags.push(TagEntry { row, tag: name, cause, is_removal: false, is_doubted, gap });
        }
    }
    for (rename, rows) in &tag.renamed {
        let mut rows = rows.clone();
        rows.difference_with(&tag.any_live);
        if rows.is_empty() {
            continue;
        }
        let cause = found.causes.number(CauseSource::Renamed(*rename));
        let is_doubted = desired.doubts.of_addition(group, &[]);
        let name = found.names.of_text(&group.name);
        for local in rows.iter() {
            let (row, gap) = (part.window.row(local), open::gap(desired, part, tag, local));
            found.tags.push(TagEntry { row, tag: name, cause, is_removal: false, is_doubted, gap });
        }
    }
}

fn removals(
    desired: &Desired<'_>,
    part: &SettledPart,
    tag: &Settled,
    gaps: &[Glob],
    found: &mut Differences<'_>,
) {
    if tag.unwanted.is_empty() {
        return;
    }
    let group = &desired.groups[tag.group as usize];
    let covering = |name: &str| -> Vec<&Gap> {
        let covering = desired.gaps.iter().zip(gaps).filter(|(_, glob)| glob.matches(name));
        covering.map(|(gap, _)| gap).collect()
    };
    let own = group.claimed.map_or_else(Vec::new, |_| covering(&group.name));
    for (reason, rows) in &tag.unwanted {
        // A claimed new name is not added. If a rule that could give it lacks data, the old name is all that the device has.
        let new_name = match *reason {
            Reason::Renamed(rename) => {
                let new = &desired.policy.renames[rename as usize].to;
                let is_new = |group: &TagGroup| desired.tag_case.is_same(&group.name, new);
                part.tags.iter().find(|tag| {
                    let group = &desired.groups[tag.group as usize];
                    group.claimed.is_some() && is_new(group)
                })
            }
            _ => None,
        };
        let of_new = new_name.map_or_else(Vec::new, |new| covering(&desired.groups[new.group as usize].name));
        let same_for_all = match *reason {
            Reason::Rule => None,
            Reason::Family(family) => Some(CauseSource::Family(family)),
            Reason::Renamed(rename) => Some(CauseSource::Renamed(rename)),
            Reason::Retired(retire) => Some(CauseSource::Retired(retire)),
            Reason::Unselected => {
                Some(CauseSource::Unselected(group.claimed.expect("only claimed tags are unselected")))
            }
        };
        let same_for_all = same_for_all.map(|why| found.causes.number(why));
        for (spelling, carriers) in &tag.live {
            let mut rows = rows.clone();
            rows.intersect_with(carriers);
            if rows.is_empty() {
                continue;
            }
            let name = found.names.of_live(*spelling);
            for local in rows.iter() {
                let row = part.window.row(local);
                // A removal by `retire`, or by a ban of the same or a higher priority, happens whatever the template would give.
                let yields_to = |gap: &Gap| match *reason {
                    Reason::Rule => {
                        desired.ban_priority(group, row) < desired.policy.rules[gap.rule as usize].priority
                    }
                    Reason::Retired(_) => false,
                    _ => true,
                };
                let is_open = |gap: &&&Gap| gap.has(row);
                let is_given = new_name.is_some_and(|new| new.given.contains(local));
                let mut of_new = of_new.iter().filter(|_| !is_given);
                let gap = own.iter().filter(is_open).find(|gap| yields_to(gap));
                let gap = gap.or_else(|| of_new.find(is_open));
                let gap = gap.and_then(|gap| NonZero::new(gap.rule + 1));
                let gap = gap.or_else(|| open::gap(desired, part, tag, local));
                let cause = same_for_all.unwrap_or_else(|| {
                    found.causes.number(CauseSource::Rules(desired.forbidders(group, row)))
                });
                found.tags.push(TagEntry { row, tag: name, cause, is_removal: true, is_doubted: false, gap });
            }
        }
    }
}

fn values(desired: &Desired<'_>, found: &mut Differences<'_>) {
    let snapshot = desired.snapshot;
    let default = desired.policy.default_value.map(|default| default.value);
    for value in DeviceValue::ALL {
        let given = &desired.values.given[value as usize];
        let is_default = default == Some(value);
        if given.is_empty() && !is_default {
            continue;
        }
        let live = DeviceSet::collect(snapshot.len(), |row| snapshot.value(row) == Some(value.word()));
        let mut rows = given.clone();
        rows.difference_with(&live);
        for row in rows.iter() {
            let valuers = desired.valuers(row);
            let is_doubted = desired.doubts.of_value(&desired.values, &valuers);
            let cause = found.causes.number(CauseSource::Rules(valuers));
            let gap = open::value_gap(desired, row);
            found.values.push(ValueEntry { row, to: value, cause, is_default: false, is_doubted, gap });
        }
        if is_default {
            let mut rows = desired.values.defaulted.clone();
            rows.difference_with(&live);
            for row in rows.iter() {
                let cause = found.causes.number(CauseSource::Default);
                let gap = open::value_gap(desired, row);
                found.values.push(ValueEntry {
                    row,
                    to: value,
                    cause,
                    is_default: true,
                    is_doubted: false,
                    gap,
                });
            }
        }
    }
    open::values(desired, found);
}
