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

#[test]
fn a_removal_that_leaves_a_tag_on_no_device_is_marked_in_every_report_that_groups_changes() {
    let project =
        Project::with_policy("version: 1\nretire: [Tier0]\nguard: { caps: { removals: { floor: 9 } } }\n");
    let header = r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"11111111-2222-4333-8444-555555555555","name":"t","cloud":"public"},"readAt":"2026-11-27T09:00:00Z","devices":2,"trusted":true,"reasons":[]}"#;
    project.write("i.ndjson", &format!("{header}\n{FLEET}"));
    for format in ["human", "markdown", "html"] {
        let shown = project.run(&["plan", "--inventory", "i.ndjson", "--format", format]).exits(0);
        assert!(shown.out.contains("last devices"), "{format}: {}", shown.out);
    }
}
