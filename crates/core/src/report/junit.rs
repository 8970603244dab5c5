//! JUnit XML: each group is a test case, so that every CI system can show drift, refusals and failed changes as failed tests.
//!
//! A plan's changes are no failures: only its guard can fail. Drift fails; the end of a run fails if a change failed.

use std::io::{self, Write};
use std::time::Duration;

use hashbrown::HashSet;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::apply::Outcome;
use crate::diagnostic::Severity;
use crate::plan::{AxisReport, Cause};

use super::escape::{clip, terminal};
use super::finding::{ReportFinding, findings};
use super::model::{Model, Subject};
use super::words::{number, rule_name};

pub(super) struct Case {
    class: String,
    name: String,
    end: End,
}

/// How a test case ended.
enum End {
    Passed(String),
    Failed(String),
    Skipped(String),
}

/// Writes the report.
///
/// # Errors
/// Those of the writer.
pub fn junit(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut suites: Vec<(String, Vec<Case>)> = vec![(model.input.subject.word().to_owned(), checks(model))];
    for finding in findings(model) {
        let suite = finding.origin.map_or(model.input.subject.word(), |origin| origin.heading());
        if suites.last().is_none_or(|(name, _)| name != suite)
            && !suites.iter().any(|(name, _)| name == suite)
        {
            suites.push((suite.to_owned(), Vec::new()));
        }
        let at = suites.iter().position(|(name, _)| name == suite).unwrap_or(0);
        suites[at].1.push(case(model, &finding));
    }
    let sandbox = if model.is_sandbox() { "SANDBOX " } else { "" };
    let tenant = &model.plan().header.tenant;
    let tenant = tenant.name.as_deref().or(tenant.id.as_deref()).unwrap_or("unnamed tenant");
    let name = format!("{sandbox}mdetag {} {}", model.input.subject.word(), clip(tenant, 100));
    let mut report = Report::new(&*terminal(&name));
    report.set_time(seconds(model));
    for (name, cases) in &suites {
        let mut suite = TestSuite::new(&*terminal(name));
        suite.set_time(seconds(model));
        // In our own time format; the setter needs the type of another time library.
        suite.extra.insert("timestamp".into(), model.plan().header.created_at.to_string().into());
        suite.add_test_cases(cases.iter().map(test_case));
        report.add_test_suite(suite);
    }
    // Written from a text, because the library's error hides the kind of the writer's error, such as a broken pipe.
    out.write_all(report.to_string().map_err(io::Error::other)?.as_bytes())
}

/// A finding of the policies as a test case: only errors fail.
pub(super) fn finding(severity: Severity, code: &str, title: &str, text: &str) -> Case {
    let end = match severity {
        Severity::Error => End::Failed(text.to_owned()),
        Severity::Warning | Severity::Note => End::Passed(text.to_owned()),
    };
    Case { class: code.to_owned(), name: title.to_owned(), end }
}

/// Writes findings of the policies in place of a report.
///
/// # Errors
/// Those of the writer.
pub(super) fn findings_report(
    name: &str,
    suite: &str,
    cases: &[Case],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut report = Report::new(&*terminal(name));
    let mut suite = TestSuite::new(suite);
    suite.add_test_cases(cases.iter().map(test_case));
    report.add_test_suite(suite);
    out.write_all(report.to_string().map_err(io::Error::other)?.as_bytes())
}

fn seconds(model: &Model<'_>) -> Duration {
    Duration::from_secs(model.input.run.map_or(0, |run| run.seconds))
}

fn test_case(case: &Case) -> TestCase {
    let (status, output) = match &case.end {
        End::Passed(text) => (TestCaseStatus::success(), Some(text).filter(|text| !text.is_empty())),
        End::Failed(text) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_message(&*terminal(text))
                .set_type(&*terminal(&case.class))
                .set_description(&*terminal(text));
            (status, None)
        }
        End::Skipped(text) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(&*terminal(text));
            (status, None)
        }
    };
    let mut written = TestCase::new(&*terminal(&clip(&case.name, 300)), status);
    written.set_classname(&*terminal(&format!("mdetag.{}", case.class))).set_time(Duration::ZERO);
    if let Some(text) = output {
        written.set_system_out(&*terminal(text));
    }
    written
}

fn case(model: &Model<'_>, finding: &ReportFinding<'_>) -> Case {
    let at = finding.place.map_or_else(String::new, |place| format!(" at {}", super::words::place(place)));
    let text = format!("{}{at}", finding.message);
    let is_skipped = match model.input.subject {
        Subject::Applied => {
            let skipped = [
                Outcome::Stale,
                Outcome::Gone,
                Outcome::Pending,
                Outcome::Unconfirmed,
                Outcome::NotAttempted,
            ];
            finding.class == "unwritable" || skipped.iter().any(|outcome| outcome.word() == finding.class)
        }
        Subject::Plan | Subject::Drift => {
            matches!(finding.class, "contested" | "unwritable" | "pending" | "withheld" | "protected")
        }
    };
    let end = match (finding.is_failure, is_skipped) {
        (true, _) => End::Failed(text),
        (false, true) => End::Skipped(text),
        (false, false) => End::Passed(text),
    };
    Case { class: finding.rule.clone(), name: finding.title.clone(), end }
}

/// Checks that passed: rules without drift, caps that hold.
fn checks(model: &Model<'_>) -> Vec<Case> {
    let plan = model.plan();
    match model.input.subject {
        Subject::Plan => {
            let is_over_day = |axis: &AxisReport| {
                plan.state
                    .day
                    .iter()
                    .any(|day| day.axis == axis.axis && day.tag.is_none() && day.is_exceeded())
            };
            let holds = |axis: &&AxisReport| axis.tag.is_none() && !axis.is_exceeded() && !is_over_day(axis);
            let axes = plan.guard.axes.iter().filter(holds);
            axes.map(|axis| Case {
                class: "guard".to_owned(),
                name: axis.axis.word().to_owned(),
                end: End::Passed(format!("{} of {}", number(axis.planned), number(axis.allowed))),
            })
            .collect()
        }
        Subject::Drift => {
            let causes = model.parts.iter().flat_map(|part| &part.groups).filter_map(|group| group.cause);
            let loud: HashSet<u32> = causes
                .filter_map(|cause| match plan.causes.get(cause.0 as usize) {
                    Some(Cause::Rule(rules)) => Some(rules.iter().copied()),
                    _ => None,
                })
                .flatten()
                .collect();
            let quiet = (0..plan.rules.len() as u32).filter(|rule| !loud.contains(rule));
            quiet
                .map(|rule| Case {
                    class: format!("rule/{}", rule_name(plan, rule)),
                    name: "no drift".to_owned(),
                    end: End::Passed(String::new()),
                })
                .collect()
        }
        Subject::Applied => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use crate::report::model::Input;

    fn render(input: Input<'_>) -> String {
        let mut out = Vec::new();
        junit(&Model::new(input), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn drift_fails_and_rules_without_drift_pass() {
        let mut plan = fixtures::example();
        plan.rules.push(fixtures::rule("quiet", 40));
        let text = render(Input::new(Subject::Drift, &plan));
        assert!(text.contains(r#"tests="6" skipped="1" failures="4" errors="0""#), "{text}");
        assert!(text.contains(r#"name="no drift" classname="mdetag.rule/quiet" time="0.000""#), "{text}");
        assert!(text.contains("12 devices lack tag &quot;Tier0&quot;"));
    }

    #[test]
    fn a_plan_fails_only_where_the_guard_does() {
        let plan = fixtures::example();
        assert!(render(Input::new(Subject::Plan, &plan)).contains(r#"failures="0""#));
        let over_day = fixtures::over_day(plan);
        let text = render(Input::new(Subject::Plan, &over_day));
        assert!(text.contains(r#"failures="1""#) && text.contains(r#"name="removals of a day""#), "{text}");
        assert!(
            !text.contains(r#"name="removals" "#),
            "a cap that refuses is not among those that hold: {text}"
        );
    }

    #[test]
    fn hostile_names_leave_the_document_well_formed() {
        let text = render(Input::new(Subject::Drift, &fixtures::hostile()));
        let read = Report::deserialize_from_str(&text).expect("a reader takes it");
        assert_eq!(read.tests, text.matches("<testcase ").count());
        assert!(!text.contains("<script") && !text.contains('\u{1b}') && !text.contains("]]>"));
    }
}
