//! The moves of a plan between device groups, and the effect of each on remediation and access.
//!
//! Counts no group and judges no cap; the caller does.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Plan, TagIndex};
use crate::groups::GroupSizes;
use crate::policy::{DeviceGroups, GroupIndex};

/// Devices named as a sample.
pub(super) const SAMPLE: usize = 3;
/// The most tags named as the cause of one move.
const MOST_TAGS: usize = 10;

/// Devices that go from one group to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupMove {
    /// The group before the plan.
    pub from: String,
    /// The group after it.
    pub to: String,
    /// How many devices in scope.
    pub devices: u64,
    /// The tags that cause it, each with `+` or `-`, bytewise; the first ten.
    pub tags: Vec<String>,
    /// What happens to automatic remediation.
    pub remediation: RemediationChange,
    /// Access groups that see the devices from then on; `everyone` where the new group names none.
    pub gain: Vec<String>,
    /// Access groups that no longer see them.
    pub lose: Vec<String>,
    /// The first devices by id.
    pub sample: Vec<String>,
    /// Why the prediction cannot be relied on; absent where it can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreliable: Vec<MoveDoubt>,
}

/// What happens to automatic remediation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RemediationChange {
    /// More happens without an approval.
    Rises,
    /// Less happens without an approval.
    Falls,
    /// The level is the same.
    Same,
    /// The file does not say for both groups.
    Unknown,
}

/// Why a predicted move may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MoveDoubt {
    /// The service reports other groups than the file predicts, for more than 5 % of the devices.
    LiveGroups,
    /// Who is in the group before the plan cannot be predicted.
    From,
    /// Who is in the group after the plan cannot be predicted.
    To,
}

impl GroupMove {
    /// Whether it lets more happen without an approval, or more people see the devices.
    pub fn widens(&self) -> bool {
        self.remediation == RemediationChange::Rises || !self.gain.is_empty()
    }
}

/// Moves by their two groups.
#[derive(Default)]
pub(super) struct MoveTally<'a>(HashMap<(GroupIndex, GroupIndex), MovedDevices<'a>>);

#[derive(Default)]
struct MovedDevices<'a> {
    devices: u64,
    /// Each with its sign.
    tags: BTreeSet<(char, TagIndex)>,
    sample: Vec<&'a str>,
}

impl<'a> MoveTally<'a> {
    /// Adds a device, with the tags that move it.
    pub(super) fn count(
        &mut self,
        from: GroupIndex,
        to: GroupIndex,
        tags: impl Iterator<Item = (char, TagIndex)>,
        label: impl FnOnce() -> &'a str,
    ) {
        let movers = self.0.entry((from, to)).or_default();
        movers.devices += 1;
        movers.tags.extend(tags);
        if movers.sample.len() < SAMPLE {
            movers.sample.push(label());
        }
    }

    pub(super) fn devices(&self) -> u64 {
        self.0.values().map(|movers| movers.devices).sum()
    }

    /// The groups that devices come from or go to.
    pub(super) fn groups(&self) -> BTreeSet<GroupIndex> {
        self.0.keys().flat_map(|(from, to)| [*from, *to]).collect()
    }

    /// The devices of each group after the moves.
    pub(super) fn sizes_after(&self, before: &GroupSizes) -> GroupSizes {
        let mut after = before.clone();
        for ((_, to), movers) in &self.0 {
            *after.entry(*to).or_default() += movers.devices;
        }
        for ((from, _), movers) in &self.0 {
            if let Some(devices) = after.get_mut(from) {
                *devices = devices.saturating_sub(movers.devices);
            }
        }
        after.retain(|_, devices| *devices > 0);
        after
    }

    /// The moves, first those that a reviewer must see: [`GroupMove::widens`]; then the most devices first, then by rank.
    pub(super) fn finish(self, groups: &DeviceGroups, plan: &Plan, is_reliable: bool) -> Vec<GroupMove> {
        let mut moves: Vec<_> = self.0.into_iter().collect();
        moves.sort_unstable_by_key(|(ends, movers)| (std::cmp::Reverse(movers.devices), *ends));
        let moves = moves.into_iter();
        let moves = moves.map(|(ends, movers)| group_move(groups, plan, ends, movers, is_reliable));
        let mut moves: Vec<GroupMove> = moves.collect();
        moves.sort_by_key(|one| !one.widens());
        moves
    }
}

fn group_move(
    groups: &DeviceGroups,
    plan: &Plan,
    (from, to): (GroupIndex, GroupIndex),
    movers: MovedDevices<'_>,
    is_reliable: bool,
) -> GroupMove {
    let remediation = match (groups.remediation(from), groups.remediation(to)) {
        (Some(old), Some(new)) if new > old => RemediationChange::Rises,
        (Some(old), Some(new)) if new < old => RemediationChange::Falls,
        (Some(_), Some(_)) => RemediationChange::Same,
        _ => RemediationChange::Unknown,
    };
    let (old, new) = (groups.access(from), groups.access(to));
    let doubts = [
        (!is_reliable, MoveDoubt::LiveGroups),
        (groups.is_unpredictable(from), MoveDoubt::From),
        (groups.is_unpredictable(to), MoveDoubt::To),
    ];
    let tags = movers.tags.iter().map(|(sign, tag)| format!("{sign}{}", plan.tag(*tag)));
    let mut tags: Vec<String> = tags.collect();
    tags.sort_unstable();
    tags.truncate(MOST_TAGS);
    GroupMove {
        from: groups.name(from).to_owned(),
        to: groups.name(to).to_owned(),
        devices: movers.devices,
        tags,
        remediation,
        gain: without(new, old),
        lose: without(old, new),
        sample: movers.sample.into_iter().map(str::to_owned).collect(),
        unreliable: doubts.into_iter().filter(|(holds, _)| *holds).map(|(_, doubt)| doubt).collect(),
    }
}

/// The access groups in `some` that are not in `others`; an empty list means everyone.
fn without(some: &[String], others: &[String]) -> Vec<String> {
    match (some.is_empty(), others.is_empty()) {
        (true, true) | (false, true) => Vec::new(),
        (true, false) => vec!["everyone".to_owned()],
        (false, false) => some.iter().filter(|one| !others.contains(one)).cloned().collect(),
    }
}
