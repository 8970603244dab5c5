//! Import finds the rules behind tags: on fleets whose tags follow rules with a few exceptions, and on the sandbox's. The plan of
//! its set has no changes.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::planning::{self, PolicySet};
use mdetag_core::diagnostic::{Source, Sources};
use mdetag_core::import::{ImportOptions, Imported, import};
use mdetag_core::inventory::{Snapshot, SnapshotBuilder};
use mdetag_core::plan::PolicyReference;
use mdetag_core::policy;
use mdetag_core::random::SeededNumbers;
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;
use mdetag_sandbox::{FleetFile, generate};
use serde_json::{Value, json};

fn now() -> Timestamp {
    Timestamp::parse("2026-11-24T12:00:00Z").unwrap()
}

fn snapshot(devices: &[Value]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    for device in devices {
        builder.read_device(device.to_string().as_bytes()).unwrap();
    }
    builder.finish().0
}

/// The changes that the imported set plans on the devices that it was made from.
fn changes(imported: &Imported, snapshot: Snapshot) -> usize {
    let mut sources = Sources::default();
    for file in &imported.files {
        match file.path.ends_with(".yaml") {
            true => sources.files.push(Source::new(&*file.path, 0, &*file.path, &*file.text)),
            false => drop(sources.data.insert((0, file.path.clone()), Ok(Arc::from(file.text.as_bytes())))),
        }
    }
    let (policy, findings) = policy::resolve(&sources, TagCase::Exact, now());
    assert!(!planning::has_errors(&findings), "{findings:?}\n{}", imported.files[0].text);
    let set = PolicySet { sources, policy, findings, reference: PolicyReference::default() };
    planning::first_plan(&set, snapshot, now()).plan().changes.len()
}

/// A company: sites and departments in names, domains, platforms, subscriptions.
fn company(numbers: &mut SeededNumbers, devices: u64) -> Vec<Value> {
    fn pick<'a>(numbers: &mut SeededNumbers, words: &[&'a str]) -> &'a str {
        words[numbers.below(words.len() as u64) as usize]
    }
    let device = |number: u64| {
        let is_server = numbers.below(10) < 4;
        let site = pick(numbers, &["ber", "nyc", "tok"]);
        let (name, platform) = if is_server {
            let role = pick(numbers, &["dc", "sql", "web", "k8s"]);
            let platforms = ["WindowsServer2019", "WindowsServer2022", "Ubuntu", "Debian"];
            (format!("{role}{number:04}"), pick(numbers, &platforms))
        } else {
            let department = pick(numbers, &["fin", "hr", "eng", "ops"]);
            (format!("{site}-{department}-{number:04}"), pick(numbers, &["Windows10", "Windows11", "macOS"]))
        };
        let domain = pick(
            numbers,
            &["corp.example.com", "emea.corp.example.com", "Lab.Example.net", "lab.example.net"],
        );
        let subscription = format!("0000000{}-0000-4000-8000-000000000000", numbers.below(4));
        let azure = is_server.then(|| json!({ "subscriptionId": subscription, "cloudProvider": "Azure" }));
        json!({
            "id": format!("{number:040x}"), "computerDnsName": format!("{name}.{domain}"), "osPlatform": platform,
            "vmMetadata": azure, "machineTags": [], "deviceValue": "Normal", "lastSeen": "2026-11-24T00:00:00Z",
            "onboardingStatus": "Onboarded", "healthStatus": pick(numbers, &["Active", "Inactive"]),
            "lastIpAddress": format!("10.{}.{}.{}", numbers.below(4), numbers.below(200), number % 250),
        })
    };
    (0..devices).map(device).collect()
}

type RoundTripCheck = (&'static str, fn(&Value) -> bool);

fn text<'a>(device: &'a Value, field: &str) -> &'a str {
    device[field].as_str().unwrap_or_default()
}

fn domain(device: &Value) -> String {
    text(device, "computerDnsName")
        .split_once('.')
        .map(|(_, domain)| domain.to_lowercase())
        .unwrap_or_default()
}

fn is_named(device: &Value, beginning: &str) -> bool {
    text(device, "computerDnsName").to_lowercase().starts_with(beginning)
}

/// The rule behind each tag.
const LAWS: &[RoundTripCheck] = &[
    ("emea", |device| domain(device) == "emea.corp.example.com"),
    ("lab", |device| domain(device) == "lab.example.net"),
    ("os/server", |device| text(device, "osPlatform").starts_with("WindowsServer")),
    ("os/mac", |device| text(device, "osPlatform") == "macOS"),
    ("os/linux", |device| ["Ubuntu", "Debian"].contains(&text(device, "osPlatform"))),
    ("Tier0", |device| text(device, "computerDnsName").starts_with("dc")),
    ("cluster", |device| text(device, "computerDnsName").starts_with("k8s")),
    ("dept:fin", |device| text(device, "computerDnsName").contains("-fin-")),
    ("dept:hr", |device| text(device, "computerDnsName").contains("-hr-")),
    ("Berlin", |device| text(device, "computerDnsName").starts_with("ber-")),
    ("sub/1", |device| text(&device["vmMetadata"], "subscriptionId").starts_with("00000001")),
    ("data", |device| {
        let name = text(device, "computerDnsName");
        name.starts_with("sql") || name.starts_with("web")
    }),
    ("lab-clients", |device| {
        text(device, "osPlatform") == "Windows11" && domain(device) == "lab.example.net"
    }),
];

/// Gives the tags, then makes two exceptions per hundred devices: some lose the tag, others get it. Returns the number of
/// exceptions for each tag.
fn tagged(numbers: &mut SeededNumbers, devices: &mut [Value], laws: &[RoundTripCheck]) -> Vec<usize> {
    let mut exceptions = Vec::new();
    for (tag, holds) in laws {
        let (mut with, mut without): (Vec<usize>, Vec<usize>) =
            (0..devices.len()).partition(|row| holds(&devices[*row]));
        let wrong = with.len() / 50;
        for _ in 0..wrong {
            let lost = with.swap_remove(numbers.below(with.len() as u64) as usize);
            let gained = without.swap_remove(numbers.below(without.len() as u64) as usize);
            with.push(gained);
            without.push(lost);
        }
        for row in &with {
            devices[*row]["machineTags"].as_array_mut().unwrap().push(json!(tag));
        }
        exceptions.push(wrong);
    }
    exceptions
}

#[test]
fn rules_that_people_followed_are_found_with_their_exceptions() {
    let (mut found, mut all) = (0, 0);
    for seed in 1..=20 {
        let mut numbers = SeededNumbers::new(seed);
        let mut devices = company(&mut numbers, 600);
        all += LAWS.len();
        found += found_again(&mut numbers, &mut devices, LAWS);
    }
    println!("{found} of {all} rules found");
    assert!(found * 100 >= all * 80, "{found} of {all}");
}

/// Tags the devices by the rules, with exceptions. Returns how many of the rules import finds with no more exceptions than there are.
fn found_again(numbers: &mut SeededNumbers, devices: &mut [Value], laws: &[RoundTripCheck]) -> usize {
    let exceptions = tagged(numbers, devices, laws);
    let snapshot = snapshot(devices);
    let imported = import(&snapshot, &ImportOptions { fit: 0.95, ..ImportOptions::default() });
    let mut found = 0;
    for ((tag, _), wrong) in laws.iter().zip(exceptions) {
        let gives = mdetag_core::import::RuleOutput::Tag((*tag).to_owned());
        let rule = imported.rules.iter().find(|rule| rule.gives == gives).unwrap();
        let listed = rule.without.len().max(rule.besides.len());
        if rule.is_selected && listed <= wrong {
            found += 1;
        } else {
            println!("{tag}: {rule:?}, {wrong} exceptions");
        }
    }
    assert_eq!(changes(&imported, snapshot), 0, "{}", imported.files[0].text);
    found
}

/// Rules that people could have followed on the fleet of the sandbox, which itself draws most of its tags at random.
const SANDBOX_LAWS: &[RoundTripCheck] = &[
    ("emea", |device| domain(device) == "emea.corp.example.com"),
    ("lab", |device| domain(device) == "lab.example.net"),
    ("os/server", |device| text(device, "osPlatform").starts_with("WindowsServer")),
    ("os/mac", |device| text(device, "osPlatform") == "macOS"),
    ("os/linux", |device| {
        ["Ubuntu", "RedHatEnterpriseLinux", "CentOS", "Debian", "SLES"].contains(&text(device, "osPlatform"))
    }),
    ("databases", |device| is_named(device, "sql")),
    ("cluster", |device| is_named(device, "k8s-node-")),
    ("dept:fin", |device| is_named(device, "fin-")),
    ("dept:hr", |device| is_named(device, "hr-")),
    ("dept:eng", |device| is_named(device, "eng-")),
    ("phones", |device| is_named(device, "phone-")),
    ("emea-servers", |device| {
        text(device, "osPlatform").starts_with("WindowsServer") && domain(device) == "emea.corp.example.com"
    }),
];

#[test]
fn rules_that_people_followed_on_the_sandboxs_fleet_are_found() {
    let (mut found, mut all) = (0, 0);
    for seed in 1..=5 {
        let mut lines = Vec::new();
        generate(&mut lines, &FleetFile { devices: 2_000, seed, created: now(), header: false }).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        let mut devices: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for device in &mut devices {
            device["machineTags"] = json!([]);
        }
        all += SANDBOX_LAWS.len();
        found += found_again(&mut SeededNumbers::new(seed), &mut devices, SANDBOX_LAWS);
    }
    println!("{found} of {all} rules found on the fleet of the sandbox");
    assert!(found * 100 >= all * 80, "{found} of {all}");
}

#[test]
fn the_sandboxs_fleet_plans_to_zero_changes_at_every_fit() {
    let mut lines = Vec::new();
    generate(&mut lines, &FleetFile { devices: 2_000, seed: 1, created: now(), header: false }).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let devices: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for fit in [1.0, 0.9, 0.6] {
        let snapshot = snapshot(&devices);
        let imported = import(&snapshot, &ImportOptions { fit, ..ImportOptions::default() });
        let selected = imported.rules.iter().filter(|rule| rule.is_selected).count();
        println!("fit {fit}: {selected} of {} rules have selectors", imported.rules.len());
        assert!(imported.files.len() <= 2, "one list for all");
        assert_eq!(changes(&imported, snapshot), 0, "fit {fit}");
    }
}
