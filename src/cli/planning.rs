//! From a policy set and an inventory to a plan: the pipeline, stage by stage, and nothing else.
//!
//! Reads no file and no tenant itself, and prints nothing.

use std::collections::BTreeMap;

use mdetag_core::desired;
use mdetag_core::diagnostic::{Diagnostic, Severity, Sources};
use mdetag_core::inventory::{
    self, Baselines, Compared, DeviceSet, InventoryCounts, Snapshot, Trust, UntrustedReason,
};
use mdetag_core::plan::consequences::Consequences;
use mdetag_core::plan::guard::Allowance;
use mdetag_core::plan::revert::RevertScope;
use mdetag_core::plan::{
    self, Header, History, InventoryReference, Options, Plan, PolicyReference, Refused, SafePlan,
    TenantReference, waves,
};
use mdetag_core::policy::Policy;
use mdetag_core::policy::settings::LintLevel;
use mdetag_core::selection::{self, HuntingResults, Selections};
use mdetag_core::time::Timestamp;

use super::failure::Failure;

/// A policy set without errors.
#[derive(Debug)]
pub struct PolicySet {
    pub sources: Sources,
    pub policy: Policy,
    /// Their findings, without errors.
    pub findings: Vec<Diagnostic>,
    /// Their form in plans.
    pub reference: PolicyReference,
}

/// Devices, how far they can be trusted, and their tenant.
#[derive(Debug)]
pub struct Inventory {
    pub snapshot: Snapshot,
    /// The verdict on the read.
    pub trust: Trust,
    pub tenant: TenantReference,
}

/// The counts of trusted runs of a policy set, if the state directory has them.
#[derive(Clone, Debug, Default)]
pub struct KeptCounts {
    /// The counts; `None` if no run of the set is recorded.
    pub baselines: Option<Baselines>,
    /// The file of the counts, if it cannot be read.
    pub unreadable: Option<String>,
    /// The `$filter` of the read, with its times at the epoch so that it is the same every day; empty for every device.
    pub filter: String,
}

/// The input of a plan besides the policy set and the inventory.
#[derive(Clone, Copy, Debug)]
pub struct PlanInputs<'a> {
    /// The clock for ages and dates.
    pub now: Timestamp,
    pub created_at: Timestamp,
    /// Options that change what is planned or how it is written.
    pub options: Options,
    /// Results of hunting queries.
    pub hunting: &'a HuntingResults,
    /// The facts from journals.
    pub history: &'a History,
    /// The counts of trusted runs of the set.
    pub kept: &'a KeptCounts,
    /// `--allow`.
    pub allowances: &'a [Allowance],
    /// When a recorded inventory was read.
    pub recorded_at: Option<Timestamp>,
    /// How findings count, by code: `lints` of `mdetag.yaml`.
    pub lints: &'a BTreeMap<String, LintLevel>,
}

/// A plan, safe or refused, with its input.
#[derive(Debug)]
pub struct Planned {
    /// The plan that passed the guard, or the one that it refused.
    pub verdict: Result<SafePlan, Box<Refused>>,
    /// The results of the selectors.
    pub selections: Selections,
    /// The counts of this run: the next run's `last`, if this one is trusted.
    pub counts: InventoryCounts,
    /// Whether no device was read although there should be some (unless `guard.inventory.min` is 0).
    pub saw_nothing: bool,
}

impl Planned {
    /// The plan, whatever the guard decided.
    pub fn plan(&self) -> &Plan {
        match &self.verdict {
            Ok(safe) => safe.plan(),
            Err(refused) => &refused.plan,
        }
    }
}

/// A tenant's first plan: every option at its default, no journal and no counts.
#[cfg(test)]
pub fn first_plan(set: &PolicySet, snapshot: Snapshot, now: Timestamp) -> Planned {
    let inventory = Inventory { snapshot, trust: Trust::default(), tenant: TenantReference::default() };
    let with = PlanInputs {
        now,
        created_at: now,
        options: Options::default(),
        hunting: &HuntingResults::default(),
        history: &History::default(),
        kept: &KeptCounts::default(),
        allowances: &[],
        recorded_at: None,
        lints: &BTreeMap::new(),
    };
    plan(set, &inventory, &with).unwrap_or_else(|failure| panic!("{failure:?}"))
}

/// Select, desire, diff, guard.
///
/// # Errors
/// Conflicts between rules and hunting queries without a usable result, as policy findings.
pub fn plan(set: &PolicySet, inventory: &Inventory, with: &PlanInputs<'_>) -> Result<Planned, Failure> {
    let mut fresh = fresh(set, inventory, with)?;
    roll_out(set, &inventory.snapshot, &mut fresh);
    Ok(guarded(set, fresh, with.allowances))
}

/// Computes the effects of a plan again after it was narrowed, or is the inverse of a run.
pub fn foresee(set: &PolicySet, snapshot: &Snapshot, fresh: &mut UncheckedPlan, history: &History) {
    let scope = &fresh.selections.scope;
    fresh.plan.groups =
        plan::consequences::consequences(&set.policy, snapshot, scope, &fresh.plan, &history.written_lately);
    fresh.plan.last_devices = plan::last_devices(&set.policy, snapshot, &fresh.selections, &fresh.plan);
    if fresh.plan.header.reverts.is_some() {
        let desired = desired::desire(&set.policy, snapshot, &fresh.selections, fresh.plan.header.now).ok();
        fresh.plan.header.opposed = desired.map(|desired| plan::revert::opposed(&fresh.plan, &desired));
    }
}

/// Computes the effects of a plan by the base's device groups too, if those show more moves, so that a pull request which changes
/// the groups cannot hide moves from the cap.
pub fn foresee_by_base(base: &Policy, snapshot: &Snapshot, fresh: &mut UncheckedPlan, history: &History) {
    let (scope, plan) = (&fresh.selections.scope, &fresh.plan);
    let by_base = plan::consequences::consequences(base, snapshot, scope, plan, &history.written_lately);
    let judged = plan.groups.as_ref().map(Consequences::judged_moves);
    fresh.plan.base_groups = by_base.filter(|by_base| Some(by_base.judged_moves()) > judged);
}

/// Splits a plan into the waves of the policy.
pub fn roll_out(set: &PolicySet, snapshot: &Snapshot, fresh: &mut UncheckedPlan) {
    let Some(rollout) = &set.policy.guard.rollout else { return };
    waves::assign(&mut fresh.plan, rollout, &is_first(snapshot, &fresh.selections));
}

/// Refuses a plan file whose waves differ from those that the policies give its changes, because a file is only a proposal.
///
/// # Errors
/// The waves differ.
pub fn same_waves(
    set: &PolicySet,
    snapshot: &Snapshot,
    selections: &Selections,
    reviewed: &Plan,
) -> Result<(), Failure> {
    let mut again = Plan { header: reviewed.header.clone(), tags: reviewed.tags.clone(), ..Plan::default() };
    again.causes.clone_from(&reviewed.causes);
    again.rules.clone_from(&reviewed.rules);
    again.changes.clone_from(&reviewed.changes);
    if let (Some(rollout), None) = (&set.policy.guard.rollout, &reviewed.header.reverts) {
        waves::assign(&mut again, rollout, &is_first(snapshot, selections));
    }
    if again.rollout == reviewed.rollout {
        return Ok(());
    }
    Err(Failure::plan("the waves of the plan are not those that the policies give its changes").help(
        "nothing was written; devices of `rollout.first` may have changed since: make a new plan with `mdetag plan`",
    ))
}

fn is_first<'a>(
    snapshot: &'a Snapshot,
    selections: &'a Selections,
) -> impl Fn(&str) -> bool + Sync + use<'a> {
    let first = selections.first.as_ref();
    move |id: &str| first.is_some_and(|first| snapshot.find(id).is_some_and(|row| first.contains(row)))
}

/// The guard's decision on a plan.
pub fn guarded(set: &PolicySet, fresh: UncheckedPlan, allowances: &[Allowance]) -> Planned {
    let UncheckedPlan { plan, selections, counts } = fresh;
    let expects_none = set.policy.guard.min_devices.as_ref().is_some_and(|(minimum, _)| *minimum == 0);
    let verdict = SafePlan::new(plan, &set.policy.guard, allowances, &set.sources);
    let saw_nothing = counts.devices == 0 && !expects_none;
    Planned { verdict, selections, counts, saw_nothing }
}

/// The devices that any protection matches.
pub fn protected(selections: &Selections, devices: usize) -> DeviceSet {
    let mut protected = DeviceSet::new(devices);
    selections.protections.iter().for_each(|rows| protected.union_with(rows));
    protected
}

/// The devices that a revert may touch under a policy set. `protected`: the result of [`protected()`].
pub fn reach<'a>(
    set: &PolicySet,
    snapshot: &'a Snapshot,
    selections: &'a Selections,
    protected: &'a DeviceSet,
) -> RevertScope<'a> {
    let allows_reserved = set.policy.guard.allows_reserved();
    RevertScope { snapshot, scope: &selections.scope, protected, allows_reserved }
}

/// A plan that the guard has not seen.
#[derive(Debug)]
pub struct UncheckedPlan {
    pub plan: Plan,
    /// The results of the selectors.
    pub selections: Selections,
    pub counts: InventoryCounts,
}

/// Select, desire, diff.
///
/// # Errors
/// Those of [`plan()`].
pub fn fresh(
    set: &PolicySet,
    inventory: &Inventory,
    with: &PlanInputs<'_>,
) -> Result<UncheckedPlan, Failure> {
    let (policy, snapshot) = (&set.policy, &inventory.snapshot);
    let findings = |findings: Vec<Diagnostic>| Failure::policy(set.sources.clone(), findings);
    let counts = selection::count_sources(policy, snapshot, with.hunting);
    let mut trust = inventory.trust.clone();
    trust.reasons.extend(inventory::judge(&policy.guard, inventory.tenant.id.as_deref(), &counts));
    let KeptCounts { baselines, unreadable, filter } = with.kept;
    trust
        .reasons
        .extend(unreadable.iter().map(|file| UntrustedReason::UnreadableBaselines { file: file.clone() }));
    let compared = Compared { baselines: baselines.as_ref(), filter, now: with.now };
    let shrunk = inventory::compare(&policy.guard, &counts, compared, &set.sources, &mut trust.reasons);
    let selections = selection::select(policy, snapshot, with.hunting, with.now).map_err(findings)?;
    let mut desired = desired::desire(policy, snapshot, &selections, with.now).map_err(findings)?;
    desired.doubt(&inventory::shrunk_sources(&trust.reasons));
    let header = Header {
        created_at: with.created_at,
        now: with.now,
        tenant: inventory.tenant.clone(),
        policy: set.reference.clone(),
        inventory: InventoryReference {
            reasons: trust.sentences(),
            read_at: with.recorded_at,
            ..InventoryReference::default()
        },
        options: with.options,
        ..Header::default()
    };
    let mut plan = plan::diff(&desired, with.history, header, &set.sources);
    let is_part = plan::waves::withhold(&mut plan, &with.history.waiting_for_wave);
    plan.measures.past = with.history.past.clone();
    plan.measures.baselines = shrunk;
    plan.measures.rivals = plan::rivals(policy, &plan, &with.history.others);
    plan::level_warnings(&mut plan, with.lints);
    let mut fresh = UncheckedPlan { plan, selections, counts };
    if is_part {
        foresee(set, snapshot, &mut fresh, with.history);
    }
    Ok(fresh)
}

/// Refuses a plan with a finding that `mdetag.yaml` denies, as a policy set with one is refused.
///
/// # Errors
/// All such findings.
pub fn deny(set: &PolicySet, plan: &Plan, lints: &BTreeMap<String, LintLevel>) -> Result<(), Failure> {
    let denied = plan::denied(plan, lints);
    if denied.is_empty() { Ok(()) } else { Err(Failure::policy(set.sources.clone(), denied)) }
}

pub fn has_errors(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
