//! A plan on unknown data is right whatever the data is: random policies are compared with each value that it may have.
//!
//! Tests only. Policies are text, so that the parser's handling of selectors and templates is tested too.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::diagnostic::{Source, Sources};
use crate::inventory::fleet;
use crate::policy::resolve;
use crate::random::SeededNumbers;
use crate::selection::{HuntingResults, select};
use crate::tag::TagCase;
use crate::time::Timestamp;

const TAGS: [&str; 6] = ["Old", "New", "A", "F1", "F2", "other"];

/// Data that leaves the device `d` open.
const UNKNOWN: [(&str, &str); 3] = [
    ("a row that ends early", "host,env\nd\ne,3\n"),
    ("rows that differ", "host,env\nd,1\nd,2\ne,3\n"),
    ("a table of no device", "host,env\nz,1\n"),
];

/// The possible values of that data.
const KNOWN: [&str; 5] = ["d,1\ne,3", "d,2\ne,3", "d,3\ne,3", "d,\ne,3", "e,3"];

/// Statements of a policy, each picked by a seed.
struct Policies(SeededNumbers);

impl Policies {
    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[(self.0.number() % items.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.0.number() % 100 < percent
    }

    /// The rest of a rule: its effect and its priority.
    fn order(&mut self) -> String {
        let order = match self.0.number() % 10 {
            0..3 => format!("tags: [{}]", self.pick(&TAGS)),
            3 => format!("tags: [{}], removeTags: ['*']", self.pick(&TAGS)),
            4 | 5 => format!("removeTags: [{}]", self.pick(&[&TAGS[..], &["'F*'", "'*'"]].concat())),
            6 => format!("deviceValue: {}", self.pick(&["Low", "High"])),
            _ => {
                let templates = [
                    "F{osBuild}",
                    "F{lookup.c.env}",
                    "O{lookup.c.env|map:ld}",
                    "N{lookup.c.env|map:ew}",
                    "F{agentVersion}",
                    "o{osPlatform|lower}",
                ];
                let ban = self.pick(&["", "", ", removeTags: ['F*']", ", removeTags: ['*']"]);
                format!("tags: ['{}']{ban}", self.pick(&templates))
            }
        };
        format!("{order}, priority: {}", self.pick(&["0", "0", "1", "2", "-1"]))
    }

    fn text(mut self) -> String {
        let mut text = "version: 1
lookups: { c: { file: c.csv, key: host, match: deviceName, onConflict: missing } }
maps: { ld: { 1: ld, 2: ther }, ew: { 1: ew, '*': o } }\n"
            .to_owned();
        let mut sometimes = |this: &mut Policies, percent: u64, lines: &[&str]| {
            if this.chance(percent) {
                text += this.pick(lines);
                text.push('\n');
            }
        };
        let renames =
            ["Old: New", "Old: A, A: New", "Old: F1", "F1: New", "Old: New, A: New", "F2: A, F1: A"];
        let renames = renames.map(|renames| format!("renames: {{ {renames} }}"));
        sometimes(&mut self, 70, &renames.each_ref().map(String::as_str));
        sometimes(&mut self, 40, &["families: { f: [F1, F2] }", "families: { f: [A, F1, F2] }"]);
        sometimes(
            &mut self,
            60,
            &["claims: [New]", "claims: ['*']", "claims: [A, Old]", "claims: ['F*']", "claims: [F2, New]"],
        );
        sometimes(&mut self, 25, &["retire: [A]", "retire: ['F*']", "retire: ['N*']"]);
        sometimes(&mut self, 20, &["deviceValue: { default: Normal }"]);
        text += "rules:\n";
        for index in 0..1 + self.0.number() % 4 {
            let selectors = [
                "lookup.c.env: '1'",
                "lookup.c.env: '1'",
                "not: { lookup.c.env: '1' }",
                "lookup.c.env: { exists: true }",
                "everything: true",
                "deviceName: { exists: true }",
            ];
            let (select, order) = (self.pick(&selectors), self.order());
            text += &format!("  - {{ name: r{index}, select: {{ {select} }}, {order} }}\n");
        }
        text
    }
}

/// The changes of the device `d`: none if the policy is invalid, an error if rules contradict each other.
fn planned(
    policy: &str,
    table: &str,
    tags: &[&str],
    value: &str,
) -> Option<Result<BTreeSet<String>, Vec<String>>> {
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let mut sources =
        Sources { files: vec![Source::new("p.yaml", 0, "p.yaml", policy)], ..Sources::default() };
    sources.data.insert((0, "c.csv".to_owned()), Ok(table.as_bytes().into()));
    let (policy, findings) = resolve(&sources, TagCase::Exact, now);
    if findings.iter().any(|finding| finding.code.starts_with('E')) {
        return None;
    }
    let device = |name: &str, tags: &[&str]| {
        json!({"id": name, "computerDnsName": name, "machineTags": tags, "deviceValue": value, "osBuild": 1,
            "osPlatform": "THER"})
    };
    let snapshot = fleet(&[device("d", tags), device("e", &[])]);
    let selections = select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = match desire(&policy, &snapshot, &selections, now) {
        Ok(desired) => desired,
        Err(found) => return Some(Err(found.into_iter().map(|found| found.message).collect())),
    };
    let plan = diff(&desired, &History::default(), Header::default(), &sources);
    let mut changes = BTreeSet::new();
    for device in plan.changes.iter().filter(|device| &*device.id == "d") {
        changes.extend(device.add.iter().map(|add| format!("+{}", plan.tag(add.tag))));
        changes.extend(device.remove.iter().map(|remove| format!("-{}", plan.tag(remove.tag))));
        changes.extend(device.value.iter().map(|value| format!("={}", value.to)));
    }
    Some(Ok(changes))
}

fn check(seed: u64) -> Result<(), TestCaseError> {
    let policy = Policies(SeededNumbers::new(seed)).text();
    let tags: Vec<&str> = TAGS
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| seed >> (bit + 7) & 1 == 1)
        .map(|(_, tag)| tag)
        .collect();
    let value = ["Low", "Normal", "High"][(seed % 3) as usize];
    let (what, unknown) = UNKNOWN[(seed / 3 % 3) as usize];
    let Some(found) = planned(&policy, unknown, &tags, value) else { return Ok(()) };
    for rows in KNOWN {
        let known = planned(&policy, &format!("host,env\n{rows}\n"), &tags, value);
        let known = known.expect("what is in a table makes no policy invalid");
        match (&found, known) {
            // The rules' author must resolve the conflict; with that data, nothing is planned at all.
            (_, Err(_)) => {}
            (Err(conflicts), Ok(_)) => {
                prop_assert!(
                    false,
                    "{what} makes a conflict, `{rows}` none: {conflicts:?}\n{tags:?}\n{policy}"
                );
            }
            (Ok(found), Ok(known)) => prop_assert!(
                found.is_subset(&known),
                "{what}: {found:?}, but with `{rows}` {known:?}, live {tags:?} {value}\n{policy}"
            ),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_planned_on_unknown_data_is_planned_whatever_the_data_is(seed in any::<u64>()) {
        check(seed)?;
    }
}
