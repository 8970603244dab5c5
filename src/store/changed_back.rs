//! Finds the changes that a plan wants again although earlier runs made them and no run undid them.
//!
//! Reads journals newest first, and only as far back as a change may still be found. `plan` reports them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::{ChangeKey, ChangeWhat, Entry, Outcome, repairs};
use mdetag_core::plan::{Plan, TagCase, UndoneWrite, stale};
use mdetag_core::time::Timestamp;

use super::state::StateDir;
use super::{journal, pending_file};

/// How far back runs are searched.
const LATELY: Duration = Duration::from_secs(60 * 86_400);

/// The most runs that are searched, newest first.
const MOST_RUNS: usize = 50;

/// Identifies a tag, or the value, of a device.
type TagOrValue = (Arc<str>, Option<Arc<str>>);

/// A change of the plan that is followed back through the journals.
struct Followed {
    wanted: ChangeKey,
    undone: Vec<UndoneWrite>,
    /// When a run itself made the opposite change or lost it: earlier writes then say nothing about others.
    otherwise: Option<Timestamp>,
}

/// For each change of the plan, the earlier writes that somebody has undone since. A journal that cannot be read ends the search,
/// because it may be of the run that undid the change.
pub fn undone_writes(
    state: &StateDir,
    plan: &Plan,
    case: TagCase,
    now: Timestamp,
) -> BTreeMap<ChangeKey, Vec<UndoneWrite>> {
    let oldest = journal::run_id(now.minus(LATELY));
    let runs = journal::runs(state).unwrap_or_default();
    let mut runs = runs.iter().rev().take(MOST_RUNS).take_while(|run| **run >= oldest).peekable();
    if plan.changes.is_empty() || runs.peek().is_none() {
        return BTreeMap::new();
    }
    let keys = plan.changes.iter().flat_map(|change| stale::keys(plan, change));
    let follow = |key: ChangeKey| {
        (tag_or_value(&key, case), Followed { wanted: key, undone: Vec::new(), otherwise: None })
    };
    let mut followed: HashMap<TagOrValue, Followed> = keys.map(follow).collect();
    let shown = pending_file::read(state, case);
    for run in runs {
        let recorded = match journal::read(state, run) {
            Ok(recorded) if recorded.is_broken => break,
            Ok(recorded) => recorded,
            Err(journal::JournalError::NeverBegan { .. }) => continue,
            Err(_) => break,
        };
        let run: Arc<str> = run.as_str().into();
        let mut last: HashMap<&ChangeKey, (Outcome, Timestamp)> = HashMap::new();
        for entry in &recorded.entries {
            last.extend(entry.ended().iter().map(|ended| (&ended.key, (ended.outcome, entry.at()))));
        }
        let ended = recorded.entries.last().map(Entry::at);
        let lost = repairs::lost_tags(&recorded.entries).into_iter();
        for lost in lost.filter(|lost| lost.outcome != Outcome::Done) {
            if let Some(followed) = followed.get_mut(&tag_or_value(&lost.key, case)) {
                followed.otherwise = followed.otherwise.max(ended);
            }
        }
        for (key, (outcome, at)) in last {
            let Some(followed) = followed.get_mut(&tag_or_value(key, case)) else { continue };
            let is_same = key.under(case) == followed.wanted.under(case);
            match outcome {
                Outcome::Done if is_same => followed.undone.push(UndoneWrite {
                    run: run.clone(),
                    at,
                    was_shown: shown.holds(&run, at, key, case),
                }),
                // It may have made the opposite change.
                Outcome::Done | Outcome::Unknown | Outcome::Pending if !is_same => {
                    followed.otherwise = followed.otherwise.max(Some(at));
                }
                _ => {}
            }
        }
    }
    // Runs of the same second are not ordered by their names, but by their times.
    let changes = followed.into_values().map(|mut followed| {
        followed.undone.retain(|write| Some(write.at) > followed.otherwise);
        (followed.wanted, followed.undone)
    });
    changes.filter(|(_, undone)| !undone.is_empty()).collect()
}

fn tag_or_value(key: &ChangeKey, case: TagCase) -> TagOrValue {
    let tag = match &key.what {
        ChangeWhat::Add(tag) | ChangeWhat::Remove(tag) => Some(Arc::from(&*case.key(tag))),
        ChangeWhat::Value(_) => None,
    };
    (key.device.clone(), tag)
}
