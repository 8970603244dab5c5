//! A plan's prediction of device groups, compared with what the simulated service shows after it has regrouped the devices: two
//! evaluations of the same rules that share no code.
//!
//! Each world comes from its seed: group files in the form of the entity set, devices, and a policy that adds, removes and
//! renames tags. `SEEDS=N` plays more of them, `SEED=N` one. Nothing sleeps and no socket opens: the service's clock is moved.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mdetag_core::desired;
use mdetag_core::diagnostic::{Severity, Source, Sources};
use mdetag_core::inventory::SnapshotBuilder;
use mdetag_core::plan::{self, Header, History, Plan};
use mdetag_core::policy;
use mdetag_core::random::SeededNumbers;
use mdetag_core::selection::{self, HuntingResults};
use mdetag_core::tag::TagCase;
use mdetag_core::time::{Clock, Timestamp};
use mdetag_sandbox::{Options, Request, Sandbox};
use serde_json::{Value, json};

/// A clock that stands still; the sandbox's own is moved.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-24").unwrap()
    }
}

const NAMES: [&str; 6] = ["a1.x.test", "A2.x.test", "b1.lab.x.test", "b2.LAB.x.test", "c1", "ab.y.test"];
const PLATFORMS: [&str; 5] = ["Windows11", "WindowsServer2022", "Ubuntu", "Debian", "macOS"];
/// Some differ only in case, which counts for policies and not for groups.
const TAGS: [&str; 8] = ["Tier0", "tier0", "lab", "Lab/1", "É", "é", "old", "EU"];

/// Everything of one seed.
struct World {
    random: SeededNumbers,
    sandbox: Sandbox,
    token: String,
    groups: Value,
}

impl World {
    fn of_seed(seed: u64) -> World {
        let mut random = SeededNumbers::new(seed);
        let quiet = ["limit_minute=1000000", "limit_hour=1000000", "device_groups=on"];
        let options = Options { devices: 1, faults: quiet.map(str::to_owned).to_vec(), ..Options::default() };
        let sandbox = Sandbox::in_memory(&options, Arc::new(Standing)).unwrap();
        let generated = sandbox.devices().unwrap();
        sandbox.delete(&[generated[0]["id"].as_str().unwrap()]).unwrap();
        let devices: Vec<Value> =
            (0..2 + random.below(20)).map(|number| device(&mut random, number)).collect();
        sandbox.insert(&json!(devices)).unwrap();
        let groups = groups(&mut random);
        sandbox.set_groups(&groups).unwrap();
        let token = token(&sandbox);
        World { random, sandbox, token, groups }
    }

    /// The group of each device, by its id; `None` if ungrouped.
    fn shown(&self) -> BTreeMap<String, Option<String>> {
        let place = |device: Value| {
            let id = device["id"].as_str().unwrap().to_owned();
            (id, device["rbacGroupName"].as_str().map(str::to_owned))
        };
        self.sandbox.devices().unwrap().into_iter().map(place).collect()
    }

    fn plan(&self, policy_text: &str, groups: &Value) -> Plan {
        let now = Standing.now();
        let source = Source::new("p.yaml", 0, "p.yaml", policy_text);
        let mut sources = Sources { files: vec![source], ..Sources::default() };
        let file = Ok(Arc::from(groups.to_string().into_bytes()));
        sources.data.insert((0, "groups.json".to_owned()), file);
        let (policy, findings) = policy::resolve(&sources, TagCase::Exact, now);
        let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:?} in\n{policy_text}");
        let mut builder = SnapshotBuilder::new();
        for device in self.sandbox.devices().unwrap() {
            builder.read_device(device.to_string().as_bytes()).unwrap();
        }
        let snapshot = builder.finish().0;
        let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
        let desired = desired::desire(&policy, &snapshot, &selections, now).unwrap();
        plan::diff(&desired, &History::default(), Header::default(), &sources)
    }

    /// Writes every change of a plan, device by device, and lets the service regroup the devices.
    fn apply(&self, plan: &Plan) {
        for change in &plan.changes {
            for (tag, action, _) in change.tag_changes() {
                let action = if action == plan::TagAction::Add { "Add" } else { "Remove" };
                let body = json!({ "Value": &**plan.tag(tag), "Action": action });
                let path = format!("/api/machines/{}/tags", change.id);
                let answer = self.send("POST", &path, &body);
                assert_eq!(answer.0, 200, "{}", answer.1);
            }
        }
        self.sandbox.advance(Duration::from_secs(3_600)).unwrap();
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let headers = [
            ("authorization", format!("Bearer {}", self.token)),
            ("content-type", "application/json".to_owned()),
        ];
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: body.to_string().into_bytes(),
            ..Request::default()
        };
        let answer = self.sandbox.finish(self.sandbox.begin(&request).unwrap()).unwrap();
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// An access token, as a managed identity gets it.
fn token(sandbox: &Sandbox) -> String {
    let request = Request {
        method: "GET".to_owned(),
        path: "/metadata/identity/oauth2/token".to_owned(),
        query: "api-version=2018-02-01&resource=https://api.securitycenter.microsoft.com".to_owned(),
        headers: vec![("metadata".to_owned(), "true".to_owned())],
        ..Request::default()
    };
    let answer = sandbox.finish(sandbox.begin(&request).unwrap()).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

fn one_of<'t>(random: &mut SeededNumbers, texts: &[&'t str]) -> &'t str {
    texts[random.below(texts.len() as u64) as usize]
}

/// Up to `most` of the tags, none twice.
fn some_tags(random: &mut SeededNumbers, most: u64) -> Vec<&'static str> {
    let count = random.below(most + 1);
    let mut tags: Vec<&str> = (0..count).map(|_| one_of(random, &TAGS)).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn device(random: &mut SeededNumbers, number: u64) -> Value {
    let name = if random.below(10) == 0 { Value::Null } else { json!(one_of(random, &NAMES)) };
    json!({
        "id": format!("{number:040x}"),
        "computerDnsName": name,
        "osPlatform": one_of(random, &PLATFORMS),
        "machineTags": some_tags(random, 3),
    })
}

/// Groups in the form of the entity set, perhaps with the one for all other devices.
fn groups(random: &mut SeededNumbers) -> Value {
    let mut groups = Vec::new();
    for id in 0..random.below(7) {
        let mut rules = json!({});
        for _ in 0..random.below(4) {
            let (kind, condition) = condition(random);
            let list = rules.as_object_mut().unwrap().entry(kind).or_insert(json!([]));
            list.as_array_mut().unwrap().push(condition);
        }
        let level = [1, 2, 3, 6, 7][random.below(5) as usize];
        groups.push(json!({
            "id": 10 + id, "deviceGroupName": format!("group {id}"), "priority": random.below(5),
            "automationLevel": level, "deviceGroupRules": rules,
        }));
    }
    if random.below(2) == 0 {
        groups.push(json!({
            "id": 99, "deviceGroupName": "Rest", "priority": 9, "isUnassignedDeviceGroup": true,
            "deviceGroupRules": {},
        }));
    }
    json!(groups)
}

/// A condition with its kind.
fn condition(random: &mut SeededNumbers) -> (&'static str, Value) {
    let operator = random.below(5);
    let tag_values = ["tier0", "Tier0", "LAB", "lab/", "é", "o", "1", "eu", ""];
    let (kind, value): (&str, &str) = match random.below(5) {
        0 => ("devicesNamesConditions", one_of(random, &["a", "A1.x.test", ".TEST", "b", "x", "c1"])),
        1 => ("devicesDomainsConditions", one_of(random, &["x.test", "lab", "LAB.x.test", "y.", "test"])),
        2 => {
            let names = ["Linux", "Windows11", "windowsserver2022", "macOS", "Debian", "Lin", "ux", "S"];
            let value = one_of(random, &names);
            return ("devicesOsConditions", json!({ "condition": operator, "value": value }));
        }
        _ => ("devicesTagsConditions", one_of(random, &tag_values)),
    };
    let value = match (operator, random.below(3)) {
        (4, 0) => json!([value, one_of(random, &tag_values)]).to_string(),
        (4, 1) => format!("{value}, {}", one_of(random, &tag_values)),
        _ => value.to_owned(),
    };
    (kind, json!({ "condition": operator, "value": value }))
}

/// Rules that give some tags, claims that remove some, and perhaps a tag that is retired or renamed.
fn policy(random: &mut SeededNumbers) -> String {
    let mut claims = some_tags(random, 6);
    let ends = ["", "retire: [old]\n", "renames: { old: EU }\n"][random.below(3) as usize];
    // A tag that is retired or renamed needs no claim, and a new name that no rule gives must have none.
    claims.retain(|tag| *tag != "old" && (*tag != "EU" || !ends.starts_with("renames")));
    let mut text = format!("version: 1\nclaims: {}\n{ends}", json!(claims));
    text.push_str("deviceGroups: { file: groups.json }\nrules:\n");
    for number in 0..1 + random.below(4) {
        let select = match random.below(3) {
            0 => format!("computerDnsName: {{ startsWith: {} }}", one_of(random, &["a", "b", "c"])),
            1 => format!("osPlatform: {}", one_of(random, &PLATFORMS)),
            _ => "everything: true".to_owned(),
        };
        let tag = one_of(random, &["Tier0", "tier0", "lab", "Lab/1", "É", "EU"]);
        text.push_str(&format!("  - {{ name: r{number}, select: {{ {select} }}, tags: [{tag}] }}\n"));
    }
    text
}

/// Devices by group; ungrouped ones under the plan's name for them.
fn counted<'s>(places: impl Iterator<Item = &'s Option<String>>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    places.for_each(|place| *counts.entry(named(place)).or_default() += 1);
    counts
}

fn named(place: &Option<String>) -> String {
    place.clone().unwrap_or_else(|| "ungrouped".to_owned())
}

fn predicted(counts: &[plan::consequences::GroupCount]) -> BTreeMap<String, u64> {
    let counts = counts.iter().filter(|group| group.devices > 0);
    counts.map(|group| (group.name.clone(), group.devices)).collect()
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(300),
    }
}

#[test]
fn what_a_plan_predicts_is_what_the_service_shows_after_it() {
    let mut moved = 0;
    for seed in seeds() {
        let mut world = World::of_seed(seed);
        let policy = policy(&mut world.random);
        let before = world.shown();
        let plan = world.plan(&policy, &world.groups);
        let foreseen = plan.groups.as_ref().unwrap();
        let about = || format!("seed {seed}\n{policy}{:#}", world.groups);
        assert_eq!(predicted(&foreseen.before), counted(before.values()), "before; {}", about());
        assert_eq!(foreseen.check.differ, 0, "{:?}; {}", foreseen.check, about());
        world.apply(&plan);
        let after = world.shown();
        assert_eq!(predicted(&foreseen.after), counted(after.values()), "after; {}", about());
        let mut moves: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (id, from) in before.iter().filter(|(id, from)| after[*id] != **from) {
            *moves.entry((named(from), named(&after[id]))).or_default() += 1;
        }
        let told = foreseen.moves.iter().map(|one| ((one.from.clone(), one.to.clone()), one.devices));
        assert_eq!(told.collect::<BTreeMap<_, _>>(), moves, "moves; {}", about());
        assert_eq!(foreseen.predicted, moves.values().sum::<u64>(), "{}", about());
        assert!(foreseen.predicted <= foreseen.possible, "{}", about());
        moved += foreseen.predicted;
        // In the end every device is compared, one by one, except those in unpredictable groups.
        let next = world.plan(&policy, &world.groups);
        let check = &next.groups.as_ref().unwrap().check;
        assert!(next.is_empty(), "{} changes are left; {}", next.changes.len(), about());
        let file = policy::read_device_groups(&world.groups.to_string(), TagCase::Insensitive).unwrap();
        let doubted = file.groups.iter().filter(|group| group.unpredictable.is_some());
        let doubted: Vec<&str> = doubted.map(|group| &*group.name).collect();
        let compared = after.values().filter(|place| !doubted.contains(&&*named(place))).count();
        assert_eq!((check.differ, check.of), (0, compared as u64), "{check:?}; {}", about());
    }
    assert!(moved > 0, "no seed moves a device");
}
