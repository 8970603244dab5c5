//! The results of `doctor`: the checks, the remaining calls and the measurements of probes, as text and as a document.
//!
//! Checks nothing. It shows no secret, because no check contains one.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use serde_json::{Value, json};

use super::escape::{json_document, terminal};
use super::probe;
use super::words::number;
use crate::plan::{Lane, TenantReference};
use crate::probe::ServiceProfile;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorCheck {
    /// The subject of the check.
    pub name: &'static str,
    /// Whether it needs no action.
    pub is_good: bool,
    pub found: String,
    /// Steps, one per line.
    pub help: Option<String>,
}

impl DoctorCheck {
    /// A check that needs no action.
    pub fn good(name: &'static str, found: impl Into<String>) -> DoctorCheck {
        DoctorCheck { name, is_good: true, found: found.into(), help: None }
    }

    /// A check that needs action.
    pub fn bad(name: &'static str, found: impl Into<String>, help: impl Into<String>) -> DoctorCheck {
        DoctorCheck { name, is_good: false, found: found.into(), help: Some(help.into()) }
    }
}

/// The calls of a lane in the current hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneBudget {
    pub lane: Lane,
    /// Calls that are left.
    pub left: u32,
    /// The hourly limit.
    pub of: u32,
}

/// Facts that are known after a successful sign-in.
#[derive(Clone, Debug)]
pub struct SignedIn<'a> {
    pub tenant: &'a TenantReference,
    pub budget: Vec<LaneBudget>,
    /// The findings of probes and runs; empty without any.
    pub service: ServiceProfile,
    /// The time by which findings are too old to count.
    pub now: Timestamp,
}

/// Writes the checks for people. `is_sandbox`: whether the tenant is simulated.
pub fn human(is_sandbox: bool, checks: &[DoctorCheck], signed_in: Option<&SignedIn<'_>>) -> String {
    let mut text = String::new();
    if is_sandbox {
        text.push_str("SANDBOX\n");
    }
    for check in checks {
        let mark = if check.is_good { "ok  " } else { "bad " };
        text.push_str(&format!("{mark} {:<12} {}\n", check.name, terminal(&check.found)));
        // The steps of a good check are only in the document.
        for step in check.help.iter().filter(|_| !check.is_good).flat_map(|help| help.lines()) {
            text.push_str(&format!("     {:<12} {}\n", "", terminal(step)));
        }
    }
    let Some(signed_in) = signed_in else { return text };
    text.push_str("budget left this hour\n");
    for budget in &signed_in.budget {
        let (left, of) = (number(u64::from(budget.left)), number(u64::from(budget.of)));
        text.push_str(&format!("     {:<12} {left:>6} of {of}\n", budget.lane.word()));
    }
    text.push_str(&probe::table(&signed_in.service, signed_in.now));
    text
}

/// Writes the checks as one document.
pub fn json(checks: &[DoctorCheck], signed_in: Option<&SignedIn<'_>>) -> String {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| json!({ "check": check.name, "ok": check.is_good, "found": check.found, "help": check.help }))
        .collect();
    let budget: Vec<Value> = signed_in
        .iter()
        .flat_map(|signed_in| &signed_in.budget)
        .map(|budget| json!({ "lane": budget.lane.word(), "left": budget.left, "of": budget.of }))
        .collect();
    let tenant = signed_in.map(|signed_in| {
        let tenant = signed_in.tenant;
        json!({ "id": tenant.id, "name": tenant.name, "cloud": tenant.cloud })
    });
    let service = signed_in.map(|signed_in| probe::rows(&signed_in.service, signed_in.now));
    json_document(&json!({
        "formatVersion": "1.0", "tenant": tenant, "checks": checks, "budget": budget, "service": service,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_bad_checks_only_and_the_document_has_them_all() {
        let good = DoctorCheck { help: Some("grant it".to_owned()), ..DoctorCheck::good("may apply", "no") };
        let checks = [good, DoctorCheck::bad("network", "::error:: down", "first\nsecond")];
        assert_eq!(
            human(true, &checks, None),
            "SANDBOX\nok   may apply    no\nbad  network      \\u{3a}:error:: down\n                  first\n                  second\n"
        );
        let document: Value = serde_json::from_str(&json(&checks, None)).unwrap();
        assert_eq!(document["checks"][0]["help"], "grant it");
        assert!(document["tenant"].is_null() && document["budget"].as_array().unwrap().is_empty());
    }

    #[test]
    fn the_budget_follows_once_the_sign_in_worked() {
        let tenant = TenantReference::default();
        let budget = vec![LaneBudget { lane: Lane::ALL[0], left: 1_499, of: 1_500 }];
        let signed_in =
            SignedIn { tenant: &tenant, budget, service: ServiceProfile::default(), now: Timestamp::EPOCH };
        let text = human(false, &[], Some(&signed_in));
        assert!(text.contains("budget left this hour\n") && text.contains(" 1,499 of 1,500\n"), "{text}");
        for question in crate::probe::Question::ALL {
            let row =
                text.lines().find(|line| line.trim_start().starts_with(&format!("{} ", question.word())));
            assert!(row.unwrap().ends_with("not measured"), "{row:?}");
        }
    }
}
