//! Results of hunting queries in policy tests: stated by the test, recorded, or empty.
//!
//! Runs no query.

use std::collections::BTreeSet;

use crate::diagnostic::Sources;
use crate::policy::{Hunting, Policy, PolicyTest, Selector, SelectorKind};
use crate::selection::{HuntedRows, HuntingResults};

/// An id that no test device has.
const NO_DEVICE: &str = "no-device";

/// The recorded results, and one that selects no device for every other query of the policy.
pub(super) fn completed(policy: &Policy, hunting: &HuntingResults) -> HuntingResults {
    let mut completed = hunting.clone();
    for query in queries(policy) {
        if completed.get(&query.query).is_none_or(HuntedRows::is_empty) {
            completed.insert(&query.query, HuntedRows::of_ids(vec![NO_DEVICE.to_owned()]));
        }
    }
    completed
}

/// The results that the test states for its device, and problems with queries that the policy lacks.
pub(super) fn stated(
    policy: &Policy,
    sources: &Sources,
    test: &PolicyTest,
    results: &HuntingResults,
    id: &str,
) -> (HuntingResults, Vec<String>) {
    let (mut results, mut problems) = (results.clone(), Vec::new());
    for (name, is_listed) in &test.hunting {
        let texts = query_texts(sources, name);
        let named: Vec<&Hunting> =
            queries(policy).into_iter().filter(|query| texts.contains(query.query.trim())).collect();
        if named.is_empty() {
            problems.push(format!(
                "the test states the result of the hunting query `{name}`, which the policy does not have"
            ));
        }
        for query in named {
            let ids = vec![if *is_listed { id.to_owned() } else { NO_DEVICE.to_owned() }];
            results.insert(&query.query, HuntedRows::of_ids(ids));
        }
    }
    (results, problems)
}

/// The queries that a test may mean by a name: the text itself, or that of the files with this path or name.
fn query_texts<'a>(sources: &'a Sources, name: &'a str) -> BTreeSet<&'a str> {
    let is_named =
        |path: &str| path == name || path.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'));
    let files = sources.data.iter().filter(|((_, path), _)| is_named(path));
    let texts = files.filter_map(|(_, data)| std::str::from_utf8(data.as_ref().ok()?).ok());
    texts.map(|text| text.trim_start_matches('\u{feff}').trim()).chain([name.trim()]).collect()
}

/// Every hunting query of a policy.
fn queries(policy: &Policy) -> Vec<&Hunting> {
    let rules = policy.rules.iter().map(|rule| &rule.select);
    let protections = policy.protections.iter().map(|protection| &protection.select);
    let named = policy.selectors.iter().map(|selector| &selector.selector);
    let mut queries = Vec::new();
    for selector in
        policy.scope.iter().chain(rules).chain(protections).chain(named).chain(policy.guard.selectors())
    {
        for_each_query(selector, &mut |query| queries.push(query));
    }
    queries
}

fn for_each_query<'p>(selector: &'p Selector, see: &mut dyn FnMut(&'p Hunting)) {
    match &selector.kind {
        SelectorKind::All(parts) | SelectorKind::Any(parts) => {
            parts.iter().for_each(|part| for_each_query(part, see));
        }
        SelectorKind::Not(part) => for_each_query(part, see),
        SelectorKind::Hunting(query) => see(query),
        _ => {}
    }
}
