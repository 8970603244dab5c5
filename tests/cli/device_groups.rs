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
fn a_group_that_nobody_can_predict_is_told_where_a_device_is_explained_and_where_it_moves() {
    let project = project();
    project.write(
        "policies/data/groups.yaml",
        &GROUPS.replace("{ startsWith: WindowsServer }", "{ in: [BeOS, WindowsServer2022] }"),
    );
    let told = project.run(&["explain", "web", "Tier0", "--inventory", "i.ndjson"]).exits(0);
    let text = told.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let why = "Servers UNRELIABLE: who is in it cannot be predicted: unknown platform `BeOS`";
    assert!(text.contains(why), "{}", told.out);
    told.is_for_people();
    let words = ["explain", "web", "Tier0", "--inventory", "i.ndjson", "--format", "json"];
    let conditions = project.run(&words).exits(0).json()["group"]["conditions"].clone();
    let unpredictable: Vec<bool> =
        conditions.as_array().unwrap().iter().map(|one| one["unpredictable"].is_string()).collect();
    assert_eq!(unpredictable, [false, true], "{conditions}");
    // dc01 leaves the group.
    let lines = project.run(&["plan", "--inventory", "i.ndjson", "--format", "ndjson"]).exits(0).out;
    let doubts: Vec<&str> = lines.lines().filter(|line| line.contains(r#""action":"groupMove""#)).collect();
    assert_eq!(doubts.len(), 1, "{lines}");
    assert!(doubts[0].contains(r#""unreliable":["from"]"#), "{lines}");
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
    // The next line is the move.
    let line: serde_json::Value = serde_json::from_str(shown("ndjson").lines().next().unwrap()).unwrap();
    let entries = [of("tag", "Tier0"), of("group", "Tier-0 servers"), of("rule", "dcs")];
    assert_eq!(line["lastDevices"].as_array().unwrap(), &entries);
    let plan: serde_json::Value = serde_json::from_str(&shown("json")).unwrap();
    for (entry, mut expected) in plan["lastDevices"].as_array().unwrap().iter().zip(entries) {
        expected["tags"] = serde_json::json!(["Tier0"]);
        assert_eq!(*entry, expected);
    }
    // Another device gains the tag, so one replaces the other and the group is not empty.
    project.write("policies/p.yaml", &format!("{POLICY}{caps}"));
    for format in ["human", "markdown", "html", "junit", "sarif", "csv", "ndjson", "json"] {
        let shown = shown(format).replace("lastDevices\"\n", "");
        assert!(!shown.contains("last devices") && !shown.contains("lastDevices\":"), "{format}: {shown}");
    }
}

/// Two domain controllers and six other servers gain `Tier0`. The plan leaves forty servers alone, some of which the service
/// reports in a group that the file lacks.
fn stale(project: &Project, differ: usize) {
    project.write(
        "policies/p.yaml",
        "version: 1\nclaims: [Tier0]\ndeviceGroups: { file: data/groups.yaml }\n\
         guard: { caps: { groupMoves: { percent: 0, floor: 4 } } }\n\
         rules:\n  - { name: tier0, select: { machineTags: { has: Wanted } }, tags: [Tier0] }\n",
    );
    let looks_at_names = GROUPS.replace("equals: Tier0 }]", "equals: Tier0 }], name: [{ startsWith: dc }]");
    project.write("policies/data/groups.yaml", &looks_at_names);
    let mut lines = SNAPSHOT.replace("\"devices\":2", "\"devices\":48");
    for number in 0..48 {
        let (role, tags) = (if number < 2 { "dc" } else { "s" }, if number < 8 { "\"Wanted\"" } else { "" });
        let group = if (8..8 + differ).contains(&number) { "Old name" } else { "Servers" };
        lines.push_str(&format!(
            "\n{{\"id\":\"{number:040x}\",\"computerDnsName\":\"{role}{number:02}.x.test\",\"osPlatform\":\"WindowsServer2022\",\
             \"machineTags\":[{tags}],\"rbacGroupName\":\"{group}\"}}"
        ));
    }
    project.write("i.ndjson", &lines);
}

#[test]
fn a_stale_file_is_told_with_count_and_sample_and_beyond_five_per_cent_every_possible_move_is_judged() {
    let project = project();
    let plan = |format: &str| project.run(&["plan", "--inventory", "i.ndjson", "--format", format]);
    let spoken = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    // 2 of 40 devices are 5 %: reported, and the prediction still counts. Two devices move; the cap is four.
    stale(&project, 2);
    let told = plan("human").exits(0);
    told.is_for_people();
    let told = spoken(&told.out);
    assert!(
        told.starts_with("device groups: 2 of 40 devices that the plan leaves alone are in another group"),
        "{told}"
    );
    assert!(told.contains("s08.x.test: reported in Old name, predicted in Servers; s09.x.test"), "{told}");
    assert!(told.contains("groupMoves 2 of 4: within limits") && !told.contains("UNRELIABLE"), "{told}");
    // One more: eight devices gain a tag that a condition names, so eight could move.
    stale(&project, 3);
    let refused = plan("human").exits(3);
    refused.is_for_people();
    let refused = spoken(&refused.out);
    for part in [
        "refused: 8 devices that change group are over the limit of 4 in the worst case, because the file of device groups does \
         not match the tenant (3 of 40 devices differ)",
        "`groupMoves`: to proceed: save the tenant's device groups anew",
        "or, for the caps as they are: --allow groupMoves=8",
        "the moves below are UNRELIABLE",
        "2 devices change group as predicted (UNRELIABLE: up to 8)",
        "groupMoves: 8 of 48 devices in scope (16.7 %)",
    ] {
        assert!(refused.contains(part), "`{part}` in: {refused}");
    }
    let document = plan("json").exits(3).json();
    let (groups, check) = (&document["groups"], &document["groups"]["check"]);
    assert_eq!((&groups["predicted"], &groups["possible"]), (&2.into(), &8.into()));
    assert_eq!((&check["differ"], &check["of"], &check["reliable"]), (&3.into(), &40.into(), &false.into()));
    assert_eq!(check["sample"][2], "s10.x.test: reported in Old name, predicted in Servers");
    let axis = document["guard"]["axes"].as_array().unwrap().iter().find(|axis| axis["axis"] == "groupMoves");
    assert_eq!((&axis.unwrap()["planned"], &axis.unwrap()["cap"]), (&8.into(), &4.into()));
    for format in ["markdown", "html"] {
        let shown = spoken(&plan(format).exits(3).out);
        assert!(shown.contains("3 of 40 devices"), "{format}: {shown}");
    }
    let words = ["plan", "--inventory", "i.ndjson", "--allow", "groupMoves=8"];
    project.run(&words).exits(0);
}
