//! Rival owners: other policy sets that claim the same tags on this tenant, or whose changes this plan undoes.
//!
//! Judges nothing: a report names them, and people decide who owns the tags.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChangeKey, ChangeWhat, Plan, stale};
use crate::policy::{Policy, claimed_patterns, shared_claims};
use crate::time::Timestamp;

/// The most tags and devices that are named.
const SAMPLE: usize = 5;

/// Another policy set of the tenant, from the journals of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSet {
    /// Its repository; `None` if it is in none.
    pub repository: Option<String>,
    /// Its policy roots.
    pub policies: String,
    /// Its newest run.
    pub run: String,
    /// When its newest run started.
    pub at: Timestamp,
    /// The account or application of its newest run.
    pub who: Option<String>,
    /// Its claims and retirements.
    pub claims: Vec<String>,
    /// The changes of its latest runs.
    pub written: HashSet<ChangeKey>,
}

/// Another policy set that owns the same tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rival {
    /// Its repository; absent where it lies in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Its policy roots.
    pub policies: String,
    /// Its newest run.
    pub run: String,
    /// When that started.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Who ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Claims and retirements of the policies at hand that meet its own.
    pub claims: Vec<String>,
    /// How many of the changes that its latest runs wrote this plan undoes.
    pub undone: u64,
    /// Tags, and values, of these changes.
    pub tags: Vec<String>,
    /// Some of their devices.
    pub sample: Vec<Arc<str>>,
}

/// The sets that own tags of the current policies, or wrote changes that the plan undoes.
pub fn rivals(policy: &Policy, plan: &Plan, others: &[OtherSet]) -> Vec<Rival> {
    let own = claimed_patterns(policy);
    let meets = |other: &OtherSet| {
        let claims = shared_claims(&own, &other.claims, policy.tag_case);
        let undone = undone(plan, &other.written);
        let devices: BTreeSet<&Arc<str>> = undone.iter().map(|key| &key.device).collect();
        let tags: BTreeSet<String> = undone.iter().map(|key| word(&key.what)).collect();
        (!claims.is_empty() || !undone.is_empty()).then(|| Rival {
            repository: other.repository.clone(),
            policies: other.policies.clone(),
            run: other.run.clone(),
            at: other.at,
            who: other.who.clone(),
            claims,
            undone: undone.len() as u64,
            tags: tags.into_iter().take(SAMPLE).collect(),
            sample: devices.into_iter().take(SAMPLE).cloned().collect(),
        })
    };
    others.iter().filter_map(meets).collect()
}

/// The changes of a plan that undo what another set wrote.
fn undone(plan: &Plan, written: &HashSet<ChangeKey>) -> Vec<ChangeKey> {
    if written.is_empty() {
        return Vec::new();
    }
    let values: HashSet<&str> = written
        .iter()
        .filter(|key| matches!(key.what, ChangeWhat::Value(_)))
        .map(|key| &*key.device)
        .collect();
    let case = plan.header.options.tag_case;
    let written: HashSet<Cow<'_, ChangeKey>> = written.iter().map(|key| key.under(case)).collect();
    let takes_back = |key: &ChangeKey| {
        let other = |what| written.contains(&*ChangeKey { device: key.device.clone(), what }.under(case));
        match &key.what {
            ChangeWhat::Add(tag) => other(ChangeWhat::Remove(tag.clone())),
            ChangeWhat::Remove(tag) => other(ChangeWhat::Add(tag.clone())),
            ChangeWhat::Value(value) => values.contains(&*key.device) && !other(ChangeWhat::Value(*value)),
        }
    };
    plan.changes.iter().flat_map(|change| stale::keys(plan, change)).filter(takes_back).collect()
}

fn word(what: &ChangeWhat) -> String {
    match what {
        ChangeWhat::Add(tag) | ChangeWhat::Remove(tag) => tag.to_string(),
        ChangeWhat::Value(value) => value.word().to_owned(),
    }
}
