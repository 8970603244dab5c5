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

#[test]
fn reports_and_documents_say_when_a_recorded_inventory_was_read() {
    let project = Project::with_policy(
        "version: 1\nclaims: [Tier0]\nrules:\n  - name: dcs\n    select: { computerDnsName: { glob: \"dc*\" } }\n    tags: [Tier0]\n",
    );
    let header = r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"5a4db0c5-1111-4222-8333-444455556666","name":"a","cloud":"public"},"readAt":"2026-11-19T03:00:00.5258897Z","devices":1,"trusted":true,"reasons":[]}"#;
    project.write("devices.ndjson", &format!("{header}\n{DEVICE}\n"));
    let run = |words: &[&str]| {
        let given = ["--inventory", "devices.ndjson", "--now", "2026-11-22T03:00:00Z"];
        project.run(&[words, &given].concat()).exits(0).out
    };
    let said = "recorded 2026-11-19T03:00:00Z (2 d 23 h before this plan)";
    for format in ["human", "markdown", "html"] {
        let text = run(&["plan", "--format", format]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(said), "{format}: {text}");
    }
    run(&["plan", "-o", "plan.json"]);
    let plan: serde_json::Value = serde_json::from_str(&project.read("plan.json")).unwrap();
    assert_eq!(plan["inventory"]["readAt"], "2026-11-19T03:00:00.5258897Z");
    assert!(project.run(&["show", "plan.json"]).exits(0).out.contains("recorded 2026-11-19T03:00:00Z"));
    for command in ["tags", "devices", "coverage"] {
        assert!(run(&[command]).contains(" · recorded at 2026-11-19T03:00:00Z\n"), "{command}");
        let document: serde_json::Value = serde_json::from_str(&run(&[command, "--format", "json"])).unwrap();
        assert_eq!(document["readAt"], "2026-11-19T03:00:00.5258897Z", "{command}");
    }
}

#[test]
fn a_snapshot_that_cannot_be_kept_says_what_is_in_its_place() {
    let project = Project::with_policy("version: 1\nrules: []\n");
    let neither = project.run(&["snapshot", "--sandbox"]).exits(1);
    assert!(neither.err.contains("--output <FILE>|--keep"), "{}", neither.err);
    project.run(&["snapshot", "--keep", "--sandbox"]).exits(0);
    let tenant = std::fs::read_dir(project.path().join(".mdetag/sandbox/default")).unwrap().next().unwrap();
    let kept = tenant.unwrap().path().join("snapshot.ndjson.zst");
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    let read = project.run(&["plan", "--inventory", "state:", "--sandbox"]).exits(1).err;
    assert!(read.contains("it is a folder") && read.contains("move it away"), "{read}");
    let written = project.run(&["snapshot", "--keep", "--sandbox"]).exits(1).err;
    assert!(written.contains("it is a folder") && written.matches("cannot write").count() == 1, "{written}");
}
