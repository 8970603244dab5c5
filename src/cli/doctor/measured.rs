//! What was measured of the service beside what is assumed.

use serde_json::{Value, json};

use mdetag_core::probe::{Finding, Question, ServiceProfile, assumed};
use mdetag_core::report::escape::terminal;
use mdetag_core::report::words::number;
use mdetag_core::time::Timestamp;

/// A table for people. Findings that count no more say why.
pub fn text(profile: &ServiceProfile, now: Timestamp) -> String {
    let mut text = format!("     {:<24} {:<16} measured\n", "the service", "assumed");
    for question in Question::ALL {
        let Some(finding) = profile.findings.iter().find(|one| one.question == question.word()) else {
            continue;
        };
        let (what, why) = (verdict(finding), standing(profile, question, finding, now));
        let row = format!("     {:<24} {:<16} {what}{why}", question.word(), assumed(question));
        text.push_str(&format!("{}\n", terminal(row.trim_end())));
    }
    text
}

/// The same as a document.
pub fn document(profile: &ServiceProfile, now: Timestamp) -> Value {
    let row = |question: Question| {
        let finding = profile.findings.iter().find(|one| one.question == question.word())?;
        Some(json!({
            "question": question.word(), "assumed": assumed(question), "measured": finding.verdict,
            "number": finding.number, "reason": finding.reason, "measuredAt": finding.measured_at,
            "counts": profile.verdict(question, now).is_some(),
        }))
    };
    Question::ALL.into_iter().filter_map(row).collect()
}

fn verdict(finding: &Finding) -> String {
    let number = finding.number.map(|count| format!(" {}", number(count))).unwrap_or_default();
    let word = if finding.verdict == "notMeasured" { "not measured" } else { &finding.verdict };
    format!("{word}{number}")
}

fn standing(profile: &ServiceProfile, question: Question, finding: &Finding, now: Timestamp) -> String {
    let day = finding.measured_at.get(..10).unwrap_or_default();
    match (&finding.reason, &finding.stale_since) {
        (Some(reason), _) if finding.verdict == "notMeasured" => format!(": {reason}"),
        (_, Some(since)) => format!(" on {day}, and otherwise since {}", since.get(..10).unwrap_or_default()),
        _ if profile.verdict(question, now).is_none() => format!(" on {day}, too long ago to count"),
        _ => String::new(),
    }
}
