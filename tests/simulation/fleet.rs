//! Fleets, plans and fault schedules from seeds.

use std::sync::Arc;

use super::service::{BadIds, Device, Faults, LongTag, Patch, PatchLoss, Service};
use mdetag_core::apply::retry::Jitter;
use mdetag_core::device::DeviceValue;
use mdetag_core::plan::{
    Cause, CauseIndex, DeviceChange, Plan, TagChange, TagIndex, TagRoute, ValueChange, ValueRoute,
};
use mdetag_core::tag;

pub(crate) struct Fleet {
    pub(crate) plan: Plan,
    pub(crate) service: Service,
}

/// Whether this plan's routes may remove before an addition is confirmed: one combined `PATCH` does both at once.
pub(crate) fn may_precede(plan: &Plan) -> bool {
    plan.header.options.combine
}

/// 200 characters: as long as a tag may be.
pub(crate) const LONGEST: &str = concat!(
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "1234567890123456789012345678901234567890",
);
/// A tag that only another origin can have made.
pub(crate) const TOO_LONG: &str = concat!(
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "12345678901234567890123456789012345678901",
);

/// Tags that the policy claims. It can remove more than it can give: white space at the ends, or more than 200 characters.
pub(crate) const TAGS: [&str; 11] = [
    "Tier0", "tier0", "env/prod", "env/test", "Finance", "EU", "legacy", "Ring 1", "Ring 1 ", LONGEST,
    TOO_LONG,
];

/// Tags of others.
const OTHERS: [&str; 2] = ["portal", "people's own"];

impl Fleet {
    /// A fleet of up to a few hundred devices, usually, with one or several kinds of faults.
    pub(crate) fn of_seed(seed: u64) -> Fleet {
        let mut random = Jitter::new(seed);
        let mut pick = |bound: u64| random.number() % bound;
        let size = [3, 40, 120, 700][pick(4) as usize] + pick(20);
        let mut faults = Faults { slowest: [20, 200, 3_000][pick(3) as usize], ..Faults::default() };
        faults.retry_after = pick(2) == 0;
        faults.bad_ids =
            [BadIds::Named, BadIds::Slowly, BadIds::WithGood, BadIds::Echo, BadIds::Unnamed, BadIds::Partial]
                [pick(6) as usize];
        faults.patch = [Patch::Replace, Patch::Append, Patch::Legacy][pick(3) as usize];
        let mut bad = 0;
        let mut held = 0;
        let mut forbidden = 0;
        let (mut bulk_forbidden, mut value_forbidden, mut value_held) = (0, 0, 0);
        for _ in 0..1 + pick(3) {
            let rate = [10, 60, 200][pick(3) as usize];
            match pick(28) {
                0 => faults.throttled = rate,
                1 => faults.failing = 2 * rate,
                2 => faults.applied_but_failing = 2 * rate,
                3 => faults.reset_before = rate,
                4 => faults.reset_after = rate,
                5 => faults.broken = rate,
                6 => faults.timed_out = rate / 4,
                7 => faults.passing_404 = rate / 4,
                8 => faults.bulk_closed = Some([403, 404, 405][pick(3) as usize]),
                9 => faults.empty_bodies = true,
                10 => faults.patch_wipes = true,
                11 => faults.folds_removals = true,
                12 => bad = 1 + pick(size / 2),
                13 => held = 1 + pick(size / 2),
                14 => forbidden = 1 + pick(size / 2),
                15 => faults.patch_loses = Some(PatchLoss::Value),
                16 => faults.patch_loses = Some(PatchLoss::List),
                17 => {
                    (forbidden, faults.bulk_forbids) = (1 + pick(size / 8 + 1), true);
                }
                18 => {
                    (bad, faults.bad_status) = (1 + pick(size / 4 + 1), Some([403, 404][pick(2) as usize]));
                }
                19 => (faults.folds_additions, faults.folds_removals) = (true, true),
                20 => bulk_forbidden = 1 + pick(3),
                21 => faults.trims = true,
                22 => faults.long_tag = [LongTag::Refuse, LongTag::Cut][pick(2) as usize],
                23 => {
                    (held, faults.returns_after) = (1 + pick(size / 2), [1, 600, 86_400][pick(3) as usize]);
                }
                24 => (faults.throttled, faults.waits_long, faults.retry_after) = (rate / 10, true, true),
                25 => faults.silent_list = 5 * rate,
                26 => faults.patch_closed = Some([403, 404, 405, 500][pick(4) as usize]),
                _ => (value_forbidden, value_held) = (1 + pick(size / 4 + 1), 1 + pick(size / 4 + 1)),
            }
        }
        if pick(4) == 0 {
            faults.visible_after = [5, 300, 3_000][pick(3) as usize];
        }
        let makes_one_of_two = faults.folds_removals || faults.trims || faults.long_tag == LongTag::Cut;
        if faults.patch_wipes || makes_one_of_two || faults.patch_loses.is_some() {
            // If an answer is silent and the list lags or is silent too, nobody can see the loss.
            (faults.visible_after, faults.silent_list) = (0, 0);
        }
        let mut plan = Plan {
            tags: TAGS.iter().chain(&OTHERS).map(|tag| Arc::from(*tag)).collect(),
            causes: vec![Cause::Rule(vec![])],
            ..Plan::default()
        };
        plan.header.options.values = if pick(2) == 0 { ValueRoute::Both } else { ValueRoute::SetDeviceValue };
        plan.header.options.combine = pick(3) == 0;
        if seed % 7 == 3 {
            // A list so long that tags go one by one.
            plan.header.options.tags = TagRoute::SingleIfFewer;
            plan.header.inventory.devices = 20_000_000;
        }
        let mut service = Service::new(faults, seed);
        let values = pick(3) > 0;
        service.is_shared = pick(5) == 0;
        for number in 0..size {
            let id: Arc<str> = format!("{number:06x}{:034x}", pick(u64::MAX)).into();
            let mut device = Device { value: "Normal".into(), ..Device::default() };
            let cause = CauseIndex(0);
            let mut change = DeviceChange {
                id: id.clone(),
                name: None,
                observed_tags: Box::default(),
                observed_value: Some("Normal".into()),
                add: Vec::new(),
                remove: Vec::new(),
                value: None,
            };
            let mut observed = Vec::new();
            for (index, tag) in TAGS.iter().enumerate() {
                let index = TagIndex(index as u32);
                match pick(6) {
                    0 if tag::check(tag).is_ok() => change.add.push(TagChange { tag: index, cause }),
                    0 | 1 => {
                        device.tags.push((*tag).into());
                        observed.push(index);
                        change.remove.push(TagChange { tag: index, cause });
                    }
                    2 => {
                        device.tags.push((*tag).into());
                        observed.push(index);
                    }
                    _ => {}
                }
            }
            for (index, other) in OTHERS.iter().enumerate().take(pick(3) as usize) {
                device.tags.push((*other).into());
                observed.push(TagIndex((TAGS.len() + index) as u32));
            }
            if number < held && !change.remove.is_empty() {
                device.registry = Some(TAGS[change.remove[0].tag.0 as usize].into());
            }
            device.is_bad = number >= size - bad.min(size);
            // 403 for single calls on every other device from the front: a rule of another owner holds it.
            device.is_forbidden = number < forbidden && number % 2 == 1;
            device.is_bulk_forbidden = number < bulk_forbidden;
            device.is_value_forbidden = number < value_forbidden && number % 2 == 0;
            device.is_value_held = number < value_held && number % 3 == 1;
            device.is_gone = device.is_bad && number % 2 == 0;
            change.observed_tags = observed.into();
            if values && pick(2) == 0 {
                change.value = Some(ValueChange { to: DeviceValue::High, cause });
            }
            service.devices.insert(id, device);
            if !change.add.is_empty() || !change.remove.is_empty() || change.value.is_some() {
                plan.changes.push(change);
            }
        }
        plan.changes.sort_by(|one, other| one.id.cmp(&other.id));
        Fleet { plan, service }
    }
}
