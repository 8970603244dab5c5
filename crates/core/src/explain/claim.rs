//! What owns a tag: a claim, a family or a rename.
//!
//! Does not say what follows: that is the verdict's.

use serde::Serialize;

use crate::desired::Claimed;
use crate::diagnostic::{Place, Sources};
use crate::policy::Policy;

/// What owns a tag: an entry of `claims` as written, or the family or rename by its name.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedBy {
    /// Which of the three.
    pub kind: ClaimKind,
    /// The entry, the family's name, or the new name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// The parts of a policy that own tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClaimKind {
    /// An entry of `claims`.
    Claim,
    /// A family that it is a member of.
    Family,
    /// A rename of it.
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
