//! The promises about selectors, sentence by sentence of the language reference.
//!
//! Tests only.

mod hunted_lookups;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::diagnostic::{SourceId, Span};
use crate::inventory::fleet;
use crate::pattern::Glob;
use crate::policy::{
    Hunting, Keep, ListFile, Lookup, LookupRows, LookupSource, NamedSelector, Protection, Rule, Selector,
    TextList,
};

const NOW: &str = "2026-11-22T00:00:00Z";
pub(super) const SPAN: Span = Span { source: SourceId(0), start: 0, end: 0 };

pub(super) fn now() -> Timestamp {
    Timestamp::parse(NOW).unwrap()
}

pub(super) fn selector(kind: SelectorKind) -> Selector {
    Selector { kind, span: SPAN }
}

pub(super) fn field(field: Field, test: Test) -> Selector {
    selector(SelectorKind::Field { field, test })
}

pub(super) fn not(inner: Selector) -> Selector {
    selector(SelectorKind::Not(Box::new(inner)))
}

pub(super) fn list(values: &[&str]) -> Test {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Test::Text(TextList { values, file: None })
}

pub(super) fn glob(source: &str) -> Test {
    Test::Glob(vec![Glob::text(source).unwrap()])
}

pub(super) fn regex(source: &str) -> Test {
    Test::Regex(vec![regex::RegexBuilder::new(source).case_insensitive(true).build().unwrap()])
}

pub(super) fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

pub(super) fn rule(select: Selector) -> Rule {
    Rule {
        name: "r".into(),
        description: None,
        owner: None,
        ticket: None,
        select,
        tags: Vec::new(),
        remove_tags: Vec::new(),
        device_value: None,
        priority: 0,
        from: None,
        until: None,
        span: SPAN,
    }
}

pub(super) fn policy(selectors: Vec<Selector>) -> Policy {
    Policy { rules: selectors.into_iter().map(rule).collect(), ..Policy::default() }
}

pub(super) fn run(policy: &Policy, snapshot: &Snapshot) -> Selections {
    select(policy, snapshot, &HuntingResults::default(), now()).unwrap()
}

/// The rows that a selector selects; evaluating one by one must agree.
fn rows(snapshot: &Snapshot, select: Selector) -> Vec<u32> {
    let policy = policy(vec![select]);
    let selections = run(&policy, snapshot);
    for row in selections.scope.iter() {
        let none = HuntingResults::default();
        let traced = trace(&policy, snapshot, &selections, &none, now(), &policy.rules[0].select, row);
        let is_open = selections.undecided.get(&0).is_some_and(|rows| rows.contains(row));
        let holds = (!is_open).then(|| selections.rules[0].contains(row));
        assert_eq!(traced.holds, holds, "{traced:?} on {}", snapshot.id(row));
    }
    selections.rules[0].iter().map(|row| row.0).collect()
}

fn named(names: &[&str]) -> Snapshot {
    fleet(&names.iter().map(|name| json!({"computerDnsName": name})).collect::<Vec<_>>())
}

#[test]
fn without_a_scope_merged_devices_are_left_out() {
    let snapshot =
        fleet(&[json!({}), json!({"mergedIntoMachineId": "d0"}), json!({"mergedIntoMachineId": ""})]);
    assert_eq!(rows(&snapshot, selector(SelectorKind::Everything)), [0, 2]);
    let policy = Policy {
        scope: Some(selector(SelectorKind::Everything)),
        protections: vec![Protection {
            name: "p".into(),
            select: field(Field::MergedIntoMachineId, Test::Exists(true)),
            reason: None,
            span: SPAN,
        }],
        ..policy(vec![selector(SelectorKind::Everything)])
    };
    let selections = run(&policy, &snapshot);
    assert_eq!(selections.rules[0].count(), 3, "a stated scope replaces the default");
    assert_eq!(selections.protections[0].iter().collect::<Vec<_>>(), [Row(1)]);
}

#[test]
fn a_condition_on_a_missing_field_is_false_and_its_negation_true() {
    let snapshot = fleet(&[
        json!({"osPlatform": "Ubuntu"}),
        json!({"osPlatform": ""}),
        json!({"osPlatform": null}),
        json!({}),
    ]);
    let ubuntu = || field(Field::OsPlatform, list(&["ubuntu"]));
    assert_eq!(rows(&snapshot, ubuntu()), [0]);
    assert_eq!(rows(&snapshot, not(ubuntu())), [1, 2, 3]);
    assert_eq!(rows(&snapshot, field(Field::OsPlatform, Test::Exists(false))), [1, 2, 3]);
    assert_eq!(rows(&snapshot, field(Field::OsPlatform, glob("*"))), [0]);
}

#[test]
fn text_operators_ignore_case_everywhere() {
    let snapshot = named(&["DC01.corp.example.com", "adc-9", "web\u{212A}.x", "Straße", "ΣΑΣ"]);
    let hits = |test| rows(&snapshot, field(Field::ComputerDnsName, test));
    assert_eq!(hits(list(&["dc01.CORP.example.com", "ADC-9"])), [0, 1]);
    assert_eq!(hits(glob("dc*.Corp.*.com")), [0]);
    assert_eq!(hits(glob("?dc-[0-9]")), [1]);
    assert_eq!(hits(glob("{adc,dc}*")), [0, 1]);
    assert_eq!(hits(glob("*K.X")), [2], "the Kelvin sign folds to k");
    assert_eq!(hits(Test::Contains(strings(&["BK"]))), [2]);
    assert_eq!(hits(Test::StartsWith(strings(&["STRASS"]))), [] as [u32; 0]);
    assert_eq!(hits(Test::EndsWith(strings(&["αΣ"]))), [4], "both lower-case sigmas are one letter");
    assert_eq!(hits(regex("^(?:a)?dc")), [0, 1]);
    assert_eq!(hits(regex("CORP")), [0]);
    assert_eq!(rows(&snapshot, field(Field::DeviceName, list(&["dc01"]))), [0]);
    assert_eq!(rows(&snapshot, field(Field::Domain, Test::EndsWith(strings(&["EXAMPLE.com"])))), [0]);
}

#[test]
fn glob_parts_do_not_overlap() {
    let snapshot = named(&["aba", "abba", "ab", "xabcabx"]);
    let hits = |source| rows(&snapshot, field(Field::ComputerDnsName, glob(source)));
    assert_eq!(hits("ab*ba"), [1]);
    assert_eq!(hits("a*a"), [0, 1]);
    assert_eq!(hits("*ab*ab*"), [3]);
    assert_eq!(hits("ab"), [2]);
    assert_eq!(hits(r"a\b"), [2]);
}

#[test]
fn versions_compare_by_their_parts() {
    let snapshot = fleet(&[
        json!({"agentVersion": "10.8790.19045"}),
        json!({"agentVersion": "10.8790"}),
        json!({"agentVersion": "9.1"}),
    ]);
    let hits = |test| rows(&snapshot, field(Field::AgentVersion, test));
    assert_eq!(hits(Test::VersionAtLeast("10.8790.0".into())), [0, 1]);
    assert_eq!(hits(Test::VersionBelow("10".into())), [2]);
    assert_eq!(hits(Test::StartsWith(strings(&["10."]))), [0, 1]);
}

#[test]
fn integers_and_booleans() {
    let snapshot = fleet(&[
        json!({"osBuild": 5, "rbacGroupId": "140", "isAadJoined": true}),
        json!({"osBuild": 6, "rbacGroupId": 140, "isAadJoined": false}),
        json!({"osBuild": null, "rbacGroupId": 0}),
    ]);
    let range = |least, greatest| field(Field::OsBuild, Test::IntegerRange { least, greatest });
    assert_eq!(rows(&snapshot, range(6, i64::MAX)), [1]);
    assert_eq!(rows(&snapshot, range(i64::MIN, 5)), [0]);
    assert_eq!(rows(&snapshot, not(range(i64::MIN, i64::MAX))), [2]);
    assert_eq!(rows(&snapshot, field(Field::RbacGroupId, Test::Integer(vec![140]))), [0, 1]);
    assert_eq!(rows(&snapshot, field(Field::IsAadJoined, Test::Boolean(false))), [1]);
    assert_eq!(rows(&snapshot, not(field(Field::IsAadJoined, Test::Boolean(true)))), [1, 2]);
}

#[test]
fn ages_include_their_bound_and_dates_exclude_it() {
    let snapshot = fleet(&[
        json!({"lastSeen": "2026-11-21T00:00:00Z"}),
        json!({"lastSeen": "2026-11-20T23:59:59.9999999Z"}),
        json!({"lastSeen": "2026-11-23T00:00:00Z"}),
        json!({"lastSeen": "0001-01-01T00:00:00Z"}),
    ]);
    let day = Duration::from_secs(86_400);
    let bound = Timestamp::parse("2026-11-21").unwrap();
    let hits = |test| rows(&snapshot, field(Field::LastSeen, test));
    assert_eq!(hits(Test::Within(day)), [0, 2], "a time in the future has no age");
    assert_eq!(hits(Test::OlderThan(day)), [1]);
    assert_eq!(hits(Test::Before(bound)), [1]);
    assert_eq!(hits(Test::After(bound)), [2]);
    assert_eq!(hits(Test::Exists(false)), [3]);
    assert_eq!(hits(Test::Within(Duration::from_secs(1_000_000_000_000))), [0, 1, 2]);
    assert_eq!(hits(Test::OlderThan(Duration::from_secs(1_000_000_000_000))), [] as [u32; 0]);
}

#[test]
fn addresses_compare_by_value_and_any_element_counts() {
    let snapshot = fleet(&[
        json!({"lastIpAddress": "::ffff:10.1.2.3", "ipAddresses": [{"ipAddress": "10.0.0.1"}, {"ipAddress": "fe80::0001"}]}),
        json!({"lastIpAddress": "10.1.2.3", "ipAddresses": [{"ipAddress": ""}]}),
        json!({"lastIpAddress": "nowhere"}),
    ]);
    let cidr = |nets: &[&str]| Test::Cidr(nets.iter().map(|net| net.parse().unwrap()).collect());
    let last = |test| rows(&snapshot, field(Field::LastIpAddress, test));
    let any = |test| rows(&snapshot, field(Field::IpAddresses, test));
    assert_eq!(last(Test::Address(vec!["10.1.2.3".parse().unwrap()])), [0, 1]);
    assert_eq!(last(Test::Address(vec!["::ffff:10.1.2.3".parse().unwrap()])), [0, 1]);
    assert_eq!(last(cidr(&["10.1.255.255/16"])), [0, 1], "host bits are masked");
    assert_eq!(last(cidr(&["::/0"])), [] as [u32; 0]);
    assert_eq!(last(Test::Exists(true)), [0, 1, 2]);
    assert_eq!(any(cidr(&["10.0.0.0/8"])), [0]);
    assert_eq!(any(Test::Exists(true)), [0]);
    let both = vec![
        field(Field::IpAddresses, cidr(&["10.0.0.0/8"])),
        field(Field::IpAddresses, cidr(&["fe80::/10"])),
    ];
    assert_eq!(rows(&snapshot, selector(SelectorKind::All(both))), [0], "met by different elements");
}

#[test]
fn hardware_addresses_ignore_separators_and_case() {
    let snapshot = fleet(&[
        json!({"ipAddresses": [{"macAddress": "00-00-5e-00-53-ff"}, {"macAddress": "0A0000000000"}]}),
        json!({"ipAddresses": [{"macAddress": null}]}),
    ]);
    let hits = |test| rows(&snapshot, field(Field::MacAddresses, test));
    assert_eq!(hits(Test::Hardware(strings(&["00005E0053FF"]))), [0]);
    assert_eq!(hits(Test::StartsWith(strings(&["0A00"]))), [0]);
    assert_eq!(hits(Test::Exists(false)), [1]);
}

#[test]
fn tags_compare_exactly_and_are_never_missing() {
    let snapshot = fleet(&[
        json!({"machineTags": ["A", "B"]}),
        json!({"machineTags": ["a"]}),
        json!({"machineTags": null}),
    ]);
    let hits = |test| rows(&snapshot, field(Field::MachineTags, test));
    assert_eq!(hits(Test::HasAny(strings(&["A", "x"]))), [0]);
    assert_eq!(hits(Test::HasAll(strings(&["B", "A"]))), [0]);
    assert_eq!(hits(Test::HasAll(strings(&["A", "x"]))), [] as [u32; 0]);
    assert_eq!(hits(Test::HasNone(strings(&["A"]))), [1, 2]);
    assert_eq!(hits(Test::TagMatches(vec![Glob::exact("[a-b]*").unwrap()])), [1]);
    assert_eq!(hits(Test::Exists(true)), [0, 1]);
    assert_eq!(hits(Test::Exists(false)), [2]);
}

#[test]
fn of_devices_with_one_name_only_the_kept_one_is_not_superseded() {
    let device = |name: &str, first: Option<&str>, last: Option<&str>| json!({"computerDnsName": name, "firstSeen": first, "lastSeen": last});
    let (early, late) = (Some("2026-01-01T00:00:00Z"), Some("2026-02-01T00:00:00Z"));
    let snapshot = fleet(&[
        device("A.x", early, early),
        device("a.X", late, late),
        device("a.x", None, None),
        device("b", None, None),
        device("B", None, None),
        device("c", early, late),
        json!({}),
        json!({}),
    ]);
    let by = |by, keep| selector(SelectorKind::Superseded { by, keep });
    assert_eq!(rows(&snapshot, by(Field::ComputerDnsName, Keep::Newest)), [0, 2, 4]);
    assert_eq!(rows(&snapshot, by(Field::ComputerDnsName, Keep::Oldest)), [1, 2, 4]);
    let policy = Policy {
        scope: Some(not(field(Field::Id, list(&["d1"])))),
        ..policy(vec![by(Field::DeviceName, Keep::Newest)])
    };
    let selections = run(&policy, &snapshot);
    let found: Vec<u32> = selections.rules[0].iter().map(|row| row.0).collect();
    assert_eq!(found, [2, 4], "only devices in scope are compared");
}

#[test]
fn hunting_needs_a_result_with_rows() {
    let snapshot = fleet(&[json!({}), json!({})]);
    let query = Hunting {
        query: "DeviceInfo\n".into(),
        column: "DeviceId".into(),
        allow_empty: false,
        is_unlisted_ok: false,
    };
    let policy = policy(vec![selector(SelectorKind::Hunting(query.clone()))]);
    let found = |results: &HuntingResults| select(&policy, &snapshot, results, now());
    assert_eq!(found(&HuntingResults::default()).unwrap_err()[0].code, "E0701");
    let cut = format!("{{\"DeviceInfo\": [{}\"x\"]}}", "\"x\",".repeat(99_999));
    assert!(HuntingResults::from_json(cut.as_bytes()).unwrap_err().contains("may not be whole"));
    let twice = HuntingResults::from_json(br#"{"DeviceInfo": [], "DeviceInfo": ["d1"]}"#).unwrap_err();
    assert!(twice.contains("twice"), "{twice}");
    let empty = HuntingResults::from_json(br#"{"DeviceInfo": []}"#).unwrap();
    assert_eq!(found(&empty).unwrap_err()[0].code, "E0702");
    let results = HuntingResults::from_json(br#"{"DeviceInfo": ["d1", "gone"]}"#).unwrap();
    let selections = found(&results).unwrap();
    assert_eq!(selections.rules[0].iter().collect::<Vec<_>>(), [Row(1)]);
    assert_eq!((selections.unmatched[0].count, &*selections.unmatched[0].sample[0]), (1, "gone"));
    let shouted = HuntingResults::from_json(br#"{"DeviceInfo": ["D1"]}"#).unwrap();
    let shouting = found(&shouted).unwrap();
    assert_eq!(shouting.rules[0].iter().collect::<Vec<_>>(), [Row(1)], "ids compare without case");
    assert!(
        trace(&policy, &snapshot, &shouting, &shouted, now(), &policy.rules[0].select, Row(1)).holds
            == Some(true)
    );
    let foreign = HuntingResults::from_json(br#"{"DeviceInfo": ["a", "b", "c", "e", "f"]}"#).unwrap();
    assert_eq!(found(&foreign).unwrap_err()[0].code, "E0703", "another tenant's export");
    let nobody = select(&policy, &fleet(&[]), &foreign, now());
    assert!(nobody.is_ok(), "with no device read there is no verdict");
    assert!(
        trace(&policy, &snapshot, &selections, &results, now(), &policy.rules[0].select, Row(1)).holds
            == Some(true)
    );
    assert_eq!(count_sources(&policy, &snapshot, &results).sources["hunting: DeviceInfo"], 2);
}

pub(super) fn rows_of(keys: &[&str], cells: &[&str], unknown: &[usize]) -> LookupRows {
    LookupRows {
        keys: strings(keys),
        cells: cells.iter().map(|cell| Box::from(*cell)).collect(),
        lines: (2..).take(keys.len()).collect(),
        unknown: unknown.iter().copied().collect(),
        ..LookupRows::default()
    }
}

pub(super) fn cmdb() -> Lookup {
    Lookup {
        name: "cmdb".into(),
        source: LookupSource::File("cmdb.csv".into()),
        matches: Field::DeviceName,
        columns: strings(&["hostname", "owner"]),
        is_void: false,
        rows: rows_of(&["WEB1", "db1", "gone"], &["WEB1", "Ops", "db1", "", "gone", "x"], &[]).into(),
        span: SPAN,
    }
}

#[test]
fn lookups_join_without_case_and_report_keys_without_a_device() {
    let snapshot = named(&["web1.example.com", "DB1", "other"]);
    let owner = Field::Lookup { lookup: 0, column: 1 };
    let policy = Policy {
        lookups: vec![cmdb()],
        ..policy(vec![
            field(owner, list(&["ops"])),
            field(owner, Test::Exists(false)),
            field(owner, glob("O*")),
        ])
    };
    let selections = run(&policy, &snapshot);
    let found: Vec<Vec<u32>> =
        selections.rules.iter().map(|set| set.iter().map(|row| row.0).collect()).collect();
    assert_eq!(found, [vec![0], vec![1, 2], vec![0]]);
    let unmatched =
        Unmatched { source: "cmdb".into(), is_lookup: true, count: 1, sample: strings(&["gone"]) };
    assert_eq!(selections.unmatched, [unmatched]);
    assert_eq!(text_of(&policy, &snapshot, &selections, owner, Row(0)).as_deref(), Ok("Ops"));
    assert_eq!(
        text_of(&policy, &snapshot, &selections, owner, Row(1)),
        Err(Absent::EmptyCell),
        "an empty cell is missing"
    );
    assert_eq!(text_of(&policy, &snapshot, &selections, Field::DeviceName, Row(1)).as_deref(), Ok("DB1"));
}

#[test]
fn values_of_a_list_file_that_no_device_has_are_reported() {
    let snapshot = fleet(&[json!({"computerDnsName": "WEB1", "osPlatform": "ubuntu"})]);
    let values: Arc<[String]> = strings(&["web1", "web2", "Ubuntu", "web3", "web4", "web5"]).into();
    let file = ListFile {
        written: "hosts.txt".into(),
        source: "hosts.txt".into(),
        is_unlisted_ok: false,
        span: SPAN,
    };
    let from_file = || Test::Text(TextList { values: values.clone(), file: Some(file.clone()) });
    let policy =
        policy(vec![field(Field::ComputerDnsName, from_file()), field(Field::OsPlatform, from_file())]);
    let unmatched = run(&policy, &snapshot).unmatched;
    let expected = Unmatched {
        source: "hosts.txt".into(),
        is_lookup: false,
        count: 4,
        sample: strings(&["web2", "web3", "web4"]),
    };
    assert_eq!(unmatched, [expected]);
}

#[test]
fn inline_values_that_name_no_device_are_reported_by_their_field() {
    let snapshot = named(&["web01", "db01"]);
    let list = |values: &[&str]| Test::Text(TextList { values: strings(values).into(), file: None });
    let globs = |sources: &[&str]| Test::Glob(sources.iter().map(|one| Glob::text(one).unwrap()).collect());
    let policy = policy(vec![
        field(Field::DeviceName, list(&["web01", "wbe02"])),
        field(Field::DeviceName, globs(&["x*", "db*"])),
        field(Field::ComputerDnsName, globs(&["wbe*"])),
        field(Field::OsPlatform, list(&["Windows12"])),
    ]);
    let unmatched = run(&policy, &snapshot).unmatched;
    let said: Vec<_> = unmatched.iter().map(|one| (&*one.source, one.count, one.sample.join(" "))).collect();
    let expected = [("computerDnsName", 1, "wbe*".to_owned()), ("deviceName", 2, "wbe02 x*".to_owned())];
    assert_eq!(said, expected, "a platform is no device's name");
}

#[test]
fn named_selectors_that_hold_for_nobody_are_known() {
    let snapshot = named(&["web01"]);
    let selector_of = |name: &str, value: &str| NamedSelector {
        name: name.into(),
        selector: field(Field::DeviceName, Test::StartsWith(strings(&[value]))),
        span: SPAN,
    };
    let selectors = vec![selector_of("web", "web"), selector_of("db", "db"), selector_of("unused", "x")];
    let both =
        selector(SelectorKind::Any(vec![selector(SelectorKind::Use(0)), selector(SelectorKind::Use(1))]));
    let policy = Policy { selectors, ..policy(vec![both]) };
    let selections = run(&policy, &snapshot);
    assert_eq!((selections.idle_selectors, selections.rules[0].count()), (vec![1], 1));
}

#[test]
fn a_rule_outside_its_dates_selects_nothing() {
    let snapshot = fleet(&[json!({})]);
    let date = |text| Some(crate::time::Date::parse(text).unwrap());
    let mut policy = policy((0..4).map(|_| selector(SelectorKind::Everything)).collect());
    policy.rules[0].until = date("2026-11-21");
    policy.rules[1].until = date("2026-11-22");
    policy.rules[2].from = date("2026-11-23");
    policy.rules[3].from = date("2026-11-22");
    let counts: Vec<usize> = run(&policy, &snapshot).rules.iter().map(DeviceSet::count).collect();
    assert_eq!(counts, [0, 1, 0, 1]);
}

#[test]
fn a_named_selector_is_traced_by_its_name() {
    let snapshot = named(&["web1"]);
    let servers = NamedSelector {
        name: "servers".into(),
        selector: selector(SelectorKind::Any(vec![
            field(Field::ComputerDnsName, Test::StartsWith(strings(&["web", "app"]))),
            field(Field::OsPlatform, Test::Exists(true)),
        ])),
        span: SPAN,
    };
    let policy = Policy { selectors: vec![servers], ..policy(vec![selector(SelectorKind::Use(0))]) };
    let selections = run(&policy, &snapshot);
    let none = HuntingResults::default();
    let traced = trace(&policy, &snapshot, &selections, &none, now(), &policy.rules[0].select, Row(0));
    assert_eq!((traced.label.as_str(), traced.holds), ("use servers", Some(true)));
    let parts = &traced.children[0].children;
    assert_eq!(parts[0].label, "computerDnsName startsWith [web, app]");
    assert_eq!(parts[0].actual.as_deref(), Some("web1"));
    assert_eq!(
        (parts[1].label.as_str(), parts[1].holds, parts[1].actual.clone()),
        ("osPlatform exists", Some(false), None)
    );
}
