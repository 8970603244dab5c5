//! Lookups whose rows come from a hunting query: recorded, from the tenant, and beside a base.

use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::tenant::{LOOSE, device};

const QUERY: &str = "DeviceInfo | project DeviceId, OSPlatform";

/// Every device carries its platform as hunting knows it; `column` is that of the platform.
fn policy(column: &str) -> String {
    format!(
        "version: 1\nclaims: [\"os:*\"]\nlookups:\n  h: {{ hunting: {{ query: \"{QUERY}\" }}, key: DeviceId, match: id }}\nrules:\n  \
         - name: os\n    select: {{ everything: true }}\n    tags: [\"os:{{lookup.h.{column}}}\"]\n{LOOSE}"
    )
}

fn added(ran: &Ran) -> Vec<Value> {
    let plan = ran.json();
    let changes = plan["changes"].as_array().unwrap();
    changes.iter().flat_map(|change| change["add"].as_array().into_iter().flatten().cloned()).collect()
}

#[test]
fn recorded_rows_are_the_rows_of_the_lookup() {
    let project = Project::with_policy(&policy("OSPlatform"));
    project.write("i.ndjson", "{\"id\":\"a1\"}\n{\"id\":\"b2\",\"machineTags\":[\"os:Old\"]}\n");
    let plan = |rows: Value| {
        project.write("h.json", &json!({ QUERY: rows }).to_string());
        project.run(&["plan", "--inventory", "i.ndjson", "--hunting-results", "h.json", "--format", "json"])
    };
    let ran =
        plan(json!([{ "DeviceId": "A1", "OSPlatform": "Linux" }, { "DeviceId": "b2", "OSPlatform": null }]))
            .exits(0);
    assert_eq!(ran.json()["changes"].as_array().unwrap().len(), 1, "{}", ran.out);
    assert_eq!(ran.json()["withheld"][0]["reason"], "unresolved", "an empty cell takes nothing away");
    for (rows, says) in [
        (json!(["a1"]), "holds device ids alone"),
        (json!([]), "has no rows"),
        (json!([{ "DeviceId": "a1", "SenderMail": "x" }]), "has no column `OSPlatform`"),
    ] {
        let ran = plan(rows).exits(1);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(all.contains(says) && !all.contains("SenderMail"), "{all}");
    }
    let few = plan(json!([{ "DeviceId": "z", "OSPlatform": "Linux" }])).exits(0);
    assert_eq!(few.json()["changes"], json!([]), "{}", few.out);
    let ran = project.run(&["plan", "--inventory", "i.ndjson"]).exits(1);
    assert!(
        ran.out.contains("no result for this hunting query") || ran.err.contains("no result"),
        "{}",
        ran.err
    );
    project.run(&["validate"]).exits(0);
}

#[test]
fn the_rows_of_a_lookup_come_from_the_tenant() {
    let project = Project::with_policy(&policy("OSPlatform"));
    project.devices(0);
    project.portal(|sandbox| sandbox.insert(&json!([device(1, json!([])), device(2, json!([]))])).unwrap());
    let ran = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    let again = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0);
    assert_eq!(again.json()["changes"], json!([]), "{}", ran.out);
    let explained = project.run(&["explain", &crate::tenant::id(1), "--sandbox"]).exits(0);
    assert!(explained.out.contains("os:"), "{}", explained.out);
    project.write("policies/p.yaml", &policy("Platform"));
    let ran = project.run(&["plan", "--sandbox"]).exits(1);
    let all = format!("{}{}", ran.out, ran.err);
    assert!(all.contains("has no column `Platform`") && !all.contains("OSPlatform, "), "{all}");
}

#[test]
fn a_base_that_reads_other_columns_of_a_query_is_planned_from_the_same_rows() {
    let project = Project::with_policy(&policy("OSPlatform"));
    project.write("base/p.yaml", &policy("DeviceName"));
    project.devices(0);
    project.portal(|sandbox| sandbox.insert(&json!([device(1, json!([]))])).unwrap());
    project
        .write("base/p.yaml", &policy("DeviceName").replace("DeviceId, OSPlatform", "DeviceId, DeviceName"));
    let ran = project.run(&["plan", "--sandbox", "--base", "base", "policies"]).exits(0);
    assert!(!ran.err.contains("not split"), "{}", ran.err);
    project.write("base/p.yaml", &policy("DeviceName").replace("DeviceInfo", "Nothing"));
    let ran = project.run(&["plan", "--sandbox", "--base", "base", "policies"]).exits(0);
    assert!(
        ran.err.contains("query of the base has no result") && ran.err.contains("not split"),
        "{}",
        ran.err
    );
    assert_eq!(added(&project.run(&["plan", "--sandbox", "--format", "json"]).exits(0)).len(), 1);
}
