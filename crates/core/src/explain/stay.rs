//! Why a device keeps a tag or a value although no rule wants it.

use serde::Serialize;

use super::Explainer;
use crate::diagnostic::Place;
use crate::plan::{Withheld, WithheldReason};

/// Why a tag or a value is kept, and the place in the policy that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptBy {
    /// The reason.
    pub reason: KeptReason,
    /// The protection or the rule.
    pub name: Option<String>,
    /// The place in the policy that says so; `None` if the reason is not in the policy.
    pub place: Option<Place>,
    /// Further words: the reason of a protection, or why the inventory is untrusted.
    pub notes: Vec<String>,
}

/// Why a tag or a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeptReason {
    /// No part of the policies owns the tag.
    Unclaimed,
    /// A rule that gives or forbids the tag cannot be decided on the device.
    Undecided,
    /// The plan withholds the change.
    #[serde(untagged)]
    Withheld(WithheldReason),
}

impl KeptBy {
    /// For a tag without an owner.
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
    /// Why the change of this device is in a group of withheld changes.
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
