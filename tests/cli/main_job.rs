//! Plan, apply, drift: the first commands of a newcomer.

use crate::project::Project;

/// The reference set of this repository, as a project.
fn reference() -> Project {
    let project = Project::new();
    let policies = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for entry in std::fs::read_dir(policies).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        project.write(&format!("policies/{name}"), &std::fs::read_to_string(&path).unwrap());
    }
    project
}

/// A policy with loose caps, because its tests are about calls.
const LOOSE: &str = "guard:\n  caps:\n    devices: { percent: 100, floor: 100000 }\n    additions: { percent: 100, floor: 100000 }\n    \
                     removals: { percent: 100, floor: 100000 }\n    removalsPerTag: { percent: 100, floor: 100000 }\n    \
                     values: { percent: 100, floor: 100000 }\n";

#[test]
fn a_tenant_is_planned_applied_disturbed_and_healed() {
    let project = reference();
    let planned = project.run(&["plan", "--sandbox"]).exits(0);
    assert!(planned.out.starts_with("SANDBOX"), "{}", planned.out);
    planned.is_for_people();
    let applied = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    applied.is_for_people();
    let again = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    assert_eq!(again["changes"].as_array().unwrap().len(), 0, "{again}");
    project.run(&["drift", "--sandbox"]).exits(0);

    let edits = project.run(&["sandbox", "disturb", "--edits", "40", "--format", "json"]).exits(0).json();
    let drift = project.run(&["drift", "--sandbox", "--format", "json"]).exits(2).json();
    let drifted: std::collections::BTreeSet<&str> = drift["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["device"]["id"].as_str().unwrap())
        .collect();
    let edited: std::collections::BTreeSet<&str> =
        edits["edits"].as_array().unwrap().iter().map(|edit| edit["device"].as_str().unwrap()).collect();
    assert!(!drifted.is_empty() && drifted.is_subset(&edited), "{drifted:?} {edited:?}");
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    project.run(&["drift", "--sandbox"]).exits(0);
}

#[test]
fn one_tag_on_1201_devices_takes_three_bulk_calls() {
    let project = Project::with_policy(&format!(
        "version: 1\nscope: {{ everything: true }}\nrules:\n  - name: all\n    select: {{ everything: true }}\n    tags: [Zebra]\n{LOOSE}"
    ));
    project.run(&["sandbox", "create", "--devices", "1201"]).exits(0);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    // They are in flight at the same time, so their order of arrival proves nothing.
    let mut sizes = bulk_sizes(&project);
    sizes.sort_unstable();
    assert_eq!(sizes, [201, 500, 500]);
}

#[test]
fn three_tags_added_and_one_removed_on_700_devices_take_eight_calls() {
    let rule = |tags: &str| {
        format!(
            "version: 1\nscope: {{ everything: true }}\nclaims: [Old, One, Two, Three]\nrules:\n  - name: all\n    \
             select: {{ everything: true }}\n    tags: [{tags}]\n{LOOSE}"
        )
    };
    let project = Project::with_policy(&rule("Old"));
    project.run(&["sandbox", "create", "--devices", "700"]).exits(0);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    let before = bulk_sizes(&project).len();
    project.write("policies/p.yaml", &rule("One, Two, Three"));
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert_eq!(bulk_sizes(&project).len() - before, 8);
    assert!(project.calls("default", "updateDevice").is_empty());
}

#[test]
fn a_plan_over_its_cap_is_refused_with_the_arithmetic_and_nothing_is_written() {
    let project = Project::with_policy(
        "version: 1\nclaims: [Mass]\nrules:\n  - name: all\n    select: { everything: true }\n    tags: [Mass]\n",
    );
    project.run(&["apply", "--sandbox", "--auto-approve", "--allow", "devices=5000"]).exits(0);
    let writes = bulk_sizes(&project).len();
    project.write("policies/p.yaml", "version: 1\nclaims: [Mass]\n");
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert!(refused.out.contains("refused:") && refused.out.contains("--allow removals="), "{}", refused.out);
    assert_eq!(bulk_sizes(&project).len(), writes);
    project.run(&["plan", "--sandbox"]).exits(3);
    project.run(&["drift", "--sandbox"]).exits(2);
}

#[test]
fn without_a_terminal_apply_needs_auto_approve() {
    let project = reference();
    let ran = project.run(&["apply", "--sandbox"]).exits(1);
    assert!(ran.err.contains("--auto-approve"), "{}", ran.err);
}

fn bulk_sizes(project: &Project) -> Vec<usize> {
    let calls = project.calls("default", "bulkTag");
    let bodies = calls
        .iter()
        .map(|call| serde_json::from_str::<serde_json::Value>(call["body"].as_str().unwrap()).unwrap());
    bodies.map(|body| body["MachineIds"].as_array().unwrap().len()).collect()
}
