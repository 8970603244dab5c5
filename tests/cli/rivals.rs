//! Two policy sets on one tenant.

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::policy;

fn project(one: &str, other: &str) -> Project {
    let project = Project::new();
    project.write("one/p.yaml", one);
    project.write("other/p.yaml", other);
    project.devices(3);
    project
}

fn plan(project: &Project, set: &str) -> Value {
    project.run(&["plan", set, "--sandbox", "--format", "json"]).exits(0).json()
}

#[test]
fn sets_that_claim_the_same_tags_are_told_on_the_second_run() {
    let project = project(&policy("\"env/*\"", "tags: [env/a]"), &policy("\"env/*\", B", "tags: [B]"));
    assert_eq!(plan(&project, "other")["state"].get("rivals"), None, "the first of two knows of no other");
    let first =
        project.run(&["apply", "one", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
    let told = plan(&project, "other");
    let rival = &told["state"]["rivals"][0];
    assert_eq!(rival["run"], first["runId"], "{told}");
    assert_eq!((&rival["policies"], &rival["claims"]), (&"one".into(), &json!(["env/*"])));
    assert_eq!((&rival["undone"], &rival["tags"]), (&3.into(), &json!(["env/a"])), "{rival}");
    for format in ["human", "markdown", "html"] {
        let shown = project.run(&["plan", "other", "--sandbox", "--format", format]).exits(0).out;
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("another policy set") && words.contains(rival["run"].as_str().unwrap()),
            "{shown}"
        );
    }
    project.run(&["apply", "other", "--sandbox", "--auto-approve"]).exits(0);
    assert_eq!(plan(&project, "one")["state"]["rivals"][0]["policies"], "other");
}

#[test]
fn a_set_that_only_gives_a_tag_is_told_where_another_takes_it() {
    let project = project(&policy("One", "tags: [Shared, One]"), &policy("Shared", "tags: [Other]"));
    project.run(&["apply", "one", "--sandbox", "--auto-approve"]).exits(0);
    let rival = plan(&project, "other")["state"]["rivals"][0].clone();
    assert_eq!((&rival["claims"], &rival["tags"]), (&json!([]), &json!(["Shared"])), "{rival}");
}

#[test]
fn sets_that_share_no_tag_are_no_rivals() {
    let project = project(&policy("One", "tags: [One]"), &policy("Two", "tags: [Two]"));
    project.run(&["apply", "one", "--sandbox", "--auto-approve"]).exits(0);
    project.run(&["apply", "other", "--sandbox", "--auto-approve"]).exits(0);
    assert_eq!(plan(&project, "one")["state"].get("rivals"), None);
}
