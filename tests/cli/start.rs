//! The first hour with mdetag: `init`, and the schemas for editors.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::project::Project;

/// The schema's findings about a document.
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

/// Every file below a folder, relative to it, with forward slashes; without git's own and the state.
fn files_below(root: &Path) -> BTreeSet<String> {
    let (mut files, mut open) = (BTreeSet::new(), vec![root.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    files
}

#[test]
fn init_writes_the_recipe_of_one_ci_system_and_names_no_file_that_it_does_not_write() {
    // A path with a folder, or a name that only a file has.
    let named = Regex::new(r"(?:[\w.-]+/)+[\w-]+\.(?:ya?ml|json|sample)|[\w-]*CODEOWNERS[\w.]*").unwrap();
    for (ci, recipes) in [
        (
            "github",
            &[
                ".github/CODEOWNERS.sample",
                ".github/workflows/mdetag-plan.yml",
                ".github/workflows/mdetag-apply.yml",
                ".github/workflows/mdetag-drift.yml",
            ][..],
        ),
        ("gitlab", &[".gitlab-ci.yml"]),
        ("azure", &["azure-pipelines.yml"]),
        ("none", &[]),
    ] {
        let project = Project::new();
        let ran = project.run(&["init", "--ci", ci, "--format", "json"]).exits(0);
        let written = files_below(project.path());
        let told: BTreeSet<String> = ran.json()["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told, written, "{ci}");
        for recipe in [
            ".github/CODEOWNERS.sample",
            ".github/workflows/mdetag-plan.yml",
            ".gitlab-ci.yml",
            "azure-pipelines.yml",
        ] {
            assert_eq!(written.contains(recipe), recipes.contains(&recipe), "{recipe} with {ci}");
        }
        for file in written.iter().filter(|file| !file.starts_with("schema/")) {
            let text = project.read(file);
            for found in named.find_iter(&text).map(|found| found.as_str()) {
                let is_ours = found.starts_with("mdetag/mdetag/")
                    || found.contains("plan/plan.json")
                    || found.contains("PWD/");
                let is_written = written.iter().any(|file| file.ends_with(found.trim_start_matches("../")));
                assert!(is_ours || is_written || found == "CODEOWNERS", "{file} of {ci} names {found}");
            }
        }
        project.run(&["validate", "--deny-warnings"]).exits(0);
    }
}

#[test]
fn init_adds_lines_to_what_is_there_and_overwrites_nothing() {
    let project = Project::new();
    project.write(".gitignore", "target\n");
    project.write("README.md", "# Contoso\n");
    project.write(".pre-commit-config.yaml", "repos:\n- repo: local\n  hooks: []\n");
    let ran = project.run(&["init", "--ci", "none"]).exits(0);
    assert!(ran.out.contains("Added lines to what was there:"), "{}", ran.out);
    for (file, begins, holds) in [
        (".gitignore", "target\n", "/.mdetag/"),
        ("README.md", "# Contoso\n\n## Device tags\n", "mdetag plan --sandbox"),
        (".pre-commit-config.yaml", "repos:\n- repo: local\n  hooks: []\n- repo: https://", "mdetag-test"),
    ] {
        let text = project.read(file);
        assert!(text.starts_with(begins) && text.contains(holds), "{file}: {text}");
    }
    let kept = Project::new();
    kept.write("mdetag.yaml", "version: 1\n");
    kept.write(".gitignore", "target\n");
    let ran = kept.run(&["init", "--ci", "github"]).exits(1);
    assert!(
        ran.err.contains("mdetag.yaml exists already") && ran.err.contains("nothing was written"),
        "{}",
        ran.err
    );
    assert_eq!(files_below(kept.path()).len(), 2);
    let odd = Project::new();
    odd.write(".pre-commit-config.yaml", "repos: []\n");
    let ran = odd.run(&["init", "--ci", "none"]).exits(0);
    assert!(ran.out.contains("by hand") && ran.out.contains("mdetag-validate"), "{}", ran.out);
    assert_eq!(odd.read(".pre-commit-config.yaml"), "repos: []\n");
}

#[test]
fn init_takes_the_ci_system_of_the_remote_where_nobody_can_be_asked() {
    for (url, recipe) in [
        ("git@github.com:contoso/tags.git", ".github/workflows/mdetag-plan.yml"),
        ("https://gitlab.example.com/contoso/tags.git", ".gitlab-ci.yml"),
        ("https://contoso@dev.azure.com/contoso/tags/_git/tags", "azure-pipelines.yml"),
    ] {
        let project = Project::new();
        project.write(".git/config", &format!("[remote \"origin\"]\n\turl = {url}\n"));
        let ran = project.run(&["init"]).exits(0);
        assert!(project.path().join(recipe).exists(), "{url}: {}", ran.out);
    }
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
        ("drift", vec!["drift", "--sandbox"], 2),
        ("tags", vec!["tags", "--sandbox"], 0),
        ("devices", vec!["devices", "--sandbox", "--where", "osPlatform: Windows11"], 0),
        ("coverage", vec!["coverage", "--sandbox"], 0),
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

#[test]
fn slips_are_told_with_what_was_probably_meant() {
    let project = Project::with_policy("version: 1\nclaims: [Old]\n");
    project.write("fleet.ndjson", "{\"id\":\"a\",\"computerDnsName\":\"dc01.example.com\"}\n");
    for (named, near) in [("dc01.exmple.com", "dc01.example.com"), ("dc10", "dc01")] {
        let err = project.run(&["explain", named, "--inventory", "fleet.ndjson"]).exits(1).err;
        assert!(err.contains(&format!("did you mean `{near}`?")), "{err}");
    }
    let ran = project.run_in(&[("MDETAG_SANDBOX", "true".to_owned())], &["plan"]).exits(1);
    assert!(ran.err.contains("it takes the name of a sandbox"), "{}", ran.err);
    project.write(
        "policies/p.yaml",
        "version: 1\nrules:\n  - { name: a, select: { everything: true }, tags: [{osPlatform}] }\n",
    );
    let told = project.run(&["validate"]).exits(1).out;
    assert!(told.contains("quote it: `\"{osPlatform}\"`"), "{told}");
    project.write("policies/p.yaml", "version: 1\nclaims: [\"a\\tb\"]\n");
    let told = project.run(&["validate"]).exits(0).out;
    assert!(told.contains("the claim `a\\tb`") && !told.contains('\u{FFFD}'), "{told}");
}

#[test]
fn doctor_does_not_call_a_credential_ok_that_nobody_has_seen() {
    let project = Project::new();
    let nobody = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", crate::service::nobody());
    let hosts = crate::service::hosts(&crate::service::nobody());
    let out = project.run_in(&[hosts, vec![nobody]].concat(), &["doctor"]).exits(1).out;
    assert!(!out.contains("ok   credential") && out.contains("bad  sign-in"), "{out}");
}
