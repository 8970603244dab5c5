//! The syntax of `maps` and of the filters `map:NAME` and `default:TEXT`.
//!
//! `desired` tests the tags that templates yield with them.

use super::*;

/// One rule with this tag, and these maps.
fn with_map(maps: &str, tag: &str) -> ResolvedSet {
    let rule = format!("rules: [{{ name: r, select: {{ everything: true }}, tags: ['{tag}'] }}]");
    one(&format!("claims: ['s:*']\nmaps: {maps}\n{rule}\n"))
}

#[test]
fn maps_translate_without_case_and_hold_every_other_value() {
    let policy =
        with_map("{ s: { PRD: prod, 'Straße (EU)': eu, '*': ' other ' } }", "s:{domain|map:s}").sound();
    let map = &policy.maps[0];
    assert_eq!(map.get("prd"), Some("prod"));
    assert_eq!(map.get("STRAßE (eu)"), Some("eu"));
    assert_eq!(map.get("*"), Some("other"), "white space around texts is removed");
    let policy = with_map("{ s: { PRD: prod } }", "s:{domain|map:s}").sound();
    assert_eq!(policy.maps[0].get("dev"), None);
}

#[test]
fn an_unknown_map_is_an_error_with_the_near_name() {
    let set = with_map("{ stage: { PRD: prod } }", "s:{domain|map:stag}");
    assert_eq!(set.codes(), ["E0215"]);
    assert!(set.only().help.as_deref().is_some_and(|help| help.contains("`stage`")), "{:?}", set.only());
    let none = one("rules: [{ name: r, select: { everything: true }, tags: ['s:{domain|map:stage}'] }]");
    assert_eq!(none.codes(), ["E0215"]);
}

#[test]
fn maps_that_cannot_be_used_are_errors_and_are_told_once() {
    for (map, code) in [
        ("{}", "E0216"),
        ("{ PRD: a, prd: b }", "E0216"),
        ("{ PRD: '' }", "E0208"),
        ("{ PRD: 7 }", "E0207"),
        ("[PRD]", "E0104"),
    ] {
        assert_eq!(with_map(&format!("{{ s: {map} }}"), "s:{domain|map:s}").codes(), [code], "{map}");
    }
    assert_eq!(with_map("{ 'a|b': { x: y } }", "s:{domain}").codes(), ["E0113"]);
}

#[test]
fn names_of_maps_are_unique_over_the_set() {
    let file = "version: 1\nmaps: { s: { a: b } }\n";
    assert_eq!(set(&[("a.yaml", file), ("b.yaml", file)], &[]).codes(), ["E0112"]);
}

#[test]
fn a_map_that_no_template_names_is_a_warning() {
    assert_eq!(with_map("{ s: { PRD: prod } }", "s:{domain}").codes(), ["W0716"]);
}

#[test]
fn filters_say_what_they_take() {
    for tag in [
        "s:{domain|map}",
        "s:{domain|default}",
        "s:{domain|default:}",
        "s:{domain|lower:x}",
        "s:{domain|defualt:x}",
    ] {
        assert_eq!(with_map("{ s: { a: b } }", tag).codes(), ["E0404"], "{tag}");
    }
}
