//! Dead rules: they are found, no others are called dead, and a rule that is called dead never changes a plan.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::desired;
use crate::diagnostic::{Diagnostic, Severity, Source, Sources};
use crate::inventory::{Snapshot, SnapshotBuilder};
use crate::plan::{self, Header, History};
use crate::policy;
use crate::random::SeededNumbers;
use crate::selection::{self, HuntingResults};
use crate::tag::TagCase;
use crate::time::Timestamp;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-26").unwrap()
}

fn findings(text: &str) -> Vec<Diagnostic> {
    let mut sources = Sources { files: vec![Source::new("p.yaml", 0, "p.yaml", text)], ..Sources::default() };
    let table = b"hostname,owner\nx,y\n";
    sources.data.insert((0, "c.csv".to_owned()), Ok(std::sync::Arc::from(table.as_slice())));
    policy::resolve(&sources, TagCase::Exact, now()).1
}

fn logical(text: &str) -> Vec<(&'static str, String)> {
    findings(text)
        .into_iter()
        .filter(|finding| finding.code.starts_with("W071"))
        .map(|finding| (finding.code, finding.message))
        .collect()
}

fn codes(text: &str) -> Vec<&'static str> {
    logical(text).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn each_kind_is_found_once_and_nothing_else() {
    let text = "version: 1\nclaims: [T1, T2, T3]\nlookups:\n  unused: { file: c.csv, key: hostname, match: deviceName }\n\
        families:\n  ring: [r0, r1]\nrules:\n\
        - { name: impossible, select: { osPlatform: Windows11, all: [ { osPlatform: Ubuntu } ] }, tags: [T1] }\n\
        - { name: everyone, select: { everything: true }, tags: [r0] }\n\
        - { name: shadowed, select: { osPlatform: Windows11 }, tags: [r1] }\n\
        - { name: dup1, select: { domain: corp.example.com }, tags: [T2] }\n\
        - { name: dup2, select: { domain: corp.example.com }, tags: [T2] }\n\
        - { name: subset, select: { domain: corp.example.com, osPlatform: Windows11 }, tags: [T2] }\n\
        - { name: v1, select: { osPlatform: Windows11 }, deviceValue: High }\n\
        - { name: v2, select: { domain: corp.example.com }, deviceValue: Low }\n\
        - { name: tauto, select: { any: [ { osPlatform: Windows11 }, { not: { osPlatform: Windows11 } } ] }, tags: [T3] }\n";
    let mut found = codes(text);
    found.sort_unstable();
    assert_eq!(found, ["W0710", "W0711", "W0712", "W0713", "W0714", "W0715"]);
    let messages: Vec<String> = logical(text).into_iter().map(|(_, message)| message).collect();
    for word in ["`impossible`", "`tauto`", "`dup2`", "`subset`", "`r1`", "`unused`"] {
        assert_eq!(
            messages.iter().filter(|message| message.contains(word)).count(),
            1,
            "{word}: {messages:?}"
        );
    }
}

#[test]
fn contradictions_and_tautologies_of_every_operator() {
    let rule = |select: &str| format!("version: 1\nrules:\n- {{ name: r, select: {select}, tags: [T] }}\n");
    for impossible in [
        "{ osPlatform: [A, B], not: { osPlatform: { in: [a, b, c] } } }",
        "{ computerDnsName: web1, all: [{ computerDnsName: { glob: \"db*\" } }] }",
        "{ osBuild: { above: 5, below: 3 } }",
        "{ lastSeen: { within: 48h, olderThan: 30d } }",
        "{ machineTags: { hasAll: [A, B], hasNone: [B] } }",
        "{ domain: { exists: false, endsWith: .com } }",
        "{ isAadJoined: true, not: { isAadJoined: true } }",
        "{ lastIpAddress: { cidr: 10.0.0.0/8 }, all: [{ lastIpAddress: 192.168.0.1 }] }",
        "{ lastIpAddress: { cidr: 10.0.0.0/8 }, all: [{ lastIpAddress: { cidr: 192.168.0.0/16 } }] }",
    ] {
        assert_eq!(codes(&rule(impossible)), ["W0710"], "{impossible}");
    }
    for certain in [
        "{ any: [{ lastSeen: { within: 48h } }, { not: { lastSeen: { within: 48h } } }] }",
        "{ any: [{ not: { osPlatform: A } }, { osPlatform: { startsWith: a } }] }",
        "{ not: { all: [{ machineTags: A }, { machineTags: { hasNone: [A] } }] } }",
        "{ any: [{ osPlatform: { exists: true } }, { osPlatform: { exists: false } }] }",
    ] {
        assert_eq!(codes(&rule(certain)), ["W0711"], "{certain}");
    }
    for sound in [
        "{ everything: true }",
        "{ lastSeen: { within: 30d, olderThan: 48h } }",
        "{ ipAddresses: { cidr: 10.0.0.0/8 }, all: [{ ipAddresses: { cidr: 192.168.0.0/16 } }] }",
        "{ machineTags: { hasAny: [A, B], hasNone: [B] } }",
        "{ any: [{ osPlatform: A }, { not: { osPlatform: B } }] }",
        "{ computerDnsName: { startsWith: a, endsWith: z } }",
        "{ lastIpAddress: { cidr: 10.0.0.0/8 }, not: { lastIpAddress: { cidr: 10.1.0.0/16 } } }",
        "{ lastIpAddress: { cidr: 10.0.0.0/8 }, all: [{ lastIpAddress: '::ffff:10.1.1.1' }] }",
    ] {
        assert_eq!(codes(&rule(sound)), Vec::<&str>::new(), "{sound}");
    }
}

#[test]
fn a_rule_that_is_stronger_later_or_excepted_is_not_dead() {
    for rules in [
        "[{ name: a, select: { domain: d }, tags: [T], priority: 5 }, { name: b, select: { everything: true }, tags: [T] }]",
        "[{ name: a, select: { domain: d }, tags: [T] }, { name: b, select: { everything: true }, tags: [T], until: 2027-01-01 }]",
        "[{ name: a, select: { domain: d }, removeTags: [T] }, { name: b, select: { everything: true }, removeTags: [\"T*\"], tags: [T] }]",
        "[{ name: a, select: { domain: d }, tags: [T], deviceValue: Low }, { name: b, select: { everything: true }, tags: [T] }]",
    ] {
        assert_eq!(codes(&format!("version: 1\nrules: {rules}\n")), Vec::<&str>::new(), "{rules}");
    }
}

#[test]
fn a_rule_that_another_says_in_other_words_is_found() {
    let rules = |one: &str, other: &str| {
        format!(
            "version: 1\nrules:\n- {{ name: one, select: {one}, tags: [T] }}\n- {{ name: other, select: {other}, tags: [T] }}\n"
        )
    };
    for (one, other) in [
        ("{ any: [{ domain: a.com }, { domain: b.com }] }", "{ domain: [B.com, a.com] }"),
        ("{ osPlatform: { exists: false } }", "{ not: { osPlatform: { exists: true } } }"),
    ] {
        let found = logical(&rules(one, other));
        assert_eq!(found.len(), 1, "{one}: {found:?}");
        assert_eq!(
            (found[0].0, found[0].1.contains("rule `other`")),
            ("W0712", true),
            "the later one is told: {found:?}"
        );
    }
    for (wide, narrow) in [
        ("{ computerDnsName: { startsWith: web } }", "{ computerDnsName: { glob: \"WEB0*\" } }"),
        ("{ lastIpAddress: { cidr: 10.0.0.0/8 } }", "{ lastIpAddress: { cidr: 10.1.0.0/16 } }"),
        ("{ ipAddresses: { cidr: 10.0.0.0/8 } }", "{ ipAddresses: [10.1.1.1, 10.2.2.2] }"),
    ] {
        assert_eq!(codes(&rules(wide, narrow)), ["W0713"], "{narrow}");
    }
    let apart = [("{ computerDnsName: { startsWith: web1 } }", "{ computerDnsName: { glob: \"web*\" } }")];
    for (one, other) in apart {
        assert_eq!(codes(&rules(one, other)), Vec::<&str>::new(), "{other}");
    }
}

#[test]
fn a_window_shorter_than_the_daily_report_is_told() {
    let rule = |window: &str| {
        format!("version: 1\nrules:\n- {{ name: r, select: {{ lastSeen: {{ {window} }} }}, tags: [T] }}\n")
    };
    assert_eq!(codes(&rule("within: 6h")), ["W0718"]);
    assert_eq!(codes(&rule("within: 48h")), Vec::<&str>::new());
}

/// A selector over few fields and values, so that contradictions and repetitions are common.
fn selector(dice: &mut SeededNumbers, depth: u32) -> String {
    let mut pick = |bound: u64| dice.number() % bound;
    let value = ["a", "ab", "b"][pick(3) as usize];
    match pick(if depth == 0 { 6 } else { 9 }) {
        0 => ["a", "[a, ab]", "[AB, b]"].map(|list| format!("{{ osPlatform: {list} }}"))[pick(3) as usize]
            .clone(),
        1 => format!("{{ osPlatform: {{ {}: {value} }} }}", ["startsWith", "glob"][pick(2) as usize]),
        2 => format!("{{ domain: {{ exists: {} }} }}", pick(2) == 0),
        3 => format!("{{ domain: {{ glob: \"{value}*\" }} }}"),
        4 => format!("{{ osBuild: {{ atLeast: {} }} }}", pick(4)),
        5 => [
            "{ machineTags: { hasAny: [L1, L2] } }",
            "{ machineTags: { hasNone: [L1] } }",
            "{ machineTags: L1 }",
        ][pick(3) as usize]
            .to_owned(),
        6 => format!("{{ not: {} }}", selector(dice, depth - 1)),
        7 => format!("{{ all: [{}, {}] }}", selector(dice, depth - 1), selector(dice, depth - 1)),
        _ => format!("{{ any: [{}, {}] }}", selector(dice, depth - 1), selector(dice, depth - 1)),
    }
}

fn rules(dice: &mut SeededNumbers) -> Vec<String> {
    let count = 2 + dice.number() % 5;
    (0..count)
        .map(|index| {
            let select = selector(dice, 2);
            let tag = ["A", "B", "r0", "r1"][(dice.number() % 4) as usize];
            let says = match dice.number() % 5 {
                0 => format!("removeTags: [{tag}]"),
                1 => format!("tags: [{tag}], deviceValue: High"),
                _ => format!("tags: [{tag}]"),
            };
            let priority = dice.number() % 2;
            format!("- {{ name: n{index}, select: {select}, {says}, priority: {priority} }}\n")
        })
        .collect()
}

fn fleet() -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    let mut number = 0;
    for platform in ["a", "ab", "b", "c"] {
        for name in ["h", "h.a", "h.bc"] {
            for (build, tags) in [(0, "[]"), (2, "[\"L1\",\"A\",\"r1\"]"), (3, "[\"L2\",\"B\"]")] {
                number += 1;
                let line = format!(
                    r#"{{"id":"{number}","computerDnsName":"{name}","osPlatform":"{platform}","osBuild":{build},"machineTags":{tags}}}"#
                );
                builder.read_device(line.as_bytes()).unwrap();
            }
        }
    }
    builder.finish().0
}

/// The changes of a set: additions and removals by device, without causes. `None` if its rules conflict.
fn changes(rules: &[&String], snapshot: &Snapshot) -> Option<BTreeSet<String>> {
    let text = format!(
        "version: 1\nclaims: [A, B]\nfamilies: {{ ring: [r0, r1] }}\nrules:\n{}",
        rules.iter().map(|rule| rule.as_str()).collect::<String>()
    );
    let sources = Sources::from_text("p.yaml", &text);
    let (policy, findings) = policy::resolve(&sources, TagCase::Exact, now());
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return None;
    }
    let selections = selection::select(&policy, snapshot, &HuntingResults::default(), now()).unwrap();
    let desired = desired::desire(&policy, snapshot, &selections, now()).ok()?;
    let plan = plan::diff(&desired, &History::default(), Header::default(), &sources);
    let mut found = BTreeSet::new();
    for change in &plan.changes {
        found.extend(change.add.iter().map(|add| format!("{} +{}", change.id, plan.tag(add.tag))));
        found.extend(change.remove.iter().map(|remove| format!("{} -{}", change.id, plan.tag(remove.tag))));
        found.extend(change.value.map(|value| format!("{} {}", change.id, value.to)));
    }
    Some(found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_rule_that_is_called_dead_never_changes_a_plan(seed in any::<u64>()) {
        let mut dice = SeededNumbers::new(seed);
        let rules = rules(&mut dice);
        let snapshot = fleet();
        let all: Vec<&String> = rules.iter().collect();
        let text = format!("version: 1\nclaims: [A, B]\nfamilies: {{ ring: [r0, r1] }}\nrules:\n{}", rules.concat());
        let dead: Vec<usize> = findings(&text)
            .into_iter()
            .filter(|finding| ["W0710", "W0712", "W0713"].contains(&finding.code))
            .filter_map(|finding| finding.message.split('`').nth(1)?.strip_prefix('n')?.parse().ok())
            .collect();
        let Some(before) = changes(&all, &snapshot) else { return Ok(()) };
        for index in dead {
            let without: Vec<&String> = all.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, rule)| *rule).collect();
            let after = changes(&without, &snapshot);
            prop_assert_eq!(after.as_ref(), Some(&before), "without n{} of\n{}", index, text);
        }
    }
}
