//! Unknown data changes nothing: lookups whose rows contradict each other, end early, or match no device.
//!
//! Tests only.

use serde_json::{Value, json};

use super::*;
use crate::desired::desire;
use crate::inventory::fleet;
use crate::policy::with_table;
use crate::selection::{HuntingResults, select};
use crate::time::Timestamp;

const CMDB: &str =
    "lookups: { cmdb: { file: cmdb.csv, key: host, match: deviceName, onConflict: missing } }\n";

/// `web1` has two rows that differ in `env`, `db1` has one.
const TABLE: &str = "host,env,owner\nweb1,prod,ops\ndb1,prod,ops\nweb1,test,ops\n";

/// The plan of a policy with the table `cmdb.csv`.
fn planned(policy: &str, cmdb: &str, devices: &[Value]) -> Plan {
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let (sources, policy) = with_table(policy, cmdb, now);
    let snapshot = fleet(devices);
    let selections = select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    diff(&desired, &History::default(), Header::default(), &sources)
}

/// The changes of a plan as `DEVICE +TAG`; withheld ones start with `?` and name the rule that decides.
fn changes(policy: &str, cmdb: &str, devices: &[Value]) -> Vec<String> {
    let plan = planned(policy, cmdb, devices);
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

#[test]
fn a_template_under_an_undecided_rule_is_written_no_more_than_a_literal() {
    let policy = format!(
        "claims: ['os:*']\n{CMDB}rules: [{{ name: r, select: {{ lookup.cmdb.env: prod }}, tags: ['os:{{osPlatform}}'] }}]\n"
    );
    let with_platform =
        |name: &str| json!({"computerDnsName": name, "machineTags": ["os:old"], "osPlatform": "Windows11"});
    let found = changes(&policy, TABLE, &[with_platform("web1"), with_platform("db1")]);
    assert_eq!(
        found,
        [
            "db1 +os:Windows11",
            "db1 -os:old",
            "web1 +os:Windows11 ? unresolved r",
            "web1 -os:old ? unresolved r"
        ]
    );
    let perhaps = format!(
        "{CMDB}rules: [{{ name: r, select: {{ lookup.cmdb.env: prod }}, tags: ['os:{{osPlatform}}'] }},
            {{ name: s, select: {{ deviceName: web1 }}, removeTags: ['os:*'] }}]\n"
    );
    let found = changes(&perhaps, TABLE, &[with_platform("web1")]);
    assert_eq!(
        found,
        ["web1 +os:Windows11 ? unresolved r", "web1 -os:old"],
        "they perhaps contradict each other"
    );
}

#[test]
fn a_template_of_unknown_data_may_yield_any_tag_that_it_matches() {
    let all = "{ everything: true }";
    let template = format!("{{ name: t, select: {all}, tags: ['F{{lookup.cmdb.env}}'] }}");
    let family = format!(
        "families: {{ f: [Fprod, F2] }}\n{CMDB}rules: [{template}, {{ name: s, select: {all}, tags: [F2] }}]\n"
    );
    let found = changes(&family, TABLE, &[device("web1", &[])]);
    assert_eq!(found, ["web1 +F2 ? unresolved t"], "a stronger member may be given");
    let retired = format!("retire: ['F*']\n{CMDB}rules: [{template}]\n");
    let found = changes(&retired, TABLE, &[device("web1", &["Ftest"]), device("x", &["Ftest"])]);
    assert_eq!(found, ["web1 -Ftest ? unresolved t", "x -Ftest"], "a tag that is given is not retired");
    let lower = format!(
        "{CMDB}rules: [{template}, {{ name: s, select: {all}, removeTags: [Ftest], priority: -1 }}]\n"
    );
    let found = changes(&lower, TABLE, &[device("web1", &["Ftest"])]);
    assert_eq!(found, ["web1 -Ftest ? unresolved t"], "a weaker rule forbids it");
}

#[test]
fn a_rename_waits_for_what_may_forbid_its_new_name() {
    let one = "renames: { old: new }
rules: [{ name: r, select: { lookup.cmdb.env: prod }, removeTags: [new] }]\n";
    let found = changes(&format!("{CMDB}{one}"), TABLE, &[device("web1", &["old"]), device("x", &["old"])]);
    assert_eq!(found, ["web1 +new ? unresolved r", "web1 -old ? unresolved r", "x +new", "x -old"]);
    let both = "renames: { old: new }
rules: [{ name: r, select: { lookup.cmdb.env: prod }, removeTags: [new] },
    { name: s, select: { not: { lookup.cmdb.env: prod } }, removeTags: [new] }]\n";
    let found = changes(&format!("{CMDB}{both}"), TABLE, &[device("web1", &["old"])]);
    assert_eq!(found, ["web1 +new ? unresolved r", "web1 -old ? unresolved r"]);
}

#[test]
fn an_old_name_stays_while_no_rule_in_force_could_give_the_new_one() {
    for dates in ["from: 2027-01-01", "until: 2026-01-01"] {
        let policy = format!(
            "claims: [new]\nrenames: {{ old: new }}\nrules: [{{ name: r, select: {{ everything: true }}, tags: [new], {dates} }}]\n"
        );
        assert_eq!(changes(&policy, TABLE, &[device("web1", &["old"])]), Vec::<String>::new());
    }
}

#[test]
fn a_rename_waits_for_a_template_without_data_that_could_yield_the_old_name() {
    let policy = "claims: ['t:*']\nrenames: { 't:a': z }
rules: [{ name: t, select: { everything: true }, tags: ['t:{domain}'] }]\n";
    let found = changes(
        &format!("{CMDB}{policy}"),
        TABLE,
        &[device("web1", &["t:a"]), device("db1.a", &["t:a"]), device("x.b", &["t:a"])],
    );
    assert_eq!(
        found,
        ["web1 +z ? unresolved t", "web1 -t:a ? unresolved t", "x.b +t:b", "x.b +z", "x.b -t:a"]
    );
}

#[test]
fn a_rule_that_may_hold_is_not_said_to_hold_for_no_device() {
    let policy = format!("{CMDB}rules: [{{ name: r, select: {{ lookup.cmdb.env: test }}, tags: [t] }}]\n");
    let meant = policy.replace("tags: [t]", "tags: [t], lints: { N0601: none yet }");
    let notes = |policy: &str, devices: &[Value]| {
        planned(policy, TABLE, devices).warnings.iter().filter(|one| &*one.code == "N0601").count()
    };
    assert_eq!(notes(&policy, &[device("web1", &[])]), 0);
    assert_eq!(notes(&policy, &[device("db1", &[])]), 1);
    assert_eq!(notes(&meant, &[device("db1", &[])]), 0, "the rule says that it is meant");
}

#[test]
fn a_lookup_that_is_about_no_device_is_no_conflict() {
    let policy = format!(
        "{CMDB}rules: [{{ name: r, select: {{ everything: true }}, tags: ['o:{{lookup.cmdb.owner}}'] }}]"
    );
    let plan = planned(&policy, "host,owner\ngone,ops\n", &[device("web1", &[]), device("db1", &[])]);
    let reasons: Vec<_> = plan.unresolved.iter().flat_map(|entry| &entry.reasons).collect();
    assert_eq!(reasons, [(&GapReason::Unmatched, &2)]);
}
