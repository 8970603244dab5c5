//! Runs policy tests: each test's device goes through the same stages as the tenant's devices, alone.
//!
//! `policy` reads the test files, `report` decides how a failure looks.

mod queries;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::desired;
use crate::device::{DeviceValue, Field};
use crate::diagnostic::{Diagnostic, Sources, Span};
use crate::explain::{self, Explanation, tags_after};
use crate::groups::group_of;
use crate::inventory::{Row, Snapshot, SnapshotBuilder, UntrustedReason};
use crate::plan::{self, Header, History, Plan};
use crate::policy::{
    Expectations, Lookup, LookupRows, LookupSource, Policy, PolicyTest, PolicyTests, TestValue,
};
use crate::selection::{self, HuntingResults, Selections};
use crate::text;
use crate::time::Timestamp;

/// The id of a test device that has none.
const NAMELESS: &str = "device-of-this-test";

/// The results of all tests.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// One entry per test, in their order.
    pub tests: Vec<Rehearsed>,
    /// Rules that selected no test's device: indices into [`Policy::rules`].
    pub unmatched: Vec<u32>,
}

impl Rehearsal {
    /// How many tests failed.
    pub fn failed(&self) -> usize {
        self.tests.iter().filter(|test| !test.has_passed()).count()
    }
}

/// The result of one test.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The sentence that names the test.
    pub name: String,
    /// Its place in the test files.
    pub span: Span,
    /// Expectations that are not met.
    pub failures: Vec<Failure>,
    /// Why the device has its state; only if an expectation failed.
    pub explanation: Option<Explanation>,
    /// Why the test could not run: conflicts between rules (places in the policy files).
    pub conflicts: Vec<Diagnostic>,
    /// Why the test could not run, one sentence each: an impossible device, a lookup that the policy lacks.
    pub problems: Vec<String>,
}

impl Rehearsed {
    /// Whether all expectations hold.
    pub fn has_passed(&self) -> bool {
        self.failures.is_empty() && self.conflicts.is_empty() && self.problems.is_empty()
    }
}

/// An expectation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The key in `expect`: `tags`, `includes`, `excludes`, `removes`, `deviceValue`, `rules`, `group`.
    pub key: &'static str,
    /// The expected items, bytewise; for `excludes` those that should be absent.
    pub expected: Vec<String>,
    /// The actual items, bytewise; for `deviceValue` empty if the policy gives none.
    pub actual: Vec<String>,
    /// The place of the expectation in the test files.
    pub span: Span,
}

impl Failure {
    /// Expected items that are absent.
    pub fn missing(&self) -> Vec<&str> {
        let lacking = self.expected.iter().filter(|item| !self.actual.contains(item));
        if self.key == "excludes" { Vec::new() } else { lacking.map(String::as_str).collect() }
    }

    /// Items that are present and not expected.
    pub fn unexpected(&self) -> Vec<&str> {
        let is_unexpected = |item: &&String| match self.key {
            "includes" => false,
            "excludes" => self.expected.contains(item),
            _ => !self.expected.contains(item),
        };
        self.actual.iter().filter(is_unexpected).map(String::as_str).collect()
    }
}

/// The state that the policy wants for a test's device.
struct RehearsedDevice {
    tags: Vec<String>,
    removes: Vec<String>,
    value: Option<DeviceValue>,
    rules: Vec<u32>,
}

/// Runs all tests. `now` is the clock of tests without their own; `hunting` has recorded results, and a query without one selects
/// nothing.
pub fn rehearse(
    policy: &Policy,
    sources: &Sources,
    tests: &PolicyTests,
    hunting: &HuntingResults,
    now: Timestamp,
) -> Rehearsal {
    // Tests state the rows of lookups themselves, so that changes of data files do not break them.
    let mut bare = policy.clone();
    for lookup in &mut bare.lookups {
        lookup.rows = Arc::default();
        lookup.is_void |= lookup.query().is_some();
        lookup.source = LookupSource::File(lookup.title());
    }
    let hunting = queries::completed(policy, hunting);
    let mut is_matched = vec![false; policy.rules.len()];
    let rehearsed = tests
        .tests
        .iter()
        .map(|test| rehearse_test(&bare, sources, test, &hunting, test.now.unwrap_or(now), &mut is_matched))
        .collect();
    let unmatched = (0..policy.rules.len() as u32).filter(|rule| !is_matched[*rule as usize]).collect();
    Rehearsal { tests: rehearsed, unmatched }
}

fn rehearse_test(
    bare: &Policy,
    sources: &Sources,
    test: &PolicyTest,
    hunting: &HuntingResults,
    now: Timestamp,
    is_matched: &mut [bool],
) -> Rehearsed {
    let mut rehearsed = Rehearsed {
        name: test.name.clone(),
        span: test.span,
        failures: Vec::new(),
        explanation: None,
        conflicts: Vec::new(),
        problems: Vec::new(),
    };
    let mut policy = bare.clone();
    rehearsed.problems = fill_lookups(&mut policy, test);
    policy.stated_superseded = test.superseded;
    let snapshot = match snapshot(test) {
        Ok(snapshot) => snapshot,
        Err(problem) => {
            rehearsed.problems.push(problem);
            return rehearsed;
        }
    };
    // The stated row belongs to this device whatever its key is, so it is joined by the device's id.
    for lookup in &mut policy.lookups {
        lookup.matches = Field::Id;
        let keys = &mut Arc::make_mut(&mut lookup.rows).keys;
        keys.iter_mut().for_each(|key| *key = snapshot.id(Row(0)).to_owned());
    }
    let (hunting, unknown) = queries::stated(&policy, sources, test, hunting, snapshot.id(Row(0)));
    rehearsed.problems.extend(unknown);
    let hunting = &hunting;
    let selections = match selection::select_stated(&policy, &snapshot, hunting, now) {
        Ok(selections) => selections,
        Err(findings) => {
            rehearsed.conflicts = findings;
            return rehearsed;
        }
    };
    let rules = selecting(&selections);
    rules.iter().for_each(|rule| is_matched[*rule as usize] = true);
    let desired = match desired::desire(&policy, &snapshot, &selections, now) {
        Ok(desired) => desired,
        Err(conflicts) => {
            rehearsed.conflicts = conflicts;
            return rehearsed;
        }
    };
    let plan = plan::diff(&desired, &History::default(), Header::default(), sources);
    let is_protected = desired.protected.contains(Row(0));
    let tags = if is_protected { Vec::new() } else { desired.tags_of(Row(0)) };
    let outcome = RehearsedDevice {
        tags: tags.iter().map(|tag| tag.to_string()).collect(),
        removes: removes(&plan),
        value: desired.value_of(Row(0)).filter(|_| !is_protected),
        rules,
    };
    rehearsed.failures = failures(&test.expect, &outcome, &policy);
    check_group(test, &policy, (&snapshot, &plan), &mut rehearsed);
    if !rehearsed.failures.is_empty() {
        rehearsed.explanation = Some(explain::explain(&desired, &plan, hunting, sources, Row(0), None));
    }
    rehearsed
}

/// Compares the device group after the plan with the expectation.
fn check_group(
    test: &PolicyTest,
    policy: &Policy,
    (snapshot, plan): (&Snapshot, &Plan),
    rehearsed: &mut Rehearsed,
) {
    let Some(stated) = &test.expect.group else { return };
    let Some((groups, _)) = &policy.device_groups else {
        let problem = "the test expects a device group, and no policy file has `deviceGroups`";
        rehearsed.problems.push(problem.to_owned());
        return;
    };
    let Some(expected) = groups.find(&stated.value) else {
        rehearsed.problems.push(format!("there is no device group `{}` in {}", stated.value, groups.file));
        return;
    };
    let actual = group_of(groups, snapshot, Row(0), &tags_after(snapshot, plan, Row(0)));
    if actual != expected {
        let name = |index| vec![groups.name(index).to_owned()];
        let failure =
            Failure { key: "group", expected: name(expected), actual: name(actual), span: stated.span };
        rehearsed.failures.push(failure);
    }
}

/// The rules that select the device.
fn selecting(selections: &Selections) -> Vec<u32> {
    let rules = selections.rules.iter().enumerate();
    rules.filter(|(_, rows)| rows.contains(Row(0))).map(|(rule, _)| rule as u32).collect()
}

fn removes(plan: &Plan) -> Vec<String> {
    let removes = plan.changes.iter().flat_map(|change| &change.remove);
    removes.map(|remove| plan.tag(remove.tag).to_string()).collect()
}

fn failures(expect: &Expectations, outcome: &RehearsedDevice, policy: &Policy) -> Vec<Failure> {
    let sorted = |items: &[String]| {
        let mut items = items.to_vec();
        items.sort();
        items.dedup();
        items
    };
    let tags = sorted(&outcome.tags);
    let rules: Vec<String> =
        outcome.rules.iter().map(|rule| policy.rules[*rule as usize].name.clone()).collect();
    let exact = [
        ("tags", &expect.tags, &tags),
        ("removes", &expect.removes, &outcome.removes),
        ("rules", &expect.rules, &rules),
    ];
    let mut failures = Vec::new();
    for (key, expected, actual) in exact {
        let Some(stated) = expected else { continue };
        let (expected, actual) = (sorted(&stated.value), sorted(actual));
        if expected != actual {
            failures.push(Failure { key, expected, actual, span: stated.span });
        }
    }
    if let Some(stated) =
        expect.includes.as_ref().filter(|stated| stated.value.iter().any(|tag| !tags.contains(tag)))
    {
        failures.push(Failure {
            key: "includes",
            expected: sorted(&stated.value),
            actual: tags.clone(),
            span: stated.span,
        });
    }
    if let Some(stated) =
        expect.excludes.as_ref().filter(|stated| stated.value.iter().any(|tag| tags.contains(tag)))
    {
        failures.push(Failure {
            key: "excludes",
            expected: sorted(&stated.value),
            actual: tags.clone(),
            span: stated.span,
        });
    }
    if let Some(stated) = expect.device_value.as_ref().filter(|stated| outcome.value != Some(stated.value)) {
        let actual = outcome.value.iter().map(ToString::to_string).collect();
        let expected = vec![stated.value.to_string()];
        failures.push(Failure { key: "deviceValue", expected, actual, span: stated.span });
    }
    failures
}

/// Gives each lookup the row that the test states. Returns problems with names that the policy lacks.
fn fill_lookups(policy: &mut Policy, test: &PolicyTest) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, row) in &test.lookups {
        let Some(lookup) = policy.lookups.iter_mut().find(|lookup| lookup.name == *name) else {
            problems
                .push(format!("the test states a row of lookup `{name}`, which the policy does not have"));
            continue;
        };
        if !row.is_empty() {
            fill(lookup, row, &mut problems);
        }
    }
    problems
}

fn fill(lookup: &mut Lookup, row: &BTreeMap<String, String>, problems: &mut Vec<String>) {
    for column in row.keys().filter(|column| !lookup.is_void && !lookup.columns.contains(column)) {
        problems.push(format!("lookup `{}` has no column `{column}`", lookup.name));
    }
    let stated = |column: &String| row.get(column).filter(|cell| !text::is_zero_guid(cell));
    let cell = |column: &String| stated(column).map_or_else(|| "".into(), |cell| cell.as_str().into());
    let cells = lookup.columns.iter().map(cell).collect();
    let (keys, lines) = (vec![NAMELESS.to_owned()], vec![0]);
    lookup.rows = Arc::new(LookupRows { keys, cells, lines, ..LookupRows::default() });
}

/// A snapshot with only the test's device, in the form of the service's answer.
fn snapshot(test: &PolicyTest) -> Result<Snapshot, String> {
    let mut object = Map::new();
    for (name, value) in &test.device {
        let value = match value {
            TestValue::Null => Value::Null,
            TestValue::Boolean(boolean) => json!(boolean),
            TestValue::Number(digits) => {
                digits.parse::<i64>().map_or_else(|_| json!(digits), |number| json!(number))
            }
            TestValue::Text(text) => json!(text),
            TestValue::List(items) => json!(items),
        };
        object.insert(name.clone(), value);
    }
    name_device(&mut object);
    nest_metadata(&mut object);
    list_addresses(&mut object);
    object.entry("id").or_insert_with(|| json!(NAMELESS));
    let mut builder = SnapshotBuilder::new();
    builder
        .read_device(Value::Object(object).to_string().as_bytes())
        .map_err(|fault| format!("the device of the test cannot be read: {fault}"))?;
    let (snapshot, reasons) = builder.finish();
    for reason in reasons {
        if let UntrustedReason::UnreadableDevices { names, .. } = reason {
            return Err(format!(
                "the test's device has a value that its field cannot have: {}",
                names.join(", ")
            ));
        }
    }
    if snapshot.len() == 1 {
        Ok(snapshot)
    } else {
        Err("the `id` of the test's device is no device id".to_owned())
    }
}

/// Builds the name from `deviceName` and `domain`, which a test may state in its place.
fn name_device(object: &mut Map<String, Value>) {
    let parts = [object.remove("deviceName"), object.remove("domain")];
    if object.contains_key("computerDnsName") {
        return;
    }
    let parts: Vec<String> =
        parts.into_iter().flatten().filter_map(|part| part.as_str().map(str::to_owned)).collect();
    if !parts.is_empty() {
        object.insert("computerDnsName".to_owned(), json!(parts.join(".")));
    }
}

/// Moves `vmMetadata.vmId` and the like into an object of their own.
fn nest_metadata(object: &mut Map<String, Value>) {
    let dotted: Vec<String> = object.keys().filter(|key| key.starts_with("vmMetadata.")).cloned().collect();
    let mut metadata = Map::new();
    for key in dotted {
        let value = object.remove(&key).unwrap_or_default();
        metadata.insert(key["vmMetadata.".len()..].to_owned(), value);
    }
    if !metadata.is_empty() {
        object.insert("vmMetadata".to_owned(), Value::Object(metadata));
    }
}

/// Joins addresses and hardware addresses into the API's one list.
fn list_addresses(object: &mut Map<String, Value>) {
    let mut entries = Vec::new();
    for (key, inner) in [("ipAddresses", "ipAddress"), ("macAddresses", "macAddress")] {
        for item in object.remove(key).as_ref().and_then(Value::as_array).into_iter().flatten() {
            entries.push(json!({ inner: item }));
        }
    }
    if !entries.is_empty() {
        object.insert("ipAddresses".to_owned(), Value::Array(entries));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy;

    const POLICY: &str = "\
version: 1
claims: [Tier0, 'owner:*', Legacy]
rules:
  - name: domain-controllers
    select: { computerDnsName: { glob: 'dc*' } }
    tags: [Tier0]
    deviceValue: High
  - name: never
    select: { osPlatform: Windows11 }
    tags: [W11]
";

    fn run(tests: &str) -> Rehearsal {
        let now = Timestamp::parse("2026-11-22").unwrap();
        let sources = Sources::from_text("policy.yaml", POLICY);
        let (policy, findings) = policy::resolve(&sources, crate::tag::TagCase::Exact, now);
        assert!(
            findings.iter().all(|finding| finding.severity != crate::diagnostic::Severity::Error),
            "{findings:?}"
        );
        let (tests, findings) = policy::parse_tests(&Sources::from_text("policy.test.yaml", tests), now);
        assert!(findings.is_empty(), "{findings:?}");
        rehearse(&policy, &sources, &tests, &HuntingResults::default(), now)
    }

    #[test]
    fn a_test_passes_where_everything_expected_is_so_and_rules_that_no_test_matched_are_named() {
        let rehearsal = run("\
version: 1
tests:
  - name: a domain controller is tier 0
    device: { computerDnsName: dc01.corp.example.com, machineTags: [Legacy] }
    expect: { tags: [Tier0], removes: [Legacy], deviceValue: High, rules: [domain-controllers] }
");
        assert_eq!(rehearsal.failed(), 0, "{rehearsal:#?}");
        assert_eq!(rehearsal.unmatched, [1]);
    }

    #[test]
    fn a_test_states_the_row_of_a_hunting_lookup() {
        let policy = "version: 1\nlookups: { h: { hunting: { query: Q }, key: DeviceId, match: id } }\nrules:\n  - { name: r, select: { lookup.h.Env: prod }, tags: ['{lookup.h.Owner}:x'] }\n";
        let now = Timestamp::parse("2026-11-22").unwrap();
        let sources = Sources::from_text("policy.yaml", policy);
        let (policy, _) = policy::resolve(&sources, crate::tag::TagCase::Exact, now);
        let tests = "version: 1\ntests:\n  - { name: a, device: {}, lookup: { h: { Env: prod, Owner: ops } }, expect: { tags: ['ops:x'] } }\n  - { name: b, device: {}, expect: { tags: [] } }\n";
        let (tests, _) = policy::parse_tests(&Sources::from_text("policy.test.yaml", tests), now);
        let rehearsal = rehearse(&policy, &sources, &tests, &HuntingResults::default(), now);
        assert_eq!((rehearsal.failed(), rehearsal.tests.len()), (0, 2), "{rehearsal:#?}");
    }

    #[test]
    fn a_failed_expectation_has_both_sets_and_an_explanation() {
        let rehearsal = run("\
version: 1
tests:
  - name: wrong
    device: { computerDnsName: web01 }
    expect: { tags: [Tier0], excludes: [Tier0], deviceValue: Low }
");
        let test = &rehearsal.tests[0];
        let keys: Vec<_> = test.failures.iter().map(|failure| failure.key).collect();
        assert_eq!(keys, ["tags", "deviceValue"]);
        assert_eq!(test.failures[0].missing(), ["Tier0"]);
        assert!(test.explanation.is_some());
    }
}
