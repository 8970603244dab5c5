//! The tag conditions of all groups, compiled so that each tag is tested once and not once per group.
//!
//! Tags compare by their own case rule and are never composed. `groups` knows the tags of each device.

use aho_corasick::AhoCorasick;
use hashbrown::HashMap;

use super::{DeviceGroups, Operator, Property};
use crate::tag::TagCase;

/// The compiled conditions.
#[derive(Clone, Debug)]
pub struct TagConditions {
    case: TagCase,
    /// Ranks by the whole text of a tag.
    whole: HashMap<String, Vec<u32>>,
    /// All other values, found in one pass.
    parts: Option<AhoCorasick>,
    /// By value in `parts`: how it compares, and its rank.
    part_of: Vec<(Operator, u32)>,
}

impl TagConditions {
    /// Compiles the conditions of a file.
    pub fn new(groups: &DeviceGroups) -> TagConditions {
        let case = groups.tag_case;
        let mut whole: HashMap<String, Vec<u32>> = HashMap::new();
        let (mut parts, mut part_of) = (Vec::new(), Vec::new());
        for (rank, operator, value) in groups.comparisons(Property::Tag) {
            let value = case.key(value).into_owned();
            match operator {
                Operator::Equals | Operator::In => whole.entry(value).or_default().push(rank),
                Operator::StartsWith | Operator::EndsWith | Operator::Contains => {
                    parts.push(value);
                    part_of.push((operator, rank));
                }
            }
        }
        let parts = (!parts.is_empty())
            .then(|| AhoCorasick::new(&parts).expect("the values of a file of groups are far below 2 GiB"));
        TagConditions { case, whole, parts, part_of }
    }

    /// The ranks whose tag conditions a tag meets, ascending.
    pub fn ranks(&self, tag: &str) -> Vec<u32> {
        let tag = self.case.key(tag);
        let mut ranks = self.whole.get(&*tag).cloned().unwrap_or_default();
        for found in self.parts.iter().flat_map(|parts| parts.find_overlapping_iter(&*tag)) {
            let (operator, rank) = self.part_of[found.pattern().as_usize()];
            let holds = match operator {
                Operator::StartsWith => found.start() == 0,
                Operator::EndsWith => found.end() == tag.len(),
                Operator::Contains | Operator::Equals | Operator::In => true,
            };
            if holds {
                ranks.push(rank);
            }
        }
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }

    /// Whether some group has a condition that the tag may meet.
    pub fn look_at(&self, tag: &str) -> bool {
        !self.ranks(tag).is_empty()
    }
}
