//! Selectors that read what the set writes.

use super::*;

#[test]
fn a_set_settles_in_one_run() {
    let settle = |read: &str, write: &str| {
        one(&format!("rules: [{{ name: reader, select: {{ {read} }}, deviceValue: Low }}]\n{write}")).codes()
    };
    let rule = |tags: &str| {
        format!("claims: []\nretire: []\nprotect: []\nselectors: {{}}\nfamilies: {{}}\nrenames: {{}}\n{tags}")
    };
    assert_eq!(settle("machineTags: X", &rule("")), Vec::<&str>::new());
    for write in [
        "claims: [X]",
        "retire: [X]",
        "renames: { X: Y }",
        "renames: { Y: X }",
        "families: { f: [X, Z] }",
        "claims: ['?']",
        "retire: ['X*']",
    ] {
        let codes = settle("machineTags: X", &format!("{write}\n"));
        assert!(codes.contains(&"E0211"), "{write}: {codes:?}");
    }
    for read in [
        "machineTags: { hasNone: [A, X] }",
        "not: { machineTags: { hasAll: [X] } }",
        "machineTags: { exists: false }",
        "machineTags: { matches: '[X-Z]' }",
        "any: [{ machineTags: [X] }]",
    ] {
        assert_eq!(settle(read, "retire: [X]\n"), ["E0211"], "{read}");
    }
    assert_eq!(settle("machineTags: { matches: 'X*' }", "retire: ['*Y']\n"), ["W0202"]);
    assert_eq!(settle("machineTags: { matches: 'X*' }", "retire: ['Y*']\n"), Vec::<&str>::new());
    assert_eq!(settle("machineTags: x", "retire: [X]\n"), ["W0404"], "tags compare exactly");
    assert_eq!(settle("deviceValue: High", ""), ["E0211"]);
    assert_eq!(settle("deviceValue: { exists: false }", ""), ["E0211"]);
}

#[test]
fn scope_protections_and_named_selectors_settle_too() {
    assert_eq!(one("scope: { machineTags: X }\nretire: [X]\n").codes(), ["E0211"]);
    assert_eq!(one("protect: [{ name: p, select: { machineTags: X } }]\nretire: [X]\n").codes(), ["E0211"]);
    let set = one(
        "selectors: { s: { machineTags: X } }\nprotect: [{ name: p, select: { use: s } }]\nretire: [X]\n",
    );
    assert_eq!(set.codes(), ["E0211"]);
    assert_eq!(set.only().related.len(), 2);
    assert_eq!(
        one("selectors: { s: { machineTags: X } }\nretire: [X]\n").codes(),
        Vec::<&str>::new(),
        "nobody uses it"
    );
    let template = "rules:\n  - { name: a, select: { everything: true }, tags: ['o:{id}'] }\n  - { name: b, select: { machineTags: 'o:x' }, tags: [T] }\n";
    assert_eq!(one(template).codes(), ["E0211"]);
    let dead = "rules:\n  - { name: a, select: { id: x }, tags: [X], until: 2020-01-01 }\n  - { name: b, select: { machineTags: X }, tags: [T] }\n";
    assert_eq!(one(dead).codes(), ["W0402"]);
}

#[test]
fn no_glob_writes_the_reserved_tag_unless_the_guard_names_it() {
    let reads = "rules: [{ name: r, select: { machineTags: mde-management }, tags: [T] }";
    for write in [
        ", { name: t, select: { id: x }, tags: ['MDE-{osPlatform}'] }]\n",
        "]\nclaims: ['*']\n",
        "]\nretire: ['MDE-*']\n",
    ] {
        let named = "guard: { allowReserved: [MDE-Management] }\n";
        let read = reads.replace("mde-management", "MDE-Management");
        assert!(!one(&format!("{read}{write}")).codes().contains(&"E0211"), "{write}");
        assert!(one(&format!("{read}{write}{named}")).codes().contains(&"E0211"), "{write}");
        assert!(!one_without_case(&format!("{reads}{write}")).codes().contains(&"E0211"), "{write}");
        assert!(one_without_case(&format!("{reads}{write}{named}")).codes().contains(&"E0211"), "{write}");
    }
}

#[test]
fn a_set_settles_without_case_where_case_does_not_count() {
    let text = |read: &str| {
        format!(
            "claims: [Tier0, A]\nrules:\n  - {{ name: r, select: {{ machineTags: {read} }}, tags: [A] }}\n  - {{ name: s, select: {{ id: x }}, tags: [Tier0] }}\n"
        )
    };
    for read in ["tier0", "{ matches: 'tier?' }", "{ matches: '[S-U]ier0' }"] {
        assert_eq!(one_without_case(&text(read)).codes(), ["E0211"], "{read}");
        assert!(!one(&text(read)).codes().contains(&"E0211") || read.contains('['), "{read}");
    }
    let glob = "retire: ['TIER*']\nrules: [{ name: r, select: { machineTags: tier0 }, tags: [A] }]\n";
    assert_eq!((one(glob).codes(), one_without_case(glob).codes()), (vec![], vec!["E0211"]));
}

#[test]
fn a_read_and_a_write_clash_only_where_their_rules_share_a_day() {
    let rules = |read: &str, write: &str| {
        one(&format!(
            "rules:\n  - {{ name: r, select: {{ machineTags: X }}, tags: [T], {read} }}\n  - {{ name: w, select: {{ id: x }}, tags: [X], {write} }}\n"
        ))
        .codes()
    };
    assert_eq!(rules("from: 2027-02-01", "until: 2027-01-31"), Vec::<&str>::new());
    assert_eq!(rules("until: 2027-01-31", "from: 2027-02-01"), Vec::<&str>::new());
    assert_eq!(rules("from: 2027-02-01", "until: 2027-02-01"), ["E0211"]);
    assert_eq!(
        rules("from: 2027-02-01", "priority: 0"),
        ["E0211"],
        "a rule that starts later will clash later"
    );
    let named = "selectors: { s: { machineTags: X } }\nrules:\n  - { name: a, select: { use: s }, tags: [A], from: 2027-02-01 }\n  - { name: b, select: { use: s }, tags: [B] }\n  - { name: w, select: { id: x }, tags: [X], until: 2027-01-31 }\n";
    assert_eq!(one(named).codes(), ["E0211"], "the second user of a selector clashes");
    let values = "rules:\n  - { name: a, select: { deviceValue: High }, tags: [A], from: 2027-02-01 }\n  - { name: b, select: { id: x }, deviceValue: Low, until: 2027-01-31 }\n";
    assert_eq!(one(values).codes(), Vec::<&str>::new());
}

#[test]
fn fields_that_tags_and_values_move_get_a_note() {
    for field in ["rbacGroupName: a", "rbacGroupId: 1", "exposureLevel: High"] {
        assert_eq!(select(&format!("{{ {field} }}")).notes(), ["N0201"], "{field}");
    }
}
