//! `apply --wait` that a signal ends between two waves: it reports what was written and how to continue.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use crate::project::{Project, Ran, ran};
use crate::service::{Fake, Say, Service};
use crate::tenant::{PATIENCE, policy, signal};

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

/// A state store whose list always names one more page. Says when it is listed first.
fn endless_store() -> (Fake, Receiver<()>) {
    let xml = |status, body: &str| {
        Say(status, vec![("content-type", "application/xml".to_owned())], body.to_owned())
    };
    let (listed, is_listed) = channel();
    let listed = Mutex::new(listed);
    let store = Fake::start(move |seen| {
        let tag = ("etag", "\"1\"".to_owned());
        let modified = ("last-modified", "Fri, 27 Nov 2026 10:00:00 GMT".to_owned());
        match seen.method.as_str() {
            "GET" if seen.path.contains("list-type=2") => {
                // Only the first one is waited for.
                let _ = listed.lock().expect("no test panics here").send(());
                xml(
                    200,
                    "<ListBucketResult><Name>bucket</Name><IsTruncated>true</IsTruncated>\
                     <NextContinuationToken>more</NextContinuationToken></ListBucketResult>",
                )
            }
            "GET" if seen.path.ends_with("mdetag-store.json") => {
                Say(200, vec![tag, modified], "{}".to_owned())
            }
            "GET" | "HEAD" => xml(404, "<Error><Code>NoSuchKey</Code></Error>"),
            _ => Say(200, vec![tag], String::new()),
        }
    });
    (store, is_listed)
}

#[test]
fn a_signal_ends_an_apply_that_waits_for_a_list_of_the_store_without_an_end() {
    let project = Project::with_policy(
        "version: 1\nrules:\n  - { name: all, select: { everything: true }, tags: [Zebra] }\n",
    );
    let service = Service::start(&[]);
    let (store, is_listed) = endless_store();
    let state = [
        ("MDETAG_STATE", "s3://bucket/prefix".to_owned()),
        ("AWS_ENDPOINT", store.url.clone()),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let environment = [service.secret(), state.into()].concat();
    let mut command = project.command(&["apply", "--auto-approve"]);
    let command = command.envs(environment).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    is_listed.recv_timeout(PATIENCE).expect("it lists the state");
    signal(&child, "TERM");
    let ran = ran(child.wait_with_output().expect("it ends")).exits(5);
    assert!(ran.err.contains("stopped by a signal"), "{}", ran.err);
    assert_eq!(service.writes(), 0);
    ran.is_for_people();
}
