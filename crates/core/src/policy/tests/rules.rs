//! Rules, tags, templates, families, renames, retirement, protection and the guard.

use super::*;
use crate::device::{DeviceValue, Field};
use crate::policy::{Axis, Counted, Filter, Percent, Quantity, TagExpressionKind, TemplatePart};

/// A rule with these further keys.
fn rule(rest: &str) -> ResolvedSet {
    one(&format!("rules:\n  - {{ name: r, select: {{ everything: true }}, {rest} }}\n"))
}

fn none() -> Vec<&'static str> {
    Vec::new()
}

#[test]
fn a_rule_needs_a_name_a_selector_and_a_statement() {
    assert_eq!(one("rules: [{ select: { id: x }, deviceValue: Low }]\n").codes(), ["E0105"]);
    assert_eq!(one("rules: [{ name: r, deviceValue: Low }]\n").codes(), ["E0105"]);
    assert_eq!(one("rules: [{ name: r, select: { id: x } }]\n").codes(), ["E0401"]);
    assert_eq!(rule("tags: []").codes(), ["E0204"]);
    assert_eq!(rule("removeTags: [a]").codes(), none());
    assert_eq!(rule("deviceValue: high").codes(), ["E0209"]);
    assert_eq!(rule("deviceValue: High, priority: -3").policy.rules[0].priority, -3);
    assert_eq!(rule("deviceValue: High, priority: '3'").codes(), ["E0104"]);
    assert_eq!(rule("deviceValue: High").policy.rules[0].device_value, Some(DeviceValue::High));
}

#[test]
fn from_and_until_are_inclusive_days() {
    let live = |rest: &str| rule(&format!("deviceValue: Low, {rest}")).policy.rules[0].is_live(now());
    assert!(
        live("from: 2026-11-22") && live("until: 2026-11-22") && live("from: 2026-11-22, until: 2026-11-22")
    );
    assert!(!live("from: 2026-11-23") && !live("until: 2026-11-21"));
    let codes = |rest: &str| rule(&format!("deviceValue: Low, {rest}")).codes();
    assert_eq!(codes("until: 2026-11-21"), ["W0402"]);
    assert_eq!(codes("until: 2026-11-22"), ["W0401"]);
    assert_eq!(codes("until: 2026-12-06"), ["W0401"], "14 days");
    assert_eq!(codes("until: 2026-12-07"), none());
    assert_eq!(codes("from: 2027-02-01, until: 2027-01-01"), ["E0406"]);
    assert_eq!(codes("until: 2027-02-30"), ["E0208"]);
    assert_eq!(rule("deviceValue: Low, from: 2027-01-01").notes(), ["N0402"]);
}

#[test]
fn the_same_literal_in_tags_and_remove_tags_is_an_error_a_glob_is_not() {
    assert_eq!(rule("tags: [A], removeTags: [A]").codes(), ["E0405"]);
    assert_eq!(rule("tags: [A], removeTags: ['A*']").codes(), none());
    assert_eq!(rule(r"tags: ['A*'], removeTags: ['A\*']").codes(), ["E0405"], "an escaped glob is a literal");
}

#[test]
fn tags_have_1_to_200_characters_without_edges_or_controls() {
    assert_eq!(rule(&format!("tags: [{}]", "x".repeat(200))).codes(), none());
    for tag in [&"x".repeat(201), "''", "' a'", "\"a\\u0007\"", "'a '"] {
        assert_eq!(rule(&format!("tags: [{tag}]")).codes(), ["E0402"], "{tag}");
        let live = if tag == "''" { vec!["E0402"] } else { none() };
        assert_eq!(rule(&format!("removeTags: [{tag}]")).codes(), live, "{tag}");
    }
    assert_eq!(rule("tags: [2024]").codes(), ["E0207"]);
    for tag in ["'a,b'", "'a(b'", "'a)b'", "'a,{id}'"] {
        assert_eq!(rule(&format!("tags: [{tag}]")).codes(), ["W0403"], "{tag}");
    }
}

#[test]
fn the_reserved_tag_is_refused_in_any_case_wherever_it_would_be_written() {
    for text in [
        "claims: [mde-management]\n",
        "retire: [MDE-Management]\n",
        "renames: { MDE-Management: X }\n",
        "renames: { X: MDE-MANAGEMENT }\n",
        "families: { f: [MDE-Management] }\n",
        "rules: [{ name: r, select: { id: x }, tags: [MDE-management] }]\n",
        "rules: [{ name: r, select: { id: x }, removeTags: [MDE-management] }]\n",
    ] {
        assert!(one(text).codes().contains(&"E0403"), "{text}");
        let allowed = one(&format!("guard: {{ allowReserved: [MDE-Management] }}\n{text}"));
        assert!(!allowed.codes().contains(&"E0403"), "{text}");
    }
    assert_eq!(one("guard: { allowReserved: [Tier0] }\n").codes(), ["E0505"]);
    assert_eq!(one("scope: { machineTags: MDE-Management }\n").codes(), none(), "reading it changes nothing");
}

#[test]
fn templates_have_fields_filters_and_doubled_braces() {
    let set = rule("tags: ['o:{osPlatform | slug|upper}-{osBuild}', 'a{{b}}']");
    let tags = &set.policy.rules[0].tags;
    let TagExpressionKind::Template(template) = &tags[0].kind else { panic!() };
    assert_eq!(template.glob.source(), "o:*-*");
    let TemplatePart::Placeholder { field, filters, name } = &template.parts[1] else { panic!() };
    assert_eq!(
        (*field, filters.as_slice(), name.as_str()),
        (Field::OsPlatform, &[Filter::Slug, Filter::Upper][..], "osPlatform")
    );
    assert!(matches!(&tags[1].kind, TagExpressionKind::Literal(literal) if literal == "a{b}"));
    let codes = |tag: &str| rule(&format!("tags: ['{tag}']")).codes();
    for wrong in [
        "{",
        "a}",
        "{osPlatform",
        "{}",
        "{osPlatform|slugg}",
        "{lastSeen}",
        "{machineTags}",
        "{isExcluded}",
        "{lastIpAddress}",
        "{macAddresses}",
        "{osPlatform}",
        " {osPlatform} {domain}",
    ] {
        assert_eq!(codes(wrong), ["E0404"], "{wrong}");
    }
    assert_eq!(codes("{osPlatfrom}"), ["E0201"]);
    assert_eq!(codes("{lookup.x.y}"), ["E0212"]);
    assert_eq!(codes(" x{id}"), ["E0402"]);
    assert_eq!(codes(&format!("{}{{id}}", "x".repeat(200))), ["E0402"]);
    assert_eq!(codes("v{deviceValue}"), none());
    assert_eq!(rule("tags: ['v:{deviceValue}'], deviceValue: Low").codes(), ["W0202"]);
}

#[test]
fn globs_escape_where_a_literal_or_glob_is_allowed() {
    let claims = |text: &str| one(&format!("claims: ['{text}']\n")).policy.claims[0].pattern.to_string();
    assert_eq!(claims(r"a\*b"), "a*b");
    assert_eq!(claims("a*b"), "a*b");
    assert_eq!(one("claims: ['[a']\n").codes(), ["E0208"]);
    assert_eq!(one("claims: ['{a,{b}}']\n").codes(), ["E0208"]);
}

#[test]
fn a_tag_is_in_one_family_once() {
    let rules =
        "rules: [{ name: r, select: { id: x }, tags: [A] }, { name: s, select: { id: y }, tags: [B] }]\n";
    assert_eq!(one(&format!("{rules}families: {{ f: [A, B] }}\n")).codes(), none());
    assert_eq!(one(&format!("{rules}families: {{ f: [A], g: [A, B] }}\n")).codes(), ["E0407"]);
    let twice = one(&format!("{rules}families: {{ f: [A, A] }}\n"));
    assert_eq!(twice.codes(), ["E0407"]);
    assert!(twice.findings.iter().any(|finding| finding.message == "the tag `A` is in the family `f` twice"));
    assert_eq!(one("families: { f: [] }\n").codes(), ["E0204"]);
    assert_eq!(one(&format!("{rules}families: {{ f: [A, C] }}\n")).codes(), ["W0406"], "no rule assigns C");
}

#[test]
fn rename_chains_resolve_to_their_last_name() {
    let set = one("renames: { A: B, B: C, X: C }\n");
    let renames: Vec<_> = set.policy.renames.iter().map(|one| (one.from.as_str(), one.to.as_str())).collect();
    assert_eq!(renames, [("A", "C"), ("B", "C"), ("X", "C")]);
}

#[test]
fn renames_that_cannot_be_are_errors() {
    assert_eq!(one("renames: { A: A }\n").codes(), ["E0408"]);
    let circle = one("renames: { A: B, B: C, C: A }\n");
    assert_eq!(circle.codes(), ["E0408"]);
    assert!(circle.policy.renames.is_empty());
    let files =
        [("a.yaml", "version: 1\nrenames: { A: B }\n"), ("b.yaml", "version: 1\nrenames: { A: C }\n")];
    assert_eq!(set(&files, &[]).codes(), ["E0409"]);
    assert_eq!(one("renames: { A: B }\nretire: [B]\n").codes(), ["E0410"]);
    assert_eq!(one("renames: { A: B }\nretire: ['B*']\n").codes(), ["E0410"]);
    assert_eq!(one("renames: { A: B }\nclaims: [B]\n").codes(), ["E0411"]);
    assert_eq!(one("renames: { A: B, B: C }\nclaims: ['C*']\n").codes(), ["E0411", "E0411"]);
    let rules = "rules: [{ name: r, select: { id: x }, tags: ['B{id}'] }]\n";
    assert_eq!(
        one(&format!("renames: {{ A: B1 }}\nclaims: ['B*']\n{rules}")).codes(),
        none(),
        "a template could"
    );
    assert_eq!(one("renames: { A: B }\n").codes(), none(), "an unclaimed target needs no rule");
    let dated = |date: &str| {
        one(&format!(
            "renames: {{ A: B }}\nclaims: [B]\nrules: [{{ name: r, select: {{ id: x }}, tags: [B], {date} }}]\n"
        ))
    };
    assert!(dated("from: 2100-01-01").codes().contains(&"W0408"));
    assert!(dated("until: 2020-01-01").codes().contains(&"W0408"));
    assert!(dated("until: 2020-01-01").codes().iter().all(|code| !code.starts_with('E')));
}

#[test]
fn retiring_a_tag_that_a_rule_assigns_now_or_later_is_an_error() {
    let retire = |pattern: &str, rest: &str| {
        one(&format!("retire: ['{pattern}']\nclaims: [T]\nrules: [{{ name: r, select: {{ id: x }}, tags: [T]{rest} }}]\n")).codes()
    };
    assert_eq!(retire("T", ""), ["E0412"]);
    assert_eq!(retire("T*", ""), ["E0412"]);
    assert_eq!(retire("U", ""), none());
    assert_eq!(retire("T", ", from: 2027-01-01"), ["E0412"], "it will be in force");
    assert_eq!(retire("T", ", until: 2020-01-01"), ["W0405", "W0402"], "it never comes back");
    let template = "retire: ['T:*']\nrules: [{ name: r, select: { id: x }, tags: ['T:{id}'] }]\n";
    assert_eq!(one(template).codes(), none(), "only a template gives it");
}

#[test]
fn claims_and_rules_that_miss_each_other_are_pointed_out() {
    assert_eq!(rule("tags: [A]").notes(), ["N0401"]);
    assert_eq!(rule("tags: ['A:{id}']").notes(), ["N0401"]);
    let text = "claims: [A, 'B:*', 'C*']\nrules: [{ name: r, select: { id: x }, tags: [A, 'B:{id}', C1] }]\n";
    assert_eq!(one(text).notes(), Vec::<&str>::new());
    assert_eq!(one("claims: [A]\n").codes(), ["W0405"]);
    assert_eq!(
        one("claims: ['A*']\nrules: [{ name: r, select: { id: x }, tags: ['{id}-b'] }]\n").codes(),
        none()
    );
    assert_eq!(one("selectors: { s: { id: x } }\n").notes(), ["N0403"]);
    assert_eq!(rule("tags: [A], priority: 3").notes(), ["N0404", "N0401"]);
}

#[test]
fn tags_that_differ_only_in_case_get_a_warning() {
    let set = one(
        "rules:\n  - { name: a, select: { id: x }, tags: [Tier0] }\n  - { name: b, select: { id: y }, removeTags: [tier0] }\n",
    );
    assert_eq!(set.codes(), ["W0404"]);
    assert_eq!(set.only().related.len(), 1);
    let rule = "rules: [{ name: a, select: { id: x }, tags: [Tier0] }]\n";
    assert_eq!(one(&format!("{rule}renames: {{ tier0: Tier0, TIER0: Tier0 }}\n")).codes(), none(), "settled");
    assert_eq!(one(&format!("{rule}renames: {{ tier0: Tier1 }}\n")).codes(), ["W0404"]);
}

#[test]
fn spellings_are_one_tag_where_case_does_not_count() {
    let rule = "rules: [{ name: a, select: { id: x }, tags: [Tier0] }]\n";
    for (rest, exact, without) in [
        ("claims: [tier0]\n", vec!["W0405", "W0404"], vec![]),
        ("retire: [tier0]\n", vec!["W0404"], vec!["E0412"]),
        ("retire: ['tier?']\n", vec![], vec!["E0412"]),
        ("renames: { tier0: Tier0 }\n", vec![], vec!["W0407"]),
        ("renames: { b: c, B: d }\n", vec!["W0404"], vec!["E0409"]),
        ("renames: { b: c, C: B }\n", vec!["W0404", "W0404"], vec!["E0408"]),
        ("families: { f: [Tier0], g: [tier0] }\n", vec!["W0404", "W0406"], vec!["E0407"]),
        ("renames: { old: TIER0 }\nclaims: [tier0]\n", vec!["W0404", "W0404", "W0405"], vec![]),
    ] {
        let text = format!("{rule}{rest}");
        let sorted = |mut codes: Vec<&'static str>| {
            codes.sort_unstable();
            codes
        };
        assert_eq!(sorted(one(&text).codes()), sorted(exact), "{rest}");
        assert_eq!(sorted(one_without_case(&text).codes()), without, "{rest}");
    }
    let own = "rules: [{ name: a, select: { id: x }, tags: [Tier0], removeTags: [tier0] }]\n";
    assert_eq!(one_without_case(own).codes(), ["E0405"]);
}

#[test]
fn live_tags_are_any_text_and_written_ones_are_not() {
    let select =
        |tags: &str| format!("rules: [{{ name: r, select: {{ machineTags: {tags} }}, tags: [X] }}]\n");
    for text in [
        "rules: [{ name: r, select: { id: x }, tags: [Tier0] }]\nclaims: ['Tier0?', Tier0, ' x']\n",
        "retire: [' Tier0', 'a  ']\n",
        "renames: { 'Tier0 ': Tier0 }\n",
        "rules: [{ name: r, select: { id: x }, removeTags: ['Tier0 '] }]\n",
        "guard: { invariants: [{ name: i, tag: 'Tier0 ', atMost: 4 }] }\n",
        &select("{ has: 'Tier0 ' }"),
        &select("{ hasNone: [' Tier0'] }"),
    ] {
        assert!(!one(text).codes().contains(&"E0402"), "{text}");
    }
    for text in [
        "renames: { Tier0: 'Tier1 ' }\n",
        "families: { f: ['Tier0 ', b] }\n",
        "rules: [{ name: r, select: { id: x }, tags: ['Tier0 '] }]\n",
        "claims: ['']\n",
        &select("{ has: '' }"),
    ] {
        assert!(one(text).codes().contains(&"E0402"), "{text}");
    }
}

#[test]
fn the_default_value_and_protections() {
    let policy =
        one("deviceValue: { default: Normal }\nprotect: [{ name: p, select: { id: x }, reason: why }]\n")
            .sound();
    assert_eq!(policy.default_value.unwrap().value, DeviceValue::Normal);
    assert_eq!(policy.protections[0].reason.as_deref(), Some("why"));
    assert_eq!(one("deviceValue: Normal\n").codes(), ["E0104"]);
    assert_eq!(one("deviceValue: {}\n").codes(), ["E0105"]);
    assert_eq!(one("protect: [{ name: p }]\n").codes(), ["E0105"]);
    assert_eq!(one("protect: [{ name: p, select: {} }]\n").codes(), ["E0203"]);
}

#[test]
fn caps_keep_the_default_of_what_they_leave_out() {
    let guard = one("guard:\n  caps: { removals: { percent: 5, floor: 20 }, devices: { floor: 0 }, values: { percent: 2.5% } }\n").sound().guard;
    let cap = |axis| (guard.cap(axis).percent, guard.cap(axis).floor);
    assert_eq!(cap(Axis::Removals), (Percent::whole(5), 20));
    assert_eq!(cap(Axis::Devices), (Percent::whole(50), 0));
    assert_eq!(cap(Axis::Values), (Percent::parse("2.5").unwrap(), 25));
    assert_eq!(cap(Axis::RemovalsPerTag), (Percent::whole(50), 5));
    let caps = |text: &str| one(&format!("guard: {{ caps: {{ {text} }} }}\n")).codes();
    assert_eq!(caps("removal: { floor: 1 }"), ["E0103"]);
    assert_eq!(caps("removals: {}"), ["E0105"]);
    assert_eq!(caps("removals: { percent: 101 }"), ["E0501"]);
    assert_eq!(caps("removals: { percent: -1 }"), ["E0501"]);
    for (text, percent) in [
        ("0x5", "5"),
        ("0o12", "10"),
        ("+5", "5"),
        (".5", "0.5"),
        ("7.", "7"),
        ("1e1", "10"),
        ("2.50", "2.5"),
    ] {
        let guard = one(&format!("guard:\n  caps: {{ values: {{ percent: {text} }} }}\n")).sound().guard;
        assert_eq!(guard.cap(Axis::Values).percent, Percent::parse(percent).unwrap(), "{text}");
    }
    for text in ["0x65", "1e3", ".inf", ".nan", "0.00001", "\"0x5\""] {
        assert_eq!(caps(&format!("removals: {{ percent: {text} }}")), ["E0501"], "{text}");
    }
    assert_eq!(caps("removals: { floor: -1 }"), ["E0208"]);
    assert_eq!(caps("removals: { floor: 5% }"), ["E0104"]);
}

#[test]
fn the_guard_pins_a_tenant_and_distrusts_short_reads() {
    let guard = one("guard: { tenantId: 11111111-2222-3333-4444-55555555555A, inventory: { min: 500, maxShrink: 10% } }\n").sound().guard;
    assert_eq!(guard.tenant_id.unwrap().0, "11111111-2222-3333-4444-55555555555a");
    assert_eq!((guard.min_devices.unwrap().0, guard.max_shrink.unwrap().0), (500, Percent::whole(10)));
    assert_eq!(one("guard: { tenantId: contoso }\n").codes(), ["E0504"]);
}

#[test]
fn invariants_count_one_thing_and_have_a_bound() {
    let text = "guard:\n  invariants:\n    - { name: a, tag: Tier0, atLeast: 4 }\n    - { name: b, deviceValue: High, atMost: 5% }\n";
    let guard = one(text).sound().guard;
    assert_eq!(
        (&guard.invariants[0].counts, guard.invariants[0].at_least),
        (&Counted::Tag("Tier0".to_owned()), Some(Quantity::Count(4)))
    );
    assert_eq!(guard.invariants[1].at_most, Some(Quantity::Share(Percent::whole(5))));
    let invariant = |text: &str| one(&format!("guard: {{ invariants: [{{ name: a, {text} }}] }}\n")).codes();
    assert_eq!(invariant("tag: A"), ["E0502"]);
    assert_eq!(invariant("atLeast: 1"), ["E0502"]);
    assert_eq!(invariant("tag: A, deviceValue: Low, atLeast: 1"), ["E0502"]);
    assert_eq!(invariant("tag: A, atLeast: 5, atMost: 4"), ["E0502"]);
    assert_eq!(invariant("tag: A, atLeast: many"), ["E0501"]);
    assert_eq!(invariant("tag: A, atLeast: '4'"), ["E0501"]);
    let twice = "guard: { invariants: [{ name: a, tag: A, atLeast: 1 }, { name: a, tag: B, atLeast: 1 }] }\n";
    assert_eq!(one(twice).codes(), ["E0112"]);
}

#[test]
fn approvals_name_a_cap_a_number_and_a_last_day() {
    let approval = |text: &str| one(&format!("guard: {{ approvals: [{{ {text} }}] }}\n"));
    let sound = approval("cap: removals, max: 800, reason: old, ticket: SEC-1, expires: 2026-11-22")
        .sound()
        .guard
        .approvals
        .remove(0);
    assert_eq!((sound.axis, sound.max, sound.ticket.as_deref()), (Axis::Removals, 800, Some("SEC-1")));
    assert_eq!(approval("cap: removals, max: 800, expires: 2026-11-21").codes(), ["W0501"]);
    assert_eq!(approval("cap: removals, max: 800").codes(), ["E0105"]);
    assert_eq!(approval("cap: removal, max: 800, expires: 2027-01-01").codes(), ["E0209"]);
    assert_eq!(approval("cap: removals, tag: A, max: 800, expires: 2027-01-01").codes(), ["E0503"]);
    assert_eq!(approval("cap: removalsPerTag, tag: A, max: 800, expires: 2027-01-01").codes(), none());
    let tag = |tag: &str| {
        approval(&format!("cap: removalsPerTag, tag: '{tag}', max: 8, expires: 2027-01-01")).codes()
    };
    assert_eq!(tag("env*"), none());
    assert_eq!(tag("en*"), ["E0503"]);
    assert_eq!(tag("*"), ["E0503"]);
    assert_eq!(tag("{env,x}*"), ["E0503"]);
    assert_eq!(tag("\\*ab\\?*"), none(), "what is escaped is literal");
    assert_eq!(tag("\\*a*"), ["E0503"]);
    let bound = |changes: &str| {
        approval(&format!("cap: removals, max: 8, changes: {changes}, expires: 2027-01-01")).codes()
    };
    assert_eq!(bound(&format!("'sha256:{}'", "0a".repeat(32))), none());
    assert_eq!(bound("'sha256:0a'"), ["E0503"]);
    assert_eq!(approval("cap: removals, max: 800, expires: 2027-02-20").codes(), none());
    assert_eq!(approval("cap: removals, max: 800, expires: 2027-02-21").codes(), ["W0501"]);
}

#[test]
fn a_priority_is_at_most_a_million_either_way() {
    assert_eq!(rule("deviceValue: High, priority: 1000001").codes(), ["E0208"]);
    assert_eq!(rule("deviceValue: High, priority: -9007199254740993").codes(), ["E0208"]);
    for refused in ["1.5", "1000001", "1e30"] {
        let found = rule(&format!("deviceValue: High, priority: {refused}"));
        let message = format!("`priority` is a whole number from -1000000 to 1000000, found `{refused}`");
        assert_eq!(found.findings[0].message, message);
    }
    assert_eq!(rule("deviceValue: High, priority: -1000000").policy.rules[0].priority, -1_000_000);
}
