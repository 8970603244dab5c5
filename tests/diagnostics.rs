//! Findings as users see them: every code has its page, every example on a page shows its code, and ten broken policies look as
//! they should.
//!
//! Tests beside the code show which mistake gives which code.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mdetag_core::diagnostic::{Diagnostic, Severity, Sources};
use mdetag_core::pages;
use mdetag_core::policy;
use mdetag_core::report::diagnostics;
use mdetag_core::report::style::Style;
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;
use regex::Regex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-22").unwrap()
}

fn resolve(name: &str, text: &str, data: &[(String, String)]) -> (Sources, Vec<Diagnostic>) {
    let mut sources = Sources::from_text(name, text);
    sources.files[0].path = "policy.yaml".to_owned();
    for (path, text) in data {
        sources.data.insert((0, path.clone()), Ok(text.as_bytes().into()));
    }
    let (_, findings) = policy::resolve(&sources, TagCase::Exact, now());
    (sources, findings)
}

/// Every code that the source makes.
fn codes_in_source() -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(&root().join("src"), &mut files);
    walk(&root().join("crates"), &mut files);
    let code = Regex::new(r#""([EWN][0-9]{4})""#).unwrap();
    let is_source =
        |path: &&PathBuf| path.extension().is_some_and(|has| has == "rs") && !path.ends_with("pages/mod.rs");
    let texts = files.iter().filter(is_source).map(|path| fs::read_to_string(path).unwrap());
    let mut codes: BTreeSet<String> = texts
        .flat_map(|text| code.captures_iter(&text).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .collect();
    // A closed pipe is not reported.
    codes.remove("E9009");
    codes
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = pages::codes().map(str::to_owned).collect();
    assert_eq!(codes_in_source(), pages);
    let index = fs::read_to_string(root().join("docs/diagnostics/README.md")).unwrap();
    for code in pages::codes() {
        let title = pages::title(code).unwrap_or_else(|| panic!("{code} has no title"));
        assert!(index.contains(&format!("| [{code}]({code}.md) | {title} |")), "{code} is not in the index");
        assert!(pages::page(code).unwrap().contains("**What to do**: "), "{code} names no cure");
    }
    let files = fs::read_dir(root().join("docs/diagnostics")).unwrap().count();
    assert_eq!(files, pages.len() + 1, "a page that the list does not hold");
}

#[test]
fn the_example_on_a_page_shows_its_code() {
    let fence = Regex::new(r"(?s)```([a-z]+) ?([^\n]*)\n(.*?)```\n").unwrap();
    let mut examples = 0;
    for code in pages::codes() {
        let fences: Vec<_> = fence.captures_iter(pages::page(code).unwrap()).collect();
        let data: Vec<_> = fences
            .iter()
            .filter(|found| &found[1] == "text")
            .map(|found| (found[2].to_owned(), found[3].to_owned()))
            .collect();
        for broken in fences.iter().filter(|found| &found[2] == "broken") {
            examples += 1;
            let (sources, findings) = resolve("policy.yaml", &broken[3], &data);
            let shown = diagnostics::human(&sources, &findings, &Style::default());
            assert!(findings.iter().any(|finding| finding.code == code), "{code}\n{shown}");
            let severity = Severity::Error;
            let others =
                findings.iter().filter(|finding| finding.severity == severity && finding.code != code);
            assert_eq!(others.count(), 0, "{code} has other errors too\n{shown}");
        }
    }
    assert!(examples > 50, "only {examples} examples found: the reader has gone blind");
}

fn shown(text: &str) -> String {
    let (sources, findings) = resolve("policies/servers.yaml", text, &[]);
    format!("{text}\n{}", diagnostics::human(&sources, &findings, &Style::default()))
}

/// Compares with the file of the test's name.
macro_rules! snapshot {
    ($text:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!($text);
        })
    };
}

macro_rules! broken {
    ($($name:ident $text:literal)*) => {$(
        #[test]
        fn $name() {
            snapshot!(shown($text));
        }
    )*};
}

broken! {
    a_policy_full_of_slips
"version: 1
claim: [Tier0]
rules:
  - name: domain controllers
    select:
      computerDnsNam: { glob: dc* }
      osPlatform: { startWith: WindowsServer }
      healthStatus: Inactve
    tag: [Tier0]
"
    a_selector_without_a_condition
"version: 1
claims: [Tier0]
rules:
  - name: tier0
    select: {}
    tags: [Tier0]
"
    a_set_that_never_settles
"version: 1
claims: [Server, Patch]
selectors:
  tagged: { machineTags: { has: Server } }
rules:
  - name: servers
    select: { osPlatform: { startsWith: WindowsServer } }
    tags: [Server]
  - name: patch
    select: { use: tagged }
    tags: [Patch]
"
    numbers_where_text_is_wanted
"version: 1
scope: { osVersion: { atLeast: 10.0 } }
claims: [2024]
"
    text_that_yaml_cannot_read
"version: 1
rules:
\t- name: r
"
    two_places_for_one_name
"version: 1
rules:
  - { name: a, select: { osPlatform: macOS }, deviceValue: Low }
  - { name: a, select: { osPlatform: Linux }, deviceValue: High }
"
    renames_in_a_circle
"version: 1
renames:
  Legacy: Old
  Old: Ancient
  Ancient: Legacy
"
    templates_that_cannot_be_filled
"version: 1
claims: ['seen:*', 'os:*']
rules:
  - name: r
    select: { everything: true }
    tags: ['seen:{lastSeen}', 'os:{osPlatform|slugg}', 'x{']
"
    a_guard_that_guards_nothing
"version: 1
guard:
  tenantId: contoso
  caps: { removal: { percent: 5 }, removals: { percent: 105 } }
  invariants:
    - { name: dcs, tag: Tier0 }
  approvals:
    - { cap: removals, max: 800, expires: 2026-11-21 }
"
    long_and_hostile_text
"version: 1
description: ##[error]and##vso[task.complete] ключ \u{202e}evil
клэймс: 1
claims: [\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", ' b##vso[x]']
"
}

#[test]
fn a_line_of_a_megabyte_is_not_printed() {
    let text = format!("version: 1\nclaims: [{}]\nunknown: 1\n", "'',".repeat(300_000));
    let (sources, findings) = resolve("p.yaml", &text, &[]);
    let shown = diagnostics::human(&sources, &findings, &Style::default());
    assert!(shown.len() < 1_000_000, "{}", shown.len());
    assert!(shown.contains("p.yaml:2:10"));
}

#[test]
fn the_json_document_holds_places_and_counts() {
    let (sources, findings) =
        resolve("policies/é.yaml", "version: 1\nrules:\n  - { name: é, name: b }\n", &[]);
    snapshot!(serde_json::to_string_pretty(&diagnostics::json(&sources, &findings)).unwrap());
}

#[test]
fn github_annotations_cannot_be_forged() {
    let (sources, findings) = resolve("a,b%:\n::error::x.yaml", "version: 1\n\"k\\n::warning::y\": 1\n", &[]);
    let text = diagnostics::github(&sources, &findings);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("::error file=a%2Cb%25%3A%0A\\u{3a}%3Aerror%3A%3Ax.yaml,line=2,endLine=2,col=1,endColumn=18,title=E0103::"), "{text}");
}

#[test]
fn sarif_names_rules_and_regions() {
    let (sources, findings) = resolve("policies/a b.yaml", "version: 1\nclaim: []\nscope: {}\n", &[]);
    let sarif = diagnostics::sarif(&sources, &findings);
    let run = &sarif["runs"][0];
    assert_eq!(run["results"].as_array().unwrap().len(), 2);
    assert_eq!(run["results"][0]["ruleId"], "E0103");
    assert_eq!(
        run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "policies/a%20b.yaml"
    );
    assert_eq!(run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
    assert!(
        run["tool"]["driver"]["rules"][0]["helpUri"]
            .as_str()
            .unwrap()
            .ends_with("/docs/diagnostics/E0103.md")
    );
}

const SAMPLE: &str = "version: 1\nx-a: &a { tags: [T, 'o:{id|slug}'] }\nclaims: [T, \"e/*\", é]\nscope: { lastSeen: { within: 30d } }\n\
    selectors: { s: { use: t }, t: { osBuild: [1, 2], machineTags: { matches: '[a-c]*' } } }\nlookups: { c: { file: c.csv, key: k, match: id } }\n\
    families: { f: [A, B] }\nrenames: { A: B, C: D }\nretire: [X, 'Y*']\nrules:\n  - <<: *a\n    name: r\n    select: { use: s, lookup.c.o: x }\n    until: 2027-01-01\n\
    guard: { caps: { removals: { percent: 5% } }, invariants: [{ name: i, tag: T, atLeast: 4 }] }\n";

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Any edit of a policy ends in findings that every renderer can show.
    #[test]
    fn no_edit_of_a_policy_panics(
        edits in proptest::collection::vec((0usize..700, 0usize..12, "[ -~é\u{1F600}\n\r\t{}\\[\\]:'\"&*#|>!%@,-]{0,6}"), 1..6)
    ) {
        let mut text: Vec<char> = SAMPLE.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.min(text.len());
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        let text: String = text.into_iter().collect();
        let data = [("c.csv".to_owned(), "k,o\n1,x\n".to_owned())];
        let (sources, findings) = resolve("p.yaml", &text, &data);
        policy::data_files(&sources);
        diagnostics::human(&sources, &findings, &Style::default());
        diagnostics::json(&sources, &findings);
        diagnostics::sarif(&sources, &findings);
        diagnostics::github(&sources, &findings);
        policy::parse_tests(&sources, now());
    }
}
