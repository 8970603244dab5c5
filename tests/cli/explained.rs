//! What `explain` tells about one device.

use crate::project::{Project, Ran};

const SERVERS: &str = "\
version: 1
claims: [Server, Desk]
rules:
  - { name: servers, select: { osPlatform: Linux }, tags: [Server] }
  - { name: desks, select: { osPlatform: Windows11, domain: corp.example.com }, tags: [Desk] }
";

/// Explains the device `web1` with `tags` under a policy.
fn explained(project: &Project, tags: &str, words: &[&str]) -> Ran {
    project.write(
        "i.json",
        &format!(
            r#"{{"id":"1111111111111111111111111111111111111111","computerDnsName":"web1","osPlatform":"Linux","machineTags":{tags}}}"#
        ),
    );
    let words = [&["explain", "web1", "--inventory", "i.json"], words].concat();
    project.run(&words).exits(0)
}

#[test]
fn details_show_the_conditions_of_rules_that_do_not_matter() {
    let project = Project::with_policy(SERVERS);
    let short = explained(&project, "[]", &["Server"]).out;
    assert!(short.contains("--details shows all") && !short.contains("Windows11"), "{short}");
    let full = explained(&project, "[]", &["Server", "--details"]).out;
    assert!(full.contains("✗ osPlatform eq Windows11 · has Linux"), "{full}");
    assert!(full.contains("✗ domain eq corp.example.com · has nothing"), "{full}");
    assert_eq!(full, explained(&project, "[]", &["Server", "-v"]).out);
}
