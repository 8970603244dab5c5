//! Assigns the devices of a large plan to waves, and computes each wave's cost.
//!
//! `apply` decides when a wave starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::digest::Sha256;
use super::guard::changes_digest;
use super::{DeviceChange, Plan, Schedule, Withheld, WithheldReason, cost};
use crate::policy::{Quantity, Rollout};

/// A plan in waves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedWaves {
    /// In the order in which they are written; those of a part of a reviewed plan keep its numbers.
    pub waves: Vec<PlannedWave>,
    /// The wave of each of [`Plan::changes`], by its place.
    #[serde(skip)]
    pub of: Vec<u32>,
}

/// One wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedWave {
    /// Its number, from 1.
    pub wave: u32,
    /// Devices with changes in it.
    pub devices: u64,
    /// Calls that they take.
    pub calls: u64,
}

impl PlannedWaves {
    /// The number of the last wave.
    pub fn last(&self) -> u32 {
        self.waves.last().map_or(0, |wave| wave.wave)
    }
}

/// The wave of a device; `None` if the plan has no waves or lacks the device.
pub fn wave_of(plan: &Plan, id: &str) -> Option<u32> {
    let waves = plan.rollout.as_ref()?;
    let place = plan.changes.binary_search_by(|change| (*change.id).cmp(id)).ok()?;
    waves.of.get(place).copied()
}

/// Splits a plan into the waves of its policy. `is_first`: whether a device always goes into the first wave.
///
/// The others are ordered by the SHA-256 of the changes' digest and the device's id: nobody can choose which go first, and the
/// same changes give the same waves. A plan with a single wave gets none.
pub fn assign(plan: &mut Plan, rollout: &Rollout, is_first: &(dyn Fn(&str) -> bool + Sync)) {
    plan.rollout = None;
    let devices = plan.changes.len();
    if devices == 0 || (devices as u64) < rollout.from {
        return;
    }
    let digest = changes_digest(plan);
    let rank = |(place, change): (usize, &DeviceChange)| {
        let mut sha256 = Sha256::new();
        sha256.update(digest.as_bytes());
        sha256.update(change.id.as_bytes());
        let hash = sha256.finish();
        let digits = hash.strip_prefix("sha256:").and_then(|digits| digits.get(..32));
        let hash = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or(u128::MAX);
        (!is_first(&change.id), hash, place)
    };
    let mut order: Vec<(bool, u128, usize)> = plan.changes.par_iter().enumerate().map(rank).collect();
    order.par_sort_unstable();
    let first = order.iter().take_while(|(is_later, ..)| !is_later).count();
    let ends = ends(&rollout.waves, devices, first);
    if ends.len() < 2 {
        return;
    }
    let mut of = vec![0; devices];
    let mut start = 0;
    for (wave, end) in (1..).zip(&ends) {
        order[start..*end].iter().for_each(|(.., place)| of[*place] = wave);
        start = *end;
    }
    set(plan, of);
}

/// Number of devices (or tenants) written after each wave. Each wave adds some, the last reaches all, and the first holds at
/// least its own.
pub fn ends(steps: &[Quantity], devices: usize, first: usize) -> Vec<usize> {
    let reach = |step: &Quantity| match step {
        Quantity::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX).min(devices),
        Quantity::Share(share) => share.of(devices as u64) as usize,
    };
    let mut ends: Vec<usize> = Vec::new();
    for step in steps.iter().map(reach).chain([devices]) {
        let before = ends.last().copied();
        let step = if before.is_none() { step.max(first) } else { step };
        if step > before.unwrap_or(0) {
            ends.push(step);
        }
    }
    ends
}

/// Takes out devices that wait for their wave of an open rollout; returns whether there were any. `waiting`: those devices, each
/// with its run.
pub fn withhold(plan: &mut Plan, waiting: &BTreeMap<Arc<str>, String>) -> bool {
    if waiting.is_empty() {
        return false;
    }
    let mut held: BTreeMap<&str, Vec<DeviceChange>> = BTreeMap::new();
    let mut kept = Vec::with_capacity(plan.changes.len());
    for change in std::mem::take(&mut plan.changes) {
        match waiting.get(&change.id) {
            Some(run) => held.entry(run).or_default().push(change),
            None => kept.push(change),
        }
    }
    plan.changes = kept;
    let is_any = !held.is_empty();
    if is_any {
        let groups = held
            .into_iter()
            .map(|(run, devices)| Withheld::new(WithheldReason::Wave, Some(run.to_owned()), devices));
        plan.withheld.extend(groups);
        plan.schedule = cost::schedule(plan, &plan.header.options);
    }
    is_any
}

/// Gives a part of a reviewed plan the waves of the whole, whatever waves the policies would give the part alone.
pub fn keep(plan: &mut Plan, reviewed: &Plan) {
    plan.rollout = None;
    if reviewed.rollout.is_none() {
        return;
    }
    // The part has no device that the whole lacks.
    let of = plan.changes.iter().map(|change| wave_of(reviewed, &change.id).unwrap_or(1)).collect();
    set(plan, of);
}

fn set(plan: &mut Plan, of: Vec<u32>) {
    let mut numbers = of.clone();
    numbers.par_sort_unstable();
    numbers.dedup();
    plan.rollout = Some(PlannedWaves { waves: Vec::new(), of });
    let mut whole = Schedule::default();
    let mut waves = Vec::with_capacity(numbers.len());
    for wave in numbers {
        let part = part(plan, wave..=wave);
        let schedule = cost::schedule(&part, &part.header.options);
        waves.push(PlannedWave { wave, devices: part.changes.len() as u64, calls: schedule.total });
        whole = cost::one_after_the_other(whole, &schedule);
    }
    plan.schedule = whole;
    if let Some(rollout) = &mut plan.rollout {
        rollout.waves = waves;
    }
}

/// Some waves of a plan as a plan of its own.
pub(super) fn part(plan: &Plan, waves: std::ops::RangeInclusive<u32>) -> Plan {
    let of = plan.rollout.as_ref().map(|waves| waves.of.as_slice()).unwrap_or_default();
    let changes = plan.changes.iter().zip(of).filter(|(_, of)| waves.contains(of));
    Plan {
        header: plan.header.clone(),
        tags: plan.tags.clone(),
        causes: plan.causes.clone(),
        rules: plan.rules.clone(),
        families: plan.families.clone(),
        changes: changes.map(|(change, _)| change.clone()).collect(),
        ..Plan::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CauseIndex, TagChange, TagIndex, digest, document};
    use crate::policy::Policy;

    fn rollout(keys: &str) -> Rollout {
        let text = format!("version: 1\nguard:\n  rollout: {{ {keys} }}\n");
        let sources = crate::diagnostic::Sources::from_text("p.yaml", &text);
        let (policy, _): (Policy, _) =
            crate::policy::resolve(&sources, crate::tag::TagCase::Exact, crate::time::Timestamp::EPOCH);
        policy.guard.rollout.expect("the test writes a rollout")
    }

    fn plan(devices: usize) -> Plan {
        let change = |number: usize| DeviceChange {
            id: format!("{number:06}").into(),
            name: None,
            observed_tags: Box::default(),
            observed_value: None,
            add: vec![TagChange { tag: TagIndex(0), cause: CauseIndex(0) }],
            remove: Vec::new(),
            value: None,
        };
        Plan {
            tags: vec!["Tier0".into()],
            causes: vec![crate::plan::Cause::Retired { place: crate::plan::nowhere() }],
            changes: (0..devices).map(change).collect(),
            ..Plan::default()
        }
    }

    fn sizes(devices: usize, keys: &str) -> Vec<(u32, u64)> {
        let mut plan = plan(devices);
        assign(&mut plan, &rollout(keys), &|id| id < "000040");
        let waves = plan.rollout.map(|rollout| rollout.waves).unwrap_or_default();
        waves.iter().map(|wave| (wave.wave, wave.devices)).collect()
    }

    #[test]
    fn waves_are_cumulative_and_one_that_adds_no_device_is_left_out() {
        assert_eq!(sizes(1_000, "waves: [50, 10%, 100%]"), [(1, 50), (2, 50), (3, 900)]);
        assert_eq!(sizes(1_000, "waves: [50, 10%]"), [(1, 50), (2, 50), (3, 900)], "the last reaches all");
        assert_eq!(sizes(200, "waves: [50, 10%, 100%]"), [(1, 50), (2, 150)], "10 % of 200 are below 50");
        assert_eq!(sizes(1_000, "waves: [25, 100%]"), [(1, 40), (2, 960)], "all of `first`, however many");
        assert_eq!(sizes(100, "waves: [50, 100%]"), [(1, 50), (2, 50)]);
    }

    #[test]
    fn a_small_plan_and_a_plan_of_one_step_have_no_waves() {
        assert_eq!(sizes(99, "waves: [50, 100%]"), []);
        assert_eq!(sizes(99, "from: 0, waves: [50, 100%]"), [(1, 50), (2, 49)]);
        assert_eq!(sizes(1_000, "waves: [100%]"), []);
        assert_eq!(sizes(0, "from: 0, waves: [5]"), []);
    }

    #[test]
    fn the_order_follows_the_changes_and_not_the_ids() {
        let of = |tag: &str| {
            let mut plan = plan(1_000);
            plan.tags = vec![tag.into()];
            assign(&mut plan, &rollout("waves: [100, 100%]"), &|_| false);
            plan.rollout.unwrap().of
        };
        assert_eq!(of("A"), of("A"), "the same changes give the same waves");
        assert_ne!(of("A"), of("B"));
        assert!(of("A")[..100].contains(&2), "not the first by id");
    }

    #[test]
    fn devices_follow_the_sha_256_of_the_changes_digest_and_their_id() {
        let mut plan = plan(200);
        assign(&mut plan, &rollout("waves: [30, 100%]"), &|id| id < "000010");
        let digest = changes_digest(&plan);
        let mut ids: Vec<&str> = plan.changes.iter().map(|change| &*change.id).collect();
        ids.sort_by_key(|id| (*id >= "000010", digest::sha256(format!("{digest}{id}").as_bytes())));
        for (place, id) in ids.into_iter().enumerate() {
            assert_eq!(wave_of(&plan, id), Some(if place < 30 { 1 } else { 2 }), "{id} at {place}");
        }
    }

    #[test]
    fn a_part_keeps_the_waves_of_the_reviewed_plan() {
        let mut reviewed = plan(1_000);
        assign(&mut reviewed, &rollout("waves: [100, 100%]"), &|_| false);
        let mut part = reviewed.clone();
        part.changes.retain(|change| change.id.ends_with('7'));
        keep(&mut part, &reviewed);
        let waves = part.rollout.as_ref().unwrap();
        for (change, wave) in part.changes.iter().zip(&waves.of) {
            assert_eq!(wave_of(&reviewed, &change.id), Some(*wave));
        }
        assert_eq!(waves.waves.iter().map(|wave| wave.devices).sum::<u64>(), 100);
    }

    #[test]
    fn devices_of_an_open_rollout_are_withheld_with_its_run_and_the_rest_is_written() {
        let mut plan = plan(3);
        let waiting = BTreeMap::from([(Arc::from("000001"), "run-1".to_owned())]);
        withhold(&mut plan, &waiting);
        assert_eq!(plan.changes.iter().map(|change| &*change.id).collect::<Vec<_>>(), ["000000", "000002"]);
        let held = &plan.withheld[0];
        assert_eq!(
            (held.reason, held.name.as_deref(), held.additions),
            (WithheldReason::Wave, Some("run-1"), 1)
        );
    }

    #[test]
    fn calls_are_counted_a_wave_and_the_plan_takes_their_sum() {
        let mut plan = plan(1_200);
        assign(&mut plan, &rollout("waves: [100, 100%]"), &|_| false);
        let calls: Vec<u64> = plan.rollout.as_ref().unwrap().waves.iter().map(|wave| wave.calls).collect();
        assert_eq!((calls, plan.schedule.total), (vec![1, 3], 4));
    }

    #[test]
    fn waves_are_read_back_as_they_were_written_and_a_device_without_one_is_a_contradiction() {
        let mut plan = plan(300);
        assign(&mut plan, &rollout("waves: [100, 100%]"), &|_| false);
        let text = document::written(&plan);
        let read = document::read(&text).unwrap();
        assert_eq!(read.rollout, plan.rollout);
        assert!(text.contains("\"wave\":2"), "{text}");
        let mut torn = plan.clone();
        torn.rollout.as_mut().unwrap().of[7] = 9;
        assert!(document::read(&document::written(&torn)).is_err());
        torn.rollout = plan.rollout.clone();
        torn.rollout.as_mut().unwrap().waves[0].devices = 7;
        assert!(document::read(&document::written(&torn)).is_err());
    }
}
