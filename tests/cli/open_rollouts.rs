//! Open rollouts: what ends one, what remains open after a journal lost lines, and how a resume reports several.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{device, policy};

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--format", "json"];
const RESUME: [&str; 5] = ["apply", "--sandbox", "--resume", "--format", "json"];
const UNDO: [&str; 5] = ["apply", "undo.json", "--sandbox", "--format", "json"];

const WAVES: &str = "from: 5, waves: [10, 100%], wait: 2h";

/// Twenty devices, of which each wave takes ten.
fn unwritten() -> Project {
    let text =
        policy("New", "tags: [New]").replace("guard:\n", &format!("guard:\n  rollout: {{ {WAVES} }}\n"));
    let project = Project::with_policy(&text);
    project.devices(20);
    project
}

/// Wave 1 of two is written: 10 of 20 devices.
fn project() -> (Project, String) {
    let project = unwritten();
    let run = run_of(&project.run(&APPLY).exits(6).json());
    (project, run)
}

/// Twenty more devices, for a rollout of their own.
fn add_devices(project: &Project) {
    project.portal(|sandbox| {
        let devices: Vec<Value> = (30..50).map(|number| device(number, json!(["Own"]))).collect();
        sandbox.insert(&json!(devices)).unwrap();
    });
}

fn run_of(document: &Value) -> String {
    document["runId"].as_str().unwrap().to_owned()
}

fn tagged(project: &Project) -> usize {
    project.fleet().values().filter(|(tags, _)| tags.iter().any(|tag| tag == "New")).count()
}

fn journal(project: &Project, run: &str) -> PathBuf {
    project.journals()[0].with_file_name(format!("{run}.jsonl"))
}

/// Cuts a journal after this many lines.
fn cut(project: &Project, run: &str, lines: usize) {
    let path = journal(project, run);
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: String = text.split_inclusive('\n').take(lines).collect();
    std::fs::write(&path, kept).unwrap();
}

fn open(project: &Project) -> Value {
    let shown = project.run(&["state", "show", "--sandbox", "--format", "json"]).exits(0).json();
    shown["tenants"][0]["openRollouts"].clone()
}

#[test]
fn a_revert_of_which_something_is_left_keeps_the_rollout_open() {
    for (words, code) in [
        (&["--max-calls", "0"][..], 5),
        (&["--sandbox-fault", "html_502=bulkTag:always", "--sandbox-speed", "600"], 4),
    ] {
        let (project, run) = project();
        let told = project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0).out;
        assert!(told.contains("10 devices of its unwritten waves"), "{told}");
        project.run(&[&UNDO[..], words].concat()).exits(code);
        assert_eq!(open(&project), json!([run]), "{words:?}");
        let hourly = project.run(&APPLY).exits(0).json();
        assert_eq!(tagged(&project), 10, "{words:?}: {hourly}");
        let resumed = project.run(&["apply", "--sandbox", "--resume", &run]).exits(1);
        assert!(resumed.err.contains("began to undo it"), "{}", resumed.err);
        // Undoing the rest ends it.
        project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0);
        project.run(&UNDO).exits(0);
        assert_eq!((open(&project), tagged(&project)), (json!([]), 0), "{words:?}");
    }
}

#[test]
fn a_resume_does_not_say_that_all_is_well_while_a_failed_revert_leaves_a_rollout_open() {
    let (project, run) = project();
    project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0);
    let failing = ["--sandbox-fault", "html_502=bulkTag:1-10", "--sandbox-speed", "600"];
    project.run(&[&UNDO[..], &failing].concat()).exits(4);
    let resumed = project.run(&["apply", "--sandbox", "--resume"]);
    assert_ne!(resumed.code, 0, "{}", resumed.err);
    project.run(&["state", "end", &run, "--reason", "it stays half done", "--sandbox"]).exits(0);
    assert_eq!(open(&project), json!([]));
}

#[test]
fn a_journal_of_its_first_line_alone_keeps_the_devices_of_its_waves() {
    let (project, run) = project();
    cut(&project, &run, 1);
    assert_eq!(open(&project), json!([run]));
    let hourly = project.run(&APPLY).exits(0).json();
    assert_eq!((&hourly["outcomes"]["done"], tagged(&project)), (&json!(0), 10), "{hourly}");
    let resumed = project.run(&RESUME).exits(1);
    assert!(
        resumed.out.contains(&format!("mdetag state end {run} --reason TEXT --sandbox")),
        "{}",
        resumed.out
    );
    assert_eq!(tagged(&project), 10);
    project.run(&["state", "end", &run, "--reason", "its journal is lost", "--sandbox"]).exits(0);
    project.run(&["plan", "--sandbox"]).exits(0);
}

#[test]
fn a_run_killed_before_its_first_wave_is_resumed() {
    let (project, run) = project();
    cut(&project, &run, 1);
    // Nothing was written, as after a kill right after the first line.
    project.portal(|sandbox| {
        let devices: Vec<Value> = (0..20).map(|number| device(number, json!(["Own"]))).collect();
        sandbox.insert(&json!(devices)).unwrap();
    });
    let resumed = project.run(&RESUME).exits(6).json();
    assert_eq!((run_of(&resumed), tagged(&project)), (run, 10), "{resumed}");
}

#[test]
fn a_plan_in_waves_without_its_journal_refuses_other_plans_until_it_is_moved_away() {
    for is_empty in [false, true] {
        let (project, run) = project();
        let path = journal(&project, &run);
        std::fs::remove_file(&path).unwrap();
        if is_empty {
            std::fs::write(&path, "").unwrap();
        }
        for words in [&APPLY[..3], &["plan", "--sandbox"], &["drift", "--sandbox"]] {
            let refused = project.run(words).exits(1);
            assert!(refused.err.contains(&format!("{run}.plan.json")), "{}", refused.err);
            assert!(refused.err.contains("move the plan out of the state"), "{}", refused.err);
        }
        assert_eq!(tagged(&project), 10);
        std::fs::remove_file(path.with_file_name(format!("{run}.plan.json"))).unwrap();
        project.run(&["plan", "--sandbox"]).exits(0);
    }
}

#[test]
fn a_resume_tells_of_every_open_rollout_and_is_not_done_while_one_is_left() {
    let (project, first) = project();
    add_devices(&project);
    let second = run_of(&project.run(&APPLY).exits(6).json());
    assert_eq!(open(&project), json!([first, second]));
    let shown = project.run(&["state", "show", "--sandbox"]).exits(0).out;
    assert!(shown.contains(&format!("{first}: wave 1 of 2, the next may start at ")), "{shown}");
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(7_300)).unwrap());
    let resumed = project.run(&["apply", "--sandbox", "--resume"]).exits(6);
    assert!(resumed.err.contains(&first), "{}", resumed.err);
    assert_eq!((open(&project), tagged(&project)), (json!([first]), 30));
    project.run(&RESUME).exits(0);
    assert_eq!((open(&project), tagged(&project)), (json!([]), 40));
}

#[test]
fn a_resume_that_ends_with_6_because_of_another_rollout_says_which_and_until_when() {
    let second_waits = || {
        let (project, first) = project();
        project.portal(|sandbox| {
            sandbox.advance(Duration::from_secs(3_600)).unwrap();
        });
        add_devices(&project);
        let document = project.run(&APPLY).exits(6).json();
        let not_before = document["notBefore"].as_str().unwrap().to_owned();
        project.portal(|sandbox| sandbox.advance(Duration::from_secs(3_700)).unwrap());
        (project, first, run_of(&document), not_before)
    };
    let (project, first, second, not_before) = second_waits();
    let document = project.run(&RESUME).exits(6).json();
    assert_eq!((run_of(&document), document["outcomes"]["done"].clone()), (first, json!(20)));
    assert_eq!((&document["notBefore"], &document["resumable"]), (&json!(not_before), &json!(true)));
    let notes = document["notes"].to_string();
    assert!(notes.contains(&second) && notes.contains(&not_before), "{notes}");
    let (project, _, second, not_before) = second_waits();
    let told = project.run(&["apply", "--sandbox", "--resume", "--report", "markdown=r.md"]).exits(6).out;
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence =
        format!("the rollout of run {second} is open as well: its next wave may start at {not_before}");
    assert!(flat.contains(&sentence), "{flat}");
    assert!(flat.contains("to continue: mdetag apply --resume"), "{flat}");
    let report = project.read("r.md");
    assert!(report.contains(&second) && report.contains(&not_before), "{report}");
}

#[test]
fn while_every_rollout_waits_a_resume_names_the_one_that_may_go_on_first() {
    let project = unwritten();
    let first = project.run(&APPLY).exits(6).json();
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(3_600)).unwrap());
    add_devices(&project);
    let second = project.run(&APPLY).exits(6).json();
    assert!(second["notBefore"].as_str().unwrap() > first["notBefore"].as_str().unwrap());
    let early = project.run(&RESUME).exits(6);
    let document = early.json();
    assert_eq!((&document["runId"], &document["notBefore"]), (&first["runId"], &first["notBefore"]));
    let notes = document["notes"].to_string();
    assert!(notes.contains(second["runId"].as_str().unwrap()), "{notes}");
    assert!(notes.contains(second["notBefore"].as_str().unwrap()), "{notes}");
    let named = format!(
        "none may go on now; the first that may is {}, at {}",
        first["runId"].as_str().unwrap(),
        first["notBefore"].as_str().unwrap()
    );
    assert!(early.err.contains(&named) && !early.err.contains("goes on"), "{}", early.err);
    assert_eq!(tagged(&project), 20);
}

#[test]
fn a_resume_that_waits_goes_on_with_every_rollout() {
    let project = unwritten();
    let fast = ["--sandbox-speed", "7200"];
    project.run(&[&APPLY[..], &fast].concat()).exits(6);
    add_devices(&project);
    project.run(&[&APPLY[..], &fast].concat()).exits(6);
    let words = [&RESUME[..], &fast, &["--wait", "--max-duration", "5m"]].concat();
    let waited = project.run(&words).exits(0).json();
    assert_eq!((open(&project), tagged(&project)), (json!([]), 40), "{waited}");
}

#[test]
fn a_resume_beside_a_rollout_that_a_gate_stopped_ends_with_4_while_it_waits() {
    let project = unwritten();
    let failing = ["--sandbox-fault", "html_502=bulkTag:always", "--sandbox-speed", "600"];
    let stopped = run_of(&project.run(&[&APPLY[..], &failing].concat()).exits(4).json());
    add_devices(&project);
    let waits = project.run(&APPLY).exits(6).json();
    let document = project.run(&RESUME).exits(4).json();
    assert_eq!((&document["runId"], &document["notBefore"]), (&waits["runId"], &waits["notBefore"]));
    assert_eq!(document["exitCode"], 4);
    assert!(document["notes"].to_string().contains(&stopped), "{document}");
}

#[test]
fn state_show_says_what_is_due_at_the_time_that_was_asked_for() {
    let (project, run) = project();
    let at = |words: &[&str]| {
        let words = [&["state", "show", "--sandbox", "--format", "json"], words].concat();
        let shown = project.run(&words).exits(0).json();
        shown["tenants"][0]["nextWaves"][0].clone()
    };
    let now = at(&[]);
    assert_eq!((&now["run"], &now["isDue"]), (&json!(run), &json!(false)), "{now}");
    assert_eq!(at(&["--now", now["notBefore"].as_str().unwrap()])["isDue"], true);
    assert_eq!(at(&["--now", "2100-01-01"])["isDue"], true);
    let told = project.run(&["state", "show", "--sandbox", "--now", "2100-01-01"]).exits(0).out;
    assert!(told.contains(&format!("{run}: wave 1 of 2, the next is due")), "{told}");
}

#[test]
fn a_refused_revert_says_how_it_is_applied() {
    let text = "version: 1\nguard:\n  rollout: { from: 5, waves: [20, 100%], wait: 2h }\nclaims: [New]\n\
                rules: [{ name: r, select: { everything: true }, tags: [New] }]\n";
    let project = Project::with_policy(text);
    project.devices(40);
    let run = run_of(&project.run(&APPLY).exits(6).json());
    let refused = project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(3);
    let line = refused.err.lines().find(|line| line.contains("mdetag apply undo.json --allow")).unwrap();
    let words: Vec<&str> = line.split("mdetag ").nth(1).unwrap().split_whitespace().collect();
    project.run(&words).exits(0);
    assert_eq!(tagged(&project), 0, "{line}");
}
