//! How far the live groups agree with the file of device groups, device by device.
//!
//! Says how much differs and whether the prediction may be relied on; what follows from that is for the caller and `guard`.

use std::collections::BTreeSet;
use std::ops::Range;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moves::SAMPLE;
use crate::groups::{Assignment, GroupSizes, ReportedGroups};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::{DeviceGroups, GroupIndex};

/// Rows that one core compares at a time.
const CHUNK: usize = 1 << 15;
/// Predictions are unreliable where more than this share of the devices with a group name are in another group: 5 %, in twentieths.
const UNRELIABLE_TWENTIETHS: u64 = 1;

/// How far the live `rbacGroupName` agrees with the file, on devices in scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCheck {
    /// Devices whose live group is another one, of those whose tags the plan leaves alone.
    pub differ: u64,
    /// Devices whose tags the plan leaves alone, and that were compared.
    pub of: u64,
    /// Whether the prediction may be relied on: at most 5 % differ, both of the devices that the plan leaves alone and of all that
    /// were compared.
    pub reliable: bool,
    /// The first that differ, those that the plan leaves alone before the others: device, reported group, predicted group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<String>,
    /// The same of the devices whose tags the plan changes, with the tags that they carry before it.
    #[serde(default, skip_serializing_if = "ComparedDevices::is_none")]
    pub changed: ComparedDevices,
    /// Devices that were not compared: a run of the last 24 hours wrote them, or nobody can predict who is in the group
    /// that they are predicted or reported in.
    #[serde(default, rename = "leftOut", skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// Groups that the plan moves devices out of or into, and of whose devices more than half were not compared because a run of the
    /// last 24 hours wrote them; in order of rank.
    #[serde(default, rename = "hardlyChecked", skip_serializing_if = "Vec::is_empty")]
    pub hardly_checked: Vec<HardlyChecked>,
}

/// Devices that were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedDevices {
    /// Devices whose live group is another one than predicted.
    pub differ: u64,
    /// Devices that were compared.
    pub of: u64,
}

/// A group of whose devices the check sees less than half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HardlyChecked {
    /// Its name.
    pub name: String,
    /// Devices that a run of the last 24 hours wrote.
    #[serde(rename = "leftOut")]
    pub left_out: u64,
    /// Devices in scope that are predicted in it.
    pub devices: u64,
}

impl ComparedDevices {
    fn is_none(&self) -> bool {
        self.of == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Which of the groups that a plan moves devices out of or into the check sees less than half of. `sizes`: the predicted devices of
/// each group; `lately`: those of them that a run of the last 24 hours wrote.
pub(super) fn hardly_checked(
    groups: &DeviceGroups,
    moving: &BTreeSet<GroupIndex>,
    sizes: &GroupSizes,
    lately: &GroupSizes,
) -> Vec<HardlyChecked> {
    let devices = |of: &GroupSizes, group: &GroupIndex| of.get(group).copied().unwrap_or_default();
    let hardly = moving.iter().filter(|group| devices(lately, group) * 2 > devices(sizes, group));
    let hardly = hardly.map(|group| HardlyChecked {
        name: groups.name(*group).to_owned(),
        left_out: devices(lately, group),
        devices: devices(sizes, group),
    });
    hardly.collect()
}

/// What is compared.
pub(super) struct GroupComparison<'a> {
    pub groups: &'a DeviceGroups,
    pub snapshot: &'a Snapshot,
    pub scope: &'a DeviceSet,
    /// As predicted before the plan.
    pub before: &'a Assignment,
    /// Devices whose tags the plan changes.
    pub changed: &'a DeviceSet,
    /// Devices that a run of the last 24 hours wrote.
    pub written_lately: &'a DeviceSet,
}

/// What was found in some rows.
#[derive(Default)]
struct CheckTally {
    untouched: ComparedDevices,
    changed: ComparedDevices,
    /// Devices for which the service reports a name, of the ones above.
    named: [u64; 2],
    left_out: u64,
    /// Of them those that were written lately, by predicted group.
    lately: GroupSizes,
    /// The first that differ: of the devices that the plan leaves alone, and of those that it changes.
    samples: [Vec<Row>; 2],
}

impl CheckTally {
    fn add(&mut self, later: CheckTally) {
        for (own, more) in [(&mut self.untouched, later.untouched), (&mut self.changed, later.changed)] {
            own.differ += more.differ;
            own.of += more.of;
        }
        for (own, more) in self.named.iter_mut().zip(later.named) {
            *own += more;
        }
        self.left_out += later.left_out;
        for (group, devices) in later.lately {
            *self.lately.entry(group).or_default() += devices;
        }
        for (own, more) in self.samples.iter_mut().zip(later.samples) {
            own.extend(more);
            own.truncate(SAMPLE);
        }
    }
}

impl GroupComparison<'_> {
    /// Compares all devices in scope. Also returns how many of each predicted group a run of the last 24 hours wrote.
    pub(super) fn check(&self) -> (GroupCheck, GroupSizes) {
        let live = ReportedGroups::new(self.groups, self.snapshot);
        let length = self.snapshot.len();
        let chunks = (0..length.div_ceil(CHUNK)).into_par_iter();
        let chunks: Vec<CheckTally> =
            chunks.map(|chunk| self.tally(&live, chunk * CHUNK..length.min((chunk + 1) * CHUNK))).collect();
        let mut found = CheckTally::default();
        chunks.into_iter().for_each(|chunk| found.add(chunk));
        let CheckTally { untouched, changed, named, left_out, lately, samples } = found;
        // Devices that the plan changes prove as much as the others; leaving them out of the verdict would hide a wrong file from a
        // plan that changes most devices, and counting only all together would thin out what the untouched ones say.
        let is_within = |differ: u64, named: u64| differ * 20 <= named * UNRELIABLE_TWENTIETHS;
        let reliable = is_within(untouched.differ, named[0])
            && is_within(untouched.differ + changed.differ, named[0] + named[1]);
        let told = |row: Row| {
            let reported = live.name(row);
            let reported = reported.as_deref().unwrap_or("ungrouped");
            let predicted = self.groups.name(self.before.of(row));
            format!("{}: reported in {reported}, predicted in {predicted}", self.snapshot.label(row))
        };
        let check = GroupCheck {
            differ: untouched.differ,
            of: untouched.of,
            reliable,
            sample: samples.into_iter().flatten().take(SAMPLE).map(told).collect(),
            changed,
            left_out,
            hardly_checked: Vec::new(),
        };
        (check, lately)
    }

    fn tally(&self, live: &ReportedGroups<'_>, rows: Range<usize>) -> CheckTally {
        let mut found = CheckTally::default();
        let rows = rows.map(|row| Row(row as u32)).filter(|row| self.scope.contains(*row));
        for row in rows {
            let predicted = self.before.of(row);
            if predicted == GroupIndex::Merged {
                continue;
            }
            let reported = live.of(row);
            let is_late = self.written_lately.contains(row);
            // A device in an unpredictable group says nothing about the file.
            let mut ends = [Some(predicted), reported].into_iter().flatten();
            if is_late || ends.any(|group| self.groups.is_unpredictable(group)) {
                found.left_out += 1;
                if is_late {
                    *found.lately.entry(predicted).or_default() += 1;
                }
                continue;
            }
            let is_changed = self.changed.contains(row);
            let compared = if is_changed { &mut found.changed } else { &mut found.untouched };
            compared.of += 1;
            found.named[usize::from(is_changed)] += u64::from(live.is_named(row));
            if reported != Some(predicted) {
                compared.differ += 1;
                let sample = &mut found.samples[usize::from(is_changed)];
                if sample.len() < SAMPLE {
                    sample.push(row);
                }
            }
        }
        found
    }
}
