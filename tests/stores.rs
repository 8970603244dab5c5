//! State in a folder, in Azure Blob Storage and in S3: every claim on all three, if emulators are installed.

#![allow(clippy::unwrap_used)] // a test that cannot set its scene has failed

#[path = "stores/clock.rs"]
mod clock;
#[path = "stores/copies.rs"]
mod copies;
#[path = "stores/processes.rs"]
mod processes;
#[path = "cli/project.rs"]
#[expect(dead_code, reason = "the tests of the command line use more of it")]
mod project;
#[path = "stores/proxy.rs"]
mod proxy;
#[path = "cli/service.rs"]
#[expect(dead_code, reason = "the tests of the command line use more of it")]
mod service;
#[path = "stores/emulators.rs"]
mod emulators;
#[path = "stores/faults.rs"]
mod faults;
#[path = "stores/ledger.rs"]
mod ledger;
#[path = "stores/service_profile.rs"]
mod service_profile;
#[path = "stores/snapshot.rs"]
mod snapshot;
#[path = "support/wall_clock.rs"]
mod wall_clock;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use clock::Shifted;
use emulators::{places, stores};
use mdetag::store::backend::{self, is_lease_lost};
use mdetag::store::baselines_file;
use mdetag::store::journal::{self, Closing, Header, Journal, JournalError};
use mdetag::store::lock::LockError;
use mdetag::store::state::StateDir;
use mdetag_core::apply::Entry;
use mdetag_core::plan::Plan;
use mdetag_core::time::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + second)
}

fn note(number: i64) -> Vec<Entry> {
    vec![Entry::Note { at: at(number), text: format!("entry {number}") }]
}

fn header(run: &str) -> Header {
    Header { run: run.to_owned(), tenant: "t".to_owned(), ..Header::default() }
}

fn begin(state: &StateDir, run: &str) -> Journal {
    Journal::create(state, &header(run), &Plan::default(), b"{}", at(0)).unwrap()
}

fn texts(state: &StateDir, run: &str) -> Vec<String> {
    let recorded = journal::read(state, run).unwrap();
    assert_eq!(recorded.damaged, 0);
    let text = |entry: &Entry| match entry {
        Entry::Note { text, .. } => text.clone(),
        other => panic!("{other:?}"),
    };
    recorded.entries.iter().map(text).collect()
}

#[test]
fn a_journal_that_ended_is_read_by_another_computer_with_its_plan() {
    for place in places() {
        let state = place.open();
        let hold = state.backend().hold(&state.lock(), "one").unwrap();
        let mut journal = begin(&state, "r1");
        (1..=40).for_each(|number| journal.append(note(number)).unwrap());
        journal.close(Closing { at: at(99), is_complete: true, reason: "finished".into() }).unwrap();
        drop((journal, hold));
        let other = place.open();
        assert_eq!(journal::runs(&other).unwrap(), ["r1"], "{}", place.name);
        let expected: Vec<String> = (1..=40).map(|number| format!("entry {number}")).collect();
        assert_eq!(texts(&other, "r1"), expected, "{}", place.name);
        assert!(!journal::read(&other, "r1").unwrap().is_resumable());
        assert_eq!(journal::plan_text(&other, "r1").unwrap(), "{}");
        assert_eq!(journal::header(&other, "r1").unwrap().unwrap().1.run, "r1");
        assert!(matches!(journal::read(&other, "r2"), Err(JournalError::NoSuchRun { .. })), "{}", place.name);
    }
}

#[test]
fn a_run_that_is_killed_after_any_entry_is_gone_on_with_from_an_empty_computer() {
    for place in places() {
        for killed_after in 0..4 {
            let run = format!("r{killed_after}");
            let state = place.open();
            let clock = Shifted::new();
            let dying = place.open_at(&clock);
            let hold = dying.backend().hold(&dying.lock(), "dying").unwrap();
            let mut journal = begin(&dying, &run);
            (1..=killed_after).for_each(|number| journal.append(note(number)).unwrap());
            // A killed process gives nothing back; the system only frees the lock of a folder.
            if place.objects().is_some() {
                std::mem::forget((journal, hold));
                clock.pass(62);
            } else {
                drop((journal, hold));
            }
            drop(state);
            let state = place.open_at(&clock);
            let _hold = state.backend().hold(&state.lock(), "next").unwrap();
            assert_eq!(journal::runs(&state).unwrap().last(), Some(&run), "{}", place.name);
            assert!(journal::read(&state, &run).unwrap().is_resumable(), "{}", place.name);
            let mut journal = Journal::resume(&state, &header(&run), at(50)).unwrap();
            journal.append(note(killed_after + 1)).unwrap();
            journal.close(Closing { at: at(99), is_complete: true, reason: "finished".into() }).unwrap();
            let expected: Vec<String> =
                (1..=killed_after + 1).map(|number| format!("entry {number}")).collect();
            assert_eq!(texts(&place.open(), &run), expected, "{}", place.name);
        }
    }
}

#[test]
fn counts_that_are_kept_at_the_same_time_are_all_kept() {
    const AT_ONCE: usize = 6;
    for place in places() {
        let start = Barrier::new(AT_ONCE);
        std::thread::scope(|scope| {
            for thread in 0..AT_ONCE {
                let (place, start) = (&place, &start);
                scope.spawn(move || {
                    let state = place.open();
                    start.wait();
                    for round in 0..3 {
                        let set = format!("set {thread} {round}");
                        baselines_file::update(&state, &set, |_| None).unwrap();
                    }
                });
            }
        });
        let (sets, _) = baselines_file::all(&place.open()).unwrap();
        assert_eq!(sets.len(), AT_ONCE * 3, "{}", place.name);
    }
}

#[test]
fn a_reader_goes_on_where_the_segments_are_merged_meanwhile() {
    for place in stores() {
        let state = place.open();
        let _hold = state.backend().hold(&state.lock(), "one").unwrap();
        let mut journal = begin(&state, "r1");
        (1..=80).for_each(|number| journal.append(note(number)).unwrap());
        let read = |log: &mut dyn std::io::Read, most| {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(log, most), &mut bytes).unwrap();
            bytes
        };
        let open = || place.open().backend().read_log(&state.journal("r1")).unwrap();
        // One is in the middle of a segment, the other has listed and read nothing.
        let (mut started, mut looked) = (open(), open());
        let first = read(&mut started, 700);
        journal.close(Closing { at: at(99), is_complete: true, reason: "finished".into() }).unwrap();
        let objects = place.objects().unwrap();
        assert_eq!(objects.list("team/public/t/runs/r1").unwrap().len(), 1, "{}: it is merged", place.name);
        let whole = read(&mut open(), u64::MAX);
        assert!(read(&mut looked, u64::MAX) == whole, "{}", place.name);
        assert!([first, read(&mut started, u64::MAX)].concat() == whole, "{}", place.name);
    }
}

#[test]
fn whole_files_are_replaced_and_read_back_and_missing_ones_say_so() {
    for place in places() {
        let (one, two) = (place.open(), place.open());
        let path = one.path().join("counts.json");
        assert_eq!(two.backend().read(&path, 10).unwrap_err().kind(), std::io::ErrorKind::NotFound);
        one.backend().write(&path, b"first").unwrap();
        one.backend().write(&path, b"second").unwrap();
        assert_eq!(two.backend().read(&path, 10).unwrap(), b"second", "{}", place.name);
        assert!(two.backend().read(&path, 5).is_err(), "{}", place.name);
    }
}

#[test]
fn of_two_that_start_at_once_one_holds_the_tenant_two_hundred_times() {
    for place in places() {
        let states: Vec<StateDir> = (0..2).map(|_| place.open()).collect();
        for round in 0..200 {
            let start = Arc::new(Barrier::new(2));
            let held = std::thread::scope(|scope| {
                let takers: Vec<_> = states
                    .iter()
                    .map(|state| {
                        let start = start.clone();
                        scope.spawn(move || {
                            start.wait();
                            state.backend().hold(&state.lock(), "taker")
                        })
                    })
                    .collect();
                // Both are kept until both have tried.
                takers.into_iter().map(|taker| taker.join().unwrap()).collect::<Vec<_>>()
            });
            let winners = held.iter().filter(|held| held.is_ok()).count();
            assert_eq!(winners, 1, "round {round} on {}: {held:?}", place.name);
            assert!(held.iter().any(|held| matches!(held, Err(LockError::Held { .. }))), "{held:?}");
        }
    }
}

#[test]
fn a_holder_that_stood_still_past_its_lease_writes_nothing_more() {
    for place in stores() {
        let (frozen_clock, clock) = (Shifted::new(), Shifted::new());
        let frozen = place.open_at(&frozen_clock);
        let hold = frozen.backend().hold(&frozen.lock(), "frozen").unwrap();
        let mut journal = begin(&frozen, "r1");
        journal.append(note(1)).unwrap();
        assert!(hold.check().is_ok());

        clock.pass(62);
        let state = place.open_at(&clock);
        let next = state.backend().hold(&state.lock(), "next").unwrap();
        assert_eq!(next.quarantine(Duration::from_secs(1)), None, "its calls ended long ago");
        assert!(next.quarantine(Duration::from_secs(300)).is_some_and(|wait| wait.as_secs() > 280));
        let mut resumed = Journal::resume(&state, &header("r1"), at(50)).unwrap();
        resumed.append(note(2)).unwrap();

        // It wakes up, and its clock has moved on.
        frozen_clock.pass(62);
        assert!(hold.check().is_err(), "{}", place.name);
        assert!(matches!(journal.append(note(3)), Err(JournalError::LeaseLost { .. })), "{}", place.name);
        assert_eq!(texts(&state, "r1"), ["entry 1", "entry 2"], "{}", place.name);
        drop((journal, hold));
        assert!(next.check().is_ok(), "{}: giving back a lost lease takes it from nobody", place.name);
    }
}

#[test]
fn a_holder_whose_clock_stood_still_cannot_write_where_another_went_on() {
    for place in stores() {
        let clock = Shifted::new();
        let frozen = place.open();
        let hold = frozen.backend().hold(&frozen.lock(), "frozen").unwrap();
        let mut journal = begin(&frozen, "r1");
        clock.pass(62);
        let state = place.open_at(&clock);
        let _next = state.backend().hold(&state.lock(), "next").unwrap();
        Journal::resume(&state, &header("r1"), at(50)).unwrap();
        let refused = journal.append(note(3));
        assert!(matches!(refused, Err(JournalError::LeaseLost { .. })), "{}: {refused:?}", place.name);
        drop((journal, hold));
    }
}

#[test]
fn entries_carry_the_number_of_their_lease_which_grows_with_each_holder() {
    for place in stores() {
        for fence in 1..=3 {
            let state = place.open();
            let _hold = state.backend().hold(&state.lock(), "one").unwrap();
            begin(&state, &format!("r{fence}"));
            let mut text = String::new();
            let mut log = state.backend().read_log(&state.journal(&format!("r{fence}"))).unwrap();
            std::io::Read::read_to_string(&mut log, &mut text).unwrap();
            assert!(text.contains(&format!("\"fence\":{fence},")), "{}: {text}", place.name);
        }
    }
}

#[test]
fn a_lease_is_ended_by_hand_only_when_nobody_renews_it() {
    for place in places() {
        let clock = Shifted::new();
        let state = place.open_at(&clock);
        let unlock = || state.backend().unlock(&state.lock(), "a test");
        assert_eq!(unlock().unwrap(), None, "{}: nobody ever held it", place.name);
        let hold = state.backend().hold(&state.lock(), "somebody").unwrap();
        let refused = unlock().unwrap_err();
        let is_named = matches!(&refused, LockError::Held { holder } if holder.starts_with("somebody"));
        assert!(is_named, "{}: {refused}", place.name);
        if place.objects().is_some() {
            clock.pass(62);
            assert_eq!(unlock().unwrap().as_deref(), Some("somebody"), "{}", place.name);
            assert!(hold.check().is_err(), "{}: its holder writes nothing more", place.name);
            std::mem::forget(hold);
        } else {
            drop(hold);
        }
        assert_eq!(unlock().unwrap(), None, "{}", place.name);
        let next = place.open();
        let hold = next.backend().hold(&next.lock(), "next").unwrap();
        let is_store = place.objects().is_some();
        assert_eq!(hold.quarantine(Duration::from_secs(60)).is_some(), is_store, "{}", place.name);
    }
}

#[test]
fn a_store_is_probed_once_and_a_missing_one_is_named() {
    for place in stores() {
        let objects = place.objects().unwrap();
        backend::probe(&objects).unwrap();
        let after_first = objects.traffic().0;
        backend::probe(&objects).unwrap();
        assert_eq!(objects.traffic().0 - after_first, 1, "{}: one look", place.name);
        assert!(
            objects.list("team").unwrap().iter().all(|(key, _)| !key.contains("probe")),
            "{}",
            place.name
        );
    }
    let Some(emulators) = emulators::Emulators::shared() else { return };
    for (text, objects, _) in emulators.missing() {
        let error = backend::probe(&objects).unwrap_err();
        assert!(error.to_string().starts_with("there is no "), "{text}: {error}");
        assert!(!is_lease_lost(&error));
    }
}
