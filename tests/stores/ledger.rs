//! The ledger of calls on each backend: computers that share the state share the windows.
//!
//! Also counts the requests to the store: a ledger that costs as much as the calls would not be worth it.

use std::sync::Arc;
use std::time::Duration;

use mdetag::store::ledger::Ledger;
use mdetag_core::apply::budget::Limits;
use mdetag_core::apply::{Admission, Meter};
use mdetag_core::plan::Lane;

use super::clock::{Shifted, Standing};
use super::emulators::{self, Place, places, stores};
use super::{StateDir, backend};

/// The ledger, opened as by another computer.
fn open(place: &Place, clock: &Arc<Standing>, seed: u64) -> Ledger {
    ledger(&place.open_at(&Shifted::new()), clock, seed)
}

fn ledger(state: &StateDir, clock: &Arc<Standing>, seed: u64) -> Ledger {
    let path = state.shared_ledger("app").unwrap();
    match state.backend().shared(&path).unwrap() {
        Some(cell) => Ledger::in_store(cell, &path, Limits::default(), seed, clock.clone()),
        None => Ledger::open(&state.ledger("app").unwrap(), Limits::default(), seed, clock.clone()),
    }
}

fn calls(ledger: &Ledger, lane: Lane, most: u32) -> u32 {
    let mut calls = 0;
    while calls < most
        && let Admission::Go(ticket) = ledger.admit(lane)
    {
        ledger.answered(ticket, None);
        calls += 1;
    }
    calls
}

#[test]
fn two_computers_together_never_exceed_a_window() {
    for place in places() {
        let clock = Standing::new();
        let (one, other) = (open(&place, &clock, 1), open(&place, &clock, 2));
        let (mut spent_by_one, mut spent_by_other) = (0, 0);
        for _ in 0..15 {
            spent_by_one += calls(&one, Lane::List, 2);
            spent_by_other += calls(&other, Lane::List, 2);
        }
        assert_eq!((spent_by_one, spent_by_other), (30, 30), "{}: each gets its share", place.name);
        spent_by_one += calls(&one, Lane::List, 1_000);
        spent_by_other += calls(&other, Lane::List, 1_000);
        spent_by_one += calls(&one, Lane::List, 1_000);
        assert_eq!(spent_by_one + spent_by_other, 100, "{}", place.name);
        assert_eq!(calls(&other, Lane::Get, 1_000), 100, "{}: each lane has its own windows", place.name);
        assert_eq!(
            calls(&open(&place, &clock, 3), Lane::List, 1),
            0,
            "{}: a later one sees them",
            place.name
        );
        clock.pass(Duration::from_millis(60_100));
        assert_eq!(calls(&one, Lane::List, 1_000), 100, "{}: a minute later all is free", place.name);
        assert_eq!([one.fault(), other.fault()], [None, None]);
    }
}

#[test]
fn what_a_computer_reserved_is_given_back_at_its_end_and_runs_out_if_it_is_killed() {
    for place in stores() {
        let clock = Standing::new();
        let ended = open(&place, &clock, 1);
        assert_eq!(calls(&ended, Lane::List, 3), 3);
        drop(ended);
        assert_eq!(calls(&open(&place, &clock, 2), Lane::List, 1_000), 97, "{}", place.name);
        clock.pass(Duration::from_millis(60_100));
        let killed = open(&place, &clock, 3);
        assert_eq!(calls(&killed, Lane::List, 3), 3);
        std::mem::forget(killed);
        let next = open(&place, &clock, 4);
        assert_eq!(calls(&next, Lane::List, 1_000), 95, "{}: two may still be on their way", place.name);
        // The reservation lasts a minute, its last call 100 seconds, and its window a minute.
        clock.pass(Duration::from_secs(219));
        assert_eq!(calls(&next, Lane::List, 1_000), 95, "{}", place.name);
        clock.pass(Duration::from_secs(2));
        assert_eq!(calls(&next, Lane::List, 1_000), 0, "{}: a few slots wait for more", place.name);
        clock.pass(Duration::from_secs(2));
        assert_eq!(calls(&next, Lane::List, 1_000), 5, "{}: two seconds at most", place.name);
    }
}

#[test]
fn a_closed_lane_is_closed_for_all_computers_at_once() {
    for place in places() {
        let clock = Standing::new();
        let (one, other) = (open(&place, &clock, 1), open(&place, &clock, 2));
        let Admission::Go(ticket) = one.admit(Lane::BulkTag) else { panic!("{}: unused", place.name) };
        one.answered(ticket, Some(Some(Duration::from_secs(42))));
        let met = other.admit(Lane::BulkTag);
        let is_closed = matches!(&met, Admission::Wait(wait) if wait.span == Duration::from_secs(42));
        assert!(is_closed, "{}: {met:?}", place.name);
    }
}

#[test]
fn an_hour_of_calls_costs_a_tenth_of_them_in_requests() {
    for place in stores() {
        let clock = Standing::new();
        let objects = place.objects().unwrap();
        let state = place.open_in(&objects, &Shifted::new());
        let ledger = ledger(&state, &clock, 1);
        let mut spent = 0;
        while spent < 1_500 {
            let now = calls(&ledger, Lane::SetValue, 1);
            spent += now;
            // As evenly as the service allows: one call every 0.6 seconds.
            clock.pass(Duration::from_millis(if now == 0 { 100 } else { 600 }));
        }
        drop(ledger);
        let requests = objects.traffic().0;
        println!("{}: {requests} requests for an hour of calls", place.name);
        assert!((20..=150).contains(&requests), "{}: {requests} requests", place.name);
    }
}

#[test]
fn a_ledger_that_cannot_be_reached_is_told_and_does_not_stop_the_work() {
    let Some(emulators) = emulators::Emulators::shared() else { return };
    for (text, objects, clock) in emulators.missing() {
        let bucket = Arc::new(backend::Bucket::new(objects.clone(), objects, clock));
        let state = StateDir::in_store(bucket, text, "public", None, "t").unwrap();
        let ledger = ledger(&state, &Standing::new(), 1);
        assert_eq!(calls(&ledger, Lane::Get, 1_000), 100, "{text}: its own windows hold");
        let fault = ledger.fault().unwrap();
        assert!(fault.contains("there is no "), "{fault}");
    }
}
