//! Chooses the devices to serve with one `PATCH`, so that the number of calls is smallest.
//!
//! A combined device costs a read and a `PATCH` instead of its value call, so it only pays if it empties bulk calls: choose S to
//! minimise `|S| + Σ ⌈(devices of a tag and action outside S) / 500⌉`. That is a covering problem; branch and bound solves it
//! exactly within a fixed number of steps, and proves a bound for the rest. Sends nothing.

use std::collections::HashMap;

use super::{MAX_BULK, Plan, TagAction, TagIndex};

/// Steps of the search in one connected part of the problem.
const STEPS: u32 = 50_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Indices into [`Plan::changes`], ascending.
    pub(super) devices: Vec<u32>,
    /// No choice needs fewer calls, reads included.
    pub(super) minimum: u64,
    /// Calls without any combined device.
    pub(super) uncombined: u64,
}

pub(super) fn choose(plan: &Plan) -> Choice {
    let mut numbers: HashMap<(TagIndex, TagAction), u32> = HashMap::new();
    let mut sizes: Vec<u32> = Vec::new();
    let mut values = 0u64;
    let mut eligible: Vec<(u32, Vec<u32>)> = Vec::new();
    for (index, change) in plan.changes.iter().enumerate() {
        let mut groups = Vec::new();
        for (tag, action, _) in change.tag_changes() {
            let group = *numbers.entry((tag, action)).or_insert_with(|| {
                sizes.push(0);
                sizes.len() as u32 - 1
            });
            sizes[group as usize] += 1;
            groups.push(group);
        }
        values += u64::from(change.value.is_some());
        let kept = change.observed_tags.len() + change.add.len();
        if change.value.is_some() && !groups.is_empty() && kept > change.remove.len() {
            eligible.push((index as u32, groups));
        }
    }
    let calls = |size: u32| u64::from(size).div_ceil(MAX_BULK as u64);
    let uncombined = values + sizes.iter().map(|size| calls(*size)).sum::<u64>();
    let mut choice = Choice { devices: Vec::new(), minimum: uncombined, uncombined };
    for part in parts(eligible, &sizes) {
        let found = Search::new(&part, &sizes).run();
        choice.devices.extend(found.chosen.iter().map(|item| part[*item].0));
        choice.minimum -= found.bound;
    }
    choice.devices.sort_unstable();
    choice
}

/// Number of devices to remove from a group of this size until it needs one call less: 1 to 500.
fn price(size: u32) -> u32 {
    (size - 1) % MAX_BULK as u32 + 1
}

/// Drops groups that no choice can shorten and devices that shorten none, and splits the rest into connected parts.
fn parts(eligible: Vec<(u32, Vec<u32>)>, sizes: &[u32]) -> Vec<Vec<(u32, Vec<u32>)>> {
    let mut reachable = vec![0u32; sizes.len()];
    for group in eligible.iter().flat_map(|(_, groups)| groups) {
        reachable[*group as usize] += 1;
    }
    let mut items = eligible;
    for (_, groups) in &mut items {
        groups.retain(|group| reachable[*group as usize] >= price(sizes[*group as usize]));
        groups.sort_unstable();
    }
    items.retain(|(_, groups)| !groups.is_empty());

    let mut parents: Vec<u32> = (0..sizes.len() as u32).collect();
    for (_, groups) in &items {
        for pair in groups.windows(2) {
            let (left, right) = (root(&mut parents, pair[0]), root(&mut parents, pair[1]));
            parents[left as usize] = right;
        }
    }
    let mut found: std::collections::BTreeMap<u32, Vec<(u32, Vec<u32>)>> = std::collections::BTreeMap::new();
    for item in items {
        found.entry(root(&mut parents, item.1[0])).or_default().push(item);
    }
    found.into_values().collect()
}

/// The representative of a group's part.
fn root(parents: &mut [u32], mut group: u32) -> u32 {
    while parents[group as usize] != group {
        parents[group as usize] = parents[parents[group as usize] as usize];
        group = parents[group as usize];
    }
    group
}

/// The result of a search: the chosen items, and an upper bound of the calls that any choice saves.
struct ChosenItems {
    chosen: Vec<usize>,
    bound: u64,
}

/// Branch and bound over the devices of one part, the most promising first.
struct Search<'a> {
    items: Vec<(usize, &'a [u32], f64)>,
    /// Devices still needed for the next saving, by group.
    missing: HashMap<u32, u32>,
    /// The most that the items from this one on can save.
    ahead: Vec<f64>,
    chosen: Vec<usize>,
    /// The most that the chosen devices can be worth.
    promise: f64,
    gain: i64,
    best: Vec<usize>,
    best_gain: i64,
    steps: u32,
}

impl<'a> Search<'a> {
    fn new(part: &'a [(u32, Vec<u32>)], sizes: &[u32]) -> Search<'a> {
        let share = |group: &u32| 1.0 / f64::from(price(sizes[*group as usize]));
        let mut items: Vec<(usize, &[u32], f64)> = part
            .iter()
            .enumerate()
            .map(|(index, (_, groups))| {
                (index, groups.as_slice(), groups.iter().map(share).sum::<f64>() - 1.0)
            })
            .collect();
        items.sort_by(|left, right| right.2.total_cmp(&left.2).then_with(|| left.1.cmp(right.1)));
        // k savings of a group need at least k × its first price, so a device is worth at most the sum of its shares.
        let mut ahead = vec![0.0; items.len() + 1];
        for index in (0..items.len()).rev() {
            ahead[index] = ahead[index + 1] + items[index].2.max(0.0);
        }
        let groups = part.iter().flat_map(|(_, groups)| groups);
        let missing = groups.map(|group| (*group, price(sizes[*group as usize]))).collect();
        Search {
            items,
            missing,
            ahead,
            chosen: Vec::new(),
            promise: 0.0,
            gain: 0,
            best: Vec::new(),
            best_gain: 0,
            steps: 0,
        }
    }

    fn run(mut self) -> ChosenItems {
        // The most that any choice saves: every saving of every group, with the fewest devices.
        let limit = (self.ahead[0] + 1e-6).floor().max(0.0) as i64;
        self.greedy();
        let mut depth_first = vec![(0usize, false)];
        let mut is_exact = true;
        while let Some((index, is_undo)) = depth_first.pop() {
            if is_undo {
                self.leave();
                continue;
            }
            if self.best_gain >= limit {
                break;
            }
            self.steps += 1;
            if self.steps > STEPS {
                is_exact = false;
                break;
            }
            let hope = self.promise + self.ahead[index];
            if index == self.items.len() || ((hope + 1e-6).floor() as i64) <= self.best_gain {
                continue;
            }
            // Devices in the same groups are interchangeable: leaving one out leaves out all its equals that follow.
            let same = self.items[index..].iter().take_while(|item| item.1 == self.items[index].1).count();
            depth_first.push((index + same, false));
            depth_first.push((index, true));
            self.take(index);
            depth_first.push((index + 1, false));
        }
        let bound = if is_exact { self.best_gain.max(0) } else { limit };
        ChosenItems { chosen: self.best, bound: bound as u64 }
    }

    fn take(&mut self, index: usize) {
        self.gain -= 1;
        self.promise += self.items[index].2;
        for group in self.items[index].1 {
            let missing = self.missing.get_mut(group).expect("every group of an item is known");
            *missing -= 1;
            if *missing == 0 {
                self.gain += 1;
                *missing = MAX_BULK as u32;
            }
        }
        self.chosen.push(index);
        if self.gain > self.best_gain {
            self.best_gain = self.gain;
            self.best = self.chosen.iter().map(|chosen| self.items[*chosen].0).collect();
        }
    }

    fn leave(&mut self) {
        let index = self.chosen.pop().expect("only a taken item is left");
        self.promise -= self.items[index].2;
        for group in self.items[index].1 {
            let missing = self.missing.get_mut(group).expect("every group of an item is known");
            if *missing == MAX_BULK as u32 {
                self.gain -= 1;
                *missing = 0;
            }
            *missing += 1;
        }
        self.gain += 1;
    }

    /// A first solution: everything that pays at once, or by promise, in order.
    fn greedy(&mut self) {
        for index in 0..self.items.len() {
            self.take(index);
        }
        while !self.chosen.is_empty() {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::DeviceValue;
    use crate::plan::{CauseIndex, DeviceChange, TagChange, ValueChange};

    /// Devices with a value change and these tags to add, and this many devices without a value change for each tag.
    fn plan(devices: &[Vec<u32>], others: &[usize]) -> Plan {
        let change = |tags: &[u32], has_value: bool| DeviceChange {
            id: "d".into(),
            name: None,
            observed_tags: Box::default(),
            observed_value: None,
            add: tags.iter().map(|tag| TagChange { tag: TagIndex(*tag), cause: CauseIndex(0) }).collect(),
            remove: Vec::new(),
            value: has_value.then_some(ValueChange { to: DeviceValue::High, cause: CauseIndex(0) }),
        };
        let mut changes: Vec<DeviceChange> = devices.iter().map(|tags| change(tags, true)).collect();
        for (tag, count) in others.iter().enumerate() {
            changes.extend((0..*count).map(|_| change(&[tag as u32], false)));
        }
        Plan { changes, ..Plan::default() }
    }

    fn calls(devices: &[Vec<u32>], others: &[usize], combined: u32) -> u64 {
        let is_combined = |index: usize| combined >> index & 1 == 1;
        let mut total = devices.len() as u64 + u64::from(combined.count_ones());
        for (tag, count) in others.iter().enumerate() {
            let rest = devices.iter().enumerate();
            let rest =
                rest.filter(|(index, tags)| !is_combined(*index) && tags.contains(&(tag as u32))).count();
            total += ((count + rest) as u64).div_ceil(500);
        }
        total
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_choice_is_the_least_of_all_choices(
            devices in prop::collection::vec(prop::collection::btree_set(0u32..5, 0..5), 1..8),
            others in prop::collection::vec(prop::sample::select(vec![0usize, 0, 1, 498, 499, 500]), 5),
        ) {
            let devices: Vec<Vec<u32>> = devices.into_iter().map(|tags| tags.into_iter().collect()).collect();
            let least = (0..1u32 << devices.len()).map(|choice| calls(&devices, &others, choice)).min().unwrap();
            let choice = choose(&plan(&devices, &others));
            prop_assert_eq!(choice.minimum, least);
            let chosen = choice.devices.iter().fold(0, |mask, device| mask | 1 << device);
            prop_assert_eq!(calls(&devices, &others, chosen), least);
            prop_assert_eq!(choice.uncombined, calls(&devices, &others, 0));
        }
    }

    #[test]
    fn a_large_problem_ends_with_a_bound() {
        // Every device shares tags with its neighbours, so that no order of search finds the best choice at once.
        let devices: Vec<Vec<u32>> =
            (0..4_000u32).map(|index| vec![index % 97, 97 + index % 89, 186 + index % 83]).collect();
        let choice = choose(&plan(&devices, &[]));
        assert!(choice.minimum <= choice.uncombined);
    }
}
