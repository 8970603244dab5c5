//! A small simulated tenant of plain devices, read and edited as a person in the portal would.
//!
//! Serves nothing itself: the binary does while it runs, and the test is then its guest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mdetag_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::project::Project;
use crate::wall_clock::WallClock;

/// Nothing in these tests takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Caps that never apply, because the tests are about calls.
pub(crate) const LOOSE: &str = "guard:\n  caps:\n    devices: { percent: 100, floor: 100000 }\n    additions: { percent: 100, floor: 100000 }\n    \
     removals: { percent: 100, floor: 100000 }\n    removalsPerTag: { percent: 100, floor: 100000 }\n    \
     values: { percent: 100, floor: 100000 }\n";

/// One rule for every device.
pub(crate) fn policy(claims: &str, rule: &str) -> String {
    format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [{claims}]\nrules:\n  - name: all\n    select: {{ everything: true }}\n    {rule}\n{LOOSE}"
    )
}

/// The id of the device of this number.
pub(crate) fn id(number: usize) -> String {
    format!("{number:040x}")
}

/// The relevant state of a device: its tags in order of their text, and its value.
pub(crate) type State = (Vec<String>, String);

impl Project {
    /// Makes the tenant with so many devices, each with the tag `Own` and the value `Normal`.
    pub(crate) fn devices(&self, count: usize) {
        let options = Options { devices: 0, ..Options::default() };
        let sandbox =
            Sandbox::create(&self.sandbox_folder(), &options, Arc::new(WallClock)).expect("a sandbox");
        let devices: Vec<Value> = (0..count).map(|number| device(number, json!(["Own"]))).collect();
        sandbox.insert(&json!(devices)).expect("devices");
    }

    /// A handle for one edit: as the owner, or as the guest of a running binary.
    pub(crate) fn portal<T>(&self, edit: impl FnOnce(&Sandbox) -> T) -> T {
        let options = Options::default();
        let sandbox =
            Sandbox::open(&self.sandbox_folder(), &options, Arc::new(WallClock)).expect("a sandbox");
        edit(&sandbox)
    }

    /// The true state of every device.
    pub(crate) fn fleet(&self) -> BTreeMap<String, State> {
        let devices = self.portal(|sandbox| sandbox.devices().expect("devices"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = |device: &Value| {
            let mut tags: Vec<String> =
                device["machineTags"].as_array().into_iter().flatten().map(text).collect();
            tags.sort();
            (text(&device["id"]), (tags, text(&device["deviceValue"])))
        };
        devices.iter().map(state).collect()
    }

    fn sandbox_folder(&self) -> PathBuf {
        self.path().join(".mdetag/sandboxes/default")
    }

    /// The journals of the tenant, the oldest first.
    pub(crate) fn journals(&self) -> Vec<PathBuf> {
        let tenants = std::fs::read_dir(self.path().join(".mdetag/sandbox/default")).into_iter().flatten();
        let runs = tenants.flatten().flat_map(|tenant| std::fs::read_dir(tenant.path().join("runs")));
        let files = runs.flatten().flatten().map(|file| file.path());
        let mut journals: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect();
        journals.sort();
        journals
    }

    /// Whether a call of this lane used the budget.
    pub(crate) fn has_budget_of(&self, lane: &str) -> bool {
        let below = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
        let tenants = below(self.path().join(".mdetag/sandbox/default"));
        let mut budgets = tenants.flat_map(|tenant| below(tenant.path().join("ledger")));
        budgets.any(|budget| budget.path().join(format!("{lane}.ledger")).exists())
    }

    /// The whole lines of the newest journal.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let Some(path) = self.journals().pop() else { return Vec::new() };
        let text = std::fs::read_to_string(path).expect("a journal");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Starts the binary, to be watched.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let mut command: Command = self.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    /// Waits until the newest journal has so many lines, or the process has ended.
    pub(crate) fn wait_for_lines(&self, child: &mut Child, lines: usize) {
        wait_until(child, || {
            let Some(path) = self.journals().pop() else { return false };
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes.iter().filter(|byte| **byte == b'\n').count() >= lines
        });
    }
}

/// A device of the API.
pub(crate) fn device(number: usize, tags: Value) -> Value {
    json!({
        "id": id(number), "computerDnsName": format!("d{number}.example.com"), "osPlatform": "Windows11",
        "machineTags": tags, "deviceValue": "Normal", "lastSeen": "2026-11-20T00:00:00Z",
    })
}

/// Checks every millisecond until it is true, or the process has ended.
#[track_caller]
pub(crate) fn wait_until(child: &mut Child, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() && child.try_wait().expect("a child").is_none() {
        assert!(start.elapsed() < PATIENCE, "it does not come to pass");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal by name. Windows has none; Wine shows what Ctrl-C does there.
#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("`kill` is there").success());
}
