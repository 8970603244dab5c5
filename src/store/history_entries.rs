//! What a run did, as `mdetag history` shows it.
//!
//! Reads no journal; it is handed in.

use std::collections::{BTreeMap, BTreeSet};

use mdetag_core::apply::{ChangeKey, ChangeOutcome, ChangeWhat, Entry, Outcome, repairs};
use mdetag_core::time::Timestamp;

use super::journal::RecordedRun;

/// One line of `mdetag history`: how a change ended, when, in which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// Which change.
    pub key: ChangeKey,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, if not well.
    pub error: Option<String>,
}

/// How the changes of a run ended, in the order of the journal, the last word on each only.
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
            });
        }
    }
    let kept: BTreeSet<usize> = last.into_values().collect();
    let mut place = 0;
    all.retain(|_| {
        place += 1;
        kept.contains(&(place - 1))
    });
    all.extend(not_put_back(recorded));
    all.sort_by_key(|entry| entry.at);
    all
}

/// Tags that calls of a run took along and that are not back: no plan has them, and they are gone all the same.
fn not_put_back(recorded: &RecordedRun) -> impl Iterator<Item = HistoryEntry> {
    let lost = repairs::lost_tags(&recorded.entries).into_iter();
    lost.filter(|lost| lost.outcome != Outcome::Done).map(|ChangeOutcome { key, outcome, error }| {
        let is_last = |entry: &&Entry| {
            matches!((entry, &key.what), (Entry::Repair { device, tag, .. }, ChangeWhat::Add(own))
                if *device == key.device && tag == own)
        };
        let at = recorded.entries.iter().rev().find(is_last).map_or(Timestamp::EPOCH, Entry::at);
        let why = error.unwrap_or_else(|| "the run ended before that".to_owned());
        let error = Some(format!("a call of this run took the tag along, and it is not back: {why}"));
        HistoryEntry { at, key, outcome, error }
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
