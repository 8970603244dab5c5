//! Findings for people and other tools: with their source line, as a JSON document, as SARIF, as GitHub annotations.
//!
//! Finds nothing and prints nothing. Text from files is hostile, as everywhere: it passes through `escape`.

use std::collections::HashMap;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Map, Value, json};

use super::style::Style;
use super::{escape, words};
use crate::diagnostic::{Diagnostic, Severity, Sources, Span};
use crate::pages;
use crate::policy::Policy;

/// The longest line that is shown. Of a longer one only the place is shown.
const MAX_LINE: usize = 2_000;

/// Each finding with its source line, and a last line that counts them. Empty without findings.
pub fn human(sources: &Sources, findings: &[Diagnostic], style: &Style) -> String {
    let lines = Lines::new(sources);
    let width = style.width.clamp(60, 200);
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() }.term_width(width);
    let mut text = String::new();
    for finding in findings {
        text.push_str(renderer.render(&[group(&lines, finding)]).trim_end());
        text.push_str("\n\n");
    }
    if !findings.is_empty() {
        text.push_str(&summary(findings));
        text.push('\n');
    }
    text
}

/// A summary of a set without findings.
pub fn clean(policy: &Policy, files: usize) -> String {
    format!(
        "{} in {} with {}: no findings\n",
        words::counted(policy.rules.len() as u64, "rule"),
        words::counted(files as u64, "file"),
        words::counted(policy.claims.len() as u64, "claim"),
    )
}

/// A finding without a source: why a command could not do its work.
pub fn failure(finding: &Diagnostic, style: &Style) -> String {
    let sources = Sources::default();
    let lines = Lines::new(&sources);
    let renderer = if style.colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.render(&[group(&lines, finding)]);
    text.push('\n');
    text
}

/// The number of each kind: `2 errors, 1 warning, 3 notes`.
pub fn summary(findings: &[Diagnostic]) -> String {
    let parts = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let count = count(findings, severity);
        (count > 0).then(|| words::counted(count, severity.word()))
    });
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}

fn count(findings: &[Diagnostic], severity: Severity) -> u64 {
    findings.iter().filter(|finding| finding.severity == severity).count() as u64
}

fn group<'f>(lines: &Lines<'f>, finding: &'f Diagnostic) -> Group<'f> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(escape::terminal(&finding.message)).id(finding.code);
    let mut elements: Vec<Element<'f>> = Vec::new();
    if let Some(span) = finding.span {
        elements.push(lines.shown(span, finding.label.as_deref(), true, finding.hides_lines));
    }
    for related in &finding.related {
        elements.push(lines.shown(related.span, Some(&related.message), false, finding.hides_lines));
    }
    if let Some(devices) = &finding.devices {
        let sample: Vec<_> = devices.sample.iter().map(|name| escape::terminal(name)).collect();
        let more = devices.count.saturating_sub(sample.len() as u64);
        let rest = if more > 0 { format!(", … {more} more") } else { String::new() };
        elements.push(Level::NOTE.message(format!("devices: {}{rest}", sample.join(", "))).into());
    }
    // One step per line: joined, help with a command in it is unreadable and cannot be copied.
    for step in finding.help.iter().flat_map(|help| help.lines()) {
        elements.push(Level::HELP.message(escape::terminal(step)).into());
    }
    title.elements(elements)
}

/// The line starts of each source, kept because findings are many and files are large.
struct Lines<'s> {
    sources: &'s Sources,
    starts: Vec<std::cell::OnceCell<Vec<u32>>>,
}

/// A span as lines and columns from 1; columns count Unicode scalars.
struct Region {
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

impl<'s> Lines<'s> {
    fn new(sources: &'s Sources) -> Lines<'s> {
        Lines { sources, starts: sources.files.iter().map(|_| std::cell::OnceCell::new()).collect() }
    }

    fn starts(&self, span: Span) -> &[u32] {
        let index = span.source.0 as usize;
        self.starts[index].get_or_init(|| {
            let text = self.sources.files[index].text.as_bytes();
            let breaks = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            std::iter::once(0).chain(breaks.map(|(at, _)| at as u32 + 1)).collect()
        })
    }

    /// The line (from 0) that contains a byte, and the line's first byte.
    fn line(&self, span: Span, at: u32) -> (usize, u32) {
        let starts = self.starts(span);
        let line = starts.partition_point(|start| *start <= at).saturating_sub(1);
        (line, starts[line])
    }

    fn region(&self, span: Span) -> Region {
        let text = &self.sources.file(span.source).text;
        let place = |at: u32| {
            let (line, start) = self.line(span, at);
            let before = text.get(start as usize..at as usize).unwrap_or("");
            (line as u32 + 1, before.chars().count() as u32 + 1)
        };
        let (line, column) = place(span.start);
        let (end_line, end_column) = place(span.end.max(span.start));
        Region { line, column, end_line, end_column }
    }

    /// The first line of a span with a caret below it; only the place if the line is too long or may contain a secret.
    fn shown(&self, span: Span, label: Option<&'s str>, is_primary: bool, is_hidden: bool) -> Element<'s> {
        let source = self.sources.file(span.source);
        let path = escape::terminal(&source.name);
        let (line, start) = self.line(span, span.start);
        let rest = source.text.get(start as usize..).unwrap_or("");
        let shown = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        if is_hidden || shown.len() > MAX_LINE {
            let column = self.region(span).column as usize;
            return Origin::path(path).line(line + 1).char_column(column).into();
        }
        let from = (span.start - start) as usize;
        let to = (span.end.max(span.start) - start) as usize;
        let (from, to) = (from.min(shown.len()), to.min(shown.len()));
        let kind = if is_primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        let annotation = kind.span(from..to.max(from)).label(label.map(escape::terminal));
        // Build logs read `##vso[…]` and `##[…]` anywhere in a line as a command. `%#` keeps bytes and columns the same.
        let harmless = shown.replace("##[", "%#[").replace("##vso", "%#vso");
        Snippet::source(harmless).line_start(line + 1).path(path).annotation(annotation).into()
    }
}

/// The document of `--format json`: `{ formatVersion, diagnostics, errors, warnings }`.
pub fn json(sources: &Sources, findings: &[Diagnostic]) -> Value {
    let lines = Lines::new(sources);
    let diagnostics: Vec<Value> = findings.iter().map(|finding| entry(&lines, finding)).collect();
    json!({
        "formatVersion": "1.0",
        "diagnostics": diagnostics,
        "errors": count(findings, Severity::Error),
        "warnings": count(findings, Severity::Warning),
    })
}

fn entry(lines: &Lines<'_>, finding: &Diagnostic) -> Value {
    let mut entry = Map::new();
    entry.insert("code".into(), finding.code.into());
    entry.insert("severity".into(), finding.severity.word().into());
    entry.insert("message".into(), finding.message.as_str().into());
    if let Some(span) = finding.span {
        place(lines, span, &mut entry);
    }
    if let Some(label) = &finding.label {
        entry.insert("label".into(), label.as_str().into());
    }
    if let Some(help) = &finding.help {
        entry.insert("help".into(), help.as_str().into());
    }
    let related = finding.related.iter().map(|related| {
        let mut entry = Map::new();
        place(lines, related.span, &mut entry);
        entry.insert("message".into(), related.message.as_str().into());
        Value::Object(entry)
    });
    entry.insert("related".into(), related.collect());
    if let Some(devices) = &finding.devices {
        entry.insert("devices".into(), json!({ "count": devices.count, "sample": devices.sample }));
    }
    Value::Object(entry)
}

fn place(lines: &Lines<'_>, span: Span, entry: &mut Map<String, Value>) {
    let region = lines.region(span);
    entry.insert("file".into(), (*lines.sources.file(span.source).name).into());
    entry.insert("line".into(), region.line.into());
    entry.insert("column".into(), region.column.into());
    entry.insert("endLine".into(), region.end_line.into());
    entry.insert("endColumn".into(), region.end_column.into());
}

/// SARIF 2.1.0, for code-scanning pages.
pub fn sarif(sources: &Sources, findings: &[Diagnostic]) -> Value {
    let lines = Lines::new(sources);
    let mut rules: Vec<Value> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let index = *known.entry(finding.code).or_insert_with(|| {
                rules.push(rule(finding.code));
                rules.len() - 1
            });
            result(&lines, finding, index)
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "mdetag",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &str) -> Value {
    let mut rule = Map::new();
    rule.insert("id".into(), code.into());
    if let Some(title) = pages::title(code) {
        rule.insert("shortDescription".into(), json!({ "text": title }));
        let page = format!("{}/blob/main/docs/diagnostics/{code}.md", env!("CARGO_PKG_REPOSITORY"));
        rule.insert("helpUri".into(), page.into());
    }
    Value::Object(rule)
}

fn result(lines: &Lines<'_>, finding: &Diagnostic, index: usize) -> Value {
    let mut result = Map::new();
    result.insert("ruleId".into(), finding.code.into());
    result.insert("ruleIndex".into(), index.into());
    result.insert("level".into(), finding.severity.word().into());
    result.insert("message".into(), json!({ "text": escape::terminal(&with_help(finding, ". ")) }));
    let location = |span: Span| {
        let region = lines.region(span);
        json!({
            "artifactLocation": { "uri": escape::uri(&lines.sources.file(span.source).name) },
            "region": {
                "startLine": region.line,
                "startColumn": region.column,
                "endLine": region.end_line,
                "endColumn": region.end_column,
            },
        })
    };
    if let Some(span) = finding.span {
        result.insert("locations".into(), json!([{ "physicalLocation": location(span) }]));
    }
    let related: Vec<Value> = finding
        .related
        .iter()
        .map(|related| {
            let text = escape::terminal(&related.message);
            json!({ "physicalLocation": location(related.span), "message": { "text": text } })
        })
        .collect();
    if !related.is_empty() {
        result.insert("relatedLocations".into(), related.into());
    }
    Value::Object(result)
}

/// The schema of the document that [`json()`] makes.
pub fn schema() -> Value {
    let place = json!({
        "file": { "type": "string" }, "line": { "type": "integer", "minimum": 1 }, "column": { "type": "integer", "minimum": 1 },
        "endLine": { "type": "integer", "minimum": 1 }, "endColumn": { "type": "integer", "minimum": 1 },
    });
    let mut finding = json!({
        "code": { "type": "string", "pattern": "^[EWN][0-9]{4}$" },
        "severity": { "enum": ["error", "warning", "note"] },
        "message": { "type": "string" },
        "label": { "type": ["string", "null"] },
        "help": { "type": ["string", "null"] },
        "related": { "type": "array", "items": { "type": "object" } },
        "devices": { "type": ["object", "null"], "properties": { "count": { "type": "integer" }, "sample": { "type": "array" } } },
    });
    if let (Some(finding), Some(place)) = (finding.as_object_mut(), place.as_object()) {
        finding.extend(place.clone());
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Findings of mdetag",
        "type": "object",
        "required": ["formatVersion", "diagnostics", "errors", "warnings"],
        "properties": {
            "formatVersion": { "type": "string" },
            "errors": { "type": "integer" },
            "warnings": { "type": "integer" },
            "diagnostics": {
                "type": "array",
                "items": { "type": "object", "required": ["code", "severity", "message"], "properties": finding },
            },
        },
    })
}

fn with_help(finding: &Diagnostic, between: &str) -> String {
    match &finding.help {
        Some(help) => format!("{}{between}{help}", finding.message),
        None => finding.message.clone(),
    }
}

/// GitHub workflow commands: one annotation per finding, at its lines.
pub fn github(sources: &Sources, findings: &[Diagnostic]) -> String {
    let lines = Lines::new(sources);
    let mut text = String::new();
    for finding in findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties = Vec::new();
        if let Some(span) = finding.span {
            let region = lines.region(span);
            properties
                .push(format!("file={}", escape::github_property(&lines.sources.file(span.source).name)));
            properties.push(format!("line={}", region.line));
            properties.push(format!("endLine={}", region.end_line));
            // Columns only count within one line.
            if region.line == region.end_line {
                properties.push(format!("col={}", region.column));
                properties.push(format!("endColumn={}", region.end_column));
            }
        }
        properties.push(format!("title={}", escape::github_property(finding.code)));
        let message = escape::github_message(&with_help(finding, "\n"));
        text.push_str(&format!("::{command} {}::{message}\n", properties.join(",")));
    }
    text
}
