//! `-o` and `--report`: files are replaced, anything else is written directly.

use crate::project::Project;

const POLICY: &str =
    "version: 1\nclaims: [T]\nrules: [{ name: r, select: { osPlatform: Windows11 }, tags: [T] }]\n";
const FLEET: &str = r#"[{"id":"1111111111111111111111111111111111111111","computerDnsName":"a","osPlatform":"Windows11","machineTags":[]}]"#;
const PLAN: [&str; 4] = ["plan", "--inventory", "i.json", "-q"];

fn project() -> Project {
    let project = Project::with_policy(POLICY);
    project.write("i.json", FLEET);
    project
}

/// Formats that can contain findings, and their files.
const FINDINGS: [(&str, &str); 6] = [
    ("json", "r.json"),
    ("sarif", "r.sarif"),
    ("junit", "r.xml"),
    ("markdown", "r.md"),
    ("html", "r.html"),
    ("codequality", "r.quality"),
];

/// Runs with a report of each format that can contain findings; each file must name the code.
fn reports_findings(project: &Project, words: &[&str], code: &str) {
    let reports = FINDINGS.map(|(format, file)| format!("--report={format}={file}"));
    let mut all: Vec<&str> = words.iter().copied().chain(reports.iter().map(String::as_str)).collect();
    let summary = project.path().join("summary.md");
    let _ = std::fs::remove_file(&summary);
    let github =
        [("GITHUB_ACTIONS", "true".to_owned()), ("GITHUB_STEP_SUMMARY", summary.display().to_string())];
    let ran = project.run_in(&github, &all).exits(1);
    assert!(ran.err.contains(&format!("title={code}")), "annotated: {}", ran.err);
    for (_, file) in FINDINGS.iter().chain(&[("markdown", "summary.md")]) {
        assert!(project.read(file).contains(code), "{words:?} {file}: {}", project.read(file));
        std::fs::remove_file(project.path().join(file)).unwrap();
    }
    all.truncate(words.len());
    for (format, _) in &FINDINGS[..5] {
        let ran = project.run(&[&all[..], &["--format", format]].concat()).exits(1);
        assert!(ran.out.contains(code), "{words:?} {format}: {}", ran.out);
        assert!(*format == "json" || ran.err.contains(code), "people are told: {}", ran.err);
    }
}

#[test]
fn a_policy_error_writes_the_reports_that_can_hold_it() {
    let project = project();
    project.write("policies/p.yaml", "version: 1\nbogus: 1\n");
    let commands: [&[&str]; 3] =
        [&PLAN, &["drift", "--inventory", "i.json", "-q"], &["apply", "--sandbox", "--auto-approve"]];
    for words in commands {
        reports_findings(&project, words, "E0103");
    }
    let comment = project.run(&[&PLAN[..], &["--format", "markdown"]].concat()).exits(1).out;
    assert!(comment.trim_end().ends_with("-->") && comment.contains("<!-- mdetag:plan:"), "{comment}");
    let written = project.run(&[&PLAN[..], &["--format", "csv", "--report", "ndjson=r.ndjson"]].concat());
    assert_eq!((written.exits(1).out, project.path().join("r.ndjson").exists()), (String::new(), false));
}

#[test]
fn an_error_that_planning_or_the_settings_find_is_reported_too() {
    let project = project();
    let rule = |value: &str| {
        format!("  - {{ name: {value}, select: {{ everything: true }}, deviceValue: {value} }}\n")
    };
    project.write("policies/p.yaml", &format!("version: 1\nrules:\n{}{}", rule("High"), rule("Low")));
    reports_findings(&project, &PLAN, "E0602");
    reports_findings(&project, &["apply", "--sandbox", "--auto-approve"], "E0602");
    project.write("mdetag.yaml", "version: 1\nbogus: 1\n");
    reports_findings(&project, &["plan", "--sandbox"], "E0103");
}

#[test]
fn a_failure_without_findings_replaces_the_reports_that_were_there() {
    let project = project();
    let old = |files: &[&str]| {
        files.iter().for_each(|file| drop(project.write(file, "no changes <!-- mdetag:plan: -->")))
    };
    let plan =
        ["plan", "--report", "markdown=plan.md", "--report", "html=plan.html", "--report", "json=plan.json"];
    let (there, away) = ("--details", "--inventory=nowhere.ndjson");
    for (settings, more) in [("version: 1\nstate: s3://evil/x\n", there), ("version: 1\n", away)] {
        let code = "E9002";
        project.write("mdetag.yaml", settings);
        old(&["plan.md", "plan.html", "plan.json"]);
        let ran = project.run(&[&plan[..], &[more]].concat()).exits(1);
        assert!(ran.err.contains(code), "{}", ran.err);
        for file in ["plan.md", "plan.html", "plan.json"] {
            let text = project.read(file);
            assert!(text.contains(code) && !text.contains("no changes"), "{file}: {text}");
        }
        assert!(project.read("plan.md").contains("no plan could be made"));
    }
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::Stdio;

    use super::{PLAN, project};
    use crate::project::ran;

    #[test]
    fn standard_output_is_written_into_through_any_link() {
        let project = project();
        symlink("/proc/self/fd/1", project.path().join("out")).unwrap();
        symlink("/dev/stdout", project.path().join("out2")).unwrap();
        for path in ["out", "out2", "/dev/stdout", "/dev/fd/1"] {
            let written =
                project.run(&[&PLAN[..], &["--report", &format!("ndjson={path}")]].concat()).exits(0);
            assert!(written.out.contains(r#""report""#), "{path}: {}", written.out);
            let saved = project.run(&[&PLAN[..], &["-o", path]].concat()).exits(0);
            assert!(saved.out.contains(r#""formatVersion""#), "{path}: {}", saved.out);
        }
        assert!(project.path().join("out").is_symlink() && project.path().join("out2").is_symlink());
    }

    #[test]
    fn standard_output_that_is_a_file_keeps_both_texts() {
        let project = project();
        let file = std::fs::File::create(project.path().join("all.txt")).unwrap();
        let mut command = project.command(&[&PLAN[..], &["-o", "/dev/stdout"]].concat());
        ran(command.stdout(Stdio::from(file)).output().unwrap()).exits(0);
        let text = project.read("all.txt");
        assert!(text.contains(r#""formatVersion""#) && text.contains("1 addition"), "{text}");
    }

    #[test]
    fn a_pipe_is_written_into_and_stays_a_pipe() {
        let project = project();
        let pipe = project.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        symlink("pipe", project.path().join("link")).unwrap();
        for path in ["pipe", "link"] {
            let reader = {
                let pipe = pipe.clone();
                std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap())
            };
            project.run(&[&PLAN[..], &["-o", path]].concat()).exits(0);
            assert!(reader.join().unwrap().contains(r#""formatVersion""#), "{path}");
        }
        assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert!(project.path().join("link").is_symlink());
    }

    #[test]
    fn a_link_is_followed_inside_the_working_directory_and_replaced_elsewhere() {
        let (project, other) = (project(), tempfile::tempdir().unwrap());
        let secret = other.path().join("authorized_keys");
        std::fs::write(&secret, "keep").unwrap();
        symlink(&secret, project.path().join("leads-out.json")).unwrap();
        std::fs::create_dir(project.path().join("sub")).unwrap();
        symlink("sub/plan.json", project.path().join("inside.json")).unwrap();
        for path in ["leads-out.json", "inside.json"] {
            project.run(&[&PLAN[..], &["-o", path]].concat()).exits(0);
            assert!(project.read(path).contains(r#""formatVersion""#));
        }
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "keep");
        assert!(!project.path().join("leads-out.json").is_symlink());
        assert!(project.path().join("inside.json").is_symlink());
        assert!(project.read("sub/plan.json").contains(r#""formatVersion""#));
    }

    #[test]
    fn a_folder_behind_a_link_that_leads_out_and_the_folder_of_git_are_refused() {
        let (project, other) = (project(), tempfile::tempdir().unwrap());
        symlink(other.path(), project.path().join("out")).unwrap();
        symlink(other.path(), project.path().join("results")).unwrap();
        project.write(".git/HEAD", "ref: refs/heads/main\n");
        symlink(".git/HEAD", project.path().join("plan.md")).unwrap();
        symlink(".git", project.path().join("g")).unwrap();
        symlink("/dev/null", project.path().join("null.json")).unwrap();
        std::fs::create_dir(project.path().join("sub")).unwrap();
        symlink("sub", project.path().join("inside")).unwrap();
        for path in ["out/plan.json", "out/x/../plan.json", "plan.md", "g/config", ".git/config", "null.json"]
        {
            let ran = project.run(&[&PLAN[..], &["-o", path]].concat()).exits(1);
            assert!(ran.err.contains(path.split('/').next().unwrap()), "{path}: {}", ran.err);
            project.run(&[&PLAN[..], &["--report", &format!("ndjson={path}")]].concat()).exits(1);
        }
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
        assert_eq!(project.read(".git/HEAD"), "ref: refs/heads/main\n");
        assert!(!project.path().join(".git/config").exists());
        project.run(&[&PLAN[..], &["-o", "inside/plan.json"]].concat()).exits(0);
        assert!(project.read("sub/plan.json").contains(r#""formatVersion""#));
    }

    #[test]
    fn snapshots_and_fleets_go_into_devices_too() {
        let project = project();
        symlink("/dev/stdout", project.path().join("out")).unwrap();
        let fleet = project.run(&["sandbox", "generate", "--devices", "2", "-o", "out", "-q"]).exits(0);
        assert!(fleet.out.contains(r#""machineTags""#), "{}", fleet.out);
        project.run(&["sandbox", "create", "--devices", "2"]).exits(0);
        let snapshot = project.run(&["snapshot", "--sandbox", "-o", "out"]).exits(0);
        assert!(snapshot.out.contains(r#""machineTags""#), "{}", snapshot.out);
        assert!(project.path().join("out").is_symlink());
    }
}

#[test]
fn the_tenant_stands_in_the_name_of_a_file() {
    let project = project();
    project.write("mdetag.yaml", "version: 1\ntenants: { one: {}, two: {} }\n");
    let words = ["--report", "markdown=r/{tenant}.md", "-o", "{tenant}.json"];
    project.run(&[&PLAN[..], &["--tenant", "one"], &words].concat()).exits(0);
    assert!(project.read("r/one.md").contains("plan") && project.read("one.json").contains("formatVersion"));
    project.run(&[&["plan", "--all-tenants", "--sandbox", "-q"], &words[..]].concat()).exits(0);
    assert!(project.read("r/two.md").contains("plan") && project.read("two.json").contains("formatVersion"));
    let shared = project.run(&["plan", "--all-tenants", "--sandbox", "-o", "plan.json"]).exits(1);
    assert!(shared.err.contains("{tenant}"), "{}", shared.err);
}

#[test]
fn places_link_to_the_repository_at_the_commit_of_the_plan() {
    let project = Project::with_policy(
        "version: 1\nclaims: [T]\nrules:\n  - { name: all, select: { everything: true }, tags: [T] }\n",
    );
    project.write("mdetag.yaml", "version: 1\nrepositoryUrl: https://github.com/contoso/device-tags\n");
    project.write("fleet.ndjson", "{\"id\":\"a\",\"computerDnsName\":\"a.example.com\"}\n");
    let git = |words: &[&str]| {
        let words = [
            &["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"],
            words,
        ]
        .concat();
        let ran = std::process::Command::new("git").args(words).current_dir(project.path()).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    let report =
        |format| project.run(&["plan", "--inventory", "fleet.ndjson", "--format", format]).exits(0).out;
    git(&["init", "-q"]);
    assert!(!report("markdown").contains("https://github.com/contoso"), "nothing is committed yet");
    git(&["add", "."]);
    git(&["commit", "-qm", "a"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let link = format!("https://github.com/contoso/device-tags/blob/{commit}/policies/p.yaml#L4");
    assert!(report("markdown").contains(&format!("[`policies/p.yaml:4`]({link})")), "{}", report("markdown"));
    let html = report("html");
    assert!(html.contains(&format!("<a href=\"{link}\" rel=\"noreferrer\">policies/p.yaml:4</a>")));
    assert!(html.contains(&format!("\"{link}\"]")), "the list has it, too");
    let sarif: serde_json::Value = serde_json::from_str(&report("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["versionControlProvenance"][0]["revisionId"], commit);
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["properties"]["link"] == link.as_str()), "{sarif:#}");
}

/// The marker at the end of a comment.
#[track_caller]
fn marker(project: &Project, code: i32, words: &[&str]) -> String {
    let comment = project.run(&[words, &["--format", "markdown"]].concat()).exits(code).out;
    comment.trim_end().lines().last().expect("a marker").to_owned()
}

#[test]
fn a_plan_its_errors_and_its_saved_file_are_one_comment() {
    let header = r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"11111111-2222-3333-4444-555555555555","name":"t","cloud":"public"},"readAt":"2026-11-27T06:00:00Z","devices":1,"trusted":true,"reasons":[]}"#;
    let device = r#"{"id":"a1","computerDnsName":"a","osPlatform":"Windows11","machineTags":[]}"#;
    let project = Project::with_policy(POLICY);
    project.write("i.ndjson", &format!("{header}\n{device}\n"));
    project.write("bad.yaml", "version: 1\nbogus: 1\n");
    let plan = ["plan", "--inventory", "i.ndjson", "-q"];
    for (settings, expected) in [
        ("version: 1\n", "<!-- mdetag:plan: -->"),
        (
            "version: 1\ntenants: { prod: { tenantId: 11111111-2222-3333-4444-555555555555 } }\n",
            "<!-- mdetag:plan:prod -->",
        ),
    ] {
        project.write("mdetag.yaml", settings);
        assert_eq!(marker(&project, 1, &[&plan[..], &["bad.yaml"]].concat()), expected);
        assert_eq!(marker(&project, 0, &[&plan[..], &["-o", "plan.json"]].concat()), expected);
        assert_eq!(marker(&project, 0, &["show", "plan.json"]), expected);
    }
    let short = project.run(&[&plan[..], &["--max-chars", "900"]].concat()).exits(1);
    assert!(short.err.contains("a comment holds at least 1000 characters"), "{}", short.err);
}

#[test]
fn the_error_of_a_broken_settings_file_replaces_the_comment_of_its_tenant() {
    let project = Project::with_policy(POLICY);
    let both = "version: 1\ntenants:\n  dev: {}\n  prod: {}\ndefaultTenant: prod\n";
    for broken in [
        format!("{both}lints: {{ W9999: deny }}\n"),
        format!("{both}notify: [\n"),
        "version: 1\ntenants: { prod: { cloud: mars } }\n".to_owned(),
        "version: 1\ntenants:\n  prod: {}\nstate: '\n".to_owned(),
    ] {
        project.write("mdetag.yaml", &broken);
        assert_eq!(marker(&project, 1, &["plan"]), "<!-- mdetag:plan:prod -->", "{broken}");
        assert_eq!(marker(&project, 1, &["drift"]), "<!-- mdetag:drift:prod -->", "{broken}");
        assert_eq!(marker(&project, 1, &["plan", "--tenant", "dev"]), "<!-- mdetag:plan:dev -->");
        project.run(&["plan", "--report", "markdown={tenant}.md"]).exits(1);
        assert!(project.read("prod.md").contains("<!-- mdetag:plan:prod -->"), "{broken}");
        std::fs::remove_file(project.path().join("prod.md")).unwrap();
    }
}

#[test]
fn standard_output_is_no_file_of_the_name_minus() {
    let project = Project::with_policy(POLICY);
    for words in [
        &["snapshot", "--sandbox", "-o", "-"][..],
        &["plan", "--sandbox", "-o", "-"],
        &["plan", "--sandbox", "--report", "markdown=-"],
        &["import", "--sandbox", "-o", "-"],
        &["revert", "20261122T030000Z-7f3a", "--sandbox", "-o", "-"],
        &["groups", "--fetch", "--sandbox", "-o", "-"],
        &["test", "--junit", "-"],
        &["sandbox", "generate", "--devices", "3", "-o", "-"],
        &["doctor", "--probe", "dc01", "--share", "-"],
        &["plan", "--all-tenants", "--out-dir", "-"],
        &["report", "merge", ".", "--report", "html=-"],
        &["state", "pull", "-"],
        &["man", "-o", "-"],
        &["init", "-"],
    ] {
        let ran = project.run(words).exits(1);
        assert!(!project.path().join("-").exists(), "{words:?}");
        let is_said = ran.err.contains("name a file") || ran.err.contains("is not FORMAT=FILE");
        assert!(is_said, "{words:?}: {}", ran.err);
    }
}

#[test]
fn a_resume_before_any_run_says_what_to_do() {
    let project = Project::with_policy(POLICY);
    let none = project.run(&["apply", "--resume", "--sandbox", "--auto-approve"]).exits(1);
    assert!(none.err.contains("there is no run to resume in the state directory"), "{}", none.err);
    assert!(none.err.contains("run `mdetag apply` without --resume"), "{}", none.err);
    let named = project.run(&["apply", "--resume", "20261122T030000Z-7f3a", "--sandbox"]).exits(1);
    assert!(named.err.contains("`mdetag history` lists the runs"), "{}", named.err);
}
