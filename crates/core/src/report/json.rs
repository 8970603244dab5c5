//! The JSON documents: a plan's (with classes for drift), and the one of a run's end.
//!
//! `plan::document` has the form of a plan. With a base, a key `split` follows at its end, outside its digest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::apply::{Halt, Outcome};
use crate::plan::{TenantReference, Totals, document};
use crate::time::Timestamp;

use crate::policy::ShownIn;

use super::alike::alike;
use super::escape::clip;
use super::model::{ChangeOrigin, Model, Subject};
use super::row::{self, RowDocument};

/// The most characters of an error that a change repeats.
const BEGINNING: usize = 200;

/// What `apply` prints. `Changes` is a list of changes with their outcome, or what writes one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyDocument<Changes> {
    /// `1.0`.
    pub format_version: &'static str,
    /// Name and version of the tool.
    pub tool: String,
    /// The run; empty where the guard refused the plan, so that none was started.
    pub run_id: String,
    /// The plan that was applied.
    pub plan: PlanReferenceDocument,
    /// How many changes ended how; every outcome is named.
    pub outcomes: OutcomesDocument,
    /// Why changes were not done: each text once, in full, though it may stand for thousands of changes.
    pub errors: Vec<ErrorDocument>,
    /// Every change with its outcome. The `error` of one is its beginning; all of it stands in `errors`.
    pub changes: Changes,
    /// What was seen and not written, and why: no change of the run, and in none of its outcomes.
    pub withheld: Vec<document::WithheldEntry>,
    /// Changes that are wanted now but were not reviewed: left for the next plan.
    pub unreviewed: u64,
    /// Why the run stopped with work left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Whether `mdetag apply --resume` has work left.
    pub resumable: bool,
    /// When the next wave may start, where one waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// The gate that stopped the rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateDocument>,
    /// What else happened. Where every wave was written at once, this comes first, with the reason.
    pub notes: Vec<String>,
    /// When the list shows what `pending` and `unconfirmed` changes, and removals withheld as `unconfirmed`, wait for, at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub shown_by: Option<Timestamp>,
    /// Tags that calls took along without meaning to; no outcome counts them. One that is not back makes the exit code 4, or 5 where
    /// a resumed run puts it back.
    pub lost_tags: Vec<LostTagDocument>,
    /// Calls sent.
    pub calls: u64,
    /// Seconds from the first call to the last answer.
    pub seconds: u64,
    /// The exit code of the command.
    pub exit_code: u8,
}

/// A tag that a call took along.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LostTagDocument {
    /// The device.
    pub device: DeviceReference,
    /// The tag.
    pub tag: String,
    /// Whether it is back.
    pub restored: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A device by its id and name.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceReference {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl LostTagDocument {
    fn of(row: &super::model::ReportRow<'_>) -> LostTagDocument {
        LostTagDocument {
            device: DeviceReference { id: row.id.to_owned(), name: row.name.map(str::to_owned) },
            tag: row.what.tag().unwrap_or_default().to_owned(),
            restored: row.outcome.is_some_and(|lost| lost.outcome == Outcome::Done),
            error: row.outcome.and_then(|lost| lost.error.clone()),
        }
    }
}

/// A gate that a wave failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateDocument {
    /// The wave.
    pub wave: u32,
    /// `failed`, `bounced`, `health` or `evidence`.
    pub gate: &'static str,
    /// Devices on the wrong side of it.
    pub bad: u64,
    /// Devices that were judged.
    pub of: u64,
    /// The share that it allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
    /// Ids of the first few of them.
    pub devices: Vec<std::sync::Arc<str>>,
}

impl From<&Halt> for GateDocument {
    fn from(halt: &Halt) -> GateDocument {
        GateDocument {
            wave: halt.wave,
            gate: halt.gate.word(),
            bad: halt.bad,
            of: halt.of,
            at_most: halt.at_most.clone(),
            devices: halt.devices.clone(),
        }
    }
}

/// Why changes were not done. Texts that differ only in a request id, a time or a device id are one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ErrorDocument {
    /// The service's code and message, or the reason, as the first change has it.
    pub error: String,
    /// How many changes it is about.
    pub changes: u64,
}

/// The plan that was applied.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanReferenceDocument {
    /// `sha256:…`.
    pub digest: String,
    /// When it was made.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// For which tenant.
    pub tenant: TenantReference,
    /// `sha256:…` of the policy set.
    pub policy: String,
    /// Git commit of the policy set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The run that the plan undoes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<String>,
    /// How many of its changes the policies at hand want the other way, where it undoes a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opposed: Option<u64>,
}

/// How many changes ended how. They add up to the plan's changes.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomesDocument {
    /// Confirmed.
    pub done: u64,
    /// So already.
    pub noop: u64,
    /// The reviewed plan no longer fits.
    pub stale: u64,
    /// Accepted, yet a re-read shows the old state.
    pub bounced: u64,
    /// 404 twice, and a fresh read does not show the device.
    pub gone: u64,
    /// The service said no to the device.
    pub refused: u64,
    /// It did not work.
    pub failed: u64,
    /// Confirmed, and not shown yet.
    pub pending: u64,
    /// Removals that wait for an addition.
    pub unconfirmed: u64,
    /// Never sent.
    pub not_attempted: u64,
    /// Sent, no answer, no re-read.
    pub unknown: u64,
}

impl OutcomesDocument {
    pub(super) fn of(model: &Model<'_>) -> OutcomesDocument {
        let count = |outcome: Outcome| model.outcome(outcome);
        OutcomesDocument {
            done: count(Outcome::Done),
            noop: count(Outcome::Noop),
            stale: count(Outcome::Stale),
            bounced: count(Outcome::Bounced),
            gone: count(Outcome::Gone),
            refused: count(Outcome::Refused),
            failed: count(Outcome::Failed),
            pending: count(Outcome::Pending),
            unconfirmed: count(Outcome::Unconfirmed),
            not_attempted: count(Outcome::NotAttempted),
            unknown: count(Outcome::Unknown),
        }
    }

    /// Every outcome with its count.
    pub(super) fn counts(&self) -> [(Outcome, u64); Outcome::ALL.len()] {
        Outcome::ALL.map(|outcome| {
            let count = match outcome {
                Outcome::Done => self.done,
                Outcome::Noop => self.noop,
                Outcome::Stale => self.stale,
                Outcome::Bounced => self.bounced,
                Outcome::Gone => self.gone,
                Outcome::Refused => self.refused,
                Outcome::Failed => self.failed,
                Outcome::Pending => self.pending,
                Outcome::Unconfirmed => self.unconfirmed,
                Outcome::NotAttempted => self.not_attempted,
                Outcome::Unknown => self.unknown,
            };
            (outcome, count)
        })
    }
}

/// The two halves of a report with a base.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SplitDocument<Changes> {
    /// What only this policy set wants.
    pub this_change: Totals,
    /// What the base wants too: drift that was there already.
    pub before: Totals,
    /// What only the base wants.
    pub dropped: Totals,
    /// How guard, protections, scope, claims, data files and `mdetag.yaml` differ from the base's, one sentence each.
    pub policy_changes: Vec<String>,
    /// The changes of this change, one by one; all others were there before.
    pub changes: Changes,
}

/// The documents that `mdetag schema` shows, by name.
pub fn schemas() -> [(&'static str, schemars::Schema); 3] {
    let mut schemas = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    [
        ("apply", schemas.root_schema_for::<ApplyDocument<Vec<RowDocument<'static>>>>()),
        ("ndjson", schemas.root_schema_for::<super::ndjson::LineDocument<'static>>()),
        ("split", schemas.root_schema_for::<SplitDocument<Vec<RowDocument<'static>>>>()),
    ]
}

/// The schema of `apply --format json`.
pub fn apply_schema() -> serde_json::Value {
    let [(_, apply), ..] = schemas();
    apply.to_value()
}

/// Writes the document.
///
/// # Errors
/// Those of the writer.
pub fn json(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    match model.input.subject {
        Subject::Plan | Subject::Drift => planned(model, out),
        Subject::Applied => {
            serde_json::to_writer_pretty(&mut *out, &applied(model))?;
            out.write_all(b"\n")
        }
    }
}

/// The plan's document, and the split before its closing brace.
fn planned(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    document::write_open(model.plan(), model.input.subject == Subject::Drift, out)?;
    if let [this, before] = &model.parts[..] {
        let split = SplitDocument {
            this_change: this.totals,
            before: before.totals,
            dropped: model.dropped,
            policy_changes: model
                .input
                .policy_changes
                .iter()
                .filter(|difference| difference.shown != ShownIn::Short)
                .map(|difference| difference.sentence.clone())
                .collect(),
            changes: ChangeRows { model, only: Some(ChangeOrigin::ThisChange) },
        };
        out.write_all(b",\n  \"split\": ")?;
        serde_json::to_writer(&mut *out, &split)?;
    }
    out.write_all(b"\n}\n")
}

fn applied<'m, 'a>(model: &'m Model<'a>) -> ApplyDocument<ChangeRows<'m, 'a>> {
    let header = &model.plan().header;
    let run = model.input.run.cloned().unwrap_or_default();
    ApplyDocument {
        format_version: document::FORMAT_VERSION,
        tool: header.tool.clone(),
        run_id: run.run_id,
        plan: PlanReferenceDocument {
            digest: run.plan_digest,
            created_at: header.created_at,
            tenant: header.tenant.clone(),
            policy: header.policy.digest.clone(),
            commit: header.policy.commit.clone(),
            reverts: header.reverts.clone(),
            opposed: header.opposed,
        },
        outcomes: OutcomesDocument::of(model),
        errors: errors(model),
        changes: ChangeRows { model, only: None },
        withheld: model.plan().withheld.iter().map(document::withheld).collect(),
        unreviewed: run.unreviewed,
        stopped: run.stopped,
        resumable: run.is_resumable,
        not_before: run.not_before,
        gate: run.halt.as_ref().map(GateDocument::from),
        notes: model.input.notices.iter().cloned().chain(run.notes).collect(),
        shown_by: run.shown_by,
        lost_tags: model.lost_rows().map(|row| LostTagDocument::of(&row)).collect(),
        calls: run.calls,
        seconds: run.seconds,
        exit_code: run.exit_code,
    }
}

/// The error texts of a run, the most frequent first.
fn errors(model: &Model<'_>) -> Vec<ErrorDocument> {
    let mut found: BTreeMap<Cow<'_, str>, ErrorDocument> = BTreeMap::new();
    for group in model.parts.iter().flat_map(|part| &part.groups) {
        let Some(error) = group.error else { continue };
        // A group's first text may be about any of its devices.
        let device = group.members.first().map_or("", |member| model.device_id(*member));
        let entry = found
            .entry(alike(error, device))
            .or_insert_with(|| ErrorDocument { error: error.to_owned(), changes: 0 });
        entry.changes += group.devices();
    }
    let mut errors: Vec<ErrorDocument> = found.into_values().collect();
    errors.sort_by_key(|entry| std::cmp::Reverse(entry.changes));
    errors
}

/// The rows of a model as a list, written one by one.
struct ChangeRows<'m, 'a> {
    model: &'m Model<'a>,
    only: Option<ChangeOrigin>,
}

impl Serialize for ChangeRows<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for row in self.model.rows().filter(|row| self.only.is_none() || row.origin == self.only) {
            let mut document = row::document(self.model, &row);
            document.error =
                row.outcome.and_then(|outcome| outcome.error.as_deref()).map(|error| clip(error, BEGINNING));
            list.serialize_element(&document)?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::fixtures;
    use crate::report::model::Input;

    fn render(input: Input<'_>) -> String {
        let mut out = Vec::new();
        json(&Model::new(input), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_document_with_a_split_is_still_a_plan_that_can_be_read() {
        let plan = fixtures::example();
        let mut base = plan.clone();
        base.changes.truncate(12);
        let text = render(Input { base: Some(&base), ..Input::new(Subject::Plan, &plan) });
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["split"]["before"]["devices"], 12);
        assert_eq!(value["split"]["thisChange"]["additions"], 3_104);
        assert_eq!(value["split"]["changes"].as_array().unwrap().len(), 3_104 + 211);
        assert_eq!(document::read(&text).expect("still a plan").changes.len(), 3_116);
    }

    #[test]
    fn one_cause_is_one_error_in_full_whatever_its_request_ids() {
        let plan = fixtures::example();
        let mut run = fixtures::run(&plan);
        let (mut texts, long) = (0, "x".repeat(5_000));
        for outcome in run.outcomes.iter_mut().filter(|outcome| outcome.outcome == Outcome::Failed) {
            texts += 1;
            outcome.error = Some(format!(
                "BadRequest: {} is bad (request 4b2b6e9e-8a3b-4b6e-9b4c-0000000000{texts:02}): {long}",
                outcome.key.device
            ));
        }
        assert!(texts > 1);
        let input = Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) };
        let failed = Model::new(input).parts[0]
            .groups
            .iter()
            .filter(|group| group.outcome == Some(Outcome::Failed))
            .map(|group| group.what)
            .collect::<Vec<_>>();
        assert_eq!(failed.iter().collect::<std::collections::HashSet<_>>().len(), failed.len());
        let text = render(input);
        assert_eq!(text.matches(&long).count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        let errors = value["errors"].as_array().unwrap();
        let error = errors.iter().find(|entry| entry["error"].as_str().unwrap().starts_with("BadRequest"));
        assert_eq!(error.unwrap()["changes"], texts);
    }

    #[test]
    fn outcomes_add_up_and_fit_their_schema() {
        let plan = fixtures::example();
        let run = fixtures::run(&plan);
        let text = render(Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) });
        let value: Value = serde_json::from_str(&text).unwrap();
        let outcomes = value["outcomes"].as_object().unwrap();
        assert_eq!(outcomes.len(), Outcome::ALL.len());
        let sum: u64 = outcomes.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(sum, 3_339);
        let failed = value["changes"].as_array().unwrap().iter().find(|change| change["outcome"] == "failed");
        assert!(failed.unwrap()["error"].as_str().unwrap().starts_with("InvalidInput"));
        let (_, schema) = &schemas()[0];
        let schema = serde_json::to_value(schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let wrong: Vec<String> =
            validator.iter_errors(&value).take(3).map(|error| error.to_string()).collect();
        assert_eq!(wrong, Vec::<String>::new());
    }
}
