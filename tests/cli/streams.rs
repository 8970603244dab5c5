//! The content, form and colour of each stream, and what decides: flag, then environment, then default.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::project::{Project, Ran, ran};

const WARNED: &str =
    "version: 1\nclaims: [T, U]\nrules:\n  - { name: r, select: { osPlatform: Windows11 }, tags: [T] }\n";

fn with(project: &Project, words: &[&str], environment: &[(&str, &str)]) -> Ran {
    ran(project.command(words).envs(environment.iter().copied()).output().unwrap())
}

#[test]
fn warnings_stop_nothing_unless_denied() {
    let project = Project::with_policy(WARNED);
    let warned = project.run(&["validate"]).exits(0);
    assert!(warned.out.contains("warning[W0405]"), "{}", warned.out);
    project.run(&["validate", "--deny-warnings"]).exits(1);
    project.write("i.json", "[]");
    let planned = project.run(&["plan", "--inventory", "i.json"]).exits(0);
    assert!(planned.err.contains("W0405") && !planned.out.contains("W0405"), "warnings go to standard error");
    let quiet = project.run(&["plan", "--inventory", "i.json", "-q"]).exits(0);
    assert_eq!(quiet.err, "");
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_default() {
    let project = Project::with_policy(WARNED);
    assert!(with(&project, &["validate"], &[("MDETAG_FORMAT", "json")]).out.starts_with('{'));
    let flag = with(&project, &["validate", "--format", "human"], &[("MDETAG_FORMAT", "json")]);
    assert!(flag.out.starts_with("warning"), "{}", flag.out);
    let usage = with(&project, &["validate", "--nope"], &[("MDETAG_FORMAT", "json")]).exits(1);
    assert_eq!(usage.json()["errors"], 1);
    project.write("i.json", "[]");
    with(&project, &["plan"], &[("MDETAG_INVENTORY", "i.json"), ("MDETAG_NOW", "2026-11-22")]).exits(0);
    with(&project, &["plan", "--now", "2026-11-22"], &[("MDETAG_INVENTORY", "none")]).exits(1);
    with(&project, &["plan"], &[("MDETAG_SANDBOX", "two"), ("MDETAG_STATE", "elsewhere")]).exits(0);
    assert!(project.path().join("elsewhere/sandboxes/two").exists());
}

#[test]
fn colour_follows_the_flag_then_no_color_then_clicolor_force() {
    let project = Project::with_policy(WARNED);
    let is_coloured = |words: &[&str], environment: &[(&str, &str)]| {
        with(&project, &[&["validate"], words].concat(), environment).out.contains('\u{1b}')
    };
    assert!(!is_coloured(&[], &[]), "a pipe is no terminal");
    assert!(is_coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!is_coloured(&[], &[("CLICOLOR_FORCE", "0")]));
    assert!(!is_coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(is_coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!is_coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(is_coloured(&[], &[("MDETAG_COLOR", "always")]));
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    let project = Project::with_policy(
        "version: 1\nrules:\n  - { name: r, select: { osPlatform: { startsWith: WindowsServer } }, tags: [T] }\n",
    );
    project.run(&["sandbox", "create"]).exits(0);
    let commands = [
        "plan --sandbox --details",
        "plan --sandbox --format=json",
        "plan --sandbox --format=csv",
        "devices --sandbox --format csv",
        "devices --sandbox --format json",
        "schema plan -q",
        #[cfg(unix)]
        "snapshot --sandbox -o /dev/stdout",
    ];
    for line in commands {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = project.command(&words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ended = ran(child.wait_with_output().unwrap()).exits(0);
        ended.is_for_people();
        assert!(!ended.err.contains("error") && !ended.err.contains("pipe"), "{line}: {}", ended.err);
    }
}

#[test]
fn a_closed_standard_error_never_ends_a_command_with_a_panic() {
    let project = Project::with_policy(WARNED);
    project.write("i.json", "[]");
    let words: [&[&str]; 3] =
        [&["plan", "--inventory", "i.json"], &["plan", "--sandbox"], &["drift", "--sandbox"]];
    for words in words {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = project.command(&[words, &["-vvv"]].concat());
        let status = command.stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert!(matches!(status.code(), Some(0..=2)), "{words:?}: {status}");
    }
}

#[test]
fn with_a_log_in_json_every_line_of_standard_error_is_an_object() {
    let project = Project::with_policy(WARNED);
    project.write("i.json", "[]");
    project.write("bad/p.yaml", "version: 1\nbogus: 1\n");
    let runs: [(&[&str], &str); 6] = [
        (&["plan", "--inventory", "i.json", "-v"], "W0405"),
        (&["plan", "--inventory", "i.json", "bad"], "E0103"),
        (&["plan", "--inventory", "none.json"], "E9002"),
        (&["plan", "--nope"], "E9001"),
        (&["apply", "--sandbox", "--auto-approve"], "W0405"),
        (&["plan", "--sandbox", "--base", "bad", "policies"], "not split"),
    ];
    for (words, told) in runs {
        for environment in [&[][..], &[("GITHUB_ACTIONS", "true"), ("TF_BUILD", "True")][..]] {
            let ran = with(&project, &[words, &["--log-format", "json"]].concat(), environment);
            assert!(ran.err.contains(told), "{words:?}: {}", ran.err);
            for line in ran.err.lines() {
                let value: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|why| panic!("{words:?}: {why}: {line}"));
                let has = |key: &str| value[key].is_string();
                assert!(has("timestamp") && has("level") && has("message"), "{words:?}: {line}");
            }
        }
    }
}
