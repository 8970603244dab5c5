//! How the findings of a plan count: what rules except, and the levels that `mdetag.yaml` gives to codes.
//!
//! Findings of the policy's text alone are judged where they are found.

use std::collections::{BTreeMap, HashMap};

use super::{Plan, Warning};
use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::pages;
use crate::policy::settings::LintLevel;

/// What the sources of the selectors made of their rows, but for what the rules except.
pub(super) fn of_selectors(desired: &Desired<'_>) -> Vec<Warning> {
    let is_meant =
        |finding: &Diagnostic| desired.policy.exceptions.iter().any(|exception| exception.covers(finding));
    let findings = desired.selections.findings.iter().filter(|finding| !is_meant(finding));
    findings.map(|finding| Warning::new(finding.code, &finding.message)).collect()
}

/// Exceptions that this plan does not need, of codes that only plans tell. With no device read there is nothing to say.
pub(super) fn unneeded_exceptions(desired: &Desired<'_>) -> Vec<Warning> {
    let (policy, selections) = (desired.policy, desired.selections);
    let mut exceptions = policy.exceptions.iter().filter(|one| one.is_told_by_plans()).peekable();
    if desired.snapshot.is_empty() || exceptions.peek().is_none() {
        return Vec::new();
    }
    let rules: HashMap<&str, usize> =
        policy.rules.iter().enumerate().map(|(index, rule)| (rule.name.as_str(), index)).collect();
    let unneeded = exceptions.filter_map(|exception| {
        let index = *rules.get(exception.rule.as_str())?;
        if !policy.rules[index].is_live(desired.now) {
            return None;
        }
        let devices = selections.rules[index].count();
        let why = match exception.code {
            // A rule that may hold is not known to be idle.
            "N0601" if devices == 0 => return None,
            "N0601" if devices == 1 => "it holds for 1 device".to_owned(),
            "N0601" => format!("it holds for {devices} devices"),
            _ if selections.findings.iter().any(|finding| exception.covers(finding)) => return None,
            _ => "its queries have nothing of the kind".to_owned(),
        };
        let message = format!(
            "the rule `{}` excepts {}, which this plan does not tell: {why}",
            exception.rule, exception.code
        );
        Some(Warning::new("W0719", message))
    });
    unneeded.collect()
}

/// Leaves out what `mdetag.yaml` allows, and raises the notes that it counts as warnings.
pub fn level_warnings(plan: &mut Plan, lints: &BTreeMap<String, LintLevel>) {
    plan.warnings.retain(|warning| lints.get(&*warning.code) != Some(&LintLevel::Allow));
    for warning in &mut plan.warnings {
        warning.is_raised = warning.is_note() && lints.get(&*warning.code) == Some(&LintLevel::Warn);
    }
}

/// The findings of a plan that `mdetag.yaml` denies, as errors.
pub fn denied(plan: &Plan, lints: &BTreeMap<String, LintLevel>) -> Vec<Diagnostic> {
    let is_denied = |warning: &&Warning| lints.get(&*warning.code) == Some(&LintLevel::Deny);
    let error = |warning: &Warning| {
        let code = pages::codes().find(|code| *code == warning.code)?;
        let help = format!(
            "`lints` of mdetag.yaml denies {code}: correct the policy or its data, or give the code another level"
        );
        Some(Diagnostic::error(code, None, warning.message.clone()).help(help))
    };
    plan.warnings.iter().filter(is_denied).filter_map(error).collect()
}
