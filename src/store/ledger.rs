//! The ledger: the calls of the last hour, shared by every process on one state.
//!
//! In a folder it is a file per lane with one line per record, under a lock; a slot is written before its call. In a store, slots
//! are reserved: `shared_ledger`. A lost ledger does little harm: a torn, foreign or missing one costs some 429s, so every fault
//! is tolerated and reported once.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mdetag_core::apply::budget::{Budget, Limits, SlotRecord};
use mdetag_core::apply::{Admission, Meter, Ticket};
use mdetag_core::plan::Lane;
use mdetag_core::time::{Clock, Timestamp};

use super::backend::SharedCell;
use super::path_text::shown;
use super::shared_ledger::SharedLedger;
use super::state_file;

/// The first words of every file, followed by a number that changes each time the file is rewritten.
const HEADER: &str = "mdetag-ledger 1 ";

/// A longer file, in bytes, is rewritten without the calls that no window counts any more.
const REWRITE_OVER: u64 = 512 * 1024;

/// The most bytes that are read of a file that grew meanwhile: an hour of ten lanes needs far less.
const MOST_READ: u64 = 4 * 1024 * 1024;

/// How often slots are reserved for one call before its caller must wait.
const RESERVATIONS: u32 = 2;

/// How often the lock is tried, a millisecond apart: other processes hold it for less than that.
const LOCK_TRIES: u32 = 2_000;

/// The budget of an application in a tenant, including the calls of all processes.
pub struct Ledger {
    /// Its place, for messages.
    place: String,
    clock: Arc<dyn Clock>,
    inner: Mutex<LedgerState>,
}

struct LedgerState {
    budget: Budget,
    keeper: LedgerStorage,
    fault: Option<String>,
}

enum LedgerStorage {
    Folder(LaneFiles),
    Store(SharedLedger),
}

/// The files of a folder, as far as they were read.
struct LaneFiles {
    folder: PathBuf,
    files: [LaneFile; Lane::ALL.len()],
    rewrites: u64,
}

/// How far a file has been read.
#[derive(Clone, Debug, Default)]
struct LaneFile {
    generation: String,
    read: u64,
}

impl Ledger {
    /// Opens the ledger in `folder`, which need not exist. `seed` must differ between processes.
    pub fn open(folder: &Path, limits: Limits, seed: u64, clock: Arc<dyn Clock>) -> Ledger {
        let files = LaneFiles { folder: folder.to_owned(), files: Default::default(), rewrites: seed };
        Ledger::kept(shown(folder), LedgerStorage::Folder(files), limits, seed, clock)
    }

    /// Opens the ledger in an object of a store, which need not exist. `place`: for messages.
    pub fn in_store(
        cell: SharedCell,
        place: &Path,
        limits: Limits,
        seed: u64,
        clock: Arc<dyn Clock>,
    ) -> Ledger {
        Ledger::kept(shown(place), LedgerStorage::Store(SharedLedger::new(cell)), limits, seed, clock)
    }

    fn kept(
        place: String,
        keeper: LedgerStorage,
        limits: Limits,
        seed: u64,
        clock: Arc<dyn Clock>,
    ) -> Ledger {
        let inner = LedgerState { budget: Budget::new(limits, seed), keeper, fault: None };
        Ledger { place, clock, inner: Mutex::new(inner) }
    }

    /// The clock of its times, and of every journal beside it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Acts on the budget while no other process does: merges the records of others first, and writes those of `act` afterwards.
    pub fn with<T>(&self, act: impl FnOnce(&mut Budget, Timestamp) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let LedgerState { budget, keeper, fault } = &mut *inner;
        let (done, written) = match keeper {
            LedgerStorage::Folder(files) => {
                let lock = files.lock();
                let now = self.clock.now();
                let merged = lock.and_then(|lock| files.merge_all(budget, now).map(|()| lock));
                let done = act(budget, now);
                let records = budget.drain_records();
                let oldest = now.minus(budget.memory());
                (done, merged.and_then(|_lock| files.write_all(&records, oldest)))
            }
            LedgerStorage::Store(shared) => {
                let read = shared.before(budget, self.clock.now());
                let now = self.clock.now();
                let done = act(budget, now);
                (done, read.and(shared.after(budget, now)))
            }
        };
        if let Err(error) = written {
            fault.get_or_insert_with(|| {
                format!(
                    "the ledger in {} cannot be used ({error}): other processes' calls are not seen",
                    self.place
                )
            });
        }
        done
    }

    /// Whether slots must be reserved before the next call. [`Ledger::with`] does so first, and may be called again.
    pub fn reserves(&self) -> bool {
        !self.inner.lock().unwrap_or_else(PoisonError::into_inner).budget.wanted().is_empty()
    }

    /// Why the ledger is not shared, if it is not: a sentence for a warning.
    pub fn fault(&self) -> Option<String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }
}

impl LaneFiles {
    fn lock(&self) -> std::io::Result<File> {
        let file = state_file::open_to_lock(&self.folder.join("lock"))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        Err(std::io::Error::other("another process holds its lock"))
    }

    fn merge_all(&mut self, budget: &mut Budget, now: Timestamp) -> std::io::Result<()> {
        let mut fresh = Vec::new();
        let mut is_rewritten = false;
        for lane in Lane::ALL {
            let (records, rewritten) = read(&self.folder, lane, &mut self.files[lane as usize])?;
            is_rewritten |= rewritten;
            fresh.extend(records);
        }
        // Another process rewrote a file. The records that it left out no longer count, and those that it kept are already known.
        // Reading everything again is the simplest way to count nothing twice.
        if is_rewritten {
            budget.forget();
            fresh.clear();
            for lane in Lane::ALL {
                self.files[lane as usize].read = 0;
                fresh.extend(read(&self.folder, lane, &mut self.files[lane as usize])?.0);
            }
        }
        fresh.into_iter().for_each(|record| budget.merge(record, now));
        Ok(())
    }

    fn write_all(&mut self, records: &[SlotRecord], oldest: Timestamp) -> std::io::Result<()> {
        for lane in Lane::ALL {
            let lines: String = records.iter().filter(|record| lane_of(record) == lane).map(line).collect();
            if lines.is_empty() {
                continue;
            }
            self.rewrites += 1;
            append(&self.folder, lane, &mut self.files[lane as usize], &lines, self.rewrites, oldest)?;
        }
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let now = self.clock.now();
        let LedgerState { budget, keeper, .. } = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let LedgerStorage::Store(shared) = keeper {
            shared.end(budget, now);
        }
    }
}

impl Meter for Ledger {
    fn admit(&self, lane: Lane) -> Admission {
        let admit = || self.with(|budget, now| budget.admit(lane, now));
        let mut admission = admit();
        // Whoever asks can wait and be stopped, which this cannot: it asks the store no more than twice.
        for _ in 0..RESERVATIONS {
            if matches!(admission, Admission::Go(_)) || !self.reserves() {
                break;
            }
            admission = admit();
        }
        admission
    }

    fn answered(&self, ticket: Ticket, throttled: Option<Option<Duration>>) {
        self.with(|budget, now| budget.answered(ticket, now, throttled));
    }
}

fn path(folder: &Path, lane: Lane) -> PathBuf {
    folder.join(format!("{}.ledger", lane.word()))
}

fn lane_of(record: &SlotRecord) -> Lane {
    match record {
        SlotRecord::Taken { lane, .. }
        | SlotRecord::Answered { lane, .. }
        | SlotRecord::Closed { lane, .. } => *lane,
    }
}

fn line(record: &SlotRecord) -> String {
    match record {
        SlotRecord::Taken { slot, at, .. } => format!("t {slot:x} {}\n", at.ticks()),
        SlotRecord::Answered { slot, at, .. } => format!("a {slot:x} {}\n", at.ticks()),
        SlotRecord::Closed { until, .. } => format!("c 0 {}\n", until.ticks()),
    }
}

/// A line's record; `None` for anything else: the file may be torn or foreign.
fn parse(lane: Lane, line: &str) -> Option<SlotRecord> {
    let mut words = line.split(' ');
    let (kind, slot, ticks) = (words.next()?, words.next()?, words.next()?);
    let slot = u64::from_str_radix(slot, 16).ok()?;
    let at = Timestamp::from_ticks(ticks.parse().ok()?);
    match (kind, words.next()) {
        ("t", None) => Some(SlotRecord::Taken { lane, slot, at }),
        ("a", None) => Some(SlotRecord::Answered { lane, slot, at }),
        ("c", None) => Some(SlotRecord::Closed { lane, until: at }),
        _ => None,
    }
}

/// The lines of a lane's file that were not read yet, and whether the file was rewritten since.
fn read(folder: &Path, lane: Lane, state: &mut LaneFile) -> std::io::Result<(Vec<SlotRecord>, bool)> {
    let mut file = match state_file::open_to_read(&path(folder, lane)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let was_there = !state.generation.is_empty();
            *state = LaneFile::default();
            return Ok((Vec::new(), was_there));
        }
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let generation = generation(&mut file)?;
    let is_rewritten = !state.generation.is_empty() && state.generation != generation || length < state.read;
    if state.generation != generation || length < state.read {
        *state = LaneFile { generation, read: 0 };
    }
    let start = state.read.max(length.saturating_sub(MOST_READ));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(MOST_READ).read_to_end(&mut bytes)?;
    // Nobody writes while the lock is held, so a last line without its end is torn, and is not read.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    state.read = start + whole as u64;
    let text = String::from_utf8_lossy(&bytes[..whole]);
    Ok((text.lines().filter_map(|line| parse(lane, line)).collect(), is_rewritten))
}

/// The number in the first line; empty for a foreign file.
fn generation(file: &mut File) -> std::io::Result<String> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(64).read_to_end(&mut start)?;
    let text = String::from_utf8_lossy(&start);
    Ok(text.lines().next().and_then(|line| line.strip_prefix(HEADER)).unwrap_or("").to_owned())
}

fn append(
    folder: &Path,
    lane: Lane,
    state: &mut LaneFile,
    lines: &str,
    rewrites: u64,
    oldest: Timestamp,
) -> std::io::Result<()> {
    let path = path(folder, lane);
    if state.generation.is_empty() || state.read > REWRITE_OVER {
        let kept = if state.generation.is_empty() { String::new() } else { recent(folder, lane, oldest)? };
        state.generation = format!("{rewrites:x}");
        let text = format!("{HEADER}{}\n{kept}{lines}", state.generation);
        state.read = text.len() as u64;
        return state_file::write(&path, text.as_bytes());
    }
    let mut file = state_file::open_to_append(&path)?;
    let length = file.metadata()?.len();
    // A torn line is ended first, or it would swallow the next.
    let text = if length > state.read { format!("\n{lines}") } else { lines.to_owned() };
    file.write_all(text.as_bytes())?;
    state.read = length + text.len() as u64;
    Ok(())
}

/// The lines of a file that some window may still count.
fn recent(folder: &Path, lane: Lane, oldest: Timestamp) -> std::io::Result<String> {
    let mut whole = LaneFile::default();
    let (records, _) = read(folder, lane, &mut whole)?;
    let is_recent = |record: &SlotRecord| match record {
        SlotRecord::Taken { at, .. } | SlotRecord::Answered { at, .. } => *at > oldest,
        SlotRecord::Closed { until, .. } => *until > oldest,
    };
    Ok(records.iter().filter(|record| is_recent(record)).map(line).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    struct ByHand(AtomicI64);

    impl Clock for ByHand {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
        }
    }

    fn clock() -> Arc<ByHand> {
        Arc::new(ByHand(AtomicI64::new(1_000_000)))
    }

    fn open(folder: &Path, seed: u64, clock: &Arc<ByHand>) -> Ledger {
        Ledger::open(folder, Limits::default(), seed, clock.clone())
    }

    fn wait(ledger: &Ledger, lane: Lane) -> Option<Duration> {
        match ledger.admit(lane) {
            Admission::Wait(wait) => Some(wait.span),
            _ => None,
        }
    }

    fn calls(ledger: &Ledger, lane: Lane) -> u32 {
        let mut calls = 0;
        while let Admission::Go(ticket) = ledger.admit(lane) {
            ledger.answered(ticket, None);
            calls += 1;
        }
        calls
    }

    #[test]
    fn two_processes_together_never_exceed_a_window() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let (one, other) = (open(folder.path(), 1, &clock), open(folder.path(), 2, &clock));
        for _ in 0..30 {
            assert!(matches!(one.admit(Lane::List), Admission::Go(_)));
            assert!(matches!(other.admit(Lane::List), Admission::Go(_)));
        }
        assert_eq!(calls(&one, Lane::List), 40);
        assert_eq!(wait(&other, Lane::List), Some(Duration::from_secs(60)));
        assert_eq!(calls(&other, Lane::Get), 100, "each lane has its own windows");
        assert_eq!(calls(&open(folder.path(), 3, &clock), Lane::List), 0, "a later process sees them too");
    }

    #[test]
    fn a_closed_lane_is_closed_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let (one, other) = (open(folder.path(), 1, &clock), open(folder.path(), 2, &clock));
        let Admission::Go(ticket) = one.admit(Lane::BulkTag) else { panic!("unused") };
        one.answered(ticket, Some(Some(Duration::from_secs(42))));
        assert_eq!(wait(&other, Lane::BulkTag), Some(Duration::from_secs(42)));
    }

    #[test]
    fn a_wait_beyond_an_hour_is_an_error_in_every_process_that_meets_it() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let one = open(folder.path(), 1, &clock);
        let Admission::Go(ticket) = one.admit(Lane::List) else { panic!("unused") };
        one.answered(ticket, Some(Some(Duration::from_secs(7_200))));
        for seed in 1..3 {
            let met = open(folder.path(), seed, &clock).admit(Lane::List);
            let Admission::GivenUp(reason) = met else { panic!("{met:?}") };
            assert_eq!(reason, "the service asked for a wait until 1970-01-12T15:46:40Z");
        }
        assert!(matches!(one.admit(Lane::List), Admission::GivenUp(_)));
        clock.0.fetch_add(3_600, Ordering::SeqCst);
        assert_eq!(wait(&open(folder.path(), 3, &clock), Lane::List), Some(Duration::from_secs(3_600)));
    }

    #[test]
    fn torn_and_foreign_files_cost_nothing_but_what_they_held() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let one = open(folder.path(), 1, &clock);
        for _ in 0..10 {
            assert!(matches!(one.admit(Lane::Get), Admission::Go(_)));
        }
        let file = path(folder.path(), Lane::Get);
        let mut text = std::fs::read(&file).unwrap();
        text.extend_from_slice(b"t 99 99\xff\nnonsense\nt 5");
        std::fs::write(&file, &text).unwrap();
        let other = open(folder.path(), 2, &clock);
        assert_eq!(calls(&other, Lane::Get), 90);
        assert_eq!(calls(&one, Lane::Get), 0, "what follows the torn line is read");
        std::fs::write(path(folder.path(), Lane::List), b"\0\0 not ours").unwrap();
        assert_eq!(calls(&one, Lane::List), 100);
        assert_eq!(calls(&other, Lane::List), 0);
        assert_eq!((one.fault(), other.fault()), (None, None));
    }

    #[test]
    fn a_rewritten_file_counts_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let (one, other) = (open(folder.path(), 1, &clock), open(folder.path(), 2, &clock));
        assert_eq!(calls(&one, Lane::Get), 100);
        assert_eq!(calls(&other, Lane::Get), 0);
        let file = path(folder.path(), Lane::Get);
        let text = std::fs::read_to_string(&file).unwrap();
        let padding = "x\n".repeat(300_000);
        std::fs::write(&file, format!("{text}{padding}")).unwrap();
        clock.0.fetch_add(60, Ordering::SeqCst);
        assert_eq!(calls(&other, Lane::Get), 100);
        assert!(std::fs::metadata(&file).unwrap().len() < 20_000, "rewritten");
        clock.0.fetch_add(60, Ordering::SeqCst);
        assert_eq!(calls(&one, Lane::Get), 100);
        let left = |ledger: &Ledger| ledger.with(|budget, now| budget.left(Lane::Get, now).0);
        assert_eq!((left(&one), left(&other)), (1_200, 1_200));
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_told_and_does_not_stop_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let ledger = open(&file.join("ledger"), 1, &clock());
        assert_eq!(calls(&ledger, Lane::Get), 100);
        assert!(ledger.fault().unwrap().contains("cannot be used"));
    }
}
