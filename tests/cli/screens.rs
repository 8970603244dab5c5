//! The screens that documents show: each command of a ```console fence is run, and what it prints is compared.
//!
//! A fence whose info names a file (```yaml policies/p.yaml) writes that file first. `MDETAG_UPDATE_DOCS=1` writes what is printed now.

#[path = "../docs/markdown.rs"]
#[expect(dead_code, reason = "this test reads fences only")]
mod markdown;

use std::path::Path;

use regex::Regex;

use crate::project::Project;

/// The documents with screens.
const DOCUMENTS: [&str; 1] = ["docs/cmdb.md"];

/// What differs from run to run: the ids of runs, which hold their time.
fn steady(text: &str) -> String {
    let run = Regex::new(r"\d{8}T\d{6}Z-[0-9a-f]{6}").expect("the pattern is sound");
    run.replace_all(text, "20261124T030000Z-1a2b3c").into_owned()
}

/// What is compared: budgets refill with the clock.
fn compared(text: &str) -> String {
    let left = Regex::new(r"\([\d,]+ of 1,500 left\)").expect("the pattern is sound");
    left.replace_all(text, "(… of 1,500 left)").into_owned()
}

/// A fence with its commands run: each command, and what it printed on both streams.
fn screen(project: &Project, fence: &markdown::Fence) -> String {
    let commands = fence.text.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.map(|command| format!("$ {command}\n{}", printed(project, command))).collect()
}

fn printed(project: &Project, command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let ran = project.run_in(&[("MDETAG_SANDBOX_SPEED", "60".to_owned())], &words);
    let text = steady(&format!("{}{}", ran.out, ran.err));
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{}\n", text.trim_end())
}

/// A document as it is, and as it would be with the screens of now.
fn screens(document: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(&path).expect("the document");
    let project = Project::new();
    let mut made = text.clone();
    for fence in markdown::fences(&text) {
        match fence.info.split_once(' ') {
            Some((kind, file)) if file.contains('.') => {
                // As Excel writes it.
                let mark = if kind == "csv" { "\u{feff}" } else { "" };
                project.write(file, &format!("{mark}{}", fence.text));
            }
            None if fence.info == "console" => {
                let screen = screen(&project, &fence);
                let (old, new) =
                    (format!("```console\n{}```", fence.text), format!("```console\n{screen}```"));
                made = made.replacen(&old, &new, 1);
            }
            _ => {}
        }
    }
    if std::env::var_os("MDETAG_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("the document can be written");
        return (made.clone(), made);
    }
    (text, made)
}

#[test]
fn every_screen_in_the_documents_is_what_the_command_prints() {
    for document in DOCUMENTS {
        let (text, made) = screens(document);
        assert!(text.contains("```console\n$ mdetag "), "{document}: the reader has gone blind");
        assert_eq!(
            compared(&text),
            compared(&made),
            "{document}: MDETAG_UPDATE_DOCS=1 writes what is printed now"
        );
    }
}
