//! What `mdetag state` prints: what earlier runs left, tenant by tenant, and which runs were dropped.
//!
//! Reads no state and judges none of it: that is for the command.

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

/// What the state of a tenant holds.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantState {
    /// Where it lies.
    pub state: String,
    pub runs: KeptRuns,
    /// Runs that `apply --resume` would go on with.
    pub unfinished: BTreeSet<String>,
    /// Runs whose journal cannot be read.
    pub unreadable: Vec<String>,
    /// Runs whose waves are under way; `None` where that is not known.
    pub open_rollouts: Option<Vec<String>>,
    /// Of each open rollout; `None` where they are not known.
    pub next_waves: Option<Vec<NextWave>>,
    /// Changes.
    pub contested: usize,
    /// Changes.
    pub pending: usize,
    /// Tags that calls took along and that are not known to be back.
    pub owed: Vec<OwedTag>,
    /// By policy set.
    pub baselines: BTreeMap<String, Baselines>,
    /// Counts that somebody accepted, as the state keeps them.
    pub accepted: Vec<Value>,
    pub approvals: Vec<UsedApproval>,
    pub ledger: Vec<LastUse>,
    /// Who held the lock last.
    pub last_holder: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct KeptRuns {
    pub count: usize,
    pub oldest: Option<String>,
    pub newest: Option<String>,
}

/// How far an open rollout is, and what its next wave waits for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextWave {
    pub run: String,
    /// The wave that was started last; 0 before the first.
    pub written: u32,
    /// How many waves there are.
    pub waves: u32,
    pub not_before: Option<Timestamp>,
    /// The word of the gate that the last wave failed.
    #[serde(serialize_with = "word")]
    pub gate: Option<Gate>,
    /// Whether a resume would write now.
    pub is_due: bool,
}

/// A tag that a call took along.
#[derive(Clone, Debug, Serialize)]
pub struct OwedTag {
    pub device: OwingDevice,
    pub tag: String,
    pub run: String,
    /// When the loss was seen, at the latest.
    pub lost: Timestamp,
}

/// The device that carried it.
#[derive(Clone, Debug, Serialize)]
pub struct OwingDevice {
    pub id: String,
    /// Where the run's plan knew it.
    pub name: Option<String>,
}

/// What a run used of an approval.
#[derive(Clone, Debug, Serialize)]
pub struct UsedApproval {
    pub run: String,
    pub cap: Axis,
    pub tag: Option<String>,
    pub changes: u64,
}

/// How long ago an application called the service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastUse {
    pub application: String,
    /// `None` where no call of it is kept.
    pub last_used_seconds: Option<u64>,
}

/// The runs that were dropped from the state of a tenant.
#[derive(Clone, Debug, Serialize)]
pub struct Pruned {
    /// Where it lies.
    pub state: String,
    pub dropped: Vec<String>,
    /// How many runs are left.
    pub kept: usize,
}

/// The most owed tags that text lists.
const MOST_OWED: usize = 20;

/// What `state show` and `state prune` print where there is no tenant.
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

/// What was dropped, as a document.
pub fn pruned_json(tenants: &[Pruned]) -> String {
    json_document(&json!({ "formatVersion": "1.0", "tenants": tenants }))
}

/// What was dropped, for people: a line each tenant.
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
        let lost = Timestamp::from_seconds(lost.seconds());
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
        (None, Some(moment)) => format!("the next may start at {moment}"),
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
