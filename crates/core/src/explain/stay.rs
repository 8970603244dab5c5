//! Why a tag or a value stays as it is although no rule wants it.

use serde::Serialize;

use super::Explainer;
use crate::diagnostic::Place;
use crate::plan::{Withheld, WithheldReason};

/// Why a tag or a value is kept, and where the policy says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptBy {
    /// What keeps the tag on the device.
    pub reason: KeptReason,
    /// The protection or the rule.
    pub name: Option<String>,
    /// Where the policy says so; `None` when the reason is not in the policy.
    pub place: Option<Place>,
    /// In other words: the reason of a protection, why the inventory is untrusted.
    pub notes: Vec<String>,
}

/// Why a tag or a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeptReason {
    /// Nothing in the policies owns the tag.
    Unclaimed,
    /// A rule that gives or forbids the tag cannot be decided on the device.
    Undecided,
    /// The plan withholds the change.
    #[serde(untagged)]
    Withheld(WithheldReason),
}

impl KeptBy {
    /// For a tag that nothing owns.
    pub(super) fn unclaimed() -> KeptBy {
        KeptBy { reason: KeptReason::Unclaimed, name: None, place: None, notes: Vec::new() }
    }
}

/// `protected (break-glass)`.
pub(super) fn because(group: &Withheld) -> String {
    let name = group.name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
    format!("{}{name}", group.reason.word())
}

impl Explainer<'_> {
    /// What keeps a change of this device in a group of withheld ones.
    pub(super) fn withheld(&self, group: &Withheld) -> KeptBy {
        let policy = self.desired.policy;
        let is_named = |name: &str| group.name.as_deref() == Some(name);
        let mut stay = KeptBy {
            reason: KeptReason::Withheld(group.reason),
            name: group.name.clone(),
            place: None,
            notes: Vec::new(),
        };
        match group.reason {
            WithheldReason::Protected => {
                if let Some(found) = policy.protections.iter().find(|one| is_named(&one.name)) {
                    stay.place = Some(self.place(found.span));
                    stay.notes.extend(found.reason.clone());
                }
            }
            WithheldReason::Unresolved => {
                if let Some(rule) = policy.rules.iter().position(|rule| is_named(&rule.name)) {
                    stay.place = Some(self.place(policy.rules[rule].span));
                    if self.desired.is_undecided(rule as u32, self.row) {
                        stay.reason = KeptReason::Undecided;
                    }
                }
            }
            WithheldReason::Untrusted => stay.notes.clone_from(&self.plan.header.inventory.reasons),
            _ => {}
        }
        stay
    }
}
