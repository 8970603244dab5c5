//! The output of `mdetag state`: what earlier runs left, by tenant, and which runs were dropped.
//!
//! The command reads and judges the state.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::escape::{json_document, terminal};
use super::words::counted;
use crate::apply::Gate;
use crate::inventory::Baselines;
use crate::policy::Axis;
use crate::time::Timestamp;

/// The state of a tenant.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantState {
    /// The place of the state.
    pub state: String,
    pub runs: KeptRuns,
    /// Runs that `apply --resume` would continue.
    pub unfinished: BTreeSet<String>,
    /// Runs whose journal cannot be read.
    pub unreadable: Vec<String>,
    /// Runs with open waves; `None` if unknown.
    pub open_rollouts: Option<Vec<String>>,
    /// For each open rollout; `None` if unknown.
    pub next_waves: Option<Vec<NextWave>>,
    /// Number of contested changes.
    pub contested: usize,
    /// Number of pending changes.
    pub pending: usize,
    /// Tags that calls removed by accident and that are not known to be back.
    pub owed: Vec<OwedTag>,
    /// By policy set.
    pub baselines: BTreeMap<String, Baselines>,
    /// Counts that somebody accepted, in the state's own form.
    pub accepted: Vec<Value>,
    pub approvals: Vec<UsedApproval>,
    pub ledger: Vec<LastUse>,
    /// The last holder of the lock.
    pub last_holder: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct KeptRuns {
    pub count: usize,
    pub oldest: Option<String>,
    pub newest: Option<String>,
}

/// The progress of an open rollout, and what its next wave waits for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextWave {
    pub run: String,
    /// The wave that was started last; 0 before the first.
    pub written: u32,
    /// Number of waves.
    pub waves: u32,
    pub not_before: Option<Timestamp>,
    /// The gate that the last wave failed.
    #[serde(serialize_with = "word")]
    pub gate: Option<Gate>,
    /// Whether a resume would write now.
    pub is_due: bool,
}

/// A tag that a call removed by accident.
#[derive(Clone, Debug, Serialize)]
pub struct OwedTag {
    pub device: OwingDevice,
    pub tag: String,
    pub run: String,
    /// The latest time at which the loss was noticed.
    pub lost: Timestamp,
}

/// The device that carried it.
#[derive(Clone, Debug, Serialize)]
pub struct OwingDevice {
    pub id: String,
    /// Its name, if the run's plan knew it.
    pub name: Option<String>,
}

/// The use of an approval by a run.
#[derive(Clone, Debug, Serialize)]
pub struct UsedApproval {
    pub run: String,
    pub cap: Axis,
    pub tag: Option<String>,
    pub changes: u64,
}

/// The time since an application last called the service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastUse {
    pub application: String,
    /// `None` if none of its calls is recorded.
    pub last_used_seconds: Option<u64>,
}

/// The runs dropped from a tenant's state.
#[derive(Clone, Debug, Serialize)]
pub struct Pruned {
    /// The place of the state.
    pub state: String,
    pub dropped: Vec<String>,
    /// Number of remaining runs.
    pub kept: usize,
}

/// The most lost tags that text lists.
const MOST_OWED: usize = 20;

/// The output of `state show` and `state prune` without any tenant.
const NO_TENANT: &str = "the state holds no tenant\n";

#[expect(clippy::ref_option, reason = "serde asks for a reference")]
fn word<S: serde::Serializer>(gate: &Option<Gate>, serializer: S) -> Result<S::Ok, S::Error> {
    gate.map(Gate::word).serialize(serializer)
}

/// What the state holds, as a document.
pub fn json(tenants: &[TenantState]) -> String {
    json_document(&json!({ "formatVersion": "1.0", "tenants": tenants }))
}

/// What the state holds, for people.
pub fn human(tenants: &[TenantState]) -> String {
    if tenants.is_empty() {
        return NO_TENANT.to_owned();
    }
    tenants.iter().map(paragraph).collect()
}

/// The dropped runs, as a document.
pub fn pruned_json(tenants: &[Pruned]) -> String {
    json_document(&json!({ "formatVersion": "1.0", "tenants": tenants }))
}

/// The dropped runs for people: one line per tenant.
pub fn pruned_human(tenants: &[Pruned]) -> String {
    if tenants.is_empty() {
        return NO_TENANT.to_owned();
    }
    let line = |pruned: &Pruned| {
        let dropped = counted(pruned.dropped.len() as u64, "run");
        format!("{}: {dropped} dropped, {} kept\n", pruned.state, pruned.kept)
    };
    tenants.iter().map(line).collect()
}

fn paragraph(tenant: &TenantState) -> String {
    let mut text = format!("{}\n", terminal(&tenant.state));
    let mut line = |name: &str, what: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<14} {what}");
    };
    let runs = &tenant.runs;
    let span = match (&runs.oldest, &runs.newest) {
        (Some(oldest), Some(newest)) => format!(", {} to {}", terminal(oldest), terminal(newest)),
        _ => String::new(),
    };
    line("runs", &format!("{}{span}", runs.count));
    line("unfinished", &listed(tenant.unfinished.iter()));
    let open = tenant.open_rollouts.as_ref();
    line("open rollouts", &open.map_or_else(|| "not known".to_owned(), |open| listed(open.iter())));
    line("unreadable", &listed(tenant.unreadable.iter()));
    for next in tenant.next_waves.iter().flatten() {
        let (run, due) = (terminal(&next.run), due(next));
        line("next wave", &format!("{run}: wave {} of {}, {due}", next.written, next.waves));
    }
    line("contested", &counted(tenant.contested as u64, "change"));
    line("pending", &counted(tenant.pending as u64, "change"));
    line("owed tags", &counted(tenant.owed.len() as u64, "tag"));
    for OwedTag { device: OwingDevice { id, name }, tag, run, lost } in tenant.owed.iter().take(MOST_OWED) {
        let device = name.as_ref().map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
        let (device, tag, run) = (terminal(&device), terminal(tag), terminal(run));
        let lost = lost.rounded_down();
        line("", &format!("\"{tag}\" of {device}: a call of run {run} took it along, seen {lost}"));
    }
    if let Some(more) = tenant.owed.len().checked_sub(MOST_OWED).filter(|more| *more > 0) {
        line("", &format!("{more} more: --format json lists all"));
    }
    let sets = counted(tenant.baselines.len() as u64, "policy set");
    line("baselines", &format!("of {sets}, {} accepted", counted(tenant.accepted.len() as u64, "count")));
    for UsedApproval { run, cap, tag, changes } in &tenant.approvals {
        let of = tag.as_deref().map(|tag| format!(" of {}", terminal(tag))).unwrap_or_default();
        line("approval used", &format!("{}{of}: {changes} in run {}", cap.word(), terminal(run)));
    }
    for LastUse { application, last_used_seconds } in &tenant.ledger {
        let seconds = last_used_seconds.unwrap_or_default();
        line("ledger", &format!("{}, last used {seconds} s ago", terminal(application)));
    }
    line("last holder", &terminal(tenant.last_holder.as_deref().unwrap_or("never taken")));
    text
}

fn listed<'t>(runs: impl ExactSizeIterator<Item = &'t String>) -> String {
    if runs.len() == 0 {
        return "none".to_owned();
    }
    runs.map(|run| terminal(run).into_owned()).collect::<Vec<_>>().join(", ")
}

/// What the next wave waits for.
fn due(next: &NextWave) -> String {
    match (next.gate, next.not_before) {
        (Some(gate), _) => {
            format!("the gate `{}` failed: only --next-wave --reason passes it", gate.word())
        }
        (None, Some(_)) if next.is_due => "the next is due".to_owned(),
        (None, Some(moment)) => format!("the next may start at {}", moment.rounded_up()),
        (None, None) => "under way".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(gate: Option<Gate>, not_before: Option<Timestamp>, is_due: bool) -> NextWave {
        NextWave { run: "r1".into(), written: 1, waves: 3, not_before, gate, is_due }
    }

    #[test]
    fn what_is_not_known_is_not_none() {
        let known = TenantState { open_rollouts: Some(Vec::new()), ..TenantState::default() };
        assert!(human(&[known]).contains("open rollouts  none\n"));
        assert!(human(&[TenantState::default()]).contains("open rollouts  not known\n"));
        assert!(json(&[TenantState::default()]).contains("\"openRollouts\": null"));
    }

    #[test]
    fn a_wave_says_what_it_waits_for() {
        let moment = Some(Timestamp::EPOCH);
        assert_eq!(due(&next(None, None, true)), "under way");
        assert_eq!(due(&next(None, moment, true)), "the next is due");
        assert_eq!(due(&next(None, moment, false)), format!("the next may start at {}", Timestamp::EPOCH));
        assert!(due(&next(Some(Gate::Health), moment, false)).starts_with("the gate `health` failed"));
    }

    #[test]
    fn a_hostile_name_cannot_write_to_the_terminal() {
        let state = TenantState { last_holder: Some("\u{1b}[2J".into()), ..TenantState::default() };
        assert!(!human(&[state]).contains('\u{1b}'));
    }
}
