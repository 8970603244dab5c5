//! The tags that the policy reads outside of its rules: losing one would matter although no cap counts it.

use std::collections::BTreeSet;

use super::selector::walk;
use super::{Counted, Policy, Selector, SelectorKind, TagConditions, Test};
use crate::device::Field;

impl Selector {
    /// Whether its words alone do not decide which devices it selects: it reads a named selector, the scope, a list, a lookup or
    /// a query, and these can change while the words stay the same.
    pub fn reads_more(&self) -> bool {
        let mut found = false;
        walk(self, &mut |part| match &part.kind {
            SelectorKind::Use(_) | SelectorKind::Hunting(_) | SelectorKind::Superseded { .. } => found = true,
            SelectorKind::Field { field: Field::Lookup { .. }, .. } => found = true,
            SelectorKind::Field { test: Test::Text(list), .. } => found |= list.file.is_some(),
            _ => {}
        });
        found
    }
}

impl Policy {
    /// Whether an invariant counts the tag, or a condition of a device group may read it.
    pub fn is_counted_on(&self, tag: &str) -> bool {
        let mut counted = self.guard.invariants.iter().map(|invariant| &invariant.counts);
        let in_invariant = counted.any(|counts| match counts {
            Counted::Tag(own) => self.tag_case.is_same(own, tag),
            Counted::Value(_) | Counted::Group { .. } => false,
        });
        in_invariant || self.moves_groups(tag)
    }

    /// The same, or `guard.rollout` reads it: in `first`, which chooses the first wave, or in `health`, which judges one.
    pub fn is_watched(&self, tag: &str) -> bool {
        let rollout = self.guard.rollout.as_ref();
        let first = rollout.and_then(|rollout| rollout.first.as_ref());
        let health = rollout.and_then(|rollout| rollout.health.as_ref()).map(|health| &health.select);
        self.is_counted_on(tag) || first.into_iter().chain(health).any(|selector| self.names(selector, tag))
    }

    /// Whether a condition of a device group may read the tag.
    pub(super) fn moves_groups(&self, tag: &str) -> bool {
        let Some((groups, _)) = &self.device_groups else { return false };
        self.group_tags.get_or_init(|| TagConditions::new(groups)).look_at(tag)
    }

    /// Whether a selector, or one that it uses, reads the tag by name or by a glob.
    fn names(&self, selector: &Selector, tag: &str) -> bool {
        let (mut waiting, mut seen) = (vec![selector], BTreeSet::new());
        let is_same = |own: &String| self.tag_case.is_same(own, tag);
        while let Some(selector) = waiting.pop() {
            let mut found = false;
            walk(selector, &mut |part| match &part.kind {
                SelectorKind::Field {
                    test: Test::HasAny(tags) | Test::HasAll(tags) | Test::HasNone(tags),
                    ..
                } => {
                    found |= tags.iter().any(is_same);
                }
                SelectorKind::Field { test: Test::TagMatches(globs), .. } => {
                    found |= globs.iter().any(|glob| glob.matches(tag));
                }
                SelectorKind::Use(index) if seen.insert(*index) => {
                    waiting.push(&self.selectors[*index].selector);
                }
                _ => {}
            });
            if found {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Sources;
    use crate::policy::{Policy, resolve};
    use crate::tag::TagCase;
    use crate::time::Timestamp;

    fn policy(guard: &str) -> Policy {
        let text = format!(
            "version: 1\nselectors:\n  canary: {{ any: [{{ machineTags: {{ has: Used }} }}, {{ machineTags: {{ matches: \"wave/*\" }} }}] }}\n\
             guard:\n{guard}"
        );
        let (policy, findings) =
            resolve(&Sources::from_text("p.yaml", &text), TagCase::Exact, Timestamp::EPOCH);
        assert!(findings.iter().all(|finding| !finding.code.starts_with('E')), "{findings:?}");
        policy
    }

    #[test]
    fn a_selector_reads_more_by_what_it_is_and_not_by_its_words() {
        let health = |select: &str| {
            let guarded =
                policy(&format!("  rollout: {{ waves: [5], health: {{ select: {select}, atMost: 5% }} }}\n"));
            guarded.guard.rollout.unwrap().health.unwrap().select.reads_more()
        };
        for select in [
            "{ use: canary }",
            "{ not: { any: [{ healthStatus: Inactive }, { use: canary }] } }",
            "{ superseded: { by: computerDnsName } }",
            "{ hunting: { query: DeviceInfo } }",
        ] {
            assert!(health(select), "{select}");
        }
        for select in [
            "{ machineTags: { hasAny: [Unused, inFile, lookup] } }",
            "{ computerDnsName: { glob: \"hunting-house-*\" } }",
            "{ healthStatus: [Inactive, NoSensorData] }",
        ] {
            assert!(!health(select), "{select}");
        }
    }

    #[test]
    fn what_invariants_and_the_rollout_name_is_watched() {
        let guarded = policy(
            "  invariants: [{ name: i, tag: Tier0, atLeast: 1 }]\n  rollout:\n    waves: [5, 100%]\n    \
             first: { use: canary }\n    health: { select: { not: { machineTags: [Well] } }, atMost: 5% }\n",
        );
        for tag in ["Tier0", "Used", "wave/1", "Well"] {
            assert!(guarded.is_watched(tag), "{tag}");
        }
        assert!(!guarded.is_watched("tier0") && !guarded.is_watched("Other"));
        assert!(guarded.is_counted_on("Tier0") && !guarded.is_counted_on("Used"));
        assert!(
            !policy("  caps: { removals: { percent: 5 } }\n").is_watched("Used"),
            "a selector alone watches nothing"
        );
    }
}
