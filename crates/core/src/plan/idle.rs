//! Reports rules, selectors and protections that match no device, because they are probably slips.
//!
//! Judges nothing; a plan with them is valid.

use std::collections::HashSet;

use super::Warning;
use crate::desired::Desired;
use crate::inventory::DeviceSet;

/// The most names in a sentence.
const NAMED: usize = 5;

/// Notes on rules and selectors in force that match no device in scope, and a warning on such protections. Nothing if no device
/// was read.
pub(super) fn idle(desired: &Desired<'_>) -> Vec<Warning> {
    if desired.snapshot.is_empty() {
        return Vec::new();
    }
    let (policy, selections) = (desired.policy, &desired.selections);
    let rules = policy.rules.iter().zip(&selections.rules);
    let rules = (0u32..).zip(rules);
    let is_idle = |index: u32, set: &DeviceSet| set.is_empty() && !selections.undecided.contains_key(&index);
    let meant = policy.exceptions.iter().filter(|exception| exception.code == "N0601");
    let meant: HashSet<&str> = meant.map(|exception| exception.rule.as_str()).collect();
    let rules = rules.filter(|(index, (rule, set))| {
        rule.is_live(desired.now) && is_idle(*index, set) && !meant.contains(&*rule.name)
    });
    let selectors = selections.idle_selectors.iter().map(|index| &*policy.selectors[*index].name);
    let protections = policy.protections.iter().zip(&selections.protections);
    let protections = protections.filter(|(_, set)| set.is_empty());
    let found = [
        idle_warning("N0601", "rule", "holds|hold", rules.map(|(_, (rule, _))| &*rule.name)),
        idle_warning("N0602", "selector", "holds|hold", selectors),
        idle_warning(
            "W0605",
            "protection",
            "protects|protect",
            protections.map(|(protection, _)| &*protection.name),
        ),
    ];
    found.into_iter().flatten().collect()
}

fn idle_warning<'a>(
    code: &'static str,
    noun: &str,
    verbs: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<Warning> {
    let names: Vec<&str> = names.collect();
    let (one, several) = verbs.split_once('|')?;
    let shown = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let object = if one == "holds" { "for no device in scope" } else { "no device in scope" };
    let message = match names.len() {
        0 => return None,
        1 => format!("the {noun} {shown} {one} {object}"),
        count => format!("{count} {noun}s {several} {object}: {shown}{more}"),
    };
    Some(Warning::new(code, message))
}
