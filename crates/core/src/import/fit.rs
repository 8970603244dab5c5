//! The smallest selector that explains a set of devices: one condition, several values of one field, or two fields together.
//!
//! Counts the devices that the selection engine found; writes nothing.

use std::cmp::Ordering;

use crate::device::Kind;
use crate::inventory::DeviceSet;

use super::candidates::{Candidate, Comparison};
use super::write::scalar;

/// The most values of a list. A longer one belongs in a file, not in a selector.
const LONGEST_LIST: usize = 8;

/// The number of broad conditions that are tried together with a second one.
const MOST_BASES: usize = 12;

/// A broad condition misses at most a fifth of the devices.
const LEAST_RECALL: f64 = 0.8;

/// The cost of each further condition or value: it must improve the selector by at least this.
const COMPLEXITY: f64 = 0.01;

/// A selector and how well it fits a set of devices.
#[derive(Clone, Debug)]
pub(super) struct SelectorFit {
    /// As YAML without braces: `osPlatform: Ubuntu, domain: corp.example.com`.
    pub(super) conditions: Vec<String>,
    /// The devices in scope that it selects.
    pub(super) selected: DeviceSet,
    hits: usize,
    chosen: usize,
    wanted: usize,
}

impl SelectorFit {
    /// Share of the selected devices that are wanted.
    pub(super) fn precision(&self) -> f64 {
        self.hits as f64 / self.chosen.max(1) as f64
    }

    /// Share of the wanted devices that are selected.
    pub(super) fn recall(&self) -> f64 {
        self.hits as f64 / self.wanted.max(1) as f64
    }

    /// The selector as YAML in flow style.
    pub(super) fn selector(&self) -> String {
        format!("{{ {} }}", self.conditions.join(", "))
    }
}

/// An attempt: conditions that must all hold, each a list of candidates of one field.
struct Attempt {
    base: Option<usize>,
    values: Vec<usize>,
    hits: usize,
    chosen: usize,
}

impl Attempt {
    fn reaches(&self, fit: f64, wanted: usize) -> bool {
        let precision = self.hits as f64 / self.chosen.max(1) as f64;
        let recall = self.hits as f64 / wanted.max(1) as f64;
        precision >= fit && recall >= fit
    }

    /// The harmonic mean of precision and recall, minus the cost of the selector's length.
    fn score(&self, wanted: usize) -> f64 {
        let mean = 2.0 * self.hits as f64 / (self.chosen + wanted).max(1) as f64;
        let length = self.values.len() - 1 + usize::from(self.base.is_some());
        mean - COMPLEXITY * length as f64
    }
}

/// The best selector for these devices, even if it does not reach `fit`.
pub(super) fn best(candidates: &[Candidate], wanted: &DeviceSet, fit: f64) -> Option<SelectorFit> {
    let total = wanted.count();
    let hits: Vec<usize> = candidates.iter().map(|one| one.devices.count_common(wanted)).collect();
    let related: Vec<usize> = (0..candidates.len()).filter(|at| hits[*at] > 0).collect();
    let recall = |at: usize| hits[at] as f64 / total.max(1) as f64;
    let mut broad: Vec<usize> = related.iter().copied().filter(|at| recall(*at) >= LEAST_RECALL).collect();
    broad.sort_by_key(|at| (candidates[*at].count - hits[*at], candidates[*at].order));
    broad.truncate(MOST_BASES);
    let mut attempts = Vec::new();
    for base in std::iter::once(None).chain(broad.into_iter().map(Some)) {
        attempts.extend(within(candidates, &related, wanted, base, fit));
    }
    let order = |left: &Attempt, right: &Attempt| -> Ordering {
        let reached = right.reaches(fit, total).cmp(&left.reaches(fit, total));
        let score = || right.score(total).total_cmp(&left.score(total));
        let fields = || candidates[left.values[0]].order.cmp(&candidates[right.values[0]].order);
        // Of conditions on the same field, the plain value comes first.
        let kinds = || candidates[left.values[0]].comparison.cmp(&candidates[right.values[0]].comparison);
        reached.then_with(score).then_with(fields).then_with(kinds)
    };
    let chosen = attempts.into_iter().min_by(order)?;
    Some(finished(candidates, &chosen, total))
}

/// Attempts with one more field combined with a broad condition, or alone.
fn within(
    candidates: &[Candidate],
    related: &[usize],
    wanted: &DeviceSet,
    base: Option<usize>,
    fit: f64,
) -> Vec<Attempt> {
    let inside = base.map(|base| {
        let mut inside = wanted.clone();
        inside.intersect_with(&candidates[base].devices);
        inside
    });
    let inside = inside.as_ref().unwrap_or(wanted);
    let count = |at: usize| match base {
        None => candidates[at].count,
        Some(base) => candidates[at].devices.count_common(&candidates[base].devices),
    };
    let mut attempts = Vec::new();
    let mut pure: Vec<(usize, usize, usize)> = Vec::new();
    for at in related.iter().copied() {
        if base.is_some_and(|base| candidates[base].field == candidates[at].field) {
            continue;
        }
        let (hits, chosen) = (candidates[at].devices.count_common(inside), count(at));
        if hits == 0 {
            continue;
        }
        attempts.push(Attempt { base, values: vec![at], hits, chosen });
        if hits as f64 >= fit.min(0.9) * chosen as f64 {
            pure.push((at, hits, chosen));
        }
    }
    // Kinds together, the most telling values first.
    let kind = |at: usize| (candidates[at].order, candidates[at].comparison);
    pure.sort_by(|left, right| kind(left.0).cmp(&kind(right.0)).then(right.1.cmp(&left.1)));
    for group in pure.chunk_by(|left, right| kind(left.0) == kind(right.0)) {
        attempts.extend(joined(candidates, group, inside, base));
    }
    attempts
}

/// Several values of one field. Each adds devices that the earlier ones miss.
fn joined(
    candidates: &[Candidate],
    group: &[(usize, usize, usize)],
    inside: &DeviceSet,
    base: Option<usize>,
) -> Option<Attempt> {
    let mut values = Vec::new();
    let (first, others) = group.split_first()?;
    values.push(first.0);
    let mut covered = candidates[first.0].devices.clone();
    let mut hits = first.1;
    for (at, ..) in others {
        let mut next = covered.clone();
        next.union_with(&candidates[*at].devices);
        let reached = next.count_common(inside);
        if reached > hits && values.len() < LONGEST_LIST {
            values.push(*at);
            (covered, hits) = (next, reached);
        }
    }
    if let Some(base) = base {
        covered.intersect_with(&candidates[base].devices);
    }
    (values.len() > 1).then(|| Attempt { base, values, hits, chosen: covered.count() })
}

fn finished(candidates: &[Candidate], attempt: &Attempt, wanted: usize) -> SelectorFit {
    let mut selected = candidates[attempt.values[0]].devices.clone();
    attempt.values[1..].iter().for_each(|at| selected.union_with(&candidates[*at].devices));
    let mut conditions = Vec::new();
    if let Some(base) = attempt.base {
        selected.intersect_with(&candidates[base].devices);
        conditions.push(condition(&[&candidates[base]]));
    }
    let mut values: Vec<&Candidate> = attempt.values.iter().map(|at| &candidates[*at]).collect();
    values.sort_by(|left, right| left.value.cmp(&right.value));
    conditions.push(condition(&values));
    SelectorFit { conditions, selected, hits: attempt.hits, chosen: attempt.chosen, wanted }
}

/// `osPlatform: Ubuntu`, `osPlatform: [CentOS, Ubuntu]`, `deviceName: { startsWith: [adc, dc] }`.
fn condition(values: &[&Candidate]) -> String {
    let first = values[0];
    let is_bare = matches!(first.field.kind(), Kind::Integer | Kind::Boolean);
    let text = |one: &&Candidate| if is_bare { one.value.clone() } else { scalar(&one.value) };
    let texts: Vec<String> = values.iter().map(text).collect();
    let texts = match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    let name = first.field.name();
    match first.comparison {
        Comparison::Equals => format!("{name}: {texts}"),
        Comparison::StartsWith => format!("{name}: {{ startsWith: {texts} }}"),
        Comparison::EndsWith => format!("{name}: {{ endsWith: {texts} }}"),
        Comparison::Contains => format!("{name}: {{ contains: {texts} }}"),
        Comparison::Network => format!("{name}: {{ cidr: {texts} }}"),
    }
}
