//! Standard error with `--log-format json`: one JSON object per line, for any message.
//!
//! The keys `timestamp`, `level` and `message` match the program's other log lines.

use serde_json::{Value, json};

use super::diagnostics;
use super::escape;
use crate::diagnostic::{Diagnostic, Severity, Sources};
use crate::time::Timestamp;

/// A text of any number of lines.
pub fn line(now: Timestamp, text: &str) -> String {
    let text = text.trim();
    let (level, message) = match text.split_once(": ") {
        Some(("error", rest)) => ("ERROR", rest),
        Some(("warning", rest)) => ("WARN", rest),
        Some(("note", rest)) => ("INFO", rest),
        _ => ("INFO", text),
    };
    written(&json!({ "timestamp": now.to_string(), "level": level, "message": message }))
}

/// Findings, one line each, with the keys of the `--format json` document.
pub fn findings(now: Timestamp, sources: &Sources, findings: &[Diagnostic]) -> String {
    let mut document = diagnostics::json(sources, findings);
    let entries = document["diagnostics"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let lines = entries.into_iter().zip(findings).map(|(mut entry, finding)| {
        let level = match finding.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARN",
            Severity::Note => "INFO",
        };
        entry["timestamp"] = now.to_string().into();
        entry["level"] = level.into();
        written(&entry)
    });
    lines.collect()
}

fn written(entry: &Value) -> String {
    escape::json_text(&entry.to_string()) + "\n"
}

/// A line for people from the logging library. It stays one line, and no name in it is a command.
pub fn harmless(line: &str) -> String {
    let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
    format!("{}{end}", body.replace('\n', "\\n").replace("##", "\\u{23}#"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_one_object_on_one_line() {
        let text = line(Timestamp::EPOCH, "warning: a\n= help: ##vso[b]\n");
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains("##"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["level"], &value["message"]), (&json!("WARN"), &json!("a\n= help: ##vso[b]")));
    }

    #[test]
    fn findings_keep_their_code_and_place() {
        let sources = Sources::from_text("p.yaml", "version: 1\n");
        let span = crate::diagnostic::Span { source: crate::diagnostic::SourceId(0), start: 0, end: 7 };
        let found = [
            Diagnostic::error("E0103", span, "a".to_owned()),
            Diagnostic::warning("W0403", None, "b".to_owned()),
        ];
        let text = findings(Timestamp::EPOCH, &sources, &found);
        let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&values[0]["level"], &values[0]["code"], &values[0]["line"]),
            (&json!("ERROR"), &json!("E0103"), &json!(1))
        );
        assert_eq!((values.len(), &values[1]["level"]), (2, &json!("WARN")));
    }

    #[test]
    fn a_log_line_stays_a_line() {
        assert_eq!(harmless("INFO a\n::error::b ##[c]\n"), "INFO a\\n::error::b \\u{23}#[c]\n");
    }
}
