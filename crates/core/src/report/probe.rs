//! The findings of a probe beside the assumptions, and the state of its device afterwards.
//!
//! Measures nothing and decides no verdict; `probe` does.

use std::sync::Arc;

use serde_json::{Value, json};

use super::escape::{self, json_document, terminal};
use super::words::number;
use crate::apply::DeviceState;
use crate::probe::scratch::is_scratch;
use crate::probe::{Finding, Question, Seen, ServiceProfile, assumed};
use crate::time::Timestamp;

/// The end of a probe.
#[derive(Clone, Debug)]
pub struct ProbeEnd<'a> {
    /// Whether the tenant is simulated.
    pub is_sandbox: bool,
    /// The id of the device under test.
    pub device: &'a str,
    /// The device's name for people, already escaped.
    pub shown: &'a str,
    /// The findings of this probe alone.
    pub profile: &'a ServiceProfile,
    /// The time that decides which findings are too old to count.
    pub now: Timestamp,
    /// Verdicts that differ from an earlier probe's: the question, the old and the new verdict.
    pub changed: &'a [(String, String, String)],
    /// Why it ended early.
    pub ended_early: Option<&'a str>,
    /// Whether the device is in its original state.
    pub is_restored: bool,
    /// That state in words, already escaped.
    pub restored: &'a str,
}

impl ProbeEnd<'_> {
    fn changes(&self) -> Vec<String> {
        let changed = self.changed.iter();
        changed
            .map(|(question, was, is)| format!("{question} was {was} in an earlier probe, and is {is}"))
            .collect()
    }
}

/// Writes the end of a probe for people.
pub fn human(end: &ProbeEnd<'_>) -> String {
    let mut text = if end.is_sandbox { "SANDBOX\n".to_owned() } else { String::new() };
    text.push_str(&table(end.profile, end.now));
    let early = end.ended_early.map(|why| format!("the probe ended early: {why}"));
    for line in end.changes().iter().chain(&early) {
        text.push_str(&format!("{}\n", terminal(line)));
    }
    text.push_str(&format!("device {}: {}\n", end.shown, end.restored));
    text
}

/// Writes the end of a probe as one document.
pub fn json(end: &ProbeEnd<'_>) -> String {
    json_document(&json!({
        "formatVersion": "1.0", "device": end.device, "service": rows(end.profile, end.now),
        "changed": end.changes(), "restored": end.is_restored, "says": end.restored,
        "endedEarly": end.ended_early,
    }))
}

/// How a device differs from its state before a probe, ignoring scratch tags; `None` if it does not.
pub fn difference(before: &DeviceState, now: &DeviceState) -> Option<String> {
    let own = |state: &DeviceState| {
        let mut tags: Vec<Arc<str>> = state.tags.iter().filter(|tag| !is_scratch(tag)).cloned().collect();
        tags.sort();
        tags
    };
    if own(before) == own(now) && before.value == now.value {
        return None;
    }
    let list = |state: &DeviceState| {
        let tags: Vec<String> = own(state).iter().map(|tag| escape::tag(tag).into_owned()).collect();
        format!("[{}], value {}", tags.join(", "), state.value.as_deref().unwrap_or("none"))
    };
    let what = format!("it differs from before: {}; now {}", list(before), list(now));
    Some(terminal(&what).into_owned())
}

/// The findings for people. Those that no longer count say why.
pub(super) fn table(profile: &ServiceProfile, now: Timestamp) -> String {
    let widest =
        |words: &mut dyn Iterator<Item = &'static str>| words.map(str::len).max().unwrap_or_default();
    let first = widest(&mut Question::ALL.into_iter().map(Question::word));
    let second = widest(&mut Question::ALL.into_iter().map(assumed));
    let mut text = format!("     {:<first$}  {:<second$}  measured\n", "the service", "assumed");
    for question in Question::ALL {
        let (finding, seen) = (finding(profile, question), seen(profile, question));
        let what = finding.map_or_else(
            || "not measured".to_owned(),
            |finding| format!("{}{}", verdict(finding), standing(profile, question, finding, now)),
        );
        let seen = seen.map(sighting).unwrap_or_default();
        let row = format!("     {:<first$}  {:<second$}  {what}{seen}", question.word(), assumed(question));
        text.push_str(&format!("{}\n", terminal(row.trim_end())));
    }
    text
}

/// The findings as rows of a document.
pub(super) fn rows(profile: &ServiceProfile, now: Timestamp) -> Value {
    let row = |question: Question| {
        let (finding, seen) = (finding(profile, question), seen(profile, question));
        json!({
            "question": question.word(), "assumed": assumed(question),
            "measured": finding.map_or("notMeasured", |finding| &finding.verdict),
            "number": finding.and_then(|finding| finding.number),
            "reason": finding.and_then(|finding| finding.reason.clone()),
            "measuredAt": finding.map(|finding| &finding.measured_at),
            "counts": profile.verdict(question, now).is_some(),
            "staleSince": finding.and_then(|finding| finding.stale_since.clone()),
            "seen": seen,
        })
    };
    Question::ALL.into_iter().map(row).collect()
}

fn finding(profile: &ServiceProfile, question: Question) -> Option<&Finding> {
    profile.findings.iter().find(|finding| finding.question == question.word())
}

fn seen(profile: &ServiceProfile, question: Question) -> Option<&Seen> {
    profile.seen.iter().find(|seen| seen.question == question.word())
}

/// The observations of runs, at the end of a row.
fn sighting(seen: &Seen) -> String {
    // `none 0` would say the same thing twice.
    let count = seen.number.filter(|count| *count > 0);
    let count = count.map(|count| format!(" {}", amount(&seen.question, count))).unwrap_or_default();
    format!("; runs saw {}{count} on {}", seen.verdict, seen.last_seen)
}

fn amount(question: &str, count: u64) -> String {
    if question == Question::ListLag.word() { format!("{} s", number(count)) } else { number(count) }
}

fn verdict(finding: &Finding) -> String {
    let count = finding.number.map(|count| format!(" {}", amount(&finding.question, count)));
    let count = count.unwrap_or_default();
    let word = if finding.verdict == "notMeasured" { "not measured" } else { &finding.verdict };
    format!("{word}{count}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_of_the_table_begins_at_one_place() {
        let text = table(&ServiceProfile::default(), Timestamp::EPOCH);
        let (head, rows) = text.split_once('\n').unwrap();
        let (assumed, measured) = (head.find("assumed").unwrap(), head.find("measured").unwrap());
        for row in rows.lines() {
            assert_eq!(row.find("not measured"), Some(measured), "{row}");
            assert!(!row[assumed..].starts_with(' ') && row[..assumed].ends_with("  "), "{row}");
        }
    }

    #[test]
    fn scratch_tags_and_the_order_of_tags_are_no_difference() {
        let scratch = format!("{}x", crate::probe::scratch::PREFIX);
        let state = |tags: &[&str]| DeviceState {
            id: "d".into(),
            tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
            has_tag_list: true,
            value: Some("High".into()),
        };
        assert_eq!(difference(&state(&["A", "B"]), &state(&["B", &scratch, "A"])), None);
        assert_eq!(
            difference(&state(&["A"]), &state(&[" B"])).unwrap(),
            "it differs from before: [A], value High; now [\" B\"], value High"
        );
    }
}
