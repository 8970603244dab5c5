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
