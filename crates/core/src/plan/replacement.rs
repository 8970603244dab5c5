//! Pairs additions with the removals that they replace on the same device: the removal must wait for the addition.
//!
//! Looks at one addition and one removal at a time; `assemble` and `stale` know which additions are not written now.

use super::Cause;
use crate::pattern::Glob;
use crate::policy::Policy;
use crate::tag::{self, TagCase, TagPattern};
use crate::text;

/// The parts of a policy that pair an addition with a removal.
pub struct Replacements<'a> {
    policy: &'a Policy,
    case: TagCase,
    /// The globs among the claims, matched under `tagCase`.
    globs: Vec<Glob>,
}

/// A tag and the cause of its change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caused<'a> {
    pub(super) tag: &'a str,
    pub(super) cause: &'a Cause,
}

impl<'a> Replacements<'a> {
    /// Reads the policy's renames and families.
    pub fn new(policy: &'a Policy, case: TagCase) -> Replacements<'a> {
        let glob = |pattern: &TagPattern| match pattern {
            TagPattern::Glob(glob) => Some(glob.clone()),
            TagPattern::Literal(_) => None,
        };
        Replacements {
            policy,
            case,
            globs: policy.claims.iter().filter_map(|claim| glob(&claim.pattern)).collect(),
        }
    }

    /// Whether an addition replaces a removal: a twin, a rename, the same rule, family or claim.
    pub(super) fn replaces(&self, added: Caused<'_>, removed: Caused<'_>) -> bool {
        text::equal(added.tag, removed.tag)
            || is_renamed(self.case, added.tag, removed.cause)
            || is_same_rule(added.cause, removed.cause)
            || self.is_same_family(added.tag, removed.tag)
            || self.is_same_claim(added.tag, removed.tag)
    }

    fn is_same_family(&self, added: &str, removed: &str) -> bool {
        self.policy.families.iter().any(|family| {
            let has = |tag: &str| family.members.iter().any(|member| self.case.is_same(&member.tag, tag));
            has(added) && has(removed)
        })
    }

    /// A literal claim covers two tags only if they are the same tag.
    fn is_same_claim(&self, added: &str, removed: &str) -> bool {
        let is_hidden = |tag: &str| tag::is_reserved(tag) && !self.policy.guard.allows_reserved();
        !is_hidden(added)
            && !is_hidden(removed)
            && self.globs.iter().any(|glob| glob.matches(added) && glob.matches(removed))
    }
}

/// Whether the removal is of an old name whose new name is added.
fn is_renamed(case: TagCase, added: &str, cause: &Cause) -> bool {
    matches!(cause, Cause::Renamed { to, .. } if case.is_same(to, added))
}

fn is_same_rule(added: &Cause, removed: &Cause) -> bool {
    match (added, removed) {
        (Cause::Rule(some), Cause::Rule(others)) => some.iter().any(|rule| others.contains(rule)),
        _ => false,
    }
}

/// Whether a removal follows only from the addition. `removeTags` and `retire` remove tags whatever else a device carries.
pub(super) fn is_consequence(cause: &Cause) -> bool {
    matches!(cause, Cause::Unselected { .. } | Cause::Family { .. } | Cause::Renamed { .. })
}
