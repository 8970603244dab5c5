//! Properties of every plan in every format: no count is lost, and no name breaks out of its place.
//!
//! Tests only: plans consist of names that attack every target.

use proptest::prelude::*;

use crate::device::DeviceValue;
use crate::plan::{CauseIndex, Plan, TagChange, ValueChange};

use super::fixtures;
use super::model::{Input, Model, Subject};
use super::refusal::refusals;
use super::{Format, Style, markdown, write};

/// Names that attack: markup, commands, formulas, controls, directions.
const NAMES: [&str; 18] = [
    "dc01.corp.example.com",
    "env/prod",
    "::error::x",
    "##vso[task.complete]",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "@everyone",
    "https://evil.example/#1",
    "=1+1",
    "a|b`c``d",
    "\u{202e}gpj.exe",
    "\u{1b}[31mred\u{7}",
    "line\nbreak\r\ttab",
    "\"quoted\" 'and' \\back\\",
    "]]>&amp;%0A",
    "設備🙂",
    "a\u{2028}b\u{2029}c\u{85}d\re",
    "x\u{2066}y\u{200f}z\u{9b}31m\u{feff}\u{e0041}\u{a0}",
];

#[test]
fn every_reason_of_a_refusal_stands_in_every_format_that_has_sentences() {
    let mut plan = fixtures::over_day(fixtures::refused());
    plan.guard.invariants = vec![fixtures::refusing()];
    let model = Model::new(Input::new(Subject::Plan, &plan));
    assert_eq!(refusals(&plan).len(), 3);
    let tables = [Format::Json, Format::Ndjson, Format::Csv, Format::CsvBom, Format::Openmetrics];
    for format in
        Format::ALL.iter().copied().filter(|format| format.is_of_a_plan() && !tables.contains(format))
    {
        let text = render(format, &model);
        let plain = text
            .replace("&quot;", "\"")
            .replace("\\\"", "\"")
            .replace("&#39;", "'")
            .replace(['\n', '`'], " ");
        let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "312 removals of tag \"Tier0\"",
            "removals and the 200 of the last 24 hours",
            "at least 4 devices carry",
        ] {
            assert!(plain.contains(part), "{}: {part}: {text}", format.name());
        }
    }
}

/// A device of the plan: tags to add, tags to remove (both by name), a value.
type Wanted = (usize, Vec<usize>, Vec<usize>, Option<bool>);

fn plan(devices: &[Wanted]) -> Plan {
    let mut plan = fixtures::empty();
    for (number, (name, add, remove, value)) in devices.iter().enumerate() {
        let mut device = fixtures::device(&format!("{number:04}"), NAMES[*name]);
        let mut changes = |names: &[usize], suffix: &str, cause: u32| {
            let mut tags: Vec<String> =
                names.iter().map(|name| format!("{}{suffix}", NAMES[*name])).collect();
            tags.sort_unstable();
            tags.dedup();
            let tags = tags
                .iter()
                .map(|tag| TagChange { tag: fixtures::tag(&mut plan, tag), cause: CauseIndex(cause) });
            tags.collect::<Vec<_>>()
        };
        device.add = changes(add, "+", 0);
        device.remove = changes(remove, "-", 2);
        device.value = value.map(|high| ValueChange {
            to: if high { DeviceValue::High } else { DeviceValue::Low },
            cause: CauseIndex(1),
        });
        plan.changes.push(device);
    }
    plan.changes
        .retain(|device| !device.add.is_empty() || !device.remove.is_empty() || device.value.is_some());
    plan
}

fn plans() -> impl Strategy<Value = Plan> {
    let names = || proptest::collection::vec(0..NAMES.len(), 0..5);
    let device = (0..NAMES.len(), names(), names(), proptest::option::of(any::<bool>()));
    proptest::collection::vec(device, 0..40).prop_map(|devices| plan(&devices))
}

fn render(format: Format, model: &Model<'_>) -> String {
    let mut out = Vec::new();
    write(format, model, &Style::default(), markdown::MAX_CHARS, &mut out).expect("memory takes all");
    String::from_utf8(out).expect("reports are UTF-8")
}

/// Number of changes in a text of this format, counted by parsing it.
fn shown(format: Format, text: &str) -> u64 {
    let last = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    match format {
        Format::Ndjson => text.lines().count() as u64,
        Format::Csv | Format::CsvBom => csv::Reader::from_reader(text.as_bytes()).records().count() as u64,
        Format::Openmetrics => {
            text.lines().filter(|line| line.starts_with("mdetag_drift_by_cause{")).map(last).sum()
        }
        Format::Json => {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let count = |key: &str| value["summary"][key].as_u64().unwrap();
            count("additions") + count("removals") + count("values")
        }
        Format::Sarif => {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let results = value["runs"][0]["results"].as_array().unwrap();
            results.iter().map(|result| result["properties"]["changes"].as_u64().unwrap()).sum()
        }
        Format::Html => {
            let island = text.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
            let data: serde_json::Value = serde_json::from_str(island).unwrap();
            data["rows"].as_array().unwrap().len() as u64 / 2
        }
        Format::Markdown => {
            let rows = text
                .lines()
                .filter(|line| ["| + |", "| - |", "| ~ |"].iter().any(|row| line.starts_with(row)));
            let counts = rows.map(|row| {
                let cells: Vec<&str> = row.split(" | ").collect();
                cells[cells.len() - 3].replace(',', "").parse::<u64>().unwrap()
            });
            counts.sum()
        }
        Format::Human => {
            let nouns = ["devices", "device", "additions", "addition", "removals", "removal"];
            let rows = text.lines().filter(|line| {
                ["  + ", "  - ", "  ~ ", "  … "].iter().any(|symbol| line.starts_with(symbol))
            });
            rows.map(|row| {
                let words: Vec<&str> = row.split_whitespace().collect();
                let at = words.iter().rposition(|word| nouns.contains(word)).unwrap();
                words[at - 1].replace(',', "").parse::<u64>().unwrap()
            })
            .sum()
        }
        Format::Github | Format::CodeQuality | Format::Gitlab | Format::Kubernetes => 0,
        Format::Junit => {
            let cases = text.matches("<failure ").count() as u64;
            assert_eq!(cases, text.matches("</failure>").count() as u64);
            cases
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_format_loses_a_count(plan in plans()) {
        let model = Model::new(Input::new(Subject::Drift, &plan));
        let (additions, removals, values) = plan.counts();
        let changes = additions + removals + values;
        prop_assert_eq!(model.totals.changes(), changes);
        // Annotations and code quality show groups as sentences; `ci` tests those counts.
        for format in Format::ALL.iter().copied().filter(|format| format.is_offered()) {
            let text = render(format, &model);
            let expected = if format == Format::Junit {
                model.parts[0].groups.len() as u64
            } else {
                changes
            };
            prop_assert_eq!(shown(format, &text), expected, "{}:\n{}", format.name(), text);
        }
    }

    #[test]
    fn halves_add_up_to_the_whole(plan in plans(), other in plans()) {
        let model = Model::new(Input { base: Some(&other), ..Input::new(Subject::Plan, &plan) });
        let sum: u64 = model.parts.iter().map(|part| part.totals.changes()).sum();
        prop_assert_eq!(sum, model.totals.changes());
        let (additions, removals, values) = other.counts();
        let before = model.parts[1].totals.changes();
        prop_assert_eq!(before + model.dropped.changes(), additions + removals + values);
        let same = Model::new(Input { base: Some(&plan), ..Input::new(Subject::Plan, &plan) });
        prop_assert_eq!(same.parts[0].totals.changes() + same.dropped.changes(), 0);
    }

    #[test]
    fn no_name_is_a_command_to_a_reader_of_logs(plan in plans()) {
        for subject in [Subject::Plan, Subject::Drift] {
            let model = Model::new(Input::new(subject, &plan));
            for format in Format::ALL.iter().copied() {
                let text = render(format, &model);
                prop_assert!(!text.contains("##vso[") && !text.contains("##["), "{}: {text}", format.name());
                let is_ours = |line: &str| {
                    let heads = ["::error title=", "::warning title=", "::notice title="];
                    format == Format::Github && heads.iter().any(|head| line.starts_with(head))
                };
                let found = text.lines().map(str::trim_start).find(|line| line.starts_with("::") && !is_ours(line));
                prop_assert_eq!(found, None, "{}", format.name());
            }
        }
    }

    #[test]
    fn no_control_or_direction_character_reaches_a_reader(plan in plans()) {
        let model = Model::new(Input::new(Subject::Drift, &plan));
        for format in Format::ALL.iter().copied() {
            let text = render(format, &model);
            // The byte order mark is ours.
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let found = text.chars().find(|scalar| crate::text::is_deceptive(*scalar) && *scalar != '\n');
            prop_assert_eq!(found, None, "{}", format.name());
        }
    }
}
