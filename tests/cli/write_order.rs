//! The order of a run's writes if an invariant could break on the way.

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{LOOSE, device, id};

const APPLY: [&str; 7] =
    ["apply", "--sandbox", "--auto-approve", "--format", "json", "--sandbox-speed", "600"];

/// A tenant in which the first `old` devices carry the tag, or the value High, and the last `new` should carry it instead.
fn swapped(old: usize, new: usize, rule: &str, invariant: &str, live: impl Fn(&mut Value)) -> Project {
    // The priority makes the engine prefer what the invariant forbids.
    let text = format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [Tier0]\ndeviceValue: {{ default: Normal }}\nrules:\n  \
         - {{ name: new, select: {{ computerDnsName: {{ glob: \"new*\" }} }}, {rule}, priority: -10 }}\n{LOOSE}  \
         invariants: [{{ name: enough, {invariant} }}]\n"
    );
    let project = Project::with_policy(&text);
    project.devices(0);
    let devices: Vec<Value> = (0..old + new)
        .map(|number| {
            let mut device = device(number, json!(["Own"]));
            if number < old {
                live(&mut device);
            } else {
                device["computerDnsName"] = format!("new{number}.example.com").into();
            }
            device
        })
        .collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
    project
}

/// The values under a key in the calls of a route, in the order of arrival.
fn sent(project: &Project, route: &str, key: &str) -> Vec<String> {
    let body = |call: &Value| serde_json::from_str::<Value>(call["body"].as_str().unwrap()).unwrap();
    let calls = project.calls("default", route);
    calls.iter().map(|call| body(call)[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_would_break_an_invariant_on_the_way_is_written_after_what_keeps_it() {
    let tagged = |device: &mut Value| device["machineTags"] = json!(["Own", "Tier0"]);
    let project = swapped(6, 5, "tags: [Tier0]", "tag: Tier0, atLeast: 4", tagged);
    let document = project.run(&APPLY).exits(0).json();
    assert_eq!(document["outcomes"]["done"], 11, "{}", document["outcomes"]);
    assert_eq!(sent(&project, "bulkTag", "Action"), ["Add", "Remove"]);
    let project = swapped(5, 5, "tags: [Tier0]", "tag: Tier0, atMost: 6", tagged);
    project.run(&APPLY).exits(0);
    assert_eq!(sent(&project, "bulkTag", "Action"), ["Remove", "Add"], "too many break it too");
}

#[test]
fn values_wait_for_each_other_alike() {
    let high = |device: &mut Value| device["deviceValue"] = "High".into();
    for (bound, first) in [("atLeast: 3", "High"), ("atMost: 4", "Normal")] {
        let project = swapped(3, 4, "deviceValue: High", &format!("deviceValue: High, {bound}"), high);
        project.run(&APPLY).exits(0);
        let values = sent(&project, "setValue", "DeviceValue");
        let last_first = values.iter().rposition(|value| value == first);
        let first_last = values.iter().position(|value| value != first);
        assert!(last_first < first_last && values.len() == 7, "{bound}: {values:?}");
    }
}

#[test]
fn where_what_keeps_an_invariant_is_refused_as_much_as_it_needs_stays() {
    let tagged = |device: &mut Value| device["machineTags"] = json!(["Own", "Tier0"]);
    let project = swapped(4, 4, "tags: [Tier0]", "tag: Tier0, atLeast: 3", tagged);
    let unonboarded: Vec<Value> = (5..8)
        .map(|number| {
            let mut device = device(number, json!(["Own"]));
            device["computerDnsName"] = format!("new{number}.example.com").into();
            device["onboardingStatus"] = "CanBeOnboarded".into();
            device
        })
        .collect();
    project.portal(|sandbox| sandbox.insert(&json!(unonboarded)).unwrap());
    let refuse = ["--sandbox-fault", "refuse=unonboarded", "--sandbox-fault", "refuse_answer=named"];
    let words = [&APPLY[..], &refuse].concat();
    let document = project.run(&words).exits(4).json();
    let count = |outcome: &str| document["outcomes"][outcome].as_u64().unwrap();
    assert_eq!((count("refused"), count("done"), count("notAttempted")), (3, 3, 2), "{document}");
    let carrying = project.fleet().values().filter(|(tags, _)| tags.contains(&"Tier0".to_owned())).count();
    assert_eq!(carrying, 3);
    assert!(document["errors"].to_string().contains("invariant `enough`"), "{}", document["errors"]);
}

#[test]
fn invariants_that_wait_for_each_other_let_the_plan_be_done() {
    let text = format!(
        "version: 1\nscope: {{ everything: true }}\nfamilies: {{ site: [A, B] }}\nrules:\n  \
         - {{ name: a, select: {{ deviceName: d0 }}, tags: [A] }}\n  - {{ name: b, select: {{ deviceName: d1 }}, tags: [B] }}\n{LOOSE}  \
         invariants: [{{ name: a, tag: A, atMost: 1 }}, {{ name: b, tag: B, atMost: 1 }}]\n"
    );
    let project = Project::with_policy(&text);
    project.devices(0);
    let devices = json!([device(0, json!(["B"])), device(1, json!(["A"]))]);
    project.portal(|sandbox| sandbox.insert(&devices).unwrap());
    let document = project.run(&APPLY).exits(0).json();
    assert_eq!(document["outcomes"]["done"], 4, "{document}");
    assert_eq!(project.fleet()[&id(0)].0, ["A"]);
}
