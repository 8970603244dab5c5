//! The real binary in CI systems: the extra output for each, and that no name can act as a command.

use serde_json::json;

use crate::project::{Project, Ran, ran};
use crate::tenant::{device, policy};

/// A tag, and devices, that try to be commands.
const TAG: &str = "x%0A::error::pwned ##vso[task.complete]y";

fn hostile() -> Project {
    let project = Project::with_policy(&policy("Old", &format!("tags: [\"{TAG}\"]")));
    project.devices(0);
    let names = ["::error file=x::pwned", "##vso[task.setvariable variable=x]y", "a%0A::warning::b"];
    let devices: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let mut device = device(number, json!(["Old", "Own"]));
            device["computerDnsName"] = (*name).into();
            device
        })
        .collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
    project
}

fn in_system(project: &Project, variable: &str, words: &[&str]) -> Ran {
    let mut command = project.command(words);
    command.env(variable, "true").env("GITHUB_STEP_SUMMARY", project.path().join("summary.md"));
    ran(command.output().unwrap())
}

/// Lines of both streams that the log reader of GitHub or Azure DevOps would take for a command.
fn commands(ran: &Ran) -> Vec<String> {
    let lines = ran.out.lines().chain(ran.err.lines()).map(str::trim_start);
    lines.filter(|line| line.starts_with("::") || line.contains("##")).map(str::to_owned).collect()
}

#[test]
fn github_gets_annotations_at_policy_lines_and_a_summary_and_no_name_is_a_command() {
    let project = hostile();
    for (word, code) in [("plan", 0), ("drift", 2)] {
        let _ = std::fs::remove_file(project.path().join("summary.md"));
        let ran = in_system(&project, "GITHUB_ACTIONS", &[word, "--sandbox"]).exits(code);
        let commands = commands(&ran);
        assert!(!commands.is_empty(), "{}", ran.err);
        for line in &commands {
            let is_ours = line.contains("file=policies/p.yaml,line=") && line.contains(" title=");
            assert!(is_ours || line.starts_with("::notice title="), "{line}");
            assert!(!line.contains("##vso[") && line.matches("::error").count() <= 1, "{line}");
        }
        assert!(project.read("summary.md").contains("3 additions"), "{}", project.read("summary.md"));
    }
}

#[test]
fn github_folds_the_plan_of_an_apply_away() {
    let project = hostile();
    let ran = in_system(&project, "GITHUB_ACTIONS", &["apply", "--sandbox", "--auto-approve"]).exits(0);
    let opened = ran.out.lines().filter(|line| line.starts_with("::group::")).count();
    let closed = ran.out.lines().filter(|line| *line == "::endgroup::").count();
    assert_eq!((opened, closed), (1, 1), "{}", ran.out);
}

#[test]
fn azure_gets_logging_commands_and_no_name_is_one() {
    let project = hostile();
    let ran = in_system(&project, "TF_BUILD", &["drift", "--sandbox"]).exits(2);
    let commands = commands(&ran);
    assert!(!commands.is_empty(), "{}", ran.err);
    for line in &commands {
        assert!(
            line.starts_with("##vso[task.logissue type=") && line.contains("sourcepath=policies/p.yaml"),
            "{line}"
        );
        assert_eq!(line.matches("##").count(), 1, "{line}");
    }
    assert!(!project.path().join("summary.md").exists(), "the summary is GitHub's");
}

#[test]
fn gitlab_gets_a_code_quality_report() {
    let project = hostile();
    let ran =
        in_system(&project, "GITLAB_CI", &["drift", "--sandbox", "--report", "codequality=quality.json"])
            .exits(2);
    assert_eq!(commands(&ran), Vec::<String>::new());
    let issues: serde_json::Value = serde_json::from_str(&project.read("quality.json")).unwrap();
    assert_eq!(issues[0]["location"]["path"], "policies/p.yaml");
    assert_eq!(issues[0]["severity"], "major");
}

#[test]
fn findings_in_the_policy_are_annotations_in_github_and_azure() {
    let project = Project::with_policy("version: 1\nrules:\n  - name: a\n    select: {}\n    tags: [x]\n");
    for words in [
        &["validate"][..],
        &["plan", "--sandbox"],
        &["drift", "--sandbox"],
        &["apply", "--sandbox", "--auto-approve"],
    ] {
        let github = in_system(&project, "GITHUB_ACTIONS", words).exits(1);
        assert!(github.err.contains("::error file=policies/p.yaml,line=4"), "{}", github.err);
        let azure = in_system(&project, "TF_BUILD", words).exits(1);
        let command = "##vso[task.logissue type=error;sourcepath=policies/p.yaml;linenumber=4;";
        assert!(azure.err.contains(command), "{}", azure.err);
        let silent = in_system(&project, "GITHUB_ACTIONS", &[words, &["--ci", "none"]].concat()).exits(1);
        assert!(!silent.err.contains("::error"), "{}", silent.err);
    }
}

#[test]
fn ci_none_is_silent() {
    let project = hostile();
    for variable in ["GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI"] {
        let ran = in_system(&project, variable, &["drift", "--sandbox", "--ci", "none"]).exits(2);
        assert_eq!(commands(&ran), Vec::<String>::new());
        assert!(!ran.out.contains("section_start"), "{}", ran.out);
        assert!(!project.path().join("summary.md").exists());
    }
}

/// Whether a text contains anything that the log reader of GitHub or Azure DevOps takes for a command.
fn has_command(text: &str) -> bool {
    text.contains("##vso[")
        || text.contains("##[")
        || text.lines().any(|line| line.trim_start().starts_with("::"))
}

#[test]
fn no_command_prints_a_log_command_in_any_format() {
    let project = hostile();
    let names = ["##vso[task.complete]", "##[group]", "::error::y"].map(|name| format!("\"{name}\""));
    let policy = policy("\"##*\"", &format!("tags: [\"{TAG}\", {}]", names.join(", ")));
    project.write("policies/p.yaml", &policy);
    project.run(&["apply", "--sandbox", "--auto-approve", "-q"]).exits(0);
    project.write("policies/p.yaml", &policy.replace("##vso[task.complete]", "##vso[task.other]"));
    let device = "##vso[task.setvariable variable=x]y";
    let listing: &[&str] = &["human", "json", "ndjson", "markdown", "csv"];
    let commands: [(&[&str], &[&str]); 9] = [
        (&["tags", "--details"], listing),
        (&["devices"], listing),
        (&["coverage"], listing),
        (&["validate"], &["human", "json", "sarif"]),
        (&["explain", device], &["human", "json"]),
        (&["history"], &["human", "json"]),
        (&["history", "##vso[task.complete]"], &["human", "json"]),
        (
            &["plan", "--details"],
            &["human", "json", "ndjson", "markdown", "html", "junit", "sarif", "openmetrics", "csv"],
        ),
        (
            &["drift", "--details"],
            &["human", "json", "ndjson", "markdown", "html", "junit", "sarif", "openmetrics", "csv"],
        ),
    ];
    for (words, formats) in commands {
        for format in formats {
            let is_seen = !matches!(words[0], "validate" | "history");
            let sandbox = if is_seen { "--sandbox" } else { "-q" };
            let ran = project.run(&[words, &[sandbox, "--format", format]].concat());
            assert!(!ran.out.is_empty(), "{words:?} {format}: {}", ran.err);
            assert!(
                !has_command(&ran.out) && !has_command(&ran.err),
                "{words:?} {format}: {}{}",
                ran.out,
                ran.err
            );
        }
    }
    for system in ["GITHUB_ACTIONS", "TF_BUILD"] {
        let ran = in_system(&project, system, &["validate", "--format", "github"]);
        assert!(!ran.out.contains("##"), "{}", ran.out);
    }
}

#[cfg(unix)]
#[test]
fn no_plan_or_snapshot_on_standard_output_holds_a_log_command() {
    let project = hostile();
    project.write("policies/p.yaml", &policy("\"##*\"", &format!("tags: [\"{TAG}\"]")));
    for words in [["snapshot", "-o", "/dev/stdout", "--sandbox"], ["plan", "-o", "/dev/stdout", "--sandbox"]]
    {
        let ran = project.run(&words).exits(0);
        assert!(ran.out.contains("task.setvariable"), "{words:?}: {}", ran.out);
        assert!(!has_command(&ran.out) && !has_command(&ran.err), "{words:?}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn a_saved_plan_whose_names_are_log_commands_is_applied() {
    let project = hostile();
    project.run(&["plan", "--sandbox", "-o", "plan.json", "-q"]).exits(0);
    assert!(!has_command(&project.read("plan.json")), "a job that prints the plan runs no command");
    project.run(&["apply", "plan.json", "--sandbox", "-q"]).exits(0);
    project.run(&["drift", "--sandbox", "-q"]).exits(0);
}

#[test]
fn a_merged_report_of_tenants_holds_no_log_command() {
    let project = hostile();
    let profile = |number: u8| {
        format!("{{ tenantId: {number}1111111-2222-3333-4444-555555555555, policies: [policies/] }}")
    };
    project
        .write("mdetag.yaml", &format!("version: 1\ntenants:\n  a: {}\n  b: {}\n", profile(1), profile(2)));
    project.write("policies/p.yaml", "version: 1\n\"##vso[task.complete]\": 1\n");
    let out =
        project.run(&["plan", "--all-tenants", "--sandbox", "--out-dir", "out", "--format", "json"]).exits(1);
    assert!(!has_command(&out.out), "{}", out.out);
    for format in ["human", "json", "markdown", "html", "csv", "junit", "openmetrics"] {
        let merged = project.run(&["report", "merge", "out", "--format", format]);
        assert!(!has_command(&merged.out), "{format}: {}", merged.out);
    }
    assert!(!has_command(&project.read("out/a/result.json")), "{}", project.read("out/a/result.json"));
}
