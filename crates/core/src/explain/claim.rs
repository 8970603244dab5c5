//! The owner of a tag: a claim, a family or a rename.
//!
//! The verdict says what follows from it.

use serde::Serialize;

use crate::desired::Claimed;
use crate::diagnostic::{Place, Sources};
use crate::policy::Policy;

/// The owner of a tag: an entry of `claims` as written, or the name of a family or rename.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedBy {
    /// The kind of owner.
    pub kind: ClaimKind,
    /// The entry, the family's name, or the new name.
    pub name: String,
    /// Its place in the policy files.
    pub place: Place,
}

/// The parts of a policy that own tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClaimKind {
    /// An entry of `claims`.
    Claim,
    /// A family with the tag as a member.
    Family,
    /// A rename of the tag.
    Rename,
}

pub(super) fn claimed_by(policy: &Policy, sources: &Sources, claimed: Claimed) -> ClaimedBy {
    let (kind, name, span) = match claimed {
        Claimed::Claim(index) => {
            let claim = &policy.claims[index as usize];
            (ClaimKind::Claim, claim.pattern.to_string(), claim.span)
        }
        Claimed::Family(index) => {
            let family = &policy.families[index as usize];
            (ClaimKind::Family, family.name.clone(), family.span)
        }
        Claimed::Rename(index) => {
            let rename = &policy.renames[index as usize];
            (ClaimKind::Rename, rename.to.clone(), rename.span)
        }
    };
    ClaimedBy { kind, name, place: sources.place(span) }
}
