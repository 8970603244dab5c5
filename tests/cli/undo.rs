//! Looking back: history, and undoing a run.

use serde_json::Value;

use crate::project::Project;
use crate::tenant::policy;

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

    // No policy claims the tag, so only a revert can remove it.
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
    let drift = project.run(&["drift", "--sandbox"]).exits(0);
    assert!(drift.out.contains("reverted"), "what a run undid is shown and is no drift: {}", drift.out);
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

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--format", "json"];

/// Four devices with the tag `Old` and the value `Normal`; the rule gives them `New` and `High`, and removes `Old`.
fn tenant() -> Project {
    let project = Project::with_policy(&policy("New, Old", "tags: [New]\n    deviceValue: High"));
    project.devices(0);
    let devices: Vec<Value> =
        (0..4).map(|number| crate::tenant::device(number, serde_json::json!(["Old"]))).collect();
    project.portal(|sandbox| sandbox.insert(&serde_json::json!(devices)).unwrap());
    project
}

fn applied(project: &Project, words: &[&str]) -> Value {
    project.run(&[&APPLY[..], words].concat()).exits(0).json()
}

fn id_of(document: &Value) -> String {
    document["runId"].as_str().unwrap().to_owned()
}

/// Undoes a run; returns the run that did so.
fn undo(project: &Project, run: &str) -> String {
    let shown = project.run(&["revert", run, "-o", "undo.json", "--sandbox"]).exits(0);
    assert!(shown.out.contains(&format!("undoes run {run}")), "{}", shown.out);
    for words in [&["show", "undo.json"][..], &["show", "undo.json", "--format", "markdown"]] {
        assert!(project.run(words).exits(0).out.contains("undoes run"), "{words:?}");
    }
    id_of(&project.run(&["apply", "undo.json", "--sandbox", "--format", "json"]).exits(0).json())
}

fn is(project: &Project, tag: &str, value: &str) -> bool {
    project.fleet().values().all(|(tags, own)| tags == &[tag] && own == value)
}

#[test]
fn what_was_undone_is_done_again_only_once_the_policies_change_or_after_revert() {
    let project = tenant();
    let undoing = undo(&project, &id_of(&applied(&project, &[])));
    assert!(is(&project, "Old", "Normal"));
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["changes"], serde_json::json!([]), "{plan}");
    let held = &plan["withheld"][0];
    assert_eq!((&held["reason"], &held["name"]), (&"reverted".into(), &undoing.as_str().into()), "{held}");
    let counts = ["additions", "removals", "values"].map(|key| held[key].as_u64().unwrap());
    assert_eq!(counts, [4, 4, 4], "{held}");
    assert!(project.run(&["plan", "--sandbox"]).exits(0).out.contains("--after-revert"));
    applied(&project, &[]);
    assert!(is(&project, "Old", "Normal"), "an apply leaves it alone");

    // A device that was added later is no part of what was undone.
    let newcomer = crate::tenant::device(9, serde_json::json!([]));
    project.portal(|sandbox| sandbox.insert(&newcomer).unwrap());
    assert_eq!(applied(&project, &[])["outcomes"]["done"], 2);
    project.portal(|sandbox| sandbox.delete(&[&crate::tenant::id(9)]).unwrap());

    applied(&project, &["--after-revert"]);
    assert!(is(&project, "New", "High"));
    project.portal(|sandbox| {
        sandbox.insert(&crate::tenant::device(0, serde_json::json!(["Old"]))).unwrap();
    });
    // A person removed it again after it was restored: that is ordinary drift.
    let later = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert!(later["withheld"].as_array().unwrap().iter().all(|held| held["reason"] != "reverted"), "{later}");
}

#[test]
fn a_changed_policy_set_is_free_of_what_was_undone_before() {
    let project = tenant();
    undo(&project, &id_of(&applied(&project, &[])));
    project.write("policies/p.yaml", &policy("New, Old", "tags: [New]"));
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["summary"]["additions"], 4, "{plan}");
    project.write("policies/p.yaml", &policy("New, Old", "tags: [New]\n    deviceValue: High"));
    project.run(&["plan", "--sandbox", "--detailed-exitcode"]).exits(0);
    // A run with other policies was the change.
    project.write("policies/p.yaml", &policy("New, Old, Other", "tags: [New, Other]"));
    applied(&project, &[]);
    project.write("policies/p.yaml", &policy("New, Old", "tags: [New]\n    deviceValue: High"));
    assert_eq!(applied(&project, &[])["outcomes"]["done"], 4, "the values");
}

#[test]
fn a_revert_can_be_undone_and_undone_again() {
    let project = tenant();
    let run = id_of(&applied(&project, &[]));
    let undoing = undo(&project, &run);
    assert!(is(&project, "Old", "Normal"));
    let redoing = undo(&project, &undoing);
    assert!(is(&project, "New", "High"));
    project.run(&["plan", "--sandbox", "--detailed-exitcode"]).exits(0);
    undo(&project, &redoing);
    assert!(is(&project, "Old", "Normal"));
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["withheld"][0]["reason"], "reverted", "{plan}");
}

#[test]
fn a_run_that_was_resumed_is_undone_whole() {
    let project = tenant();
    let stopped = project.run(&[&APPLY[..], &["--max-calls", "2"]].concat()).exits(5).json();
    project.run(&["apply", "--resume", "--sandbox"]).exits(0);
    assert!(is(&project, "New", "High"));
    undo(&project, &id_of(&stopped));
    assert!(is(&project, "Old", "Normal"));
    project.run(&["plan", "--sandbox", "--detailed-exitcode"]).exits(0);
}

#[test]
fn a_revert_whose_plan_cannot_be_read_stops_what_it_may_have_undone() {
    let project = tenant();
    let undoing = undo(&project, &id_of(&applied(&project, &[])));
    std::fs::write(project.journals()[0].with_file_name(format!("{undoing}.plan.json")), "{").unwrap();
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(1);
    assert!(refused.err.contains(&undoing) && refused.err.contains("--after-revert"), "{}", refused.err);
    assert!(is(&project, "Old", "Normal"));
    applied(&project, &["--after-revert"]);
    assert!(is(&project, "New", "High"));
}

#[test]
fn a_journal_whose_first_line_cannot_be_read_is_named_and_nothing_is_planned_beside_it() {
    let project = tenant();
    applied(&project, &[]);
    let journal = project.journals().pop().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replacen("\"kind\":\"run\"", "\"kind\":\"ran\"", 1)).unwrap();
    let name = journal.file_name().unwrap().to_str().unwrap().to_owned();
    for words in [
        &["plan", "--sandbox"][..],
        &["state", "prune", "--sandbox"],
        &["apply", "--sandbox", "--auto-approve"],
    ] {
        let ran = project.run(words).exits(1);
        assert!(ran.err.contains(&name), "{words:?}: {}", ran.err);
    }
    // A run that was killed in its first line did nothing, and stops nothing.
    for torn in ["", &text[..40]] {
        std::fs::write(&journal, torn).unwrap();
        project.run(&["plan", "--sandbox"]).exits(0);
    }
}

#[test]
fn a_revert_says_how_many_of_its_changes_the_policies_want_the_other_way() {
    for (later, opposed) in [("tags: [New]", 2), ("deviceValue: Normal", 0)] {
        let project = Project::with_policy(&policy("New", "tags: [New]"));
        project.devices(2);
        let run = id_of(&project.run(&APPLY).exits(0).json());
        project.write("policies/p.yaml", &policy("New", later));
        let told = format!("the policies want {opposed} of its 2 changes the other way");
        let spoken = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let made = project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0).out;
        assert!(spoken(&made).contains(&told), "{made}");
        let shown = project.run(&["show", "undo.json"]).exits(0).out;
        assert!(spoken(&shown).contains(&told), "{shown}");
        let plan: Value = serde_json::from_str(&project.read("undo.json")).unwrap();
        assert_eq!((&plan["reverts"], &plan["opposed"]), (&run.clone().into(), &opposed.into()));
        let words =
            ["apply", "undo.json", "--sandbox", "--report", "markdown=r.md", "--report", "html=r.html"];
        let ran = project.run(&[&words[..], &["--report", "json=r.json"]].concat()).exits(0).out;
        for text in [ran, project.read("r.md"), project.read("r.html")] {
            assert!(spoken(&text).contains(&told), "{text}");
        }
        let end: Value = serde_json::from_str(&project.read("r.json")).unwrap();
        let of = &end["plan"];
        assert_eq!((&of["reverts"], &of["opposed"]), (&run.into(), &opposed.into()), "{of}");
    }
}

#[test]
fn a_resume_of_a_revert_that_failed_says_what_undoes_the_rest() {
    let project = Project::with_policy(&policy("New", "tags: [New]"));
    project.devices(4);
    let run = id_of(&project.run(&APPLY).exits(0).json());
    project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0);
    let failing = ["--sandbox-fault", "html_502=bulkTag:always", "--sandbox-speed", "600"];
    let words = ["apply", "undo.json", "--sandbox", "--format", "json"];
    let failed = project.run(&[&words[..], &failing].concat()).exits(4).json();
    let revert = id_of(&failed);
    let resumed = project.run(&["apply", "--resume", &revert, "--sandbox"]).exits(4).out;
    let resumed = resumed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!resumed.contains("finished already"), "{resumed}");
    for part in [
        format!(
            "run {revert} had come to its end, and nothing was written now: 4 of its changes were not done"
        ),
        format!("`mdetag revert {run} -o undo.json --sandbox` and `mdetag apply undo.json --sandbox`"),
    ] {
        assert!(resumed.contains(&part), "`{part}` in: {resumed}");
    }
    project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0);
    project.run(&words).exits(0);
    assert!(project.fleet().values().all(|(tags, _)| tags == &["Own"]));
}
