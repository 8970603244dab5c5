//! The same policy applied to services that differ, once without a profile and once with one: calls and outcomes.

use mdetag_sandbox::Route;
use serde_json::Value;

use crate::probe::{calls, devices, probe, project, tenant};

/// Gives every device a tag and a value, and the probe's device a tag that it has in another case.
const POLICY: &str = "version: 1\nrules:\n  - { name: all, select: { everything: true }, tags: [zebra-1], deviceValue: High }\n  \
                      - { name: twin, select: { id: aa00000000000000000000000000000000000001 }, tags: [FINANCE] }\n";
const SETTINGS: &str = "version: 1\nbudget: { timeScale: 100000 }\nwrites: { values: both }\n";

/// A service whose first device goes while the apply is under way.
const GONE: &[&str] = &["bulk_unknown=reject_all"];

/// How one apply went.
#[derive(Debug)]
struct Applied {
    lists: usize,
    all: usize,
    exit: i32,
    /// Changes that did not end as they should, and those that bounced.
    bad: u64,
    fleet: Vec<(String, Vec<String>, Value)>,
    again: usize,
}

impl Applied {
    fn line(&self) -> String {
        format!("{} ({} lists, exit {}, then {})", self.all, self.lists, self.exit, self.again)
    }
}

fn apply(faults: &[&str], is_measured: bool) -> Applied {
    let service = tenant(faults);
    let project = project(POLICY);
    project.write("mdetag.yaml", SETTINGS);
    if is_measured {
        probe(&project, &service, &[]).exits(0);
    }
    let count = |before: usize| {
        let made = calls(&service).split_off(before);
        (made.iter().filter(|call| call.route == Route::List).count(), made.len())
    };
    if faults == GONE {
        // Deleted between the read and the first write.
        let lists = calls(&service).iter().filter(|call| call.route == Route::List).count();
        service.sandbox.set("after_page", &format!("{}:delete", lists + 1)).unwrap();
    }
    let before = calls(&service).len();
    let ran = project.run_in(&service.secret(), &["apply", "--auto-approve", "--format=json"]);
    let (lists, all) = count(before);
    let outcomes = &ran.json()["outcomes"];
    let bad = ["bounced", "failed", "refused", "unknown", "notAttempted"];
    let bad = bad.iter().map(|outcome| outcomes[outcome].as_u64().unwrap()).sum();
    let before = calls(&service).len();
    project.run_in(&service.secret(), &["apply", "--auto-approve"]);
    let again = count(before).1;
    Applied { lists, all, exit: ran.code, bad, fleet: devices(&service), again }
}

#[test]
fn a_measured_service_costs_no_more_calls_and_brings_no_surprises() {
    let services: [&[&str]; 10] = [
        &[],
        &["tag_case=insensitive_keep_first"],
        &["tag_case=insensitive_keep_first", "bulk_body=empty"],
        GONE,
        &["trim=on", "long_tag=cut", "bulk_unknown=partial"],
        &["bulk_unknown=reject_opaque", "bulk_body=204", "patch=append"],
        &["page=10"],
        &["page=10", "paging=hard_cap"],
        &["page=10", "paging=nextlink", "nextlink_with_top=on"],
        &["page=10", "paging=hard_cap", "tag_case=insensitive_keep_first", "patch=legacy_400"],
    ];
    let mut saved = 0;
    for faults in services {
        let (bare, known) = (apply(faults, false), apply(faults, true));
        println!("{faults:?}: {} calls, measured {}", bare.line(), known.line());
        assert!(
            known.all <= bare.all && known.lists <= bare.lists && known.again <= bare.again,
            "{faults:?}"
        );
        assert!(known.bad == 0 && known.exit == 0, "{faults:?}: {known:?}");
        assert!(known.fleet == bare.fleet, "{faults:?}");
        saved += bare.all - known.all + bare.again - known.again;
    }
    assert!(saved > 0);
}
