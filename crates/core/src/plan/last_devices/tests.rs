//! Tags, groups and rules without any device, from policy text and devices.

use super::*;
use crate::plan::consequences::tests::{planned_with, server};

fn marks(policy: &str, case: TagCase, fleet: &[String]) -> Vec<(LastOf, String, Vec<String>)> {
    let plan = planned_with(policy, case, fleet);
    let told = |tags: &[Arc<str>]| tags.iter().map(|tag| tag.to_string()).collect();
    plan.last_devices.iter().map(|last| (last.of, last.name.clone(), told(&last.tags))).collect()
}

fn tag(name: &str) -> (LastOf, String, Vec<String>) {
    (LastOf::Tag, name.to_owned(), vec![name.to_owned()])
}

const RETIRED: &str =
    "version: 1\nretire: [Old]\nrules:\n  - { name: all, select: { everything: true }, tags: [Managed] }\n";

#[test]
fn a_tag_is_left_without_devices_only_if_nobody_keeps_or_gains_it() {
    let fleet = [server(0, r#""Old""#, "x"), server(1, r#""Old","Other""#, "x")];
    assert_eq!(marks(RETIRED, TagCase::Exact, &fleet), [tag("Old")]);
    let kept = RETIRED.replace("rules:", "scope: { computerDnsName: s0.lab }\nrules:");
    assert_eq!(marks(&kept, TagCase::Exact, &fleet), [], "a device out of scope keeps it");
    let moves = "version: 1\nclaims: [Old]\nrules:\n  - { name: other, select: { computerDnsName: s1.lab }, tags: [Old] }\n";
    let fleet = [server(0, r#""Old""#, "x"), server(1, "", "x")];
    assert_eq!(marks(moves, TagCase::Exact, &fleet), [], "another device gains it");
}

#[test]
fn a_twin_keeps_the_tag_where_case_does_not_count() {
    let fleet = [server(0, r#""Old""#, "x"), server(1, r#""OLD""#, "x")];
    let scoped = RETIRED.replace("rules:", "scope: { computerDnsName: s0.lab }\nrules:");
    assert_eq!(marks(&scoped, TagCase::Exact, &fleet), [tag("Old")]);
    assert_eq!(marks(&scoped, TagCase::Insensitive, &fleet), []);
    assert_eq!(marks(RETIRED, TagCase::Insensitive, &fleet), [tag("OLD"), tag("Old")]);
}

#[test]
fn another_name_takes_nothing_away() {
    let policy = "version: 1\nrenames: { Old: New }\nrules:\n  - { name: all, select: { everything: true }, tags: [New] }\n";
    assert_eq!(marks(policy, TagCase::Exact, &[server(0, r#""Old""#, "x")]), []);
}

#[test]
fn a_group_and_a_rule_are_left_without_devices() {
    let policy = "version: 1\nclaims: [Tier0]\ndeviceGroups: { file: groups.yaml }\nrules:\n  - { name: none, select: { osPlatform: BeOS }, tags: [Tier0] }\n  - { name: one, select: { computerDnsName: s2.lab }, tags: [Tier0] }\n";
    let carrier = |id| server(id, r#""Tier0""#, "Tier-0 servers");
    let of = |of, name: &str| (of, name.to_owned(), vec!["Tier0".to_owned()]);
    assert_eq!(
        marks(policy, TagCase::Exact, &[carrier(0), carrier(1)]),
        [
            tag("Tier0"),
            of(LastOf::Group, "Tier-0 servers"),
            of(LastOf::Rule, "none"),
            of(LastOf::Rule, "one")
        ]
    );
    assert_eq!(marks(policy, TagCase::Exact, &[carrier(0), carrier(2)]), [of(LastOf::Rule, "none")]);
}
