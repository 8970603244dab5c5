//! `apply --resume` without a run id, and `--or-plan` if nothing can be resumed.

use serde_json::Value;

use crate::project::{Project, Ran};
use crate::tenant::policy;

/// Two tags on every device: two calls.
const TWO: &str = "tags: [Two, One]";

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--format", "json"];
const RESUME: [&str; 5] = ["apply", "--sandbox", "--resume", "--format", "json"];
const OR_PLAN: [&str; 7] =
    ["apply", "--sandbox", "--resume", "--or-plan", "--auto-approve", "--format", "json"];

fn project() -> Project {
    let project = Project::with_policy(&policy("One, Two", TWO));
    project.devices(4);
    project
}

fn id_of(ran: &Ran) -> String {
    ran.json()["runId"].as_str().unwrap().to_owned()
}

/// A run of the policies at these paths that is stopped after a call.
fn stopped(project: &Project, paths: &[&str]) -> String {
    id_of(&project.run(&[&APPLY[..], &["--max-calls", "1"], paths].concat()).exits(5))
}

fn tagged(project: &Project, tag: &str) -> usize {
    project.fleet().values().filter(|(tags, _)| tags.iter().any(|own| own == tag)).count()
}

fn done(document: &Value) -> u64 {
    document["outcomes"]["done"].as_u64().unwrap()
}

#[test]
fn the_newest_unfinished_run_of_the_policies_goes_on_and_the_others_are_listed() {
    let project = project();
    let first = stopped(&project, &[]);
    project.write("policies/p.yaml", &policy("One, Two, Three, Four", "tags: [Two, One, Three, Four]"));
    let second = stopped(&project, &[]);
    let ran = project.run(&RESUME).exits(0);
    assert_eq!(id_of(&ran), second);
    assert!(
        ran.err.contains("2 runs of these policies ended early") && ran.err.contains(&first),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("mdetag apply --resume RUN --sandbox`"), "{}", ran.err);
    assert_eq!(tagged(&project, "Four"), 4);
    let nothing = project.run(&["apply", "--sandbox", "--resume"]).exits(0);
    assert!(nothing.err.contains("nothing to resume"), "the later run planned it all: {}", nothing.err);
}

#[test]
fn a_run_of_other_policies_is_named_and_never_taken() {
    let project = project();
    project.write("other/q.yaml", &policy("Q, R", "tags: [Q, R]"));
    let own = stopped(&project, &[]);
    let ran = project.run(&[&APPLY[..], &["--max-calls", "1", "other"]].concat()).exits(5);
    let other = id_of(&ran);
    assert_eq!(id_of(&project.run(&RESUME).exits(0)), own, "the newest is of other policies");
    let nothing = project.run(&["apply", "--sandbox", "--resume"]).exits(0);
    assert!(nothing.err.contains(&format!("{other} (other)")), "{}", nothing.err);
    assert_eq!(
        id_of(&project.run(&["apply", "other", "--sandbox", "--resume", "--format", "json"]).exits(0)),
        other
    );
}

#[test]
fn the_hint_names_a_run_that_would_not_be_found_without_its_id() {
    let project = project();
    project.write("other/q.yaml", &policy("Q, R", "tags: [Q, R]"));
    let ran = project.run(&["apply", "other", "--sandbox", "--auto-approve", "--max-calls", "1"]).exits(5);
    let hint = ran.out.lines().find(|line| line.contains("to continue:")).unwrap();
    let run = hint.split("--resume ").nth(1).unwrap().split(' ').next().unwrap();
    project.run(&["apply", "--sandbox", "--resume", run]).exits(0);
    assert_eq!(tagged(&project, "R"), 4);
}

#[test]
fn or_plan_plans_and_asks_as_apply_does_where_nothing_is_unfinished() {
    let project = project();
    project.run(&["apply", "--sandbox", "--or-plan"]).exits(1);
    let asked = project.run(&["apply", "--sandbox", "--resume", "--or-plan"]).exits(1);
    assert!(asked.err.contains("nobody can be asked"), "{}", asked.err);
    assert_eq!(done(&project.run(&OR_PLAN).exits(0).json()), 8, "not even a first run");
    project.portal(|sandbox| {
        sandbox.insert(&crate::tenant::device(9, serde_json::json!(["Own"]))).unwrap();
    });
    assert_eq!(done(&project.run(&OR_PLAN).exits(0).json()), 2);
    let run = stopped_values(&project);
    assert_eq!(id_of(&project.run(&OR_PLAN).exits(0)), run, "what can be resumed is resumed");
}

/// A run of changed policies that is stopped.
fn stopped_values(project: &Project) -> String {
    project.write("policies/p.yaml", &policy("One, Two", "tags: [Two, One]\n    deviceValue: High"));
    stopped(project, &[])
}

#[test]
fn policies_that_changed_refuse_a_resume_and_or_plan_plans_them_anew() {
    let project = project();
    let run = stopped(&project, &[]);
    project.write("policies/p.yaml", &policy("One, Two", "tags: [One]"));
    let refused = project.run(&["apply", "--sandbox", "--resume"]).exits(1);
    assert!(refused.err.contains("policies/p.yaml") && refused.err.contains("--or-plan"), "{}", refused.err);
    let anew = project.run(&OR_PLAN).exits(0);
    assert_ne!(id_of(&anew), run);
    assert_eq!((tagged(&project, "One"), tagged(&project, "Two")), (4, 0));
    assert!(project.run(&["apply", "--sandbox", "--resume"]).exits(0).err.contains("nothing to resume"));
}

#[test]
fn a_reviewed_plan_bounds_what_is_planned_anew_and_the_new_plan_is_left_to_review() {
    let project = project();
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    let first =
        project.run(&["apply", "plan.json", "--sandbox", "--max-calls", "1", "--format", "json"]).exits(5);
    project.write("policies/p.yaml", &policy("One, Two, Three", "tags: [One, Two, Three]"));
    let rest = project.run(&[&OR_PLAN[..], &["-o", "new.json"]].concat()).exits(5);
    assert_eq!(id_of(&rest), id_of(&first), "it is the same run");
    assert_eq!((tagged(&project, "One"), tagged(&project, "Two"), tagged(&project, "Three")), (4, 4, 0));
    assert!(rest.err.contains("`mdetag apply new.json --sandbox`"), "{}", rest.err);
    // Nothing is unfinished now, and nobody has reviewed the rest.
    let again = project.run(&[&OR_PLAN[..], &["-o", "again.json"]].concat()).exits(5);
    assert_eq!(tagged(&project, "Three"), 0, "{}", again.err);
    for plan in ["new.json", "again.json"] {
        project.run(&["apply", plan, "--sandbox"]).exits(0);
        assert_eq!(tagged(&project, "Three"), 4, "{plan}");
    }
    project.run(&OR_PLAN).exits(0);
}

#[test]
fn a_run_that_was_undone_is_not_resumed() {
    let project = project();
    let run = stopped(&project, &[]);
    project.run(&["revert", &run, "-o", "undo.json", "--sandbox"]).exits(0);
    project.run(&["apply", "undo.json", "--sandbox"]).exits(0);
    let ran = project.run(&["apply", "--sandbox", "--resume", &run]).exits(1);
    assert!(ran.err.contains("was undone"), "{}", ran.err);
    assert!(project.run(&["apply", "--sandbox", "--resume"]).exits(0).err.contains("nothing to resume"));
}

#[test]
fn a_journal_that_cannot_be_read_and_may_be_the_newest_is_named() {
    let project = project();
    let run = stopped(&project, &[]);
    let at = |run: &str| project.journals()[0].with_file_name(format!("{run}.jsonl"));
    let (own, journal) = (at(&run), at("99991231T000000Z-000000"));
    assert!(own.exists());
    std::fs::write(&journal, "{}\n{}\n").unwrap();
    let ran = project.run(&["apply", "--sandbox", "--resume"]).exits(1);
    assert!(ran.err.contains("99991231T000000Z-000000.jsonl"), "{}", ran.err);
    std::fs::rename(&journal, at("20000101T000000Z-000000")).unwrap();
    let ran = project.run(&["apply", "--sandbox", "--resume"]).exits(1);
    assert!(ran.err.contains("20000101T000000Z-000000.jsonl"), "it may have undone a run: {}", ran.err);
}

#[test]
fn a_rollout_keeps_its_waves_where_the_policies_changed() {
    let waves = |rule: &str, rollout: &str| policy("One, Two", rule) + rollout;
    let rollout = "  rollout: { from: 1, waves: [1, 100%], wait: 2h }\n";
    let project = Project::with_policy(&waves("tags: [One]", rollout));
    project.devices(4);
    let run = id_of(&project.run(&APPLY).exits(6));
    project.write("policies/p.yaml", &waves("tags: [One, Two]", rollout));
    assert_eq!(id_of(&project.run(&OR_PLAN).exits(6)), run);
    assert_eq!(tagged(&project, "One"), 1, "the wait holds");
    project.write("policies/p.yaml", &waves("tags: [One, Two]", ""));
    let refused = project.run(&OR_PLAN).exits(1);
    assert!(refused.out.contains("mdetag state end"), "{}", refused.out);
    assert_eq!(tagged(&project, "One"), 1);
}

#[test]
fn the_hint_repeats_what_the_resume_was_told() {
    let rollout = "  rollout: { from: 1, waves: [1, 100%], wait: 2h }\n";
    let project = Project::with_policy(&(policy("One, Two", TWO) + rollout));
    project.devices(4);
    let apply = |words: &[&str]| project.run(&[&["apply", "--sandbox", "--auto-approve"], words].concat());
    let first = apply(&[]).exits(6);
    assert!(first.out.contains("to continue: mdetag apply --resume --sandbox\n"), "{}", first.out);
    let early = apply(&["--resume"]).exits(6);
    assert!(early.out.contains("to continue: mdetag apply --resume --sandbox\n"), "{}", early.out);
    let early = apply(&["--resume", "--or-plan", "-o", "new plan.json"]).exits(6);
    let hint = "to continue: mdetag apply --resume --sandbox --or-plan --auto-approve -o 'new plan.json'\n";
    assert!(early.out.contains(hint), "{}", early.out);
}

#[test]
fn a_finished_run_that_is_named_is_told_to_be_finished() {
    let project = project();
    let run = id_of(&project.run(&APPLY).exits(0));
    let calls = project.calls("default", "bulkTag").len();
    let again = project.run(&["apply", "--sandbox", "--resume", &run]).exits(0);
    assert!(
        again.out.contains(&format!("run {run} was finished already: nothing was written now"))
            && again.out.contains("done before: 8 of 8 changes done"),
        "{}",
        again.out
    );
    assert_eq!(project.calls("default", "bulkTag").len(), calls);
}

#[test]
fn state_show_lists_as_unfinished_what_a_resume_goes_on_with() {
    let project = project();
    let unfinished = || {
        let shown = project.run(&["state", "show", "--format", "json"]).exits(0).json();
        shown["tenants"][0]["unfinished"].clone()
    };
    let run = stopped(&project, &[]);
    assert_eq!(unfinished(), serde_json::json!([run]));
    project.run(&APPLY).exits(0);
    assert!(project.run(&["apply", "--sandbox", "--resume"]).exits(0).err.contains("nothing to resume"));
    assert_eq!(unfinished(), serde_json::json!([]), "the later run planned it all");
}
