//! The first hour with the tool: `init`, and the schemas that an editor uses.

use std::path::Path;

use serde_json::Value;

use crate::project::Project;

/// What the schema finds wrong with a document.
#[track_caller]
fn wrong(project: &Project, schema: &str, text: &str) -> Vec<String> {
    let schema = project.run(&["schema", schema]).exits(0).json();
    let instance: Value = serde_json::from_str(text).unwrap_or_else(|_| serde_yaml::from_str(text).unwrap());
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(&instance).take(5).map(|error| error.to_string()).collect()
}

#[test]
fn what_init_writes_passes_and_plans_without_an_account() {
    let project = Project::new();
    project.run(&["init"]).exits(0);
    let validated = project.run(&["validate", "--deny-warnings"]).exits(0);
    assert!(validated.out.contains("no findings"), "{}", validated.out);
    project.run(&["test"]).exits(0);
    project.run(&["plan", "--sandbox"]).exits(0);
    for (file, schema) in [
        ("policies/servers.yaml", "policy"),
        ("policies/guard.yaml", "policy"),
        ("policies/servers.test.yaml", "test"),
        ("mdetag.yaml", "mdetag"),
    ] {
        let text = project.read(file);
        let (_, link) = text.lines().next().unwrap().split_once("# yaml-language-server: $schema=").unwrap();
        let linked = Path::new(file).parent().unwrap().join(link);
        let linked = project.path().join(linked).canonicalize().unwrap();
        let printed = project.run(&["schema", schema]).exits(0).out;
        assert_eq!(std::fs::read_to_string(linked).unwrap(), printed, "{file}");
    }
    project.run(&["init"]).exits(1).is_for_people();
}

#[test]
fn files_that_the_tool_takes_fit_their_schemas() {
    let project = Project::new();
    project.run(&["init"]).exits(0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders =
        [root.join("policies"), root.join("examples/quickstart/policies"), project.path().join("policies")];
    let mut files = 0;
    for path in folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
    {
        let Some(name) = path.to_str().filter(|name| name.ends_with(".yaml")) else { continue };
        let schema = if name.ends_with(".test.yaml") { "test" } else { "policy" };
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(wrong(&project, schema, &text), Vec::<String>::new(), "{name}");
        files += 1;
    }
    assert!(files >= 10, "{files}");
    let settings = std::fs::read_to_string(root.join("examples/ci/mdetag.yaml")).unwrap();
    assert_eq!(wrong(&project, "mdetag", &settings), Vec::<String>::new());
}

#[test]
fn files_that_must_fail_fail_their_schemas() {
    let project = Project::new();
    for (schema, text) in [
        ("policy", "claims: [T]"),
        ("policy", "version: 2"),
        ("policy", "version: 1\nclaimz: [T]"),
        ("policy", "version: 1\nscope: { osplatform: a }"),
        ("test", "version: 1\ntests: [{ name: a, device: { osbuild: 1 }, expect: { tags: [T] } }]"),
        ("test", "version: 1\ntests: [{ name: a, device: { id: x }, expect: { tag: [T] } }]"),
        ("mdetag", "version: 1\ntenant: {}"),
        ("mdetag", "version: 1\nbudget: { perMinute: 0 }"),
        ("plan", "{}"),
        ("apply", "{}"),
        ("diagnostics", "{}"),
    ] {
        assert_ne!(wrong(&project, schema, text), Vec::<String>::new(), "{schema}: {text}");
    }
}

#[test]
fn documents_that_the_tool_writes_fit_their_schemas() {
    let project = Project::new();
    project.run(&["init"]).exits(0);
    for (schema, words, code) in [
        ("plan", vec!["plan", "--sandbox"], 0),
        ("plan", vec!["drift", "--sandbox"], 2),
        ("apply", vec!["apply", "--sandbox", "--auto-approve"], 0),
        ("diagnostics", vec!["validate", "policies"], 0),
        ("diagnostics", vec!["validate", "nowhere"], 1),
        ("diagnostics", vec!["plan", "--no-such-flag"], 1),
    ] {
        let ran = project.run(&[words.as_slice(), &["--format", "json"]].concat()).exits(code);
        assert_eq!(wrong(&project, schema, &ran.out), Vec::<String>::new(), "{words:?}");
    }
}

#[test]
fn the_quickstarts_disturbance_shows_as_drift_and_is_healed() {
    let project = Project::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/policies");
    project.write("policies/tier0.yaml", &std::fs::read_to_string(root.join("tier0.yaml")).unwrap());
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    project.run(&["drift", "--sandbox"]).exits(0);
    let edits = project.run(&["sandbox", "disturb"]).exits(0);
    assert!(edits.out.contains("- Tier0") && edits.out.contains("+ Tier0"), "{}", edits.out);
    let drift = project.run(&["drift", "--sandbox"]).exits(2);
    assert!(drift.out.contains("Tier0"), "{}", drift.out);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    project.run(&["drift", "--sandbox"]).exits(0);
}

#[test]
fn a_sandbox_is_made_of_a_fleet_file() {
    let project = Project::with_policy("version: 1\nclaims: [Old]\n");
    project.write("fleet.ndjson", "{\"id\":\"a\",\"machineTags\":[\"Old\"]}\n{\"id\":\"b\"}\n");
    project.run(&["sandbox", "create", "--fleet", "fleet.ndjson"]).exits(0);
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(1), "{plan:#}");
    project.write("torn.ndjson", "{\"id\":\"a\"}\n{\"name\":");
    let torn = project.run(&["sandbox", "create", "--sandbox=other", "--fleet", "torn.ndjson"]).exits(1);
    assert!(torn.err.contains("line 2"), "{}", torn.err);
}

#[test]
fn a_plan_on_the_sandbox_says_that_it_interprets_no_kql() {
    let project = Project::with_policy(
        "version: 1\nrules:\n  - { name: r, select: { deviceName: { startsWith: dc }, hunting: { query: \"DeviceInfo | project DeviceId\" } }, tags: [T] }\n",
    );
    let plan = project.run(&["plan", "--sandbox"]).exits(0);
    assert!(plan.err.contains("does not interpret KQL"), "{}", plan.err);
}
