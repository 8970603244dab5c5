//! Files, keys and names.

use super::*;
use crate::policy::LookupCell;

#[test]
fn the_example_of_the_language_reference_is_sound() {
    let text = r#"version: 1
claims: [Tier0, "env/*"]
lookups:
  cmdb: { file: data/cmdb.csv, key: hostname, match: deviceName }
selectors:
  servers: { osPlatform: { startsWith: WindowsServer } }
rules:
  - name: domain-controllers
    description: Identity infrastructure
    owner: identity-team
    ticket: SEC-1042
    select:
      use: servers
      computerDnsName: { glob: ["dc*.corp.example.com", "adc*"] }
      not: { machineTags: { has: Decommissioned } }
    tags: [Tier0]
    deviceValue: High
    priority: 10
  - name: production
    select: { lookup.cmdb.environment: prod }
    tags: [env/prod, "owner:{lookup.cmdb.owner|slug}"]
    until: 2027-06-30
"#;
    let data = [("policies/data/cmdb.csv", "hostname,environment,owner\nsrv01,prod,Ops Team\n")];
    let set = set(&[("policies/servers.yaml", text)], &data);
    assert_eq!(data_files(&set.sources)[0].path, "policies/data/cmdb.csv");
    assert_eq!(set.notes(), ["N0404", "N0401"]);
    let policy = set.sound();
    assert_eq!((policy.rules.len(), policy.lookups[0].rows.keys.len(), policy.rules[0].priority), (2, 1, 10));
    assert_eq!(policy.lookups[0].rows.cell(0, 2, 3), LookupCell::Text("Ops Team"));
}

#[test]
fn every_problem_of_all_files_comes_in_one_run_in_the_order_of_files_and_lines() {
    let set = set(
        &[
            ("a.yaml", "version: 1\nrule: []\nrules:\n  - nam: x\n    select: {}\n"),
            ("b.yaml", "claims: Tier0\n"),
            ("c.yaml", "version: 1\nrules: [\n"),
        ],
        &[],
    );
    let files: Vec<_> =
        set.findings.iter().map(|finding| (finding.span.unwrap().source.0, finding.code)).collect();
    let expected =
        [(0, "E0103"), (0, "E0103"), (0, "E0105"), (0, "E0203"), (1, "E0104"), (1, "E0105"), (2, "E0101")];
    let mut files = files;
    files.sort_unstable();
    assert_eq!(files, expected);
}

#[test]
fn unknown_keys_are_refused_with_the_near_one() {
    let set = one("clams: [a]\n");
    assert_eq!(set.shown(), ["E0103 2:1 clams"]);
    assert_eq!(set.only().help.as_deref(), Some("write `claims`"));
    assert_eq!(one("x-anchors: [1, {a: b}]\n").codes(), Vec::<&str>::new(), "x- keys are free");
    assert_eq!(one("x: 1\n").codes(), ["E0103"]);
}

#[test]
fn the_version_is_required_in_every_file_and_is_1() {
    assert_eq!(set(&[("p.yaml", "claims: []\n")], &[]).codes(), ["E0105"]);
    for wrong in ["2", "'1'", "1.0", "[]", "one"] {
        assert_eq!(set(&[("p.yaml", &format!("version: {wrong}\n"))], &[]).codes(), ["E0108"], "{wrong}");
    }
    assert_eq!(set(&[("p.yaml", "# nothing\n")], &[]).codes(), ["E0107"]);
    assert_eq!(set(&[], &[]).codes(), ["E0111"]);
    assert_eq!(set(&[("p.yaml", "- a\n")], &[]).codes(), ["E0104"]);
}

#[test]
fn yes_and_no_are_text_and_numbers_have_to_be_quoted_where_text_is_wanted() {
    let policy = select("{ osPlatform: no }").sound();
    let crate::policy::SelectorKind::Field { test: crate::policy::Test::Text(list), .. } =
        &policy.rules[0].select.kind
    else {
        panic!()
    };
    assert_eq!(&*list.values, ["no"]);
    let set = select("{ osPlatform: 11, osVersion: { atLeast: 10.0 } }");
    assert_eq!(set.shown(), ["E0207 5:27 11", "E0207 5:53 10.0"]);
    assert_eq!(
        set.findings.iter().find(|one| one.code == "E0207").unwrap().help.as_deref(),
        Some("quote it: \"11\"")
    );
}

#[test]
fn a_clash_of_names_shows_both_places_also_over_files() {
    let file = |rest: &str| format!("version: 1\n{rest}");
    for section in [
        "scope: { everything: true }\n",
        "deviceValue: { default: Normal }\n",
        "guard: {}\n",
        "selectors: { s: { everything: true } }\nscope: { use: s }\n",
        "rules: [{ name: r, select: { everything: true }, deviceValue: Low }]\n",
        "protect: [{ name: p, select: { everything: true } }]\n",
    ] {
        let text = file(section);
        let set = set(&[("a.yaml", &text), ("b.yaml", &text)], &[]);
        let clash = set.findings.iter().find(|finding| finding.code == "E0112").expect(section);
        assert_eq!((clash.span.unwrap().source.0, clash.related[0].span.source.0), (1, 0), "{section}");
    }
    let families =
        [("a.yaml", "version: 1\nfamilies: { f: [A] }\n"), ("b.yaml", "version: 1\nfamilies: { f: [B] }\n")];
    assert!(set(&families, &[]).codes().contains(&"E0112"));
}

#[test]
fn names_are_unique_per_kind_only() {
    let text = "selectors: { a: { osPlatform: a } }\nfamilies: { a: [T] }\nrules: [{ name: a, select: { use: a }, tags: [T] }]\n\
                protect: [{ name: a, select: { use: a } }]\n";
    one(text).sound();
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = "x-base: &base { tags: [T], priority: 5 }\nclaims: [T]\nrules:\n  - <<: *base\n    name: a\n    select: { everything: true }\n  \
                - { <<: *base, name: b, priority: 7, select: { osPlatform: b } }\n";
    let policy = one(text).sound();
    assert_eq!(policy.rules.iter().map(|rule| rule.priority).collect::<Vec<_>>(), [5, 7]);
}

#[test]
fn rule_names_take_80_safe_characters() {
    let named = |name: &str| {
        one(&format!("rules: [{{ name: '{name}', select: {{ everything: true }}, deviceValue: Low }}]\n"))
            .codes()
    };
    assert_eq!(named(&"a".repeat(80)), Vec::<&str>::new());
    assert_eq!(named(&"a".repeat(81)), ["E0113"]);
    assert_eq!(named("a b"), ["E0113"]);
    assert_eq!(named(""), ["E0113"]);
    assert_eq!(named("A.z_0-9"), Vec::<&str>::new());
}

#[test]
fn findings_are_bounded() {
    let text: String = (0..5_000).map(|number| format!("k{number}: 1\n")).collect();
    let set = one(&text);
    assert_eq!(set.findings.len(), 1_001);
    assert_eq!(set.findings.last().unwrap().code, "E0199");
}

#[test]
fn claims_of_two_files_that_overlap_are_told_once() {
    let rule = "rules: [{ name: r, select: { osPlatform: Linux }, tags: [env/a, env/ab, Tier0, site:x] }]\n";
    let one = format!("version: 1\nclaims: [\"env/*\", Tier0, \"site:*\"]\n{rule}");
    let codes = |claims: &str| {
        let two = format!("version: 1\nclaims: [{claims}]\n");
        set(&[("a.yaml", &one), ("b.yaml", &two)], &[]).codes()
    };
    assert_eq!(codes("\"env/a*\""), ["W0720"]);
    assert_eq!(codes("Tier0"), ["W0720"], "the same one twice");
    assert_eq!(codes("Tier0, \"env/?\""), ["W0720", "W0720"]);
    let alone = format!("version: 1\nclaims: [\"env/*\", \"env/a*\", Tier0, \"site:*\"]\n{rule}");
    assert_eq!(set(&[("a.yaml", &alone)], &[]).codes(), Vec::<&str>::new(), "one file says both");
}
