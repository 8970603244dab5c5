//! What unknown data leaves alone: lookups whose rows contradict each other, end early, or are about no device.
//!
//! Tests only.

use serde_json::{Value, json};

use super::*;
use crate::desired::desire;
use crate::diagnostic::{Source, Sources};
use crate::inventory::fleet;
use crate::policy::resolve;
use crate::selection::{HuntingResults, select};
use crate::tag::TagCase;
use crate::time::Timestamp;

const CMDB: &str =
    "lookups: { cmdb: { file: cmdb.csv, key: host, match: deviceName, onConflict: missing } }\n";

/// `web1` is in two rows that differ in `env`, `db1` in one.
const TABLE: &str = "host,env,owner\nweb1,prod,ops\ndb1,prod,ops\nweb1,test,ops\n";

/// The changes of a plan, each as `DEVICE +TAG`; those that are withheld after `?` with the rule that decides.
fn changes(policy: &str, cmdb: &str, devices: &[Value]) -> Vec<String> {
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let text = format!("version: 1\n{policy}");
    let mut sources = Sources { files: vec![Source::new("p.yaml", 0, "p.yaml", text)], ..Sources::default() };
    sources.data.insert((0, "cmdb.csv".to_owned()), Ok(cmdb.as_bytes().into()));
    let (policy, findings) = resolve(&sources, TagCase::Exact, now);
    assert!(findings.iter().all(|finding| !finding.code.starts_with('E')), "{findings:#?}");
    let snapshot = fleet(devices);
    let selections = select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    let plan = diff(&desired, &History::default(), Header::default(), &sources);
    let mut told = Vec::new();
    let mut tell = |device: &DeviceChange, withheld: &str| {
        let name = device.name.as_deref().unwrap_or_default();
        let adds = device.add.iter().map(|add| format!("+{}", plan.tag(add.tag)));
        let removes = device.remove.iter().map(|remove| format!("-{}", plan.tag(remove.tag)));
        let values = device.value.iter().map(|value| format!("={}", value.to));
        told.extend(adds.chain(removes).chain(values).map(|what| format!("{name} {what}{withheld}")));
    };
    plan.changes.iter().for_each(|device| tell(device, ""));
    for group in &plan.withheld {
        let name = group.name.as_deref().unwrap_or_default();
        group.devices.iter().for_each(|device| tell(device, &format!(" ? {} {name}", group.reason.word())));
    }
    told.sort();
    told
}

fn device(name: &str, tags: &[&str]) -> Value {
    json!({"computerDnsName": name, "machineTags": tags, "deviceValue": "Normal"})
}

#[test]
fn a_rule_on_an_unknown_column_neither_gives_nor_takes() {
    let policy = format!(
        "claims: [env/prod]\n{CMDB}rules: [{{ name: prod, select: {{ lookup.cmdb.env: prod }}, tags: [env/prod] }}]\n"
    );
    let found = changes(&policy, TABLE, &[device("web1", &[]), device("db1", &[])]);
    assert_eq!(found, ["db1 +env/prod", "web1 +env/prod ? unresolved prod"]);
    let live = changes(&policy, TABLE, &[device("web1", &["env/prod"]), device("other", &["env/prod"])]);
    assert_eq!(live, ["other -env/prod", "web1 -env/prod ? unresolved prod"]);
}

#[test]
fn a_column_in_which_the_rows_agree_is_known() {
    let policy = format!(
        "claims: [ops]\n{CMDB}rules: [{{ name: ops, select: {{ lookup.cmdb.owner: ops }}, tags: [ops] }}]\n"
    );
    assert_eq!(changes(&policy, TABLE, &[device("web1", &[])]), ["web1 +ops"]);
}

#[test]
fn a_change_is_written_where_it_is_the_same_whether_the_rule_holds_or_not() {
    let rules = "rules: [{ name: prod, select: { lookup.cmdb.env: prod }, tags: [t], priority: 1 },
        { name: all, select: { everything: true }, tags: [t], removeTags: [old, both] },
        { name: test, select: { lookup.cmdb.env: test }, removeTags: [both, maybe] }]\n";
    let policy = format!("{CMDB}{rules}");
    let found = changes(&policy, TABLE, &[device("web1", &["old", "both", "maybe", "mine"])]);
    assert_eq!(found, ["web1 +t", "web1 -both", "web1 -maybe ? unresolved test", "web1 -old"]);
}

#[test]
fn an_unknown_rule_that_could_forbid_or_outrank_holds_what_it_decides() {
    let rules = "rules: [{ name: prod, select: { lookup.cmdb.env: prod }, removeTags: [t], priority: 1 },
        { name: all, select: { everything: true }, tags: [t] }]\n";
    assert_eq!(
        changes(&format!("{CMDB}{rules}"), TABLE, &[device("web1", &[])]),
        ["web1 +t ? unresolved prod"]
    );
    let family = "families: { stage: [A, B] }
rules: [{ name: prod, select: { lookup.cmdb.env: prod }, tags: [A] }, { name: all, select: { everything: true }, tags: [B] }]\n";
    let found = changes(&format!("{CMDB}{family}"), TABLE, &[device("web1", &[]), device("db1", &["B"])]);
    assert_eq!(
        found,
        ["db1 +A", "db1 -B", "web1 +A ? unresolved prod", "web1 +B ? unresolved prod"],
        "which of the two stays is unknown"
    );
    let live = changes(&format!("{CMDB}{family}"), TABLE, &[device("web1", &["B"])]);
    assert_eq!(live, ["web1 +A ? unresolved prod", "web1 -B ? unresolved prod"]);
}

#[test]
fn two_rules_that_contradict_each_other_only_perhaps_are_no_conflict() {
    let rules = "rules: [{ name: prod, select: { lookup.cmdb.env: prod }, tags: [t] },
        { name: all, select: { deviceName: web1 }, removeTags: [t] }]\n";
    let found = changes(&format!("{CMDB}{rules}"), TABLE, &[device("web1", &["t"])]);
    assert_eq!(found, ["web1 -t ? unresolved prod"]);
}

#[test]
fn a_value_that_depends_on_an_unknown_column_is_left_alone() {
    let rules = "deviceValue: { default: Low }
rules: [{ name: prod, select: { lookup.cmdb.env: prod }, deviceValue: High }]\n";
    let found = changes(&format!("{CMDB}{rules}"), TABLE, &[device("web1", &[]), device("db1", &[])]);
    assert_eq!(found, ["db1 =High", "web1 =Low ? unresolved prod"]);
    let rules = "rules: [{ name: prod, select: { lookup.cmdb.env: prod }, deviceValue: High }]\n";
    let found = changes(&format!("{CMDB}{rules}"), TABLE, &[device("web1", &[])]);
    assert_eq!(found, ["web1 =High ? unresolved prod"]);
}

#[test]
fn an_unknown_column_in_a_template_concerns_that_template_only() {
    let rules = "claims: ['env:*', 'own:*']
rules: [{ name: both, select: { everything: true }, tags: ['env:{lookup.cmdb.env|default:none}', 'own:{lookup.cmdb.owner}'] }]\n";
    let found = changes(&format!("{CMDB}{rules}"), TABLE, &[device("web1", &["env:prod", "own:old"])]);
    assert_eq!(found, ["web1 +own:ops", "web1 -env:prod ? unresolved both", "web1 -own:old"]);
}

#[test]
fn a_row_that_ends_early_leaves_unknown_what_it_lacks() {
    let policy = "claims: [ops]
lookups: { cmdb: { file: cmdb.csv, key: host, match: deviceName } }
rules: [{ name: ops, select: { lookup.cmdb.owner: ops }, tags: [ops] }]\n";
    let found = changes(
        policy,
        "host,env,owner\nweb1,prod\ndb1,prod,\n",
        &[device("web1", &["ops"]), device("db1", &["ops"])],
    );
    assert_eq!(found, ["db1 -ops", "web1 -ops ? unresolved ops"]);
}

#[test]
fn an_old_name_stays_where_a_rule_that_could_give_the_new_one_is_unresolved() {
    let unknown = "claims: [new]\nrenames: { old: new }
rules: [{ name: prod, select: { lookup.cmdb.env: prod }, tags: [new] }]\n";
    let found = changes(&format!("{CMDB}{unknown}"), TABLE, &[device("web1", &["old"])]);
    assert_eq!(found, ["web1 +new ? unresolved prod", "web1 -old ? unresolved prod"]);
    let gap = "claims: ['env:*']\nrenames: { old: 'env:prod' }
rules: [{ name: env, select: { everything: true }, tags: ['env:{lookup.cmdb.env}'] }]\n";
    let found =
        changes(&format!("{CMDB}{gap}"), TABLE, &[device("alien", &["old"]), device("db1", &["old"])]);
    assert_eq!(found, ["alien -old ? unresolved env", "db1 +env:prod", "db1 -old"]);
    let unclaimed = "renames: { old: new }
rules: [{ name: prod, select: { lookup.cmdb.env: prod }, tags: [new] }]\n";
    let found = changes(&format!("{CMDB}{unclaimed}"), TABLE, &[device("web1", &["old"])]);
    assert_eq!(found, ["web1 +new", "web1 -old"], "it gets the new name by the rule or by the rename");
}

#[test]
fn a_removal_waits_for_an_addition_that_is_unresolved() {
    let policy = format!(
        "claims: ['env/*']\n{CMDB}rules: [{{ name: prod, select: {{ lookup.cmdb.env: prod }}, tags: [env/prod] }}]\n"
    );
    let found = changes(&policy, TABLE, &[device("web1", &["env/legacy", "other"])]);
    assert_eq!(found, ["web1 +env/prod ? unresolved prod", "web1 -env/legacy ? unresolved prod"]);
}
