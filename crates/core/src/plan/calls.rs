//! Splits changes into calls that the service accepts: one tag, one action, at most 500 devices; one value, one device.
//!
//! Decides the calls and their order of preference, not when they are sent; that is `apply`.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeMap;

use super::{
    Cause, CauseIndex, DeviceChange, Lane, MAX_BULK, Options, Plan, TagAction, TagIndex, TagRoute,
    ValueRoute, combine,
};

/// The calls of a plan. Every tag change is in exactly one tag call or is combined, every value change is in exactly one value
/// call or is combined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedCalls {
    /// Bulk calls in order: higher priority first, then larger ones. If they go by `singleTag`, each has one device.
    pub tags: Vec<BulkCall>,
    /// `bulkTag` or `singleTag`: the lane of all of them.
    pub tag_lane: TagLane,
    /// One call per device value, higher priority first.
    pub values: Vec<ValueCall>,
    /// Devices (indices into [`Plan::changes`]) whose value and tags go in one `PATCH`, ascending.
    pub combined: Vec<u32>,
}

/// The lane of a plan's tag calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagLane {
    #[default]
    Bulk,
    /// One call per device: its answer proves the change, so the list need not be read again.
    Single,
}

/// One tag, one action, at most [`MAX_BULK`] devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkCall {
    pub tag: TagIndex,
    pub action: TagAction,
    /// Indices into [`Plan::changes`].
    pub devices: Vec<u32>,
    /// The highest priority among its changes.
    pub priority: i64,
}

/// One value on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueCall {
    /// Index into [`Plan::changes`].
    pub device: u32,
    /// `setValue` or `updateDevice`.
    pub lane: Lane,
    /// The priority of its change.
    pub priority: i64,
}

/// Number of calls that [`work`] makes of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    pub bulk: u64,
    /// Tag calls on the lane `singleTag`; if there are any, there are no bulk calls.
    pub singles: u64,
    /// Value calls on the lane `setValue`.
    pub set_value: u64,
    /// Value calls on the lane `updateDevice`.
    pub update_device: u64,
    /// Devices whose value and tags go in one `PATCH`, each after a read.
    pub combined: u64,
    /// The provable minimum of calls for these options.
    pub minimum: u64,
    /// With `combine`: the number of calls without it.
    pub uncombined: Option<u64>,
}

/// Counts the calls of a plan without making them, because they are not needed until it is applied.
pub fn count(plan: &Plan, options: &Options) -> CallCounts {
    let choice = choice(plan, options);
    let mut sizes = vec![[0u64; 2]; plan.tags.len()];
    let mut values = 0;
    for change in apart(plan, &choice).map(|(_, change)| change) {
        change.add.iter().for_each(|add| sizes[add.tag.0 as usize][0] += 1);
        change.remove.iter().for_each(|remove| sizes[remove.tag.0 as usize][1] += 1);
        values += usize::from(change.value.is_some());
    }
    let bulk = sizes.as_flattened().iter().map(|size| size.div_ceil(MAX_BULK as u64)).sum();
    let changes = sizes.as_flattened().iter().sum();
    let (bulk, singles) = match tag_lane(plan, options, changes, bulk) {
        TagLane::Bulk => (bulk, 0),
        TagLane::Single => (0, changes),
    };
    let combined = choice.devices.len();
    let moved = moved(plan, options, values, combined);
    let (values, combined) = (values as u64, combined as u64);
    let minimum = if options.combine { choice.minimum } else { bulk + singles + values + 2 * combined };
    let minimum = minimum + u64::from(moved > 0);
    CallCounts {
        bulk,
        singles,
        set_value: values - moved as u64,
        update_device: moved as u64,
        combined,
        minimum,
        uncombined: options.combine.then_some(choice.uncombined),
    }
}

/// The most tag changes that are sent one per call: in a busy plan, a bulk call replaces hundreds of them.
const MOST_SINGLES: u64 = 1_000;

/// Devices on a page of the list.
const PAGE: u64 = 10_000;

/// The lane of tag changes. A bulk call whose answer shows no device also costs a read of the whole list.
fn tag_lane(plan: &Plan, options: &Options, changes: u64, bulk: u64) -> TagLane {
    let pages = plan.header.inventory.devices.div_ceil(PAGE).max(1);
    let is_fewer = changes <= (bulk + pages).min(MOST_SINGLES);
    let is_open = options.tags == TagRoute::SingleIfFewer && !options.combine;
    if is_open && is_fewer { TagLane::Single } else { TagLane::Bulk }
}

fn choice(plan: &Plan, options: &Options) -> combine::Choice {
    if options.combine { combine::choose(plan) } else { combine::Choice::default() }
}

/// The devices that are not combined, with their indices.
fn apart<'a>(plan: &'a Plan, choice: &'a combine::Choice) -> impl Iterator<Item = (u32, &'a DeviceChange)> {
    let numbered = plan.changes.iter().enumerate().map(|(index, change)| (index as u32, change));
    numbered.filter(|(device, _)| choice.devices.binary_search(device).is_err())
}

/// The calls of a plan.
pub fn work(plan: &Plan, options: &Options) -> PlannedCalls {
    let priorities: Vec<i64> = plan.causes.iter().map(|cause| priority(plan, cause)).collect();
    let of = |cause: CauseIndex| priorities.get(cause.0 as usize).copied().unwrap_or(0);
    let choice = choice(plan, options);

    let mut groups: BTreeMap<(TagIndex, TagAction), Vec<(i64, u32)>> = BTreeMap::new();
    let mut values = Vec::new();
    for (device, change) in apart(plan, &choice) {
        for (tag, action, cause) in change.tag_changes() {
            groups.entry((tag, action)).or_default().push((of(cause), device));
        }
        if let Some(value) = change.value {
            values.push(ValueCall { device, lane: Lane::SetValue, priority: of(value.cause) });
        }
    }
    let sizes = || groups.values().map(Vec::len);
    let calls = sizes().map(|size| size.div_ceil(MAX_BULK)).sum::<usize>();
    let tag_lane = tag_lane(plan, options, sizes().sum::<usize>() as u64, calls as u64);
    let most = if tag_lane == TagLane::Single { 1 } else { MAX_BULK };
    let mut tags = Vec::new();
    for ((tag, action), mut members) in groups {
        // Within one tag and action, urgent devices fill the first call; priority never adds a call.
        members.sort_by_key(|(priority, device)| (std::cmp::Reverse(*priority), *device));
        for chunk in members.chunks(most) {
            let devices = chunk.iter().map(|(_, device)| *device).collect();
            tags.push(BulkCall { tag, action, devices, priority: chunk[0].0 });
        }
    }
    tags.sort_by_key(|call| {
        (std::cmp::Reverse(call.priority), std::cmp::Reverse(call.devices.len()), call.tag, call.action)
    });
    values.sort_by_key(|call| (std::cmp::Reverse(call.priority), call.device));
    // Every second call moves, so that urgent values go first on both lanes.
    let moved = moved(plan, options, values.len(), choice.devices.len());
    for call in values.iter_mut().skip(1).step_by(2).take(moved) {
        call.lane = Lane::UpdateDevice;
    }
    PlannedCalls { tags, tag_lane, values, combined: choice.devices }
}

/// The priority of a change with this cause: its rules' priority, or 0 without a rule.
pub fn priority(plan: &Plan, cause: &Cause) -> i64 {
    let Cause::Rule(rules) = cause else { return 0 };
    rules
        .iter()
        .filter_map(|rule| plan.rules.get(*rule as usize))
        .map(|rule| rule.priority)
        .max()
        .unwrap_or(0)
}

/// Number of value calls that use the second lane if both are used, so that two lanes with equal limits have the same load.
/// `patches` calls are already on the second lane. If no canary can succeed, that is all of them.
fn moved(plan: &Plan, options: &Options, values: usize, patches: usize) -> usize {
    let evened = ((values + patches) / 2).saturating_sub(patches);
    match options.values {
        ValueRoute::SetDeviceValue => 0,
        ValueRoute::Both if may_prove_patch(plan, options) => evened,
        ValueRoute::Both => evened.min(1),
    }
}

/// Whether some device may prove that a `PATCH` of its value keeps tags: it gets a tag in this plan, or keeps one that hunting
/// may know as manual.
fn may_prove_patch(plan: &Plan, options: &Options) -> bool {
    let keeps_tag = |change: &DeviceChange| {
        let goes = |tag: &TagIndex| change.remove.iter().any(|remove| remove.tag == *tag);
        change.observed_tags.iter().any(|tag| !goes(tag))
    };
    let is_asked = options.origins == Some(true);
    let mut with_value = plan.changes.iter().filter(|change| change.value.is_some());
    with_value.any(|change| !change.add.is_empty() || is_asked && keeps_tag(change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceValue;
    use crate::plan::{TagChange, ValueChange};

    /// A plan with one rule as the cause, in which each device has (tags to add, tags to remove, a value).
    fn plan(devices: &[(&[u32], &[u32], bool)]) -> Plan {
        let changes = devices.iter().enumerate().map(|(index, (add, remove, value))| DeviceChange {
            id: format!("{index:08}").into(),
            name: None,
            observed_tags: remove.iter().map(|tag| TagIndex(*tag)).collect(),
            observed_value: None,
            add: add.iter().map(|tag| TagChange { tag: TagIndex(*tag), cause: CauseIndex(0) }).collect(),
            remove: remove
                .iter()
                .map(|tag| TagChange { tag: TagIndex(*tag), cause: CauseIndex(0) })
                .collect(),
            value: value.then_some(ValueChange { to: DeviceValue::High, cause: CauseIndex(0) }),
        });
        Plan {
            changes: changes.collect(),
            tags: (0..10).map(|tag| format!("t{tag}").into()).collect(),
            causes: vec![Cause::Rule(vec![])],
            ..Plan::default()
        }
    }

    #[test]
    fn a_bulk_call_has_one_tag_one_action_and_at_most_500_devices() {
        let devices: Vec<(&[u32], &[u32], bool)> = vec![(&[1], &[2], false); 501];
        let work = work(&plan(&devices), &Options::default());
        let sizes: Vec<usize> = work.tags.iter().map(|call| call.devices.len()).collect();
        assert_eq!(sizes, [500, 500, 1, 1]);
    }

    #[test]
    fn few_tags_go_one_by_one_where_bulk_answers_show_nothing() {
        let options = Options { tags: TagRoute::SingleIfFewer, ..Options::default() };
        let lanes = |plan: &Plan, options: &Options| {
            let (work, count) = (work(plan, options), count(plan, options));
            assert_eq!(work.tags.len() as u64, count.bulk + count.singles);
            assert_eq!(count.minimum, count.bulk + count.singles);
            (count.bulk, count.singles)
        };
        // One tag each and a shared one: three bulk calls and a list read, or four calls that prove themselves.
        let few = plan(&[(&[1, 3], &[], false), (&[1], &[2], false)]);
        assert_eq!(lanes(&few, &options), (0, 4));
        assert_eq!(lanes(&few, &Options::default()), (3, 0));
        assert_eq!(lanes(&few, &Options { combine: true, ..options }).1, 0, "a PATCH may carry them");
        let mut more = plan(&[(&[1], &[], false), (&[1], &[], false), (&[1], &[], false)]);
        assert_eq!(lanes(&more, &options), (1, 0));
        more.header.inventory.devices = 10_001;
        assert_eq!(lanes(&more, &options), (0, 3), "the list of a larger tenant takes more calls");
    }

    #[test]
    fn values_are_halved_over_two_routes() {
        let mut devices: Vec<(&[u32], &[u32], bool)> = vec![(&[], &[], true); 7];
        let options = Options { values: ValueRoute::Both, ..Options::default() };
        let by_patch = |devices: &[(&[u32], &[u32], bool)], options: &Options| {
            let work = work(&plan(devices), options);
            work.values.iter().filter(|call| call.lane == Lane::UpdateDevice).count()
        };
        assert_eq!(
            by_patch(&devices, &options),
            1,
            "no tag here is known as manual: the canary ends the route"
        );
        let asked = Options { origins: Some(true), ..options };
        assert_eq!(by_patch(&devices, &asked), 1, "a device without tags proves nothing");
        devices[0].0 = &[1];
        assert_eq!(by_patch(&devices, &options), 3, "a tag that the run adds is manual");
        let mut kept = plan(&devices[1..]);
        kept.changes[0].observed_tags = vec![TagIndex(1)].into();
        assert_eq!(count(&kept, &asked).update_device, 3, "hunting may know it as manual");
        assert_eq!(count(&kept, &options).update_device, 1);
    }

    #[test]
    fn combining_pays_only_where_a_patch_and_its_read_replace_more_calls() {
        let options = Options { combine: true, ..Options::default() };
        // One device, a value and three tags of its own: four calls become a read and a PATCH.
        let count_of = |devices: &[(&[u32], &[u32], bool)]| count(&plan(devices), &options);
        let alone = count_of(&[(&[1, 2, 3], &[], true)]);
        assert_eq!((alone.combined, alone.minimum, alone.uncombined), (1, 2, Some(4)));
        // One tag of its own: two calls either way, so the safer route stays.
        let even = count_of(&[(&[1], &[], true)]);
        assert_eq!((even.combined, even.minimum), (0, 2));
        // An empty list is never sent.
        let emptied = count_of(&[(&[], &[1, 2, 3], true)]);
        assert_eq!((emptied.combined, emptied.minimum), (0, 4));
    }

    #[test]
    fn calls_are_counted_as_they_are_made() {
        let mut devices: Vec<(&[u32], &[u32], bool)> = vec![(&[1], &[2], true); 501];
        devices.extend([(&[3, 4, 5][..], &[1][..], true), (&[], &[2, 3], false), (&[], &[], true)]);
        let plan = plan(&devices);
        for (values, combine) in [
            (ValueRoute::SetDeviceValue, false),
            (ValueRoute::SetDeviceValue, true),
            (ValueRoute::Both, false),
            (ValueRoute::Both, true),
        ] {
            let options = Options { values, combine, ..Options::default() };
            let (work, count) = (work(&plan, &options), count(&plan, &options));
            let on = |lane: Lane| work.values.iter().filter(|call| call.lane == lane).count() as u64;
            assert_eq!(count.bulk, work.tags.len() as u64, "{options:?}");
            assert_eq!(
                (count.set_value, count.update_device),
                (on(Lane::SetValue), on(Lane::UpdateDevice)),
                "{options:?}"
            );
            assert_eq!(count.combined, work.combined.len() as u64, "{options:?}");
        }
    }

    #[test]
    fn urgent_devices_fill_the_first_call() {
        let mut plan = plan(&[(&[1], &[], false), (&[1], &[], false)]);
        plan.rules = vec![super::super::RuleReference {
            name: "r".into(),
            place: crate::plan::nowhere(),
            priority: 7,
            description: None,
            owner: None,
            ticket: None,
        }];
        plan.causes.push(Cause::Rule(vec![0]));
        plan.changes[1].add[0].cause = CauseIndex(1);
        let work = work(&plan, &Options::default());
        assert_eq!((work.tags[0].devices.as_slice(), work.tags[0].priority), (&[1, 0][..], 7));
    }
}
