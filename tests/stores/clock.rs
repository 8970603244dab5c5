//! Clocks that a test moves, so that no test waits for a lease to end.
//!
//! The computer's clock and the store's move together.

use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mdetag::store::backend::{Cell, Cells, Condition, ObjectBucket, Version};
use mdetag_core::time::{Clock, Timestamp};

use super::wall_clock::WallClock;

/// A clock that stands still between two moves.
#[derive(Debug)]
pub(crate) struct Standing(AtomicU64);

impl Standing {
    pub(crate) fn new() -> Arc<Standing> {
        Arc::new(Standing(AtomicU64::new(1_700_000_000_000)))
    }

    pub(crate) fn pass(&self, span: Duration) {
        self.0.fetch_add(span.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_millis(self.0.load(Ordering::SeqCst)))
    }
}

/// The wall clock plus some seconds.
#[derive(Debug)]
pub(crate) struct Shifted(AtomicU64);

impl Shifted {
    pub(crate) fn new() -> Arc<Shifted> {
        Arc::new(Shifted(AtomicU64::new(0)))
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// A store whose clock moves with it.
    pub(crate) fn store(self: &Arc<Self>, objects: Arc<ObjectBucket>) -> ShiftedStore {
        ShiftedStore { objects, clock: self.clone() }
    }

    fn passed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        WallClock.now().plus(self.passed())
    }
}

/// A store whose clock is some seconds ahead.
#[derive(Debug)]
pub(crate) struct ShiftedStore {
    objects: Arc<ObjectBucket>,
    clock: Arc<Shifted>,
}

impl Cells for ShiftedStore {
    fn get(&self, key: &str) -> Result<Option<Cell>> {
        self.objects.get(key)
    }

    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> Result<Version> {
        self.objects.put(key, bytes, condition)
    }

    fn now(&self) -> Timestamp {
        self.objects.now().plus(self.clock.passed())
    }
}
