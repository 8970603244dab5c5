//! Changes that depend on data which shrank by more than the guard allows: an export with missing rows must not add a tag either.
//!
//! Decides nothing about removals: an untrusted inventory withholds all of those.

use std::collections::BTreeSet;

use super::{TagGroup, Values};
use crate::device::Field;
use crate::policy::{self, Policy, Rule, Selector, SelectorKind, TagExpressionKind, TemplatePart};

/// Rules that read untrusted data, and the changes that they might decide.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    /// Whether a rule reads untrusted data, by rule.
    rules: Vec<bool>,
    /// The priority of each rule.
    priorities: Vec<i64>,
    /// By family: the rank of its first member that such a rule gives.
    families: Vec<Option<u32>>,
    /// Whether the scope or a protection reads it: then no device is known to be one that may be touched.
    is_everything: bool,
}

impl Doubts {
    /// `sources`: names of the untrusted data sources.
    pub(super) fn new(policy: &Policy, groups: &[TagGroup], sources: &BTreeSet<String>) -> Doubts {
        if sources.is_empty() {
            return Doubts::default();
        }
        let mut reads = SourceReads { policy, sources, named: vec![None; policy.selectors.len()] };
        let protections = policy.protections.iter().map(|protection| &protection.select);
        let is_everything = policy.scope.iter().chain(protections).any(|selector| reads.selector(selector));
        let rules: Vec<bool> = policy.rules.iter().map(|rule| reads.rule(rule)).collect();
        let mut families = vec![None; policy.families.len()];
        for group in groups.iter().filter(|group| group.giving.iter().any(|giver| rules[giver.rule as usize]))
        {
            let Some((family, place)) = group.family else { continue };
            let first: &mut Option<u32> = &mut families[family as usize];
            *first = Some(first.map_or(place, |first| first.min(place)));
        }
        let priorities = policy.rules.iter().map(|rule| rule.priority).collect();
        Doubts { rules, priorities, families, is_everything }
    }

    /// True when no rule depends on missing data.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether an addition depends on untrusted data: either only such rules give it, or one of them could forbid it or give a
    /// stronger member of its family. `givers`: the rules of the highest priority that give it; empty if a rename does.
    pub fn of_addition(&self, group: &TagGroup, givers: &[u32]) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_outranked =
            |(family, place): (u32, u32)| self.families[family as usize].is_some_and(|first| first < place);
        let priority = givers.first().map(|rule| self.priorities[*rule as usize]);
        let mut bans = group.forbidding.iter().filter(|ban| self.rules[ban.rule as usize]);
        self.is_everything
            || self.all(givers)
            || group.family.is_some_and(is_outranked)
            || bans.any(|ban| priority.is_none_or(|priority| ban.priority >= priority))
    }

    /// Whether a value depends on untrusted data: either only such rules give it, or one of them could give another. `givers`:
    /// the rules of the highest priority that give it; empty if the default does.
    pub fn of_value(&self, values: &Values, givers: &[u32]) -> bool {
        if self.is_empty() {
            return false;
        }
        let priority = givers.first().map(|rule| self.priorities[*rule as usize]);
        let mut others = values.rules.iter().filter(|(rule, ..)| self.rules[*rule as usize]);
        self.is_everything
            || self.all(givers)
            || others.any(|(_, other, _)| priority.is_none_or(|priority| *other > priority))
    }

    fn all(&self, givers: &[u32]) -> bool {
        !givers.is_empty() && givers.iter().all(|rule| self.rules[*rule as usize])
    }
}

/// Finds the selectors that read the sources.
struct SourceReads<'a> {
    policy: &'a Policy,
    sources: &'a BTreeSet<String>,
    /// By named selector: the answers found so far.
    named: Vec<Option<bool>>,
}

impl SourceReads<'_> {
    fn rule(&mut self, rule: &Rule) -> bool {
        self.selector(&rule.select) || rule.tags.iter().any(|tag| self.template(&tag.kind))
    }

    fn template(&self, tag: &TagExpressionKind) -> bool {
        let TagExpressionKind::Template(template) = tag else { return false };
        template
            .parts
            .iter()
            .any(|part| matches!(part, TemplatePart::Placeholder { field, .. } if self.field(*field)))
    }

    fn selector(&mut self, selector: &Selector) -> bool {
        match &selector.kind {
            SelectorKind::All(parts) | SelectorKind::Any(parts) => {
                parts.iter().any(|part| self.selector(part))
            }
            SelectorKind::Not(part) => self.selector(part),
            SelectorKind::Use(index) => self.named(*index),
            SelectorKind::Field { field, .. } if self.field(*field) => true,
            _ => policy::data_source(selector).is_some_and(|source| self.sources.contains(&source)),
        }
    }

    fn named(&mut self, index: usize) -> bool {
        if let Some(known) = self.named[index] {
            return known;
        }
        let policy = self.policy;
        let reads = self.selector(&policy.selectors[index].selector);
        self.named[index] = Some(reads);
        reads
    }

    fn field(&self, field: Field) -> bool {
        let Field::Lookup { lookup, .. } = field else { return false };
        self.sources.contains(&self.policy.lookups[usize::from(lookup)].name)
    }
}
