//! `state show` and `state prune`: what earlier runs left behind, and what may be dropped.

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

#[test]
fn a_copy_is_no_place_for_sandboxes_and_keeps_their_runs() {
    let (service, project) = (Service::start(&[]), Project::with_policy(POLICY));
    project.write("i.json", FLEET);
    project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
    let applied = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    let run = applied["runId"].as_str().unwrap();
    project.run(&["state", "pull", "copy"]).exits(0);
    for words in [
        &["plan", "--sandbox"][..],
        &["drift", "--sandbox"],
        &["apply", "--sandbox", "--auto-approve"],
        &["sandbox", "create"],
        &["sandbox", "disturb", "--sandbox=other"],
    ] {
        let refused = project.run(&[words, &["--state", "copy"]].concat()).exits(1);
        assert!(
            refused.err.contains("copy is a copy of .mdetag/sandbox/default/"),
            "{words:?}: {}",
            refused.err
        );
        refused.is_for_people();
    }
    // It locks no other tenant either.
    let other = project.run_in(&service.secret(), &["apply", "--auto-approve", "--state", "copy"]).exits(1);
    assert!(other.err.contains("copy is a copy of .mdetag/sandbox/default/"), "{}", other.err);
    let kept = project.run(&["history", "--sandbox", "--state", "copy"]).exits(0);
    assert!(kept.out.contains(run), "{}", kept.out);
}

#[test]
fn state_is_narrowed_to_a_profile_in_sandboxes_too_and_never_widened_to_all_tenants() {
    const IDS: [&str; 2] = ["aaaaaaaa-2222-3333-4444-555555555555", "bbbbbbbb-2222-3333-4444-555555555555"];
    let project = Project::with_policy(POLICY);
    let profiles = format!("a: {{ tenantId: {} }}, b: {{ tenantId: {} }}, c: {{}}", IDS[0], IDS[1]);
    project.write("mdetag.yaml", &format!("version: 1\ntenants: {{ {profiles} }}\n"));
    project.write("i.json", FLEET);
    for (sandbox, tenant) in [("--sandbox=one", "a"), ("--sandbox=two", "b")] {
        project.run(&["sandbox", "create", sandbox, "--tenant", tenant, "--fleet", "i.json"]).exits(0);
        project.run(&["apply", sandbox, "--tenant", tenant, "--auto-approve"]).exits(0);
    }
    let shown = |words: &[&str]| {
        let all = [&["state", "show", "--format", "json"][..], words].concat();
        project.run(&all).exits(0).json()["tenants"].as_array().unwrap().len()
    };
    assert_eq!(shown(&[]), 2);
    assert_eq!((shown(&["--tenant", "a"]), shown(&["--sandbox=one"])), (1, 1));
    assert_eq!(
        (shown(&["--sandbox=one", "--tenant", "a"]), shown(&["--sandbox=one", "--tenant", "b"])),
        (1, 0)
    );
    let wide = project.run(&["state", "prune", "--tenant", "c"]).exits(1);
    assert!(wide.err.contains("the profile `c` has no `tenantId`"), "{}", wide.err);
}
