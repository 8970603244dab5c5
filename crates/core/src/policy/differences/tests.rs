//! Tests of the differences that a reviewer sees between two policy sets.
//!
//! Tests only.

use std::sync::Arc;

use super::*;

fn set(text: &str) -> Sources {
    Sources::from_text("p.yaml", &format!("version: 1\n{text}"))
}

fn sentences(found: Vec<Difference>) -> Vec<String> {
    found.into_iter().map(|difference| difference.sentence).collect()
}

fn between(base: &str, new: &str) -> Vec<String> {
    sentences(differences(&set(base), &set(new)))
}

#[test]
fn rails_stand_before_what_plans_show() {
    let told = between(
        "protect: [{ name: dc, select: { everything: true } }]\n",
        "claims: [A]\nscope: { osPlatform: Linux }\nguard: { approvals: [{ cap: removals, max: 9 }] }\n",
    );
    let heads: Vec<&str> = told.iter().map(|told| told.split(" is ").next().unwrap()).collect();
    assert_eq!(
        heads,
        [
            "guard changed: guard.approvals",
            "policy changed: protect",
            "policy changed: scope",
            "policy changed: claims"
        ]
    );
}

#[test]
fn a_second_approval_a_deleted_protection_and_a_wider_scope_are_told_entry_by_entry() {
    let approval = |max: u32| format!("{{ cap: removals, max: {max}, expires: 2026-12-01 }}");
    let with = |approvals: &[u32]| {
        let approvals: Vec<String> = approvals.iter().map(|max| approval(*max)).collect();
        format!("guard: {{ approvals: [{}] }}\n", approvals.join(", "))
    };
    assert_eq!(
        between(&with(&[800]), &with(&[800, 900])),
        ["guard changed: guard.approvals is new: { cap: removals, expires: 2026-12-01, max: 900 }"]
    );
    assert_eq!(between(&with(&[800]), &with(&[800, 800])).len(), 1, "the same one twice");
    let accept = "guard: { accept: [{ tag: Old, reason: registry, expires: 2026-12-01 }] }\n";
    let told = between("", accept);
    assert_eq!(
        told,
        ["guard changed: guard.accept is new: { expires: 2026-12-01, reason: registry, tag: Old }"]
    );
    let protect = "protect:\n  - { name: dc, select: { use: dcs } }\n";
    let selector =
        |glob: &str| format!("selectors: {{ dcs: {{ computerDnsName: {{ glob: \"{glob}\" }} }} }}\n");
    let base = format!("{protect}{}scope: {{ osPlatform: Linux }}\n", selector("dc*"));
    let told = between(&base, &format!("scope: {{ everything: true }}\n{}", selector("dc*")));
    assert_eq!(
        told,
        [
            "policy changed: protect is taken out: { name: dc, select: { use: dcs } }",
            "policy changed: scope was { osPlatform: Linux } and is { everything: true }",
            "policy changed: selectors.dcs is taken out: { computerDnsName: { glob: dc* } }",
        ]
    );
    let narrower = format!("{protect}{}scope: {{ osPlatform: Linux }}\n", selector("dc1*"));
    assert_eq!(between(&base, &narrower).len(), 1, "a selector that a protection uses");
}

#[test]
fn every_section_of_rails_is_compared_and_places_do_not_matter() {
    for (was, is) in [
        ("claims: [A]\n", "claims: [A, \"*\"]\n"),
        ("renames: { A: B }\n", "renames: { A: C }\n"),
        ("retire: [A]\n", "retire: []\n"),
        ("deviceGroups: { file: groups.json }\n", "deviceGroups: { file: other.json }\n"),
        (
            "guard: { invariants: [{ name: a, tag: T, atLeast: 5 }] }\n",
            "guard: { invariants: [{ name: a, tag: T, atLeast: 1 }] }\n",
        ),
    ] {
        assert!(!between(was, is).is_empty(), "{was} {is}");
        assert_eq!(between(was, was), [""; 0]);
    }
    assert_eq!(between("claims: [A, B]\nretire: [C]\n", "retire:\n  - C\nclaims:\n  - B\n  - A\n"), [""; 0]);
}

#[test]
fn data_files_are_compared_by_their_rows() {
    let of = |rows: &str| {
        let mut sources =
            set("rules:\n  - { name: r, select: { computerDnsName: { inFile: list.csv } }, tags: [T] }\n");
        sources.data.insert((0, "list.csv".to_owned()), Ok(Arc::from(rows.as_bytes())));
        sources
    };
    assert_eq!(
        sentences(differences(&of("a\nb\n"), &of("b\r\nc\n"))),
        ["data changed: list.csv: a row is taken out: a", "data changed: list.csv: a row is new: c"]
    );
    let many: String = (0..100).map(|row| format!("{row}\n")).collect();
    let told = differences(&of(""), &of(&many));
    let count = |hidden: ShownIn| told.iter().filter(|difference| difference.shown != hidden).count();
    assert_eq!((count(ShownIn::Whole), count(ShownIn::Short)), (MOST_ROWS + 1, 100));
    assert!(told.iter().any(|told| told.sentence.contains("95 more rows are new")), "{told:?}");
}

#[test]
fn every_key_of_the_settings_is_compared() {
    let base = "version: 1\nlints: { W0710: deny }\ntenants: { a: { policies: [p/] } }\n";
    let new = "version: 1\nlints: { W0710: allow }\ntenants: { a: { policies: [p/, q/], cloud: gcc } }\n";
    assert_eq!(
        sentences(settings_differences(base, new)),
        [
            "mdetag.yaml changed: lints.W0710 was deny and is allow",
            "mdetag.yaml changed: tenants.a.cloud is new: gcc",
            "mdetag.yaml changed: tenants.a.policies is new: q/",
        ]
    );
    assert_eq!(settings_differences("", new).len(), 5);
    assert_eq!(settings_differences(new, new), []);
}

/// The sentences that this kind of report shows.
fn seen(base: &str, new: &str, hidden: ShownIn) -> Vec<String> {
    let found = differences(&set(base), &set(new)).into_iter();
    found.filter(|difference| difference.shown != hidden).map(|difference| difference.sentence).collect()
}

#[test]
fn one_member_of_a_long_list_is_what_differs() {
    let protect = |last: &str| {
        let names: Vec<String> = (0..60).map(|number| format!("srv{number:03}")).collect();
        let names = format!("{}, {last}", names.join(", "));
        format!("protect:\n  - {{ name: crown, select: {{ deviceName: [{names}] }}, reason: x }}\n")
    };
    for hidden in [ShownIn::Whole, ShownIn::Short] {
        assert_eq!(
            seen(&protect("dc01"), &protect("dc99"), hidden),
            [
                "policy changed: protect[crown].select.deviceName is taken out: dc01",
                "policy changed: protect[crown].select.deviceName is new: dc99",
            ]
        );
    }
    let unnamed = |text: String| text.replace("name: crown, ", "");
    let told = seen(&unnamed(protect("dc01")), &unnamed(protect("dc99")), ShownIn::Whole);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("dc01") && told[1].contains("dc99"), "{told:?}");
}

#[test]
fn a_long_reason_hides_no_other_key() {
    let entry = |reason: &str, name: &str| {
        format!("protect:\n  - {{ name: a, reason: \"{reason}\", select: {{ deviceName: {name} }} }}\n")
    };
    let long = "why ".repeat(100);
    let told = seen(&entry("x", "dc01"), &entry(&long, "pc1"), ShownIn::Whole);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("more characters") && told[0].starts_with("policy changed: protect[a].reason was x")
    );
    assert_eq!(told[1], "policy changed: protect[a].select.deviceName was dc01 and is pc1");
    let whole = seen(&entry("x", "dc01"), &entry(&long, "pc1"), ShownIn::Short);
    assert!(whole[0].contains(&long), "{whole:?}");
}

#[test]
fn the_end_of_a_long_query_is_shown_where_it_differs() {
    let query = |end: &str| {
        format!(
            "selectors:\n  s: {{ hunting: {{ query: \"{}{end}\" }} }}\nscope: {{ use: s }}\n",
            "DeviceInfo where x ".repeat(40)
        )
    };
    let told = seen(&query("project DeviceId, P"), &query("project DeviceId, P=0"), ShownIn::Whole);
    assert!(told.len() == 1 && told[0].ends_with("DeviceId, P=0\""), "{told:?}");
}

#[test]
fn lookups_that_rails_hang_on_are_compared_key_by_key_and_others_are_not() {
    let lookup = "lookups:\n  c: { file: c.csv, key: h, match: deviceName }\n  other: { file: o.csv, key: h, match: id }\n";
    let protect = "protect: [{ name: a, select: { lookup.c.prot: \"yes\" } }]\n";
    let gate =
        "guard: { rollout: { waves: [5], health: { select: { lookup.c.prot: \"yes\" }, atMost: 1 } } }\n";
    let by_use = "selectors: { s: { not: { lookup.c.prot: \"yes\" } } }\nscope: { use: s }\n";
    for rail in [protect, by_use, gate] {
        for (was, is, path) in [
            ("key: h, match: deviceName", "key: h2, match: deviceName", "lookups.c.key was h and is h2"),
            ("match: deviceName", "match: id", "lookups.c.match was deviceName and is id"),
            (
                "match: deviceName",
                "match: deviceName, onConflict: missing",
                "lookups.c.onConflict is new: missing",
            ),
            ("match: deviceName", "match: deviceName, allowEmpty: true", "lookups.c.allowEmpty is new: true"),
            ("file: c.csv", "file: d.csv", "lookups.c.file was c.csv and is d.csv"),
            ("file: c.csv", "hunting: { query: q }", "lookups.c.hunting.query is new: q"),
        ] {
            let base = format!("{lookup}{rail}");
            let told = between(&base, &base.replacen(was, is, 1));
            assert!(told.iter().any(|told| told.ends_with(path)), "{rail} {path} {told:?}");
        }
        let base = format!("{lookup}{rail}");
        assert_eq!(between(&base, &base.replace("o.csv, key: h", "o.csv, key: i")), [""; 0]);
    }
}

#[test]
fn the_rows_of_a_rails_file_come_first_and_documents_have_them_all() {
    let of = |last: &str| {
        let mut sources = set("lookups: { c: { file: data/c.csv, key: h, match: deviceName } }\n\
             protect: [{ name: a, select: { lookup.c.prot: \"yes\" } }]\n");
        let rows: String = (0..9).map(|row| format!("a{row},{last}\n")).collect();
        let rows = format!("h,prot\n{rows}zz09,{last}\n");
        sources.data.insert((0, "data/c.csv".to_owned()), Ok(Arc::from(rows.as_bytes())));
        sources
    };
    let told = differences(&of("yes"), &of("no"));
    assert!(told.iter().all(|told| told.area.is_rail() && told.shown == ShownIn::All), "{told:?}");
    assert!(told.iter().any(|told| told.sentence.ends_with("a row is new: zz09,no")), "{told:?}");
}

#[test]
fn rules_with_dates_and_family_members_are_told() {
    let rule =
        "rules:\n  - { name: later, select: { everything: true }, removeTags: [A], from: 2999-01-01 }\n";
    let told = between("claims: [A]\n", &format!("claims: [A]\n{rule}"));
    assert!(
        told.len() == 1 && told[0].starts_with("policy changed: rules is new: ") && told[0].contains("later"),
        "{told:?}"
    );
    let told = between(rule, &rule.replace("[A]", "[A, B]"));
    assert_eq!(told, ["policy changed: rules[later].removeTags is new: B"]);
    let told = between("families: { env: [A] }\n", "families: { env: [A, B] }\n");
    assert_eq!(told, ["policy changed: families.env is new: B"]);
}

#[test]
fn exceptions_of_rules_are_told_before_what_plans_show() {
    let rule =
        |lints: &str| format!("rules: [{{ name: r, select: {{ osPlatform: Linux }}, tags: [A]{lints} }}]\n");
    assert_eq!(
        between(&rule(""), &rule(", lints: { W0713: for the audit }")),
        ["policy changed: rules[r].lints.W0713 is new: \"for the audit\""]
    );
    assert_eq!(
        between(&rule(", lints: { W0713: audit }"), &rule(", lints: { W0718: audit }")),
        [
            "policy changed: rules[r].lints.W0713 is taken out: audit",
            "policy changed: rules[r].lints.W0718 is new: audit"
        ]
    );
}

/// A set that reads this file of device groups.
fn grouped(name: &str, text: &str) -> Sources {
    let mut sources = set(&format!("deviceGroups: {{ file: {name} }}\n"));
    sources.data.insert((0, name.to_owned()), Ok(Arc::from(text.as_bytes())));
    sources
}

#[test]
fn device_groups_are_compared_group_by_group_whatever_their_form() {
    let group = |name: &str, rank: u32, tag: &str| {
        let rule = serde_json::json!({ "Property": 2, "OperatorType": 2, "PropertyValue": tag });
        serde_json::json!({ "Name": name, "Priority": rank, "AutoRemediationLevel": 3, "MachineGroupAssignments": [], "GroupRules": [rule] })
    };
    let file = |groups: &[serde_json::Value]| serde_json::json!({ "items": groups });
    let base = file(&[group("Top", 1, "Tier0"), group("Lab", 2, "lab"), group("Old", 3, "old")]);
    let new = file(&[group("First", 1, "first"), group("Top", 2, "Tier-0"), group("Lab", 3, "lab")]);
    let between =
        |base: &str, new: &str| sentences(differences(&grouped("g.json", base), &grouped("g.json", new)));
    let sorted = |mut told: Vec<String>| {
        told.sort();
        told
    };
    let expected = [
        "data changed: g.json: a device group is taken out: { access: [everyone], name: Old, remediation: full, tag: [\"equals old\"] }",
        "data changed: g.json: group[Top].tag is taken out: \"equals Tier0\"",
        "data changed: g.json: group[Top].tag is new: \"equals Tier-0\"",
        "data changed: g.json: a device group is new: { access: [everyone], name: First, remediation: full, tag: [\"equals first\"] }",
    ];
    let expected = sorted(expected.map(str::to_owned).to_vec());
    assert_eq!(sorted(between(&base.to_string(), &new.to_string())), expected);
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap();
    assert_eq!(sorted(between(&pretty(&base), &new.to_string())), expected, "layout is no difference");
    let same =
        |name: &str| format!("data changed: {name} is written in another way, and its groups are the same");
    assert_eq!(between(&base.to_string(), &pretty(&base)), [same("g.json")]);
    let by_hand = "groups:\n  - { name: Top, remediation: full, when: { tag: [{ equals: Tier0 }] } }\n";
    let portal = file(&[group("Top", 1, "Tier0")]).to_string();
    assert_eq!(between(&portal, by_hand), [same("g.json")], "the form is none either");
    let worse = by_hand.replace("full", "none").replace("when", "access: [SOC], when");
    let told = between(by_hand, &worse);
    for expected in
        ["remediation was full and is none", "access is taken out: everyone", "access is new: SOC"]
    {
        let expected = format!("data changed: g.json: group[Top].{expected}");
        assert!(told.contains(&expected), "`{expected}` in {told:?}");
    }
}

#[test]
fn of_groups_in_another_order_only_those_that_moved_are_told() {
    let file = |names: &str| {
        let groups = names
            .chars()
            .map(|name| format!("  - {{ name: {name}, when: {{ tag: [{{ equals: {name} }}] }} }}\n"));
        format!("groups:\n{}", groups.collect::<String>())
    };
    let between = |base: &str, new: &str| {
        sentences(differences(&grouped("g.yaml", &file(base)), &grouped("g.yaml", &file(new))))
    };
    assert_eq!(between("abcdef", "abfcde"), ["data changed: g.yaml: group[f].rank was 6 and is 3"]);
    assert_eq!(between("abc", "xabc").len(), 1, "a new one at the top moves no other");
    assert_eq!(between("ab", "ba").len(), 1);
}

#[test]
fn a_file_of_device_groups_that_cannot_be_understood_is_compared_by_its_lines() {
    let told = sentences(differences(&grouped("g.yaml", "groups: []\n"), &grouped("g.yaml", "groups: {}\n")));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|one| one.contains(": a row is ")), "{told:?}");
}
