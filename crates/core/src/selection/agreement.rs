//! Evaluating selectors by columns and one by one gives the same result, for random fleets and selectors.
//!
//! Tests only.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{SPAN, cmdb, field, not, now, policy, run, selector};
use super::*;
use crate::inventory::fleet;
use crate::pattern::Glob;
use crate::policy::{Keep, Lookup, LookupRows, NamedSelector, Selector, TextList};

fn any_name() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[aAbBkK.ſ\u{212A}uü\u{308}]{0,4}")
}

fn any_device() -> impl Strategy<Value = Value> {
    let text = any_name();
    let tags = proptest::collection::vec("[ab]", 0..3);
    let seen = proptest::option::of(0i64..4);
    let ips =
        proptest::collection::vec(prop_oneof!["10\\.0\\.0\\.[0-3]", Just("::1".to_owned()), "x?"], 0..3);
    (text, any_name(), tags, seen, ips, proptest::option::of(0..4), proptest::option::of(any::<bool>())).prop_map(
        |(name, platform, tags, seen, ips, build, joined)| {
            let seen = seen.map(|days| now().minus(Duration::from_secs(days as u64 * 86_400)).to_string());
            let rows: Vec<Value> = ips.iter().map(|ip| json!({"ipAddress": ip, "macAddress": ip})).collect();
            json!({
                "computerDnsName": name, "osPlatform": platform, "machineTags": tags, "lastSeen": seen, "firstSeen": seen,
                "ipAddresses": rows, "osBuild": build, "isAadJoined": joined, "version": build.map(|build| format!("1.{build}")),
            })
        },
    )
}

fn any_text_test() -> impl Strategy<Value = Test> {
    let part = || "[aAbBk.sSuÜ\u{308}]{1,2}";
    prop_oneof![
        any::<bool>().prop_map(Test::Exists),
        proptest::collection::vec("[aAbBkK.su\u{308}Ü]{1,3}", 1..3)
            .prop_map(|values| Test::Text(TextList { values: values.into(), file: None })),
        proptest::collection::vec("[aBkuü\u{308}*.?]{1,4}|\\{a,b\\}[a*]|[aB]\\[!a\\]\\*", 1..3)
            .prop_map(|globs| { Test::Glob(globs.iter().map(|glob| Glob::text(glob).unwrap()).collect()) }),
        proptest::collection::vec("\\^?[aBk.s]{1,3}\\$?", 1..3).prop_map(|sources| {
            let build =
                |source: &String| regex::RegexBuilder::new(source).case_insensitive(true).build().unwrap();
            Test::Regex(sources.iter().map(build).collect())
        }),
        part().prop_map(|part| Test::StartsWith(vec![part])),
        part().prop_map(|part| Test::EndsWith(vec![part])),
        part().prop_map(|part| Test::Contains(vec![part])),
    ]
}

fn any_leaf() -> impl Strategy<Value = Selector> {
    let text_field = prop_oneof![
        Just(Field::ComputerDnsName),
        Just(Field::DeviceName),
        Just(Field::Domain),
        Just(Field::OsPlatform),
        Just(Field::Lookup { lookup: 0, column: 1 }),
    ];
    let days = |count: u64| Duration::from_secs(count * 86_400);
    prop_oneof![
        6 => (text_field, any_text_test()).prop_map(|(name, test)| field(name, test)),
        1 => (0..4, any::<bool>()).prop_map(|(part, below)| {
            let bound = format!("1.{part}");
            field(Field::Version, if below { Test::VersionBelow(bound) } else { Test::VersionAtLeast(bound) })
        }),
        1 => (0i64..4, 0i64..4)
            .prop_map(|(least, greatest)| field(Field::OsBuild, Test::IntegerRange { least, greatest })),
        1 => any::<bool>().prop_map(|wanted| field(Field::IsAadJoined, Test::Boolean(wanted))),
        1 => (0u64..4, any::<bool>()).prop_map(move |(count, older)| {
            field(Field::LastSeen, if older { Test::OlderThan(days(count)) } else { Test::Within(days(count)) })
        }),
        1 => (0u8..4, 28u8..=32).prop_map(|(last, length)| {
            let net = format!("10.0.0.{last}/{length}").parse().unwrap();
            field(Field::IpAddresses, Test::Cidr(vec![net]))
        }),
        1 => "[0-9X.:]{1,3}".prop_map(|start| field(Field::MacAddresses, Test::StartsWith(vec![start]))),
        1 => any::<bool>().prop_map(|wanted| field(Field::IpAddresses, Test::Exists(wanted))),
        1 => proptest::collection::vec("[abc]", 1..3).prop_map(|tags| field(Field::MachineTags, Test::HasAll(tags))),
        1 => proptest::collection::vec("[abc]", 1..3).prop_map(|tags| field(Field::MachineTags, Test::HasNone(tags))),
        1 => any::<bool>().prop_map(|newest| {
            let keep = if newest { Keep::Newest } else { Keep::Oldest };
            selector(SelectorKind::Superseded { by: Field::DeviceName, keep })
        }),
        1 => Just(selector(SelectorKind::Everything)),
        1 => Just(selector(SelectorKind::Use(0))),
    ]
}

fn any_selector() -> impl Strategy<Value = Selector> {
    any_leaf().prop_recursive(3, 12, 3, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts.clone().prop_map(|parts| selector(SelectorKind::All(parts))),
            parts.prop_map(|parts| selector(SelectorKind::Any(parts))),
            inner.prop_map(not),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn columns_and_single_devices_agree_on_every_selector(
        devices in proptest::collection::vec(any_device(), 1..8),
        selectors in proptest::collection::vec(any_selector(), 1..6),
        keys in proptest::collection::hash_set("[abkuü\u{308}]{1,2}", 0..3),
        servers in any_text_test(),
        unknown in proptest::collection::hash_set(0usize..6, 0..3),
    ) {
        let keys: Vec<String> = keys.into_iter().collect();
        let cells = keys.iter().flat_map(|key| [key.as_str().into(), key.repeat(2).into()]).collect();
        let lines = vec![0; keys.len()];
        let unknown = unknown.into_iter().filter(|place| place % 2 == 1 && place / 2 < keys.len()).collect();
        let rows = LookupRows { keys, cells, lines, unknown, ..LookupRows::default() };
        let policy = Policy {
            lookups: vec![Lookup { rows: rows.into(), ..cmdb() }],
            selectors: vec![NamedSelector { name: "s".into(), selector: field(Field::OsPlatform, servers), span: SPAN }],
            ..policy(selectors)
        };
        let snapshot = fleet(&devices);
        let selections = run(&policy, &snapshot);
        let none = HuntingResults::default();
        for (index, (rule, set)) in policy.rules.iter().zip(&selections.rules).enumerate() {
            let undecided = selections.undecided.get(&(index as u32));
            for row in snapshot.rows() {
                let traced = trace(&policy, &snapshot, &selections, &none, now(), &rule.select, row);
                let is_unknown = undecided.is_some_and(|undecided| undecided.contains(row));
                let holds = (!is_unknown).then(|| set.contains(row));
                if !selections.scope.contains(row) {
                    continue;
                }
                prop_assert_eq!(traced.holds, holds, "{:?} on {}", traced, devices[row.index()]);
            }
        }
    }
}
