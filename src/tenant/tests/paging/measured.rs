//! Reads of a measured service: fewer calls, and the same devices even if it has changed since.

use serde_json::json;

use super::{Outcome, Quirks, read_with};
use crate::tenant::ReadScope;
use mdetag_core::plan::TenantReference;
use mdetag_core::probe::{KnownService, ServiceProfile};
use mdetag_core::service::Question;
use mdetag_core::time::Timestamp;

fn measured(findings: &[(&str, &str, Option<u64>)]) -> KnownService {
    let tenant = TenantReference::default();
    let findings: Vec<_> = findings
        .iter()
        .map(|(question, verdict, number)| {
            json!({ "question": question, "verdict": verdict, "number": number, "measuredAt": "2026-11-27T00:00:00Z", "tool": "" })
        })
        .collect();
    let check = ServiceProfile::check_of(&tenant);
    let text = json!({ "formatVersion": "1.0", "check": check, "findings": findings }).to_string();
    let now = Timestamp::parse("2026-11-27T01:00:00Z").unwrap();
    ServiceProfile::read(&text).unwrap().known(&tenant, now).unwrap()
}

async fn read(count: usize, quirks: Quirks, service: KnownService) -> Outcome {
    read_with(count, quirks, ReadScope { service, ..ReadScope::default() }).await
}

fn capped() -> KnownService {
    measured(&[("skipBeyondPage", "capped", None), ("pageSize", "measured", Some(100))])
}

#[tokio::test]
async fn behind_a_known_cap_nothing_is_asked_that_the_cap_hides() {
    let quirks = Quirks { page: 100, cap: Some(100), ..Quirks::default() };
    let bare = read(1000, quirks.clone(), KnownService::default()).await;
    let known = read(1000, quirks, capped()).await;
    assert!(known.calls.len() < bare.calls.len(), "{} of {}", known.calls.len(), bare.calls.len());
    assert!(known.calls.iter().all(|call| call.option("$skip").is_none()));
    let seen: Vec<_> = bare.sightings.iter().collect();
    assert!(seen.contains(&(Question::SkipBeyondPage, "capped", None)), "{seen:?}");
    known.whole(1000);
    bare.whole(1000);
}

#[tokio::test]
async fn a_cap_that_is_gone_and_a_filter_that_is_refused_cost_no_device() {
    let quirks = Quirks { page: 100, refuses: true, ..Quirks::default() };
    read(1000, quirks, capped()).await.whole(1000);
}

#[tokio::test]
async fn a_known_page_is_not_asked_whether_it_is_the_last() {
    let quirks = Quirks { page: 100, ..Quirks::default() };
    let bare = read(1005, quirks.clone(), KnownService::default()).await;
    let known = read(1005, quirks.clone(), measured(&[("pageSize", "measured", Some(100))])).await;
    assert!(known.calls.len() < bare.calls.len(), "{} of {}", known.calls.len(), bare.calls.len());
    known.whole(1005);
    bare.whole(1005);
    // Pages that are smaller than measured are noticed.
    read(1005, quirks, measured(&[("pageSize", "measured", Some(500))])).await.whole(1005);
}

#[tokio::test]
async fn a_filter_that_the_service_refuses_is_left_out_and_noted() {
    let quirks = Quirks { page: 10_000, refuses: true, ..Quirks::default() };
    let scope = ReadScope { filter: Some("rbacGroupId eq 1".to_owned()), ..ReadScope::default() };
    let outcome = read_with(33, quirks, scope).await;
    let seen: Vec<_> = outcome.sightings.iter().collect();
    assert!(seen.contains(&(Question::FilterRbacGroupId, "refused", None)), "{seen:?}");
    assert_eq!(outcome.calls.len(), 3, "with the filter, without it, and behind the last row");
    outcome.whole(33);
}
