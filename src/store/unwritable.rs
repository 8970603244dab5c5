//! Devices that the service refuses run after run: changes that are not worth sending for now.
//!
//! Counts refusals; `plan` decides what to do about them. A record is for a device and an action, and another for each tag,
//! because other tags may work on the same device.
//!
//! A broken route refuses everything, and must not make devices unwritable. So the first refusal counts only if the same run
//! changed another device by the same route. Once all other devices carry the tag, a run has nothing else to send. Then a later
//! refusal also counts if the service gives the same answer as while the route worked. A 403 does not count then, because a right
//! that was lost since gives the same answer for every device; it counts only if the device's own status explains it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use mdetag_core::apply::{ChangeOutcome, ChangeWhat, Outcome};
use mdetag_core::plan::{TagCase, Unwritable, WriteAction};
use mdetag_core::time::Timestamp;

use super::state::StateDir;
use super::state_json;

/// The number of refused runs after which a change is left out.
const REFUSALS: u32 = 2;

/// The shortest time between those runs.
const APART: Duration = Duration::from_secs(12 * 3_600);

const DAY: Duration = Duration::from_secs(86_400);

/// The longest time between two tries, in days.
const LONGEST_WAIT: u32 = 30;

/// A record that no run renewed for this long is about a change that is no longer wanted.
const KEPT: Duration = Duration::from_secs(60 * 86_400);

/// Upper limit of its size in bytes, above what the records of a million devices take.
const MOST_BYTES: u64 = 1 << 30;

/// The service's status of a device, which may explain a refusal: when it changes, the device is worth another try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// `onboardingStatus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboarding: Option<String>,
    /// `healthStatus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

impl DeviceStatus {
    /// Whether a later status differs. A word that a read leaves out is no change.
    fn has_changed(&self, later: &DeviceStatus) -> bool {
        let differs = |was: &Option<String>, is: &Option<String>| is.is_some() && is != was;
        differs(&self.onboarding, &later.onboarding) || differs(&self.health, &later.health)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct RecordKey {
    device: Arc<str>,
    action: WriteAction,
    /// The tag alone; `None` for every change of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<Arc<str>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refusals {
    count: u32,
    newest: Timestamp,
    /// The run of the newest refusal. A resumed run counts as the same run.
    run: String,
    reason: String,
    #[serde(default)]
    status: DeviceStatus,
}

#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    key: RecordKey,
    #[serde(flatten)]
    refusals: Refusals,
}

type Records = BTreeMap<RecordKey, Refusals>;

fn read(state: &StateDir, case: TagCase) -> Records {
    let Ok(bytes) = state.backend().read(&state.unwritable(), MOST_BYTES) else { return Records::new() };
    let records: Vec<Record> = serde_json::from_slice(&bytes).unwrap_or_default();
    let key = |key: RecordKey| RecordKey { tag: key.tag.map(|tag| case.key(&tag).into()), ..key };
    records.into_iter().map(|record| (key(record.key), record.refusals)).collect()
}

/// The changes that are not worth sending now, by device.
pub fn current(
    state: &StateDir,
    now: Timestamp,
    status: &dyn Fn(&str) -> DeviceStatus,
) -> BTreeMap<Arc<str>, Vec<Unwritable>> {
    let mut current: BTreeMap<Arc<str>, Vec<Unwritable>> = BTreeMap::new();
    for (key, refusals) in read(state, TagCase::Exact) {
        let Some(beyond) = refusals.count.checked_sub(REFUSALS) else { continue };
        let days = 1u32.checked_shl(beyond).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let until = refusals.newest.plus(DAY * days);
        if now >= until || refusals.status.has_changed(&status(&key.device)) {
            continue;
        }
        let unwritable = Unwritable { action: key.action, tag: key.tag, reason: refusals.reason, until };
        current.entry(key.device).or_default().push(unwritable);
    }
    current
}

/// Counts the refusals of a run, and forgets changes that it made. Spellings of a tag count as the same if tags compare so.
///
/// # Errors
/// The file cannot be written.
pub fn keep(
    state: &StateDir,
    run: &str,
    now: Timestamp,
    outcomes: &[ChangeOutcome],
    status: &dyn Fn(&str) -> DeviceStatus,
    case: TagCase,
) -> std::io::Result<()> {
    let mut records = read(state, case);
    if records.is_empty() && outcomes.iter().all(|ended| ended.outcome != Outcome::Refused) {
        return Ok(());
    }
    let done = outcomes.iter().filter(|ended| ended.outcome == Outcome::Done);
    // Two devices per route are enough to know whether it worked for another one than any given device.
    let mut carried: BTreeMap<bool, BTreeSet<&str>> = BTreeMap::new();
    let mut written: BTreeSet<(&str, WriteAction)> = BTreeSet::new();
    for ended in done {
        let action = action(&ended.key.what);
        written.insert((&ended.key.device, action));
        let devices = carried.entry(action == WriteAction::Value).or_default();
        if devices.len() < 2 {
            devices.insert(&ended.key.device);
        }
    }
    for ended in outcomes {
        let (device, action) = (&ended.key.device, action(&ended.key.what));
        let key = |tag| RecordKey { device: device.clone(), action, tag };
        let tag = tag(&ended.key.under(case).what);
        match ended.outcome {
            Outcome::Done => {
                records.remove(&key(None));
                records.remove(&key(tag));
            }
            Outcome::Noop => drop(records.remove(&key(tag))),
            Outcome::Refused => {
                let others = carried.get(&(action == WriteAction::Value));
                let is_proven = others.is_some_and(|others| others.iter().any(|other| **other != **device));
                let refusals = Refusals {
                    count: 1,
                    newest: Timestamp::from_seconds(now.seconds()),
                    run: run.to_owned(),
                    reason: plain(ended.error.as_deref().unwrap_or_default(), device),
                    status: status(device),
                };
                if !written.contains(&(device, action)) {
                    count(&mut records, key(None), &refusals, is_proven);
                }
                if tag.is_some() {
                    count(&mut records, key(tag), &refusals, is_proven);
                }
            }
            _ => {}
        }
    }
    records.retain(|_, refusals| now < refusals.newest.plus(KEPT));
    let records: Vec<Record> = records.into_iter().map(|(key, refusals)| Record { key, refusals }).collect();
    let bytes = state_json::bytes(&records)?;
    state.backend().write(&state.unwritable(), &bytes)
}

/// Counts a refusal, unless it is from a run that already counts or too close to one, or may be the route's fault. If the run
/// does not prove that the route works, only the answer that the device got while it did proves that the device is the cause.
fn count(records: &mut Records, key: RecordKey, refused: &Refusals, is_proven: bool) {
    match records.get_mut(&key) {
        Some(known) if known.run == refused.run || refused.newest < known.newest.plus(APART) => {}
        Some(known)
            if !is_proven
                && (answer(&known.reason) != answer(&refused.reason) || may_be_of_the_route(refused)) => {}
        Some(known) => *known = Refusals { count: known.count.saturating_add(1), ..refused.clone() },
        None if is_proven => drop(records.insert(key, refused.clone())),
        None => {}
    }
}

/// Whether a lost right would explain the refusal as well.
fn may_be_of_the_route(refused: &Refusals) -> bool {
    let is_about_rights = ["401", "403", "405"].iter().any(|status| refused.reason.starts_with(status));
    let is_onboarded = refused.status.onboarding.as_deref().is_none_or(|status| status == "Onboarded");
    is_about_rights && is_onboarded
}

/// Status and code of an answer, without its sentence, which may name anything.
fn answer(reason: &str) -> &str {
    reason.split(':').next().unwrap_or_default()
}

fn action(what: &ChangeWhat) -> WriteAction {
    match what {
        ChangeWhat::Add(_) => WriteAction::Add,
        ChangeWhat::Remove(_) => WriteAction::Remove,
        ChangeWhat::Value(_) => WriteAction::Value,
    }
}

fn tag(what: &ChangeWhat) -> Option<Arc<str>> {
    match what {
        ChangeWhat::Add(tag) | ChangeWhat::Remove(tag) => Some(tag.clone()),
        ChangeWhat::Value(_) => None,
    }
}

/// The service's words without the parts that differ between devices, so that each reason is one group.
fn plain(error: &str, device: &str) -> String {
    let words = error.split(" (request ").next().unwrap_or_default();
    words.replace(device, "ID")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdetag_core::apply::ChangeKey;

    fn ended(device: &str, tag: &str, outcome: Outcome) -> ChangeOutcome {
        let what = ChangeWhat::Add(tag.into());
        let error = Some(format!("400 InvalidInput: {device} (request 7)"));
        ChangeOutcome { key: ChangeKey { device: device.into(), what }, outcome, error }
    }

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_seconds(hour * 3_600)
    }

    fn none(_: &str) -> DeviceStatus {
        DeviceStatus::default()
    }

    #[test]
    fn refused_in_two_runs_twelve_hours_apart_is_unwritable_and_tried_again_after_1_2_and_4_days() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path(), "sandbox", "t").unwrap();
        let refused = |at: i64| {
            let outcomes = [ended("d1", "t", Outcome::Refused), ended("d2", "t", Outcome::Done)];
            keep(&state, &at.to_string(), hour(at), &outcomes, &none, TagCase::Exact).unwrap();
        };
        let is_held = |at: i64| !current(&state, hour(at), &none).is_empty();
        refused(0);
        refused(11);
        assert!(!is_held(11), "too near");
        refused(12);
        assert!(is_held(12) && is_held(35) && !is_held(36));
        assert_eq!(current(&state, hour(12), &none)["d1"][0].reason, "400 InvalidInput: ID");
        refused(36);
        assert!(is_held(36 + 47) && !is_held(36 + 48));
        refused(84);
        assert!(is_held(84 + 95) && !is_held(84 + 96));
        let onboarded = |_: &str| DeviceStatus { onboarding: Some("Onboarded".into()), health: None };
        assert!(current(&state, hour(85), &onboarded).is_empty(), "its status changed");
        keep(&state, "y", hour(86), &[ended("d1", "t", Outcome::Refused)], &onboarded, TagCase::Exact)
            .unwrap();
        assert!(is_held(87), "a read that leaves the status out shows no change");
        keep(&state, "x", hour(90), &[ended("d1", "t", Outcome::Done)], &none, TagCase::Exact).unwrap();
        assert!(!is_held(90));
    }

    #[test]
    fn a_later_refusal_counts_without_other_work_only_if_the_service_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path(), "sandbox", "t").unwrap();
        let refused = |at: i64, error: &str, others: &[ChangeOutcome]| {
            let refusal = ChangeOutcome { error: Some(error.into()), ..ended("d1", "t", Outcome::Refused) };
            let outcomes = [&[refusal], others].concat();
            keep(&state, &at.to_string(), hour(at), &outcomes, &none, TagCase::Exact).unwrap();
        };
        refused(0, "404 ResourceNotFound: d1 (request 1)", &[ended("d2", "t", Outcome::Done)]);
        refused(12, "403 Forbidden: d1 (request 2)", &[]);
        assert!(current(&state, hour(12), &none).is_empty(), "the route may be closed");
        refused(24, "404 ResourceNotFound: not d1 (request 3)", &[]);
        let held = current(&state, hour(24), &none);
        assert_eq!(held["d1"][0].until, hour(48));
        refused(48, "404 ResourceNotFound: d1", &[]);
        assert_eq!(current(&state, hour(48), &none)["d1"][0].until, hour(96), "each try is one more");
    }

    #[test]
    fn a_403_of_a_run_that_carried_nothing_else_counts_only_where_the_status_of_the_device_explains_it() {
        let is_held = |onboarding: &str, second: &str, with_other_work: bool| {
            let folder = tempfile::tempdir().unwrap();
            let state = StateDir::new(folder.path(), "sandbox", "t").unwrap();
            let status =
                |_: &str| DeviceStatus { onboarding: Some(onboarding.into()), health: Some("Active".into()) };
            for (at, error) in [(0, "403 Forbidden: no"), (13, second)] {
                let refused =
                    ChangeOutcome { error: Some(error.into()), ..ended("d1", "t", Outcome::Refused) };
                let other = (at == 0 || with_other_work).then(|| ended("d2", "t", Outcome::Done));
                let outcomes: Vec<ChangeOutcome> = [refused].into_iter().chain(other).collect();
                keep(&state, &at.to_string(), hour(at), &outcomes, &status, TagCase::Exact).unwrap();
            }
            !current(&state, hour(13), &status).is_empty()
        };
        assert!(!is_held("Onboarded", "403 Forbidden: no", false), "the right may be lost since");
        assert!(is_held("Onboarded", "403 Forbidden: no", true));
        assert!(is_held("CanBeOnboarded", "403 Forbidden: no", false));
    }

    #[test]
    fn a_route_that_carried_nothing_else_says_nothing_and_another_tag_that_was_written_leaves_the_tag_alone()
    {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path(), "sandbox", "t").unwrap();
        for at in [0, 12] {
            keep(
                &state,
                &at.to_string(),
                hour(at),
                &[ended("d1", "t", Outcome::Refused)],
                &none,
                TagCase::Exact,
            )
            .unwrap();
        }
        assert!(current(&state, hour(12), &none).is_empty());
        for at in [24, 36] {
            let outcomes = [
                ended("d1", "t", Outcome::Refused),
                ended("d1", "other", Outcome::Done),
                ended("d2", "t", Outcome::Done),
            ];
            keep(&state, &at.to_string(), hour(at), &outcomes, &none, TagCase::Exact).unwrap();
        }
        let held = current(&state, hour(36), &none);
        assert_eq!(held["d1"].iter().map(|one| one.tag.as_deref()).collect::<Vec<_>>(), [Some("t")]);
    }

    #[test]
    fn refusals_of_two_spellings_of_a_tag_count_together_where_case_does_not_count() {
        let held = |case| {
            let folder = tempfile::tempdir().unwrap();
            let state = StateDir::new(folder.path(), "sandbox", "t").unwrap();
            for (at, tag) in [(0, "t"), (12, "T")] {
                let refused = ended("d1", tag, Outcome::Refused);
                let others = [ended("d1", "other", Outcome::Done), ended("d2", "t", Outcome::Done)];
                let outcomes = [&[refused][..], &others].concat();
                keep(&state, &at.to_string(), hour(at), &outcomes, &none, case).unwrap();
            }
            current(&state, hour(12), &none).len()
        };
        assert_eq!((held(TagCase::Insensitive), held(TagCase::Exact)), (1, 0));
    }
}
