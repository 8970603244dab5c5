//! Tags that calls of runs removed by accident and that no read has shown since (`owed.json`).
//!
//! Journals say which tags were lost. This file remembers them when the journals are gone, and remembers the reads: if a tag was
//! back once and is gone later, somebody removed it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Result;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use mdetag_core::apply::{ChangeKey, ChangeWhat, Entry, Outcome, repairs, resume};
use mdetag_core::plan::Owed;
use mdetag_core::time::Timestamp;

use super::journal::RecordedRun;
use super::state::StateDir;
use super::state_json;

/// Upper limit of its size in bytes, above what the lost tags of a million devices take.
const MOST_BYTES: u64 = 1 << 30;

/// The service forgets a device and its tags after this time.
const KEPT: Duration = Duration::from_secs(180 * 86_400);

/// Without a file, journals of this time are searched.
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    /// The start of the newest read. The file contains all losses until then.
    read_at: Timestamp,
    owed: Vec<OwedLine>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwedLine {
    run: Arc<str>,
    device: Arc<str>,
    tag: Arc<str>,
    lost: Timestamp,
    /// Whether a read has shown the device without the tag.
    is_missed: bool,
}

impl OwedLine {
    fn key(&self) -> ChangeKey {
        ChangeKey { device: self.device.clone(), what: ChangeWhat::Add(self.tag.clone()) }
    }
}

/// Collects lost tags from the file and from newer journals.
pub struct Collector {
    /// Later entries are not in the file.
    since: Timestamp,
    /// Runs that ended later than this and were interrupted may have lost tags that the list did not show yet.
    unclear_since: Timestamp,
    now: Timestamp,
    /// How long a list may show the state before a call.
    visibility: Duration,
    kept: Vec<OwedLine>,
    /// Whether there is a file. If so, earlier losses that it lacks are settled.
    is_kept: bool,
    owed: BTreeMap<ChangeKey, Owed>,
    /// Tags that runs removed, and the latest time of each removal.
    removed: HashMap<ChangeKey, Timestamp>,
    unclear: Vec<String>,
}

/// The tags that must be put back.
#[derive(Clone, Debug, Default)]
pub struct OwedTags {
    /// Tags, as the additions that put them back.
    pub tags: BTreeMap<ChangeKey, Owed>,
    /// Interrupted runs that may have lost tags without an answer showing it; their plans say which.
    pub unclear: Vec<String>,
}

impl Collector {
    /// Starts with the content of the file. An unreadable one counts as empty.
    pub fn read(state: &StateDir, now: Timestamp, visibility: Duration) -> Collector {
        let file = parsed(state.backend().read(&state.owed(), MOST_BYTES).ok());
        let since = file.as_ref().map_or(now.minus(DAY), |file| file.read_at);
        let unclear_since = if file.is_some() { since.minus(visibility) } else { since };
        let is_kept = file.is_some();
        let kept = file.map(|file| file.owed).unwrap_or_default();
        let (owed, removed, unclear) = (BTreeMap::new(), HashMap::new(), Vec::new());
        Collector { since, unclear_since, now, visibility, kept, is_kept, owed, removed, unclear }
    }

    /// Adds the next older journal; returns whether still older ones may matter.
    pub fn take(&mut self, recorded: &RecordedRun) -> bool {
        let Some(last) = recorded.entries.last().map(Entry::at) else { return true };
        if last > self.unclear_since && resume::may_have_lost(&recorded.entries) {
            self.unclear.push(recorded.header.run.clone());
        }
        if last <= self.since {
            return last > self.unclear_since;
        }
        let run: Arc<str> = recorded.header.run.as_str().into();
        let kept: HashMap<ChangeKey, bool> = self
            .kept
            .extract_if(.., |line| line.run == run)
            .map(|line| (line.key(), line.is_missed))
            .collect();
        for (key, lost) in not_put_back(&recorded.entries) {
            // A resumed run repeats the changes that had already ended.
            if self.is_kept && lost <= self.since && !kept.contains_key(&key) {
                continue;
            }
            if self.removed.get(&key).is_none_or(|removed| *removed <= lost) {
                let owed = self.owed(run.clone(), lost, kept.get(&key) == Some(&true));
                self.owed.insert(key, owed);
            }
        }
        for entry in &recorded.entries {
            for ended in entry.ended().iter().filter(|ended| ended.outcome == Outcome::Done) {
                let ChangeWhat::Remove(tag) = &ended.key.what else { continue };
                let key = ChangeKey { what: ChangeWhat::Add(tag.clone()), ..ended.key.clone() };
                let removed = self.removed.entry(key).or_insert(entry.at());
                *removed = entry.at().max(*removed);
            }
        }
        true
    }

    fn owed(&self, run: Arc<str>, lost: Timestamp, is_missed: bool) -> Owed {
        // A whole second, because people read it.
        let until = Timestamp::from_seconds(lost.plus(self.visibility).seconds() + 1);
        Owed { run, lost, shown_until: (!is_missed && until >= self.now).then_some(until) }
    }

    /// The lost tags after all newer journals.
    pub fn end(mut self) -> OwedTags {
        for line in std::mem::take(&mut self.kept) {
            let key = line.key();
            if self.removed.get(&key).is_none_or(|removed| *removed <= line.lost) {
                let owed = self.owed(line.run, line.lost, line.is_missed);
                self.owed.entry(key).or_insert(owed);
            }
        }
        OwedTags { tags: self.owed, unclear: self.unclear }
    }
}

/// Tags that calls of a run removed by accident and that it did not put back, and the time of the entry.
fn not_put_back(entries: &[Entry]) -> Vec<(ChangeKey, Timestamp)> {
    let mut said: HashMap<(&Arc<str>, &Arc<str>), Timestamp> = HashMap::new();
    for entry in entries {
        if let Entry::Repair { at, device, tag, .. } = entry {
            said.insert((device, tag), *at);
        }
    }
    let lost = repairs::lost_tags(entries).into_iter().filter(|lost| lost.outcome != Outcome::Done);
    let at = |key: &ChangeKey| match &key.what {
        ChangeWhat::Add(tag) => said.get(&(&key.device, tag)).copied(),
        _ => None,
    };
    lost.map(|lost| {
        let said = at(&lost.key).unwrap_or(Timestamp::EPOCH);
        (lost.key, said)
    })
    .collect()
}

/// Stores the lost tags after a trusted live read that started at `read_at`. A tag in the read is no longer due, unless the list
/// may still show the state before the loss. `shows` returns `None` for a device that the read left out.
///
/// # Errors
/// The file cannot be written.
pub fn keep(
    state: &StateDir,
    read_at: Timestamp,
    visibility: Duration,
    owed: &BTreeMap<ChangeKey, Owed>,
    shows: &dyn Fn(&ChangeKey) -> Option<bool>,
) -> Result<()> {
    state.backend().update(&state.owed(), MOST_BYTES, &mut |bytes| {
        let file = match parsed(bytes) {
            Some(newer) if newer.read_at > read_at => newer,
            before => after_read(before, read_at, visibility, owed, shows),
        };
        state_json::bytes(&file)
    })
}

fn after_read(
    before: Option<File>,
    read_at: Timestamp,
    visibility: Duration,
    owed: &BTreeMap<ChangeKey, Owed>,
    shows: &dyn Fn(&ChangeKey) -> Option<bool>,
) -> File {
    let missed = before.into_iter().flat_map(|file| file.owed).filter(|line| line.is_missed);
    let missed: HashSet<ChangeKey> = missed.map(|line| line.key()).collect();
    let lines = owed.iter().filter_map(|(key, Owed { run, lost, .. })| {
        let ChangeWhat::Add(tag) = &key.what else { return None };
        let (is_shown, was_missed) = (shows(key), missed.contains(key));
        let is_over = is_shown == Some(true) && (was_missed || lost.plus(visibility) < read_at);
        (!is_over && read_at < lost.plus(KEPT)).then(|| OwedLine {
            run: run.clone(),
            device: key.device.clone(),
            tag: tag.clone(),
            lost: *lost,
            is_missed: was_missed || is_shown == Some(false),
        })
    });
    File { read_at, owed: lines.collect() }
}

fn parsed(bytes: Option<Vec<u8>>) -> Option<File> {
    serde_json::from_slice(&bytes?).ok()
}
