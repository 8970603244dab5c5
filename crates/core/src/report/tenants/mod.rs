//! The result of a command for one of many tenants: the file `result.json` that `--out-dir` writes and `report merge` reads.
//!
//! Contains figures and reasons, never a device, so that 2,000 of these fit in memory.

pub mod ends;
pub mod matrix;
mod merged;
mod metrics;
mod render;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::Totals;
use crate::plan::document::FORMAT_VERSION;
use crate::time::Timestamp;

use super::figures::Figures;
use super::json::OutcomesDocument;
use super::lost::LostTagsSummary;
use super::model::{Class, Model, Subject};
use super::refusal;
use super::words::{counted, number};

pub use merged::Merged;
pub use render::{FORMATS, write};

/// The name of the file in a tenant's folder.
pub const RESULT_FILE: &str = "result.json";

/// How one command ended for one tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantResult {
    /// `1.0`.
    pub format_version: String,
    /// `plan`, `drift` or `apply`.
    pub command: String,
    /// The profile's name.
    pub tenant: String,
    /// The tenant's id, as its profile has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The policy paths, as the profile has them.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The wave of tenants that it belongs to, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<usize>,
    /// When the command began for this tenant.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// When it ended for this tenant.
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// The exit code that the command would have had for this tenant alone.
    pub exit_code: u8,
    /// Why it could not do its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TenantError>,
    /// The figures of the report, where it came to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// Why a command could not do its work for a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantError {
    /// `E9003` and the like.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// The figures of a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether the tenant is simulated.
    #[serde(default)]
    pub sandbox: bool,
    /// `sha256:…` of the policy set.
    pub policy: String,
    /// Git commit of the policy set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Devices read.
    pub devices: u64,
    /// Devices in scope.
    pub in_scope: u64,
    /// Why removals are withheld; empty for a trusted inventory.
    #[serde(default)]
    pub untrusted: Vec<String>,
    /// What the plan changes.
    pub planned: Totals,
    /// Differences by class, for `plan` and `drift`.
    #[serde(default)]
    pub classes: BTreeMap<String, u64>,
    /// Why the guard refuses: cap or invariant, and what is over which limit.
    #[serde(default)]
    pub refusals: Vec<RefusalReason>,
    /// The run, for `apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// How the changes ended, for `apply`; only outcomes that occurred.
    #[serde(default)]
    pub outcomes: BTreeMap<String, u64>,
    /// Tags that calls of the run took along; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_tags: Option<LostTagsSummary>,
    /// Why the run stopped with work left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// When the next wave of devices may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// Calls that were sent, or that the plan takes.
    pub calls: u64,
}

/// Why the guard refuses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalReason {
    /// The cap or invariant: `removalsPerTag:Tier0`.
    pub name: String,
    /// What is over which limit.
    pub reason: String,
}

impl Summary {
    /// The figures of a report.
    pub fn of(model: &Model<'_>) -> Summary {
        let plan = model.plan();
        let run = model.input.run;
        let classes = Class::ALL.iter().filter(|_| run.is_none());
        let Figures { policy, commit, run_id, outcomes, lost_tags } = Figures::of(model);
        let outcomes = outcomes.iter().flat_map(OutcomesDocument::counts).filter(|(_, count)| *count > 0);
        Summary {
            sandbox: model.is_sandbox(),
            policy,
            commit,
            devices: plan.header.inventory.devices,
            in_scope: plan.header.inventory.in_scope,
            untrusted: plan.header.inventory.reasons.clone(),
            planned: model.totals,
            classes: classes.map(|class| (class.word().to_owned(), model.class(*class))).collect(),
            refusals: refusal::refusals(plan)
                .into_iter()
                .map(|refusal| RefusalReason { name: refusal.name, reason: refusal.headline })
                .collect(),
            run_id,
            outcomes: outcomes.map(|(outcome, count)| (outcome.word().to_owned(), count)).collect(),
            lost_tags,
            stopped: run.and_then(|run| run.stopped.clone()),
            not_before: run.and_then(|run| run.not_before),
            calls: run.map_or(plan.schedule.total, |run| run.calls),
        }
    }
}

impl TenantResult {
    /// The result of a command that starts now.
    pub fn begin(command: Subject, tenant: &str, started_at: Timestamp) -> TenantResult {
        TenantResult {
            format_version: FORMAT_VERSION.to_owned(),
            command: command.word().to_owned(),
            tenant: tenant.to_owned(),
            started_at,
            ended_at: started_at,
            tenant_id: None,
            policies: Vec::new(),
            wave: None,
            exit_code: 0,
            error: None,
            summary: None,
        }
    }

    /// Its counts, or why there are none, on one line.
    pub fn sentence(&self) -> String {
        if let Some(error) = &self.error {
            return error.message.clone();
        }
        let Some(summary) = &self.summary else { return "nothing to report".to_owned() };
        if let Some(first) = summary.refusals.first() {
            let more = summary.refusals.len() - 1;
            let more = if more > 0 { format!(" (and {} more)", number(more as u64)) } else { String::new() };
            return format!("refused: {}: {}{more}", first.name, first.reason);
        }
        let mut parts: Vec<String> = match &*self.command {
            "apply" if !summary.outcomes.is_empty() => {
                summary.outcomes.iter().map(|(word, count)| format!("{} {word}", number(*count))).collect()
            }
            "drift" => {
                let some = summary.classes.iter().filter(|(_, count)| **count > 0);
                some.map(|(word, count)| format!("{} {word}", number(*count))).collect()
            }
            _ => Vec::new(),
        };
        if parts.is_empty() {
            let planned = &summary.planned;
            parts.push(match planned.changes() {
                0 => format!("no changes on {}", counted(summary.in_scope, "device")),
                _ => format!(
                    "{}, {}, {} on {}",
                    counted(planned.additions, "addition"),
                    counted(planned.removals, "removal"),
                    counted(planned.values, "value"),
                    counted(planned.devices, "device")
                ),
            });
        }
        parts.extend(summary.stopped.iter().map(|why| format!("stopped: {why}")));
        parts.extend(
            summary.not_before.iter().map(|time| format!("next wave not before {}", time.rounded_up())),
        );
        if let Some(LostTagsSummary { restored, not_restored }) = summary.lost_tags {
            let lost =
                |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", counted(count, "tag")));
            let lost = lost(not_restored, "lost").into_iter().chain(lost(restored, "lost and put back"));
            parts.splice(0..0, lost);
        }
        if !summary.untrusted.is_empty() {
            parts.push("inventory untrusted".to_owned());
        }
        parts.join(", ")
    }
}
