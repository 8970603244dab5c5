//! Other policy sets that write to the same tenant, from their journals.
//!
//! Judges nothing; `plan` finds those that own the same tags.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use mdetag::store::journal;
use mdetag::store::set_name;
use mdetag::store::state::StateDir;
use mdetag_core::apply::{Outcome, resume};
use mdetag_core::plan::OtherSet;
use mdetag_core::time::Timestamp;

/// A set that has not run for this long is no rival.
const LATELY: Duration = Duration::from_secs(90 * 86_400);

/// The number of its newest runs whose changes are read.
const MOST_RUNS: usize = 5;

/// The recent sets other than `set`, by name. Ignores unreadable journals, which planning reports.
pub fn other_sets(state: &StateDir, set: &str, now: Timestamp) -> Vec<OtherSet> {
    let oldest = journal::run_id(now.minus(LATELY));
    let mut others: BTreeMap<String, (OtherSet, usize)> = BTreeMap::new();
    for run in journal::runs(state).unwrap_or_default().iter().rev().take_while(|run| **run >= oldest) {
        let Ok(Some((at, header))) = journal::header(state, run) else { continue };
        if header.set.is_empty() || set_name::is_one(&header.set, set) {
            continue;
        }
        let shown = set_name::shown(&header.set);
        let (repository, policies) = shown.split_once(' ').unwrap_or(("", &shown));
        let (other, read) = others.entry(header.set.clone()).or_insert_with(|| {
            let other = OtherSet {
                repository: Some(repository.to_owned()).filter(|repository| !repository.is_empty()),
                policies: policies.to_owned(),
                run: run.clone(),
                at,
                who: header.who.clone(),
                claims: header.claims.clone(),
                written: HashSet::new(),
            };
            (other, 0)
        });
        if *read >= MOST_RUNS {
            continue;
        }
        *read += 1;
        let Ok(recorded) = journal::read(state, run) else { continue };
        let done = resume::outcomes(&recorded.entries).into_iter();
        let done = done.filter(|(_, ended)| ended.outcome == Outcome::Done);
        other.written.extend(done.map(|(key, _)| key.clone()));
    }
    others.into_values().map(|(other, _)| other).collect()
}
