//! What earlier runs mean for a new plan: changes that another origin holds, and changes that the list may not show yet.
//!
//! Reads journals. Decides nothing about devices; `plan` does.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::{ChangeKey, ChangeWhat, Entry, Outcome, resume};
use mdetag_core::plan::{FileReference, History, TagCase};
use mdetag_core::time::Timestamp;

use super::journal::{self, Header, RecordedRun};
use super::owed_file;
use super::pending_file::{self, ShownChanges};
use super::set_name;
use super::state::StateDir;

/// The number of consecutive runs in which a change must bounce to be contested.
const BOUNCES: u32 = 3;

/// The shortest time between the runs in which it bounced.
const BOUNCES_APART: Duration = Duration::from_secs(6 * 3_600);

/// A contested change is tried again this long after its last bounce.
const RETRIED_AFTER: Duration = Duration::from_secs(7 * 86_400);

const DAY: Duration = Duration::from_secs(86_400);

/// The number of newest runs that are searched for contested changes.
const MOST_RUNS: usize = 200;

/// The policies that runs are compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoliciesAtHand<'a> {
    pub digest: &'a str,
    /// The set's name in the state.
    pub set: &'a str,
    /// The files of the digest.
    pub files: &'a [FileReference],
}

impl PoliciesAtHand<'_> {
    /// Whether a run had the same policies. If one set is only a part of the other, the files that both have decide.
    pub fn are_those_of(&self, header: &Header) -> bool {
        if header.policy == self.digest {
            return true;
        }
        if header.set == self.set || !set_name::overlap(&header.set, self.set) {
            return false;
        }
        let before: HashMap<&str, &str> =
            header.files.iter().map(|file| (&*file.path, &*file.digest)).collect();
        let mut shared =
            self.files.iter().filter_map(|file| Some((*before.get(&*file.path)?, &*file.digest)));
        let mut is_shared = false;
        shared.all(|(before, now)| {
            is_shared = true;
            before == now
        }) && is_shared
    }
}

/// The facts about a new plan that history depends on.
#[derive(Clone, Copy, Debug)]
pub struct HistoryInputs<'a> {
    pub now: Timestamp,
    pub visibility: Duration,
    /// Changes that were contested under other policies are tried again.
    pub policy: PoliciesAtHand<'a>,
    pub retry_contested: bool,
    /// How tags compare, because earlier runs may have spelled a tag differently.
    pub tag_case: TagCase,
}

/// The facts in the journals of a tenant.
pub struct Known {
    /// The history for a plan.
    pub history: History,
    /// Interrupted runs that may have lost tags without an answer showing it; their plans say which.
    pub cut_short: Vec<String>,
}

/// Reads the journals of a tenant. Unreadable journals count as saying nothing.
pub fn read(state: &StateDir, present: HistoryInputs<'_>) -> Known {
    let runs = journal::runs(state).unwrap_or_default();
    let mut history = History::default();
    let mut streaks: Option<HashMap<ChangeKey, AcceptedStreak>> = None;
    let shown = pending_file::read(state, present.tag_case);
    let mut is_open = !present.retry_contested;
    let mut owed = owed_file::Collector::read(state, present.now, present.visibility);
    for (number, run) in runs.iter().rev().enumerate() {
        let Ok(recorded) = journal::read(state, run) else { continue };
        let is_recent = collect_pending(&recorded, present, &shown, &mut history);
        is_open = is_open && number < MOST_RUNS && follow(&recorded, present, &shown, &mut streaks);
        let is_of_day = collect_written(&recorded, present.now, &mut history.written_lately);
        let is_owing = owed.take(&recorded);
        if !is_recent && !is_open && !is_of_day && !is_owing {
            break;
        }
    }
    for (key, streak) in streaks.unwrap_or_default() {
        let Some(until) = streak.contested_until().filter(|until| present.now < *until) else { continue };
        history.contested.insert(key.clone(), origin(&key).to_owned());
        history.contested_until.insert(key, Timestamp::from_seconds(until.seconds()));
    }
    let owed = owed.end();
    history.lost = owed.tags;
    Known { history, cut_short: owed.unclear }
}

/// Collects the devices that a run wrote within the last day: the service moves them between device groups hours later, so their
/// groups prove nothing yet. Returns whether any of the run is from that day.
fn collect_written(recorded: &RecordedRun, now: Timestamp, written: &mut BTreeSet<Arc<str>>) -> bool {
    let oldest = now.minus(DAY);
    let of_day = recorded.entries.iter().filter(|entry| entry.at() > oldest);
    let may_be_written =
        |outcome: Outcome| was_accepted(outcome) || matches!(outcome, Outcome::Unknown | Outcome::Pending);
    let mut is_of_day = false;
    for entry in of_day {
        is_of_day = true;
        let ended = entry.ended().iter().filter(|ended| may_be_written(ended.outcome));
        written.extend(ended.map(|ended| ended.key.device.clone()));
    }
    is_of_day
}

/// A change that the service accepted in the newest runs in a row, and that is wanted again.
#[derive(Clone, Copy, Debug, Default)]
struct AcceptedStreak {
    bounces: u32,
    is_over: bool,
    /// The last time it was accepted.
    newest: Option<Timestamp>,
    /// The start of the oldest run in which it counts as bounced.
    oldest: Option<Timestamp>,
}

impl AcceptedStreak {
    fn is_open(&self) -> bool {
        !self.is_over && self.bounces < BOUNCES
    }

    /// Counts a bounce, unless it is too close to one that already counts: three quick changes by a person count as one.
    fn count(&mut self, at: Timestamp) {
        if self.oldest.is_none_or(|oldest| at.plus(BOUNCES_APART) <= oldest) {
            self.bounces += 1;
            self.oldest = Some(at);
        }
        self.newest.get_or_insert(at);
    }

    /// Until when it is contested, if it bounced often enough. Then it is tried again.
    fn contested_until(&self) -> Option<Timestamp> {
        self.newest.filter(|_| self.bounces >= BOUNCES).map(|newest| newest.plus(RETRIED_AFTER))
    }
}

/// Follows changes one run further back; returns whether any may still become contested.
fn follow(
    recorded: &RecordedRun,
    present: HistoryInputs<'_>,
    shown: &ShownChanges,
    streaks: &mut Option<HashMap<ChangeKey, AcceptedStreak>>,
) -> bool {
    let outcomes = outcomes(recorded, present.tag_case);
    let last = recorded.entries.last().map_or(Timestamp::EPOCH, Entry::at);
    // A change that a read has shown did not bounce: a person undid it later.
    let was_undone = |key: &ChangeKey, outcome: Outcome| {
        outcome == Outcome::Done && shown.holds(&recorded.header.run, last, key, present.tag_case)
    };
    let contested: HashSet<Cow<'_, ChangeKey>> =
        recorded.contested.iter().map(|key| key.under(present.tag_case)).collect();
    let at = recorded.started.unwrap_or(Timestamp::EPOCH);
    let is_same_policy = present.policy.are_those_of(&recorded.header);
    let Some(streaks) = streaks else {
        let mut found: HashMap<ChangeKey, AcceptedStreak> =
            contested.iter().map(|key| (key.clone().into_owned(), AcceptedStreak::default())).collect();
        for (key, outcome) in &outcomes {
            if was_undone(key, *outcome) {
                continue;
            }
            if was_accepted(*outcome) && is_same_policy {
                found.entry(key.clone().into_owned()).or_default().count(at);
            } else if says_nothing(*outcome) {
                found.entry(key.clone().into_owned()).or_default();
            }
        }
        let is_open = !found.is_empty();
        *streaks = Some(found);
        return is_open;
    };
    let mut is_open = false;
    for (key, streak) in streaks.iter_mut().filter(|(_, streak)| streak.is_open()) {
        match outcomes.get(key).copied() {
            Some(outcome) if was_undone(key, outcome) => streak.is_over = true,
            Some(outcome) if was_accepted(outcome) => {
                streak.is_over = streak.bounces == 0 && !is_same_policy;
                if !streak.is_over {
                    streak.count(at);
                }
            }
            Some(outcome) if says_nothing(outcome) => {}
            None if contested.contains(key) => {}
            _ => streak.is_over = true,
        }
        is_open |= streak.is_open();
    }
    is_open
}

/// The outcomes of a run's changes. Of several spellings of a tag, the outcome counts that shows best whether the service
/// accepted it.
fn outcomes(recorded: &RecordedRun, case: TagCase) -> HashMap<Cow<'_, ChangeKey>, Outcome> {
    let mut outcomes: HashMap<Cow<'_, ChangeKey>, Outcome> = HashMap::new();
    let weight = |outcome| (was_accepted(outcome), says_nothing(outcome));
    for (key, ended) in resume::outcomes(&recorded.entries) {
        let known = outcomes.entry(key.under(case)).or_insert(ended.outcome);
        if weight(ended.outcome) > weight(*known) {
            *known = ended.outcome;
        }
    }
    outcomes
}

/// Whether the service accepted it. If a plan wants it again, the list has shown the old state since, so it bounced by then at
/// the latest.
fn was_accepted(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Done | Outcome::Bounced)
}

/// Whether the outcome is unknown, so that the run neither ends nor extends the streak.
fn says_nothing(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::NotAttempted | Outcome::Unknown | Outcome::Pending | Outcome::Unconfirmed)
}

/// Who probably restored the old state.
fn origin(key: &ChangeKey) -> &'static str {
    match key.what {
        ChangeWhat::Remove(_) => {
            "the device's registry, its management profile or a dynamic rule sets the tag"
        }
        ChangeWhat::Add(_) => "a dynamic rule or another tool removes the tag",
        ChangeWhat::Value(_) => "a dynamic rule or another tool sets the value",
    }
}

/// Adds changes confirmed so recently that the list may lag; returns whether the run is that recent.
fn collect_pending(
    recorded: &RecordedRun,
    present: HistoryInputs<'_>,
    shown: &ShownChanges,
    history: &mut History,
) -> bool {
    let oldest = present.now.minus(present.visibility);
    let mut is_recent = false;
    for entry in &recorded.entries {
        is_recent |= entry.at() > oldest;
        let Entry::Reply { at, ended, .. } = entry else { continue };
        if *at <= oldest {
            continue;
        }
        for ended in ended.iter().filter(|ended| ended.outcome == Outcome::Done) {
            if !shown.holds(&recorded.header.run, *at, &ended.key, present.tag_case) {
                history.pending.insert(ended.key.clone());
                history.shown_by = history.shown_by.max(Some(at.plus(present.visibility)));
            }
        }
    }
    is_recent
}

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::*;
    use mdetag_core::apply::{CallId, ChangeOutcome};
    use mdetag_core::plan::Plan;

    const HOUR: i64 = 3_600;

    fn key(tag: &str) -> ChangeKey {
        ChangeKey { device: "d1".into(), what: ChangeWhat::Remove(Arc::from(tag)) }
    }

    /// A run at this hour with these outcomes of removals.
    fn record(state: &StateDir, hour: i64, policy: &str, ended: &[(&str, Outcome)]) {
        let now = Timestamp::from_seconds(hour * HOUR);
        let header = Header { run: journal::run_id(now), policy: policy.to_owned(), ..Header::default() };
        let mut journal = Journal::create(state, &header, &Plan::default(), b"{}", now).unwrap();
        let ended = ended.iter().map(|(tag, outcome)| ChangeOutcome {
            key: key(tag),
            outcome: *outcome,
            error: None,
        });
        let entry = Entry::Reply { call: CallId(1), at: now, answer: "200".into(), ended: ended.collect() };
        journal.append(vec![entry]).unwrap();
    }

    fn at(hour: i64, policy: &str) -> HistoryInputs<'_> {
        let now = Timestamp::from_seconds(hour * HOUR);
        HistoryInputs {
            now,
            visibility: Duration::from_secs(3_600),
            policy: PoliciesAtHand { digest: policy, ..PoliciesAtHand::default() },
            retry_contested: false,
            tag_case: TagCase::Exact,
        }
    }

    fn state(folder: &tempfile::TempDir) -> StateDir {
        StateDir::new(folder.path(), "sandbox", "t").unwrap()
    }

    #[test]
    fn a_change_that_bounced_in_the_last_three_runs_six_hours_apart_is_contested() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        for hour in [1, 7, 13] {
            assert!(read(&state, at(hour, "p")).history.contested.is_empty());
            let other = if hour == 7 { Outcome::Noop } else { Outcome::Done };
            record(&state, hour, "p", &[("held", Outcome::Done), ("free", other)]);
        }
        let history = read(&state, at(19, "p")).history;
        assert_eq!(history.contested.keys().collect::<Vec<_>>(), [&key("held")]);
        assert!(history.contested[&key("held")].contains("registry"));
        assert_eq!(history.contested_until.len(), 1);
        record(&state, 20, "p", &[("held", Outcome::NotAttempted)]);
        assert_eq!(
            read(&state, at(22, "p")).history.contested.len(),
            1,
            "a run that did not try says nothing"
        );
        let retried = HistoryInputs { retry_contested: true, ..at(22, "p") };
        assert!(read(&state, retried).history.contested.is_empty());
        assert!(read(&state, at(22, "changed")).history.contested.is_empty(), "its rule may have changed");
        assert_eq!(read(&state, at(13 + 7 * 24 - 1, "p")).history.contested.len(), 1);
        assert!(
            read(&state, at(13 + 7 * 24, "p")).history.contested.is_empty(),
            "after 7 days it is tried again"
        );
        record(&state, 23, "p", &[("free", Outcome::Done)]);
        let ended = read(&state, at(25, "p")).history;
        assert!(ended.contested.is_empty(), "a run in which it was at peace ends the row");
    }

    #[test]
    fn a_part_of_the_policies_is_the_same_where_the_files_of_both_say_the_same() {
        let file = |path: &str, digest: &str| FileReference { path: path.into(), digest: digest.into() };
        let whole = Header {
            policy: "whole".into(),
            set: " policies".into(),
            files: vec![file("policies/a.yaml", "1"), file("policies/b.yaml", "2")],
            ..Header::default()
        };
        let part = |set, digest: &str| {
            let files = [file("policies/a.yaml", digest)];
            PoliciesAtHand { digest: "part", set, files: &files }.are_those_of(&whole)
        };
        assert!(part(" policies/a.yaml", "1"));
        assert!(!part(" policies/a.yaml", "3"), "it changed");
        assert!(!part(" other/a.yaml", "1"), "another set");
        assert!(!part(" policies", "1"), "the set lost a file");
    }

    #[test]
    fn devices_that_any_run_of_the_last_day_wrote_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        record(&state, 1, "p", &[("t", Outcome::Done)]);
        record(&state, 20, "other", &[("t", Outcome::Failed)]);
        let written =
            |hour| read(&state, at(hour, "p")).history.written_lately.into_iter().collect::<Vec<_>>();
        assert_eq!(written(24), ["d1".into()]);
        assert!(written(26).is_empty(), "what failed was not written, and what was is a day old");
    }

    #[test]
    fn quick_changes_by_a_person_make_nothing_contested() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        for hour in 1..8 {
            record(&state, hour, "p", &[("held", Outcome::Done)]);
        }
        assert!(read(&state, at(8, "p")).history.contested.is_empty(), "two at most are six hours apart");
        for hour in 8..14 {
            record(&state, hour, "p", &[("held", Outcome::Done)]);
        }
        assert_eq!(read(&state, at(14, "p")).history.contested.len(), 1, "12 hours are no accident");
    }

    #[test]
    fn bounces_of_two_spellings_of_a_tag_are_one_row_where_case_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        for (hour, tag) in [(1, "held"), (7, "HELD"), (13, "held")] {
            record(&state, hour, "p", &[(tag, Outcome::Done)]);
        }
        assert!(read(&state, at(14, "p")).history.contested.is_empty(), "two tags");
        let without_case = HistoryInputs { tag_case: TagCase::Insensitive, ..at(14, "p") };
        assert_eq!(read(&state, without_case).history.contested.len(), 1);
    }

    #[test]
    fn what_an_answer_confirmed_within_visibility_is_pending_until_a_read_has_shown_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(&folder);
        let minute = |minute: i64| Timestamp::from_seconds(10 * HOUR + minute * 60);
        let keep = |at, shown: &[&str]| {
            let shown: Vec<ChangeKey> = shown.iter().map(|tag| key(tag)).collect();
            pending_file::keep(&state, at, &|key| shown.contains(key)).unwrap();
        };
        keep(minute(-1), &[]);
        record(&state, 10, "p", &[("a", Outcome::Done), ("b", Outcome::Done), ("c", Outcome::Failed)]);
        let soon = HistoryInputs { now: minute(3), ..at(10, "p") };
        let pending = || read(&state, soon).history.pending;
        assert_eq!(pending(), BTreeSet::from([key("a"), key("b")]));
        keep(minute(2), &[]);
        assert_eq!(pending(), BTreeSet::from([key("a"), key("b")]), "it showed neither");
        keep(minute(1), &["a"]);
        assert_eq!(pending(), BTreeSet::from([key("b")]), "an older read that ends later showed one");
        keep(minute(3), &[]);
        assert_eq!(pending(), BTreeSet::from([key("b")]), "what was shown once does not lag");
        assert!(
            read(&state, at(11, "p")).history.pending.is_empty(),
            "half-open: an hour later it is pending no more"
        );
    }

    #[test]
    fn what_a_read_showed_and_a_person_undid_later_did_not_bounce() {
        let contested = |shown: &[i64]| {
            let folder = tempfile::tempdir().unwrap();
            let state = state(&folder);
            let keep = |hour, is_shown| {
                pending_file::keep(&state, Timestamp::from_seconds(hour * HOUR), &|_| is_shown).unwrap();
            };
            keep(0, false);
            for hour in [1, 9, 17] {
                record(&state, hour, "p", &[("held", Outcome::Done)]);
                keep(hour + 3, shown.contains(&hour));
                keep(hour + 6, false);
            }
            read(&state, at(25, "p")).history.contested.len()
        };
        assert_eq!(contested(&[]), 1);
        for shown in [&[1][..], &[9], &[17], &[1, 9, 17]] {
            assert_eq!(contested(shown), 0, "{shown:?}");
        }
    }
}
