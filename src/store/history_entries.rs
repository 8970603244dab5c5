//! The changes of a run, in the form of `mdetag history`.
//!
//! Reads no journal; the caller passes it in.

use std::collections::{BTreeMap, BTreeSet};

use mdetag_core::apply::{ChangeKey, ChangeOutcome, ChangeWhat, Entry, Outcome, repairs};
use mdetag_core::time::Timestamp;

use super::journal::RecordedRun;

/// One line of `mdetag history`: a change, its outcome and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// Which change.
    pub key: ChangeKey,
    /// How it ended.
    pub outcome: Outcome,
    /// The reason of a bad outcome; for a lost tag, that a call removed it by accident.
    pub error: Option<String>,
    /// Whether it is a tag that a call removed by accident: no change of the plan.
    pub was_lost: bool,
}

/// The outcomes of a run's changes, in the order of the journal; only the last outcome of each.
pub fn entries_of(recorded: &RecordedRun) -> Vec<HistoryEntry> {
    let mut last: BTreeMap<&ChangeKey, usize> = BTreeMap::new();
    let mut all: Vec<HistoryEntry> = Vec::new();
    for entry in &recorded.entries {
        for ended in entry.ended() {
            last.insert(&ended.key, all.len());
            all.push(HistoryEntry {
                at: entry.at(),
                key: ended.key.clone(),
                outcome: ended.outcome,
                error: ended.error.clone(),
                was_lost: false,
            });
        }
    }
    let kept: BTreeSet<usize> = last.into_values().collect();
    let mut place = 0;
    all.retain(|_| {
        place += 1;
        kept.contains(&(place - 1))
    });
    all.extend(taken_along(recorded));
    all.sort_by_key(|entry| entry.at);
    all
}

/// Tags that calls of a run removed by accident, whether they are back or not: they are in no plan.
fn taken_along(recorded: &RecordedRun) -> impl Iterator<Item = HistoryEntry> {
    let lost = repairs::lost_tags(&recorded.entries).into_iter();
    lost.map(|ChangeOutcome { key, outcome, error }| {
        let is_last = |entry: &&Entry| {
            matches!((entry, &key.what), (Entry::Repair { device, tag, .. }, ChangeWhat::Add(own))
                if *device == key.device && tag == own)
        };
        let at = recorded.entries.iter().rev().find(is_last).map_or(Timestamp::EPOCH, Entry::at);
        let end = match (outcome, error) {
            (Outcome::Done, _) => "it is back".to_owned(),
            (_, Some(why)) => format!("it is not back: {why}"),
            (_, None) => "it is not back: the run ended before that".to_owned(),
        };
        let error = Some(format!("a call of this run took the tag along, and {end}"));
        HistoryEntry { at, key, outcome, error, was_lost: true }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_change_is_its_history() {
        let key = ChangeKey { device: "d1".into(), what: ChangeWhat::Add("a".into()) };
        let ended = |outcome| ChangeOutcome { key: key.clone(), outcome, error: None };
        let at = Timestamp::EPOCH;
        let entries = vec![
            Entry::Ended { at, ended: vec![ended(Outcome::NotAttempted)] },
            Entry::Ended { at, ended: vec![ended(Outcome::Done)] },
        ];
        let happened = entries_of(&RecordedRun { entries, ..RecordedRun::default() });
        assert_eq!(happened.iter().map(|one| one.outcome).collect::<Vec<_>>(), [Outcome::Done]);
    }
}
