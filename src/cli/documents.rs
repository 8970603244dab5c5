//! The documents agree with the command line: printed commands exist, and the table of exit codes matches the code.

use clap::Parser;
use clap::error::ErrorKind;
use regex::Regex;

use super::args::Cli;
use super::exit::Exit;

#[path = "../../tests/docs/documents.rs"]
mod project;
#[expect(dead_code, reason = "`tests/docs.rs` uses the rest")]
#[path = "../../tests/docs/markdown.rs"]
mod markdown;

use project::{files, nothing, read};

/// Command lines in documents and workflows: the place, and the words after `mdetag`.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let shell =
        Regex::new(r"^\s*(?:\$ |- |run: |entry: )?(?:mdetag|cargo run [^#]*?--) (\S.*)$").expect("sound");
    let inline = Regex::new(r"`mdetag ([^`]+)`").expect("sound");
    let list = Regex::new(r"args: \[(.*)\]").expect("sound");
    let action = Regex::new(r"^\s*command: (\w.*)$").expect("sound");
    let expression = Regex::new(r"\$\{\{.*?\}\}").expect("sound");
    let word = Regex::new(r#"(?:"[^"]*"|'[^']*'|\S)+"#).expect("sound");
    let mut add = |place: String, line: &str| {
        let end = [" #", " || ", " | ", " > ", " && ", ";"].iter().filter_map(|stop| line.find(stop)).min();
        let words = word.find_iter(&line[..end.unwrap_or(line.len())]);
        found.push((place, words.map(|word| word.as_str().trim_matches(['"', '\'']).to_owned()).collect()));
    };
    for document in files(&["md"]) {
        let text = read(&document);
        for fence in markdown::fences(&text)
            .iter()
            .filter(|fence| matches!(&*fence.info, "sh" | "console" | "yaml" | "powershell"))
        {
            for (offset, line) in fence.text.lines().enumerate() {
                if let Some(command) = shell.captures(line) {
                    add(format!("{document}:{}", fence.line + offset), &command[1]);
                }
            }
        }
        for (number, line) in markdown::prose(&text) {
            inline.captures_iter(line).for_each(|command| add(format!("{document}:{number}"), &command[1]));
        }
    }
    for workflow in files(&["yml", "yaml"]) {
        for (number, line) in read(&workflow).lines().enumerate() {
            let place = format!("{workflow}:{}", number + 1);
            if let Some(command) = shell.captures(line) {
                add(place, &command[1]);
            } else if let Some(command) = action.captures(line) {
                add(place, &expression.replace_all(&command[1], "policies"));
            } else if let Some(words) = list.captures(line) {
                add(place, &words[1].replace(',', " "));
            }
        }
    }
    found
}

/// The program's own sources: path and text.
pub(super) fn sources() -> Vec<(String, String)> {
    let own = files(&["rs"]).into_iter().filter(|path| path.starts_with("src/"));
    own.map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn every_command_that_is_printed_exists() {
    let commands = commands();
    assert!(commands.len() > 40, "only {} commands found: the reader has gone blind", commands.len());
    let mut wrong = Vec::new();
    for (place, words) in commands {
        if words[0] == "COMMAND" {
            continue;
        }
        let line = std::iter::once("mdetag").chain(words.iter().map(String::as_str));
        if let Err(error) = Cli::try_parse_from(line)
            && !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
        {
            let message = error.to_string();
            wrong.push(format!(
                "{place}: mdetag {}\n    {}",
                words.join(" "),
                message.lines().next().unwrap_or("")
            ));
        }
    }
    nothing(wrong);
}

#[test]
fn the_exit_codes_in_the_readme_are_those_of_the_code() {
    let readme = read("README.md");
    let table: Vec<&str> = readme.lines().skip_while(|line| *line != "| code | meaning |").skip(2).collect();
    let rows: Vec<String> =
        Exit::ALL.iter().map(|exit| format!("| {} | {} |", exit.code(), exit.meaning())).collect();
    assert_eq!(table[..rows.len()], rows);
    assert!(!table[rows.len()].starts_with('|'), "a row too many: {}", table[rows.len()]);
}
