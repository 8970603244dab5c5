//! The counts of earlier trusted runs of a policy set, with which the next run's counts are compared.
//!
//! Reads no file, and decides nothing about changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InventoryCounts, UntrustedReason};
use crate::diagnostic::{Place, Sources};
use crate::policy::{self, DEVICES, Guard};
use crate::time::Timestamp;

/// The window whose greatest count is the baseline, so that many small steps add up to a large one.
const WINDOW: Duration = Duration::from_secs(7 * 86_400);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CountedAt {
    at: Timestamp,
    count: u64,
}

/// The counts of one source in trusted runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Baseline {
    /// Oldest first, each greater than the next: a smaller one before a greater one never matters again.
    runs: Vec<CountedAt>,
    /// Whether a trusted run found that the set no longer has this source.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_gone: bool,
}

impl Baseline {
    /// The greatest count of the last 7 days and of the last run before them.
    fn greatest(&self, now: Timestamp) -> Option<CountedAt> {
        let window = now.minus(WINDOW);
        let first = self.runs.partition_point(|run| run.at < window);
        self.runs.get(first.saturating_sub(1)).copied()
    }

    /// Adds the count of a trusted run.
    fn add(&mut self, mut run: CountedAt) {
        self.is_gone = false;
        // A clock that went back must not break the order.
        run.at = self.runs.last().map_or(run.at, |last| last.at.max(run.at));
        let window = run.at.minus(WINDOW);
        let old = self.runs.partition_point(|earlier| earlier.at < window).saturating_sub(1);
        self.runs.drain(..old);
        let kept = self.runs.partition_point(|earlier| earlier.count > run.count);
        self.runs.truncate(kept);
        self.runs.push(run);
    }
}

/// The counts of trusted runs of one policy set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Baselines {
    /// Devices, by the `$filter` of the read; the empty one reads every device.
    devices: BTreeMap<String, Baseline>,
    /// Rows of each source.
    sources: BTreeMap<String, Baseline>,
    /// Counts of other sets that share a part with this one. The greatest count of all sets is the baseline.
    #[serde(skip)]
    others: Vec<Baselines>,
}

impl Baselines {
    /// Adds the counts of a trusted run. A source that replaced another keeps that one's baseline.
    pub fn add(&mut self, counts: &InventoryCounts, filter: &str, at: Timestamp) {
        let replaced = self.replaced(counts);
        for (name, count) in &counts.sources {
            if let Some(before) = replaced.get(name).and_then(|before| self.sources.get(before)) {
                self.sources.insert(name.clone(), before.clone());
            }
            self.sources.entry(name.clone()).or_default().add(CountedAt { at, count: *count });
        }
        for (_, baseline) in self.sources.iter_mut().filter(|(name, _)| !counts.sources.contains_key(*name)) {
            baseline.is_gone = true;
        }
        self.devices.entry(filter.to_owned()).or_default().add(CountedAt { at, count: counts.devices });
    }

    /// Adds the counts of other sets that share a part with this one.
    #[must_use]
    pub fn beside(mut self, others: Vec<Baselines>) -> Baselines {
        self.others = others;
        self
    }

    /// Whether there is a baseline for reads with this `$filter`.
    pub fn counts_devices(&self, filter: &str) -> bool {
        self.devices.contains_key(filter) || self.others.iter().any(|other| other.counts_devices(filter))
    }

    /// The greatest count of devices in reads with this `$filter`.
    fn greatest_of_devices(&self, filter: &str, now: Timestamp) -> Option<CountedAt> {
        let own = self.devices.get(filter).and_then(|baseline| baseline.greatest(now));
        let others = self.others.iter().filter_map(|other| other.greatest_of_devices(filter, now));
        own.into_iter().chain(others).max_by_key(|run| run.count)
    }

    /// The greatest count of a source, which was called `before` in this set.
    fn greatest_of_source(&self, name: &str, before: Option<&String>, now: Timestamp) -> Option<CountedAt> {
        let own = self.sources.get(before.map_or(name, |before| before));
        let others = self.others.iter().filter_map(|other| other.sources.get(name));
        own.into_iter()
            .chain(others)
            .filter_map(|baseline| baseline.greatest(now))
            .max_by_key(|run| run.count)
    }

    /// Like [`accept`](Self::accept), but only for sources that were counted here before.
    pub fn accept_known(&mut self, source: &str, counts: &InventoryCounts, filter: &str, at: Timestamp) {
        let is_known = match source {
            DEVICES => self.devices.contains_key(filter),
            _ => policy::named(counts.names(), source).iter().any(|name| self.sources.contains_key(*name)),
        };
        if is_known {
            self.accept(source, counts, filter, at);
        }
    }

    /// Accepts the current count as the baseline and returns the previous one. `None` if there is no such source.
    pub fn accept(
        &mut self,
        source: &str,
        counts: &InventoryCounts,
        filter: &str,
        at: Timestamp,
    ) -> Option<(Option<u64>, u64)> {
        let (baseline, count) = if source == DEVICES {
            (self.devices.entry(filter.to_owned()).or_default(), counts.devices)
        } else {
            let [source] = policy::named(counts.names(), source)[..] else { return None };
            (self.sources.entry(source.to_owned()).or_default(), counts.sources[source])
        };
        let before = baseline.greatest(at).map(|run| run.count);
        *baseline = Baseline { runs: vec![CountedAt { at, count }], is_gone: false };
        Some((before, count))
    }

    /// For each source without a baseline, the one that it seems to replace: a file of the same name in another folder, or the
    /// only one that disappeared when only one was added.
    fn replaced(&self, counts: &InventoryCounts) -> BTreeMap<String, String> {
        let gone = self
            .sources
            .iter()
            .filter(|(name, baseline)| !baseline.is_gone && !counts.sources.contains_key(*name));
        let gone: Vec<&String> = gone.map(|(name, _)| name).collect();
        let new: Vec<&String> =
            counts.sources.keys().filter(|name| !self.sources.contains_key(*name)).collect();
        let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let file = |name: &str| last(policy::file_of(name));
        let of = |name: &&String| {
            let moved = gone.iter().find(|before| last(before) == last(name));
            let same_file = || gone.iter().find(|before| file(before) == file(name));
            moved
                .or_else(same_file)
                .or(gone.first().filter(|_| gone.len() == 1 && new.len() == 1))
                .map(|before| (*before).clone())
        };
        new.iter().filter_map(|name| Some(((*name).clone(), of(name)?))).collect()
    }
}

/// The baselines of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// The counts of earlier runs; `None` if none are kept.
    pub baselines: Option<&'a Baselines>,
    /// The `$filter` of the read.
    pub filter: &'a str,
    /// Decides which approvals count today.
    pub now: Timestamp,
}

/// A source whose comparison depended on the kept state; outside the plan's digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BaselineReport {
    /// `devices`, or the name of a lookup, list file or hunting query.
    pub source: String,
    /// The source that it replaced, if it has a new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The greatest count of the trusted runs of the last 7 days and of the last one before.
    pub from: u64,
    /// The current count; none if the set no longer has the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// The approval that accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Place>,
}

/// Every source that shrank by more than the guard allows, and every missing one. Adds the reasons against the read to `reasons`.
pub fn compare(
    guard: &Guard,
    counts: &InventoryCounts,
    with: Compared<'_>,
    places: &Sources,
    reasons: &mut Vec<UntrustedReason>,
) -> Vec<BaselineReport> {
    let Some(baselines) = with.baselines else { return Vec::new() };
    let (limit, today) = (guard.max_shrink(), with.now.date());
    let mut reports = Vec::new();
    let mut compare = |source: &str, before: Option<&String>, from: Option<CountedAt>, to: u64| {
        let Some(from) = from else { return };
        if !has_shrunk(from.count, to, limit) {
            return;
        }
        let approval = guard
            .shrinks
            .iter()
            .filter(|approval| to >= approval.to && approval.counts_on(today))
            .find(|approval| policy::named(counts.names(), &approval.source).contains(&source));
        let approved = approval.map(|approval| places.place(approval.span));
        if approved.is_none() {
            let what = if source == DEVICES { source.to_owned() } else { format!("`{source}`") };
            let what = before.map_or(what.clone(), |before| format!("{what} (before: `{before}`)"));
            let (source, from) = (source.to_owned(), from.count);
            reasons.push(UntrustedReason::Shrunk { what, source, from, to, limit });
        }
        let before = before.cloned();
        reports.push(BaselineReport {
            source: source.to_owned(),
            before,
            from: from.count,
            to: Some(to),
            approved,
        });
    };
    compare(DEVICES, None, baselines.greatest_of_devices(with.filter, with.now), counts.devices);
    let replaced = baselines.replaced(counts);
    for (name, rows) in &counts.sources {
        let before = replaced.get(name);
        compare(name, before, baselines.greatest_of_source(name, before, with.now), *rows);
    }
    let gone = baselines.sources.iter().filter(|(name, baseline)| {
        !baseline.is_gone
            && !counts.sources.contains_key(*name)
            && !replaced.values().any(|before| before == *name)
    });
    reports.extend(gone.filter_map(|(name, baseline)| {
        let from = baseline.greatest(with.now)?.count;
        Some(BaselineReport { source: name.clone(), before: None, from, to: None, approved: None })
    }));
    reports
}

/// The data sources that shrank by more than the guard allows. A shrunk inventory is not one of them.
pub fn shrunk_sources(reasons: &[UntrustedReason]) -> BTreeSet<String> {
    let source = |reason: &UntrustedReason| match reason {
        UntrustedReason::Shrunk { source, .. } if source != DEVICES => Some(source.clone()),
        _ => None,
    };
    reasons.iter().filter_map(source).collect()
}

/// Whether it shrank by more than the limit, without rounding.
fn has_shrunk(from: u64, to: u64, limit: crate::policy::Percent) -> bool {
    let lost = u128::from(from.saturating_sub(to));
    lost * 1_000_000 > u128::from(limit.units()) * u128::from(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_seconds(day * DAY)
    }

    #[test]
    fn the_greatest_of_seven_days_and_of_the_last_run_before_counts() {
        let mut baseline = Baseline::default();
        for (at, count) in [(0, 100), (1, 91), (2, 83), (3, 85)] {
            baseline.add(CountedAt { at: day(at), count });
        }
        let greatest = |now| baseline.greatest(day(now)).unwrap().count;
        assert_eq!((greatest(3), greatest(8), greatest(9), greatest(11)), (100, 100, 91, 85));
        assert_eq!(greatest(400), 85, "the last run before, however long ago");
    }

    #[test]
    fn what_can_never_matter_again_is_not_kept() {
        let mut baseline = Baseline::default();
        for at in 0..100 {
            baseline.add(CountedAt { at: day(at), count: 1_000 - at as u64 });
        }
        assert!(baseline.runs.len() <= 9, "{}", baseline.runs.len());
        baseline.add(CountedAt { at: day(100), count: 5_000 });
        assert_eq!(baseline.runs.len(), 1);
    }
}
