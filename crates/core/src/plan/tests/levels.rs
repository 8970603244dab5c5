//! Which findings a plan tells: those that no rule excepts, as `lints` of `mdetag.yaml` counts them.
//!
//! Tests only.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::desired::desire;
use crate::diagnostic::Sources;
use crate::inventory::fleet;
use crate::policy::resolve;
use crate::policy::settings::LintLevel;
use crate::selection::{HuntedRows, HuntingResults, select};
use crate::tag::TagCase;
use crate::time::Timestamp;

/// The findings of a plan for one Linux device, of which the query `Q` knows nothing. `rule`: a select and what follows it.
fn warnings(rule: &str) -> Vec<Warning> {
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let text = format!("version: 1\nrules: [{{ name: r, tags: [t], select: {rule} }}]\n");
    let sources = Sources::from_text("p.yaml", &text);
    let (policy, findings) = resolve(&sources, TagCase::Exact, now);
    assert!(findings.iter().all(|one| !one.code.starts_with('E') && one.code != "W0719"), "{findings:#?}");
    let snapshot = fleet(&[json!({"computerDnsName": "web1", "osPlatform": "Linux"})]);
    let mut results = HuntingResults::default();
    results.insert("Q", HuntedRows::of_ids(vec!["f".repeat(40)]));
    let selections = select(&policy, &snapshot, &results, now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    diff(&desired, &History::default(), Header::default(), &sources).warnings
}

fn codes(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|one| &*one.code).collect()
}

#[test]
fn an_exception_of_a_code_that_only_plans_tell_counts_there_and_is_told_where_nothing_needs_it() {
    let idle = "{ osPlatform: Windows11 }";
    assert_eq!(codes(&warnings(idle)), ["N0601"]);
    assert_eq!(codes(&warnings(&format!("{idle}, lints: {{ N0601: none yet }}"))), Vec::<&str>::new());
    let unneeded = warnings("{ osPlatform: Linux }, lints: { N0601: none yet }");
    assert_eq!(
        unneeded,
        [Warning::new(
            "W0719",
            "the rule `r` excepts N0601, which this plan does not tell: it holds for 1 device"
        )]
    );
    let ended = warnings("{ osPlatform: Linux }, until: 2026-11-01, lints: { N0601: x, W0402: kept }");
    assert_eq!(codes(&ended), Vec::<&str>::new(), "a rule out of force says nothing");
    let hunted = "{ hunting: { query: Q } }";
    assert_eq!(codes(&warnings(hunted)), ["W0701"]);
    assert_eq!(codes(&warnings(&format!("{hunted}, lints: {{ W0701: one device }}"))), Vec::<&str>::new());
    assert_eq!(codes(&warnings("{ osPlatform: Linux }, lints: { W0701: one device }")), ["W0719"]);
}

#[test]
fn levels_reach_what_only_plans_tell() {
    let told = warnings("{ osPlatform: Windows11 }");
    let levelled = |level| {
        let lints = BTreeMap::from([("N0601".to_owned(), level)]);
        let mut plan = Plan { warnings: told.clone(), ..Plan::default() };
        level_warnings(&mut plan, &lints);
        let errors: Vec<_> = denied(&plan, &lints).iter().map(|error| error.code).collect();
        (plan.warnings.iter().map(Warning::is_note).collect::<Vec<_>>(), errors)
    };
    assert_eq!(levelled(LintLevel::Allow), (vec![], vec![]));
    assert_eq!(levelled(LintLevel::Warn), (vec![false], vec![]));
    assert_eq!(levelled(LintLevel::Deny), (vec![true], vec!["N0601"]));
}
