//! Single claims about the engine, each on the smallest fleet that shows it.

#[path = "twins.rs"]
mod twins;

use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::budget::Limits;
use mdetag_core::apply::{Call, Entry, Origins, Outcome, Run, RunOptions, StopReason, TagAction};
use mdetag_core::device::DeviceValue;
use mdetag_core::diagnostic::Place;
use mdetag_core::plan::{
    Cause, CauseIndex, DeviceChange, Lane, Plan, RuleReference, TagChange, TagIndex, TagRoute, ValueChange,
    ValueRoute,
};

use super::fleet::{LONGEST, TOO_LONG};
use super::service::{BadIds, Device, Faults, LongTag, Service};
use super::world::{World, safe};

/// One device of a small fleet: tags to add and to remove, and whether its value changes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wish {
    pub(crate) add: &'static [&'static str],
    pub(crate) remove: &'static [&'static str],
    pub(crate) has: &'static [&'static str],
    pub(crate) value: bool,
    /// The cause of all its changes: rule number, of priority ten times that.
    pub(crate) rule: u32,
}

/// The result of a run on a small fleet.
pub(crate) struct Fared {
    pub(crate) world: World,
    counts: [u64; Outcome::ALL.len()],
    errors: Vec<String>,
    pub(crate) repairs: usize,
}

impl Fared {
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize]
    }

    pub(crate) fn calls(&self, lane: Lane) -> u64 {
        self.world.service.calls.get(&lane).copied().unwrap_or(0)
    }

    fn notes(&self) -> Vec<&str> {
        let notes = self.world.journal.iter().filter_map(|entry| match entry {
            Entry::Note { text, .. } => Some(text.as_str()),
            _ => None,
        });
        notes.collect()
    }

    pub(crate) fn tags(&self, device: usize) -> Vec<&str> {
        let device = self.world.service.devices.values().nth(device).expect("a device of the fleet");
        device.tags.iter().map(AsRef::as_ref).collect()
    }
}

fn place() -> Place {
    Place { file: "p.yaml".into(), line: 1, column: 1, end_line: 1, end_column: 1 }
}

pub(crate) fn fleet(wishes: &[Wish], faults: Faults) -> (Plan, Service) {
    let mut plan = Plan { causes: (0..3).map(|rule| Cause::Rule(vec![rule])).collect(), ..Plan::default() };
    plan.rules = (0..3)
        .map(|rule| RuleReference {
            name: format!("rule-{rule}"),
            place: place(),
            priority: i64::from(rule) * 10,
            description: None,
            owner: None,
            ticket: None,
        })
        .collect();
    let mut service = Service::new(faults, 1);
    for (number, wish) in wishes.iter().enumerate() {
        let cause = CauseIndex(wish.rule);
        let mut index = |tag: &'static str| match plan.tags.iter().position(|own| **own == *tag) {
            Some(place) => TagIndex(place as u32),
            None => {
                plan.tags.push(tag.into());
                TagIndex(plan.tags.len() as u32 - 1)
            }
        };
        let id: Arc<str> = format!("{number:040x}").into();
        let tags: Vec<&'static str> = wish.has.iter().chain(wish.remove).copied().collect();
        let change = DeviceChange {
            id: id.clone(),
            name: None,
            observed_tags: tags.iter().map(|tag| index(tag)).collect(),
            observed_value: Some("Normal".into()),
            add: wish.add.iter().map(|tag| TagChange { tag: index(tag), cause }).collect(),
            remove: wish.remove.iter().map(|tag| TagChange { tag: index(tag), cause }).collect(),
            value: wish.value.then_some(ValueChange { to: DeviceValue::High, cause }),
        };
        plan.changes.push(change);
        let tags = tags.into_iter().map(Arc::from).collect();
        service.devices.insert(id, Device { tags, value: "Normal".into(), ..Device::default() });
    }
    (plan, service)
}

pub(crate) fn apply_with(plan: Plan, service: Service, options: RunOptions) -> Fared {
    apply_knowing(plan, service, options, &Origins::default())
}

/// All tags that the plan saw, as manual ones.
pub(crate) fn all_manual(plan: &Plan) -> Origins {
    let mut origins = Origins::default();
    for change in &plan.changes {
        let tags = change.observed_tags.iter().map(|tag| plan.tag(*tag).clone());
        origins.insert(change.id.clone(), tags, []);
    }
    origins
}

pub(crate) fn apply_knowing(plan: Plan, service: Service, options: RunOptions, origins: &Origins) -> Fared {
    let plan = safe(plan);
    let mut world = World::new(service, Limits::default(), 1);
    let mut run = Run::new(&plan, &[], options, world.now);
    run.know_origins(origins);
    assert!(world.play(&mut run, usize::MAX));
    assert_eq!(world.service.violations, Vec::<String>::new());
    let errors = run.outcomes().filter_map(|ended| ended.error).collect();
    Fared { counts: run.counts(), errors, repairs: run.repairs().count(), world }
}

fn apply(wishes: &[Wish], faults: Faults) -> Fared {
    let (plan, service) = fleet(wishes, faults);
    apply_with(plan, service, RunOptions::default())
}

fn adds(devices: usize) -> Vec<Wish> {
    vec![Wish { add: &["Tier0"], ..Wish::default() }; devices]
}

fn values(devices: usize) -> Vec<Wish> {
    vec![Wish { value: true, ..Wish::default() }; devices]
}

/// Seconds from the first start to the last, compared with the closed form for `calls` on each lane.
fn over_formula(devices: usize, route: ValueRoute) -> f64 {
    let wish = Wish { has: &["own"], value: true, ..Wish::default() };
    let (mut plan, service) = fleet(&vec![wish; devices], Faults { slowest: 100, ..Faults::default() });
    plan.header.options.values = route;
    let origins = all_manual(&plan);
    let fared = apply_knowing(plan, service, RunOptions::default(), &origins);
    assert_eq!(fared.count(Outcome::Done), devices as u64);
    let writes = fared.world.sent.iter().filter(|(_, call)| !matches!(call, Call::Get { .. }));
    let writes: Vec<_> = writes.map(|(at, _)| *at).collect();
    let (first, last) = (writes[0], writes[devices - 1]);
    let calls = if route == ValueRoute::Both { devices.div_ceil(2) } else { devices } as u64;
    let formula = 3_600 * ((calls - 1) / 1_500) + 60 * ((calls - 1) % 1_500 / 100);
    last.since(first).as_secs_f64() / formula as f64
}

#[test]
fn values_take_the_time_that_the_limits_allow_and_no_longer() {
    for devices in [1_000, 1_600, 10_000] {
        for route in [ValueRoute::SetDeviceValue, ValueRoute::Both] {
            let ratio = over_formula(devices, route);
            assert!((1.0..=1.02).contains(&ratio), "{devices} values, {route:?}: {ratio}");
        }
    }
}

#[test]
fn one_bad_id_of_500_costs_two_calls_named_and_twenty_unnamed() {
    for (bad_ids, most) in [(BadIds::Named, 2), (BadIds::Unnamed, 20), (BadIds::Partial, 0)] {
        for bad in [0, 250, 377, 499] {
            let (plan, mut service) = fleet(&adds(500), Faults { bad_ids, ..Faults::default() });
            service.devices.values_mut().nth(bad).unwrap().is_bad = true;
            let fared = apply_with(plan, service, RunOptions::default());
            let ended = (fared.count(Outcome::Done), fared.errors.len());
            assert_eq!(ended, (499, 1), "{bad_ids:?} {:?}", fared.errors);
            assert!(fared.calls(Lane::BulkTag) <= 1 + most, "{bad_ids:?}: {}", fared.calls(Lane::BulkTag));
        }
    }
}

#[test]
fn where_ids_are_known_to_be_hidden_a_half_is_not_asked_once_the_other_was_taken() {
    let calls = |bad: &[usize], hides_unknown: bool| {
        let faults = Faults { bad_ids: BadIds::Unnamed, ..Faults::default() };
        let (plan, mut service) = fleet(&adds(500), faults);
        bad.iter().for_each(|bad| service.devices.values_mut().nth(*bad).unwrap().is_bad = true);
        let fared = apply_with(plan, service, RunOptions { hides_unknown, ..RunOptions::default() });
        assert_eq!(fared.count(Outcome::Done), 500 - bad.len() as u64, "{bad:?}");
        fared.calls(Lane::BulkTag) + fared.calls(Lane::SingleTag)
    };
    let mut saved = 0;
    for bad in [&[0][..], &[250], &[377], &[499], &[0, 499], &[249, 250], &[100, 300, 490]] {
        let (bare, known) = (calls(bad, false), calls(bad, true));
        assert!(known <= bare, "{bad:?}: {known} of {bare}");
        saved += bare - known;
    }
    assert_eq!(calls(&[499], true), 11);
    assert!(saved > 20, "{saved}");
}

#[test]
fn a_tag_that_nobody_takes_is_known_after_few_calls() {
    let fared = apply(&adds(500), Faults { refused_tag: Some("Tier0"), ..Faults::default() });
    assert_eq!((fared.count(Outcome::Refused), fared.count(Outcome::Failed)), (4, 496));
    assert_eq!((fared.calls(Lane::BulkTag), fared.calls(Lane::SingleTag)), (4, 4));
    assert!(fared.errors.iter().any(|error| error.contains("the tag is at fault")));
}

#[test]
fn a_forbidden_bulk_route_falls_back_to_single_calls_and_says_so_once() {
    let mut wishes = adds(30);
    wishes.extend(vec![Wish { add: &["Finance"], remove: &["Old"], ..Wish::default() }; 30]);
    let fared = apply(&wishes, Faults { bulk_closed: Some(403), ..Faults::default() });
    assert_eq!(fared.count(Outcome::Done), 90);
    assert_eq!(fared.notes().len(), 1, "{:?}", fared.notes());
    assert!(fared.calls(Lane::BulkTag) <= 4 && fared.calls(Lane::SingleTag) == 90);
}

#[test]
fn a_403_for_all_costs_few_calls() {
    let fared = apply(&adds(500), Faults { forbidden: true, ..Faults::default() });
    assert_eq!(fared.count(Outcome::Failed) + fared.count(Outcome::Refused), 500);
    let calls = fared.calls(Lane::BulkTag) + fared.calls(Lane::SingleTag);
    assert!(calls <= 10, "{calls}");
}

/// 40 additions, of which these are refused.
fn forty(bad_ids: BadIds, bad: &[usize]) -> Fared {
    let (plan, mut service) = fleet(&adds(40), Faults { bad_ids, ..Faults::default() });
    for (place, device) in service.devices.values_mut().enumerate() {
        device.is_bad = bad.contains(&place);
    }
    apply_with(plan, service, RunOptions::default())
}

#[test]
fn good_devices_are_never_lost_with_bad_ones() {
    for bad_ids in [BadIds::Named, BadIds::Slowly, BadIds::WithGood, BadIds::Echo, BadIds::Unnamed] {
        for bad in [&[0, 1][..], &[0, 39], &[5, 15, 25, 35], &[0, 10, 20, 30, 39], &[20, 21, 22, 23, 24, 25]]
        {
            let fared = forty(bad_ids, bad);
            let ended = (fared.count(Outcome::Done), fared.count(Outcome::Refused));
            assert_eq!(ended, (40 - bad.len() as u64, bad.len() as u64), "{bad_ids:?} {bad:?}");
        }
        let all: Vec<usize> = (0..40).collect();
        assert_eq!(forty(bad_ids, &all[..39]).count(Outcome::Done), 1, "{bad_ids:?}: one good device");
    }
}

#[test]
fn names_spare_calls_also_where_they_come_one_by_one() {
    let bad: Vec<usize> = (0..20).collect();
    let calls = |fared: &Fared| fared.calls(Lane::BulkTag) + fared.calls(Lane::SingleTag);
    let (named, slowly) = (forty(BadIds::Named, &bad), forty(BadIds::Slowly, &bad));
    assert!(calls(&named) <= 2 + 40, "{}", calls(&named));
    assert!(calls(&slowly) <= 21 + 40 + 4, "{}", calls(&slowly));
}

#[test]
fn a_bulk_route_that_is_missing_loses_no_device() {
    for status in [403, 404, 405] {
        let fared = apply(&adds(50), Faults { bulk_closed: Some(status), ..Faults::default() });
        assert_eq!(fared.count(Outcome::Done), 50, "{status}");
        assert_eq!((fared.calls(Lane::BulkTag), fared.calls(Lane::SingleTag)), (2, 50), "{status}");
        assert_eq!(fared.notes().len(), 1, "{:?}", fared.notes());
    }
}

/// Two devices that each swap a tag, on a service whose bulk answers were measured to show no device.
fn swaps_of_few(tags: TagRoute, faults: Faults) -> Fared {
    let swap = |add, remove| Wish { add, remove, ..Wish::default() };
    let (mut plan, service) = fleet(&[swap(&["EU"], &["US"]), swap(&["Tier0"], &["Tier1"])], faults);
    plan.header.options.tags = tags;
    apply_with(plan, service, RunOptions::default())
}

#[test]
fn few_tags_prove_themselves_one_by_one_where_bulk_answers_show_nothing() {
    let silent = Faults { silent_bulk: true, ..Faults::default() };
    let start = World::new(Service::new(Faults::default(), 1), Limits::default(), 1).now;
    let took = |fared: &Fared| fared.world.now.since(start).as_secs();
    let bulk = swaps_of_few(TagRoute::Bulk, silent.clone());
    assert_eq!((bulk.count(Outcome::Done), bulk.calls(Lane::BulkTag)), (4, 4));
    assert!(
        took(&bulk) >= 30,
        "the list is read again after the additions and after the removals: {}",
        took(&bulk)
    );
    let single = swaps_of_few(TagRoute::SingleIfFewer, silent);
    assert_eq!((single.count(Outcome::Done), single.calls(Lane::SingleTag)), (4, 4));
    assert_eq!((single.calls(Lane::BulkTag), took(&single)), (0, 0));
}

#[test]
fn a_single_route_that_is_not_what_was_measured_loses_no_change() {
    for status in [403, 404, 405] {
        let faults = Faults { silent_bulk: true, single_closed: Some(status), ..Faults::default() };
        let fared = swaps_of_few(TagRoute::SingleIfFewer, faults);
        assert_eq!(fared.count(Outcome::Done), 4, "{status}: {:?}", fared.errors);
        assert_eq!(fared.notes().len(), 1, "{:?}", fared.notes());
        assert!(fared.calls(Lane::SingleTag) <= 4 && fared.calls(Lane::BulkTag) == 4, "{status}");
    }
}

#[test]
fn a_device_that_is_refused_alone_says_nothing_about_the_others() {
    for (bad_ids, is_gone, outcome) in
        [(BadIds::Named, true, Outcome::Gone), (BadIds::Unnamed, false, Outcome::Refused)]
    {
        let (mut plan, mut service) =
            fleet(&adds(3), Faults { silent_bulk: true, bad_ids, ..Faults::default() });
        plan.header.options.tags = TagRoute::SingleIfFewer;
        plan.header.inventory.devices = 30_000;
        let bad = service.devices.values_mut().nth(1).unwrap();
        (bad.is_bad, bad.is_gone) = (true, is_gone);
        let fared = apply_with(plan, service, RunOptions::default());
        assert_eq!((fared.count(Outcome::Done), fared.count(outcome)), (2, 1), "{:?}", fared.errors);
        assert_eq!((fared.calls(Lane::SingleTag), fared.calls(Lane::BulkTag)), (4, 0));
    }
}

#[test]
fn what_is_not_found_is_gone_only_if_the_list_does_not_show_it() {
    let (plan, mut service) = fleet(&values(5), Faults::default());
    for (place, device) in service.devices.values_mut().enumerate().take(2) {
        (device.is_bad, device.is_gone) = (true, place == 0);
    }
    let fared = apply_with(plan, service, RunOptions::default());
    let ended = [Outcome::Gone, Outcome::Refused, Outcome::Done].map(|outcome| fared.count(outcome));
    assert_eq!(ended, [1, 1, 3]);
}

#[test]
fn additions_go_before_removals_and_removals_wait_until_they_are_confirmed() {
    let wishes = vec![Wish { add: &["New"], remove: &["Old"], ..Wish::default() }; 3];
    let fared = apply(&wishes, Faults { slowest: 3_000, ..Faults::default() });
    assert_eq!((fared.count(Outcome::Done), fared.world.sent.len()), (6, 2));
    let refused = apply(&wishes, Faults { refused_tag: Some("New"), ..Faults::default() });
    assert_eq!((refused.count(Outcome::Refused), refused.count(Outcome::NotAttempted)), (3, 3));
    assert!(refused.tags(0).contains(&"Old"));
}

#[test]
fn higher_priority_goes_first_then_the_larger_batch() {
    let mut wishes = vec![Wish { add: &["small"], ..Wish::default() }];
    wishes.extend(vec![Wish { add: &["large"], ..Wish::default() }; 2]);
    wishes.push(Wish { add: &["urgent"], rule: 2, ..Wish::default() });
    let (plan, service) = fleet(&wishes, Faults::default());
    let fared = apply_with(plan, service, RunOptions { concurrency: 1, ..RunOptions::default() });
    let tag = |(_, call): &(_, Call)| {
        if let Call::BulkTag { tag, .. } = call { tag.to_string() } else { String::new() }
    };
    assert_eq!(fared.world.sent.iter().map(tag).collect::<Vec<_>>(), ["urgent", "large", "small"]);
}

#[test]
fn an_idle_lane_does_not_wait_for_a_slow_one() {
    const TAGS: [&[&str]; 12] =
        [&["a"], &["b"], &["c"], &["d"], &["e"], &["f"], &["g"], &["h"], &["i"], &["j"], &["k"], &["l"]];
    let mut wishes: Vec<Wish> = TAGS.map(|add| Wish { add, ..Wish::default() }).to_vec();
    wishes.extend(values(50));
    let fared = apply(&wishes, Faults { slow_bulk: 30_000, ..Faults::default() });
    let is_value = |call: &Call| matches!(call, Call::SetValue { .. });
    let last = fared.world.sent.iter().rfind(|(_, call)| is_value(call)).unwrap();
    assert!(last.0.since(fared.world.sent[0].0) < Duration::from_secs(2));
}

#[test]
fn a_device_that_is_not_found_twice_is_gone() {
    let (plan, mut service) = fleet(&values(5), Faults::default());
    let first = service.devices.values_mut().next().unwrap();
    (first.is_bad, first.is_gone) = (true, true);
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Gone), fared.count(Outcome::Done)), (1, 4));
    assert_eq!(fared.calls(Lane::SetValue), 6);
}

#[test]
fn a_lane_on_which_everything_fails_is_given_up_and_the_others_go_on() {
    let (mut plan, service) = fleet(&values(400), Faults { failing: 1_000, ..Faults::default() });
    let fared = apply_with(plan.clone(), service, RunOptions::default());
    assert!(fared.calls(Lane::SetValue) <= 12 * 5, "{}", fared.calls(Lane::SetValue));
    assert!(fared.count(Outcome::NotAttempted) >= 400 - 12);
    assert!(fared.errors.iter().all(|error| !error.is_empty()));
    assert_eq!(fared.notes().len(), 1);
    plan.changes.truncate(3);
    let (_, service) = fleet(&values(3), Faults { failing: 1_000, ..Faults::default() });
    let few = apply_with(plan, service, RunOptions::default());
    assert_eq!((few.count(Outcome::Failed), few.calls(Lane::SetValue)), (3, 15), "five tries each");
}

#[test]
fn a_tag_that_comes_back_is_bounced_and_its_device_is_not_lost() {
    let wishes = vec![Wish { remove: &["Held"], has: &["Own"], ..Wish::default() }; 2];
    let (plan, mut service) = fleet(&wishes, Faults::default());
    service.devices.values_mut().next().unwrap().registry = Some("Held".into());
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Bounced), fared.count(Outcome::Done)), (1, 1));
    assert_eq!(fared.tags(0), ["Own", "Held"]);
}

#[test]
fn what_an_empty_answer_does_not_prove_is_read_again_once() {
    let fared = apply(&adds(3), Faults { empty_bodies: true, ..Faults::default() });
    assert_eq!((fared.count(Outcome::Done), fared.world.sent.len()), (3, 1));
    let lagging = apply(&adds(3), Faults { empty_bodies: true, visible_after: 300, ..Faults::default() });
    assert_eq!(lagging.count(Outcome::Unknown), 3, "a list that lags is no proof that it bounced");
}

#[test]
fn a_list_that_is_read_again_without_tags_and_values_proves_nothing() {
    let wish =
        Wish { add: &["Tier0"], remove: &["env/old"], has: &["env/old"], value: true, ..Wish::default() };
    let faults = Faults { empty_bodies: true, silent_list: 1_000, ..Faults::default() };
    let fared = apply(&[wish; 3], faults);
    let unproven = (fared.count(Outcome::Unknown), fared.count(Outcome::NotAttempted));
    assert_eq!(unproven, (6, 3), "{:?}", fared.errors);
    let says = |words: &str| fared.errors.iter().any(|error| error.contains(words));
    assert!(says("shows it without its tags") && says("shows it without a value"), "{:?}", fared.errors);
}

#[test]
fn a_call_limit_stops_early_and_names_the_rest() {
    let (plan, service) = fleet(&values(50), Faults::default());
    let fared = apply_with(plan, service, RunOptions { max_calls: Some(20), ..RunOptions::default() });
    assert_eq!((fared.count(Outcome::Done), fared.count(Outcome::NotAttempted)), (20, 30));
    assert!(fared.errors.iter().all(|error| error.contains(StopReason::CallLimit.phrase())));
}

#[test]
fn a_throttled_lane_waits_and_nothing_fails() {
    let faults = Faults { throttled: 300, retry_after: true, ..Faults::default() };
    let fared = apply(&values(60), faults);
    assert_eq!(fared.count(Outcome::Done), 60);
}

#[test]
fn a_run_whose_last_call_is_the_last_allowed_ends_whole() {
    let (plan, service) = fleet(&values(20), Faults::default());
    let plan = safe(plan);
    let mut world = World::new(service, Limits::default(), 1);
    let options = RunOptions { max_calls: Some(20), ..RunOptions::default() };
    let mut run = Run::new(&plan, &[], options, world.now);
    assert!(world.play(&mut run, usize::MAX));
    assert_eq!((run.counts()[Outcome::Done as usize], run.stopped()), (20, None));
}

#[test]
fn devices_that_a_rule_owns_do_not_close_the_value_lane() {
    let (plan, mut service) = fleet(&values(100), Faults::default());
    service.devices.values_mut().take(30).for_each(|device| device.is_forbidden = true);
    let fared = apply_with(plan, service, RunOptions::default());
    assert_eq!((fared.count(Outcome::Done), fared.count(Outcome::Refused)), (70, 30));
}

#[test]
fn a_value_lane_that_is_forbidden_for_all_is_given_up_after_few_calls() {
    let fared = apply(&values(400), Faults { forbidden: true, ..Faults::default() });
    assert!(fared.calls(Lane::SetValue) <= 5 + 20 + 8, "{}", fared.calls(Lane::SetValue));
    assert_eq!(fared.count(Outcome::Refused) + fared.count(Outcome::NotAttempted), 400);
}

#[test]
fn a_removal_does_not_rest_on_an_addition_that_an_earlier_part_confirmed() {
    let wish = Wish { add: &["New"], remove: &["Old"], ..Wish::default() };
    let (plan, service) = fleet(&[wish], Faults::default());
    let plan = safe(plan);
    let mut world = World::new(service, Limits::default(), 1);
    let options = RunOptions { max_calls: Some(1), ..RunOptions::default() };
    let mut first = Run::new(&plan, &[], options, world.now);
    assert!(world.play(&mut first, usize::MAX));
    assert_eq!(first.counts()[Outcome::Done as usize], 1);
    // A person removes the new tag before the run is resumed with a fresh plan of both changes.
    world.service.devices.values_mut().for_each(|device| device.tags.retain(|tag| **tag != *"New"));
    let journal = world.journal.clone();
    let mut second = Run::new(&plan, &journal, RunOptions::default(), world.now);
    assert!(world.play(&mut second, usize::MAX));
    let device = world.service.devices.values().next().expect("one device");
    assert!(device.tags.iter().any(|tag| **tag == *"Old"), "{:?}", device.tags);
}
