//! Every machine format, read by a program that other people wrote for it.
//!
//! Names are always hostile: a reader must see them as text, and nothing may act. The readers of SARIF and OpenMetrics are not
//! crates; `.ci/run` installs them and names their folder in `MDETAG_READERS`. Without it those two tests pass without checking.

#![allow(clippy::unwrap_used)] // a report that cannot be written or read has failed

#[path = "consumers/plans.rs"]
mod plans;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use mdetag_core::plan::{Plan, document};
use mdetag_core::report::{self, Format, Input, Model, Style, Subject, ci};
use plans::{HOSTILE, hostile, large};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

fn written(format: Format, subject: Subject, plan: &Plan) -> String {
    let mut text = Vec::new();
    let model = Model::new(Input::new(subject, plan));
    report::write(format, &model, &Style::default(), report::markdown::MAX_CHARS, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// No control, direction or invisible character but those that a format's own layout uses.
fn is_inert(text: &str) -> bool {
    let layout = text.replace(['\n', '\t'], "");
    !layout
        .chars()
        .any(|scalar| scalar.is_control() || ['\u{202e}', '\u{200b}', '\u{2028}'].contains(&scalar))
}

#[test]
fn a_csv_reader_sees_one_row_a_change_and_no_formula() {
    let text = written(Format::Csv, Subject::Drift, &hostile());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap().len(), 23);
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), HOSTILE.len() * 3);
    for cell in rows.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && is_inert(cell), "{cell:?}");
    }
}

#[test]
fn a_junit_reader_sees_each_group_of_drift_as_a_failed_test() {
    let text = written(Format::Junit, Subject::Drift, &hostile());
    let read = junit_parser::from_reader(text.as_bytes()).unwrap();
    let cases: Vec<_> = read.suites.iter().flat_map(|suite| &suite.cases).collect();
    let failed: Vec<_> = cases.iter().filter(|case| case.status.is_failure()).collect();
    assert_eq!((read.tests as usize, read.failures as usize), (cases.len(), failed.len()));
    assert_eq!(failed.len(), HOSTILE.len() * 3);
    for case in failed {
        assert!(is_inert(&case.name) && is_inert(&case.status.failure_as_ref().text), "{case:?}");
    }
    let shown = |wanted: &str| cases.iter().any(|case| case.name.contains(wanted));
    assert!(shown("]]>--></failure><!-- &amp; &#x41;") && shown("\\u{202e}moc.evil"), "{text}");
}

/// The output of a Markdown renderer for a report.
#[derive(Default)]
struct Rendered {
    code: BTreeSet<String>,
    text: String,
    html: Vec<String>,
    links: Vec<String>,
    cells: Vec<Vec<String>>,
}

fn rendered(text: &str) -> Rendered {
    let mut seen = Rendered::default();
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let mut is_cell = false;
    for event in Parser::new_ext(text, options) {
        let cell = seen.cells.last_mut().and_then(|row| row.last_mut()).filter(|_| is_cell);
        match event {
            Event::Code(code) => {
                cell.into_iter().for_each(|cell| cell.push_str(&code));
                seen.code.insert(code.into_string());
            }
            Event::Text(text) => {
                cell.into_iter().for_each(|cell| cell.push_str(&text));
                seen.text.push_str(&text);
                seen.text.push('\n');
            }
            Event::Html(html) | Event::InlineHtml(html) => seen.html.push(html.trim().to_owned()),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                seen.links.push(dest_url.into_string());
            }
            Event::Start(Tag::TableHead | Tag::TableRow) => seen.cells.push(Vec::new()),
            Event::Start(Tag::TableCell) => {
                is_cell = true;
                seen.cells.last_mut().unwrap().push(String::new());
            }
            Event::End(TagEnd::TableCell) => is_cell = false,
            _ => {}
        }
    }
    seen
}

#[test]
fn a_markdown_renderer_makes_no_link_mention_or_markup_of_a_name() {
    for subject in [Subject::Plan, Subject::Drift] {
        let text = written(Format::Markdown, subject, &hostile());
        let seen = rendered(&text);
        assert_eq!(seen.links, Vec::<String>::new());
        let own = ["<details>", "</details>", "<summary>", "</summary>", "<!-- mdetag:"];
        for html in &seen.html {
            assert!(own.iter().any(|own| html.starts_with(own)), "{html}");
        }
        for acting in ["@everyone", "evil", "::", "##vso", "onerror", "calc"] {
            assert!(!seen.text.contains(acting), "`{acting}` outside of code in\n{}", seen.text);
        }
        assert!(is_inert(&text));
        let everything = seen.code.iter().cloned().collect::<Vec<_>>().join("\n");
        for shown in
            ["=cmd|' /C calc'!A0", "</script><img src=x onerror=alert(1)>", "\\u{202e}moc.evil\\u{200b}"]
        {
            assert!(everything.contains(shown), "`{shown}` is nowhere in\n{everything}");
        }
    }
}

#[test]
fn a_comment_on_ten_thousand_changes_fits_and_names_every_removal() {
    let plan = large();
    let (additions, removals, values) = plan.counts();
    assert_eq!(additions + removals + values, 10_000);
    for subject in [Subject::Plan, Subject::Drift] {
        let text = written(Format::Markdown, subject, &plan);
        assert!(text.encode_utf16().count() <= 60_000, "{} characters", text.encode_utf16().count());
        let seen = rendered(&text);
        for tag in 0..100 {
            let tag = format!("team/{tag:03}");
            let row = seen.cells.iter().find(|row| row.iter().any(|cell| cell.contains(&tag)));
            let row = row.unwrap_or_else(|| panic!("no row removes {tag}"));
            assert!(row.iter().any(|cell| cell.trim() == "20"), "{row:?}");
        }
        assert!(seen.text.contains("8,000"), "the additions that were cut are counted");
    }
}

#[test]
fn the_json_documents_match_their_published_schemas() {
    let check = |schema: serde_json::Value, text: &str| {
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    };
    let plan = hostile();
    let mut file = Vec::new();
    document::write_to(&plan, &mut file).unwrap();
    check(document::schema(), &String::from_utf8(file).unwrap());
    check(document::schema(), &written(Format::Json, Subject::Plan, &plan));
    check(document::schema(), &written(Format::Json, Subject::Drift, &plan));
}

#[test]
fn every_line_of_ndjson_is_one_change_with_its_name_as_it_is() {
    let text = written(Format::Ndjson, Subject::Drift, &hostile());
    let changes: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(changes.len(), HOSTILE.len() * 3);
    let names: BTreeSet<&str> =
        changes.iter().filter_map(|change| change["device"]["name"].as_str()).collect();
    assert_eq!(names, HOSTILE.into());
}

/// The folder of readers that the gate installs; a contributor's computer may lack it.
fn readers() -> Option<PathBuf> {
    std::env::var_os("MDETAG_READERS").map(PathBuf::from)
}

#[test]
fn the_sarif_validator_of_its_makers_finds_no_error_and_no_warning() {
    let Some(readers) = readers() else { return };
    let validator = readers.join("npm/node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool");
    let folder = tempfile::tempdir().unwrap();
    let validate = |files: &[PathBuf]| {
        let mut command = Command::new(&validator);
        command.args(["validate", "--level", "Error;Warning", "--rule-kind", "Sarif;Ghas"]).args(files);
        let ran = command.output().expect("the SARIF validator starts");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let mut files = Vec::new();
    for (name, plan, subject) in [
        ("plan", hostile(), Subject::Plan),
        ("drift", hostile(), Subject::Drift),
        ("large", large(), Subject::Drift),
    ] {
        let file = folder.path().join(format!("{name}.sarif"));
        std::fs::write(&file, written(Format::Sarif, subject, &plan)).unwrap();
        files.push(file);
    }
    let said = validate(&files);
    assert!(said.contains("3 files scanned") && said.contains("completed successfully"), "{said}");
    assert!(!said.contains(": error ") && !said.contains(": warning "), "{said}");
    // The reader does find faults: a silent validator would prove nothing.
    std::fs::write(&files[0], r#"{"version":"2.1.0","runs":[{}]}"#).unwrap();
    assert!(validate(&files[..1]).contains(": error JSON1002"), "the validator is blind");
}

#[test]
fn the_openmetrics_parser_of_prometheus_reads_every_sample() {
    let Some(readers) = readers() else { return };
    let script = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
                  for family in read(sys.stdin.buffer.read().decode()):\n  for sample in family.samples: print(sample.name)\n";
    for plan in [hostile(), large()] {
        let text = written(Format::Openmetrics, Subject::Drift, &plan);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mdetag.prom");
        std::fs::write(&file, &text).unwrap();
        let ran = Command::new(readers.join("python/bin/python"))
            .args(["-c", script])
            .stdin(std::fs::File::open(&file).unwrap())
            .output()
            .expect("Python starts");
        assert!(ran.status.success(), "{}\n{text}", String::from_utf8_lossy(&ran.stderr));
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(String::from_utf8_lossy(&ran.stdout).lines().count(), samples);
    }
}

#[test]
fn code_quality_has_what_gitlab_requires() {
    let plan = hostile();
    let text = ci::code_quality(&Model::new(Input::new(Subject::Drift, &plan)));
    let issues: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(issues.len(), HOSTILE.len() * 3);
    let fingerprints: BTreeSet<&str> =
        issues.iter().filter_map(|issue| issue["fingerprint"].as_str()).collect();
    assert_eq!(fingerprints.len(), issues.len());
    for issue in &issues {
        for key in ["description", "check_name"] {
            assert!(issue[key].as_str().is_some_and(|text| !text.is_empty() && is_inert(text)), "{issue}");
        }
        assert!(
            ["info", "minor", "major", "critical", "blocker"].contains(&issue["severity"].as_str().unwrap())
        );
        assert!(issue["location"]["lines"]["begin"].as_u64() > Some(0), "{issue}");
        assert!(!issue["location"]["path"].as_str().unwrap().starts_with("./"), "{issue}");
    }
}
