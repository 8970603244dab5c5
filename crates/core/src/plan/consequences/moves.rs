//! The moves of a plan between device groups, and the effect of each on remediation and access.
//!
//! Counts no group and judges no cap; the caller does.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Moves by their two groups.
#[derive(Default)]
pub(super) struct MoveTally<'a>(BTreeMap<(GroupIndex, GroupIndex), MovedDevices<'a>>);

#[derive(Default)]
struct MovedDevices<'a> {
    devices: u64,
    tags: BTreeSet<(char, &'a str)>,
    sample: Vec<String>,
}

impl<'a> MoveTally<'a> {
    /// Adds a device, with the tags that move it.
    pub(super) fn count(
        &mut self,
        from: GroupIndex,
        to: GroupIndex,
        tags: impl Iterator<Item = (char, &'a str)>,
        label: &str,
    ) {
        let movers = self.0.entry((from, to)).or_default();
        movers.devices += 1;
        if movers.tags.len() < MOST_TAGS {
            movers.tags.extend(tags);
        }
        if movers.sample.len() < SAMPLE {
            movers.sample.push(label.to_owned());
        }
    }

    pub(super) fn devices(&self) -> u64 {
        self.0.values().map(|movers| movers.devices).sum()
    }

    /// The moves, the most devices first.
    pub(super) fn finish(self, groups: &DeviceGroups, is_reliable: bool) -> Vec<GroupMove> {
        let moves = self.0.into_iter().map(|(ends, movers)| group_move(groups, ends, movers, is_reliable));
        let mut moves: Vec<GroupMove> = moves.collect();
        moves.sort_by_key(|one| std::cmp::Reverse(one.devices));
        moves
    }
}

fn group_move(
    groups: &DeviceGroups,
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
    GroupMove {
        from: groups.name(from).to_owned(),
        to: groups.name(to).to_owned(),
        devices: movers.devices,
        tags: movers.tags.iter().take(MOST_TAGS).map(|(sign, tag)| format!("{sign}{tag}")).collect(),
        remediation,
        gain: without(new, old),
        lose: without(old, new),
        sample: movers.sample,
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
