//! A probe of the simulated service: each verdict matches its switch, in combinations of all switches that a probe can tell
//! apart, and the device is restored. Time is the sandbox's: nothing sleeps.

#![allow(clippy::unwrap_used)]

#[path = "support/unmetered.rs"]
mod unmetered;
#[path = "support/wall_clock.rs"]
mod wall_clock;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mdetag::tenant::{
    ConnectOptions, Endpoints, IdentityOptions, Overrides, ProbeWatch, Prober, choose, sign_in_to_write,
};
use mdetag_core::cloud::Cloud;
use mdetag_core::probe::scratch::ScratchTags;
use mdetag_core::probe::{
    Answer, Interrupted, Leftover, MAX_CALLS, Measured, ProbeCall, ProbedDevice, clean_up, measure,
};
use mdetag_sandbox::{Options, Running, Sandbox, serve};
use serde_json::{Value, json};
use unmetered::Unmetered;
use wall_clock::WallClock;

const DEVICE: &str = "aa00000000000000000000000000000000000001";
const UNKNOWN: &str = "ffffffffffffffffffffffffffffffffffffffff";

/// Each switch with its values, and those of the paging of 21 devices.
const SWITCHES: [(&str, &[&str]); 17] = [
    ("tag_case", &["sensitive", "insensitive_keep_first"]),
    ("trim", &["off", "on"]),
    ("long_tag", &["accept", "400", "cut"]),
    ("bulk_unknown", &["reject_all", "reject_opaque", "partial"]),
    ("bulk_body", &["full", "empty", "204"]),
    ("patch", &["replace", "append", "legacy_400"]),
    ("patch_loses", &["off", "off", "value", "list"]),
    (
        "bulk_route",
        &["works", "works", "works", "works", "works", "works", "works", "missing", "missing_405"],
    ),
    ("bulk_forbidden", &["off", "off", "off", "off", "off", "off", "off", "on"]),
    ("value_forbidden", &["off", "off", "off", "share:1.0"]),
    ("throttled", &["off", "throttle", "throttle_silent", "throttle_garbled"]),
    ("throttle_body", &["2021", "2022", "documented"]),
    ("paging", &["skip_only", "hard_cap", "nextlink", "nextlink_global_host"]),
    ("nextlink_with_top", &["off", "on"]),
    ("page", &["7", "10000"]),
    ("odata_strict", &["long", "doc_short"]),
    ("visible_after_s", &["0", "10", "400"]),
];

/// Moves the sandbox's clock instead of waiting.
struct Hand<'a>(&'a Sandbox);

impl ProbeWatch for Hand<'_> {
    fn before(&mut self, _: &ProbeCall) -> Result<(), Interrupted> {
        Ok(())
    }

    fn after(&mut self, _: &ProbeCall, _: &Answer) -> Result<(), Interrupted> {
        Ok(())
    }

    async fn pause(&mut self, wait: Duration) -> Result<(), Interrupted> {
        self.0.advance(wait).map_err(Interrupted)
    }
}

async fn service() -> (Sandbox, Running, Prober) {
    let faults = ["limit_minute=1000000", "limit_hour=1000000"].map(str::to_owned).into();
    let options = Options { devices: 20, faults, ..Options::default() };
    let sandbox = Sandbox::in_memory(&options, Arc::new(WallClock)).unwrap();
    let device = json!({ "id": DEVICE, "machineTags": ["Finance", "EU"], "deviceValue": "Low" });
    sandbox.insert(&device).unwrap();
    let running = serve(&sandbox, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let endpoints = Endpoints::new(Cloud::Public, None, &Overrides::local(&running.url()), &[]).unwrap();
    let known = sandbox.credentials();
    let look = |name: &str| match name {
        "AZURE_TENANT_ID" => Some(known.tenant_id.clone()),
        "AZURE_CLIENT_ID" => Some(known.client_id.clone()),
        "AZURE_CLIENT_SECRET" => Some(known.client_secret.clone()),
        _ => None,
    };
    let credential = choose(&IdentityOptions::default(), &look).unwrap();
    let options = ConnectOptions::new(endpoints, credential, Arc::new(WallClock));
    let (_, prober) = sign_in_to_write(options).await.unwrap().split_to_probe();
    (sandbox, running, prober)
}

fn state(sandbox: &Sandbox) -> Vec<Value> {
    let mut devices = sandbox.devices().unwrap();
    for device in &mut devices {
        if let Some(tags) = device["machineTags"].as_array_mut() {
            tags.sort_by_key(|tag| tag.as_str().unwrap().to_owned());
        }
    }
    devices
}

/// The verdicts for these switches.
fn expected(switch: impl Fn(&str) -> &'static str) -> Vec<(&'static str, &'static str)> {
    let is = |name, value| switch(name) == value;
    let pick = |yes: bool, then: &'static str, other: &'static str| if yes { then } else { other };
    let is_missing = !is("bulk_route", "works");
    let takes_bulk = !is_missing && is("bulk_forbidden", "off");
    let takes_value = is("value_forbidden", "off");
    // If no bulk call is accepted, nothing can be known about bulk calls.
    let by_bulk = |verdict: &'static str| if takes_bulk { verdict } else { "notMeasured" };
    // What happened to a tag is seen in the answer to adding it or to setting the value; a read shows it only if reads do not
    // lag.
    let shows_tags = is("bulk_body", "full") || takes_value || is("visible_after_s", "0");
    let by_look = |verdict: &'static str| if shows_tags { by_bulk(verdict) } else { "notMeasured" };
    let bulk_answer = match (is_missing, takes_bulk) {
        (true, _) => "refused",
        (false, true) => pick(is("bulk_body", "full"), "device", "empty"),
        // A 403 may be about the device or the role.
        (false, false) => "notMeasured",
    };
    let longer = match switch("long_tag") {
        "accept" => "accepted",
        "cut" => "cut",
        _ => "refused",
    };
    let unknown = match switch("bulk_unknown") {
        "reject_all" => "refusedNamed",
        "reject_opaque" => "refusedUnnamed",
        _ => "partial",
    };
    let patched = match (switch("patch"), switch("patch_loses")) {
        ("replace", "list") => "losesTags",
        ("replace", _) => "replaces",
        ("append", _) => "appends",
        _ => "refused",
    };
    let loses_value = is("patch_loses", "value");
    let throttle = match switch("throttled") {
        "off" => "notMeasured",
        "throttle" => "withRetryAfter",
        _ => "withoutRetryAfter",
    };
    let mut all = vec![
        ("tagCase", by_look(pick(is("tag_case", "sensitive"), "sensitive", "insensitive"))),
        ("tagBlanks", by_look(pick(is("trim", "on"), "trimmed", "kept"))),
        ("tagLength", by_look("accepted")),
        ("longerTag", if is("long_tag", "400") { by_bulk(longer) } else { by_look(longer) }),
        ("bulkAnswer", bulk_answer),
        ("singleAnswer", by_bulk("device")),
        ("duplicateIds", by_bulk("accepted")),
        ("unknownId", by_bulk(unknown)),
        ("removeAbsent", by_bulk("accepted")),
        ("emptyIds", by_bulk("refused")),
        ("valueAnswer", pick(takes_value, "device", "notMeasured")),
        // Without bulk calls, tags that a PATCH loses could not be put back.
        (
            "patchValue",
            pick(takes_value && takes_bulk, pick(loses_value, "losesTags", "keepsTags"), "notMeasured"),
        ),
        ("patchTags", pick(takes_value && takes_bulk, patched, "notMeasured")),
        ("filterLastSeen", "accepted"),
        ("filterHealthStatus", "accepted"),
        ("filterOnboardingStatus", "accepted"),
        ("filterRbacGroupId", "accepted"),
        ("filterId", pick(is("odata_strict", "long"), "accepted", "refused")),
        ("listLag", by_bulk(pick(is("visible_after_s", "400"), "atLeast", "measured"))),
        ("throttle", throttle),
    ];
    // With 21 devices, a page of 7 without a link is a whole tenant.
    if is("page", "7") && !is("paging", "hard_cap") {
        let links = is("paging", "nextlink") || is("paging", "nextlink_global_host");
        all.push(("pageSize", "measured"));
        all.push(("skipBeyondPage", "goesOn"));
        all.push(("linkWithoutTop", pick(links, "present", "absent")));
        all.push(("linkWithTop", pick(links && is("nextlink_with_top", "on"), "present", "absent")));
    } else {
        all.push(("pageSize", "atLeast"));
        all.push(("linkWithTop", "notMeasured"));
    }
    all
}

/// A switch of this test: `throttled` stands for the faults that answer the third list call with a 429.
fn turn(sandbox: &Sandbox, name: &str, value: &str) {
    match (name, value) {
        ("throttled", "off") => {}
        ("throttled", fault) => sandbox.set(fault, "list:3").unwrap(),
        _ => sandbox.set(name, value).unwrap(),
    }
}

fn verdict<'m>(measured: &'m Measured, question: &str) -> &'m str {
    let found = measured.profile.findings.iter().find(|finding| finding.question == question);
    found.map_or("", |finding| finding.verdict.as_str())
}

#[tokio::test]
async fn each_verdict_is_what_the_switch_says_in_a_hundred_combinations() {
    let mut random: u64 = 7;
    let (mut least, mut most, mut told) = (usize::MAX, 0, std::collections::BTreeSet::new());
    for number in 0..100 {
        let (sandbox, running, prober) = service().await;
        let mut chosen = Vec::new();
        for (name, values) in SWITCHES {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = values[(random >> 33) as usize % values.len()];
            turn(&sandbox, name, value);
            chosen.push((name, value));
        }
        let before = state(&sandbox);
        let manual = Some(vec!["Finance".into(), "EU".into()]);
        let device = ProbedDevice { id: DEVICE.into(), unknown_id: UNKNOWN.into(), manual };
        let mut client = prober.probe(DEVICE.into(), &Unmetered, 1, Hand(&sandbox));
        let measured = measure(&mut client, &device, &ScratchTags::new("k3"), "test").await;
        assert_eq!(measured.interrupted, None, "{number}: {chosen:?}");
        let cleaned = clean_up(&mut client, &DEVICE.into(), &Leftover::of(&measured)).await;
        assert!(cleaned.is_ok(), "{number}: {chosen:?}: {cleaned:?}");
        assert_eq!(state(&sandbox), before, "{number}: {chosen:?}");
        let calls = sandbox.calls().iter().filter(|call| call.path.starts_with("/api/")).count();
        // One call is left for finding the device.
        assert!(calls < MAX_CALLS as usize, "{number}: {calls} calls, {chosen:?}");
        let switch = |name: &str| chosen.iter().find(|(known, _)| *known == name).unwrap().1;
        for (question, wanted) in expected(switch) {
            assert_eq!(verdict(&measured, question), wanted, "{number}: {question} with {chosen:?}");
            told.insert((question, wanted));
        }
        (least, most) = (least.min(calls), most.max(calls));
        running.stop().await;
    }
    println!("{} different verdicts, {least} to {most} calls and one for finding the device", told.len());
    // Every verdict that the switches can cause occurs in some combination.
    for (question, verdicts) in [
        ("tagCase", 3),
        ("tagBlanks", 3),
        ("longerTag", 4),
        ("bulkAnswer", 4),
        ("singleAnswer", 2),
        ("unknownId", 4),
        ("patchValue", 3),
        ("patchTags", 5),
        ("listLag", 3),
        ("filterId", 2),
        ("pageSize", 2),
        ("linkWithTop", 3),
        ("throttle", 3),
        ("valueAnswer", 2),
    ] {
        assert_eq!(told.iter().filter(|(known, _)| *known == question).count(), verdicts, "{question}");
    }
}
