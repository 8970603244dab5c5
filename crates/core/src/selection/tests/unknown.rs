//! Selectors on unknown data.
//!
//! Tests only.

use super::*;

#[test]
fn an_unknown_cell_is_neither_true_nor_false_and_protects() {
    let snapshot = named(&["web1", "db1"]);
    let owner = Field::Lookup { lookup: 0, column: 1 };
    let rows = rows_of(&["web1", "db1"], &["web1", "Ops", "db1", ""], &[1]);
    let ops = || field(owner, list(&["ops"]));
    let protection = Protection { name: "p".into(), select: ops(), reason: None, span: SPAN };
    let policy = Policy {
        lookups: vec![Lookup { rows: rows.into(), ..cmdb() }],
        protections: vec![protection],
        ..policy(vec![
            ops(),
            not(ops()),
            selector(SelectorKind::Any(vec![ops(), selector(SelectorKind::Everything)])),
            field(owner, Test::Exists(false)),
        ])
    };
    let selections = run(&policy, &snapshot);
    let surely: Vec<Vec<u32>> =
        selections.rules.iter().map(|set| set.iter().map(|row| row.0).collect()).collect();
    assert_eq!(surely, [vec![], vec![1], vec![0, 1], vec![1]]);
    let undecided = selections.undecided.iter().map(|(rule, set)| (*rule, set.iter().collect::<Vec<_>>()));
    let web1 = vec![Row(0)];
    assert_eq!(undecided.collect::<Vec<_>>(), [(0, web1.clone()), (1, web1.clone()), (3, web1.clone())]);
    assert_eq!(selections.protections[0].iter().collect::<Vec<_>>(), web1, "it may be protected");
    let scoped = Policy { scope: Some(ops()), ..policy };
    assert!(run(&scoped, &snapshot).scope.is_empty(), "it may be outside");
}

#[test]
fn a_few_rows_of_which_none_is_a_device_say_nothing_and_five_are_an_error() {
    let snapshot = named(&["web1"]);
    let owner = Field::Lookup { lookup: 0, column: 1 };
    let of = |keys: &[&str]| {
        let cells: Vec<&str> = keys.iter().flat_map(|key| [*key, "ops"]).collect();
        let lookup = Lookup { rows: rows_of(keys, &cells, &[]).into(), ..cmdb() };
        let policy = Policy { lookups: vec![lookup], ..policy(vec![field(owner, Test::Exists(true))]) };
        let found = select(&policy, &snapshot, &HuntingResults::default(), now());
        found.map(|found| (found.undecided.len(), found.findings.len())).map_err(|faults| faults[0].code)
    };
    assert_eq!(of(&["a", "b", "c", "d"]), Ok((1, 1)));
    assert_eq!(of(&["a", "b", "c", "d", "web1"]), Ok((0, 0)));
    assert_eq!(of(&["a", "b", "c", "d", "e"]), Err("E0307"));
    let rows = LookupRows { repeats: 3, ..rows_of(&["a", "b"], &["a", "x", "b", "y"], &[]) };
    let repeated = Lookup { rows: rows.into(), ..cmdb() };
    let policy_of =
        |lookup| Policy { lookups: vec![lookup], ..policy(vec![field(owner, Test::Exists(true))]) };
    let found = select(&policy_of(repeated), &snapshot, &HuntingResults::default(), now());
    let fault = &found.unwrap_err()[0];
    assert_eq!(
        (fault.code, &*fault.message),
        ("E0307", "none of the 5 rows of the lookup `cmdb` has the `deviceName` of a device"),
        "five rows, of two keys"
    );
    let hunting = |ids: &str, is_unlisted_ok: bool| {
        let (query, column) = ("DeviceInfo".into(), "DeviceId".into());
        let query = Hunting { query, column, allow_empty: false, is_unlisted_ok };
        let policy = policy(vec![not(selector(SelectorKind::Hunting(query)))]);
        let results = HuntingResults::from_json(format!("{{\"DeviceInfo\": {ids}}}").as_bytes()).unwrap();
        let found = select(&policy, &snapshot, &results, now()).unwrap();
        let traced = trace(&policy, &snapshot, &found, &results, now(), &policy.rules[0].select, Row(0));
        (found.rules[0].count(), found.undecided.len(), found.findings.len(), traced.holds)
    };
    assert_eq!(hunting(r#"["gone"]"#, false), (0, 1, 1, None));
    assert_eq!(hunting(r#"["gone"]"#, true), (1, 0, 0, Some(true)));
    assert_eq!(hunting(r#"["gone", "d0"]"#, false), (0, 0, 0, Some(false)));
}

#[test]
fn an_address_that_is_none_leaves_open_what_it_would_meet() {
    let snapshot = crate::inventory::fleet(&[
        serde_json::json!({"lastIpAddress": "10.0.0.999", "ipAddresses": [{"ipAddress": "10.1.0.1"}, {"ipAddress": "10.0.0.x"}]}),
        serde_json::json!({"lastIpAddress": "10.0.0.9", "ipAddresses": [{"ipAddress": "10.0.0.1"}]}),
        serde_json::json!({"lastIpAddress": "192.0.2.1"}),
    ]);
    let net = || Test::Cidr(vec!["10.0.0.0/24".parse().unwrap()]);
    let wide = || Test::Cidr(vec!["10.0.0.0/8".parse().unwrap()]);
    let last = || field(Field::LastIpAddress, net());
    let protection = Protection { name: "p".into(), select: last(), reason: None, span: SPAN };
    let policy = Policy {
        protections: vec![protection],
        ..policy(vec![
            last(),
            not(last()),
            field(Field::LastIpAddress, Test::Exists(true)),
            field(Field::IpAddresses, net()),
            field(Field::IpAddresses, wide()),
        ])
    };
    let selections = run(&policy, &snapshot);
    let surely: Vec<Vec<u32>> =
        selections.rules.iter().map(|set| set.iter().map(|row| row.0).collect()).collect();
    assert_eq!(surely, [vec![1], vec![2], vec![0, 1, 2], vec![1], vec![0, 1]]);
    let undecided = selections.undecided.iter().map(|(rule, set)| (*rule, set.iter().collect::<Vec<_>>()));
    assert_eq!(undecided.collect::<Vec<_>>(), [(0, vec![Row(0)]), (1, vec![Row(0)]), (3, vec![Row(0)])]);
    assert_eq!(selections.protections[0].iter().collect::<Vec<_>>(), [Row(0), Row(1)], "it may be protected");
    let results = HuntingResults::default();
    let traced = trace(&policy, &snapshot, &selections, &results, now(), &policy.rules[0].select, Row(0));
    assert_eq!((traced.holds, traced.actual.as_deref()), (None, Some("10.0.0.999, which is no address")));
}

#[test]
fn a_list_of_which_no_value_is_a_device_says_nothing_unless_it_need_not() {
    let snapshot = named(&["web1", "db1", ""]);
    let listed = |values: &[&str], is_unlisted_ok: bool| {
        let source: std::sync::Arc<str> = "l.txt".into();
        let file = ListFile { written: source.clone(), source, is_unlisted_ok, span: SPAN };
        Test::Text(TextList { values: strings(values).into(), file: Some(file) })
    };
    let of = |values: &[&str], is_unlisted_ok: bool| {
        let test = || field(Field::DeviceName, listed(values, is_unlisted_ok));
        let policy = policy(vec![test(), not(test())]);
        let selections = run(&policy, &snapshot);
        let results = HuntingResults::default();
        for row in snapshot.rows() {
            let traced =
                trace(&policy, &snapshot, &selections, &results, now(), &policy.rules[0].select, row);
            let undecided = selections.undecided.get(&0).is_some_and(|set| set.contains(row));
            assert_eq!(traced.holds, (!undecided).then(|| selections.rules[0].contains(row)));
        }
        let rows = |set: &DeviceSet| set.iter().map(|row| row.0).collect::<Vec<_>>();
        let codes: Vec<&str> = selections.findings.iter().map(|finding| finding.code).collect();
        (selections.rules.iter().map(rows).collect::<Vec<_>>(), selections.undecided.len(), codes)
    };
    assert_eq!(
        of(&["web1\\ndb1"], false),
        (vec![vec![], vec![2]], 2, vec!["W0303"]),
        "the nameless one is on no list"
    );
    assert_eq!(of(&["web1\\ndb1"], true), (vec![vec![], vec![0, 1, 2]], 0, vec![]));
    assert_eq!(of(&["gone", "web1"], false), (vec![vec![0], vec![1, 2]], 0, vec![]));
    let policy = policy(vec![field(Field::OsPlatform, listed(&["BeOS"], false))]);
    assert!(run(&policy, &snapshot).undecided.is_empty(), "a platform names no device");
    let stated = select_stated(
        &Policy { rules: policy.rules.clone(), ..Policy::default() },
        &snapshot,
        &HuntingResults::default(),
        now(),
    );
    assert!(stated.unwrap().undecided.is_empty());
}
