//! Decides which runs may be dropped from a tenant's state, and drops them: the journal with its plan and its index.
//!
//! Takes no lock; the caller holds it. Counts of earlier runs and pending changes are not runs, and stay.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Error, Result};
use std::time::Duration;

use mdetag_core::plan::{ChangeKey, TagCase};
use mdetag_core::time::Timestamp;

use super::backend::WriteLease;
use super::history::{self, HistoryInputs, PoliciesAtHand};
use super::journal::{self, Header, RecordedRun};
use super::state::StateDir;

/// The shortest retention: runs affect later ones for a week, and one more day.
pub const LEAST: Duration = Duration::from_secs(8 * 86_400);

/// The runs that may be dropped: nothing happened in them since `now - keep`, and nothing later depends on them. `open` are the
/// runs with an open rollout.
///
/// # Errors
/// The journals cannot be listed.
pub fn prunable(
    state: &StateDir,
    now: Timestamp,
    keep: Duration,
    open: &BTreeSet<String>,
    case: TagCase,
) -> Result<Vec<String>> {
    let oldest = now.minus(keep.max(LEAST));
    let runs = journal::runs(state)?;
    // An unreadable journal may undo any run, or be the newest of any set.
    let headers: Vec<Header> = journal::headers(state).map_err(Error::other)?;
    // Oldest first, so that the newest run is the last to be inserted.
    let newest: BTreeMap<&str, &Header> = headers.iter().map(|header| (&*header.set, header)).collect();
    let contested = contested(state, now, case, newest.values().map(|header| &*header.policy));
    let is_needed = |recorded: &RecordedRun| {
        let header = &recorded.header;
        let newest = newest.get(&*header.set);
        let undoes_for_these_policies =
            header.reverts.is_some() && newest.is_some_and(|newest| newest.policy == header.policy);
        recorded.is_resumable()
            || recorded.is_broken
            || recorded.damaged > 0
            || open.contains(&header.run)
            || newest.is_some_and(|newest| newest.run == header.run)
            || undoes_for_these_policies
            || !recorded.raised().is_empty()
            || last(recorded) >= oldest
            || tells_of(recorded, &contested, case)
    };
    let mut prunable = Vec::new();
    for run in runs.iter().filter(|run| **run < journal::run_id(oldest)) {
        // It is unknown what an unreadable journal says.
        let Ok(recorded) = journal::read(state, run) else { continue };
        if !is_needed(&recorded) {
            prunable.push((run.clone(), recorded.header.reverts));
        }
    }
    // Without the run that undid it, a remaining run would count as done.
    let dropped: HashSet<String> = prunable.iter().map(|(run, _)| run.clone()).collect();
    let known: HashSet<&String> = runs.iter().collect();
    prunable.retain(|(_, reverts)| {
        reverts.as_ref().is_none_or(|undone| dropped.contains(undone) || !known.contains(undone))
    });
    Ok(prunable.into_iter().map(|(run, _)| run).collect())
}

/// Drops a run. The journal goes last, so that an interrupted removal is found again.
///
/// # Errors
/// The right to write was lost, or the files cannot be removed.
pub fn remove(state: &StateDir, run: &str, hold: &WriteLease) -> Result<()> {
    hold.check().map_err(Error::other)?;
    state.backend().remove(&state.history(run))?;
    state.backend().remove(&state.plan(run))?;
    state.backend().remove_log(&state.journal(run))
}

fn last(recorded: &RecordedRun) -> Timestamp {
    let resumed = recorded.resumed.iter().map(|(at, _)| *at);
    let entries = recorded.entries.iter().map(mdetag_core::apply::Entry::at);
    let closed = recorded.closing.iter().map(|closing| closing.at);
    recorded.started.into_iter().chain(resumed).chain(entries).chain(closed).max().unwrap_or(Timestamp::EPOCH)
}

/// The changes that are contested under the policies of any of the sets.
fn contested<'a>(
    state: &StateDir,
    now: Timestamp,
    tag_case: TagCase,
    policies: impl Iterator<Item = &'a str>,
) -> HashSet<ChangeKey> {
    let policies: BTreeSet<&str> = policies.collect();
    let read = |digest| {
        let policy = PoliciesAtHand { digest, ..PoliciesAtHand::default() };
        let visibility = Duration::ZERO;
        history::read(state, HistoryInputs { now, visibility, policy, retry_contested: false, tag_case })
            .history
    };
    policies.into_iter().flat_map(|policy| read(policy).contested.into_keys()).collect()
}

fn tells_of(recorded: &RecordedRun, contested: &HashSet<ChangeKey>, case: TagCase) -> bool {
    let mut ended = recorded.entries.iter().flat_map(mdetag_core::apply::Entry::ended);
    ended.any(|ended| contested.contains(&*ended.key.under(case)))
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Closing, Journal};
    use super::*;
    use mdetag_core::apply::{CallId, ChangeOutcome, ChangeWhat, Entry, Outcome};
    use mdetag_core::plan::Plan;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + day * 86_400)
    }

    /// A run on that day that wrote the tag and, if `ended`, finished.
    fn record(
        state: &StateDir,
        at: Timestamp,
        tag: &str,
        is_complete: bool,
        change: impl FnOnce(&mut Header),
    ) -> String {
        let mut header = Header { run: journal::run_id(at), policy: "p".into(), ..Header::default() };
        change(&mut header);
        let mut journal = Journal::create(state, &header, &Plan::default(), b"{}", at).unwrap();
        let key = ChangeKey { device: "d".into(), what: ChangeWhat::Add(tag.into()) };
        let ended = vec![ChangeOutcome { key, outcome: Outcome::Done, error: None }];
        journal.append(vec![Entry::Reply { call: CallId(1), at, answer: "200".into(), ended }]).unwrap();
        journal.close(Closing { at, is_complete, reason: "finished".into() }).unwrap();
        header.run
    }

    fn pruned(state: &StateDir, now: i64, keep: u32, open: &[&String]) -> Vec<String> {
        let open = open.iter().map(|run| (*run).clone()).collect();
        prunable(state, day(now), Duration::from_secs(86_400) * keep, &open, TagCase::Exact).unwrap()
    }

    fn state(folder: &tempfile::TempDir) -> StateDir {
        StateDir::new(folder.path(), "public", "t").unwrap()
    }

    #[test]
    fn an_old_run_goes_with_its_plan_and_its_index_and_eight_days_stay() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        let old = record(&state, day(0), "a", true, |_| {});
        let recent = record(&state, day(5), "b", true, |_| {});
        let newest = record(&state, day(12), "c", true, |_| {});
        assert!(pruned(&state, 7, 0, &[]).is_empty(), "8 days stay, whatever is asked for");
        assert_eq!(pruned(&state, 12, 0, &[]), std::slice::from_ref(&old));
        assert_eq!(pruned(&state, 100, 99, &[]), std::slice::from_ref(&old));
        super::super::history_index::read(&state, &old).unwrap();
        let hold = state.backend().hold(&state.lock(), "test").unwrap();
        remove(&state, &old, &hold).unwrap();
        assert_eq!(journal::runs(&state).unwrap(), [recent, newest]);
        assert!(
            ![state.plan(&old), state.history(&old), state.journal(&old)].iter().any(|path| path.exists())
        );
        remove(&state, &old, &hold).unwrap();
    }

    #[test]
    fn what_later_runs_depend_on_stays_however_old_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        let hour = Duration::from_secs(3_600);
        let _unfinished = record(&state, day(0), "a", false, |_| {});
        let open = record(&state, day(0).plus(hour), "a", true, |header| header.waves = 2);
        let closed = record(&state, day(0).plus(hour * 2), "a", true, |header| header.waves = 2);
        let other = record(&state, day(0).plus(hour * 3), "a", true, |header| header.policy = "q".into());
        let _undoes =
            record(&state, day(0).plus(hour * 4), "a", true, |header| header.reverts = Some(open.clone()));
        let _of_these =
            record(&state, day(0).plus(hour * 5), "a", true, |header| header.reverts = Some("gone".into()));
        let broken = record(&state, day(0).plus(hour * 6), "a", true, |_| {});
        let text = std::fs::read(state.journal(&broken)).unwrap();
        std::fs::write(state.journal(&broken), [&text[..], b"?\n"].concat()).unwrap();
        record(&state, day(50), "z", true, |_| {});
        assert_eq!(pruned(&state, 60, 9, &[&open]), [closed, other]);
    }

    #[test]
    fn runs_that_make_a_change_contested_stay() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        let first = record(&state, day(0), "held", true, |_| {});
        record(&state, day(20), "held", true, |_| {});
        assert_eq!(pruned(&state, 21, 9, &[]), std::slice::from_ref(&first));
        record(&state, day(40), "held", true, |_| {});
        assert!(pruned(&state, 41, 9, &[]).is_empty(), "two runs alone would not make it contested");
    }
}
