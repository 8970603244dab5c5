//! Times for people end with the second: what has passed is rounded down, and what is to come is rounded up.

use std::time::Duration;

use regex::Regex;

use crate::project::Project;

#[test]
fn no_screen_shows_fractions_of_a_second_and_documents_keep_them() {
    let project = Project::with_policy(
        "version: 1\nclaims: [New]\nguard:\n  rollout: { from: 5, waves: [20, 100%], wait: 2h }\nrules:\n  \
         - { name: servers, select: { osPlatform: { startsWith: WindowsServer } }, tags: [New] }\n",
    );
    let fraction = Regex::new(r"T\d\d:\d\d:\d\d\.\d+").unwrap();
    let look = |words: &[&str], code: i32| {
        let ran = project.run(&[words, &["--sandbox"]].concat()).exits(code);
        for text in [&ran.out, &ran.err] {
            assert!(!fraction.is_match(text), "{words:?}: {}", fraction.find(text).unwrap().as_str());
        }
        ran.out
    };
    look(&["apply", "--auto-approve", "--report", "html=a.html", "--report", "markdown=a.md"], 6);
    look(&["apply", "--resume"], 6);
    project.portal(|sandbox| sandbox.advance(Duration::from_secs(7_300)).unwrap());
    look(&["plan"], 0);
    look(&["drift", "--format", "markdown"], 0);
    look(&["plan", "--format", "html"], 0);
    look(&["tags"], 0);
    look(&["devices", "--fields", "computerDnsName,firstSeen,lastSeen"], 0);
    look(&["devices", "--fields", "lastSeen", "--format", "markdown"], 0);
    look(&["history"], 0);
    look(&["state", "show"], 0);
    look(&["coverage"], 0);
    let devices = look(&["devices", "--fields", "computerDnsName", "--format", "csv"], 0);
    let name = devices.lines().nth(1).and_then(|line| line.split(',').nth(1)).unwrap().trim_matches('"');
    look(&["explain", name, "--details"], 0);
    for file in ["a.html", "a.md"] {
        assert!(!fraction.is_match(&project.read(file)), "{file}");
    }
    let exact =
        project.run(&["devices", "--fields", "lastSeen", "--format", "json", "--sandbox"]).exits(0).out;
    assert!(fraction.is_match(&exact), "a document for programs is exact");
}
