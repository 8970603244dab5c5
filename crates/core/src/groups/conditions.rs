//! The conditions of all groups on one text field, compiled so that each text is tested once and not once per group.
//!
//! Knows texts and ranks; `assign` knows the devices. The policy compiles conditions on tags.

use fixedbitset::FixedBitSet;

use crate::policy::{DeviceGroups, Operator, Property};
use crate::selection::TextMatcher;

/// The groups without a condition on a property.
pub(super) fn free(groups: &DeviceGroups, property: Property) -> FixedBitSet {
    let mut free = FixedBitSet::with_capacity(groups.groups.len());
    for (rank, group) in groups.groups.iter().enumerate() {
        free.set(rank, group.conditions.iter().all(|condition| condition.property != property));
    }
    free
}

/// The conditions on a text field.
#[derive(Debug)]
pub(super) struct TextConditions {
    /// Groups without a condition on the field.
    pub(super) free: FixedBitSet,
    /// The operators that conditions on it use, each with the groups that use it.
    pub(super) compared: Vec<(Operator, FixedBitSet)>,
    matcher: TextMatcher<'static>,
}

impl TextConditions {
    pub(super) fn new(groups: &DeviceGroups, property: Property) -> TextConditions {
        let matcher = TextMatcher::of_comparisons(groups.comparisons(property));
        let compared = Operator::ALL.iter().map(|operator| {
            let mut by = FixedBitSet::with_capacity(groups.groups.len());
            let ranks = groups.comparisons(property).filter(|(_, own, _)| own == operator);
            ranks.for_each(|(rank, _, _)| by.insert(rank as usize));
            (*operator, by)
        });
        let compared = compared.filter(|(_, by)| !by.is_clear()).collect();
        TextConditions { free: free(groups, property), compared, matcher }
    }

    /// Whether some group has a condition on the field.
    pub(super) fn is_asked(&self) -> bool {
        !self.free.is_full()
    }

    /// Visits the ranks whose conditions with a wanted operator a text meets, perhaps repeatedly.
    pub(super) fn find(&self, text: &str, wants: impl Fn(Operator) -> bool, visit: impl FnMut(u32)) {
        self.matcher.compare(text, wants, visit);
    }

    /// The groups whose conditions a device with this text meets, including those without a condition on the field.
    pub(super) fn met(&self, text: Option<&str>) -> FixedBitSet {
        let mut met = self.free.clone();
        if let Some(text) = text {
            self.find(text, |_| true, |rank| met.insert(rank as usize));
        }
        met
    }
}
