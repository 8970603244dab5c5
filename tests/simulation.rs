//! The engine against a simulated service under virtual time: thousands of fault schedules, each reproducible by its seed.
//!
//! Nothing sleeps, no socket opens. `SEEDS=N` plays more seeds, `FROM=N` others, `SEED=N` plays one, `KILLED=N` kills runs of more seeds.

#[path = "simulation/claims.rs"]
mod claims;
#[path = "simulation/drawn.rs"]
mod drawn;
#[path = "simulation/fleet.rs"]
mod fleet;
#[path = "simulation/patch.rs"]
mod patch;
#[path = "simulation/service.rs"]
mod service;
#[path = "simulation/waves.rs"]
mod waves;
#[path = "simulation/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mdetag_core::apply::budget::Limits;
use mdetag_core::apply::{
    Call, ChangeKey, ChangeOutcome, ChangeWhat, Origins, Outcome, Run, RunOptions, Step, StopReason, repairs,
};
use mdetag_core::plan::{Lane, Plan, TagIndex, cost, stale};

use fleet::Fleet;
use world::{World, safe};

/// Plays one seed, killed once at each of the journal entries in `kills`, and checks every invariant.
fn play(seed: u64, kills: &[usize]) -> World {
    let Fleet { plan, service } = Fleet::of_seed(seed);
    let limits = Limits { shared: service.is_shared, ..Limits::default() };
    // For every second tenant, hunting gives the origins of its tags.
    let origins = if seed.is_multiple_of(2) { service.origins() } else { Origins::default() };
    let mut world = World::new(service, limits, seed);
    let claimed = BTreeSet::from(fleet::TAGS);
    let before = world.service.unclaimed(&claimed);
    let mut current = safe(plan.clone());
    let mut settled: Vec<ChangeOutcome> = Vec::new();
    let mut lost = Vec::new();
    for kill_at in kills.iter().copied().chain([usize::MAX]) {
        let journal = world.journal.clone();
        let options = world.options(seed ^ journal.len() as u64);
        let mut run = Run::new(&current, &journal, options, world.now);
        run.know_origins(&origins);
        let mut entries = run.settle(std::mem::take(&mut settled), world.now);
        entries.extend(run.restore(&lost, world.now));
        world.journal.extend(entries);
        if world.play(&mut run, kill_at) {
            tell(&world);
            check(seed, &plan, &run, &world);
            check_kept(seed, &plan, &before, &world);
            return world;
        }
        world.crash();
        lost = world.lost(&plan);
        let rest = world.rest(&plan);
        current = safe(rest.0);
        settled = rest.1;
    }
    unreachable!("the last round is never killed");
}

/// No tag disappears that the plan does not remove, unless the journal says that it is not back.
fn check_kept(seed: u64, plan: &Plan, before: &[(Arc<str>, BTreeSet<Arc<str>>)], world: &World) {
    let told: BTreeSet<ChangeKey> = repairs::lost_tags(&world.journal)
        .into_iter()
        .filter(|lost| lost.outcome != Outcome::Done)
        .map(|lost| lost.key)
        .collect();
    let is_told = |device: &Arc<str>, tag: &Arc<str>| {
        told.contains(&ChangeKey { device: device.clone(), what: ChangeWhat::Add(tag.clone()) })
    };
    let mut kept: Vec<(Arc<str>, BTreeSet<Arc<str>>)> = before.to_vec();
    for change in &plan.changes {
        let stays = |tag: &&TagIndex| change.remove.iter().all(|remove| remove.tag != **tag);
        let tags = change.observed_tags.iter().filter(stays).map(|tag| plan.tag(*tag).clone());
        kept.push((change.id.clone(), tags.collect()));
    }
    for (device, tags) in &kept {
        for tag in tags.iter().filter(|tag| !world.service.devices[device].tags.contains(tag)) {
            assert!(is_told(device, tag), "seed {seed}: {device} lost `{tag}` in silence");
        }
    }
    let claimed = BTreeSet::from(fleet::TAGS);
    for ((device, before), (_, after)) in before.iter().zip(&world.service.unclaimed(&claimed)) {
        assert!(after.is_subset(before), "seed {seed}: {device} got a tag that nobody planned");
    }
}

fn check(seed: u64, plan: &Plan, run: &Run<'_>, world: &World) {
    let mut ended: BTreeMap<ChangeKey, ChangeOutcome> = BTreeMap::new();
    for outcome in run.outcomes() {
        let key = outcome.key.clone();
        assert!(ended.insert(key, outcome.clone()).is_none(), "seed {seed}: {:?} ends twice", outcome.key);
    }
    let planned: BTreeSet<ChangeKey> =
        plan.changes.iter().flat_map(|change| stale::keys(plan, change)).collect();
    assert_eq!(planned, ended.keys().cloned().collect(), "seed {seed}: every change ends");
    assert_eq!(run.counts().iter().sum::<u64>(), planned.len() as u64, "seed {seed}: counts add up");
    assert!(world.service.violations.is_empty(), "seed {seed}: {}", world.service.violations[0]);
    for outcome in ended.values() {
        let device = &world.service.devices[&outcome.key.device];
        let carries = |tag: &std::sync::Arc<str>| device.tags.contains(tag);
        let is_so = match &outcome.key.what {
            ChangeWhat::Add(tag) => carries(tag),
            // The next plan handles tags that the registry restores later.
            ChangeWhat::Remove(tag) => {
                !carries(tag) || device.has_returned && device.registry.as_ref() == Some(tag)
            }
            ChangeWhat::Value(value) => device.value == value.word(),
        };
        match outcome.outcome {
            Outcome::Done | Outcome::Noop => assert!(is_so, "seed {seed}: {outcome:?} and it is not so"),
            _ => assert!(outcome.error.is_some(), "seed {seed}: {outcome:?} has no reason"),
        }
    }
    // A device never lacks both an old tag and the new one that replaces it.
    for change in &plan.changes {
        let unconfirmed = stale::keys(plan, change)
            .filter(|key| matches!(key.what, ChangeWhat::Add(_)))
            .any(|key| !matches!(ended[&key].outcome, Outcome::Done | Outcome::Noop));
        if unconfirmed {
            for key in stale::keys(plan, change).filter(|key| matches!(key.what, ChangeWhat::Remove(_))) {
                assert!(
                    !matches!(ended[&key].outcome, Outcome::Done | Outcome::Noop) || fleet::may_precede(plan),
                    "seed {seed}: {key:?} is done before its device's additions"
                );
            }
        }
    }
}

/// `TELL=1 SEED=N` leaves the journal of a seed in the directory for temporary files.
fn tell(world: &World) {
    if std::env::var("TELL").is_ok() {
        let entries: Vec<String> = world.journal.iter().map(|entry| format!("{entry:?}\n")).collect();
        let path = std::env::temp_dir().join("mdetag-simulation.txt");
        let text = format!("{:?}\n{}", world.service.faults, entries.concat());
        std::fs::write(path, text).expect("the directory for temporary files is writable");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> std::ops::Range<u64> {
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("FROM").unwrap_or(0);
            first..first + number("SEEDS").unwrap_or(200)
        }
    }
}

#[test]
fn a_first_patch_that_takes_a_tag_which_the_run_removes_stops_its_lane_too() {
    // In this world the canary lost such a tag, counted as sound, and each later `PATCH` lost a tag in silence.
    play(652, &[]);
}

#[test]
fn every_change_ends_once_whatever_the_service_does() {
    let mut counts = BTreeMap::new();
    for seed in seeds() {
        let world = play(seed, &[]);
        for entry in &world.journal {
            for ended in entry.ended() {
                *counts.entry(ended.outcome).or_insert(0u64) += 1;
            }
        }
    }
    for outcome in [
        Outcome::Done,
        Outcome::Bounced,
        Outcome::Refused,
        Outcome::Failed,
        Outcome::Gone,
        Outcome::NotAttempted,
    ] {
        assert!(
            seeds().count() < 100 || counts.contains_key(&outcome),
            "no seed ends a change as {}",
            outcome.word()
        );
    }
}

#[test]
fn without_faults_a_run_makes_exactly_the_planned_calls() {
    for seed in 0..40 {
        let Fleet { mut plan, mut service } = Fleet::of_seed(seed);
        service.faults = service::Faults { slowest: 200, ..service::Faults::default() };
        // Bulk calls with twins of several kinds may wait for each other, and are then split, so one kind is kept.
        let mut changes = std::mem::take(&mut plan.changes);
        let is_of_one_kind =
            |tag: TagIndex| plan.tag(tag).trim() != "Ring 1" && **plan.tag(tag) != *fleet::TOO_LONG;
        changes.iter_mut().for_each(|change| change.remove.retain(|tag| is_of_one_kind(tag.tag)));
        changes
            .retain(|change| !change.add.is_empty() || !change.remove.is_empty() || change.value.is_some());
        plan.changes = changes;
        for device in service.devices.values_mut() {
            (device.registry, device.is_bad, device.is_gone, device.is_forbidden) =
                (None, false, false, false);
            (device.is_bulk_forbidden, device.is_value_forbidden, device.is_value_held) =
                (false, false, false);
        }
        let schedule = cost::schedule(&plan, &plan.header.options);
        let (plan, origins) = (safe(plan), service.origins());
        let mut world = World::new(service, Limits::default(), seed);
        let mut run = Run::new(&plan, &[], world.options(seed), world.now);
        run.know_origins(&origins);
        assert!(world.play(&mut run, usize::MAX));
        let calls = |read: bool| {
            let of = |call: &Call| matches!(call, Call::Get { .. }) == read;
            world.sent.iter().filter(|(_, call)| of(call)).count() as u64
        };
        let reads = schedule.lanes.iter().find(|cost| cost.lane == Lane::Get).map_or(0, |cost| cost.calls);
        assert_eq!((calls(false), calls(true)), (schedule.total - reads, reads), "seed {seed}");
        let (done, all) = (run.counts()[Outcome::Done as usize], run.progress().changes);
        assert_eq!(done, all, "seed {seed}");
    }
}

#[test]
fn a_run_killed_at_any_entry_and_resumed_ends_every_change_once() {
    for seed in seeds().take(number("KILLED").unwrap_or(12) as usize) {
        let entries = play(seed, &[]).journal.len();
        let step = (entries / 10).max(1);
        for kill_at in (1..entries).step_by(step) {
            play(seed, &[kill_at]);
            play(seed, &[kill_at, kill_at + 3]);
        }
    }
}

#[test]
fn outcomes_add_up_to_the_plan_for_every_way_in_which_a_run_can_end() {
    let all = 1_000;
    let faults = [
        service::Faults { throttled: all, ..service::Faults::default() },
        service::Faults { throttled: all, retry_after: true, ..service::Faults::default() },
        service::Faults { failing: all, ..service::Faults::default() },
        service::Faults { applied_but_failing: all, ..service::Faults::default() },
        service::Faults { reset_before: all, ..service::Faults::default() },
        service::Faults { broken: all, ..service::Faults::default() },
        service::Faults { timed_out: all, ..service::Faults::default() },
        service::Faults { passing_404: all, bulk_closed: Some(404), ..service::Faults::default() },
        service::Faults { forbidden: true, ..service::Faults::default() },
        service::Faults::default(),
    ];
    for (seed, faults) in (0..4).flat_map(|seed| faults.iter().map(move |faults| (seed, faults))) {
        for (stop, max_calls) in [
            (None, None),
            (None, Some(2)),
            (Some((StopReason::Signal, 3)), None),
            (Some((StopReason::Deadline, 6)), None),
        ] {
            let Fleet { plan, mut service } = Fleet::of_seed(seed);
            service.faults = service::Faults { slowest: 200, ..faults.clone() };
            let planned: u64 =
                plan.changes.iter().map(|change| stale::keys(&plan, change).count() as u64).sum();
            let plan = safe(plan);
            let mut world = World::new(service, Limits::default(), seed);
            let options = RunOptions { max_calls, ..world.options(seed) };
            let mut run = Run::new(&plan, &[], options, world.now);
            let kill_at = stop.map_or(usize::MAX, |(_, entries)| entries);
            if !world.play(&mut run, kill_at) {
                run.stop(stop.expect("only a stop ends it early").0);
                run.abandon(world.now, &mut world.budget);
                assert_eq!(run.next(world.now, &mut world.budget), Step::Finished);
            }
            let told = format!("seed {seed}, {stop:?}, {max_calls:?}, {faults:?}");
            assert_eq!(run.counts().iter().sum::<u64>(), planned, "{told}");
            assert_eq!(run.outcomes().count() as u64, planned, "{told}");
        }
    }
}
