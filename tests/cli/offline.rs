//! Commands that need no tenant.

use crate::project::Project;

const DEVICE: &str = r#"{"id":"3f1c0a9be27d45c6881f02e4a7d95b6c0e1f2a3b","computerDnsName":"dc01.corp.example.com","osPlatform":"WindowsServer2022","machineTags":["Legacy"],"deviceValue":"Normal"}"#;

#[test]
fn usage_errors_end_with_one_and_help_with_zero() {
    let project = Project::new();
    project.run(&["--help"]).exits(0);
    project.run(&["--version"]).exits(0);
    project.run(&["plan", "--no-such-flag"]).exits(1);
    project.run(&[]).exits(1);
    let json = project.run(&["plan", "--no-such-flag", "--format", "json"]).exits(1).json();
    assert_eq!(json["errors"], 1);
}

#[test]
fn the_same_inputs_and_now_give_the_same_plan() {
    let project = Project::with_policy(
        "version: 1\nclaims: [Tier0]\nrules:\n  - name: dcs\n    select: { computerDnsName: { glob: \"dc*\" } }\n    tags: [Tier0]\n    deviceValue: High\n",
    );
    project.write("devices.ndjson", DEVICE);
    let plan = |file: &str| {
        project.run(&["plan", "--inventory", "devices.ndjson", "--now", "2026-11-22", "-o", file]).exits(0);
        let text = project.read(file);
        text.lines().filter(|line| !line.contains("createdAt")).collect::<Vec<_>>().join("\n")
    };
    let first = plan("one.json");
    assert_eq!(first, plan("two.json"));
    let shown = project.run(&["show", "one.json"]).exits(0);
    let planned = project.run(&["plan", "--inventory", "devices.ndjson", "--now", "2026-11-22"]).exits(0);
    assert_eq!(shown.out, planned.out);
}

#[test]
fn a_broken_policy_shows_every_problem_on_its_line() {
    let project =
        Project::with_policy("version: 1\nrulez: []\nrules:\n  - name: a\n    select: {}\n    tagz: [x]\n");
    let ran = project.run(&["validate"]).exits(1);
    for word in ["rulez", "did you mean `rules`", "everything: true", "tagz", "policies/p.yaml:2:1"] {
        assert!(ran.out.contains(word), "{word} in {}", ran.out);
    }
    ran.is_for_people();
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(1).json();
    assert!(plan["errors"].as_u64().unwrap() >= 3, "{plan}");
}

#[test]
fn a_snapshot_in_the_state_is_planned_on_like_the_file_of_the_same_read() {
    let project = Project::with_policy(
        "version: 1\nclaims: [Tier0]\nrules:\n  - name: dcs\n    select: { computerDnsName: { glob: \"dc*\" } }\n    tags: [Tier0]\n",
    );
    let none = project.run(&["plan", "--inventory", "state:", "--sandbox"]).exits(1);
    assert!(none.err.contains("snapshot --keep"), "{}", none.err);
    let kept = project.run(&["snapshot", "--keep", "-o", "devices.ndjson", "--sandbox"]).exits(0);
    assert!(kept.out.contains("snapshot.ndjson.zst") && kept.out.contains("devices.ndjson"), "{}", kept.out);
    let plan = |inventory: &str| {
        let args = ["plan", "--inventory", inventory, "--now", "2026-11-22", "--format", "json"];
        let mut plan = project.run(&args).exits(0).json();
        plan.as_object_mut().unwrap().remove("createdAt");
        plan
    };
    let planned = plan("state:");
    assert!(
        !planned["changes"].as_array().unwrap().is_empty()
            || !planned["groups"].as_array().unwrap().is_empty()
    );
    assert_eq!(planned, plan("devices.ndjson"));
    project.run(&["snapshot", "--keep", "--sandbox=other"]).exits(0);
    let two = project.run(&["plan", "--inventory", "state:"]).exits(1);
    assert!(two.err.contains("name one with --tenant or --sandbox"), "{}", two.err);
    project.run(&["plan", "--inventory", "state:", "--sandbox=other"]).exits(0);
    project.run(&["apply", "--inventory", "state:"]).exits(1);
    project.run(&["snapshot"]).exits(1);
}
