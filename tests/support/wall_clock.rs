//! The computer's clock, for tests over real sockets.

use std::time::{SystemTime, UNIX_EPOCH};

use mdetag_core::time::{Clock, Timestamp};

#[derive(Debug)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is behind 1970");
        Timestamp::EPOCH.plus(since)
    }
}
