//! The documents are true: links have targets, commands exist, printed policies are valid, tables match the code.
//!
//! Runs no command; `tests/cli` does. `src/cli/documents.rs` compares commands and exit codes, beside the code.

#[path = "docs/documents.rs"]
mod documents;
#[path = "docs/markdown.rs"]
mod markdown;

use std::path::{Component, Path};

use mdetag_core::diagnostic::{Diagnostic, Severity, Source, Sources};
use mdetag_core::policy;
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;

use documents::{files, nothing, read, root};

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in files(&["md"]) {
        let text = read(&document);
        for (line, target) in markdown::links(&text) {
            if target.starts_with("https://") {
                continue;
            }
            let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let other = if path.is_empty() { document.clone() } else { joined(&document, path) };
            let is_there = root().join(&other).exists()
                && (fragment.is_empty()
                    || markdown::anchors(&read(&other)).iter().any(|anchor| anchor == fragment));
            if !is_there {
                broken.push(format!("{document}:{line}: {target}"));
            }
        }
    }
    nothing(broken);
}

/// The path in a document, relative to the root.
fn joined(document: &str, path: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(document).parent().expect("a document lies in a folder").join(path).components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    parts.join("/")
}

#[test]
fn ci_runs_the_readmes_two_commands_word_for_word() {
    let readme = read("README.md");
    let ci = read(".ci/run");
    let fences = markdown::fences(&readme);
    let mut shell = fences.iter().filter(|fence| fence.info == "sh");
    for expected in ["cargo run --release -- apply --sandbox ", "cargo test"] {
        let command = shell.next().expect("the README begins with two commands").text.trim();
        assert!(command.starts_with(expected) && !command.contains('\n'), "{command}");
        assert!(ci.lines().any(|line| line.trim() == command), ".ci/run does not run `{command}`");
    }
}

/// Seconds until the last of `calls` may start, from an unused budget.
fn at_least(calls: u64) -> String {
    let last = calls - 1;
    let minutes = 60 * (last / 1500) + last % 1500 / 100;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "0 s".to_owned(),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

#[test]
fn the_readmes_costs_follow_from_the_limits() {
    let readme = read("README.md");
    let rows = [
        format!(
            "| one tag on 10,000 devices | 10,000 calls | {} | 20 calls | {} |",
            at_least(10_000),
            at_least(20)
        ),
        format!(
            "| three tags on 50,000 devices | 150,000 calls | {} | 300 calls | {} |",
            at_least(150_000),
            at_least(300)
        ),
        format!(
            "| a device value on 10,000 devices | 10,000 calls | {0} | 10,000 calls | {0} |",
            at_least(10_000)
        ),
        format!("| the same over two routes | – | – | 10,000 calls | {} |", at_least(5_000)),
    ];
    for row in rows {
        assert!(readme.contains(&row), "{row}");
    }
    let applying = read("docs/applying.md");
    for (values, calls) in [("1,000 values", 1_000), ("5,000", 5_000), ("10,000", 10_000)] {
        let claim = at_least(calls).replace(" min", if calls == 1_000 { " minutes" } else { " min" });
        assert!(applying.contains(&format!("{claim} for {values}")), "{claim} for {values}");
    }
}

#[test]
fn the_rooms_in_the_architecture_are_the_modules_in_their_order() {
    let libraries =
        ["crates/vocabulary/src/lib.rs", "crates/core/src/lib.rs", "src/lib.rs", "src/main.rs"].map(read);
    let listed: Vec<String> = libraries
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';').to_owned())
        .collect();
    let architecture = read("ARCHITECTURE.md");
    let rooms: Vec<String> = architecture
        .lines()
        .skip_while(|line| *line != "## The rooms")
        .take_while(|line| *line != "## Why it is built this way")
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(rooms, listed);
}

/// A policy's findings that are errors or warnings, as lines.
fn findings(sources: &Sources) -> Vec<String> {
    let now = Timestamp::parse("2026-11-24").expect("a date");
    lines(sources, policy::resolve(sources, TagCase::Exact, now).1)
}

fn lines(sources: &Sources, found: Vec<Diagnostic>) -> Vec<String> {
    let loud = found.iter().filter(|finding| finding.severity != Severity::Note);
    loud.map(|finding| {
        let place = finding.span.map_or(String::new(), |span| {
            let place = sources.place(span);
            format!("{}:{}:{}: ", place.file, place.line, place.column)
        });
        format!("{place}{} {} {}", finding.code, finding.message, finding.help.as_deref().unwrap_or(""))
    })
    .collect()
}

#[test]
fn every_printed_policy_is_valid() {
    let mut policies = 0;
    let mut wrong = Vec::new();
    for document in files(&["md"]) {
        let fences = markdown::fences(&read(&document));
        for fence in fences.iter().filter(|fence| fence.info == "yaml policy") {
            policies += 1;
            let name = format!("{document}:{}", fence.line);
            let mut sources = Sources::from_text(&name, &fence.text);
            sources.files[0].path = "policy.yaml".to_owned();
            // A fence such as ```csv data/cmdb.csv is the data file that the document's policies name.
            for file in &fences {
                if let Some((_, path)) =
                    file.info.split_once(' ').filter(|(_, path)| path.starts_with("data/"))
                {
                    sources.data.insert((0, path.to_owned()), Ok(file.text.as_bytes().into()));
                }
            }
            wrong.extend(findings(&sources));
        }
    }
    assert!(policies > 15, "only {policies} policies found: the reader has gone blind");
    nothing(wrong);
}

#[test]
fn the_policies_of_the_repository_have_no_error_and_no_warning() {
    for folder in ["policies", "examples/quickstart/policies", "examples/consequences/policies"] {
        let mut sources = Sources::default();
        for name in files(&["yaml"]) {
            if name.starts_with(&format!("{folder}/")) && !name.ends_with(".test.yaml") {
                let path = name[folder.len() + 1..].to_owned();
                if path.starts_with("data/") {
                    sources.data.insert((0, path), Ok(read(&name).into_bytes().into()));
                } else {
                    sources.files.push(Source::new(&*name, 0, path, read(&name)));
                }
            }
        }
        assert!(!sources.files.is_empty(), "no policy below {folder}");
        nothing(findings(&sources));
    }
}

#[test]
fn the_page_on_consequences_has_the_files_of_its_example() {
    let page = read("docs/consequences.md");
    let mut shown = 0;
    for fence in markdown::fences(&page) {
        let Some((_, name)) = fence.info.split_once(' ') else { continue };
        let file = format!("examples/consequences/{name}");
        if root().join(&file).exists() {
            shown += 1;
            assert_eq!(fence.text, read(&file), "{file}");
        }
    }
    assert_eq!(shown, 4, "rules, groups, guard and the mishap: its pictures are of these");
}

/// Syntax that PowerShell reads differently or lacks.
const SHELL_ALONE: [&str; 10] =
    ["$(", "export ", "\\\n", "printf ", "curl ", "sha256sum ", "umask ", " > ", " | ", "$HOME"];

#[test]
fn what_only_a_shell_takes_has_its_powershell_behind_it() {
    let mut alone = Vec::new();
    let mut shells = 0;
    for document in files(&["md"]).iter().filter(|name| *name == "README.md" || name.starts_with("docs/")) {
        let fences = markdown::fences(&read(document));
        for (index, fence) in fences.iter().enumerate().filter(|(_, fence)| fence.info == "sh") {
            shells += 1;
            let is_alone = SHELL_ALONE.iter().any(|words| fence.text.contains(words));
            if is_alone && fences.get(index + 1).is_none_or(|next| next.info != "powershell") {
                alone.push(format!("{document}:{}", fence.line));
            }
        }
    }
    assert!(shells > 25, "only {shells} examples found: the reader has gone blind");
    nothing(alone);
}

#[test]
fn every_printed_mdetag_yaml_is_valid() {
    let mut sources: Vec<Sources> = Vec::new();
    for document in files(&["md"]) {
        let fences = markdown::fences(&read(&document));
        let settings = fences.iter().filter(|fence| fence.info == "yaml mdetag");
        sources.extend(
            settings.map(|fence| Sources::from_text(&format!("{document}:{}", fence.line), &fence.text)),
        );
    }
    sources.push(Sources::from_text("examples/ci/mdetag.yaml", &read("examples/ci/mdetag.yaml")));
    assert!(sources.len() > 2, "the reader has gone blind");
    nothing(sources.iter().flat_map(|sources| lines(sources, policy::settings::read(sources).1)).collect());
}

/// The check that every recipe makes on `mdetag state show --format json` before it lets a wave start; rollouts with unreadable
/// state count as due.
const DUE: &str = "[.tenants[] | .nextWaves // [{ isDue: true }] | .[] | select(.isDue)] | length";

#[test]
fn the_recipes_of_ci_systems_come_back_for_a_wave_by_a_schedule_and_resume_only_what_is_due() {
    for name in ["github/mdetag-apply.yml", "gitlab/.gitlab-ci.yml", "azure-devops/azure-pipelines.yml"] {
        let recipe = read(&format!("examples/ci/{name}"));
        let asks = recipe.matches("mdetag state show --format json").count();
        assert_eq!((asks, recipe.matches(DUE).count()), (1, 1), "{name} asks what is due");
        // GitLab keeps its schedules outside of the file.
        let is_scheduled =
            recipe.contains("cron: \"43 * * * *\"") || recipe.contains("MDETAG_SCHEDULE == \"waves\"");
        assert!(is_scheduled, "{name} has no schedule");
    }
}

#[test]
fn the_azure_recipe_writes_on_a_schedule_only_what_the_look_found_due() {
    let recipe: serde_json::Value =
        serde_yaml::from_str(&read("examples/ci/azure-devops/azure-pipelines.yml")).unwrap();
    let list = |key: &str| recipe[key].as_array().cloned().unwrap_or_default();
    let waves = list("schedules").into_iter().find(|schedule| schedule["displayName"] == "waves").unwrap();
    assert_eq!(
        (&waves["always"], &waves["batch"]),
        (&"true".into(), &"true".into()),
        "one at a time, also without a commit"
    );
    let stage = |name: &str| list("stages").into_iter().find(|stage| stage["stage"] == name).unwrap();
    let condition = |name: &str| stage(name)["condition"].as_str().unwrap().to_owned();
    assert!(condition("plan").contains("eq(variables.isSchedule, 'False')"));
    assert!(condition("drift").contains("eq(variables.isWaves, 'False')"));
    assert!(condition("rollout").contains("eq(variables.isWaves, 'True')"));
    // The names of stage, job, step and variable, as the look sets it.
    let look = &stage("rollout")["jobs"][0];
    let ask = look["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&look["job"], &ask["name"]), (&"look".into(), &"ask".into()));
    assert!(ask["bash"].as_str().unwrap().contains("variable=due;isOutput=true]$due"));
    assert!(condition("apply").contains("ne(dependencies.rollout.outputs['look.ask.due'], '0')"));
    assert_eq!(stage("apply")["dependsOn"], serde_json::json!(["plan", "rollout"]));
    let resumes = recipe["variables"]["isResume"].as_str().unwrap();
    assert!(resumes.contains("variables['Build.CronSchedule.DisplayName'], 'waves'"), "{resumes}");
}

/// The pods that a Kubernetes document makes.
fn pods(document: &serde_json::Value) -> Vec<&serde_json::Value> {
    ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"]
        .into_iter()
        .filter_map(|at| document.pointer(at))
        .collect()
}

#[test]
fn the_kubernetes_recipes_have_what_the_api_requires_and_run_without_rights() {
    let versions = [
        ("CronJob", "batch/v1"),
        ("Job", "batch/v1"),
        ("PersistentVolumeClaim", "v1"),
        ("ServiceAccount", "v1"),
    ];
    let mut seen = 0;
    for name in files(&["yaml"]).iter().filter(|name| name.starts_with("examples/ci/kubernetes/")) {
        let text = read(name);
        let read =
            |document: &str| serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{name}: {error}"));
        let documents: Vec<serde_json::Value> = text.split("\n---\n").map(read).collect();
        for document in &documents {
            let kind = document["kind"].as_str().expect("a kind");
            let version = document["apiVersion"].as_str().expect("an API version");
            assert!(versions.contains(&(kind, version)), "{name}: {version} {kind}");
            let meta = &document["metadata"];
            assert!(
                meta["name"].is_string() || meta["generateName"].is_string(),
                "{name}: {kind} has no name"
            );
            if kind == "CronJob" {
                assert_eq!(document["spec"]["schedule"].as_str().expect("a schedule").split(' ').count(), 5);
            }
            for pod in pods(document) {
                seen += 1;
                assert_eq!(
                    pod["restartPolicy"], "Never",
                    "{name}: a job's pod must not start again by itself"
                );
                assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
                let volumes: Vec<&str> = pod["volumes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|one| one["name"].as_str())
                    .collect();
                for container in pod["containers"].as_array().expect("containers") {
                    assert!(container["name"].is_string() && container["image"].is_string(), "{name}");
                    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{name}");
                    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                        assert!(
                            volumes.contains(&mount["name"].as_str().expect("a volume")),
                            "{name}: {mount}"
                        );
                    }
                }
            }
        }
    }
    assert_eq!(seen, 2, "the reader has gone blind");
}
