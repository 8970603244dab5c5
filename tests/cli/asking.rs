//! The output of `apply`: the plan once, then the differences, how to continue, and that a sandbox is one.

use crate::project::Project;
use crate::tenant::policy;

fn tagged(devices: usize) -> Project {
    let project = Project::with_policy(&policy("New, Old", "tags: [New]"));
    project.devices(devices);
    project
}

#[test]
fn apply_prints_the_plan_once_and_afterwards_only_what_differs_from_it() {
    let project = tagged(30);
    let words = ["apply", "--sandbox", "--auto-approve", "--report", "human=end.txt"];
    let out = project.run(&words).exits(0).out;
    assert_eq!(out.matches("+ New").count(), 1, "{out}");
    assert!(out.contains("applied: 60 of 60 changes done") || out.contains("30 of 30 changes done"), "{out}");
    assert!(project.read("end.txt").contains("+ New"), "a file holds the whole report");

    let project = tagged(30);
    let words = ["apply", "--sandbox", "--auto-approve", "--max-calls", "0"];
    let out = project.run(&words).exits(5).out;
    assert_eq!(out.matches("+ New").count(), 2, "what was not done is named again:\n{out}");
}

#[test]
fn the_hint_to_continue_repeats_what_names_the_tenant_and_not_what_the_journal_keeps() {
    let project = tagged(30);
    let limited = [
        "apply",
        "--sandbox=default",
        "--auto-approve",
        "--max-calls",
        "0",
        "--allow",
        "removals=40",
        "--retry-contested",
    ];
    let out = project.run(&limited).exits(5).out;
    let hint = "  to continue: mdetag apply --resume --sandbox --retry-contested\n";
    assert!(out.contains(hint), "{out}");
    let words: Vec<&str> = hint.split_whitespace().skip_while(|word| *word != "apply").collect();
    project.run(&words).exits(0);
    let named = tagged(30);
    named.run(&["sandbox", "create", "--sandbox=two", "--devices", "20"]).exits(0);
    let markdown = ["apply", "--sandbox=two", "--auto-approve", "--max-calls", "0", "--format", "markdown"];
    let out = named.run(&markdown).exits(5).out;
    assert!(out.contains("`mdetag apply --resume --sandbox=two`"), "{out}");
}

#[test]
fn a_plan_of_a_sandbox_says_so_where_apply_is_not_told_the_sandbox() {
    let project = tagged(3);
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    let err = project.run(&["apply", "plan.json"]).exits(1).err;
    assert!(err.contains("the plan is for the sandbox `default`") && err.contains("--sandbox"), "{err}");
    project.run(&["apply", "plan.json", "--sandbox"]).exits(0);
}
