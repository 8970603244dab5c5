//! `state show` and `state prune`: what earlier runs left, and what of it may go.

use crate::project::Project;
use crate::service::Service;

const POLICY: &str =
    "version: 1\nclaims: [T]\nrules: [{ name: r, select: { osPlatform: Windows11 }, tags: [T] }]\n";
const EVERYWHERE: &str =
    "version: 1\nclaims: [T, U]\nrules: [{ name: r, select: { everything: true }, tags: [T] }]\n";
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

#[test]
fn state_is_pulled_into_a_folder_and_pushed_to_another_place_and_a_copy_is_no_place_to_apply_from() {
    let (service, project) = (Service::start(&[]), Project::with_policy(EVERYWHERE));
    let apply = |words: &[&str]| {
        let all = [&["apply", "--auto-approve", "--allow", "devices=20"][..], words].concat();
        project.run_in(&service.secret(), &all)
    };
    let applied = apply(&["--format", "json"]).exits(0).json();
    let run = applied["runId"].as_str().unwrap();
    let pulled = project.run(&["state", "pull", "copy"]).exits(0);
    assert!(pulled.out.starts_with("pulled .mdetag/public/") && pulled.out.ends_with(", 1 run\n"));
    pulled.is_for_people();
    let again = project.run(&["state", "pull", "copy"]).exits(0);
    assert!(again.out.contains(": nothing to copy, 1 run"), "{}", again.out);

    let looked = project.run(&["history", "--state", "copy"]).exits(0);
    assert!(looked.out.contains(run), "{}", looked.out);
    let refused = apply(&["--state", "copy"]).exits(1);
    assert!(refused.err.contains("is a copy of .mdetag/public/"), "{}", refused.err);
    assert!(refused.err.contains("mdetag state push"), "{}", refused.err);
    refused.is_for_people();

    let pushed = project.run(&["state", "push", "copy", "--state", "other"]).exits(0);
    assert!(pushed.out.starts_with("pushed other/public/"), "{}", pushed.out);
    let looked = project.run(&["history", "--state", "other"]).exits(0);
    assert!(looked.out.contains(run), "{}", looked.out);
    let nothing = project.run(&["state", "push", "copy", "--state", "other"]).exits(0);
    assert!(nothing.out.contains(": nothing to copy, 1 run"), "{}", nothing.out);

    project.run(&["state", "push", ".mdetag"]).exits(1).is_for_people();
    project.run(&["state", "push", "nowhere"]).exits(1).is_for_people();
    project.write("policies/p.yaml", &EVERYWHERE.replace("tags: [T]", "tags: [T, U]"));
    apply(&[]).exits(0);
    let refused = project.run(&["state", "push", "copy"]).exits(1);
    assert!(refused.err.contains("went on since the copy was made: "), "{}", refused.err);
    assert!(refused.err.contains("pull again"), "{}", refused.err);
}
