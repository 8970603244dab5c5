//! The work of earlier runs of the policy set, as the guard counts it: in the last 24 hours, and by approval.
//!
//! Reads no journal and judges nothing. A run whose plan cannot be proven counts whole.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{ApprovalOrigin, ApprovalUse, gains_new_name};
use crate::plan::families::MemberTags;
use crate::plan::{ChangeKey, ChangeWhat, DeviceChange, Plan, TagChange, TagIndex};
use crate::policy::Axis;

/// The work of earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Their use of approvals.
    pub uses: Vec<ApprovalUse>,
    /// Device-tag pairs that they removed in the last 24 hours.
    pub removals: u64,
    /// The same, by tag.
    pub removals_per_tag: BTreeMap<Arc<str>, u64>,
    /// Device values that they changed in the last 24 hours.
    pub values: u64,
    /// Devices that changed device group through them in the last 24 hours.
    pub group_moves: u64,
    /// Journals that cannot be read completely: the work of these runs is unknown.
    pub unread: Vec<UnreadJournal>,
}

/// A journal that cannot be read completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadJournal {
    pub file: String,
    /// Whether the lost part may be from the last 24 hours.
    pub may_be_of_day: bool,
}

impl Past {
    /// The amount that counts against the day's cap of an axis; `None` if the axis has none.
    pub fn of_day(&self, axis: Axis, tag: Option<&str>) -> Option<u64> {
        match axis {
            Axis::Removals => Some(self.removals),
            Axis::RemovalsPerTag => {
                Some(tag.and_then(|tag| self.removals_per_tag.get(tag)).copied().unwrap_or(0))
            }
            Axis::Values => Some(self.values),
            Axis::GroupMoves => Some(self.group_moves),
            Axis::Devices | Axis::Additions => None,
        }
    }
}

/// A run that wrote something.
#[derive(Clone, Copy, Debug)]
pub struct PastWork<'a> {
    pub run: &'a str,
    /// Its plan, if the state proves it.
    pub plan: Option<&'a Plan>,
    /// Every change that is done or may be.
    pub changed: &'a HashSet<ChangeKey>,
    /// Every change that is certainly in place: done, or found to be so.
    pub confirmed: &'a HashSet<ChangeKey>,
    /// Those changes that are from the last 24 hours.
    pub of_day: &'a HashSet<ChangeKey>,
    /// The approvals and allowances that it needed.
    pub raised: &'a [ApprovalUse],
    /// Whether it is the run that goes on: its `--allow` holds for it with its resumes, and for no other run.
    pub is_resumed: bool,
}

/// Adds up runs, oldest first.
#[derive(Debug, Default)]
pub struct PastCount {
    uses: Vec<ApprovalUse>,
    removed: HashSet<(Arc<str>, Arc<str>)>,
    removed_of_tag: HashSet<(Arc<str>, Arc<str>)>,
    /// By device: the value before the runs.
    values: HashMap<Arc<str>, Option<Arc<str>>>,
    moves: BTreeMap<String, u64>,
    unread: Vec<UnreadJournal>,
}

impl PastCount {
    /// Adds a run whose journal cannot be read completely.
    pub fn add_unread(&mut self, journal: UnreadJournal) {
        self.unread.push(journal);
    }

    pub fn add(&mut self, work: &PastWork<'_>) {
        let exemptions = Exemptions::of(work);
        let goes_on =
            |raised: &&ApprovalUse| raised.approval.from == ApprovalOrigin::Policy || work.is_resumed;
        let uses = work.raised.iter().filter(goes_on).map(|raised| {
            let count = count(&exemptions, raised.approval.cap, raised.tag.as_deref());
            ApprovalUse { count, ..raised.clone() }
        });
        self.uses.extend(uses);
        let covered: HashSet<(Axis, Option<&str>)> =
            work.raised.iter().map(|raised| (raised.approval.cap, raised.tag.as_deref())).collect();
        for key in work.of_day {
            match &key.what {
                ChangeWhat::Add(tag) => {
                    let pair = (key.device.clone(), tag.clone());
                    self.removed.remove(&pair);
                    self.removed_of_tag.remove(&pair);
                }
                ChangeWhat::Remove(tag) if exemptions.counts_for_day(&key.device, tag) => {
                    let pair = (key.device.clone(), tag.clone());
                    if !covered.contains(&(Axis::RemovalsPerTag, Some(&**tag))) {
                        self.removed_of_tag.insert(pair.clone());
                    }
                    if !covered.contains(&(Axis::Removals, None)) {
                        self.removed.insert(pair);
                    }
                }
                ChangeWhat::Remove(_) => {}
                ChangeWhat::Value(value) => {
                    let is_back = |before: &Option<Arc<str>>| before.as_deref() == Some(value.word());
                    if self.values.get(&key.device).is_some_and(is_back) {
                        self.values.remove(&key.device);
                    } else if !covered.contains(&(Axis::Values, None)) {
                        let change = find(work.plan, &key.device);
                        let before = change.and_then(|change| change.observed_value.clone());
                        self.values.entry(key.device.clone()).or_insert(before);
                    }
                }
            }
        }
        if let Some(undone) = work.plan.and_then(|plan| plan.header.reverts.as_ref()) {
            self.moves.remove(undone);
        }
        if !work.of_day.is_empty() && !covered.contains(&(Axis::GroupMoves, None)) {
            self.moves.insert(work.run.to_owned(), moves(work.plan, work.of_day));
        }
    }

    pub fn sum(self) -> Past {
        let mut removals_per_tag: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (_, tag) in self.removed_of_tag {
            *removals_per_tag.entry(tag).or_default() += 1;
        }
        Past {
            uses: self.uses,
            removals: self.removed.len() as u64,
            removals_per_tag,
            values: self.values.len() as u64,
            group_moves: self.moves.values().sum(),
            unread: self.unread,
        }
    }
}

/// Number of a run's changes on an axis.
fn count(exemptions: &Exemptions<'_>, axis: Axis, tag: Option<&str>) -> u64 {
    let work = exemptions.work;
    let counts = |key: &&ChangeKey| match (&key.what, axis) {
        (ChangeWhat::Add(_), Axis::Additions) | (ChangeWhat::Value(_), Axis::Values) => true,
        (ChangeWhat::Remove(removed), Axis::Removals | Axis::RemovalsPerTag) => {
            tag.is_none_or(|tag| tag == &**removed) && exemptions.takes_away(&key.device, removed)
        }
        _ => false,
    };
    match axis {
        Axis::Devices => devices(work.changed),
        Axis::GroupMoves => moves(work.plan, work.changed),
        _ => work.changed.iter().filter(counts).count() as u64,
    }
}

fn devices(changed: &HashSet<ChangeKey>) -> u64 {
    changed.iter().map(|key| &key.device).collect::<HashSet<_>>().len() as u64
}

/// The moves predicted by a run's plan, at most one for each device that it wrote.
fn moves(plan: Option<&Plan>, changed: &HashSet<ChangeKey>) -> u64 {
    let foreseen = plan.and_then(Plan::judged_groups).map_or(0, |groups| groups.judged_moves());
    foreseen.min(devices(changed))
}

fn find<'a>(plan: Option<&'a Plan>, device: &str) -> Option<&'a DeviceChange> {
    let plan = plan?;
    plan.changes.binary_search_by(|change| (*change.id).cmp(device)).ok().map(|at| &plan.changes[at])
}

/// The reasons that exempt removals of a run.
struct Exemptions<'a> {
    work: &'a PastWork<'a>,
    members: Option<MemberTags<'a>>,
}

impl<'a> Exemptions<'a> {
    fn of(work: &'a PastWork<'a>) -> Exemptions<'a> {
        Exemptions { work, members: work.plan.map(MemberTags::of) }
    }

    /// Whether a removal counts: not if it is half of a rename, unless something depends on the old name.
    fn takes_away(&self, device: &str, tag: &str) -> bool {
        let Some((plan, change, remove)) = self.find(device, tag) else { return true };
        plan.measures.watched.contains(&remove.tag)
            || !gains_new_name(plan, change, plan.cause(remove.cause), |added| {
                self.is_written(plan, change, added)
            })
    }

    /// Whether a removal counts for the day: also not if another family member replaces the tag.
    fn counts_for_day(&self, device: &str, tag: &str) -> bool {
        let replaced = |members: &MemberTags<'_>| {
            let (plan, change, remove) = self.find(device, tag)?;
            Some(members.is_replaced(change, remove, |added| self.is_written(plan, change, added)))
        };
        self.takes_away(device, tag) && self.members.as_ref().and_then(replaced) != Some(true)
    }

    fn find(&self, device: &str, tag: &str) -> Option<(&'a Plan, &'a DeviceChange, TagChange)> {
        let plan = self.work.plan?;
        let change = find(Some(plan), device)?;
        let remove = change.remove.iter().find(|remove| &**plan.tag(remove.tag) == tag)?;
        Some((plan, change, *remove))
    }

    /// Only a confirmed addition exempts the removal beside it.
    fn is_written(&self, plan: &Plan, change: &DeviceChange, added: TagIndex) -> bool {
        let what = ChangeWhat::Add(plan.tag(added).clone());
        self.work.confirmed.contains(&ChangeKey { device: change.id.clone(), what })
    }
}
