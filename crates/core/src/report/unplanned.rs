//! The report if no plan could be made: the findings that prevent it, in each format that can contain them.
//!
//! Otherwise a job that publishes reports would publish nothing, or a report of an earlier run.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Place, Sources};
use crate::plan::TenantReference;

use super::ci;
use super::compact;
use super::diagnostics::{self, summary};
use super::escape::{self, clip, markdown as code};
use super::format::Format;
use super::html;
use super::junit;
use super::listing::{Cell, Listing};
use super::model::Subject;
use super::words::{self, counted, length};

/// A command that could not make a plan.
#[derive(Clone, Copy, Debug)]
pub struct Unplanned<'a> {
    /// The command that could not make a plan.
    pub subject: Subject,
    /// The tenant, as far as it is known.
    pub tenant: &'a TenantReference,
    /// The files of the findings.
    pub sources: &'a Sources,
    /// Why; at least one is an error.
    pub findings: &'a [Diagnostic],
}

impl Unplanned<'_> {
    fn tenant(&self) -> &str {
        let name = self.tenant.name.as_deref().or(self.tenant.id.as_deref());
        name.unwrap_or("an unnamed tenant")
    }

    fn title(&self) -> String {
        let is_sandbox = self.tenant.cloud.as_deref() == Some("sandbox");
        let sandbox = if is_sandbox { "SANDBOX · " } else { "" };
        format!("{sandbox}{} of ", words::capitalised(self.subject.word()))
    }

    /// Errors first, each with its place.
    fn findings(&self) -> Vec<(&Diagnostic, Option<Place>)> {
        let mut findings: Vec<&Diagnostic> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        let place = |finding: &Diagnostic| finding.span.map(|span| self.sources.place(span));
        findings.into_iter().map(|finding| (finding, place(finding))).collect()
    }
}

/// Whether a report of this format can contain findings; the others contain only changes.
pub fn holds_findings(format: Format) -> bool {
    matches!(
        format,
        Format::Json | Format::Sarif | Format::Junit | Format::Markdown | Format::Html | Format::CodeQuality
    )
}

/// Writes the findings. Writes nothing in a format that cannot contain them.
///
/// # Errors
/// Those of the writer.
pub fn write(
    format: Format,
    unplanned: &Unplanned<'_>,
    max_chars: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (sources, findings) = (unplanned.sources, unplanned.findings);
    match format {
        Format::Json => document(&diagnostics::json(sources, findings), out),
        Format::Sarif => document(&diagnostics::sarif(sources, findings), out),
        Format::CodeQuality => document(&code_quality(unplanned), out),
        Format::Junit => {
            let name = format!("mdetag {} {}", unplanned.subject.word(), clip(unplanned.tenant(), 100));
            let found = unplanned.findings();
            let cases = found.iter().map(|(finding, place)| {
                junit::finding(
                    finding.severity,
                    finding.code,
                    &finding.message,
                    &finding_lines(finding, place.as_ref()),
                )
            });
            let cases: Vec<_> = cases.collect();
            junit::findings_report(&name, unplanned.subject.word(), &cases, out)
        }
        Format::Markdown => out.write_all(comment(unplanned, max_chars).as_bytes()),
        Format::Html => {
            let title = format!("{}{}", unplanned.title(), clip(unplanned.tenant(), 200));
            html::listing_page(&title, &[listing(unplanned)], out)
        }
        _ => Ok(()),
    }
}

fn document(document: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", escape::json_document(document))
}

/// All text of a finding, in lines.
fn finding_lines(finding: &Diagnostic, place: Option<&Place>) -> String {
    let at = place.map_or_else(String::new, |place| format!(" at {}", words::place(place)));
    let mut text = format!("{}{at}", finding.message);
    for more in [devices(finding), finding.help.clone()].into_iter().flatten() {
        text.push_str(&format!("; {more}"));
    }
    text
}

/// The devices of a conflict.
fn devices(finding: &Diagnostic) -> Option<String> {
    let devices = finding.devices.as_ref()?;
    let more = devices.count.saturating_sub(devices.sample.len() as u64);
    let rest = if more > 0 { format!(", … {more} more") } else { String::new() };
    Some(format!("{}: {}{rest}", counted(devices.count, "device"), devices.sample.join(", ")))
}

fn comment(unplanned: &Unplanned<'_>, max_chars: usize) -> String {
    let mut lines = vec![
        format!("### ⛔ {}{}\n\n", unplanned.title(), code(&clip(unplanned.tenant(), 120))),
        format!("**{}: no plan could be made**\n\n", summary(unplanned.findings)),
    ];
    let marker = compact::marker_of(unplanned.subject, unplanned.tenant);
    let found = unplanned.findings();
    let mut room = max_chars.saturating_sub(length(&lines.concat()) + length(&marker) + 60);
    for (at, (finding, place)) in found.iter().enumerate() {
        let place = place
            .as_ref()
            .map_or_else(String::new, |place| format!(" at {}", code(&clip(&words::place(place), 200))));
        let mut item = format!(
            "- **{}[{}]**{place}: {}\n",
            finding.severity.word(),
            finding.code,
            code(&clip(&finding.message, 500))
        );
        let help = finding.help.iter().flat_map(|help| help.lines()).map(str::to_owned);
        for more in devices(finding).into_iter().chain(help) {
            item.push_str(&format!("  - {}\n", code(&clip(&more, 500))));
        }
        if length(&item) > room {
            let rest = counted((found.len() - at) as u64, "more finding");
            lines.push(format!("- … and {rest}\n"));
            break;
        }
        room -= length(&item);
        lines.push(item);
    }
    compact::within(&lines, &format!("\n{marker}"), max_chars)
}

/// The findings for the page, one per row.
fn listing(unplanned: &Unplanned<'_>) -> Listing {
    let text = |text: Option<String>| text.map_or(Cell::Missing, Cell::Text);
    let rows = unplanned.findings().into_iter().map(|(finding, place)| {
        vec![
            Cell::Text(finding.severity.word().to_owned()),
            Cell::Text(finding.code.to_owned()),
            text(place.map(|place| words::place(&place))),
            Cell::Text(finding.message.clone()),
            text(finding.help.clone()),
            text(devices(finding)),
        ]
    });
    let listing = Listing {
        kind: "findings",
        heading: format!("{}: no plan could be made", summary(unplanned.findings)),
        rows: rows.collect(),
        ..Listing::default()
    };
    ["severity", "code", "place", "message", "help", "devices"].into_iter().fold(listing, Listing::column)
}

fn code_quality(unplanned: &Unplanned<'_>) -> Value {
    let issues = unplanned.findings().into_iter().map(|(finding, place)| {
        let (file, line) =
            place.map_or(("policies".to_owned(), 1), |place| (place.file.to_string(), place.line));
        let text = format!("{}\n{file}\n{}", finding.code, finding.message);
        json!({
            "description": escape::terminal(&finding_lines(finding, None)),
            "check_name": finding.code,
            "fingerprint": crate::plan::digest::sha256(text.as_bytes()).trim_start_matches("sha256:"),
            "severity": ci::code_quality_severity(finding.severity),
            "location": { "path": file, "lines": { "begin": line.max(1) } },
        })
    });
    issues.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::markdown;

    fn written(format: Format, max_chars: usize) -> String {
        let sources = Sources::from_text("policies/p.yaml", "version: 1\nbogus: 1\nclaims: [1]\n");
        let at = |start, end| crate::diagnostic::Span { source: crate::diagnostic::SourceId(0), start, end };
        let findings = [
            Diagnostic::warning("W0403", at(19, 25), "a rule ::error::x".to_owned()),
            Diagnostic::error("E0103", at(11, 16), "unknown key `bogus` <b> ##vso[task]".to_owned())
                .help("leave it out"),
        ];
        let tenant = TenantReference { name: Some("contoso".to_owned()), ..TenantReference::default() };
        let unplanned =
            Unplanned { subject: Subject::Plan, tenant: &tenant, sources: &sources, findings: &findings };
        let mut out = Vec::new();
        write(format, &unplanned, max_chars, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_that_can_hold_findings_holds_code_place_and_next_step() {
        for format in Format::ALL.iter().filter(|format| format.is_of_a_plan()) {
            let text = written(*format, markdown::MAX_CHARS);
            assert_eq!(text.is_empty(), !holds_findings(*format), "{format:?}");
            for part in ["E0103", "policies/p.yaml", "bogus", "leave it out"] {
                assert!(text.is_empty() || text.contains(part), "{format:?} lacks {part}: {text}");
            }
            assert!(!text.contains("##vso["), "{format:?}: {text}");
        }
    }

    #[test]
    fn a_comment_has_errors_first_and_the_marker_of_the_plan() {
        let text = written(Format::Markdown, markdown::MAX_CHARS);
        assert!(
            text.starts_with("### ⛔ Plan of `contoso`\n\n**1 error, 1 warning: no plan could be made**"),
            "{text}"
        );
        assert!(text.ends_with("<!-- mdetag:plan:contoso -->\n"), "{text}");
        assert!(text.find("E0103").unwrap() < text.find("W0403").unwrap(), "{text}");
        for limit in [0, 50, 200, 260, 400] {
            assert!(length(&written(Format::Markdown, limit)) <= limit, "{limit}");
        }
    }
}
