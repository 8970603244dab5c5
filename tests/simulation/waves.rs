//! Rollouts under virtual time: which device is written when, what a gate stops, and the effect of a kill at any entry.

use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::budget::Limits;
use mdetag_core::apply::gates::Gates;
use mdetag_core::apply::waves::{GateRead, WaveStep, Waves};
use mdetag_core::apply::{Entry, Gate, Halt, Outcome, Run, WaveEvent};
use mdetag_core::device::DeviceValue;
use mdetag_core::plan::{Cause, CauseIndex, DeviceChange, Plan, TagChange, TagIndex, ValueChange, waves};
use mdetag_core::policy::{Percent, Quantity, Rollout};
use mdetag_core::time::Timestamp;

use super::service::{Device, Faults, Service};
use super::world::{World, safe};

const DAY: Duration = Duration::from_secs(86_400);

fn gates() -> Gates {
    Gates {
        failed: Percent::whole(5),
        bounced: Percent::whole(20),
        health: None,
        wait: Duration::ZERO,
        visibility: Duration::from_secs(3_600),
    }
}

fn rollout() -> Rollout {
    let text = "version: 1\nguard:\n  rollout: { waves: [25, 50%, 100%] }\n";
    let sources = mdetag_core::diagnostic::Sources::from_text("p.yaml", text);
    let (policy, _) =
        mdetag_core::policy::resolve(&sources, mdetag_core::tag::TagCase::Exact, Timestamp::EPOCH);
    let rollout = policy.guard.rollout.expect("the policy has a rollout");
    assert_eq!(rollout.waves[0], Quantity::Count(25));
    rollout
}

/// A hundred and twenty devices that lose one tag, gain another and get a value.
fn fleet(damage: impl Fn(usize, &mut Device)) -> (Plan, Service) {
    let mut plan =
        Plan { tags: vec!["Old".into(), "New".into()], causes: vec![Cause::Rule(vec![])], ..Plan::default() };
    let mut service = Service::new(Faults { slowest: 200, ..Faults::default() }, 7);
    let cause = CauseIndex(0);
    for number in 0..120 {
        let id: Arc<str> = format!("{number:040x}").into();
        plan.changes.push(DeviceChange {
            id: id.clone(),
            name: None,
            observed_tags: Box::new([TagIndex(0)]),
            observed_value: Some("Normal".into()),
            add: vec![TagChange { tag: TagIndex(1), cause }],
            remove: vec![TagChange { tag: TagIndex(0), cause }],
            value: (number % 4 == 0).then_some(ValueChange { to: DeviceValue::High, cause }),
        });
        let mut device = Device { tags: vec!["Old".into()], value: "Normal".into(), ..Device::default() };
        damage(number, &mut device);
        service.devices.insert(id, device);
    }
    waves::assign(&mut plan, &rollout(), &|_| false);
    (plan, service)
}

/// How a rollout came to rest.
#[derive(Clone, Debug, PartialEq)]
enum Rest {
    Finished,
    Halted(Halt),
    Waits(Timestamp),
    Killed,
}

/// One process of a rollout: continues until it rests, or is killed at an entry. `is_ill` is the policy's `health`.
fn play(
    world: &mut World,
    whole: &Plan,
    gates: Gates,
    kill_at: usize,
    (is_trusted, is_ill): (bool, &dyn Fn(&str) -> bool),
) -> Rest {
    let lost = world.lost(whole);
    let (mut rest, settled) =
        if world.journal.is_empty() { (whole.clone(), Vec::new()) } else { world.rest(whole) };
    waves::keep(&mut rest, whole);
    let rest = safe(rest);
    let journal = world.journal.clone();
    let mut rollout = Waves::new(whole, rest.plan(), gates, &journal).expect("the plan has waves");
    let mut settled = Some(settled);
    loop {
        match rollout.next(world.now) {
            WaveStep::Write { wave, after } => {
                let said = rollout.start(wave, is_ill, world.now);
                if world.write(said, kill_at) {
                    return Rest::Killed;
                }
                let part = rest.waves(after + 1..=wave);
                let before = world.journal.clone();
                let options = world.options(before.len() as u64);
                let mut run = Run::new(&part, &before, options, world.now);
                let (from, sent) = (world.journal.len(), world.sent.len());
                if let Some(settled) = settled.take() {
                    let mut said = run.settle(settled, world.now);
                    said.extend(run.restore(&lost, world.now));
                    if world.write(said, kill_at) {
                        return Rest::Killed;
                    }
                }
                let is_whole = world.play(&mut run, kill_at);
                for (_, call) in &world.sent[sent..] {
                    for device in call.devices() {
                        let of = waves::wave_of(whole, device).expect("a device of the plan");
                        assert!(of > after && of <= wave, "{device} of wave {of} is written in wave {wave}");
                    }
                }
                if !is_whole {
                    return Rest::Killed;
                }
                let seen = world.journal[from..].to_vec();
                let said = rollout.end(&seen, run.stopped().is_some(), world.now);
                if world.write(said, kill_at) {
                    return Rest::Killed;
                }
            }
            WaveStep::Inspect => {
                let now = world.now;
                let service = std::cell::RefCell::new(&mut world.service);
                let observed = |id: &str| service.borrow_mut().listed(id, now);
                let read = GateRead { asked: now, is_trusted, observed: &observed, is_ill };
                let said = rollout.inspect(Ok(&read), now);
                if world.write(said, kill_at) {
                    return Rest::Killed;
                }
            }
            WaveStep::WaitUntil(moment) => return Rest::Waits(moment),
            WaveStep::Halted(halt) => return Rest::Halted(halt),
            WaveStep::Finished => return Rest::Finished,
            WaveStep::Closed(reason) => panic!("nobody closed it: {reason}"),
        }
    }
}

fn healthy(_: &str) -> bool {
    false
}

const SEEN: (bool, &dyn Fn(&str) -> bool) = (true, &healthy);

fn written(world: &World) -> usize {
    world.service.devices.values().filter(|device| device.tags.iter().any(|tag| **tag == *"New")).count()
}

#[test]
fn a_rollout_killed_at_any_entry_and_resumed_makes_each_change_once_and_each_device_in_its_wave() {
    let (plan, service) = fleet(|_, _| {});
    let mut world = World::new(service, Limits::default(), 1);
    assert_eq!(play(&mut world, &plan, gates(), usize::MAX, SEEN), Rest::Finished);
    assert_eq!(written(&world), 120);
    let entries = world.journal.len();
    for kill_at in 1..entries {
        let (plan, service) = fleet(|_, _| {});
        let mut world = World::new(service, Limits::default(), 1);
        assert_eq!(play(&mut world, &plan, gates(), kill_at, SEEN), Rest::Killed, "entry {kill_at}");
        world.crash();
        assert_eq!(play(&mut world, &plan, gates(), usize::MAX, SEEN), Rest::Finished, "entry {kill_at}");
        assert_eq!(written(&world), 120, "killed at entry {kill_at}");
        assert!(world.service.devices.values().all(|device| device.tags.iter().all(|tag| **tag == *"New")));
        let waves = Waves::new(&plan, &plan, gates(), &world.journal).expect("the plan has waves");
        let outcomes = waves.outcomes();
        assert_eq!(outcomes.len(), 120 * 2 + 30, "entry {kill_at}");
        assert!(outcomes.iter().all(|ended| matches!(ended.outcome, Outcome::Done | Outcome::Noop)));
    }
}

#[test]
fn a_bad_wave_stops_the_rollout_with_its_gate_and_its_devices() {
    // Another origin holds the old tag on every third device.
    let (plan, service) = fleet(|number, device| {
        if number % 3 == 0 {
            device.registry = Some("Old".into());
        }
    });
    let held = |plan: &Plan| {
        let of = plan.rollout.as_ref().expect("it has waves").of.iter();
        of.enumerate().filter(|(number, wave)| number % 3 == 0 && **wave == 1).count() as u64
    };
    let mut world = World::new(service, Limits::default(), 1);
    let Rest::Halted(halt) = play(&mut world, &plan, gates(), usize::MAX, SEEN) else { panic!("it goes on") };
    assert_eq!((halt.wave, halt.gate, halt.bad, halt.of), (1, Gate::Bounced, held(&plan), 25));
    assert_eq!(halt.devices.len() as u64, held(&plan));
    assert_eq!(written(&world), 25, "no device of a later wave is written");
    // Coming back changes nothing; a person does.
    assert!(matches!(play(&mut world, &plan, gates(), usize::MAX, SEEN), Rest::Halted(_)));
    assert_eq!(written(&world), 25);
    let passed = WaveEvent::Passed { reason: Some("known devices".into()) };
    world.journal.push(Entry::Wave { at: world.now, wave: 1, event: passed });
    let Rest::Halted(second) = play(&mut world, &plan, gates(), usize::MAX, SEEN) else {
        panic!("it goes on")
    };
    assert_eq!((second.wave, written(&world)), (2, 60), "the next wave has a gate of its own");
}

#[test]
fn refused_devices_are_on_neither_side_and_a_wave_of_nothing_else_proves_nothing() {
    let (plan, service) = fleet(|number, device| device.is_bad = number % 3 == 0);
    let mut world = World::new(service, Limits::default(), 1);
    assert_eq!(play(&mut world, &plan, gates(), usize::MAX, SEEN), Rest::Finished);
    let (plan, service) = fleet(|_, device| device.is_bad = true);
    let mut world = World::new(service, Limits::default(), 1);
    let Rest::Halted(halt) = play(&mut world, &plan, gates(), usize::MAX, SEEN) else { panic!("it goes on") };
    assert_eq!((halt.gate, halt.bad), (Gate::Evidence, 25));
}

#[test]
fn nothing_is_written_before_the_wait_is_over() {
    let gates = Gates { wait: Duration::from_secs(7_200), ..gates() };
    let (plan, service) = fleet(|_, _| {});
    let mut world = World::new(service, Limits::default(), 1);
    let Rest::Waits(moment) = play(&mut world, &plan, gates, usize::MAX, SEEN) else { panic!("it goes on") };
    assert!(
        moment.since(world.now) < gates.wait + Duration::from_secs(1)
            && moment.since(world.now).as_secs() > 7_100
    );
    let sent = world.sent.len();
    for minute in 1..120 {
        world.now = moment.minus(Duration::from_secs(7_200 - minute * 60));
        assert_eq!(play(&mut world, &plan, gates, usize::MAX, SEEN), Rest::Waits(moment));
    }
    assert_eq!(world.sent.len(), sent);
    world.now = moment;
    let Rest::Waits(second) = play(&mut world, &plan, gates, usize::MAX, SEEN) else { panic!("it goes on") };
    assert_eq!(written(&world), 60);
    world.now = second.plus(DAY);
    assert_eq!(play(&mut world, &plan, gates, usize::MAX, SEEN), Rest::Finished);
    assert_eq!(written(&world), 120);
}

#[test]
fn what_another_origin_undoes_while_the_wave_waits_bounces_at_its_gate() {
    let gates = Gates { wait: Duration::from_secs(7_200), ..gates() };
    let (plan, service) = fleet(|_, _| {});
    let mut world = World::new(service, Limits::default(), 1);
    let Rest::Waits(moment) = play(&mut world, &plan, gates, usize::MAX, SEEN) else { panic!("it goes on") };
    world.now = moment;
    for device in world.service.devices.values_mut() {
        device.tags.retain(|tag| **tag != *"New");
    }
    let end = play(&mut world, &plan, gates, usize::MAX, SEEN);
    let Rest::Halted(halt) = end else { panic!("{end:?}") };
    assert_eq!((halt.gate, halt.wave, halt.bad), (Gate::Bounced, 1, 25));
    assert_eq!(written(&world), 0, "and nothing of the next wave");
}

#[test]
fn devices_that_fall_ill_or_out_of_sight_stop_the_next_wave_and_those_that_were_ill_do_not() {
    let gates = Gates { health: Some(Percent::whole(5)), wait: Duration::from_secs(7_200), ..gates() };
    let first_wave = |plan: &Plan| {
        let of = plan.rollout.as_ref().expect("it has waves").of.clone();
        let ids = plan.changes.iter().zip(of).filter(|(_, wave)| *wave == 1);
        ids.map(|(change, _)| change.id.clone()).collect::<Vec<_>>()
    };
    for (ill_before, ill_after, is_trusted, expected) in [
        (0, 0, true, None),
        (0, 2, true, None),
        (0, 3, true, Some((Gate::Health, 3))),
        (9, 9, true, None),
        (9, 12, true, Some((Gate::Health, 3))),
        (0, 0, false, Some((Gate::Evidence, 25))),
    ] {
        let (plan, service) = fleet(|_, _| {});
        let wave = first_wave(&plan);
        let mut world = World::new(service, Limits::default(), 1);
        let before = |id: &str| wave[..ill_before].iter().any(|ill| **ill == *id);
        let after = |id: &str| wave[..ill_after].iter().any(|ill| **ill == *id);
        let Rest::Waits(moment) = play(&mut world, &plan, gates, usize::MAX, (true, &before)) else {
            panic!("it goes on")
        };
        world.now = moment;
        let end = play(&mut world, &plan, gates, usize::MAX, (is_trusted, &after));
        match (end, expected) {
            (Rest::Halted(halt), Some(expected)) => assert_eq!((halt.gate, halt.bad), expected),
            (Rest::Waits(_), None) => assert_eq!(written(&world), 60),
            (end, expected) => panic!("{ill_before} before, {ill_after} after: {end:?}, not {expected:?}"),
        }
    }
    let (plan, service) = fleet(|_, _| {});
    let wave = first_wave(&plan);
    let mut world = World::new(service, Limits::default(), 1);
    let Rest::Waits(moment) = play(&mut world, &plan, gates, usize::MAX, SEEN) else { panic!("it goes on") };
    world.now = moment;
    for id in &wave[..3] {
        world.service.devices.get_mut(id).expect("a device").is_gone = true;
    }
    let end = play(&mut world, &plan, gates, usize::MAX, SEEN);
    assert!(matches!(&end, Rest::Halted(halt) if halt.gate == Gate::Health && halt.bad == 3), "{end:?}");
}
