//! The same policy applied to different services, once without a profile and once with one: calls, time and outcomes.

use std::collections::BTreeMap;

use mdetag_core::plan::{TenantReference, cost};
use mdetag_core::policy::settings::Settings;
use mdetag_core::probe::ServiceProfile;
use mdetag_core::time::Timestamp;
use mdetag_sandbox::{LoggedCall, Route};
use serde_json::Value;

use crate::probe::{calls, devices, probe, project, tenant};
use crate::project::Project;
use crate::service::Service;

/// Gives every device a tag and a value, and the probe's device a tag that it has in another case.
const POLICY: &str = "version: 1\nrules:\n  - { name: all, select: { everything: true }, tags: [zebra-1], deviceValue: High }\n  \
                      - { name: twin, select: { id: aa00000000000000000000000000000000000001 }, tags: [FINANCE] }\n";
const SETTINGS: &str = "version: 1\nbudget: { timeScale: 100000 }\nwrites: { values: both }\n";

/// A service whose first device disappears during the apply.
const GONE: &[&str] = &["bulk_unknown=reject_all"];
/// The same, with refusals that name no device.
const HIDDEN: &[&str] = &["bulk_unknown=reject_opaque"];

/// The result of one apply.
#[derive(Debug)]
struct Applied {
    lists: usize,
    all: usize,
    /// Seconds at a tenant's speed, from the documented limits and the waits before reads of the list.
    seconds: u64,
    exit: i32,
    /// Changes that did not end as they should, and those that bounced.
    bad: u64,
    fleet: Vec<(String, Vec<String>, Value)>,
    again: usize,
}

impl Applied {
    fn line(&self) -> String {
        let Applied { lists, all, seconds, exit, again, .. } = self;
        format!("{all} ({lists} lists) in {seconds} s, exit {exit}, then {again}")
    }
}

/// The wait before the list is read again, as the stored profile suggests, if there is one.
fn settle(project: &Project, service: &Service) -> u64 {
    let mut settings = Settings::default();
    let tenants = std::fs::read_dir(project.path().join(".mdetag/public")).into_iter().flatten().flatten();
    let mut profiles =
        tenants.filter_map(|tenant| std::fs::read_to_string(tenant.path().join("service.json")).ok());
    if let Some(profile) = profiles.next() {
        let id = Some(service.sandbox.credentials().tenant_id);
        let tenant = TenantReference { id, name: None, cloud: Some("public".to_owned()) };
        let profile = ServiceProfile::read(&profile).unwrap();
        let measured =
            profile.findings.iter().filter_map(|finding| Timestamp::parse(&finding.measured_at).ok()).max();
        profile.known(&tenant, measured.unwrap()).unwrap().suit(&mut settings);
    }
    settings.writes.settle.as_secs()
}

/// The duration of these calls at a tenant's speed: the limits of each lane, lanes in parallel, and a wait before each read that
/// follows a write.
fn seconds(made: &[LoggedCall], settle: u64) -> u64 {
    let mut lanes: BTreeMap<&str, u64> = BTreeMap::new();
    made.iter().for_each(|call| *lanes.entry(call.route.name()).or_default() += 1);
    let limits = lanes.values().map(|calls| cost::seconds(*calls)).max().unwrap_or_default();
    let is_read_again = |pair: &&[LoggedCall]| pair[0].route.writes() && pair[1].route == Route::List;
    limits + settle * made.windows(2).filter(is_read_again).count() as u64
}

fn apply(faults: &[&str], is_measured: bool) -> Applied {
    let service = tenant(faults);
    let project = project(POLICY);
    project.write("mdetag.yaml", SETTINGS);
    if is_measured {
        probe(&project, &service, &[]).exits(0);
    }
    let settle = settle(&project, &service);
    let count = |before: usize| {
        let made = calls(&service).split_off(before);
        let lists = made.iter().filter(|call| call.route == Route::List).count();
        (lists, made.len(), seconds(&made, settle))
    };
    if faults == GONE || faults == HIDDEN {
        // Deleted between the read and the first write.
        let lists = calls(&service).iter().filter(|call| call.route == Route::List).count();
        service.sandbox.set("after_page", &format!("{}:delete", lists + 1)).unwrap();
    }
    let before = calls(&service).len();
    let ran = project.run_in(&service.secret(), &["apply", "--auto-approve", "--format=json"]);
    let (lists, all, seconds) = count(before);
    let outcomes = &ran.json()["outcomes"];
    let bad = ["bounced", "failed", "refused", "unknown", "notAttempted"];
    let bad = bad.iter().map(|outcome| outcomes[outcome].as_u64().unwrap()).sum();
    let before = calls(&service).len();
    project.run_in(&service.secret(), &["apply", "--auto-approve"]);
    let again = count(before).1;
    Applied { lists, all, seconds, exit: ran.code, bad, fleet: devices(&service), again }
}

#[test]
fn a_measured_service_costs_no_more_calls_and_brings_no_surprises() {
    let services: [&[&str]; 11] = [
        &[],
        &["tag_case=insensitive_keep_first"],
        &["tag_case=insensitive_keep_first", "bulk_body=empty"],
        GONE,
        HIDDEN,
        &["trim=on", "long_tag=cut", "bulk_unknown=partial"],
        &["bulk_unknown=reject_opaque", "bulk_body=204", "patch=append"],
        &["page=10"],
        &["page=10", "paging=hard_cap"],
        &["page=10", "paging=nextlink", "nextlink_with_top=on"],
        &["page=10", "paging=hard_cap", "tag_case=insensitive_keep_first", "patch=legacy_400"],
    ];
    let mut saved = (0, 0);
    for faults in services {
        let (bare, known) = (apply(faults, false), apply(faults, true));
        println!("{faults:?}: {} calls, measured {}", bare.line(), known.line());
        assert!(
            known.all <= bare.all && known.lists <= bare.lists && known.again <= bare.again,
            "{faults:?}"
        );
        assert!(known.bad == 0 && known.exit == 0, "{faults:?}: {known:?}");
        assert!(known.fleet == bare.fleet, "{faults:?}");
        assert!(known.seconds <= bare.seconds, "{faults:?}");
        saved.0 += bare.all - known.all + bare.again - known.again;
        saved.1 += bare.seconds - known.seconds;
    }
    assert!(saved.0 > 0 && saved.1 > 0, "{saved:?}");
}
