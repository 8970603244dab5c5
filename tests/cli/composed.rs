//! Letters with separate marks (NFD): names compare with them composed; tags do not, and are reported.

use crate::project::Project;

/// A trusted recording of one device: removals are planned.
const HEADER: &str = r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"11111111-2222-3333-4444-555555555555","name":"t","cloud":"public"},"readAt":"2026-11-26T00:00:00Z","devices":1,"trusted":true,"reasons":[]}"#;

fn plan(policy: &str, device: &str) -> serde_json::Value {
    let project = Project::with_policy(policy);
    project.write("policies/cmdb.csv", "host,site\nmu\u{308}ller-pc,Mu\u{308}nchen\n");
    project.write("policies/names.txt", "M\u{dc}LLER-PC\n");
    project.write("fleet.ndjson", &format!("{HEADER}\n{device}\n"));
    let ran =
        project.run(&["plan", "--inventory", "fleet.ndjson", "--now", "2026-11-26", "--format", "json"]);
    ran.exits(0).json()
}

fn warnings(plan: &serde_json::Value) -> String {
    plan["warnings"].to_string()
}

#[test]
fn names_compare_composed_in_lists_files_lookups_and_patterns() {
    let selects = [
        "computerDnsName: M\u{dc}LLER-PC",
        "computerDnsName: { in: [m\u{fc}ller-pc] }",
        "computerDnsName: { inFile: names.txt }",
        "deviceName: { glob: \"m\u{fc}l*\" }",
        "deviceName: { regex: \"^m\u{fc}ller\" }",
        "deviceName: { contains: \u{dc} }",
        "lookup.cmdb.site: M\u{fc}nchen",
    ];
    for (name, other) in [("m\u{fc}ller-pc", "composed"), ("mu\u{308}ller-pc", "decomposed")] {
        for select in selects {
            let policy = format!(
                "version: 1\nlookups:\n  cmdb: {{ file: cmdb.csv, key: host, match: deviceName }}\nrules:\n  - name: r\n    select: {{ {select} }}\n    tags: [T]\n"
            );
            let device = format!(r#"{{"id":"a1","computerDnsName":"{name}","machineTags":[]}}"#);
            let plan = plan(&policy, &device);
            assert_eq!(plan["summary"]["additions"], 1, "{select} on the {other} name");
        }
    }
}

#[test]
fn what_a_template_gives_is_composed() {
    let policy = "version: 1\nlookups:\n  cmdb: { file: cmdb.csv, key: host, match: deviceName }\nclaims: [\"*\"]\nrules:\n  - name: r\n    select: { everything: true }\n    tags: [\"u\u{308}ber:{lookup.cmdb.site}\"]\n";
    let plan = plan(policy, r#"{"id":"a1","computerDnsName":"müller-pc","machineTags":[]}"#);
    assert_eq!(plan["changes"][0]["add"][0]["tag"], "\u{fc}ber:M\u{fc}nchen");
}

#[test]
fn a_live_tag_in_another_unicode_form_is_told_and_left_alone() {
    let device = "{\"id\":\"a1\",\"computerDnsName\":\"a\",\"machineTags\":[\"Bu\u{308}ro\"]}";
    let policies = [
        ("rules:\n  - name: r\n    select: { everything: true }\n    tags: [B\u{fc}ro]\n", 1),
        ("claims: [B\u{fc}ro]\n", 0),
        ("claims: [\"B\u{fc}*\"]\n", 0),
        ("retire: [B\u{fc}ro]\n", 0),
        ("rules:\n  - name: r\n    select: { everything: true }\n    removeTags: [\"B\u{fc}r?\"]\n", 0),
    ];
    for (policy, additions) in policies {
        let plan = plan(&format!("version: 1\n{policy}"), device);
        let told = warnings(&plan);
        assert!(told.contains("W0603") && told.contains("Unicode form"), "{policy}: {told}");
        assert_eq!(
            (&plan["summary"]["removals"], &plan["summary"]["additions"]),
            (&0.into(), &additions.into())
        );
    }
    let settled = plan("version: 1\nrenames: { \"Bu\u{308}ro\": B\u{fc}ro }\n", device);
    assert_eq!(settled["summary"]["removals"], 1);
    assert!(!warnings(&settled).contains("W0603"), "{settled}");
}

#[test]
fn two_tags_of_the_set_in_two_unicode_forms_are_told() {
    let project = Project::with_policy("version: 1\nclaims: [B\u{fc}ro, \"Bu\u{308}ro\"]\n");
    let ran = project.run(&["validate"]).exits(0);
    assert!(ran.out.contains("W0404") && ran.out.contains("Unicode form"), "{}", ran.out);
}
