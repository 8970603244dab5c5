//! A budget without limits, because the sandbox counts calls itself.

use std::time::Duration;

use mdetag_core::apply::{Admission, Meter, Ticket};
use mdetag_core::plan::Lane;

pub(crate) struct Unmetered;

impl Meter for Unmetered {
    fn admit(&self, lane: Lane) -> Admission {
        Admission::Go(Ticket { lane, slot: 0 })
    }

    fn answered(&self, _: Ticket, _: Option<Option<Duration>>) {}
}
