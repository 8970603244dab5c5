//! Which tags two policy sets both own, by their claims and retirements.
//!
//! Compares patterns, not devices: an overlap may be empty today.

use super::Policy;
use super::overlap::{ComparisonBudget, FlatPattern};
use crate::pattern::Glob;
use crate::tag::{TagCase, TagPattern};

/// The patterns that a policy set claims or retires, as written.
pub fn claimed_patterns(policy: &Policy) -> Vec<String> {
    let claims = policy.claims.iter().map(|claim| &claim.pattern);
    let patterns = claims.chain(policy.retire.iter().map(|retire| &retire.pattern));
    let mut sources: Vec<String> = patterns.map(source).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

fn source(pattern: &TagPattern) -> String {
    match pattern {
        TagPattern::Literal(literal) => literal.to_string(),
        TagPattern::Glob(glob) => glob.source().to_owned(),
    }
}

/// The patterns of a set that overlap with a pattern of the others.
pub fn shared_claims(own: &[String], others: &[String], case: TagCase) -> Vec<String> {
    let mut effort = ComparisonBudget::new();
    // The others' patterns come from their journals; an invalid one names no tag.
    let flat = |pattern: &String| Glob::exact(pattern).ok().map(|glob| FlatPattern::new(&glob, case));
    let others: Vec<FlatPattern> = others.iter().filter_map(flat).collect();
    let mut is_shared = |own: &&String| {
        flat(own).is_some_and(|own| others.iter().any(|other| own.overlaps(other, &mut effort)))
    };
    own.iter().filter(|own| is_shared(own)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_shared_where_one_text_can_match_both() {
        let set = |patterns: &[&str]| patterns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let shared = |own: &[&str], others: &[&str]| shared_claims(&set(own), &set(others), TagCase::Exact);
        assert_eq!(shared(&["env/*", "Tier0"], &["env/prod", "site:*"]), ["env/*"]);
        assert!(shared(&["env/*"], &["Env/prod", "environment"]).is_empty());
        assert_eq!(shared_claims(&set(&["Tier0"]), &set(&["TIER?"]), TagCase::Insensitive), ["Tier0"]);
    }
}
