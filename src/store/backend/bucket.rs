//! State in a store: a journal is a folder of numbered segments, each written once; the lock is a lease.
//!
//! A finished run is merged into one segment, so that later readers need one request.

use std::collections::VecDeque;
use std::io::{Cursor, Error, ErrorKind, Read, Result};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mdetag_core::time::Clock;

use super::lease::{self, Lease};
use super::objects::{Cells, Condition, ObjectBucket, SharedCell};
use super::{Backend, LONGEST_LOG, LeaseLost, Log, OwnClock, WriteLease};
use crate::store::lock::LockError;
use crate::store::path_text::shown;

/// How often a change is retried if others change the file too.
const MOST_ROUNDS: u32 = 64;

/// The state of one tenant in a store.
#[derive(Debug)]
pub struct Bucket {
    objects: Arc<ObjectBucket>,
    cells: Arc<dyn Cells>,
    clock: OwnClock,
    lease: Mutex<Weak<Lease>>,
}

impl Bucket {
    /// State in `objects`. Leases are taken through `cells` with the store's clock; `clock` measures how long the holder trusts
    /// its lease.
    pub fn new(objects: Arc<ObjectBucket>, cells: Arc<dyn Cells>, clock: Arc<dyn Clock>) -> Bucket {
        Bucket { objects, cells, clock: OwnClock(clock), lease: Mutex::new(Weak::new()) }
    }

    /// The key of a path from `StateDir::in_store`.
    fn key(&self, path: &Path) -> Result<String> {
        key(&self.objects, path)
    }

    fn lease(&self) -> Result<Arc<Lease>> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        lease.ok_or_else(|| Error::other(LeaseLost("it was given back".to_owned())))
    }

    fn segments(&self, path: &Path) -> Result<Vec<Segment>> {
        segments(&self.objects, &folder(&self.key(path)?))
    }
}

/// The key of a path below the store's address.
pub(super) fn key(objects: &ObjectBucket, path: &Path) -> Result<String> {
    let (path, root) = (shown(path), objects.address().to_string());
    let below = path.strip_prefix(&root).map(|below| below.trim_start_matches('/'));
    let below = below.ok_or_else(|| Error::other(format!("{path} does not lie in {root}")))?;
    let prefix = objects.address().prefix();
    Ok(if prefix.is_empty() { below.to_owned() } else { format!("{prefix}/{below}") })
}

fn segments(objects: &ObjectBucket, folder: &str) -> Result<Vec<Segment>> {
    let found = objects.list(folder)?;
    Ok(chosen(found.into_iter().filter_map(|(key, size)| Segment::parse(folder, key, size)).collect()))
}

fn folder(key: &str) -> String {
    key.strip_suffix(".jsonl").unwrap_or(key).to_owned()
}

/// One object of a journal: the appends from `first` to `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    key: String,
    first: u64,
    last: u64,
    size: u64,
}

impl Segment {
    fn parse(folder: &str, key: String, size: u64) -> Option<Segment> {
        let numbers = key.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".jsonl")?;
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        Some(Segment { key, first, last, size })
    }
}

/// Every append once, in order. A merged segment replaces the segments it contains, even while they still exist.
fn chosen(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_unstable_by_key(|segment| (segment.first, std::cmp::Reverse(segment.last)));
    let mut end = 0;
    segments.retain(|segment| {
        let is_new = segment.last > end;
        end = end.max(segment.last);
        is_new
    });
    segments
}

/// Refuses a journal that is too large for any run, before any of it is read.
fn refuse_longer(segments: &[Segment]) -> Result<()> {
    let size = segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.size));
    if size <= LONGEST_LOG {
        return Ok(());
    }
    let why = format!("it has more than {LONGEST_LOG} bytes, which no run writes");
    Err(Error::new(ErrorKind::FileTooLarge, why))
}

impl Backend for Bucket {
    fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>> {
        let cell = self.objects.get_at_most(&self.key(path)?, most)?;
        let cell =
            cell.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{} is not there", shown(path))))?;
        Ok(cell.bytes)
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.objects.put(&self.key(path)?, content.to_vec(), Condition::Any).map(drop)
    }

    fn update(
        &self,
        path: &Path,
        most: u64,
        change: &mut dyn FnMut(Option<Vec<u8>>) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let key = self.key(path)?;
        for round in 0..MOST_ROUNDS {
            let (old, condition) = match self.cells.get(&key)? {
                Some(cell) if cell.bytes.len() as u64 > most => return Err(ErrorKind::FileTooLarge.into()),
                Some(cell) => (Some(cell.bytes), Condition::Is(cell.version)),
                None => (None, Condition::Absent),
            };
            let new = change(old)?;
            match self.cells.put(&key, new.clone(), condition) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            // The answer to our own write may have been lost.
            if self.cells.get(&key)?.is_some_and(|cell| cell.bytes == new) {
                return Ok(());
            }
            // Processes that collided would collide again without a spread.
            let spread = (std::process::id().wrapping_mul(2_654_435_761) >> 24) + 1;
            std::thread::sleep(Duration::from_millis(
                u64::from(spread % 16 + 1) * u64::from(round.min(8) + 1),
            ));
        }
        Err(Error::new(ErrorKind::TimedOut, "others change it all the time"))
    }

    fn logs(&self, path: &Path) -> Result<Vec<String>> {
        let above = self.key(path)?;
        let found = self.objects.list(&above)?;
        let names = found.iter().filter_map(|(key, _)| {
            let (name, segment) = key.strip_prefix(&above)?.strip_prefix('/')?.split_once('/')?;
            (segment.ends_with(".jsonl") && super::is_name(name)).then(|| name.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.dedup();
        Ok(names)
    }

    fn plans(&self, path: &Path) -> Result<Vec<String>> {
        let above = self.key(path)?;
        let found = self.objects.list(&above)?;
        let names = found.iter().filter_map(|(key, _)| {
            let name = key.strip_prefix(&above)?.strip_prefix('/')?.strip_suffix(".plan.json")?;
            super::is_name(name).then(|| name.to_owned())
        });
        Ok(names.collect())
    }

    fn create_log(&self, path: &Path) -> Result<Box<dyn Log>> {
        let (folder, lease) = (folder(&self.key(path)?), self.lease()?);
        Ok(Box::new(SegmentLog {
            objects: self.objects.clone(),
            folder,
            last: 0,
            lease,
            kept: Some(Vec::new()),
        }))
    }

    fn continue_log(&self, path: &Path) -> Result<Box<dyn Log>> {
        let last = self.segments(path)?.last().map(|segment| segment.last);
        let last =
            last.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{} is not there", shown(path))))?;
        let (folder, lease) = (folder(&self.key(path)?), self.lease()?);
        Ok(Box::new(SegmentLog { objects: self.objects.clone(), folder, last, lease, kept: None }))
    }

    fn read_log(&self, path: &Path) -> Result<Box<dyn Read>> {
        let mut segments = Segments {
            objects: self.objects.clone(),
            folder: folder(&self.key(path)?),
            keys: VecDeque::new(),
            read: Cursor::new(Vec::new()),
            ahead: 1,
            delivered: 0,
            skip: 0,
            tries: 0,
        };
        if !segments.look()? {
            return Err(Error::new(ErrorKind::NotFound, format!("{} is not there", shown(path))));
        }
        Ok(Box::new(segments))
    }

    fn hold(&self, path: &Path, holder: &str) -> std::result::Result<WriteLease, LockError> {
        let unusable = |source| LockError::Unusable { path: shown(path), source };
        let key = self.key(path).map_err(unusable)?;
        let lease = Lease::take(&self.cells, &key, holder, &self.clock.0)?;
        Lease::keep(&lease);
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&lease);
        Ok(WriteLease(lease))
    }

    fn unlock(&self, path: &Path, by: &str) -> std::result::Result<Option<String>, LockError> {
        let unusable = |source| LockError::Unusable { path: shown(path), source };
        lease::unlock(&*self.cells, &self.key(path).map_err(unusable)?, by)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.objects.remove(&[self.key(path)?])
    }

    fn remove_log(&self, path: &Path) -> Result<()> {
        let folder = folder(&self.key(path)?);
        let keys: Vec<String> = self.objects.list(&folder)?.into_iter().map(|(key, _)| key).collect();
        // The first segment makes it a journal, so it is removed last: an interrupted removal is found again.
        let Some((first, others)) = keys.split_first() else { return Ok(()) };
        self.objects.remove(others)?;
        self.objects.remove(std::slice::from_ref(first))
    }

    fn last_holder(&self, path: &Path) -> Result<Option<String>> {
        lease::last_holder(&*self.cells, &self.key(path)?)
    }

    fn shared(&self, path: &Path) -> Result<Option<SharedCell>> {
        Ok(Some(SharedCell::new(self.cells.clone(), self.key(path)?)))
    }
}

/// A journal opened for writing: one object per append.
#[derive(Debug)]
struct SegmentLog {
    objects: Arc<ObjectBucket>,
    folder: String,
    last: u64,
    lease: Arc<Lease>,
    /// Everything appended so far, if it is small and all from this process: then a merge need not read it again.
    kept: Option<Vec<u8>>,
}

/// Larger journals are read again to be merged.
const MOST_KEPT: usize = 16 << 20;

impl Log for SegmentLog {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        super::LeaseHandle::check(&*self.lease).map_err(Error::other)?;
        let key = format!("{}/{:06}.jsonl", self.folder, self.last + 1);
        match self.objects.put(&key, bytes.to_vec(), Condition::Absent) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // Either the answer to our own write was lost, or another process continues this run.
                let found = self.objects.get(&key)?;
                if found.is_none_or(|cell| cell.bytes != bytes) {
                    return Err(Error::other(LeaseLost("another process goes on with this run".to_owned())));
                }
            }
            Err(error) => return Err(error),
        }
        self.last += 1;
        self.kept = self.kept.take().filter(|kept| kept.len() + bytes.len() <= MOST_KEPT);
        self.kept.iter_mut().for_each(|kept| kept.extend_from_slice(bytes));
        Ok(())
    }

    fn fence(&self) -> Option<u64> {
        Some(self.lease.fence())
    }

    fn hold(&self) -> Option<WriteLease> {
        Some(WriteLease(self.lease.clone()))
    }

    fn finish(&mut self) {
        if let Err(error) = self.merge() {
            tracing::debug!(%error, "the segments of this run stay apart");
        }
    }
}

impl SegmentLog {
    /// Writes one segment for all, and removes the others when it is complete.
    fn merge(&self) -> Result<()> {
        super::LeaseHandle::check(&*self.lease).map_err(Error::other)?;
        let segments = segments(&self.objects, &self.folder)?;
        let whole = segments.iter().map(|segment| segment.last + 1 - segment.first).sum::<u64>() == self.last;
        if segments.len() < 2 || !whole {
            return Ok(());
        }
        let keys: Vec<String> = segments.iter().map(|segment| segment.key.clone()).collect();
        let lies_there = segments.iter().map(|segment| segment.size).sum::<u64>();
        let bytes = match &self.kept {
            Some(kept) if kept.len() as u64 == lies_there => kept.clone(),
            _ => self.objects.get_all(&keys, LONGEST_LOG)?.concat(),
        };
        let size = bytes.len() as u64;
        let merged = format!("{}/{:06}-{:06}.jsonl", self.folder, 1, self.last);
        self.objects.put(&merged, bytes, Condition::Absent)?;
        let is_there = self.objects.list(&self.folder)?.contains(&(merged, size));
        if is_there { self.objects.remove(&keys) } else { Ok(()) }
    }
}

/// The segments of a journal in order. Reads the first alone, because many readers need no more.
struct Segments {
    objects: Arc<ObjectBucket>,
    folder: String,
    keys: VecDeque<String>,
    read: Cursor<Vec<u8>>,
    ahead: usize,
    delivered: u64,
    /// Bytes of the next segments that were already delivered.
    skip: u64,
    tries: u32,
}

/// A run that ends during the read is merged once; one that is also resumed, once more.
const LOOKS: u32 = 3;

impl Segments {
    /// Lists the segments; `false` if there are none.
    fn look(&mut self) -> Result<bool> {
        let segments = segments(&self.objects, &self.folder)?;
        refuse_longer(&segments)?;
        self.keys = segments.into_iter().map(|segment| segment.key).collect();
        self.skip = self.delivered;
        Ok(!self.keys.is_empty())
    }

    /// Reads the next segments. If they were merged meanwhile, another segment has the same content.
    fn next(&mut self) -> Result<()> {
        let next: Vec<String> = self.keys.drain(..self.ahead.min(self.keys.len())).collect();
        self.ahead = 64;
        let bytes = match self.objects.get_all(&next, LONGEST_LOG) {
            Ok(parts) => parts.concat(),
            Err(error) if error.kind() == ErrorKind::NotFound && self.tries < LOOKS => {
                self.tries += 1;
                return if self.look()? { Ok(()) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        let known = self.skip.min(bytes.len() as u64);
        self.skip -= known;
        self.read = Cursor::new(bytes);
        self.read.set_position(known);
        Ok(())
    }
}

impl Read for Segments {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let read = self.read.read(buffer)?;
            self.delivered += read as u64;
            if read > 0 || self.keys.is_empty() || buffer.is_empty() {
                return Ok(read);
            }
            self.next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(names: &[&str]) -> Vec<(u64, u64)> {
        let of = |name: &&str| Segment::parse("runs/r", format!("runs/r/{name}.jsonl"), 1);
        chosen(names.iter().filter_map(of).collect()).iter().map(|it| (it.first, it.last)).collect()
    }

    #[test]
    fn a_journal_that_is_larger_than_any_run_writes_is_refused_unread() {
        let of = |name: &str, size| Segment::parse("runs/r", format!("runs/r/{name}.jsonl"), size).unwrap();
        assert!(refuse_longer(&[of("000001", 1 << 30), of("000002", 3 << 30)]).is_ok());
        let error = refuse_longer(&[of("000001", 1 << 30), of("000002", (3 << 30) + 1)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(refuse_longer(&[of("000001", u64::MAX), of("000002", u64::MAX)]).is_err());
    }

    #[test]
    fn a_merged_segment_stands_for_those_that_it_holds() {
        assert_eq!(segments(&["000002", "000001", "000003"]), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(segments(&["000001", "000001-000003", "000003", "000004"]), [(1, 3), (4, 4)]);
        assert_eq!(segments(&["000001-000003", "000001-000005", "x"]), [(1, 5)]);
    }
}
