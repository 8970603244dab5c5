//! Output for CI systems as text: collapsible groups, annotations at policy lines, code quality.
//!
//! Writes no file and reads no environment: the caller passes the variables in and prints the result. Escapes names that could be
//! read as a command.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use serde_json::{Value, json};

use crate::diagnostic::{Place, Severity};
use crate::time::Timestamp;

use super::escape::{self, clip};
use super::finding::{ReportFinding, findings};
use super::model::Model;
use super::words::number;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Github,
    Gitlab,
    Azure,
}

/// GitHub shows ten annotations of each severity per step, and silently drops the others.
const ANNOTATIONS: usize = 10;

/// The most characters of a step summary. GitHub accepts 1 MiB, and a character may take three bytes of it.
pub const SUMMARY_CHARS: usize = 300_000;

/// The CI system that these variables identify.
pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Option<System> {
    let is_set = |name: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_set("GITHUB_ACTIONS") {
        Some(System::Github)
    } else if is_set("GITLAB_CI") {
        Some(System::Gitlab)
    } else if is_set("TF_BUILD") {
        Some(System::Azure)
    } else {
        None
    }
}

/// The line that opens a collapsible group. GitLab's includes the time, `now`.
pub fn group(system: System, title: &str, now: Timestamp) -> String {
    match system {
        System::Github => format!("::group::{}\n", escape::github_message(title)),
        System::Azure => format!("##[group]{}\n", escape::terminal(title)),
        System::Gitlab => {
            let (second, name) = (now.seconds(), section(title));
            let title = escape::terminal(title);
            format!("\u{1b}[0Ksection_start:{second}:{name}[collapsed=true]\r\u{1b}[0K{title}\n")
        }
    }
}

/// The line that closes the group.
pub fn end_group(system: System, title: &str, now: Timestamp) -> String {
    match system {
        System::Github => "::endgroup::\n".to_owned(),
        System::Azure => "##[endgroup]\n".to_owned(),
        System::Gitlab => {
            format!("\u{1b}[0Ksection_end:{}:{}\r\u{1b}[0K\n", now.seconds(), section(title))
        }
    }
}

/// GitLab's name of a section: letters, digits, `_`.
fn section(title: &str) -> String {
    let name = crate::text::slug(&clip(title, 60)).replace('-', "_");
    format!("mdetag_{name}")
}

/// An annotation; `None` if the system has none of this severity.
pub fn annotation(
    system: System,
    severity: Severity,
    place: Option<&Place>,
    title: &str,
    message: &str,
) -> Option<String> {
    let inert = |text: &str| text.lines().map(escape::terminal).collect::<Vec<_>>().join("\n");
    let (title, message) = (&inert(title), &inert(message));
    match system {
        System::Github => {
            let word = match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "notice",
            };
            let mut properties = vec![format!("title={}", escape::github_property(title))];
            if let Some(place) = place {
                properties.push(format!("file={}", escape::github_property(&place.file)));
                properties.push(format!("line={},endLine={}", place.line, place.end_line));
                if place.line == place.end_line {
                    properties.push(format!("col={},endColumn={}", place.column, place.end_column));
                }
            }
            Some(format!("::{word} {}::{}\n", properties.join(","), escape::github_message(message)))
        }
        System::Azure => {
            let word = match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => return None,
            };
            let at = place.map_or_else(String::new, |place| {
                let file = escape::azure_property(&place.file);
                format!("sourcepath={file};linenumber={};columnnumber={};", place.line, place.column)
            });
            let message = escape::azure_message(&format!("{title}: {message}"));
            Some(format!("##vso[task.logissue type={word};{at}]{message}\n"))
        }
        System::Gitlab => None,
    }
}

/// Annotations for a report's findings, the most severe and largest first.
pub fn annotations(system: System, model: &Model<'_>) -> String {
    let mut findings = findings(model);
    findings.sort_by_key(|finding| (finding.severity, std::cmp::Reverse(finding.changes)));
    let mut text = String::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let found: Vec<&ReportFinding<'_>> =
            findings.iter().filter(|finding| finding.severity == severity).collect();
        let shown = if found.len() > ANNOTATIONS { ANNOTATIONS - 1 } else { found.len() };
        for finding in &found[..shown] {
            let line = annotation(system, severity, finding.place, &finding.title, &finding.message);
            text.push_str(&line.unwrap_or_default());
        }
        if found.len() > shown {
            let rest = number((found.len() - shown) as u64);
            let message = format!("{rest} more findings like these; the reports have all");
            text.push_str(&annotation(system, severity, None, "mdetag", &message).unwrap_or_default());
        }
    }
    text
}

/// GitLab's word for a severity.
pub(super) fn code_quality_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "critical",
        Severity::Warning => "major",
        Severity::Note => "info",
    }
}

/// GitLab's code quality report: findings beside the changed lines of a merge request.
pub fn code_quality(model: &Model<'_>) -> String {
    // A page shows a finding beside a file: what has no line of its own stands at the set's first.
    let files = &model.plan().header.policy.files;
    let first = files.first().map_or_else(|| "policies".to_owned(), |file| file.path.clone());
    let issues: Vec<Value> = findings(model)
        .iter()
        .map(|finding| {
            let (path, line) = match finding.place {
                Some(place) => (place.file.to_string(), place.line.max(1)),
                None => (first.clone(), 1),
            };
            json!({
                "description": escape::terminal(&finding.message),
                "check_name": escape::terminal(&finding.rule),
                "fingerprint": finding.fingerprint(),
                "severity": code_quality_severity(finding.severity),
                "location": { "path": path, "lines": { "begin": line } },
            })
        })
        .collect();
    format!("{}\n", escape::json_document(&Value::Array(issues)))
}

#[cfg(test)]
mod tests {
    use crate::plan::FileReference;
    use crate::report::fixtures;
    use crate::report::model::{Input, Subject};

    use super::*;

    #[test]
    fn systems_are_known_by_their_variables() {
        let with = |name: &'static str| move |asked: &str| (asked == name).then(|| "true".to_owned());
        assert_eq!(detect(with("GITHUB_ACTIONS")), Some(System::Github));
        assert_eq!(detect(with("GITLAB_CI")), Some(System::Gitlab));
        assert_eq!(detect(|asked| (asked == "TF_BUILD").then(|| "True".to_owned())), Some(System::Azure));
        assert_eq!(detect(|_| None), None);
    }

    #[test]
    fn annotations_stand_at_policy_lines() {
        let plan = fixtures::example();
        let model = Model::new(Input::new(Subject::Drift, &plan));
        let text = annotations(System::Github, &model);
        assert!(
            text.contains(
                "::warning title=add tag \"Tier0\",file=policies/servers.yaml,line=12,endLine=12,col=5,endColumn=12::\
                 12 devices lack tag \"Tier0\""
            ),
            "{text}"
        );
        let text = annotations(System::Azure, &model);
        assert!(text.starts_with(
            "##vso[task.logissue type=warning;sourcepath=policies/servers.yaml;linenumber=23;columnnumber=5;]"
        ));
    }

    #[test]
    fn no_name_can_start_a_command() {
        let plan = fixtures::hostile();
        let model = Model::new(Input::new(Subject::Drift, &plan));
        for system in [System::Github, System::Azure] {
            let text = annotations(system, &model);
            for line in text.lines() {
                let start = if system == System::Github { "::" } else { "##vso[task.logissue " };
                assert!(line.starts_with(start) && !line.contains('\r'), "{line}");
                assert_eq!(line.matches("##vso[").count(), usize::from(system == System::Azure), "{line}");
            }
        }
        assert_eq!(annotations(System::Gitlab, &model), "");
        assert_eq!(
            group(System::Github, "a\n::error::b", Timestamp::EPOCH),
            "::group::a%0A\\u{3a}:error::b\n"
        );
    }

    #[test]
    fn annotations_that_a_system_would_drop_are_counted() {
        let plan = fixtures::many_tags(30, 1);
        let model = Model::new(Input::new(Subject::Drift, &plan));
        let text = annotations(System::Github, &model);
        assert_eq!(text.lines().count(), ANNOTATIONS);
        assert!(text.contains("51 more findings like these"));
    }

    #[test]
    fn code_quality_has_a_place_and_a_fingerprint_for_each_finding() {
        let plan = fixtures::example();
        let issues: Value =
            serde_json::from_str(&code_quality(&Model::new(Input::new(Subject::Drift, &plan)))).unwrap();
        assert_eq!(issues[0]["location"]["path"], "policies/servers.yaml");
        // The removal of `env/test` is the riskiest and comes first; its claim is at line 4.
        assert_eq!(issues[0]["location"]["lines"]["begin"], 4);
        assert_eq!(issues[1]["location"]["lines"]["begin"], 12);
        assert_eq!(issues[0]["fingerprint"].as_str().unwrap().len(), 64);
        let mut over_day = fixtures::over_day(plan);
        over_day.state.day[0].place = None;
        over_day.header.policy.files =
            vec![FileReference { path: "policies/a.yaml".to_owned(), digest: String::new() }];
        let issues: Value =
            serde_json::from_str(&code_quality(&Model::new(Input::new(Subject::Plan, &over_day)))).unwrap();
        assert_eq!(issues[0]["location"]["path"], "policies/a.yaml", "a folder has no lines");
    }
}
