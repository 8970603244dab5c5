//! The results of policy tests: for people with the difference of both sets and the explanation, and as JUnit.
//!
//! `rehearsal` runs the tests. Their names come from a pull request and are escaped, as everywhere.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::diagnostic::{Sources, Span};
use crate::policy::Policy;
use crate::rehearsal::{Failure, Rehearsal, Rehearsed};

use super::diagnostics;
use super::escape::{clip, terminal};
use super::explain;
use super::style::{Paint, Style, prose};
use super::words::{self, counted, number};

/// Rules without a test that are named before the rest is only counted.
const NAMED: usize = 10;

/// The input of a report of tests.
#[derive(Clone, Copy, Debug)]
pub struct TestReport<'a> {
    pub rehearsal: &'a Rehearsal,
    /// The policy that was tested.
    pub policy: &'a Policy,
    pub sources: &'a Sources,
    pub tests: &'a Sources,
}

/// The tests as a document.
pub fn json(tested: &TestReport<'_>) -> String {
    let Rehearsal { tests, unmatched } = tested.rehearsal;
    let rows: Vec<Value> = tests
        .iter()
        .map(|test| {
            let place = tested.tests.place(test.span);
            let failures: Vec<Value> = test
                .failures
                .iter()
                .map(|failure| {
                    let line = tested.tests.place(failure.span).line;
                    json!({ "key": failure.key, "expected": failure.expected, "actual": failure.actual, "line": line })
                })
                .collect();
            json!({
                "name": test.name, "file": &*place.file, "line": place.line, "passed": test.has_passed(), "failures": failures,
                "problems": test.problems, "conflicts": diagnostics::json(tested.sources, &test.conflicts)["diagnostics"],
            })
        })
        .collect();
    let unmatched: Vec<&str> =
        unmatched.iter().map(|rule| tested.policy.rules[*rule as usize].name.as_str()).collect();
    let document = json!({
        "formatVersion": "1.0", "tests": rows, "passed": tests.len() - tested.rehearsal.failed(),
        "failed": tested.rehearsal.failed(), "rulesWithoutTest": unmatched,
    });
    format!("{document:#}\n")
}

/// Writes the report for people: a line per test, and for a failed one the difference and the reason.
///
/// # Errors
/// Those of the writer.
pub fn human(tested: &TestReport<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for test in &tested.rehearsal.tests {
        let name = terminal(&clip(&test.name, 200)).into_owned();
        if test.has_passed() {
            writeln!(out, "{}  {name}", style.paint(Paint::Good, "ok    "))?;
            continue;
        }
        let at = place(tested, test.span);
        writeln!(out, "{}  {name}  {}", style.paint(Paint::Bad, "FAILED"), style.paint(Paint::Faint, &at))?;
        failed(tested, test, style, out)?;
    }
    summary(tested, style, out)
}

fn place(tested: &TestReport<'_>, span: Span) -> String {
    terminal(&words::place(&tested.tests.place(span))).into_owned()
}

fn failed(tested: &TestReport<'_>, test: &Rehearsed, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for problem in &test.problems {
        for line in prose(&terminal(problem), (2, 4), style.width) {
            writeln!(out, "{line}")?;
        }
    }
    for failure in &test.failures {
        let at = place(tested, failure.span);
        writeln!(out, "  {}  (- expected, + actual)  {}", failure.key, style.paint(Paint::Faint, &at))?;
        difference(failure, style, out)?;
    }
    if !test.conflicts.is_empty() {
        let text = diagnostics::human(tested.sources, &test.conflicts, style);
        text.lines().try_for_each(|line| writeln!(out, "{}", format!("  {line}").trim_end()))?;
    }
    if let Some(explanation) = &test.explanation {
        let mut text = Vec::new();
        let narrower = Style { width: style.width.saturating_sub(4), ..*style };
        explain::human(explanation, &narrower, &mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().try_for_each(|line| writeln!(out, "{}", format!("    {line}").trim_end()))?;
    }
    writeln!(out)
}

/// Both sets as one list: items only expected, only actual, and in both.
fn lines(failure: &Failure) -> Vec<(char, &str)> {
    match failure.key {
        "includes" => return failure.missing().into_iter().map(|item| ('-', item)).collect(),
        "excludes" => return failure.unexpected().into_iter().map(|item| ('+', item)).collect(),
        _ => {}
    }
    let (expected, actual) = (&failure.expected, &failure.actual);
    let mut lines = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, expected, actual) {
        if let DiffOp::Equal { .. } = op {
            lines.extend(expected[op.old_range()].iter().map(|item| (' ', item.as_str())));
            continue;
        }
        lines.extend(expected[op.old_range()].iter().map(|item| ('-', item.as_str())));
        lines.extend(actual[op.new_range()].iter().map(|item| ('+', item.as_str())));
    }
    lines
}

fn difference(failure: &Failure, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for (sign, item) in lines(failure) {
        let paint = match sign {
            '-' => Paint::Bad,
            '+' => Paint::Good,
            _ => Paint::Plain,
        };
        let line = format!("{sign} {}", terminal(&clip(item, 250)));
        writeln!(out, "    {}", style.paint(paint, &line))?;
    }
    Ok(())
}

fn summary(tested: &TestReport<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let all = tested.rehearsal.tests.len() as u64;
    let failed = tested.rehearsal.failed() as u64;
    let (paint, text) = match failed {
        0 => (Paint::Good, format!("{} passed", counted(all, "test"))),
        _ => (Paint::Bad, format!("{} of {} failed", number(failed), counted(all, "test"))),
    };
    writeln!(out, "{}", style.paint(paint, &text))?;
    let unmatched = &tested.rehearsal.unmatched;
    if unmatched.is_empty() {
        return Ok(());
    }
    let names = unmatched.iter().filter_map(|rule| tested.policy.rules.get(*rule as usize));
    let mut names: Vec<&str> = names.map(|rule| rule.name.as_str()).take(NAMED).collect();
    let more = format!("… {} more", number((unmatched.len().saturating_sub(NAMED)) as u64));
    if unmatched.len() > NAMED {
        names.push(&more);
    }
    let rules = counted(unmatched.len() as u64, "rule");
    let text = format!("no test selects a device for {rules}: {}", names.join(", "));
    prose(&text, (0, 2), style.width).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Writes the tests as JUnit XML: one suite per test file.
///
/// # Errors
/// Those of the writer.
pub fn junit(tested: &TestReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut report = Report::new("mdetag test");
    report.set_time(Duration::ZERO);
    let file = |test: &&Rehearsed| tested.tests.place(test.span).file;
    for tests in
        tested.rehearsal.tests.iter().collect::<Vec<_>>().chunk_by(|one, next| file(one) == file(next))
    {
        let name = terminal(&tested.tests.place(tests[0].span).file).into_owned();
        let mut suite = TestSuite::new(&*name);
        suite.set_time(Duration::ZERO);
        for test in tests {
            suite.add_test_case(case(tested, test, &name)?);
        }
        report.add_test_suite(suite);
    }
    // Written from a text, because the library's error hides the kind of the writer's error, such as a broken pipe.
    out.write_all(report.to_string().map_err(io::Error::other)?.as_bytes())
}

fn case(tested: &TestReport<'_>, test: &Rehearsed, class: &str) -> io::Result<TestCase> {
    let mut status = TestCaseStatus::success();
    if !test.has_passed() {
        let mut text = Vec::new();
        failed(tested, test, &Style { width: usize::MAX, ..Style::default() }, &mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        // Line by line, because escaping the whole text would escape its line breaks.
        let body: Vec<Cow<'_, str>> = text.lines().map(terminal).collect();
        let keys: Vec<&str> = test.failures.iter().map(|failure| failure.key).collect();
        let message =
            if keys.is_empty() { "the test could not be rehearsed".to_owned() } else { keys.join(", ") };
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(&*terminal(&message)).set_type("expectation").set_description(body.join("\n"));
    }
    let mut case = TestCase::new(&*terminal(&clip(&test.name, 300)), status);
    case.set_classname(class).set_time(Duration::ZERO);
    Ok(case)
}

#[cfg(test)]
mod tests {
    use crate::selection::HuntingResults;
    use crate::tag::TagCase;
    use crate::time::Timestamp;

    use super::*;

    const POLICY: &str = "\
version: 1
claims: [Tier0]
rules:
  - name: domain-controllers
    select: { computerDnsName: { glob: 'dc*' } }
    tags: [Tier0, Server]
  - name: never
    select: { osPlatform: Windows11 }
    tags: [W11]
";

    const TESTS: &str = "\
version: 1
tests:
  - name: fine
    device: { computerDnsName: dc01 }
    expect: { includes: [Tier0] }
  - name: wrong <b>
    device: { computerDnsName: dc02 }
    expect: { tags: [Server, Tier1] }
";

    fn render(write: impl Fn(&TestReport<'_>, &mut Vec<u8>)) -> String {
        let now = Timestamp::parse("2026-11-22").unwrap();
        let sources = Sources::from_text("policy.yaml", POLICY);
        let (policy, _) = crate::policy::resolve(&sources, TagCase::Exact, now);
        let files = Sources::from_text("policy.test.yaml", TESTS);
        let (tests, _) = crate::policy::parse_tests(&files, now);
        let rehearsal =
            crate::rehearsal::rehearse(&policy, &sources, &tests, &HuntingResults::default(), now);
        let mut out = Vec::new();
        write(
            &TestReport { rehearsal: &rehearsal, policy: &policy, sources: &sources, tests: &files },
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failed_test_shows_both_sets_and_why() {
        let text = render(|tested, out| human(tested, &Style::default(), out).unwrap());
        assert!(text.starts_with("ok      fine\nFAILED  wrong <b>  policy.test.yaml:6\n"), "{text}");
        assert!(text.contains("      Server\n    - Tier1\n    + Tier0\n"), "{text}");
        assert!(text.contains("Tag \"Tier0\" will be added, because rule domain-controllers"), "{text}");
        assert!(
            text.ends_with("1 of 2 tests failed\nno test selects a device for 1 rule: never\n"),
            "{text}"
        );
    }

    #[test]
    fn junit_counts_and_escapes() {
        let text = render(|tested, out| junit(tested, out).unwrap());
        assert!(
            text.contains(
                r#"<testsuite name="policy.test.yaml" tests="2" skipped="0" errors="0" failures="1""#
            ),
            "{text}"
        );
        assert!(text.contains(r#"name="wrong &lt;b&gt;""#) && text.contains("    - Tier1\n"), "{text}");
    }
}
