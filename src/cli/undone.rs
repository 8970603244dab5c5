//! Changes that runs undid although the policies want them: other applies leave them alone until the policy set changes.
//!
//! Reads journals and the plans beside them; `plan` withholds the changes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mdetag::store::history::PoliciesAtHand;
use mdetag::store::journal::{self, Header};
use mdetag::store::set_name;
use mdetag::store::state::StateDir;
use mdetag_core::apply::{Outcome, resume};
use mdetag_core::device::DeviceValue;
use mdetag_core::plan::{ChangeKey, ChangeWhat, DeviceChange, Plan, TagCase};

use super::failure::{Failure, chain};
use super::open_rollouts;
use super::past_run;

/// The changes that a plan of these policies must not repeat, each with the run that undid it. After a run of the set had other
/// policies, earlier undone changes are free.
///
/// # Errors
/// An unreadable journal, or plan of a revert: what it undid would be repeated.
pub fn undone(
    state: &StateDir,
    policies: PoliciesAtHand<'_>,
    case: TagCase,
) -> Result<BTreeMap<ChangeKey, Arc<str>>, Failure> {
    let unknown = |cause: String| {
        Failure::file(format!("what a revert undid is unknown: {cause}"))
            .help("restore the state directory, or pass --after-revert to `mdetag apply`: it writes what the policies want")
    };
    let headers = journal::headers(state).map_err(|error| unknown(chain(&error)))?;
    // By the set's name: whether a later run of it had other policies.
    let mut has_changed: BTreeMap<&str, bool> = BTreeMap::new();
    let of_set = headers.iter().rev().filter(|header| set_name::overlap(&header.set, policies.set));
    let of_policy = of_set.filter(|header| {
        let has_changed = has_changed.entry(&header.set).or_default();
        *has_changed |= !policies.are_those_of(header);
        !*has_changed
    });
    let of_policy: Vec<&Header> = of_policy.collect();
    // Reading journals takes time, and nearly no set has a revert.
    let Some(oldest) = of_policy.iter().rposition(|header| header.reverts.is_some()) else {
        return Ok(BTreeMap::new());
    };
    let undone = open_rollouts::undone(state, &headers).map_err(|error| unknown(chain(&error)))?;
    let mut held: BTreeMap<ChangeKey, Arc<str>> = BTreeMap::new();
    let mut done_since: HashSet<ChangeKey> = HashSet::new();
    for header in &of_policy[..=oldest] {
        if undone.contains(&header.run) {
            continue;
        }
        let recorded = journal::read(state, &header.run).map_err(|error| unknown(chain(&error)))?;
        if header.reverts.is_some() {
            let plan = past_run::plan_of(state, &recorded).map_err(|failure| unknown(failure.message))?;
            let keys = plan.changes.iter().flat_map(|change| inverse(&plan, change));
            let run: Arc<str> = header.run.as_str().into();
            for key in keys.filter(|key| !done_since.contains(&*key.under(case))) {
                held.entry(key.under(case).into_owned()).or_insert_with(|| run.clone());
            }
        } else {
            let outcomes = resume::outcomes(&recorded.entries).into_iter();
            let done = outcomes.filter(|(_, ended)| ended.outcome == Outcome::Done);
            done_since.extend(done.map(|(key, _)| key.under(case).into_owned()));
        }
    }
    Ok(held)
}

/// The changes that a revert's change undid.
fn inverse(plan: &Plan, change: &DeviceChange) -> Vec<ChangeKey> {
    let key = |what| ChangeKey { device: change.id.clone(), what };
    let taken = change.remove.iter().map(|remove| key(ChangeWhat::Add(plan.tag(remove.tag).clone())));
    let given = change.add.iter().map(|add| key(ChangeWhat::Remove(plan.tag(add.tag).clone())));
    let before = change.value.and(change.observed_value.as_deref()).and_then(DeviceValue::parse);
    taken.chain(given).chain(before.map(|value| key(ChangeWhat::Value(value)))).collect()
}

/// The failure for a plan file that claims to undo changes that no run made.
pub fn foreign(run: &str, key: &ChangeKey) -> Failure {
    let what = match &key.what {
        ChangeWhat::Add(tag) => format!("adds `{tag}` to"),
        ChangeWhat::Remove(tag) => format!("removes `{tag}` from"),
        ChangeWhat::Value(value) => format!("sets the value {value} on"),
    };
    let device = &key.device;
    Failure::plan(format!(
        "the plan {what} device {device}, and the journal of run {run} holds nothing that this undoes"
    ))
    .help(format!("nothing was written; make the plan with `mdetag revert {run} -o FILE`"))
}
