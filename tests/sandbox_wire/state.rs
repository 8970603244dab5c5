//! What outlives a process, and several processes on one directory. Threads of one test stand for processes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mdetag::sandbox::{FleetFile, Options, Route, Sandbox, generate, serve};
use mdetag::time::Clock;
use serde_json::Value;

use super::client::{Client, Hand, clock, http, loopback};

fn open(directory: &Path, clock: Arc<Hand>) -> Sandbox {
    Sandbox::open(directory, &Options { devices: 30, ..Options::default() }, clock).unwrap()
}

#[tokio::test]
async fn state_windows_and_calls_survive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let id;
    {
        let sandbox = open(directory.path(), clock.clone());
        let running = serve(&sandbox, loopback()).await.unwrap();
        let client = Client::new(&running, &sandbox).await;
        id = sandbox.devices().unwrap()[0]["id"].as_str().unwrap().to_owned();
        for _ in 0..100 {
            assert_eq!(client.bulk("Kept", "Add", &[&id]).await.status, 200);
        }
        running.stop().await;
    }
    let sandbox = open(directory.path(), clock.clone());
    let running = serve(&sandbox, loopback()).await.unwrap();
    let client = Client::new(&running, &sandbox).await;
    assert!(client.tags(&id).await.contains(&"Kept".to_owned()));
    assert_eq!(client.bulk("Kept", "Add", &[&id]).await.status, 429);
    clock.0.fetch_add(60 * 10_000_000, Ordering::SeqCst);
    assert_eq!(client.bulk("Kept", "Add", &[&id]).await.status, 200);
    let log = std::fs::read_to_string(directory.path().join("calls.ndjson")).unwrap();
    assert!(log.lines().count() > 103);
    assert!(!log.contains(&client.credentials.client_secret) && !log.contains(&client.token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_opener_is_a_guest_until_the_first_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), clock());
    let running = serve(&first, loopback()).await.unwrap();
    let second = open(directory.path(), clock());
    assert!(second.is_guest());
    let guest = serve(&second, loopback()).await.unwrap();
    let client = Client::new(&guest, &second).await;
    let id = second.devices().unwrap()[3]["id"].as_str().unwrap().to_owned();
    client.bulk("Through", "Add", &[&id]).await;
    assert!(first.calls().iter().any(|call| call.route == Route::BulkTag));
    assert!(!second.disturb(5, 9).unwrap().is_empty());
    let faults = Options { faults: vec!["slow=always".to_owned()], ..Options::default() };
    assert!(Sandbox::open(directory.path(), &faults, clock()).is_err());
    first.set("slow", "token:9").unwrap();
    let same = Options { faults: vec!["slow=token:9".to_owned()], ..Options::default() };
    assert!(Sandbox::open(directory.path(), &same, clock()).is_ok(), "as the owner has it");
    running.stop().await;
    drop(first);
    let client = Client { http: http(), ..client };
    assert!(client.tags(&id).await.contains(&"Through".to_owned()), "the guest has taken over");
    assert!(!second.is_guest());
}

#[tokio::test]
async fn a_torn_last_edit_is_forgotten_and_a_foreign_file_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = {
        let sandbox = open(directory.path(), clock());
        let before = sandbox.devices().unwrap();
        sandbox.disturb(8, 1).unwrap();
        (before, sandbox.devices().unwrap())
    };
    assert_ne!(before, after);
    let edits = directory.path().join("edits.ndjson");
    let whole = std::fs::read(&edits).unwrap();
    std::fs::write(&edits, [&whole[..], b"{\"at\":1,\"op\":\"add\",\"ta"].concat()).unwrap();
    assert_eq!(open(directory.path(), clock()).devices().unwrap(), after);
    assert_eq!(std::fs::read(&edits).unwrap(), whole);
    std::fs::write(&edits, b"hello\n").unwrap();
    let options = Options::default();
    let error = Sandbox::open(directory.path(), &options, clock()).unwrap_err();
    assert!(error.to_string().contains("remove the directory"), "{error}");
    assert!(Sandbox::create(directory.path(), &options, clock()).is_err(), "there is one already");
}

#[tokio::test]
async fn disturbances_are_seen_by_the_next_read_and_differ_by_seed() {
    let sandbox = Sandbox::in_memory(&Options { devices: 200, ..Options::default() }, clock()).unwrap();
    let before = sandbox.devices().unwrap();
    let done = sandbox.disturb(12, 5).unwrap();
    assert_eq!(done.len(), 12);
    let changed =
        before.iter().zip(sandbox.devices().unwrap()).filter(|(one, other)| **one != *other).count();
    assert_eq!(changed, 12);
    assert_ne!(sandbox.disturb(12, 6).unwrap(), done);
}

#[tokio::test]
async fn a_sandbox_serves_no_other_address_than_loopback() {
    let sandbox = Sandbox::in_memory(&Options { devices: 1, ..Options::default() }, clock()).unwrap();
    assert!(serve(&sandbox, SocketAddr::from(([0, 0, 0, 0], 0))).await.is_err());
}

#[test]
fn a_generated_file_holds_the_devices_that_the_sandbox_serves() {
    let created = clock().now();
    let mut file = Vec::new();
    generate(&mut file, &FleetFile { devices: 40, seed: 1, created, header: false }).unwrap();
    let lines = String::from_utf8(file).unwrap();
    let sandbox = Sandbox::in_memory(&Options { devices: 40, ..Options::default() }, clock()).unwrap();
    let served = sandbox.devices().unwrap();
    let written: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written, served);
}
