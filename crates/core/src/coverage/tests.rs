//! Coverage of three devices by a small policy set.

use super::*;
use crate::diagnostic::Sources;
use crate::inventory::SnapshotBuilder;
use crate::policy;
use crate::selection::{self, HuntingResults};
use crate::tag::TagCase;

const POLICY: &str = r#"version: 1
claims: [Tier0, "env/*"]
families: { lifecycle: [Old, New] }
renames: { Legacy: Modern }
retire: [Junk]
rules:
  - { name: servers, owner: ops, select: { osPlatform: { startsWith: WindowsServer } }, tags: [Tier0, "env/{domain}"] }
  - { name: later, select: { everything: true }, tags: [New], from: 2027-01-01 }
  - { name: clean, select: { osPlatform: macOS }, removeTags: ["tmp*"], tags: [Modern] }
protect:
  - { name: nobody, select: { computerDnsName: absent }, reason: none }
"#;

fn world() -> (Policy, Sources, Snapshot, Selections, Timestamp) {
    let now = Timestamp::parse("2026-11-24").unwrap();
    let sources = Sources::from_text("p.yaml", POLICY);
    let (policy, findings) = policy::resolve(&sources, TagCase::Exact, now);
    assert!(
        findings.iter().all(|finding| finding.severity != crate::diagnostic::Severity::Error),
        "{findings:?}"
    );
    let mut builder = SnapshotBuilder::new();
    for line in [
        r#"{"id":"a","computerDnsName":"s1.lab","osPlatform":"WindowsServer2022","machineTags":["Tier0","tmp1"]}"#,
        r#"{"id":"b","computerDnsName":"p1","osPlatform":"Windows11","machineTags":["tier0","tmp1","env/x"]}"#,
        r#"{"id":"c","computerDnsName":"p2","osPlatform":"Windows11","machineTags":[]}"#,
    ] {
        builder.read_device(line.as_bytes()).unwrap();
    }
    let snapshot = builder.finish().0;
    let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    (policy, sources, snapshot, selections, now)
}

#[test]
fn coverage_names_devices_without_a_rule_and_rules_without_a_device() {
    let (policy, sources, snapshot, selections, now) = world();
    let found = coverage(&policy, &sources, &snapshot, &selections, now);
    assert_eq!((found.devices, found.in_scope), (3, 3));
    assert_eq!(found.unselected, DeviceCount { count: 2, sample: vec!["p1".into(), "p2".into()] });
    assert_eq!(found.unclaimed, [("tmp1".to_owned(), 2), ("tier0".to_owned(), 1)]);
    let rules: Vec<(&str, u64, bool)> =
        found.rules.iter().map(|rule| (rule.name.as_str(), rule.devices, rule.is_in_force)).collect();
    assert_eq!(rules, [("servers", 1, true), ("later", 0, false), ("clean", 0, true)]);
    assert_eq!(found.protections[0].devices, 0);
}

#[test]
fn every_tag_says_who_owns_it_and_which_spellings_live_beside_it() {
    let (policy, sources, snapshot, _, _) = world();
    let rows = tags(&policy, &sources, &snapshot);
    let row = |tag: &str| rows.iter().find(|row| row.tag == tag).unwrap();
    let standings = |tag: &str| -> Vec<(TagStanding, &str)> {
        row(tag).owners.iter().map(|owner| (owner.standing, owner.name.as_str())).collect()
    };
    assert_eq!(rows[0].tag, "tmp1");
    assert_eq!(standings("tmp1"), [(TagStanding::Removes, "clean")]);
    assert_eq!(standings("env/x"), [(TagStanding::Claims, "env/*"), (TagStanding::MayGive, "servers")]);
    assert_eq!(standings("Tier0"), [(TagStanding::Claims, "Tier0"), (TagStanding::Gives, "servers")]);
    assert_eq!(standings("New"), [(TagStanding::Family, "lifecycle"), (TagStanding::Gives, "later")]);
    assert_eq!(standings("Legacy"), [(TagStanding::Renames, "Modern")]);
    assert_eq!(standings("Junk"), [(TagStanding::Retires, "Junk")]);
    assert_eq!(row("Tier0").spellings, ["tier0"]);
    assert!(row("tier0").is_unclaimed() && !row("Tier0").is_unclaimed());
    assert!(row("Junk").is_dead() && !row("Tier0").is_dead());
}
