//! The families that lose a member in a plan, and whether another member replaces it on a device.
//!
//! Reads the policy only to list them. A plan file contains the list, so that later runs judge a run by the families of its time.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cause, DeviceChange, Plan, TagChange, TagIndex};
use crate::policy::Policy;
use crate::tag::TagCase;

/// A family of which the plan removes a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedFamily {
    /// Its name.
    pub name: String,
    /// Its members, the strongest first.
    pub members: Vec<String>,
}

/// The policy's families that lose a member in a plan, in policy order.
pub(super) fn planned(policy: &Policy, plan: &Plan) -> Vec<PlannedFamily> {
    if policy.families.is_empty() {
        return Vec::new();
    }
    let case = plan.header.options.tag_case;
    let removed: HashSet<TagIndex> =
        plan.changes.iter().flat_map(|change| change.remove.iter().map(|remove| remove.tag)).collect();
    let removed: HashSet<_> = removed.into_iter().map(|tag| case.key(plan.tag(tag))).collect();
    let families = policy.families.iter();
    let planned = families
        .filter(|family| family.members.iter().any(|member| removed.contains(&case.key(&member.tag))));
    planned
        .map(|family| PlannedFamily {
            name: family.name.clone(),
            members: family.members.iter().map(|member| member.tag.clone()).collect(),
        })
        .collect()
}

/// The tags of a plan that are members of its families.
pub(super) struct MemberTags<'a> {
    plan: &'a Plan,
    /// By tag: the family and the rank in it.
    member: HashMap<TagIndex, (usize, usize)>,
}

impl<'a> MemberTags<'a> {
    pub(super) fn of(plan: &'a Plan) -> MemberTags<'a> {
        let case: TagCase = plan.header.options.tag_case;
        let mut places = HashMap::new();
        for (family, planned) in plan.families.iter().enumerate() {
            for (place, tag) in planned.members.iter().enumerate() {
                places.insert(case.key(tag), (family, place));
            }
        }
        let tags = plan.tags.iter().enumerate().filter(|_| !places.is_empty());
        let member = tags
            .filter_map(|(index, tag)| Some((TagIndex(index as u32), *places.get(&case.key(tag))?)))
            .collect();
        MemberTags { plan, member }
    }

    /// Whether another member of the removed tag's family is on the device afterwards: it stays, or the same change adds it. An
    /// addition that was not `written` replaces nothing.
    pub(super) fn is_replaced(
        &self,
        change: &DeviceChange,
        removed: TagChange,
        written: impl Fn(TagIndex) -> bool,
    ) -> bool {
        // A revert has the causes of the run that it undoes: they explain, but exempt nothing.
        if self.plan.header.reverts.is_some() {
            return false;
        }
        let Some((family, place)) = self.member.get(&removed.tag) else {
            // Plans of older versions do not list their families.
            return matches!(self.plan.cause(removed.cause), Cause::Family { .. });
        };
        let is_other =
            |tag: TagIndex| self.member.get(&tag).is_some_and(|(of, at)| of == family && at != place);
        let goes = |tag: TagIndex| change.remove.iter().any(|remove| remove.tag == tag);
        change.add.iter().any(|add| is_other(add.tag) && written(add.tag))
            || change.observed_tags.iter().any(|tag| is_other(*tag) && !goes(*tag))
    }
}
