//! `state show` and `state prune`: what earlier runs left, and what of it may go.

use crate::project::Project;

const POLICY: &str =
    "version: 1\nclaims: [T]\nrules: [{ name: r, select: { osPlatform: Windows11 }, tags: [T] }]\n";
const FLEET: &str = r#"{"id":"1111111111111111111111111111111111111111","computerDnsName":"a","osPlatform":"Windows11","machineTags":[]}"#;

#[test]
fn state_show_lists_what_a_run_left_and_prune_keeps_what_is_recent() {
    let project = Project::with_policy(POLICY);
    assert_eq!(project.run(&["state", "show"]).exits(0).out, "the state holds no tenant\n");
    project.write("i.json", FLEET);
    project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
    let applied = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    let shown = project.run(&["state", "show", "--format", "json"]).exits(0).json();
    let tenant = &shown["tenants"][0];
    assert_eq!(tenant["runs"]["count"], 1, "{shown}");
    assert_eq!(tenant["runs"]["newest"], applied["runId"]);
    assert_eq!(
        (&tenant["unfinished"], &tenant["openRollouts"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );
    assert_eq!(tenant["baselines"].as_object().unwrap().len(), 1, "{shown}");
    assert!(tenant["lastHolder"].as_str().unwrap().starts_with("process "), "{shown}");
    assert_eq!(tenant["ledger"].as_array().unwrap().len(), 1, "{shown}");
    let told = project.run(&["state", "show"]).exits(0);
    assert!(
        told.out.contains("unfinished     none") && told.out.contains("pending        1 change"),
        "{}",
        told.out
    );
    told.is_for_people();

    let refused = project.run(&["state", "prune", "--keep", "7d"]).exits(1);
    assert!(refused.err.contains("shorter than 8 days"), "{}", refused.err);
    let pruned = project.run(&["state", "prune", "--keep", "8d", "--format", "json"]).exits(0).json();
    assert_eq!(
        (&pruned["tenants"][0]["dropped"], &pruned["tenants"][0]["kept"]),
        (&serde_json::json!([]), &1.into())
    );
}
