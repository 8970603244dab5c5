//! Sandboxes of different names are different tenants, and a new one knows nothing of an old one.

use crate::project::Project;

const POLICY: &str = "version: 1\nclaims: [os/*]\nrules:\n  - { name: win, select: { osPlatform: { startsWith: Windows } }, tags: [os/windows] }\n";

#[test]
fn the_state_of_one_sandbox_says_nothing_about_another() {
    let project = Project::with_policy(POLICY);
    for name in ["--sandbox=one", "--sandbox=two"] {
        project.run(&["sandbox", "create", "--devices", "50", name]).exits(0);
    }
    project.run(&["apply", "--sandbox=one", "--sandbox-speed", "600", "--auto-approve", "-q"]).exits(0);
    project.run(&["drift", "--sandbox=two", "--sandbox-speed", "600", "-q"]).exits(2);
    let history = project.run(&["history", "--sandbox=two"]).exits(0);
    assert!(history.out.starts_with("no run"), "{}", history.out);
    assert!(project.run(&["history", "--sandbox=one"]).exits(0).out.contains("SANDBOX"));
}

#[test]
fn a_new_sandbox_starts_with_empty_state() {
    let project = Project::with_policy(POLICY);
    let create = ["sandbox", "create", "--devices", "50", "--sandbox=one"];
    project.run(&create).exits(0);
    project.run(&["apply", "--sandbox=one", "--sandbox-speed", "600", "--auto-approve", "-q"]).exits(0);
    project.run(&create).exits(1);
    assert!(project.path().join(".mdetag/sandbox/one").exists(), "a sandbox that is there keeps its state");
    std::fs::remove_dir_all(project.path().join(".mdetag/sandboxes/one")).unwrap();
    project.run(&create).exits(0);
    assert!(!project.path().join(".mdetag/sandbox/one").exists());
    project.run(&["drift", "--sandbox=one", "-q"]).exits(2);
}

#[test]
fn history_is_sorted_by_time_and_can_be_narrowed() {
    let project = Project::with_policy(
        "version: 1\nrules:\n  - { name: all, select: { osPlatform: Linux }, tags: [Crown] }\n",
    );
    for name in ["two", "one"] {
        let sandbox = format!("--sandbox={name}");
        project.run(&["apply", &sandbox, "--auto-approve", "--sandbox-speed", "60"]).exits(0);
    }
    let runs = |words: &[&str]| {
        let document = project.run(&[&["history", "--format", "json"], words].concat()).exits(0).json();
        let runs = document.as_object().unwrap().values().find_map(|value| value.as_array()).unwrap().clone();
        runs.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect::<Vec<String>>()
    };
    let all = runs(&[]);
    assert!(all.len() == 2 && all[0] < all[1], "{all:?}");
    assert_eq!(runs(&["--limit", "1"]), all[1..]);
    assert_eq!(runs(&["--since", "1h"]), all);
    assert_eq!(runs(&["--until", "1h"]), [""; 0]);
    assert_eq!(runs(&["--since", "2999-01-01"]), [""; 0]);
    let changes = runs(&["Crown"]);
    assert!(changes.len() > 2 && changes.is_sorted(), "{}", changes.len());
    assert_eq!(runs(&["Crown", "--limit", "3"]).len(), 3);
    let wrong = project.run(&["history", "--since", "soon"]).exits(1);
    assert!(wrong.err.contains("--since") && wrong.err.contains("30d"), "{}", wrong.err);
}
