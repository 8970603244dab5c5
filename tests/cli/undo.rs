//! Looking back: history, and a run undone.

use crate::project::Project;

const TAG: &str = "version: 1\nscope: { everything: true }\nrules:\n  - name: servers\n    select: { osPlatform: { startsWith: WindowsServer } }\n    tags: [Rack]\n";

#[test]
fn a_run_is_undone_where_its_devices_are_as_it_left_them() {
    let project = Project::with_policy(TAG);
    project.run(&["sandbox", "create", "--devices", "300"]).exits(0);
    let applied = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    let run = applied["runId"].as_str().unwrap().to_owned();
    let done = applied["outcomes"]["done"].as_u64().unwrap();
    assert!(done > 5, "{applied}");

    let happened = project.run(&["history", "Rack", "--format", "json"]).exits(0).json();
    assert_eq!(happened["changes"].as_array().unwrap().len() as u64, done);
    assert_eq!(happened["changes"][0]["because"], "servers");

    // Nobody claims the tag, so only a revert can take it back.
    project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(3);
    let removals = format!("removals={done}");
    let per_tag = format!("removalsPerTag:Rack={done}");
    project.run(&["apply", "undo.json", "--sandbox"]).exits(3);
    let allowed =
        ["apply", "undo.json", "--sandbox", "--allow", &removals, "--allow", &per_tag, "--format", "json"];
    let undone = project.run(&allowed).exits(0).json();
    assert_eq!(undone["outcomes"]["done"].as_u64(), Some(done), "{undone}");
    let again = project.run(&allowed).exits(0).json();
    assert_eq!(again["outcomes"]["noop"].as_u64(), Some(done), "{again}");
    project.run(&["drift", "--sandbox"]).exits(2);
}

#[test]
fn an_untrusted_read_takes_nothing_back_and_ends_with_3() {
    let project = Project::with_policy(TAG);
    project.run(&["sandbox", "create", "--devices", "300"]).exits(0);
    let applied = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    let (run, done) = (applied["runId"].as_str().unwrap(), &applied["outcomes"]["done"]);
    let removals = format!("removals={done}");
    let per_tag = format!("removalsPerTag:Rack={done}");
    let allowed = ["--sandbox", "--allow", &removals, "--allow", &per_tag];
    project.run(&["revert", run, "-o", "undo.json", "--sandbox"]).exits(3);
    let undo = [&["apply", "undo.json", "--format", "json"], &allowed[..]].concat();
    let undone = project.run(&[&undo[..], &["--sandbox-fault", "delegated=on"]].concat()).exits(3).json();
    assert_eq!(&undone["outcomes"]["stale"], done, "{undone}");
    assert_eq!(undone["outcomes"]["done"], 0, "{undone}");
    let undone = project.run(&undo).exits(0).json();
    assert_eq!(&undone["outcomes"]["done"], done, "what was kept can be taken back by a trusted read");
}

#[test]
fn a_run_that_is_not_there_is_named_with_the_way_to_the_list() {
    let project = Project::with_policy(TAG);
    let ran = project.run(&["revert", "20260101T000000Z-000000", "-o", "undo.json", "--sandbox"]).exits(1);
    assert!(ran.err.contains("mdetag history"), "{}", ran.err);
    ran.is_for_people();
    assert!(!project.path().join("undo.json").exists());
}
