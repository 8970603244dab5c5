//! `apply --wait` that a signal ends between two waves: it reports what was written and how to continue.
#![cfg(unix)]

use std::io::{BufRead, BufReader};

use crate::project::{Project, Ran, ran};
use crate::tenant::{policy, signal};

const APPLY: [&str; 4] = ["apply", "--sandbox", "--auto-approve", "--wait"];

/// Wave 1 is written and wave 2 waits for hours.
fn project() -> Project {
    let rollout = "  rollout: { from: 1, waves: [1, 100%], wait: 2h }\n";
    let project = Project::with_policy(&(policy("One", "tags: [One]") + rollout));
    project.devices(4);
    project
}

/// Sends a signal as soon as the command says that it is waiting.
fn ended_by(name: &str, project: &Project, words: &[&str]) -> Ran {
    let mut child = project.start(words);
    let mut told = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("for the next wave of run") {
        line.clear();
        assert_ne!(told.read_line(&mut line).expect("UTF-8"), 0, "it ended without waiting");
    }
    signal(&child, name);
    let mut output = child.wait_with_output().expect("it ends");
    std::io::Read::read_to_end(&mut told, &mut output.stderr).expect("its words");
    ran(output)
}

#[test]
fn a_signal_between_two_waves_ends_with_the_document_of_what_was_written() {
    let project = project();
    let words = [&APPLY[..], &["--format", "json"]].concat();
    let document = ended_by("TERM", &project, &words).exits(5).json();
    let outcomes = &document["outcomes"];
    assert_eq!((&outcomes["done"], &outcomes["notAttempted"]), (&1.into(), &3.into()), "{document}");
    assert_eq!(document["exitCode"], 5, "{document}");
    let run = document["runId"].as_str().expect("the run that goes on");
    assert!(document["notBefore"].is_string(), "{document}");
    let journal = project.journal();
    let last = journal.last().expect("lines");
    assert_eq!(last["complete"], false, "the journal is closed: {last}");
    // The run continues as the document says.
    let passed = ["apply", "--sandbox", "--resume", run, "--next-wave", "--reason", "seen"];
    project.run(&passed).exits(0);
}

#[test]
fn a_signal_between_two_waves_tells_people_how_to_go_on() {
    let project = project();
    let stopped = ended_by("INT", &project, &APPLY).exits(5);
    assert!(stopped.out.contains("stopped: 1 of 4 changes done"), "{}", stopped.out);
    assert!(stopped.out.contains("it was stopped by a signal"), "{}", stopped.out);
    assert!(stopped.out.contains("to continue: mdetag apply --resume --sandbox\n"), "{}", stopped.out);
    assert!(!stopped.err.contains("nothing was written"), "{}", stopped.err);
    stopped.is_for_people();
}
