//! Facts besides the list: contested and pending changes from the journals of a tenant, and the origins of tags from hunting.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mdetag::store::changed_back;
use mdetag::store::history::{self, HistoryInputs, PoliciesAtHand};
use mdetag::store::journal::{self, JournalError};
use mdetag::store::path_text::shown;
use mdetag::store::set_name;
use mdetag::store::state::StateDir;
use mdetag::store::unwritable::{self, DeviceStatus};
use mdetag::store::{owed_file, pending_file};
use mdetag_core::apply::{ChangeOutcome, DeviceState, Entry, Outcome, resume};
use mdetag_core::device::{DeviceValue, Field};
use mdetag_core::inventory::Snapshot;
use mdetag_core::plan::{
    self, ChangeKey, ChangeWhat, ChangedBack, History, Owed, Plan, PolicyReference, TagCase, guard,
};
use mdetag_core::policy::MOST_DAYS_AHEAD;
use mdetag_core::time::Timestamp;

use super::context::Context;
use super::failure::Failure;
use super::open_rollouts;
use super::other_sets;
use super::past_run::plan_of;
use super::run_inputs::RunInputs;
use super::set_names::set_of;
use super::source::Source;
use super::undone;

/// Values by device.
type ValuesBefore = BTreeMap<Arc<str>, BTreeSet<Option<Arc<str>>>>;

/// The number of newest runs that are searched for earlier values.
const MOST_RUNS: usize = 50;

/// Parts of the history that an option tells a plan to leave out.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistoryOverrides<'a> {
    /// `--retry-contested`.
    pub retry_contested: bool,
    /// `--after-revert`, and every plan that itself undoes a run.
    pub after_revert: bool,
    /// The run to continue.
    pub resumed: Option<&'a str>,
}

/// The history of a tenant; empty if no tenant is named or nothing has run yet.
///
/// # Errors
/// An open rollout with unknown devices.
pub fn history(
    context: &Context,
    source: &Source,
    policy: &PolicyReference,
    asked: HistoryOverrides<'_>,
) -> Result<History, Failure> {
    let HistoryOverrides { retry_contested, after_revert, resumed } = asked;
    let Some(state) = &source.state else { return Ok(History::default()) };
    let visibility = visibility(context, source);
    let now = source.clock(context).now();
    // Refusals are days apart, and `--now` lets a sandbox show that.
    let refusals_now = context.global.now.unwrap_or(now);
    let tag_case = context.settings.tag_case;
    let set = set_of(context, policy);
    let policies = PoliciesAtHand { digest: &policy.digest, set: &set, files: &policy.reviewed };
    let present = HistoryInputs { now, visibility, policy: policies, retry_contested, tag_case };
    let history::Known { mut history, cut_short } = history::read(state, present);
    if history.pending.iter().any(|key| matches!(key.what, ChangeWhat::Value(_))) {
        history.values_before = values_before(state, &history, now.minus(visibility));
    }
    history.past = counted(state, &set, now, resumed);
    history.others = other_sets::other_sets(state, &set, now);
    if !after_revert {
        history.reverted = undone::undone(state, policies, tag_case)?;
    }
    history.waiting_for_wave = open_rollouts::unwritten(context, state, &set, resumed)?;
    history.limits = context.service.tag_limits();
    for run in cut_short.iter().filter(|run| resumed != Some(run)) {
        history.lost.append(&mut unseen_losses(state, run, &source.inventory.snapshot));
    }
    if !retry_contested {
        history.unwritable =
            unwritable::current(state, refusals_now, &|id| status_of(&source.inventory.snapshot, id));
        // Hunting's origins are more reliable than guesses from bounces.
        let origins = source.origins.iter();
        let origins = origins.map(|(key, origin)| (key.under(tag_case).into_owned(), origin.clone()));
        history.contested.extend(origins);
    }
    Ok(history)
}

/// Tags that calls of an interrupted run removed by accident, as the list shows.
fn unseen_losses(state: &StateDir, run: &str, snapshot: &Snapshot) -> BTreeMap<ChangeKey, Owed> {
    let Ok(recorded) = journal::read(state, run) else { return BTreeMap::new() };
    let Ok(plan) = plan_of(state, &recorded) else { return BTreeMap::new() };
    let lost = resume::lost_tags(&plan, &recorded.entries, &|id| DeviceState::in_snapshot(snapshot, id));
    let at = recorded.entries.last().map_or(Timestamp::EPOCH, Entry::at);
    let owed = Owed { run: run.into(), lost: at, shown_until: None };
    let key = |lost: resume::LostTag| ChangeKey { device: lost.device, what: ChangeWhat::Add(lost.tag) };
    lost.into_iter().map(|lost| (key(lost), owed.clone())).collect()
}

/// The service's status of a device, which may explain a refusal.
pub fn status_of(snapshot: &Snapshot, id: &str) -> DeviceStatus {
    let Some(row) = snapshot.find(id) else { return DeviceStatus::default() };
    let text = |field| snapshot.text(field, row).map(|text| text.into_owned());
    DeviceStatus { onboarding: text(Field::OnboardingStatus), health: text(Field::HealthStatus) }
}

/// The earlier values of devices with a pending value, as read by the runs that set those.
fn values_before(state: &StateDir, history: &History, oldest: Timestamp) -> ValuesBefore {
    let mut before = ValuesBefore::new();
    for run in journal::runs(state).unwrap_or_default().iter().rev().take(MOST_RUNS) {
        let recorded = match journal::read(state, run) {
            Ok(recorded) => recorded,
            Err(JournalError::NeverBegan { .. }) => continue,
            // It may have set values, and the earlier ones are then unknown.
            Err(_) => return ValuesBefore::new(),
        };
        if recorded.entries.last().is_none_or(|entry| entry.at() <= oldest) {
            continue;
        }
        let mut read: BTreeSet<ChangeKey> = BTreeSet::new();
        for (device, value, was) in resume::values_set(&recorded.entries) {
            let key = ChangeKey { device: device.clone(), what: ChangeWhat::Value(value) };
            if history.pending.contains(&key) {
                before.entry(device.clone()).or_default().insert(was.cloned());
                read.insert(key);
            }
        }
        let is_unknown = |ended: &&ChangeOutcome| {
            let is_value = matches!(ended.key.what, ChangeWhat::Value(_)) && ended.outcome == Outcome::Done;
            is_value && history.pending.contains(&ended.key) && !read.contains(&ended.key)
        };
        let ended = recorded.entries.iter().flat_map(Entry::ended);
        let unknown: BTreeSet<&ChangeKey> = ended.filter(is_unknown).map(|ended| &ended.key).collect();
        if unknown.is_empty() {
            continue;
        }
        // An earlier version wrote the journal: its plan has what the review saw.
        let Ok(plan) = plan_of(state, &recorded) else {
            // The earlier value is unknown, so the causes cannot be told apart.
            return ValuesBefore::new();
        };
        for change in &plan.changes {
            let Some(value) = change.value else { continue };
            let key = ChangeKey { device: change.id.clone(), what: ChangeWhat::Value(value.to) };
            if unknown.contains(&key) {
                before.entry(key.device).or_default().insert(change.observed_value.clone());
            }
        }
    }
    before
}

/// The work of earlier runs of a policy set, as the guard counts it; `None` if no run is recorded.
fn counted(state: &StateDir, set: &str, now: Timestamp, resumed: Option<&str>) -> Option<guard::Past> {
    const DAY: Duration = Duration::from_secs(86_400);
    let oldest = now.minus(DAY * MOST_DAYS_AHEAD.unsigned_abs());
    let since = now.minus(DAY);
    let mut count = guard::PastCount::default();
    let unread = |path: &Path, may_be_of_day| guard::UnreadJournal { file: shown(path), may_be_of_day };
    let Ok(runs) = journal::runs(state) else {
        count.add_unread(unread(&state.runs(), true));
        return Some(count.sum());
    };
    if runs.is_empty() {
        return None;
    }
    for run in runs.iter().filter(|run| **run >= journal::run_id(oldest)) {
        // Without its first line it may be of any set, and its content is unknown, even if nothing is left of it.
        let header = journal::header(state, run).ok().flatten();
        if header.is_some_and(|(_, header)| !set_name::overlap(&header.set, set)) {
            continue;
        }
        let Ok(recorded) = journal::read(state, run) else {
            count.add_unread(unread(&state.journal(run), true));
            continue;
        };
        let raised = recorded.raised();
        let is_of_day = recorded.entries.last().is_some_and(|entry| entry.at() >= since);
        if recorded.is_broken {
            count.add_unread(unread(&state.journal(run), is_of_day));
        }
        if !is_of_day && raised.is_empty() {
            continue;
        }
        let changed = changed(&recorded.entries);
        let first = recorded.entries.partition_point(|entry| entry.at() < since);
        let of_day = self::changed(&recorded.entries[first..]);
        let confirmed = confirmed(&recorded.entries);
        // A run that cannot be explained counts whole.
        let plan = plan_of(state, &recorded).ok();
        count.add(&guard::PastWork {
            run,
            plan: plan.as_ref(),
            changed: &changed,
            confirmed: &confirmed,
            of_day: &of_day,
            raised: &raised,
            is_resumed: resumed == Some(run.as_str()),
        });
    }
    Some(count.sum())
}

/// Changes that are done or may be.
fn changed(entries: &[Entry]) -> HashSet<ChangeKey> {
    let outcomes = resume::outcomes(entries).into_iter();
    let ended = outcomes.filter(|(_, ended)| matches!(ended.outcome, Outcome::Done | Outcome::Unknown));
    let mut changed: HashSet<ChangeKey> = ended.map(|(key, _)| key.clone()).collect();
    changed.extend(resume::sent_without_answer(entries));
    changed
}

/// Changes that are certainly in place.
fn confirmed(entries: &[Entry]) -> HashSet<ChangeKey> {
    let outcomes = resume::outcomes(entries).into_iter();
    let so = outcomes.filter(|(_, ended)| matches!(ended.outcome, Outcome::Done | Outcome::Noop));
    so.map(|(key, _)| key.clone()).collect()
}

/// Changes that others undid at least twice and the plan repeats.
pub fn changed_back(context: &Context, source: &Source, plan: &Plan, history: &History) -> Vec<ChangedBack> {
    let Some(state) = &source.state else { return Vec::new() };
    let (case, now) = (context.settings.tag_case, source.clock(context).now());
    let mut undone = changed_back::undone_writes(state, plan, case, now);
    // Tags that calls removed by accident are mdetag's own doing.
    undone.retain(|key, _| !history.lost.contains_key(key));
    plan::changed_back(&undone)
}

/// Stores which confirmed changes a trusted live read did not show, and which lost tags are still due.
pub fn keep(context: &Context, source: &Source, plan: &Plan, owed: &BTreeMap<ChangeKey, Owed>) {
    let (Some(read_at), Some(state)) = (source.read_started, &source.state) else { return };
    if !plan.is_trusted() {
        return;
    }
    let (snapshot, case) = (&source.inventory.snapshot, context.settings.tag_case);
    if let Err(error) = pending_file::keep(state, read_at, &|key| shows(snapshot, key, case)) {
        tracing::warn!(%error, "cannot keep which changes are pending");
    }
    let visibility = visibility(context, source);
    let tells = |key: &ChangeKey| snapshot.find(&key.device).filter(|row| snapshot.has_tag_list(*row));
    let shows = |key: &ChangeKey| tells(key).map(|_| shows(snapshot, key, case));
    if let Err(error) = owed_file::keep(state, read_at, visibility, owed, &shows) {
        tracing::warn!(%error, "cannot keep which tags are owed");
    }
}

/// `writes.visibility` on the sandbox's clock.
fn visibility(context: &Context, source: &Source) -> Duration {
    let visibility = context.settings.writes.visibility;
    source.session.as_ref().map_or(visibility, |session| session.scaled(visibility))
}

/// Whether the list shows a change. A removal must match the exact spelling.
fn shows(snapshot: &Snapshot, key: &ChangeKey, case: TagCase) -> bool {
    let Some(row) = snapshot.find(&key.device) else { return false };
    if !matches!(key.what, ChangeWhat::Value(_)) && !snapshot.has_tag_list(row) {
        return false;
    }
    let mut tags = snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag));
    match &key.what {
        ChangeWhat::Add(tag) => tags.any(|live| case.key(live) == case.key(tag)),
        ChangeWhat::Remove(tag) => tags.all(|live| *live != **tag),
        ChangeWhat::Value(value) => {
            snapshot.value(row).and_then(DeviceValue::parse).is_some_and(|live| live == *value)
        }
    }
}

/// Stores the changes that the service refused in a run.
pub fn keep_refused(inputs: &RunInputs<'_>, run: &str, outcomes: &[ChangeOutcome]) {
    if run.is_empty() {
        return;
    }
    let now = inputs.context.global.now.unwrap_or_else(|| inputs.session.ledger.clock().now());
    let status = |id: &str| status_of(inputs.snapshot, id);
    let case = inputs.context.settings.tag_case;
    if let Err(error) = unwritable::keep(&inputs.session.state, run, now, outcomes, &status, case) {
        tracing::warn!(%error, "cannot keep which devices the service refuses");
    }
}
