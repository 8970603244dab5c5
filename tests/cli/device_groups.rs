//! Device groups for one device: `explain`, `devices --group` and policy tests with `group`.

use crate::project::Project;

const POLICY: &str = "version: 1\nclaims: [Tier0]\ndeviceGroups: { file: data/groups.yaml }\nrules:\n  - name: dcs\n    \
                      select: { computerDnsName: { glob: 'dc*' } }\n    tags: [Tier0]\n";

const GROUPS: &str = "groups:\n  - { name: Tier-0 servers, when: { tag: [{ equals: Tier0 }] } }\n  \
                      - { name: Servers, when: { os: [{ startsWith: WindowsServer }] } }\n";

const FLEET: &str = r#"{"id":"1111111111111111111111111111111111111111","computerDnsName":"dc01.x.test","osPlatform":"WindowsServer2022","machineTags":[],"rbacGroupName":"Servers"}
{"id":"2222222222222222222222222222222222222222","computerDnsName":"web.x.test","osPlatform":"WindowsServer2022","machineTags":["Tier0"],"rbacGroupName":"Tier-0 servers"}
"#;

fn project() -> Project {
    let project = Project::with_policy(POLICY);
    project.write("policies/data/groups.yaml", GROUPS);
    project.write("i.ndjson", FLEET);
    project
}

#[test]
fn explain_says_which_group_a_device_is_in_why_and_what_a_tag_would_do() {
    let project = project();
    let told = project.run(&["explain", "dc01", "--inventory", "i.ndjson"]).exits(0);
    for line in [
        "Device group \"Servers\" now, \"Tier-0 servers\" after the plan",
        "✗ tag equals Tier0",
        "✓ os startsWith WindowsServer",
        "with the tag \"Tier0\": \"Tier-0 servers\"",
    ] {
        assert!(told.out.contains(line), "`{line}` in: {}", told.out);
    }
    told.is_for_people();
    let words = ["explain", "web", "Tier0", "--inventory", "i.ndjson", "--format", "json"];
    let group = &project.run(&words).exits(0).json()["group"];
    assert_eq!(
        (&group["reported"], &group["predicted"]),
        (&"Tier-0 servers".into(), &"Tier-0 servers".into())
    );
    assert_eq!(group["tags"][0], serde_json::json!({ "tag": "Tier0", "isLive": true, "to": "Servers" }));
    let listed =
        project.run(&["devices", "--group", "Servers", "--inventory", "i.ndjson", "--format", "json"]);
    let listed = listed.exits(0).out;
    assert!(listed.contains("dc01.x.test") && !listed.contains("web.x.test"), "{listed}");
}

#[test]
fn a_policy_test_states_the_group_after_the_plan() {
    let project = project();
    let test = |name: &str, group: &str| {
        format!(
            "version: 1\ntests:\n  - name: it\n    device: {{ computerDnsName: {name}.x.test, osPlatform: WindowsServer2022, \
             machineTags: [Tier0] }}\n    {group}\n"
        )
    };
    for (name, group, code) in [
        ("dc01", "expect: { group: Tier-0 servers }", 0),
        ("dc01", "group: Tier-0 servers\n    expect: { tags: [Tier0] }", 0),
        ("web", "expect: { group: Servers }", 0),
        ("web", "expect: { group: Tier-0 servers }", 1),
        ("web", "expect: { group: Tier-1 servers }", 1),
    ] {
        project.write("policies/p.test.yaml", &test(name, group));
        let ran = project.run(&["test"]).exits(code);
        ran.is_for_people();
        if code == 1 {
            assert!((ran.out + &ran.err).contains("Tier-"), "{name} {group}");
        }
    }
    project.write("policies/p.yaml", &POLICY.replace("deviceGroups: { file: data/groups.yaml }\n", ""));
    project.write("policies/p.test.yaml", &test("dc01", "expect: { group: Servers }"));
    let ran = project.run(&["test"]).exits(1);
    assert!((ran.out + &ran.err).contains("deviceGroups"));
}

const SNAPSHOT: &str = r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"11111111-2222-4333-8444-555555555555","name":"t","cloud":"public"},"readAt":"2026-11-27T09:00:00Z","devices":2,"trusted":true,"reasons":[]}"#;

#[test]
fn a_removal_that_leaves_a_tag_a_group_or_a_rule_without_any_device_is_marked_wherever_it_is_shown() {
    let project = project();
    let caps = "guard: { caps: { removals: { floor: 9 }, groupMoves: { floor: 9 } } }\n";
    let nobody = format!("{}{caps}", POLICY.replace("dc*", "no*"));
    project.write("policies/p.yaml", &nobody);
    project.write("i.ndjson", &format!("{SNAPSHOT}\n{FLEET}"));
    let shown = |format: &str| {
        let command = if format == "junit" { "drift" } else { "plan" };
        project.run(&[command, "--inventory", "i.ndjson", "--format", format]).out
    };
    for format in ["human", "markdown", "html", "junit", "sarif"] {
        let shown = shown(format);
        assert!(shown.contains("last devices, also of "), "{format}: {shown}");
        assert!(shown.contains("device group Tier-0 servers, rule dcs"), "{format}: {shown}");
    }
    let csv = shown("csv");
    assert!(csv.contains(r#""tag; device group Tier-0 servers; rule dcs""#), "{csv}");
    let of = |of: &str, name: &str| serde_json::json!({ "of": of, "name": name });
    let line: serde_json::Value = serde_json::from_str(&shown("ndjson")).unwrap();
    let entries = [of("tag", "Tier0"), of("group", "Tier-0 servers"), of("rule", "dcs")];
    assert_eq!(line["lastDevices"].as_array().unwrap(), &entries);
    let plan: serde_json::Value = serde_json::from_str(&shown("json")).unwrap();
    for (entry, mut expected) in plan["lastDevices"].as_array().unwrap().iter().zip(entries) {
        expected["tags"] = serde_json::json!(["Tier0"]);
        assert_eq!(*entry, expected);
    }
    // Another device gains the tag: it goes from one to the other, and nothing is left without.
    project.write("policies/p.yaml", &format!("{POLICY}{caps}"));
    for format in ["human", "markdown", "html", "junit", "sarif", "csv", "ndjson", "json"] {
        let shown = shown(format).replace("lastDevices\"\n", "");
        assert!(!shown.contains("last devices") && !shown.contains("lastDevices\":"), "{format}: {shown}");
    }
}
