//! The cost of calls: lanes, their documented limits, and the shortest time within the limits.
//!
//! `apply::budget` knows when a call is sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lane, Options, Plan, calls};

/// Calls a lane may take in a minute (documented for each API).
const PER_MINUTE: u64 = 100;

/// Calls a lane may take in an hour (documented for each API).
const PER_HOUR: u64 = 1_500;

/// What a plan costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Lanes with calls, in the order of [`Lane::ALL`].
    #[serde(default)]
    pub lanes: Vec<LaneCost>,
    /// Calls over all lanes.
    pub total: u64,
    /// The provable minimum over all lanes for the chosen options.
    pub minimum: u64,
    /// With `combine`: the calls that the plan would take without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncombined: Option<u64>,
    /// Seconds from an unused budget until the last call may start: the greatest of the lanes.
    pub seconds: u64,
}

/// What a plan costs on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneCost {
    /// The lane.
    pub lane: Lane,
    /// Calls planned.
    pub calls: u64,
    /// The provable minimum.
    pub minimum: u64,
}

/// What is left of a tenant's budget, as its ledger has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ledger {
    /// Seconds from now until the last call of the plan may start.
    pub seconds: u64,
    /// Lanes that the plan uses.
    #[serde(default)]
    pub lanes: Vec<LaneLeft>,
}

/// What is left of one lane's hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneLeft {
    /// The lane.
    pub lane: Lane,
    /// Calls left in this hour.
    pub left: u64,
    /// Calls an hour.
    pub of: u64,
}

/// Seconds from an unused budget until the last of `calls` calls of one lane may start, under 100 a minute and 1,500 an hour.
pub fn seconds(calls: u64) -> u64 {
    let Some(before) = calls.checked_sub(1) else { return 0 };
    3_600 * (before / PER_HOUR) + 60 * (before % PER_HOUR / PER_MINUTE)
}

/// The cost of a plan's calls, and the provable minimum for its options.
pub fn schedule(plan: &Plan, options: &Options) -> Schedule {
    let calls = calls::count(plan, options);
    let counts = [
        // The first value sent by `PATCH` is a canary, which is read first.
        (Lane::Get, calls.combined + u64::from(calls.update_device > 0)),
        (Lane::BulkTag, calls.bulk),
        (Lane::SingleTag, calls.singles),
        (Lane::SetValue, calls.set_value),
        (Lane::UpdateDevice, calls.combined + calls.update_device),
    ];
    let total: u64 = counts.iter().map(|(_, calls)| calls).sum();
    let mut spare = total - calls.minimum.min(total);
    let mut lanes: Vec<LaneCost> = counts
        .into_iter()
        .filter(|(_, calls)| *calls > 0)
        .map(|(lane, calls)| LaneCost { lane, calls, minimum: calls })
        .collect();
    // The minimum is proven over all lanes together. If it is below the number of calls, another choice of combined devices could
    // only save tag calls.
    for cost in lanes.iter_mut().filter(|cost| cost.lane == Lane::BulkTag) {
        let saved = spare.min(cost.minimum);
        cost.minimum -= saved;
        spare -= saved;
    }
    lanes.sort_by_key(|cost| cost.lane);
    let longest = lanes.iter().map(|cost| seconds(cost.calls)).max().unwrap_or(0);
    Schedule {
        lanes,
        total,
        minimum: calls.minimum.min(total),
        uncombined: calls.uncombined,
        seconds: longest,
    }
}

/// The cost of plans that are applied one after another.
pub(super) fn one_after_the_other(mut sum: Schedule, next: &Schedule) -> Schedule {
    for cost in &next.lanes {
        match sum.lanes.iter_mut().find(|own| own.lane == cost.lane) {
            Some(own) => {
                own.calls += cost.calls;
                own.minimum += cost.minimum;
            }
            None => sum.lanes.push(*cost),
        }
    }
    sum.lanes.sort_by_key(|cost| cost.lane);
    sum.total += next.total;
    sum.minimum += next.minimum;
    if let Some(calls) = next.uncombined {
        sum.uncombined = Some(sum.uncombined.unwrap_or(0) + calls);
    }
    sum.seconds = sum.lanes.iter().map(|cost| seconds(cost.calls)).max().unwrap_or(0);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_follow_both_windows() {
        let cases = [(0, 0), (1, 0), (100, 0), (101, 60), (1_500, 840), (1_501, 3_600), (10_000, 22_140)];
        for (calls, expected) in cases {
            assert_eq!(seconds(calls), expected, "{calls} calls");
        }
    }

    #[test]
    fn ten_thousand_values_take_half_the_time_on_two_routes() {
        assert_eq!(seconds(5_000), 10_800 + 60 * 4);
    }
}
