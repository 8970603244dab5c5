//! A plan file only proposes changes; the current policies, state and tenant decide what is written.

use mdetag_core::plan::{digest, document};
use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::tenant::{device, id, policy};

/// A file of the project with these keys of a plan replaced, and the matching digest.
fn forge(project: &Project, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
    let mut plan: Value = serde_json::from_str(&project.read(from)).unwrap();
    change(&mut plan);
    let canonical = digest::canonical(&plan.to_string(), &document::OUTSIDE_DIGEST).unwrap();
    plan["digest"] = digest::sha256(canonical.as_bytes()).into();
    project.write(to, &plan.to_string());
}

fn writes(project: &Project) -> usize {
    let routes = ["bulkTag", "singleTag", "setValue", "updateDevice"];
    routes.iter().map(|route| project.calls("default", route).len()).sum()
}

#[track_caller]
fn refused(project: &Project, words: &[&str], says: &[&str]) -> Ran {
    let before = writes(project);
    let ran = project.run(words).exits(1);
    ran.is_for_people();
    for text in says {
        assert!(ran.err.contains(text), "`{text}` in: {}", ran.err);
    }
    assert_eq!(writes(project), before, "nothing is written");
    ran
}

fn tagged(tags: &str, devices: usize) -> (Project, String) {
    let project = Project::with_policy(&policy("New", tags));
    project.devices(devices);
    let applied = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    (project, applied["runId"].as_str().unwrap().to_owned())
}

#[test]
fn a_plan_that_undoes_what_no_run_did_is_refused() {
    let (project, run) = tagged("tags: [New]", 3);
    project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0);
    let forged = json!([{ "device": { "id": id(0), "name": null }, "observed": { "tags": [] }, "remove": [],
        "add": [{ "tag": "MDE-Management", "cause": "renamed", "to": "MDE-Management" }] }]);
    for claimed in ["20260101T000000Z-000000", &run, "../../x"] {
        forge(&project, "undo.json", "forged.json", |plan| {
            plan["reverts"] = claimed.into();
            plan["changes"] = forged.clone();
            plan["causes"] = json!([]);
        });
        refused(&project, &["apply", "--sandbox", "forged.json"], &["run"]);
    }
    project.run(&["apply", "--sandbox", "undo.json"]).exits(0);
    assert!(project.fleet().values().all(|(tags, _)| !tags.contains(&"New".to_owned())));
}

#[test]
fn a_plan_that_was_put_beside_a_journal_is_not_resumed() {
    let project = Project::with_policy(&policy("New", "tags: [New]\n    deviceValue: High"));
    project.devices(3);
    project.run(&["apply", "--sandbox", "--auto-approve", "--max-calls", "1"]).exits(5);
    let runs = std::fs::read_dir(project.path().join(".mdetag/sandbox/default")).unwrap();
    let tenant = runs.map(|entry| entry.unwrap().path().join("runs")).find(|path| path.is_dir()).unwrap();
    let plan = std::fs::read_dir(tenant).unwrap().map(|entry| entry.unwrap().path());
    let plan = plan.into_iter().find(|path| path.to_string_lossy().ends_with(".plan.json")).unwrap();
    let plan = plan.strip_prefix(project.path()).unwrap().to_str().unwrap().to_owned();
    let genuine = project.read(&plan);
    forge(&project, &plan, &plan, |plan| plan["changes"] = json!([]));
    refused(&project, &["apply", "--sandbox", "--resume"], &["is not the plan of run"]);
    project.write(&plan, &genuine);
    project.run(&["apply", "--sandbox", "--resume"]).exits(0);
}

#[test]
fn a_revert_brings_a_reserved_tag_back_only_where_the_guard_names_it() {
    let guarded = |allow: &str, more: &str| {
        policy("New", "tags: [New]").replace("guard:\n", &format!("{more}guard:\n{allow}"))
    };
    let project =
        Project::with_policy(&guarded("  allowReserved: [MDE-Management]\n", "retire: [MDE-Management]\n"));
    project.devices(0);
    project.portal(|sandbox| sandbox.insert(&json!([device(0, json!(["MDE-Management"]))])).unwrap());
    let applied = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    let run = applied["runId"].as_str().unwrap();
    let adds = |project: &Project| {
        let plan: Value = serde_json::from_str(&project.read("undo.json")).unwrap();
        plan["changes"][0]["add"].as_array().unwrap().len()
    };
    project.run(&["revert", run, "-o", "undo.json", "--sandbox"]).exits(0);
    assert_eq!(adds(&project), 1);
    project.write("policies/p.yaml", &guarded("", ""));
    project.run(&["revert", run, "-o", "undo.json", "--sandbox"]).exits(0);
    assert_eq!(adds(&project), 0);
}

#[test]
fn a_plan_of_a_part_of_the_policies_is_refused() {
    let project =
        Project::with_policy("version: 1\nguard: { caps: { additions: { percent: 0, floor: 0 } } }\n");
    project.write(
        "policies/a.yaml",
        &policy("New", "tags: [New]")
            .replace("guard:", "# guard:")
            .replace("\n  caps", "\n#  caps")
            .replace("\n    devices", "\n#    devices")
            .replace("\n    additions", "\n#    additions")
            .replace("\n    removals", "\n#    removals")
            .replace("\n    values", "\n#    values"),
    );
    project.devices(3);
    project.run(&["plan", "--sandbox", "policies/a.yaml", "-o", "part.json"]).exits(0);
    refused(&project, &["apply", "--sandbox", "part.json"], &["policies/p.yaml"]);
    // The person who applies may choose the policies; the author of the plan may not.
    project.run(&["apply", "--sandbox", "part.json", "policies/a.yaml"]).exits(0);
}

#[test]
fn a_plan_of_policies_outside_the_repository_is_refused() {
    let project = Project::with_policy(&policy("New", "tags: [New]"));
    project.devices(3);
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    for path in ["../policies/p.yaml", "/etc/p.yaml"] {
        forge(&project, "plan.json", "forged.json", |plan| plan["policy"]["files"][0]["path"] = path.into());
        refused(&project, &["apply", "--sandbox", "forged.json"], &[path, "outside"]);
    }
}

#[test]
fn a_plan_whose_waves_are_not_those_of_the_policies_is_refused() {
    type Forgery = (&'static str, fn(&mut Value));
    let text = policy("New", "tags: [New]")
        .replace("guard:\n", "guard:\n  rollout: { from: 2, waves: [1, 100%] }\n");
    let project = Project::with_policy(&text);
    project.devices(5);
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    let forgeries: [Forgery; 3] = [
        ("none", |plan| {
            plan.as_object_mut().unwrap().remove("rollout");
            for change in plan["changes"].as_array_mut().unwrap() {
                change.as_object_mut().unwrap().remove("wave");
            }
        }),
        ("one", |plan| {
            plan["rollout"]["waves"].as_array_mut().unwrap().truncate(1);
            plan["rollout"]["waves"][0]["devices"] = 5.into();
            for change in plan["changes"].as_array_mut().unwrap() {
                change["wave"] = 1.into();
            }
        }),
        ("another device first", |plan| {
            let changes = plan["changes"].as_array_mut().unwrap();
            let first = changes.iter().position(|change| change["wave"] == 1).unwrap();
            changes[first]["wave"] = 2.into();
            changes[(first + 1) % 5]["wave"] = 1.into();
        }),
    ];
    for (name, forgery) in forgeries {
        forge(&project, "plan.json", "forged.json", forgery);
        let ran = refused(
            &project,
            &["apply", "--sandbox", "forged.json"],
            &["the waves of the plan are not those"],
        );
        assert!(ran.err.contains("mdetag plan"), "{name}: {}", ran.err);
    }
    project.run(&["apply", "--sandbox", "plan.json"]).exits(0);
}
