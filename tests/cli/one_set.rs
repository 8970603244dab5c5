//! One policy set, however its root is named: day caps, approvals, waits and stored counts of sources all apply.

use crate::project::Project;
use crate::tenant::policy;

/// Arguments that name the set at `policies`, which has one file at its top.
const SPELLINGS: [&[&str]; 5] = [
    &["policies/p.yaml"],
    &["policies", "policies/p.yaml"],
    &["policies/p.yaml", "policies"],
    &["./policies/"],
    &["."],
];

/// Everything except these devices carries the tag.
fn without(ids: &[String], guard: &str) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [Zebra]\nrules:\n  - name: all\n    \
         select: {{ not: {{ id: [none, {}] }} }}\n    tags: [Zebra]\n{guard}",
        ids.join(", ")
    )
}

/// A tenant whose devices all carry the tag, by a run of `policies`; their ids and today.
fn tagged(guard: &str, devices: usize) -> (Project, Vec<String>, String) {
    let project = Project::with_policy(&without(&[], guard));
    project.write(".git/HEAD", "ref: refs/heads/main\n");
    project.run(&["sandbox", "create", "--devices", &devices.to_string()]).exits(0);
    let first = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let today = first["createdAt"].as_str().unwrap().split('T').next().unwrap().to_owned();
    let changes = first["changes"].as_array().unwrap().iter();
    let ids = changes.map(|change| change["device"]["id"].as_str().unwrap().to_owned()).collect();
    project.run(&["apply", "--sandbox", "--auto-approve", "policies"]).exits(0);
    (project, ids, today)
}

fn apply(project: &Project, set: &[&str], code: i32) -> String {
    project.run(&[&["apply", "--sandbox", "--auto-approve"], set].concat()).exits(code).out
}

#[test]
fn the_cap_of_a_day_is_one_for_every_spelling_of_the_set() {
    let (project, ids, _) = tagged("", 100);
    project.write("policies/p.yaml", &without(&ids[..10], ""));
    apply(&project, &["policies"], 0);
    project.write("policies/p.yaml", &without(&ids[..20], ""));
    apply(&project, &["policies/p.yaml"], 0);
    project.write("policies/p.yaml", &without(&ids[..30], ""));
    for set in SPELLINGS.into_iter().chain([&["policies"][..]]) {
        let refused = apply(&project, set, 3);
        assert!(refused.contains("20 + 10 of 100"), "{set:?}: {refused}");
    }
}

#[test]
fn a_part_of_the_set_spends_the_cap_of_the_whole() {
    let (project, ids, _) = tagged("", 100);
    project.write("policies/p.yaml", "version: 1\nclaims: [Other]\n");
    for count in [10, 20] {
        project.write("policies/team/t.yaml", &without(&ids[..count], ""));
        apply(&project, &["policies"], 0);
    }
    project.write("policies/team/t.yaml", &without(&ids[..30], ""));
    for part in ["policies/team", "policies/team/t.yaml"] {
        let refused = apply(&project, &[part], 3);
        assert!(refused.contains("20 + 10 of 100"), "{part}: {refused}");
    }
}

#[test]
fn an_approval_is_used_up_by_every_spelling_of_the_set() {
    let caps = "guard:\n  caps: { removals: { percent: 1, floor: 1 }, removalsPerTag: { percent: 100 } }\n";
    let (project, ids, today) = tagged(caps, 20);
    let approved = format!("{caps}  approvals: [{{ cap: removals, max: 6, expires: {today} }}]\n");
    project.write("policies/p.yaml", &without(&ids[..4], &approved));
    apply(&project, &["policies"], 0);
    project.write("policies/p.yaml", &without(&ids[..10], &approved));
    for set in SPELLINGS {
        apply(&project, set, 3);
    }
}

#[test]
fn an_open_rollout_holds_its_devices_for_every_spelling_of_the_set() {
    let rollout = "rollout: { from: 5, waves: [10, 100%], wait: 2h }\n";
    let project = Project::with_policy(
        &policy("New", "tags: [New]").replace("guard:\n", &format!("guard:\n  {rollout}")),
    );
    project.write(".git/HEAD", "ref: refs/heads/main\n");
    project.devices(30);
    apply(&project, &["policies"], 6);
    for set in SPELLINGS {
        apply(&project, set, 0);
        let written = project.fleet().values().filter(|(tags, _)| tags.contains(&"New".to_owned())).count();
        assert_eq!(written, 10, "{set:?}");
    }
}

#[test]
fn a_source_that_shrank_is_untrusted_for_every_spelling_of_the_set_until_somebody_accepts_it() {
    let policy = "version: 1\nscope: { everything: true }\nclaims: [Zebra]\nrules:\n  - name: listed\n    \
                  select: { id: { inFile: data/list.txt } }\n    tags: [Zebra]\nguard:\n  \
                  caps: { removals: { percent: 100 }, removalsPerTag: { percent: 100 } }\n  inventory: { maxShrink: 10% }\n";
    let (project, ids, _) = tagged("", 100);
    let list = |count: usize| {
        let lines: String = ids[..count].iter().map(|id| format!("{id}\n")).collect();
        project.write("policies/data/list.txt", &lines);
    };
    project.write("policies/p.yaml", policy);
    list(100);
    apply(&project, &["policies"], 0);
    list(50);
    for set in SPELLINGS {
        let refused = apply(&project, set, 3);
        assert!(refused.contains("list.txt"), "{set:?}: {refused}");
    }
    project
        .run(&["state", "accept", "data/list.txt", "policies/p.yaml", "--reason", "halved", "--sandbox"])
        .exits(0);
    apply(&project, &["policies"], 0);
}

#[test]
fn what_a_run_undid_stays_undone_for_every_spelling_of_the_set() {
    let project = Project::with_policy(&policy("New", "tags: [New]"));
    project.write(".git/HEAD", "ref: refs/heads/main\n");
    project.devices(3);
    let applied = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    project.run(&["revert", applied["runId"].as_str().unwrap(), "-o", "undo.json", "--sandbox"]).exits(0);
    project.run(&["apply", "undo.json", "--sandbox"]).exits(0);
    let carriers = || project.fleet().values().filter(|(tags, _)| tags.contains(&"New".to_owned())).count();
    assert_eq!(carriers(), 0);
    project.write("policies/q.yaml", "version: 1\nclaims: [Other]\n");
    for set in [&["policies/p.yaml"][..], &["policies/p.yaml", "policies/p.yaml"]] {
        apply(&project, set, 0);
        assert_eq!(carriers(), 0, "{set:?}");
    }
    project.write("policies/p.yaml", &policy("New", "tags: [New, More]"));
    apply(&project, &["policies/p.yaml"], 0);
    assert_eq!(carriers(), 3, "its policy changed");
}

#[test]
fn no_spelling_of_a_set_is_its_own_rival() {
    let (project, ids, _) = tagged("", 20);
    project.write("policies/p.yaml", &without(&ids[..2], ""));
    for set in SPELLINGS {
        let planned =
            project.run(&[&["plan", "--sandbox", "--format", "json"], set].concat()).exits(0).json();
        assert_eq!(planned["state"].get("rivals"), None, "{set:?}");
    }
}

#[test]
fn a_run_of_a_part_that_ended_early_is_found_by_the_whole_set() {
    let project = Project::with_policy(&policy("New", "tags: [New]\n    deviceValue: High"));
    project.write(".git/HEAD", "ref: refs/heads/main\n");
    project.devices(30);
    project.run(&["apply", "policies/p.yaml", "--sandbox", "--auto-approve", "--max-calls", "3"]).exits(5);
    project.run(&["apply", "--resume", "--sandbox", "--auto-approve"]).exits(0);
    assert!(project.fleet().values().all(|(_, value)| value == "High"));
}

#[test]
fn a_set_is_the_same_from_every_folder_inside_and_outside_of_a_repository() {
    for is_repository in [true, false] {
        let (project, ids, _) = tagged("", 100);
        if !is_repository {
            std::fs::remove_dir_all(project.path().join(".git")).unwrap();
        }
        for count in [10, 20] {
            project.write("policies/p.yaml", &without(&ids[..count], ""));
            apply(&project, &["policies"], 0);
        }
        project.write("policies/p.yaml", &without(&ids[..30], ""));
        let elsewhere = tempfile::tempdir().unwrap();
        let state = project.path().join(".mdetag").to_string_lossy().into_owned();
        for (folder, set) in [
            (elsewhere.path(), project.path().join("policies").to_string_lossy().into_owned()),
            (&*project.path().join("policies"), "p.yaml".to_owned()),
        ] {
            let mut command = project.command(&["plan", "--sandbox", "--state", &state, &set]);
            let refused = crate::project::ran(command.current_dir(folder).output().unwrap()).exits(3).out;
            assert!(refused.contains("20 + 10 of 100"), "{is_repository} {set}: {refused}");
        }
    }
}
