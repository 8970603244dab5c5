//! JUnit XML: each group a test case, so that every CI system can show drift, refusals and failed changes as failed tests.
//!
//! A plan's changes are no failures: only its guard can fail. Drift fails; the end of a run fails where a change did.

use std::io::{self, Write};

use hashbrown::HashSet;

use crate::apply::Outcome;
use crate::plan::Cause;

use super::escape::{clip, xml};
use super::finding::{Finding, findings};
use super::model::{Model, Subject};
use super::words::{number, rule_name};

/// One test case.
struct Case {
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
    let name = xml(&format!("{sandbox}mdetag {} {}", model.input.subject.word(), clip(tenant, 100)));
    let all = counts(suites.iter().flat_map(|(_, cases)| cases));
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, r#"<testsuites name="{name}" {all} time="{}">"#, seconds(model))?;
    for (suite, cases) in &suites {
        write_suite(model, suite, cases, out)?;
    }
    writeln!(out, "</testsuites>")
}

fn seconds(model: &Model<'_>) -> u64 {
    model.input.run.map_or(0, |run| run.seconds)
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut skipped) = (0, 0, 0);
    for case in cases {
        tests += 1;
        failures += u32::from(matches!(case.end, End::Failed(_)));
        skipped += u32::from(matches!(case.end, End::Skipped(_)));
    }
    format!(r#"tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}""#)
}

fn write_suite(model: &Model<'_>, suite: &str, cases: &[Case], out: &mut dyn Write) -> io::Result<()> {
    let created = model.plan().header.created_at;
    let counts = counts(cases.iter());
    let time = seconds(model);
    writeln!(out, r#"  <testsuite name="{}" {counts} time="{time}" timestamp="{created}">"#, xml(suite))?;
    for case in cases {
        let (class, name) = (xml(&case.class), xml(&clip(&case.name, 300)));
        write!(out, r#"    <testcase classname="mdetag.{class}" name="{name}" time="0">"#)?;
        match &case.end {
            End::Passed(text) if text.is_empty() => {}
            End::Passed(text) => write!(out, "<system-out>{}</system-out>", xml(text))?,
            End::Failed(text) => {
                let text = xml(text);
                write!(out, r#"<failure message="{text}" type="{class}">{text}</failure>"#)?;
            }
            End::Skipped(text) => write!(out, r#"<skipped message="{}"/>"#, xml(text))?,
        }
        writeln!(out, "</testcase>")?;
    }
    writeln!(out, "  </testsuite>")
}

fn case(model: &Model<'_>, finding: &Finding<'_>) -> Case {
    let at = finding.place.map_or_else(String::new, |place| format!(" at {}", super::words::place(place)));
    let text = format!("{}{at}", finding.message);
    let is_skipped = match model.input.subject {
        Subject::Applied => {
            let skipped = [Outcome::Stale, Outcome::Gone, Outcome::Withheld, Outcome::NotAttempted];
            skipped.iter().any(|outcome| outcome.word() == finding.class)
        }
        Subject::Plan | Subject::Drift => {
            matches!(finding.class, "contested" | "pending" | "withheld" | "protected")
        }
    };
    let end = match (finding.is_failure, is_skipped) {
        (true, _) => End::Failed(text),
        (false, true) => End::Skipped(text),
        (false, false) => End::Passed(text),
    };
    Case { class: finding.rule.clone(), name: finding.title.clone(), end }
}

/// What was looked at and found in order: rules without drift, caps that hold.
fn checks(model: &Model<'_>) -> Vec<Case> {
    let plan = model.plan();
    match model.input.subject {
        Subject::Plan => {
            let axes = plan.guard.axes.iter().filter(|axis| !axis.is_exceeded() && axis.tag.is_none());
            axes.map(|axis| Case {
                class: "guard".to_owned(),
                name: axis.axis.name().to_owned(),
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
        assert!(text.contains(r#"tests="6" failures="4" errors="0" skipped="1""#), "{text}");
        assert!(text.contains(r#"classname="mdetag.rule/quiet" name="no drift" time="0"></testcase>"#));
        assert!(text.contains("12 devices lack tag &quot;Tier0&quot;"));
    }

    #[test]
    fn a_plan_fails_only_where_the_guard_does() {
        let plan = fixtures::example();
        assert!(render(Input::new(Subject::Plan, &plan)).contains(r#"failures="0""#));
    }

    #[test]
    fn hostile_names_leave_the_document_well_formed() {
        let text = render(Input::new(Subject::Drift, &fixtures::hostile()));
        let opened = text.matches("<testcase ").count();
        assert_eq!(opened, text.matches("</testcase>").count());
        assert!(!text.contains("<script") && !text.contains('\u{1b}') && !text.contains("]]>"));
    }
}
