//! Faults between a computer and a store: each has its own message, or is repaired unseen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mdetag::store::backend::{self, ObjectBucket};
use mdetag::store::journal::{self, Closing};

use super::clock::Shifted;
use super::emulators::{Place, stores};
use super::proxy::{Fault, Proxy};
use super::wall_clock::WallClock;
use super::{at, begin, note, texts};

/// The store behind a proxy.
fn through(place: &Place, proxy: &Proxy, change: impl Fn(&mut Vec<(String, String)>)) -> Arc<ObjectBucket> {
    let mut variables = place.environment(Some(&proxy.url));
    change(&mut variables);
    let clock: Arc<dyn mdetag_core::time::Clock> = Arc::new(WallClock);
    backend::connect(&place.address(), &variables, &clock).unwrap()
}

fn examined(place: &Place, proxy: &Proxy) -> String {
    backend::examine(&through(place, proxy, |_| {})).unwrap_err().to_string()
}

#[test]
fn a_store_that_is_fit_is_told_so_with_its_clock_and_keeps_nothing_of_the_examination() {
    for place in stores() {
        let proxy = Proxy::start(&place.host().unwrap());
        let objects = through(&place, &proxy, |_| {});
        assert!(backend::examine(&objects).unwrap().abs() < 3_000, "{}", place.name);
        assert!(objects.list("team").unwrap().is_empty(), "{}", place.name);
        proxy.move_clock(600);
        let behind = backend::examine(&objects).unwrap();
        assert!((-603_000..-597_000).contains(&behind), "{}: {behind}", place.name);
    }
}

#[test]
fn a_store_that_ignores_conditions_is_refused() {
    // Azure's requests are signed with their conditions.
    for place in stores().into_iter().filter(|place| place.name == "s3") {
        let proxy = Proxy::start(&place.host().unwrap());
        proxy.fail(|_, _| Some(Fault::NoConditions));
        let objects = through(&place, &proxy, |_| {});
        for error in [backend::examine(&objects).unwrap_err(), backend::probe(&objects).unwrap_err()] {
            assert!(
                error.to_string().contains("ignores the conditions of writes"),
                "{}: {error}",
                place.name
            );
        }
    }
}

#[test]
fn missing_rights_are_told_with_what_is_needed_and_what_cannot_be_done() {
    for place in stores() {
        let proxy = Proxy::start(&place.host().unwrap());
        if place.name == "azblob" {
            let wrong = |variables: &mut Vec<(String, String)>| {
                let keys = variables.iter_mut().filter(|(name, _)| name == "AZURE_STORAGE_ACCOUNT_KEY");
                keys.for_each(|(_, key)| *key = "d3Jvbmc=".to_owned());
            };
            let error = backend::examine(&through(&place, &proxy, wrong)).unwrap_err().to_string();
            assert!(error.starts_with("cannot list: no rights on azblob://"), "{error}");
        }
        for (denied, word) in [("PUT", "write"), ("GET", "list"), ("POST", "remove")] {
            proxy.fail(move |method, _| {
                (method == denied)
                    .then(|| Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into()))
            });
            let error = examined(&place, &proxy);
            let start = format!("cannot {word}: no rights on {}", place.address().root());
            assert!(error.starts_with(&start), "{} {denied}: {error}", place.name);
            assert!(
                error.contains("Storage Blob Data Contributor") && error.contains("s3:GetObject, PutObject"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_clock_that_the_store_refuses_is_told_with_how_far_it_is_off() {
    for place in stores() {
        let proxy = Proxy::start(&place.host().unwrap());
        proxy.move_clock(1_200);
        let code = if place.name == "s3" { "RequestTimeTooSkewed" } else { "AuthenticationFailed" };
        proxy.fail(move |_, _| Some(Fault::Answer(403, format!("<Error><Code>{code}</Code></Error>"))));
        let error = examined(&place, &proxy);
        let told = error.contains("refuses this computer's clock") && error.contains("20 minutes off");
        assert!(told || error.contains("19 minutes off"), "{}: {error}", place.name);
    }
}

#[test]
fn an_upload_that_is_torn_or_whose_answer_is_lost_is_in_the_journal_once() {
    for place in stores() {
        for fault in [Fault::CutBefore, Fault::CutAfter] {
            let proxy = Proxy::start(&place.host().unwrap());
            let objects = through(&place, &proxy, |_| {});
            let state = place.open_in(&objects, &Shifted::new());
            let run = if fault == Fault::CutBefore { "r1" } else { "r2" };
            let hold = state.backend().hold(&state.lock(), "one").unwrap();
            let mut journal = begin(&state, run);
            let seen = AtomicU64::new(0);
            let cut = fault.clone();
            proxy.fail(move |method, path| {
                let is_segment = method == "PUT" && path.contains("/runs/");
                // Each is tried twice: the first try is lost.
                (is_segment && seen.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)).then(|| cut.clone())
            });
            (1..=3).for_each(|number| journal.append(note(number)).unwrap());
            proxy.fail(|_, _| None);
            journal.close(Closing { at: at(9), is_complete: true, reason: "finished".into() }).unwrap();
            drop((journal, hold));
            assert_eq!(
                texts(&place.open(), run),
                ["entry 1", "entry 2", "entry 3"],
                "{} {fault:?}",
                place.name
            );
            assert!(!journal::read(&place.open(), run).unwrap().is_resumable());
        }
    }
}
