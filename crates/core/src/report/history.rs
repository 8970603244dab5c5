//! The output of `history`: earlier runs and probes, or the changes of one device or tag, as text and as a document.
//!
//! The command reads the journals and chooses the lines.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::escape::{self, json_document, terminal};
use super::words::number;
use crate::apply::Outcome;
use crate::time::Timestamp;

/// The run of a line, and who ran it where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOrigin {
    pub run: String,
    /// The directory id of the tenant.
    pub tenant: String,
    /// The cloud's word.
    pub cloud: String,
    /// Whether the tenant is simulated. Text then says SANDBOX instead of the directory id.
    pub is_sandbox: bool,
    /// The account or application.
    pub who: Option<String>,
    /// The computer.
    pub host: Option<String>,
    /// The CI job, as a URL or a name.
    pub job: Option<String>,
    /// The git commit of the policy set.
    pub commit: Option<String>,
}

/// A run of `apply`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRun {
    pub origin: RunOrigin,
    /// `None` if its journal does not say.
    pub started: Option<Timestamp>,
    /// Digest of the policy set.
    pub policy: String,
    pub plan: String,
    /// Number of changes by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: Vec<(Outcome, u64)>,
    /// How it ended, in words.
    pub ended: String,
    /// Whether it can be resumed.
    pub is_resumable: bool,
    /// Lines of its journal that cannot be read.
    pub damaged_lines: u64,
}

/// A probe of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastProbe {
    pub origin: RunOrigin,
    /// `None` if its journal does not say.
    pub started: Option<Timestamp>,
    /// `None` if it ended before it had chosen a device.
    pub device: Option<String>,
    /// How it ended, in words.
    pub ended: String,
}

/// A run's change of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastChange {
    /// The run; its changes share this value.
    pub origin: Arc<RunOrigin>,
    /// When it ended.
    pub at: Timestamp,
    pub device: String,
    /// Its name, if the plan knew it.
    pub name: Option<String>,
    /// `add`, `remove` or `value`.
    pub action: String,
    /// The tag or the value.
    pub what: String,
    /// The outcome's word.
    pub outcome: String,
    /// The reason of a bad outcome.
    pub error: Option<String>,
    pub because: Option<String>,
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryLine {
    Run(PastRun),
    Probe(PastProbe),
    Change(PastChange),
}

impl HistoryLine {
    /// The time that lines are sorted by.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            HistoryLine::Run(run) => run.started,
            HistoryLine::Probe(probe) => probe.started,
            HistoryLine::Change(change) => Some(change.at),
        }
    }

    fn text(&self) -> String {
        match self {
            HistoryLine::Run(run) => run_text(run),
            HistoryLine::Probe(probe) => probe_text(probe),
            HistoryLine::Change(change) => change_text(change),
        }
    }

    fn document(&self) -> Value {
        match self {
            HistoryLine::Run(run) => run_document(run),
            HistoryLine::Probe(probe) => probe_document(probe),
            HistoryLine::Change(change) => change_document(change),
        }
    }
}

/// The lines for people, one each.
pub fn human(lines: &[HistoryLine]) -> String {
    lines.iter().map(HistoryLine::text).collect()
}

/// The message that no line fits the question.
pub fn nothing(place: &str, subject: Option<&str>, is_limited_in_time: bool) -> String {
    let of = subject.map(|subject| format!(" about `{}`", terminal(subject))).unwrap_or_default();
    let when = if is_limited_in_time { " in that time" } else { "" };
    format!("no run in {place} says anything{of}{when}\n")
}

/// The lines as one document: under `changes` if the question is about a device or tag, else under `runs`.
pub fn json(lines: &[HistoryLine], has_subject: bool) -> String {
    let key = if has_subject { "changes" } else { "runs" };
    let documents: Vec<Value> = lines.iter().map(HistoryLine::document).collect();
    json_document(&json!({ "formatVersion": "1.0", key: documents }))
}

fn run_text(run: &PastRun) -> String {
    let ended_so = run.outcomes.iter().filter(|(_, count)| *count > 0);
    let outcomes: Vec<String> =
        ended_so.map(|(outcome, count)| format!("{} {}", number(*count), outcome.word())).collect();
    let origin = &run.origin;
    format!(
        "{} · {}{} · by {} on {}{} · {} · {}\n",
        origin.run,
        tenant(origin),
        started(run.started),
        who(origin),
        place(origin),
        commit(origin),
        if outcomes.is_empty() { "no change".to_owned() } else { outcomes.join(", ") },
        terminal(&run.ended),
    )
}

fn run_document(run: &PastRun) -> Value {
    let origin = &run.origin;
    let outcomes: Map<String, Value> =
        run.outcomes.iter().map(|(outcome, count)| (outcome.word().to_owned(), (*count).into())).collect();
    json!({
        "run": origin.run, "startedAt": run.started, "tenant": origin.tenant, "cloud": origin.cloud,
        "who": origin.who, "host": origin.host, "job": origin.job, "commit": origin.commit,
        "policy": run.policy, "plan": run.plan, "outcomes": outcomes, "ended": run.ended,
        "resumable": run.is_resumable, "damagedLines": run.damaged_lines,
    })
}

fn probe_text(probe: &PastProbe) -> String {
    let origin = &probe.origin;
    format!(
        "{} · {}{} · by {} on {} · probe of the service with device {} · {}\n",
        origin.run,
        tenant(origin),
        started(probe.started),
        who(origin),
        place(origin),
        terminal(probe.device.as_deref().unwrap_or("unknown")),
        terminal(&probe.ended),
    )
}

fn probe_document(probe: &PastProbe) -> Value {
    let origin = &probe.origin;
    json!({
        "run": origin.run, "kind": "probe", "startedAt": probe.started, "tenant": origin.tenant,
        "cloud": origin.cloud, "who": origin.who, "host": origin.host, "job": origin.job,
        "device": probe.device, "ended": probe.ended,
    })
}

fn change_text(change: &PastChange) -> String {
    let symbol = match change.action.as_str() {
        "add" => "+",
        "remove" => "-",
        _ => "~",
    };
    let because = change.because.as_deref().map(|because| format!(" · {}", terminal(because)));
    let error = change.error.as_deref().map(|error| format!(" ({})", terminal(error)));
    let origin = &change.origin;
    format!(
        "{}  {symbol} {}  {}  {}{}{} · by {} · {}run {}{}\n",
        second(change.at),
        terminal(&escape::tag(&change.what)),
        terminal(change.name.as_deref().unwrap_or(&change.device)),
        terminal(&change.outcome),
        error.unwrap_or_default(),
        because.unwrap_or_default(),
        who(origin),
        tenant(origin),
        origin.run,
        commit(origin),
    )
}

fn change_document(change: &PastChange) -> Value {
    let origin = &change.origin;
    json!({
        "at": change.at, "device": { "id": change.device, "name": change.name }, "action": change.action,
        "what": change.what, "outcome": change.outcome, "error": change.error, "because": change.because,
        "run": origin.run, "tenant": origin.tenant, "cloud": origin.cloud, "who": origin.who,
        "commit": origin.commit,
    })
}

fn started(at: Option<Timestamp>) -> String {
    at.map(second).unwrap_or_default()
}

/// A time to the second, which is enough for people.
fn second(at: Timestamp) -> String {
    at.rounded_down().to_string()
}

/// SANDBOX, or the tenant's id, because one state directory may have many tenants.
fn tenant(origin: &RunOrigin) -> String {
    if origin.is_sandbox { "SANDBOX · ".to_owned() } else { format!("{} · ", terminal(&origin.tenant)) }
}

fn who(origin: &RunOrigin) -> String {
    terminal(origin.who.as_deref().unwrap_or("unknown")).into_owned()
}

fn place(origin: &RunOrigin) -> String {
    let place = origin.job.as_deref().or(origin.host.as_deref());
    terminal(place.unwrap_or("unknown")).into_owned()
}

fn commit(origin: &RunOrigin) -> String {
    let short = origin.commit.as_deref().map(|commit| commit.chars().take(7).collect::<String>());
    short.map(|short| format!(" · commit {}", terminal(&short))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> RunOrigin {
        RunOrigin {
            run: "r1".to_owned(),
            tenant: "t".to_owned(),
            cloud: "public".to_owned(),
            who: Some("a##vso[x]".to_owned()),
            host: Some("h".to_owned()),
            commit: Some("0123456789".to_owned()),
            ..RunOrigin::default()
        }
    }

    #[test]
    fn times_for_people_have_whole_seconds_and_those_of_the_document_all_digits() {
        let at = Timestamp::parse("2026-11-27T11:51:32.5258897Z").unwrap();
        let run = PastRun {
            origin: origin(),
            started: Some(at),
            policy: String::new(),
            plan: String::new(),
            outcomes: Vec::new(),
            ended: "finished".to_owned(),
            is_resumable: false,
            damaged_lines: 0,
        };
        let lines = [HistoryLine::Run(run)];
        assert!(human(&lines).contains(" · 2026-11-27T11:51:32Z · "), "{}", human(&lines));
        assert!(json(&lines, false).contains("2026-11-27T11:51:32.5258897Z"));
    }

    #[test]
    fn a_run_names_only_the_outcomes_that_occurred_and_its_document_names_all() {
        let run = HistoryLine::Run(PastRun {
            origin: origin(),
            started: Some(Timestamp::EPOCH),
            policy: "p".to_owned(),
            plan: "q".to_owned(),
            outcomes: Outcome::ALL
                .into_iter()
                .map(|outcome| (outcome, u64::from(outcome == Outcome::Done) * 1_200))
                .collect(),
            ended: "finished".to_owned(),
            is_resumable: false,
            damaged_lines: 0,
        });
        let text = human(std::slice::from_ref(&run));
        assert_eq!(
            text,
            "r1 · t · 1970-01-01T00:00:00Z · by a\\u{23}#vso[x] on h · commit 0123456 · 1,200 done · finished\n"
        );
        let document: Value = serde_json::from_str(&json(&[run], false)).unwrap();
        assert_eq!(document["runs"][0]["outcomes"].as_object().unwrap().len(), Outcome::ALL.len());
    }

    #[test]
    fn a_change_shows_its_name_its_cause_and_its_run() {
        let change = HistoryLine::Change(PastChange {
            origin: Arc::new(RunOrigin { is_sandbox: true, commit: None, ..origin() }),
            at: Timestamp::EPOCH,
            device: "d1".to_owned(),
            name: None,
            action: "add".to_owned(),
            what: " T".to_owned(),
            outcome: "failed".to_owned(),
            error: Some("404".to_owned()),
            because: Some("rule r".to_owned()),
        });
        let text = human(std::slice::from_ref(&change));
        assert!(
            text.ends_with("  + \" T\"  d1  failed (404) · rule r · by a\\u{23}#vso[x] · SANDBOX · run r1\n"),
            "{text}"
        );
        let document: Value = serde_json::from_str(&json(&[change], true)).unwrap();
        assert_eq!(document["changes"][0]["device"], json!({ "id": "d1", "name": null }));
    }
}
