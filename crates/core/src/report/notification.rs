//! Messages to a webhook: the result of a command as a CloudEvent, a card for Teams or blocks for Slack.
//!
//! Contains counts, the tenant, the run and a link. Never contains a device's name or a tag, except in the text of an error,
//! which is placed where nothing is rendered. Sends nothing.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::plan::{Plan, TenantReference, Totals, document};
use crate::policy::notify::{MessageFormat, Occasion};
use crate::time::Timestamp;

use super::escape::{clip, terminal};
use super::figures::Figures;
use super::json::OutcomesDocument;
use super::lost::LostTagsSummary;
use super::model::{Model, Subject};
use super::sentences;
use super::words::{number, outcome_phrase};

/// The most characters of an error in a message.
const ERROR: usize = 300;

/// What a command came to: the summary of its `--format json`, and the data of a CloudEvent.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryDocument {
    /// `1.0`.
    pub format_version: &'static str,
    /// Name and version of the tool.
    pub tool: String,
    /// `apply` or `drift`.
    pub command: &'static str,
    /// For which tenant.
    pub tenant: TenantReference,
    /// `sha256:…` of the policy set, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Git commit of the policy set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Changes of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Totals>,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// How many changes ended how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<OutcomesDocument>,
    /// Tags that calls of the run took along; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_tags: Option<LostTagsSummary>,
    /// Why there is no plan or no run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The job of the CI system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// An error as `--format json` names it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ErrorSummary {
    /// `E9003`.
    pub code: String,
    /// What happened.
    pub message: String,
}

impl SummaryDocument {
    /// Of a command that made no plan.
    pub fn new(subject: Subject, tool: &str, tenant: TenantReference) -> SummaryDocument {
        SummaryDocument {
            format_version: document::FORMAT_VERSION,
            tool: tool.to_owned(),
            command: subject.word(),
            tenant,
            policy: None,
            commit: None,
            summary: None,
            run_id: None,
            outcomes: None,
            lost_tags: None,
            error: None,
            exit_code: 0,
            link: None,
        }
    }

    /// Counts what a plan would change.
    pub fn of_plan(subject: Subject, plan: &Plan) -> SummaryDocument {
        SummaryDocument::of(subject, plan, Figures::of_plan(plan))
    }

    /// Counts what a run changed.
    pub fn of_run(model: &Model<'_>) -> SummaryDocument {
        SummaryDocument::of(model.input.subject, model.plan(), Figures::of(model))
    }

    fn of(subject: Subject, plan: &Plan, figures: Figures) -> SummaryDocument {
        let Figures { policy, commit, run_id, outcomes, lost_tags } = figures;
        SummaryDocument {
            policy: Some(policy).filter(|digest| !digest.is_empty()),
            commit,
            summary: Some(plan.totals()),
            run_id: run_id.filter(|id| !id.is_empty()),
            outcomes,
            lost_tags,
            ..SummaryDocument::new(subject, &plan.header.tool, plan.header.tenant.clone())
        }
    }

    /// The occasion to report, if it is among the wanted ones.
    pub fn occasion(&self, wanted: &[Occasion]) -> Option<Occasion> {
        Occasion::ALL.into_iter().find(|occasion| wanted.contains(occasion) && self.holds(*occasion))
    }

    fn holds(&self, occasion: Occasion) -> bool {
        match occasion {
            Occasion::Refused => self.exit_code == 3,
            Occasion::Failed => matches!(self.exit_code, 1 | 4),
            Occasion::Drift => self.command == Subject::Drift.word() && self.exit_code == 2,
            Occasion::Changed => self.outcomes.is_some_and(|outcomes| outcomes.done > 0),
        }
    }
}

/// The schema of a CloudEvent's data.
pub fn schema() -> Value {
    let mut schemas = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    schemas.root_schema_for::<SummaryDocument>().to_value()
}

/// A message, ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The type of its body.
    pub content_type: &'static str,
    /// JSON.
    pub body: Vec<u8>,
}

/// Writes a message. `id` identifies repeated deliveries of the same message.
pub fn message(
    format: MessageFormat,
    occasion: Occasion,
    summary: &SummaryDocument,
    id: &str,
    at: Timestamp,
) -> Message {
    let (content_type, body) = match format {
        MessageFormat::Json => ("application/cloudevents+json", event(occasion, summary, id, at)),
        MessageFormat::Teams => ("application/json", teams(occasion, summary)),
        MessageFormat::Slack => ("application/json", slack(occasion, summary)),
    };
    Message { content_type, body: body.to_string().into_bytes() }
}

/// A CloudEvent 1.0 in its structured form.
fn event(occasion: Occasion, summary: &SummaryDocument, id: &str, at: Timestamp) -> Value {
    let tenant = summary.tenant.id.as_deref().or(summary.tenant.name.as_deref()).unwrap_or("unknown");
    json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/mdetag/tenants/{}", super::escape::uri(tenant)),
        "type": format!("io.github.mdetag.{}", occasion.word()),
        "subject": summary.command,
        "time": at,
        "datacontenttype": "application/json",
        "data": summary,
    })
}

/// An adaptive card in the envelope of Teams workflows. Every foreign text is a `TextRun`, which, unlike a `TextBlock`, renders
/// no Markdown.
fn teams(occasion: Occasion, summary: &SummaryDocument) -> Value {
    let run = |text: &str, weight: &str| json!({ "type": "TextRun", "text": text, "weight": weight });
    let title = json!({
        "type": "RichTextBlock",
        "inlines": [{ "type": "TextRun", "text": title(occasion, summary), "weight": "Bolder", "size": "Medium" }],
    });
    let lines = lines(summary).into_iter().map(|(label, text)| {
        json!({ "type": "RichTextBlock", "spacing": "Small",
            "inlines": [run(&format!("{label}: "), "Bolder"), run(&text, "Default")] })
    });
    let body: Vec<Value> = std::iter::once(title).chain(lines).collect();
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    });
    if let Some(link) = &summary.link {
        card["actions"] = json!([{ "type": "Action.OpenUrl", "title": "Open the job", "url": link }]);
    }
    json!({
        "type": "message",
        "attachments": [
            { "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card },
        ],
    })
}

/// Blocks of plain text, which renders no markup, mentions or emoji.
fn slack(occasion: Occasion, summary: &SummaryDocument) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "emoji": false, "text": slack_text(text) });
    let title = title(occasion, summary);
    let lines = lines(summary).into_iter().map(|(label, text)| format!("{label}: {text}"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&clip(&title, 140)) }),
        json!({ "type": "section", "text": plain(&lines) }),
    ];
    if let Some(link) = &summary.link {
        blocks.push(json!({
            "type": "context",
            "elements": [{ "type": "mrkdwn", "verbatim": true, "text": format!("<{link}|Open the job>") }],
        }));
    }
    json!({ "text": slack_text(&title), "mrkdwn": false, "blocks": blocks })
}

/// Escapes the three characters that Slack reads as control characters in every kind of text.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `mdetag: drift on contoso`.
fn title(occasion: Occasion, summary: &SummaryDocument) -> String {
    let is_sandbox = summary.tenant.cloud.as_deref() == Some("sandbox");
    let sandbox = if is_sandbox { "SANDBOX · " } else { "" };
    let what = match occasion {
        Occasion::Refused => "refused",
        Occasion::Failed => "failed",
        Occasion::Drift => "drift",
        Occasion::Changed => "changed devices",
    };
    let tenant =
        summary.tenant.name.as_deref().or(summary.tenant.id.as_deref()).unwrap_or("an unnamed tenant");
    format!("{sandbox}mdetag {}: {what} on {}", summary.command, terminal(&clip(tenant, 100)))
}

/// The lines of a message for people.
fn lines(summary: &SummaryDocument) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(totals) = summary.summary {
        lines.push(("Plan", sentences::totals(totals)));
    }
    if let Some(outcomes) = &summary.outcomes {
        let counted = outcomes.counts().into_iter().filter(|(_, count)| *count > 0);
        let parts = counted.map(|(outcome, count)| format!("{} {}", number(count), outcome_phrase(outcome)));
        let parts = parts.collect::<Vec<_>>().join(", ");
        lines.push(("Outcome", if parts.is_empty() { "nothing was to be done".to_owned() } else { parts }));
    }
    if let Some(LostTagsSummary { restored, not_restored }) = summary.lost_tags {
        let text = format!("{} not back, {} put back", number(not_restored), number(restored));
        lines.push(("Tags lost by calls", text));
    }
    if let Some(error) = &summary.error {
        lines.push(("Error", format!("{}: {}", error.code, terminal(&clip(&error.message, ERROR)))));
    }
    if let Some(id) = &summary.tenant.id {
        lines.push(("Tenant", terminal(&clip(id, 100)).into_owned()));
    }
    if let Some(run) = &summary.run_id {
        lines.push(("Run", terminal(&clip(run, 100)).into_owned()));
    }
    if let Some(commit) = &summary.commit {
        lines.push(("Policy", terminal(&clip(commit, 12)).into_owned()));
    }
    lines.push(("Exit code", summary.exit_code.to_string()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use crate::report::model::Input;

    /// Everything that some receiver could read as markup, a mention or a command.
    const HOSTILE: &str =
        "<!channel> [a](https://evil.example) **b** :smile: @here <https://evil.example|x> \u{202e}";

    fn failed() -> SummaryDocument {
        let tenant = TenantReference { name: Some("contoso".into()), ..TenantReference::default() };
        let mut summary = SummaryDocument::new(Subject::Applied, "mdetag 1", tenant);
        summary.error = Some(ErrorSummary { code: "E9003".into(), message: HOSTILE.into() });
        summary.link = Some("https://ci.example.com/runs/7".into());
        summary.exit_code = 1;
        summary
    }

    fn written(format: MessageFormat, summary: &SummaryDocument) -> Value {
        let occasion = summary.occasion(&Occasion::ALL).unwrap();
        let message = message(format, occasion, summary, "1", Timestamp::EPOCH);
        serde_json::from_slice(&message.body).unwrap()
    }

    /// Collects every object of the document that directly contains this text.
    fn holders<'v>(value: &'v Value, text: &str, found: &mut Vec<&'v Value>) {
        match value {
            Value::Object(map) => {
                if map.values().any(|value| value.as_str().is_some_and(|value| value.contains(text))) {
                    found.push(value);
                }
                map.values().for_each(|value| holders(value, text, found));
            }
            Value::Array(items) => items.iter().for_each(|item| holders(item, text, found)),
            _ => {}
        }
    }

    #[test]
    fn hostile_text_stands_only_where_nothing_renders() {
        let summary = failed();
        let teams = written(MessageFormat::Teams, &summary);
        let mut found = Vec::new();
        holders(&teams, "evil", &mut found);
        assert!(!found.is_empty() && found.iter().all(|holder| holder["type"] == "TextRun"), "{teams}");
        let slack = written(MessageFormat::Slack, &summary);
        let mut found = Vec::new();
        holders(&slack, "evil", &mut found);
        assert!(!found.is_empty() && found.iter().all(|holder| holder["type"] == "plain_text"), "{slack}");
        assert!(!slack.to_string().contains("<!") && !slack.to_string().contains("<https://evil"));
        for text in [teams.to_string(), slack.to_string()] {
            assert!(!text.contains('\u{202e}'), "{text}");
        }
    }

    #[test]
    fn a_cloud_event_has_its_attributes_and_the_outcomes_of_the_run() {
        let plan = fixtures::example();
        let run = fixtures::run(&plan);
        let model = Model::new(Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) });
        let mut summary = SummaryDocument::of_run(&model);
        summary.exit_code = run.exit_code;
        let event = written(MessageFormat::Json, &summary);
        for name in ["specversion", "id", "source", "type", "time", "datacontenttype"] {
            assert!(event[name].as_str().is_some_and(|text| !text.is_empty()), "{name} of {event}");
        }
        let sum: u64 = event["data"]["outcomes"]
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum();
        assert_eq!(sum, 3_339);
        let names = summary.outcomes.unwrap().counts().map(|(_, count)| count).iter().sum::<u64>();
        assert_eq!(names, sum);
    }

    #[test]
    fn the_worst_of_what_is_wanted_is_told() {
        let mut summary = failed();
        assert_eq!(summary.occasion(&[Occasion::Changed, Occasion::Failed]), Some(Occasion::Failed));
        assert_eq!(summary.occasion(&[Occasion::Drift, Occasion::Refused]), None);
        summary.exit_code = 4;
        summary.outcomes = Some(OutcomesDocument { done: 1, failed: 1, ..OutcomesDocument::default() });
        assert_eq!(summary.occasion(&Occasion::ALL), Some(Occasion::Failed));
        assert_eq!(summary.occasion(&[Occasion::Changed]), Some(Occasion::Changed));
        for code in [5, 6] {
            summary.exit_code = code;
            assert_eq!(summary.occasion(&[Occasion::Failed]), None, "the run goes on");
        }
    }
}
