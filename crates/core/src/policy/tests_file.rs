//! Policy test files: a device, its rows in lookups, and the expected result of the policy.
//!
//! `rehearsal` runs them.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeMap;

use super::keys;
use super::node::{MappingEntry, Node, NodeKind, shown};
use super::reader::{Fields, Reader};
use super::syntax;
use crate::device::{DeviceValue, Field, Kind};
use crate::diagnostic::{Diagnostic, SourceId, Sources, Span};
use crate::tag::TagCase;
use crate::time::Timestamp;

/// All tests of a set of test files.
#[derive(Clone, Debug, Default)]
pub struct PolicyTests {
    /// In the order of files and lines.
    pub tests: Vec<PolicyTest>,
}

#[derive(Clone, Debug)]
pub struct PolicyTest {
    pub name: String,
    /// The clock: the test's own, else the file's; `None`: the caller's.
    pub now: Option<Timestamp>,
    /// The device as one API object. Field names are checked, derived ones (`deviceName`, `domain`) too.
    pub device: BTreeMap<String, TestValue>,
    /// Rows by lookup name and column; an empty row is missing.
    pub lookups: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether a hunting query returns the device, by the query's text or its file.
    pub hunting: BTreeMap<String, bool>,
    /// Whether another device supersedes this one; `None` if the test does not say.
    pub superseded: Option<bool>,
    /// The expected result of the policy.
    pub expect: Expectations,
    pub span: Span,
}

/// A value of a device field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestValue {
    Null,
    Boolean(bool),
    /// A number, as written.
    Number(String),
    Text(String),
    /// A list: `machineTags`, `ipAddresses`, `macAddresses`.
    List(Vec<String>),
}

/// An expectation and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected<T> {
    pub value: T,
    pub span: Span,
}

/// The expectations of a test; absent ones are not checked.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// Exactly these tags are given.
    pub tags: Option<Expected<Vec<String>>>,
    /// At least these tags are given.
    pub includes: Option<Expected<Vec<String>>>,
    /// None of these tags is given.
    pub excludes: Option<Expected<Vec<String>>>,
    /// Exactly these live tags are removed.
    pub removes: Option<Expected<Vec<String>>>,
    /// This value is given.
    pub device_value: Option<Expected<DeviceValue>>,
    /// Exactly these rules select the device.
    pub rules: Option<Expected<Vec<String>>>,
    /// The device group after the plan.
    pub group: Option<Expected<String>>,
}

/// Reads test files. Never fails: returns every finding in the order of files and lines. `now` is the reader's clock only; tests
/// without their own have none.
pub fn parse_tests(sources: &Sources, now: Timestamp) -> (PolicyTests, Vec<Diagnostic>) {
    let mut reader = Reader::new(sources, TagCase::Exact, now);
    sources.unread.iter().for_each(|finding| reader.report(finding.clone()));
    let mut tests = PolicyTests::default();
    for (index, source) in sources.files.iter().enumerate() {
        let (root, findings) = syntax::parse(&source.text, SourceId(index as u32));
        findings.into_iter().for_each(|finding| reader.report(finding));
        if let Some(root) = root {
            test_file(&mut reader, &root, &mut tests.tests);
        }
    }
    (tests, reader.into_findings())
}

fn test_file(reader: &mut Reader<'_>, root: &Node, tests: &mut Vec<PolicyTest>) -> Option<()> {
    let entries = reader.map(root, "a test file")?;
    let own = entries.iter().filter(|entry| !entry.key.starts_with("x-"));
    reader.check_keys(own, root.span, keys::TEST_FILE, "a test file");
    let find = |key: &str| entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    if let Some(version) = find("version") {
        super::resolve::check_version(reader, version);
    }
    if let Some(description) = find("description") {
        reader.text(description, "`description`");
    }
    let now = find("now").and_then(|now| time(reader, now));
    let items = reader.filled_list(find("tests")?, "`tests`")?;
    let first = tests.len();
    tests.extend(items.iter().filter_map(|item| test(reader, item, now)));
    reader.unique("test", tests[first..].iter().map(|test| (test.name.as_str(), test.span)));
    Some(())
}

fn time(reader: &mut Reader<'_>, node: &Node) -> Option<Timestamp> {
    let text = reader.text(node, "`now`")?;
    reader.parsed(node.span, "`now`", Timestamp::parse(text))
}

fn test(reader: &mut Reader<'_>, node: &Node, file_now: Option<Timestamp>) -> Option<PolicyTest> {
    let fields = reader.fields(node, keys::TEST, "a test")?;
    let name =
        fields.get("name").and_then(|name| Some((reader.filled_text(name, "`name`")?.to_owned(), name.span)));
    let now = fields.get("now").and_then(|now| time(reader, now)).or(file_now);
    let device = fields.get("device").and_then(|node| device(reader, node)).unwrap_or_default();
    let lookups = fields.get("lookup").and_then(|node| lookups(reader, node)).unwrap_or_default();
    let hunting = fields.get("hunting").and_then(|node| hunting(reader, node)).unwrap_or_default();
    let superseded = fields.get("superseded").and_then(|node| reader.boolean(node, "`superseded`"));
    let mut expect = fields.get("expect").and_then(|node| expectations(reader, node)).unwrap_or_default();
    if let Some(stated) = group(reader, &fields) {
        match &expect.group {
            Some(other) if other.value != stated.value => {
                let message =
                    "this test expects two device groups: `group` of the test and `group` below `expect`";
                reader.report(
                    Diagnostic::error("E0112", stated.span, message)
                        .related(other.span, "the other one")
                        .help("keep one of them"),
                );
            }
            Some(_) => {}
            None => expect.group = Some(stated),
        }
    }
    let (name, span) = name?;
    Some(PolicyTest { name, now, device, lookups, hunting, superseded, expect, span })
}

fn hunting(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeMap<String, bool>> {
    let entries = reader.map(node, "`hunting`")?.iter();
    let stated = entries.filter_map(|entry| {
        let is_listed = reader.boolean(&entry.value, &format!("`{}`", shown(&entry.key)))?;
        Some((entry.key.clone(), is_listed))
    });
    Some(stated.collect())
}

/// Whether a device is an object in the API's form: policies have no nested fields and no annotations.
fn is_api_object(entries: &[MappingEntry]) -> bool {
    let nests = |node: &Node| match &node.kind {
        NodeKind::Map(_) => true,
        NodeKind::List(items) => items.iter().any(|item| matches!(item.kind, NodeKind::Map(_))),
        _ => false,
    };
    entries.iter().any(|entry| entry.key.contains('@') || entry.key == "vmMetadata" || nests(&entry.value))
}

/// Whether a name is not a field of a policy: an API object may have it. A field name in the wrong case is always a mistake.
fn is_foreign(name: &str) -> bool {
    Field::ALL.iter().all(|field| !field.name().eq_ignore_ascii_case(name))
}

/// The fields of a device. A nested `vmMetadata` becomes dotted names, and nested `ipAddresses` become two lists.
fn device(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeMap<String, TestValue>> {
    let mut device = BTreeMap::new();
    let entries = reader.map(node, "`device`")?;
    let is_api_object = is_api_object(entries);
    for entry in entries {
        if let ("ipAddresses", NodeKind::List(items)) = (&*entry.key, &entry.value.kind)
            && items.iter().any(|item| matches!(item.kind, NodeKind::Map(_)))
        {
            addresses(reader, items, &mut device);
            continue;
        }
        let is_without = entry.key == "vmMetadata" && matches!(entry.value.kind, NodeKind::Null);
        if is_without || (is_api_object && entry.key != "vmMetadata" && is_foreign(&entry.key)) {
            continue;
        }
        if let ("vmMetadata", NodeKind::Map(inner)) = (&*entry.key, &entry.value.kind) {
            for inner in inner.iter().filter(|inner| !is_foreign(&format!("vmMetadata.{}", inner.key))) {
                device_field(
                    reader,
                    format!("vmMetadata.{}", inner.key),
                    inner.key_span,
                    &inner.value,
                    &mut device,
                );
            }
            continue;
        }
        device_field(reader, entry.key.clone(), entry.key_span, &entry.value, &mut device);
    }
    Some(device)
}

/// The addresses of `ipAddresses`, as the API nests them.
fn addresses(reader: &mut Reader<'_>, items: &[Node], device: &mut BTreeMap<String, TestValue>) {
    for (key, field) in [("ipAddress", "ipAddresses"), ("macAddress", "macAddresses")] {
        let mut found = Vec::new();
        for item in items {
            let NodeKind::Map(entries) = &item.kind else { continue };
            let stated = entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
            let stated = stated.filter(|node| !matches!(node.kind, NodeKind::Null));
            let text = stated.and_then(|node| reader.text(node, &format!("`{key}`")));
            found.extend(text.map(str::to_owned));
        }
        device.insert(field.to_owned(), TestValue::List(found));
    }
}

fn device_field(
    reader: &mut Reader<'_>,
    name: String,
    span: Span,
    node: &Node,
    device: &mut BTreeMap<String, TestValue>,
) -> Option<()> {
    let Some(field) = Field::parse(&name) else {
        let known: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
        reader.unknown("E0201", span, &format!("field `{}` of a device", shown(&name)), &name, &known);
        return None;
    };
    let value = field_value(reader, field, node)?;
    device.insert(name, value);
    Some(())
}

fn field_value(reader: &mut Reader<'_>, field: Field, node: &Node) -> Option<TestValue> {
    let what = format!("`{}`", field.name());
    if matches!(node.kind, NodeKind::Null) {
        return Some(TestValue::Null);
    }
    Some(match field.kind() {
        Kind::Boolean => TestValue::Boolean(reader.boolean(node, &what)?),
        Kind::Integer => TestValue::Number(reader.integer(node, &what)?.to_string()),
        Kind::Tags => TestValue::List(texts(reader, node, &what)?),
        Kind::Hardware | Kind::Address if matches!(field, Field::MacAddresses | Field::IpAddresses) => {
            TestValue::List(texts(reader, node, &what)?)
        }
        Kind::Time => {
            let text = reader.text(node, &what)?;
            // A bare date is midnight, as everywhere in the language; the API's year 1 stays as it is.
            let moment = reader.parsed(node.span, &what, Timestamp::parse(text))?;
            TestValue::Text(moment.to_string())
        }
        _ => TestValue::Text(reader.text(node, &what)?.to_owned()),
    })
}

/// A list of texts, or one text.
fn texts(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Vec<String>> {
    let items = match &node.kind {
        NodeKind::List(items) => items,
        _ => std::slice::from_ref(node),
    };
    let entry = format!("an entry of {what}");
    let texts: Vec<_> =
        items.iter().filter_map(|item| reader.text(item, &entry).map(str::to_owned)).collect();
    (texts.len() == items.len()).then_some(texts)
}

fn lookups(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeMap<String, BTreeMap<String, String>>> {
    let mut lookups = BTreeMap::new();
    for entry in reader.map(node, "`lookup`")? {
        let mut row = BTreeMap::new();
        for cell in
            reader.map(&entry.value, &format!("the row of `{}`", shown(&entry.key))).unwrap_or_default()
        {
            if matches!(cell.value.kind, NodeKind::Null) {
                continue;
            }
            if let Some(text) = reader.text(&cell.value, &format!("`{}`", shown(&cell.key))) {
                row.insert(cell.key.clone(), text.to_owned());
            }
        }
        lookups.insert(entry.key.clone(), row);
    }
    Some(lookups)
}

fn expectations(reader: &mut Reader<'_>, node: &Node) -> Option<Expectations> {
    let fields = reader.fields(node, keys::EXPECT, "`expect`")?;
    if fields.entries().is_empty() {
        let finding = Diagnostic::error("E0203", node.span, "`expect` expects nothing");
        reader.report(
            finding
                .help("expect at least one of tags, includes, excludes, removes, deviceValue, rules, group"),
        );
    }
    let device_value = fields.get("deviceValue").and_then(|node| {
        Some(Expected { value: reader.device_value(node, "`deviceValue`")?, span: node.span })
    });
    Some(Expectations {
        tags: list(reader, &fields, "tags"),
        includes: list(reader, &fields, "includes"),
        excludes: list(reader, &fields, "excludes"),
        removes: list(reader, &fields, "removes"),
        device_value,
        rules: list(reader, &fields, "rules"),
        group: group(reader, &fields),
    })
}

fn group(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Expected<String>> {
    let node = fields.get("group")?;
    Some(Expected { value: reader.filled_text(node, "`group`")?.to_owned(), span: node.span })
}

fn list(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<Expected<Vec<String>>> {
    let node = fields.get(key)?;
    let what = format!("`{key}`");
    reader.list(node, &what)?;
    Some(Expected { value: texts(reader, node, &what)?, span: node.span })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (PolicyTests, Vec<&'static str>) {
        let (tests, findings) = parse_tests(&Sources::from_text("p.test.yaml", text), Timestamp::EPOCH);
        (tests, findings.iter().map(|finding| finding.code).collect())
    }

    #[test]
    fn the_example_of_the_language_reference_is_read() {
        let (tests, codes) = parse(
            "version: 1\nnow: 2026-11-22\ntests:\n  - name: a domain controller is tier 0\n    device: { computerDnsName: dc01.corp.example.com, \
             osPlatform: WindowsServer2022, machineTags: [Legacy] }\n    lookup: { cmdb: { environment: prod, owner: Ops Team } }\n    \
             expect: { tags: [Tier0, env/prod, \"owner:ops-team\"], removes: [], deviceValue: High, rules: [domain-controllers, production] }\n",
        );
        assert_eq!(codes, Vec::<&str>::new());
        let test = &tests.tests[0];
        assert_eq!(test.now.unwrap().to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(test.device["machineTags"], TestValue::List(vec!["Legacy".to_owned()]));
        assert_eq!(test.lookups["cmdb"]["owner"], "Ops Team");
        assert_eq!(test.expect.removes.as_ref().unwrap().value, Vec::<String>::new());
        assert_eq!(test.expect.device_value.as_ref().unwrap().value, DeviceValue::High);
        assert!(test.expect.includes.is_none());
    }

    #[test]
    fn an_object_of_the_api_keeps_what_policies_know_and_loses_the_rest() {
        let (tests, codes) = parse(
            "version: 1\ntests:\n  - name: a\n    device:\n      '@odata.type': x\n      id: c1\n      somethingNew: { of: [the, service] }\n      \
             vmMetadata: { vmId: x, cloudProvider: Azure, invented: 1 }\n      ipAddresses:\n        - { ipAddress: 10.0.0.1, macAddress: \
             aa0000000001, type: Ethernet, operationalStatus: Up }\n        - { ipAddress: 10.0.0.2, macAddress: null }\n    \
             expect: { tags: [] }\n",
        );
        assert_eq!(codes, Vec::<&str>::new());
        let device = &tests.tests[0].device;
        let list = |texts: &[&str]| TestValue::List(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(device["ipAddresses"], list(&["10.0.0.1", "10.0.0.2"]));
        assert_eq!(device["vmMetadata.vmId"], TestValue::Text("x".to_owned()));
        assert!(
            !device.keys().any(|key| key.contains('@') || key.contains("New") || key.contains("invented"))
        );
        assert_eq!(
            parse("version: 1\ntests: [{ name: a, device: { vmMetadata: null }, expect: { tags: [] } }]\n").1,
            [""; 0]
        );
    }

    #[test]
    fn mistakes_in_tests_are_found_as_in_policies() {
        let test = |rest: &str| parse(&format!("version: 1\ntests:\n  - {{ name: a, {rest} }}\n")).1;
        assert_eq!(test("device: {}, expect: { tags: [] }"), Vec::<&str>::new());
        assert_eq!(test("device: { osplatform: x }, expect: { tags: [] }"), ["E0201"]);
        assert_eq!(test("device: { osBuild: x }, expect: { tags: [] }"), ["E0104"]);
        assert_eq!(
            test("device: { vmMetadata: { vmId: a }, vmMetadata.resourceId: b }, expect: { tags: [] }"),
            Vec::<&str>::new()
        );
        assert_eq!(test("device: { '@odata.type': x, osplatform: x }, expect: { tags: [] }"), ["E0201"]);
        assert_eq!(test("device: { riskScores: x }, expect: { tags: [] }"), ["E0201"]);
        assert_eq!(test("device: {}, hunting: { q: yes }, expect: { tags: [] }"), ["E0104"]);
        assert_eq!(test("device: {}, superseded: 1, expect: { tags: [] }"), ["E0104"]);
        assert_eq!(test("device: {}, expect: {}"), ["E0203"]);
        assert_eq!(test("device: {}, expect: { tag: [] }"), ["E0103"]);
        let twice = "device: {}, group: Servers, expect:";
        assert_eq!(
            test(&format!("{twice} {{ group: Tier-0 }}")),
            ["E0112"],
            "one of them would be passed over"
        );
        assert!(test(&format!("{twice} {{ group: Servers }}")).is_empty());
        assert_eq!(test("device: {}, expect: { tags: A }"), ["E0104"]);
        assert_eq!(test("device: {}"), ["E0105"]);
        assert_eq!(parse("version: 1\ntests: []\n").1, ["E0204"]);
        let twice = "version: 1\ntests:\n  - &a { name: a, device: {}, expect: { tags: [] } }\n  - *a\n";
        assert_eq!(parse(twice).1, ["E0112"]);
    }
}
