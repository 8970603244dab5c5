//! The output of `explain` for one device.

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

/// A lookup whose two rows about `web1` differ in `env`.
const CMDB: &str =
    "lookups: { cmdb: { file: cmdb.csv, key: host, match: deviceName, onConflict: missing } }\n";

fn with_lookup(policy: &str, table: &str) -> Project {
    let project = Project::with_policy(&format!("version: 1\n{CMDB}{policy}"));
    project.write("policies/cmdb.csv", table);
    project
}

#[test]
fn a_rule_on_unknown_data_cannot_be_decided_and_does_not_read_as_one_that_does_not_apply() {
    let policy =
        "claims: [env/prod]\nrules: [{ name: prod, select: { lookup.cmdb.env: prod }, tags: [env/prod] }]\n";
    let project = with_lookup(policy, "host,env\nweb1,prod\nweb1,test\n");
    for (words, tags) in
        [(&["env/prod"][..], r#"["env/prod"]"#), (&[], r#"["env/prod"]"#), (&["env/prod"], "[]")]
    {
        let told = explained(&project, tags, words).out;
        let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = "? prod +env/prod cannot be decided: lookup.cmdb.env eq prod reads a value that nobody knows; \
                        what it would change stays as it is";
        assert!(flat.contains(expected), "{told}");
        assert!(!told.contains("does not apply"), "{told}");
    }
    let json = explained(&project, "[]", &["env/prod", "--format", "json"]).json();
    let rule = &json["rules"][0];
    assert_eq!((&rule["applies"], &rule["isUndecided"]), (&false.into(), &true.into()), "{json}");
    assert_eq!(json["tags"][0]["verdict"], "withheld");
}

#[test]
fn a_protection_on_unknown_data_counts_and_says_so() {
    let policy = "claims: [Zebra]\nprotect: [{ name: prod, select: { lookup.cmdb.env: prod } }]\nrules: [{ name: z, select: { everything: true }, tags: [Zebra] }]\n";
    let project = with_lookup(policy, "host,env\nweb1,prod\nweb1,test\n");
    let told = explained(&project, "[]", &["Zebra"]).out;
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("? prod cannot be decided: lookup.cmdb.env eq prod reads"), "{told}");
    assert!(flat.contains("the device counts as protected"), "{told}");
}

#[test]
fn a_template_without_a_tag_says_why_and_in_which_line() {
    let policy = "claims: ['o:*']\nmaps: { owners: { ops: Operations } }\n\
                  rules: [{ name: o, select: { everything: true }, tags: ['o:{lookup.cmdb.owner|FILTERS}'] }]\n";
    for (filters, table, reason, expected) in [
        ("slug", "host,owner\nweb2,ops\n\nweb1,\n", "emptyCell", "lookup.cmdb.owner is empty, in cmdb.csv:4"),
        ("slug", "host,owner\nweb1,!!\n", "emptySlug", "slug leaves nothing of \"!!\", in cmdb.csv:2"),
        (
            "map:owners",
            "host,owner\nweb1,dev\n",
            "notInMap",
            "the map owners at policies/p.yaml:4 does not hold \"dev\"",
        ),
        (
            "slug",
            "host,owner\nweb1,a\nweb1,b\n",
            "conflict",
            "nobody knows lookup.cmdb.owner: rows of this key differ in it, in cmdb.csv:2",
        ),
        (
            "slug",
            "host,owner\nweb2,ops\nweb1\n",
            "shortRow",
            "nobody knows lookup.cmdb.owner: its row leaves it out, in cmdb.csv:3",
        ),
        ("slug", "host,owner\nweb2,ops\n", "unmatched", "no row of cmdb.csv is about a device that was read"),
    ] {
        let project = with_lookup(&policy.replace("FILTERS", filters), table);
        for words in [&["o:ops"][..], &[]] {
            let told = explained(&project, "[]", words).out;
            let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
            let whole = format!("✗ o:{{lookup.cmdb.owner|{filters}}} gives no tag here: ");
            assert!(flat.contains(&whole) && flat.contains(expected), "{reason} {told}");
        }
        let json = explained(&project, "[]", &["--format", "json"]).json();
        assert_eq!(json["rules"][0]["noTags"][0]["reason"], reason, "{json}");
    }
}

#[test]
fn a_template_without_a_row_names_the_key_and_one_without_a_field_the_field() {
    let rule = "rules: [{ name: o, select: { everything: true }, tags: ['o:{lookup.cmdb.owner}', 'v:{osVersion}'] }]\n";
    let project = with_lookup(rule, "host,owner\nweb2,ops\n");
    let devices = r#"[{"id":"1111111111111111111111111111111111111111","computerDnsName":"web1","machineTags":[]},
        {"id":"2222222222222222222222222222222222222222","computerDnsName":"web2","machineTags":[]}]"#;
    project.write("two.json", devices);
    let told = project.run(&["explain", "web1", "--inventory", "two.json"]).exits(0).out;
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("cmdb.csv has no row with the key \"web1\" (lookup at policies/p.yaml:2)"),
        "{told}"
    );
    assert!(flat.contains("v:{osVersion} gives no tag here: the device does not report osVersion"), "{told}");
}

#[test]
fn a_live_tag_that_no_rule_gives_says_what_keeps_it() {
    let table = "host,env\nweb1,prod\nweb1,test\n";
    let rules = "rules: [{ name: prod, select: { lookup.cmdb.env: prod }, tags: [env/prod] }, \
                 { name: env, select: { everything: true }, tags: ['e:{lookup.cmdb.env}'] }]\n";
    let claims = "claims: [env/prod, 'e:*']\n";
    let guard = "guard: { inventory: { min: 5 } }\n";
    let protect = "protect: [{ name: paws, select: { everything: true }, reason: by hand only }]\n";
    let old = "claims: [Old]\n";
    for (policy, tag, reason, expected) in [
        (format!("{claims}{rules}"), "Mine", "unclaimed", "stays: no entry of `claims` covers it"),
        (
            format!("{claims}{rules}"),
            "env/prod",
            "undecided",
            "stays as it is: it cannot be decided whether rule \"prod\" at policies/p.yaml:4 applies",
        ),
        (
            format!("{claims}{rules}"),
            "e:test",
            "unresolved",
            "stays as it is: data is missing that rule \"env\" at policies/p.yaml:4 reads",
        ),
        (
            format!("{old}{protect}{rules}"),
            "Old",
            "protected",
            "stays as it is: protection \"paws\" at policies/p.yaml:4 covers the device: by hand only",
        ),
        (
            format!("{old}{guard}{rules}"),
            "Old",
            "untrusted",
            "stays as it is while what was read cannot be believed: ",
        ),
    ] {
        let project = with_lookup(&policy, table);
        let tags = format!("[\"{tag}\"]");
        let told = explained(&project, &tags, &[tag]).out;
        let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(expected), "{reason}: {told}");
        let json = explained(&project, &tags, &[tag, "--format", "json"]).json();
        assert_eq!(json["tags"][0]["stay"]["reason"], reason, "{json}");
    }
}
