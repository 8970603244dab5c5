//! Large and hostile sets end in findings, in bounded time.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;

/// Resolves, and fails if that takes too long even for a debug build on a busy computer.
fn timed(text: &str) -> ResolvedSet {
    let start = Instant::now();
    let set = one(text);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    eprintln!("{:>9} bytes {took:?} {:?}", text.len(), set.codes().first());
    set
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{}", line(number));
        text
    })
}

#[test]
fn many_rules_are_quick() {
    let rules = many(300, |number| {
        format!(
            "  - {{ name: r{number}, select: {{ osPlatform: {{ startsWith: Win }}, computerDnsName: {{ glob: [\"dc{number}*\", \"a{number}\"] }} }}, tags: [T{number}, \"o:{{id}}\"], priority: {number} }}"
        )
    });
    timed(&format!("claims: [\"*\"]\nrules:\n{rules}")).sound();
}

#[test]
fn mistakes_by_the_thousand_are_counted_and_not_searched_for() {
    let set = timed(&many(20_000, |number| format!("key{number}: 1")));
    assert_eq!(set.findings.len(), 1_001);
    let fields = many(20_000, |number| format!("  field{number}: 1"));
    assert_eq!(timed(&format!("scope:\n{fields}")).findings.len(), 1_001);
    let used: Vec<String> = (0..5_000).map(|number| format!("s{number}x")).collect();
    let selectors = many(5_000, |number| format!("  s{number}: {{ id: a }}"));
    let set = timed(&format!("selectors:\n{selectors}scope: {{ use: [{}] }}\n", used.join(", ")));
    assert_eq!(set.codes()[0], "E0205");
}

#[test]
fn patterns_are_bounded() {
    let set = timed(&format!("scope: {{ id: {{ glob: \"{}\" }} }}\n", "*".repeat(100_000)));
    assert_eq!(set.codes(), ["E0208"]);
    let set = timed(&format!("scope: {{ id: {{ regex: '{}' }} }}\n", "(".repeat(1_900)));
    assert_eq!(set.codes(), ["E0208"]);
}

#[test]
fn tags_by_the_thousand_are_compared_without_squaring() {
    let claims = many(20_000, |number| format!("- T{number}"));
    let set = timed(&format!("claims:\n{claims}"));
    assert_eq!(set.codes()[0], "W0405");
    let renames = many(20_000, |number| format!("  T{number}: T{}", number + 1));
    let set = timed(&format!("renames:\n{renames}"));
    assert_eq!(set.policy.renames[0].to, "T20000");
}

#[test]
fn a_carriage_return_alone_is_refused_and_hides_no_claim_in_a_comment() {
    for text in ["# only a comment\rclaims: [Keep]\n", "claims: [Keep]\r", "\r"] {
        let set = one(text);
        assert_eq!(set.codes(), ["E0101"], "{text:?}");
        assert!(set.policy.claims.is_empty(), "{text:?}");
    }
    assert!(!one("claims: [Keep]\r\n").codes().contains(&"E0101"));
}

#[test]
fn repetitions_that_grow_are_refused_before_they_take_memory() {
    let quoted: Vec<String> = (0..300).map(|number| format!("'a{{10000}}{number}'")).collect();
    let set = timed(&format!(
        "rules: [{{ name: a, select: {{ computerDnsName: {{ regex: [{}] }} }}, tags: [A] }}]\n",
        quoted.join(", ")
    ));
    assert_eq!(set.codes(), ["E0110"], "said once");
    let wide = vec![r"'\w{30}{30}N'"; 1000].join(", ");
    let set = timed(&format!(
        "rules: [{{ name: a, select: {{ computerDnsName: {{ regex: [{wide}] }} }}, tags: [A] }}]\n"
    ));
    assert!(set.codes().iter().all(|code| *code == "E0208"), "{:?}", set.codes().last());
}

#[test]
fn globs_of_wildcards_are_refused_before_they_take_memory() {
    let wild = "?".repeat(1000);
    let globs = many(500, |number| format!("- \"{wild}{number}\""));
    for key in ["claims", "retire"] {
        let set = timed(&format!("{key}:\n{globs}"));
        assert_eq!(
            set.codes().iter().filter(|code| **code == "E0110").count(),
            1,
            "said once: {:?}",
            set.codes()
        );
    }
    let quoted: Vec<String> = (0..500).map(|number| format!("\"{wild}{number}\"")).collect();
    let set = timed(&format!(
        "rules: [{{ name: a, select: {{ computerDnsName: {{ glob: [{}] }} }}, tags: [A] }}]\n",
        quoted.join(", ")
    ));
    assert_eq!(set.codes(), ["E0110"]);
}
