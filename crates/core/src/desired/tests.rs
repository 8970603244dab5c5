//! Templates, from the text of a policy to tags on devices.
//!
//! Tests only.

use serde_json::{Value, json};

use super::*;
use crate::inventory::fleet;
use crate::policy::with_table;
use crate::selection::{HuntingResults, select_stated};

/// Evaluates a policy with the table `cmdb.csv` and passes the outcome to `look`.
fn with<T>(policy: &str, cmdb: &str, devices: &[Value], look: impl Fn(&Desired<'_>) -> T) -> T {
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let (_, policy) = with_table(policy, cmdb, now);
    let snapshot = fleet(devices);
    let selections = select_stated(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    look(&desired)
}

/// The tags that a policy gives to each device, joined by a space.
fn tags(policy: &str, cmdb: &str, devices: &[Value]) -> Vec<String> {
    with(policy, cmdb, devices, |desired| {
        desired.snapshot.rows().map(|row| desired.tags_of(row).join(" ")).collect()
    })
}

const CMDB: &str = "lookups: { cmdb: { file: cmdb.csv, key: host, match: deviceName } }\n";

fn stages(template: &str) -> Vec<String> {
    let maps = "maps: { stage: { PRD: prod, 'Production (EU)': prod, '*': other }, strict: { PRD: prod }, rule: { PRD: '--' } }";
    let rule = format!("rules: [{{ name: r, select: {{ everything: true }}, tags: ['{template}'] }}]");
    let devices = ["prd", "eu", "dev", "blank", "alien"];
    let devices: Vec<Value> = devices.iter().map(|name| json!({"computerDnsName": name})).collect();
    let table = "host,stage\nprd,prd\neu,PRODUCTION (EU)\ndev,Dev\nblank,\n";
    tags(&format!("claims: ['s:*']\n{maps}\n{CMDB}{rule}\n"), table, &devices)
}

#[test]
fn a_star_is_every_other_value_and_never_a_missing_one() {
    assert_eq!(stages("s:{lookup.cmdb.stage|map:stage}"), ["s:prod", "s:prod", "s:other", "", ""]);
}

#[test]
fn a_value_that_the_map_does_not_hold_is_missing() {
    assert_eq!(stages("s:{lookup.cmdb.stage|map:strict}"), ["s:prod", "", "", "", ""]);
}

#[test]
fn a_cell_that_holds_the_guid_of_zeros_is_empty() {
    let rule = "rules: [{ name: r, select: { lookup.cmdb.owner: { exists: true } }, tags: [owned] },
        { name: t, select: { everything: true }, tags: ['o:{lookup.cmdb.owner}'] }]";
    let devices = [json!({"computerDnsName": "web1"}), json!({"computerDnsName": "web2"})];
    let table = "host,owner\nweb1,00000000-0000-0000-0000-000000000000\nweb2,1\n";
    assert_eq!(tags(&format!("{CMDB}{rule}\n"), table, &devices), ["", "o:1 owned"]);
}

#[test]
fn a_default_stands_in_for_what_is_missing_at_its_place_in_the_row_of_filters() {
    let none = ["s:prod", "s:none", "s:none", "s:none", "s:none"];
    assert_eq!(stages("s:{lookup.cmdb.stage|map:strict|default:none}"), none);
    let first = ["s:prod", "", "", "s:prod", "s:prod"];
    assert_eq!(stages("s:{lookup.cmdb.stage|default:PRD|map:strict}"), first);
    let upper = ["s:PROD", "s:NONE", "s:NONE", "s:NONE", "s:NONE"];
    assert_eq!(stages("s:{lookup.cmdb.stage|map:strict|default:none|upper}"), upper);
    let emptied = "s:{lookup.cmdb.stage|map:rule|slug|default:x}";
    assert_eq!(stages(emptied)[0], "s:x", "empty counts as missing");
}

#[test]
fn every_missing_tag_has_its_reason_and_the_value_that_was_no_use() {
    let policy = "
claims: ['s:*']
maps: { stage: { PRD: prod } }
rules:
  - { name: a, select: { everything: true }, tags: ['s:{lookup.cmdb.stage|map:stage}'] }
  - { name: b, select: { everything: true }, tags: ['t:{lookup.cmdb.stage|slug}'] }
  - { name: c, select: { everything: true }, tags: ['u:{lookup.cmdb.stage|default:none}:{osPlatform}'] }
  - { name: d, select: { deviceName: prd }, tags: ['v:{lookup.cmdb.note}:{lookup.cmdb.stage}'] }
";
    let devices = ["prd", "odd", "blank", "alien"].map(|name| json!({"computerDnsName": name}));
    let table = "host,stage,note\nprd,PRD,\"a\u{1}b\"\nodd,--,\nblank,,\n";
    let found = with(&format!("{CMDB}{policy}"), table, &devices, |desired| desired.unresolved.clone());
    let shown: Vec<String> = found
        .iter()
        .map(|entry| {
            let reasons = entry.reasons.iter().map(|(reason, count)| format!("{reason}={count}"));
            let reasons = reasons.collect::<Vec<_>>().join(" ");
            format!("{} {} {reasons} {:?}", entry.rule, entry.placeholder, entry.sample)
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"0 lookup.cmdb.stage noRow=1 emptyCell=1 notInMap=1 ["--"]"#,
            r#"1 lookup.cmdb.stage noRow=1 emptyCell=1 emptySlug=1 ["--"]"#,
            r#"2 osPlatform missing=4 []"#,
            r#"3 lookup.cmdb.note, lookup.cmdb.stage unusable=1 ["v:a\u{1}b:PRD"]"#,
        ]
    );
}

#[test]
fn what_nobody_knows_says_whether_rows_differ_or_end_early() {
    let lookup = "lookups: { cmdb: { file: cmdb.csv, key: host, match: deviceName, onConflict: missing } }\n";
    let rule =
        "rules: [{ name: r, select: { everything: true }, tags: ['o:{lookup.cmdb.e|default:none}'] }]\n";
    let reasons = |table: &str| {
        let devices = ["d1", "d2", "d3"].map(|name| json!({"computerDnsName": name}));
        with(&format!("{lookup}{rule}"), table, &devices, |desired| {
            let reasons = desired.unresolved.iter().flat_map(|entry| &entry.reasons);
            reasons.map(|(reason, count)| format!("{reason}={count}")).collect::<Vec<_>>().join(" ")
        })
    };
    assert_eq!(reasons("h,host,e\n1,d1\n2,d2,x\n2,d2,y\n3,d3,\n"), "conflict=1 shortRow=1");
    assert_eq!(
        reasons("h,host,e\n1,d1\n1,d1,x\n"),
        "conflict=1",
        "a row that has it and one that has not differ"
    );
}
