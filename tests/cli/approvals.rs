//! Approvals: what they raise, and that one may be added after the review.

use crate::project::{Project, Ran};

/// A policy that claims a tag and gives it to every device except these.
fn rules(without: &[String]) -> String {
    let without: Vec<String> = without.iter().map(|id| format!("'{id}'")).collect();
    format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [Zebra]\nrules:\n  - name: all\n    select: {{ not: {{ id: [{}] }} }}\n    \
         tags: [Zebra]\n",
        without.join(", ")
    )
}

const CAPS: &str = "version: 1\nguard:\n  caps:\n    removals: { percent: 1, floor: 1 }\n";

/// A project whose devices all carry the tag, with their ids and an `expires` that counts.
fn tagged() -> (Project, Vec<String>, String) {
    let project = Project::new();
    project.write("policies/rules.yaml", &rules(&["none".to_owned()]));
    project.write("policies/guard.yaml", CAPS);
    project.run(&["sandbox", "create", "--devices", "20"]).exits(0);
    let first = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let today = first["createdAt"].as_str().unwrap().split('T').next().unwrap().to_owned();
    let changes = first["changes"].as_array().unwrap().iter();
    let ids = changes.map(|change| change["device"]["id"].as_str().unwrap().to_owned()).collect();
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    (project, ids, today)
}

/// A reviewed plan that the guard refuses: four removals, and one is allowed.
fn refused() -> (Project, Vec<String>, String) {
    let (project, ids, today) = tagged();
    project.write("policies/rules.yaml", &rules(&ids[..4]));
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(3);
    apply(&project).exits(3);
    (project, ids, today)
}

fn apply(project: &Project) -> Ran {
    project.run(&["apply", "--sandbox", "plan.json"])
}

fn carriers(project: &Project) -> usize {
    let devices =
        project.run(&["devices", "--sandbox", "--format", "json", "--tag", "Zebra"]).exits(0).json();
    devices["rows"].as_array().unwrap().len()
}

#[test]
fn an_approval_that_comes_after_the_review_lets_the_plan_pass() {
    let (project, _, today) = refused();
    let approval =
        format!("  # the old scheme goes\n  approvals: [{{ cap: removals, max: 4, expires: {today} }}]\n");
    project.write("policies/guard.yaml", &format!("{CAPS}{approval}"));
    apply(&project).exits(0);
    assert_eq!(carriers(&project), 16);
}

#[test]
fn an_approval_may_come_in_a_file_of_its_own_where_the_set_has_no_guard() {
    let (project, ids, today) = tagged();
    std::fs::remove_file(project.path().join("policies/guard.yaml")).unwrap();
    project.write("policies/rules.yaml", &rules(&ids[..15]));
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(3);
    let approvals = format!(
        "version: 1\nguard:\n  approvals:\n    - {{ cap: removals, max: 15, expires: {today} }}\n    \
         - {{ cap: removalsPerTag, tag: Zebra, max: 15, expires: {today} }}\n"
    );
    project.write("policies/approvals.yaml", &approvals);
    project.write("policies/rules.yaml", &rules(&ids[..14]));
    let told = apply(&project).exits(1).err;
    assert!(told.contains("`policies/rules.yaml` differs"), "the approvals are not what differs: {told}");
    project.write("policies/rules.yaml", &rules(&ids[..15]));
    apply(&project).exits(0);
    assert_eq!(carriers(&project), 5);
}

#[test]
fn the_rest_of_a_run_takes_an_approval_that_came_meanwhile() {
    let (project, ids, today) = tagged();
    project.write("policies/rules.yaml", &rules(&ids[..1]));
    project.run(&["apply", "--sandbox", "--auto-approve", "--max-calls", "0"]).exits(5);
    project.write(
        "policies/guard.yaml",
        &format!("{CAPS}  approvals: [{{ cap: removals, max: 4, expires: {today} }}]\n"),
    );
    project.run(&["apply", "--sandbox", "--resume"]).exits(0);
}

#[test]
fn whatever_else_changes_beside_an_approval_refuses_the_plan_and_is_named() {
    let (project, ids, today) = refused();
    let approvals = format!("  approvals: [{{ cap: removals, max: 8, expires: {today} }}]\n");
    let differs = |file: &str| {
        let ran = apply(&project).exits(1);
        assert!(ran.err.contains("not those of the plan") && ran.err.contains(file), "{}", ran.err);
        assert_eq!(carriers(&project), 20);
    };
    let guard = format!("{CAPS}{approvals}");
    project.write("policies/guard.yaml", &guard);
    for rules in [
        rules(&ids[..5]),
        format!("{}    priority: 1\n", rules(&ids[..4])),
        rules(&ids[..4]).replace("claims: [Zebra]", "claims: [Zebra, Other]"),
    ] {
        project.write("policies/rules.yaml", &rules);
        differs("policies/rules.yaml");
    }
    project.write("policies/rules.yaml", &rules(&ids[..4]));
    for guard in [
        guard.replace("floor: 1", "floor: 8"),
        format!("{guard}  invariants: [{{ name: few, tag: Zebra, atMost: 100 }}]\n"),
        guard.replace("version: 1\n", "version: 1\nretire: [Old]\n"),
    ] {
        project.write("policies/guard.yaml", &guard);
        differs("policies/guard.yaml");
    }
    project.write("policies/guard.yaml", &guard);
    project.write(
        "policies/more.yaml",
        "version: 1\nprotect: [{ name: none, select: { id: none }, reason: r }]\n",
    );
    differs("policies/more.yaml");
    std::fs::remove_file(project.path().join("policies/more.yaml")).unwrap();
    apply(&project).exits(0);
}
