//! The real binary on each backend: killed, frozen, and started twice at once, with a service that counts what reached it.
//!
//! No test waits for a lease to end: a proxy shows the next computer a later time of the store.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mdetag_sandbox::{Options, Route};

use super::emulators::{Place, places, stores};
use super::project::{Project, ran};
use super::proxy::Proxy;
use super::service::Service;

/// The longest wait for a process.
const PATIENCE: Duration = Duration::from_secs(120);

/// A short time-out, so that the next holder of a lease need not wait for the last one's calls.
const APPLY: [&str; 4] = ["apply", "--auto-approve", "--request-timeout", "5s"];
const RESUME: [&str; 4] = ["apply", "--resume", "--request-timeout", "5s"];

/// Every device should get a value, with one call each.
fn policy(value: &str) -> String {
    let caps = "guard:\n  caps:\n    devices: { percent: 100, floor: 100000 }\n    values: { percent: 100, floor: 100000 }\n";
    format!(
        "version: 1\nscope: {{ everything: true }}\nrules:\n  - {{ name: all, select: {{ everything: true }}, deviceValue: {value} }}\n{caps}"
    )
}

/// A computer that never saw the state before.
pub(super) fn computer(value: &str) -> Project {
    Project::with_policy(&policy(value))
}

/// A command of it, with the service and the place.
pub(super) fn command(
    computer: &Project,
    service: &Service,
    place: &Place,
    proxy: Option<&Proxy>,
    words: &[&str],
) -> Command {
    let mut command = computer.command(words);
    command.envs(service.secret()).envs(place.environment(proxy.map(|proxy| &*proxy.url)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn proxy(place: &Place) -> Option<Proxy> {
    place.host().map(|host| Proxy::start(&host))
}

/// How many calls set the value of each device.
fn writes(service: &Service) -> BTreeMap<String, usize> {
    let mut writes = BTreeMap::new();
    for call in service.sandbox.calls().iter().filter(|call| call.route == Route::SetValue) {
        *writes.entry(call.path.clone()).or_default() += 1;
    }
    writes
}

fn signal(id: u32, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status();
}

/// Checks until it is true, or the process has ended; returns whether it is.
fn wait_until(child: &mut Child, mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if child.try_wait().unwrap().is_some() {
            return is_so();
        }
        assert!(start.elapsed() < PATIENCE, "it does not come to pass");
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Applies, and kills the process at the `nth` write to its journal. `false` if it ended before.
fn is_killed_at(place: &Place, proxy: Option<&Proxy>, service: &Service, nth: u64) -> bool {
    let computer = computer("High");
    let mut command = command(&computer, service, place, proxy, &APPLY);
    let Some(proxy) = proxy else {
        let mut child = command.spawn().unwrap();
        let state = place.open_of(&service.sandbox.credentials().tenant_id);
        let lines = || {
            let runs = std::fs::read_dir(state.runs()).into_iter().flatten().flatten();
            let journals = runs.filter(|file| file.path().extension().is_some_and(|end| end == "jsonl"));
            journals.map(|file| std::fs::read(file.path()).unwrap_or_default()).next().unwrap_or_default()
        };
        let count = || lines().iter().filter(|byte| **byte == b'\n').count() as u64;
        let is_there = wait_until(&mut child, || count() >= nth);
        let _ = child.kill();
        child.wait().unwrap();
        return is_there && !lines().windows(11).any(|word| word == b"\"finished\"" as &[u8]);
    };
    let (id, seen, killed) = (Arc::new(AtomicU32::new(0)), AtomicU64::new(0), Arc::new(AtomicU32::new(0)));
    let (victim, counted) = (id.clone(), killed.clone());
    proxy.watch(move |method, path| {
        if method == "PUT" && path.contains("/runs/") && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            while victim.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            counted.store(1, Ordering::SeqCst);
            signal(victim.load(Ordering::SeqCst), "KILL");
        }
    });
    let child = command.spawn().unwrap();
    id.store(child.id(), Ordering::SeqCst);
    let ended = child.wait_with_output().unwrap();
    proxy.watch(|_, _| {});
    let is_killed = killed.load(Ordering::SeqCst) == 1;
    assert!(is_killed || ended.status.success(), "{ended:?}");
    is_killed
}

#[test]
fn a_process_killed_at_any_entry_is_gone_on_with_by_another_computer_and_every_change_is_made_once() {
    // Set the variable to test more points, up to every write.
    let step = std::env::var("MDETAG_KILL_STEP").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    for name in places().iter().map(|place| place.name) {
        let mut nth = 1;
        loop {
            let place = places().into_iter().find(|place| place.name == name).unwrap();
            let (proxy, service) = (proxy(&place), Service::start(&[]));
            if !is_killed_at(&place, proxy.as_ref(), &service, nth) {
                assert!(nth > 5, "{name}: the run was killed at its first entries at least");
                break;
            }
            let before = writes(&service).len();
            // Its lease expires.
            proxy.iter().for_each(|proxy| proxy.move_clock(70));
            let next = computer("High");
            let resumed = ran(command(&next, &service, &place, proxy.as_ref(), &RESUME).output().unwrap());
            // If it died before its first entry, there is no run yet.
            let is_none = resumed.code == 1 && resumed.err.contains("there is no run to resume in");
            assert!(resumed.code == 0 || is_none && before == 0, "{name} {nth}: {resumed:?}");
            ran(command(&next, &service, &place, proxy.as_ref(), &APPLY).output().unwrap()).exits(0);
            let writes = writes(&service);
            assert_eq!(writes.len(), 20, "{name} {nth}");
            assert!(writes.values().all(|calls| *calls == 1), "{name} {nth}: {before} before, {writes:?}");
            println!("{name}: killed at write {nth}, {before} of 20 calls before, each once");
            nth += step;
        }
    }
}

/// Holds the `nth` write to the journal until it is released: the first end reports its arrival, the other releases it.
fn hold_at(proxy: &Proxy, nth: u64) -> (Receiver<()>, Sender<()>) {
    let ((reached, comes), (release, held)) = (channel(), channel());
    let (held, seen) = (Mutex::new(held), AtomicU64::new(0));
    proxy.watch(move |method, path| {
        if method == "PUT" && path.contains("/runs/") && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            let _ = reached.send(());
            let _ = held.lock().unwrap().recv_timeout(PATIENCE);
        }
    });
    (comes, release)
}

#[test]
fn a_frozen_holder_that_wakes_after_another_took_over_writes_nothing_more() {
    for place in stores() {
        let (frozen_proxy, next_proxy) = (proxy(&place).unwrap(), proxy(&place).unwrap());
        let (service, frozen, next) = (Service::start(&[]), computer("High"), computer("High"));
        // Its first intents are on their way to the store, after the plan and the header.
        let (comes, wake) = hold_at(&frozen_proxy, 3);
        let child = command(&frozen, &service, &place, Some(&frozen_proxy), &APPLY).spawn().unwrap();
        comes.recv_timeout(PATIENCE).expect("it comes to its first intents");
        signal(child.id(), "STOP");

        // For the next one more than a minute has passed. It is in the middle of the work, with nothing sent, when the first
        // wakes up.
        next_proxy.move_clock(70);
        let (comes, go_on) = hold_at(&next_proxy, 2);
        let taking_over = command(&next, &service, &place, Some(&next_proxy), &RESUME).spawn().unwrap();
        comes.recv_timeout(PATIENCE).expect("it takes over");
        let before = service.writes();
        signal(child.id(), "CONT");
        wake.send(()).unwrap();
        let woken = ran(child.wait_with_output().unwrap()).exits(5);
        assert_eq!(service.writes(), before, "{}: it wrote after it had lost its lease", place.name);
        assert!(format!("{}{}", woken.out, woken.err).contains("lease"), "{woken:?}");
        woken.is_for_people();

        go_on.send(()).unwrap();
        ran(taking_over.wait_with_output().unwrap()).exits(0);
        let writes = writes(&service);
        assert!(writes.len() == 20 && writes.values().all(|calls| *calls == 1), "{}: {writes:?}", place.name);
    }
}

#[test]
fn of_two_processes_that_start_at_once_one_writes() {
    let rounds = std::env::var("MDETAG_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    for place in places() {
        let service = Service::start(&[]);
        for round in 1..=rounds {
            let value = if round % 2 == 0 { "Low" } else { "High" };
            let computers = [computer(value), computer(value)];
            let mut commands =
                computers.iter().map(|computer| command(computer, &service, &place, None, &APPLY));
            let children: Vec<Child> =
                commands.by_ref().map(|mut command| command.spawn().unwrap()).collect();
            let ended: Vec<_> =
                children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect();
            assert!(ended.iter().any(|ran| ran.code == 0), "{} {round}: {ended:?}", place.name);
            for ran in ended.iter().filter(|ran| ran.code != 0) {
                assert!(
                    ran.code == 1 && ran.err.contains("another apply"),
                    "{} {round}: {ran:?}",
                    place.name
                );
            }
            let writes = writes(&service);
            assert!(
                writes.len() == 20 && writes.values().all(|calls| *calls == round),
                "{} {round}: {writes:?}",
                place.name
            );
        }
    }
}

#[test]
fn doctor_says_where_the_state_lies_and_whether_it_can_be_used() {
    for place in stores() {
        let (service, computer) = (Service::start(&[]), computer("High"));
        let doctor = |environment: &[(&str, &str)]| {
            let mut command = command(&computer, &service, &place, None, &["doctor", "--format", "json"]);
            ran(command.envs(environment.iter().copied()).output().unwrap())
        };
        let check = |ran: &super::project::Ran, name: &str| {
            let checks = ran.json()["checks"].clone();
            checks.as_array().unwrap().iter().find(|check| check["check"] == name).cloned().unwrap()
        };
        let fit = doctor(&[]).exits(0);
        assert_eq!(check(&fit, "state")["found"], place.address().to_string());
        assert!(check(&fit, "store")["found"].as_str().unwrap().contains("keeps to the conditions"));
        assert_eq!(check(&fit, "store clock")["ok"], true);
        let elsewhere = place.address().to_string().replace("state-", "gone-");
        let missing = doctor(&[("MDETAG_STATE", &elsewhere)]).exits(1);
        let store = check(&missing, "store");
        assert_eq!(store["ok"], false, "{store}");
        assert!(store["found"].as_str().unwrap().starts_with("there is no "), "{store}");
        missing.is_for_people();
    }
}

#[test]
fn an_apply_of_three_hundred_calls_asks_little_of_the_store() {
    // At speed 1 it takes two minutes, because of a tenant's limits.
    let speed = std::env::var("MDETAG_SPEED").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    std::thread::scope(|scope| {
        for place in places() {
            scope.spawn(move || apply_three_hundred(&place, speed));
        }
    });
}

#[expect(clippy::print_stdout, reason = "its figures are for whoever wants to know")]
fn apply_three_hundred(place: &Place, speed: u32) {
    let proxy = proxy(place);
    let service = Service::with(&Options { devices: 300, speed, ..Options::default() });
    let computer = computer("High");
    computer.write("mdetag.yaml", &format!("version: 1\nbudget: {{ timeScale: {speed} }}\n"));
    let start = Instant::now();
    ran(command(&computer, &service, place, proxy.as_ref(), &APPLY).output().unwrap()).exits(0);
    let took = start.elapsed();
    let calls = writes(&service).len();
    assert!(calls > 290, "{}: some have the value already", place.name);
    println!("{}: {calls} calls in {took:?}", place.name);
    let Some(proxy) = proxy else { return };
    let (passed, routes) = proxy.passed();
    println!("{}: {passed:?}, {routes:?}", place.name);
    // One for each batch of intents or of outcomes, and some for the rest.
    assert!(passed.requests < 700, "{}: {passed:?}, {routes:?}", place.name);
    assert!(passed.sent < 1_500_000 && passed.received < 1_500_000, "{}: {passed:?}", place.name);
}
