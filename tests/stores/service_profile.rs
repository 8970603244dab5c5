//! The service profile on each backend.

use std::sync::Barrier;

use mdetag::store::service_file;
use mdetag_core::probe::ServiceProfile;
use mdetag_core::service::{Question, ServiceObservations};
use mdetag_sandbox::Options;
use serde_json::{Value, json};

use super::emulators::places;
use super::processes::{command, computer};
use super::project::ran;
use super::service::Service;
use super::{at, begin, note};

fn sighting(question: Question, verdict: &'static str) -> ServiceObservations {
    let mut seen = ServiceObservations::default();
    seen.note(question, verdict, None);
    seen
}

#[test]
fn what_runs_saw_and_what_a_probe_measured_at_the_same_time_is_all_kept() {
    let seen = [
        (Question::BulkAnswer, "device"),
        (Question::ValueAnswer, "device"),
        (Question::LinkWithTop, "absent"),
        (Question::ThrottleCode, "429"),
        (Question::RateLimitHeaders, "absent"),
    ];
    let text = r#"{"formatVersion":"1.0","findings":[{"question":"tagCase","verdict":"sensitive","measuredAt":"2026-11-27T03:00:00Z","tool":"x"}]}"#;
    let measured = ServiceProfile::read(text).unwrap();
    for place in places() {
        let start = Barrier::new(seen.len() + 1);
        std::thread::scope(|scope| {
            for (question, verdict) in seen {
                let (place, start) = (&place, &start);
                scope.spawn(move || {
                    let (state, seen) = (place.open(), sighting(question, verdict));
                    start.wait();
                    service_file::update(&state, |profile| profile.learn(&seen, &[], at(0))).unwrap();
                });
            }
            let state = place.open();
            start.wait();
            service_file::renew(&state, |profile| drop(profile.take(measured.clone()))).unwrap();
        });
        let kept = service_file::read(&place.open()).unwrap().unwrap();
        assert_eq!((kept.seen.len(), kept.findings.len()), (seen.len(), 1), "{}: {kept:?}", place.name);
    }
}

#[test]
fn a_run_that_notes_what_it_saw_keeps_its_right_to_write() {
    for place in places() {
        let state = place.open();
        let hold = state.backend().hold(&state.lock(), "one").unwrap();
        let seen = sighting(Question::BulkAnswer, "device");
        service_file::update(&state, |profile| profile.learn(&seen, &[], at(0))).unwrap();
        let mut journal = begin(&state, "r1");
        journal.append(note(1)).unwrap();
        hold.check().unwrap();
    }
}

#[test]
fn a_probe_is_refused_while_an_apply_holds_the_tenant() {
    for place in places().into_iter().filter(|place| place.host().is_none()) {
        let (service, computer) = (Service::start(&[]), computer("High"));
        let id = service.sandbox.devices().unwrap()[0]["id"].as_str().unwrap().to_owned();
        let state = place.open_of(&service.sandbox.credentials().tenant_id);
        let hold = state.backend().hold(&state.lock(), "the apply of somebody").unwrap();
        let words = ["doctor", "--probe", &id, "--auto-approve"];
        let probe = || ran(command(&computer, &service, &place, None, &words).output().unwrap());
        let refused = probe().exits(1);
        assert!(refused.err.contains("the apply of somebody"), "{}", refused.err);
        assert_eq!(service.writes(), 0);
        drop(hold);
        probe().exits(0);
    }
}

#[test]
fn a_probe_ends_also_where_a_simulated_minute_is_over_before_the_store_answers() {
    for place in places() {
        let service = Service::start(&[]);
        let device = json!({ "id": "aa00000000000000000000000000000000000001", "machineTags": [],
            "deviceValue": "Low", "lastSeen": "2026-11-20T00:00:00Z" });
        service.sandbox.insert(&device).unwrap();
        let computer = computer("High");
        computer.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 100000 }\n");
        let words = ["doctor", "--probe", "aa00000000000000000000000000000000000001", "--auto-approve"];
        ran(command(&computer, &service, &place, None, &words).output().unwrap()).exits(0);
    }
}

#[test]
fn a_probe_keeps_its_profile_in_the_store_and_another_computer_uses_it() {
    for place in places() {
        let service = Service::with(&Options {
            devices: 20,
            faults: vec!["tag_case=insensitive_keep_first".to_owned()],
            ..Options::default()
        });
        let device = json!({ "id": "aa00000000000000000000000000000000000001", "computerDnsName": "pc-probe.contoso.com",
            "machineTags": ["Finance"], "deviceValue": "Low", "lastSeen": "2026-11-20T00:00:00Z" });
        service.sandbox.insert(&device).unwrap();
        let first = computer("High");
        let words = ["doctor", "--probe", "pc-probe.contoso.com", "--auto-approve"];
        ran(command(&first, &service, &place, None, &words).output().unwrap()).exits(0);
        let next = computer("High");
        let planned =
            ran(command(&next, &service, &place, None, &["plan", "--format=json"]).output().unwrap())
                .exits(0)
                .json();
        assert_eq!(planned["options"]["tagCase"], "insensitive", "{}: {planned:#}", place.name);
        let again =
            ran(command(&next, &service, &place, None, &["doctor", "--format=json"]).output().unwrap())
                .json();
        let rows: Vec<Value> = again["service"].as_array().unwrap().clone();
        let row = rows.iter().find(|row| row["question"] == "tagCase").unwrap();
        assert_eq!(
            (&row["measured"], &row["counts"]),
            (&json!("insensitive"), &json!(true)),
            "{}",
            place.name
        );
    }
}
