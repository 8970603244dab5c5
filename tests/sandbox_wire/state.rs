//! State that outlives a process, and several processes on one directory. Threads of one test represent processes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mdetag_core::time::Clock;
use mdetag_sandbox::{Disturbed, FleetFile, Options, Request, Route, Sandbox, generate, serve};
use serde_json::{Value, json};

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
    assert!(!second.disturb(5, 9, &[]).unwrap().is_empty());
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
        sandbox.disturb(8, 1, &[]).unwrap();
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
    let done = sandbox.disturb(12, 5, &[]).unwrap();
    assert_eq!(done.len(), 12);
    let changed =
        before.iter().zip(sandbox.devices().unwrap()).filter(|(one, other)| **one != *other).count();
    assert_eq!(changed, 12);
    assert_ne!(sandbox.disturb(12, 6, &[]).unwrap(), done);
}

#[test]
fn disturbances_hit_the_tags_that_a_policy_owns() {
    let sandbox = Sandbox::in_memory(&Options { devices: 2000, ..Options::default() }, clock()).unwrap();
    let done = sandbox.disturb(12, 1, &["Tier0".to_owned()]).unwrap();
    let count = |what: &Disturbed| done.iter().filter(|edit| edit.what == *what).count();
    assert_eq!(done.len(), 12);
    assert_eq!(count(&Disturbed::Removed("Tier0".to_owned())), 3);
    assert_eq!(count(&Disturbed::Added("Tier0".to_owned())), 3);
}

#[test]
fn a_sandbox_can_be_made_of_given_devices_and_reset_to_them() {
    let directory = tempfile::tempdir().unwrap();
    let lines = "{\"kind\":\"snapshot\",\"formatVersion\":\"1.0\"}\n{\"id\":\"a\",\"machineTags\":[\"X\"]}\n\n{\"id\":\"b\"}\n";
    let made = Sandbox::create_from(directory.path(), lines, &Options::default(), clock()).unwrap();
    let first = made.devices().unwrap();
    assert_eq!(first.iter().map(|device| &device["id"]).collect::<Vec<_>>(), ["a", "b"]);
    made.delete(&["a"]).unwrap();
    drop(made);
    let again = Sandbox::open(directory.path(), &Options::default(), clock()).unwrap();
    assert_eq!(again.devices().unwrap().len(), 1);
    again.reset().unwrap();
    assert_eq!(again.devices().unwrap(), first);
    let other = tempfile::tempdir().unwrap();
    let error = Sandbox::create_from(other.path(), "{\"id\":\"a\"}\n{}\n", &Options::default(), clock());
    assert!(error.unwrap_err().to_string().contains("line 2"));
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

#[test]
fn a_simulation_needs_no_socket_and_no_waiting() {
    let clock = clock();
    let faults = vec!["rmw_delay_ms=500".to_owned()];
    let sandbox =
        Sandbox::in_memory(&Options { devices: 0, faults, ..Options::default() }, clock.clone()).unwrap();
    sandbox.insert(&json!({ "id": "a" })).unwrap();
    let known = sandbox.credentials();
    let call = |method: &str, path: &str, kind: &str, token: &str, body: &str| {
        let headers = [("content-type", kind), ("authorization", &format!("Bearer {token}"))];
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.as_bytes().to_vec(),
            ..Request::default()
        };
        sandbox.begin(&request).unwrap()
    };
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https://api.securitycenter.microsoft.com/.default",
        known.client_id, known.client_secret
    );
    let path = format!("/{}/oauth2/v2.0/token", known.tenant_id);
    let answer = sandbox.finish(call("POST", &path, "application/x-www-form-urlencoded", "", &form)).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let token = body["access_token"].as_str().unwrap();
    let write = |tag: &str| {
        let body = json!({ "Value": tag, "Action": "Add", "MachineIds": ["a"] }).to_string();
        let path = "/api/machines/AddOrRemoveTagForMultipleMachines";
        call("POST", path, "application/json", token, &body)
    };
    let (first, second) = (write("One"), write("Two"));
    assert_eq!(first.wait().as_millis(), 500);
    clock.0.fetch_add(5_000_000, Ordering::SeqCst);
    sandbox.finish(first).unwrap();
    sandbox.finish(second).unwrap();
    assert_eq!(sandbox.devices().unwrap()[0]["machineTags"], json!(["Two"]), "one update is lost");
    assert_eq!(sandbox.calls()[2].overlaps, [2]);
}
