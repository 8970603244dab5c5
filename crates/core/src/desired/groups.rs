//! Collects everything that the policy says about each tag that matters.
//!
//! Settles nothing: `settle` decides which statement wins on which device.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Claimed, ForbiddingRule, Gap, GivenRows, GivingRule, TagGroup};
use crate::inventory::{Row, Snapshot};
use crate::pattern::Glob;
use crate::policy::{Policy, TagExpressionKind};
use crate::selection::Selections;
use crate::tag::{self, TagCase, TagPattern};
use crate::time::Timestamp;

/// A tag that a template yields, and its devices, ascending.
pub(super) type TagDevices = (Arc<str>, Vec<Row>);

/// By rule: the tags that its templates yield.
pub(super) type TagsByRule = Vec<(u32, Vec<TagDevices>)>;

/// Every tag that is assigned, named by a family or a rename, or live and covered by a pattern; and the groups of tags that must
/// be settled together.
pub(super) fn collect(
    policy: &Policy,
    snapshot: &Snapshot,
    selections: &Selections,
    now: Timestamp,
    yields: TagsByRule,
    gaps: &[Gap],
) -> (Vec<TagGroup>, Vec<Vec<u32>>) {
    let case = policy.tag_case;
    let mut table = GroupTable { case, groups: Vec::new(), numbers: HashMap::new() };
    carries(policy, now, yields, &mut table);
    for member in policy.families.iter().flat_map(|family| &family.members) {
        table.number(&member.tag);
    }
    for rename in &policy.renames {
        table.number(&rename.from);
        table.number(&rename.to);
    }
    let patterns = Patterns::new(policy, now, case);
    for id in snapshot.tag_ids() {
        if snapshot.carrier_rows(id).iter().all(|row| !selections.scope.contains(*row)) {
            continue;
        }
        let text = snapshot.tag(id);
        let known = table.find(text);
        if let Some(number) = known.or_else(|| patterns.covers(text).then(|| table.number(text))) {
            table.groups[number as usize].live.push(id);
        }
    }
    for group in &mut table.groups {
        patterns.describe(policy, group);
        group.giving.sort_by_key(|giver| (std::cmp::Reverse(giver.priority), giver.rule));
        if policy.guard.allows_reserved() || !tag::is_reserved(&group.name) {
            let unknown = gaps.iter().enumerate().filter(|(_, gap)| gap.unknown.is_some());
            let covering = unknown.filter(|(_, gap)| gap.glob.matches(&group.name));
            group.may_yield = covering.map(|(index, _)| index as u32).collect();
        }
    }
    let mut joins = Vec::new();
    for (index, family) in policy.families.iter().enumerate() {
        let mut first = None;
        for (place, member) in family.members.iter().enumerate() {
            let number = table.number(&member.tag);
            let group = &mut table.groups[number as usize];
            group.family = group.family.or(Some((index as u32, place as u32)));
            joins.push((*first.get_or_insert(number), number));
        }
    }
    for (index, rename) in policy.renames.iter().enumerate() {
        let (from, to) = (table.number(&rename.from), table.number(&rename.to));
        // Two spellings of the same tag: with `tagCase: insensitive`, every device with the old one has the new one too.
        if from != to {
            table.groups[from as usize].rename = Some(index as u32);
            joins.push((from, to));
        }
    }
    let parts = parts(&table.groups, &joins);
    (table.groups, parts)
}

/// Groups by the key that their spellings share.
struct GroupTable {
    case: TagCase,
    groups: Vec<TagGroup>,
    numbers: HashMap<Box<str>, u32>,
}

impl GroupTable {
    fn find(&self, tag: &str) -> Option<u32> {
        self.numbers.get(&*self.case.key(tag)).copied()
    }

    fn number(&mut self, tag: &str) -> u32 {
        if let Some(number) = self.find(tag) {
            return number;
        }
        let number = self.groups.len() as u32;
        self.numbers.insert(self.case.key(tag).into(), number);
        self.groups.push(TagGroup {
            name: tag.into(),
            live: Vec::new(),
            giving: Vec::new(),
            forbidding: Vec::new(),
            may_yield: Vec::new(),
            family: None,
            rename: None,
            retired: None,
            claimed: None,
        });
        number
    }
}

/// The tags that rules give. Rules with a higher priority come first, because their spelling is the one written.
fn carries(policy: &Policy, now: Timestamp, yields: TagsByRule, table: &mut GroupTable) {
    let mut order: Vec<u32> = (0..policy.rules.len() as u32).collect();
    order.retain(|rule| policy.rules[*rule as usize].is_live(now));
    order.sort_by_key(|rule| (std::cmp::Reverse(policy.rules[*rule as usize].priority), *rule));
    let mut by_rule: BTreeMap<u32, Vec<TagDevices>> = BTreeMap::new();
    for (rule, tags) in yields {
        by_rule.entry(rule).or_default().extend(tags);
    }
    for rule in order {
        let stated = &policy.rules[rule as usize];
        let mut add = |tag: &str, rows: GivenRows| {
            let number = table.number(tag);
            let group = &mut table.groups[number as usize];
            // If two spellings are wanted with the same priority, the bytewise first is written.
            if *group.name > *tag && group.giving.iter().all(|giver| giver.priority == stated.priority) {
                group.name = tag.into();
            }
            group.giving.push(GivingRule { rule, priority: stated.priority, rows });
        };
        for expression in &stated.tags {
            if let TagExpressionKind::Literal(tag) = &expression.kind {
                add(tag, GivenRows::Rule);
            }
        }
        for (tag, rows) in by_rule.remove(&rule).unwrap_or_default() {
            add(&tag, GivenRows::Listed(rows));
        }
    }
}

/// Numbered patterns of one kind: literals by key, globs in order.
struct Kind {
    literals: HashMap<Box<str>, Vec<u32>>,
    globs: Vec<(u32, Glob)>,
}

impl Kind {
    fn new<'a>(case: TagCase, patterns: impl Iterator<Item = (u32, &'a TagPattern)>) -> Kind {
        let mut kind = Kind { literals: HashMap::new(), globs: Vec::new() };
        for (number, pattern) in patterns {
            match pattern {
                TagPattern::Literal(tag) => {
                    kind.literals.entry(case.key(tag).into()).or_default().push(number);
                }
                TagPattern::Glob(glob) => kind.globs.push((number, glob.clone())),
            }
        }
        kind
    }

    /// The numbers of the patterns that cover a tag, and whether each is a glob; literals first.
    fn covering<'a>(
        &'a self,
        key: &str,
        tag: &'a str,
        no_globs: bool,
    ) -> impl Iterator<Item = (u32, bool)> + 'a {
        let literals = self.literals.get(key).into_iter().flatten().map(|number| (*number, false));
        let globs = self.globs.iter().filter(move |(_, glob)| !no_globs && glob.matches(tag));
        literals.chain(globs.map(|(number, _)| (*number, true)))
    }
}

/// The patterns of a policy that may remove tags.
struct Patterns {
    case: TagCase,
    allow_reserved: bool,
    claims: Kind,
    retire: Kind,
    /// Numbered by rule.
    forbidden: Kind,
    /// By key: the first family that contains the tag, else the first rename of it.
    names: HashMap<Box<str>, Claimed>,
}

impl Patterns {
    fn new(policy: &Policy, now: Timestamp, case: TagCase) -> Patterns {
        let numbered = |index: usize| index as u32;
        let claims = policy.claims.iter().enumerate().map(|(index, claim)| (numbered(index), &claim.pattern));
        let retire = policy.retire.iter().enumerate().map(|(index, entry)| (numbered(index), &entry.pattern));
        let live = policy.rules.iter().enumerate().filter(|(_, rule)| rule.is_live(now));
        let forbidden = live.flat_map(|(index, rule)| {
            rule.remove_tags.iter().map(move |remove| (numbered(index), &remove.pattern))
        });
        let mut names: HashMap<Box<str>, Claimed> = HashMap::new();
        for (index, family) in policy.families.iter().enumerate() {
            for member in &family.members {
                names.entry(case.key(&member.tag).into()).or_insert(Claimed::Family(numbered(index)));
            }
        }
        for (index, rename) in policy.renames.iter().enumerate() {
            names.entry(case.key(&rename.from).into()).or_insert(Claimed::Rename(numbered(index)));
        }
        Patterns {
            case,
            names,
            allow_reserved: policy.guard.allows_reserved(),
            claims: Kind::new(case, claims),
            retire: Kind::new(case, retire),
            forbidden: Kind::new(case, forbidden),
        }
    }

    fn hides_globs(&self, tag: &str) -> bool {
        !self.allow_reserved && tag::is_reserved(tag)
    }

    /// Whether a pattern other than a rule's `tags`, a family or a rename covers a tag.
    fn covers(&self, tag: &str) -> bool {
        let key = self.case.key(tag);
        let no_globs = self.hides_globs(tag);
        [&self.claims, &self.retire, &self.forbidden]
            .iter()
            .any(|kind| kind.covering(&key, tag, no_globs).next().is_some())
    }

    /// Fills in the patterns that cover a group.
    fn describe(&self, policy: &Policy, group: &mut TagGroup) {
        let name = group.name.clone();
        let key = self.case.key(&name);
        let no_globs = self.hides_globs(&name);
        let first = |kind: &Kind| kind.covering(&key, &name, no_globs).map(|(number, _)| number).min();
        group.retired = first(&self.retire);
        group.claimed = first(&self.claims).map(Claimed::Claim).or_else(|| self.names.get(&*key).copied());
        let mut bans: BTreeMap<u32, bool> = BTreeMap::new();
        for (rule, is_glob) in self.forbidden.covering(&key, &name, no_globs) {
            *bans.entry(rule).or_insert(true) &= is_glob;
        }
        group.forbidding = bans
            .into_iter()
            .map(|(rule, is_glob)| ForbiddingRule {
                rule,
                priority: policy.rules[rule as usize].priority,
                is_glob,
            })
            .collect();
        group.forbidding.sort_by_key(|ban| (std::cmp::Reverse(ban.priority), ban.rule));
    }
}

/// Connected groups, ordered by their first member. Leaves out parts that concern no device.
fn parts(groups: &[TagGroup], joins: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut parents: Vec<u32> = (0..groups.len() as u32).collect();
    fn root(parents: &mut [u32], mut group: u32) -> u32 {
        while parents[group as usize] != group {
            parents[group as usize] = parents[parents[group as usize] as usize];
            group = parents[group as usize];
        }
        group
    }
    for (one, other) in joins {
        let (one, other) = (root(&mut parents, *one), root(&mut parents, *other));
        parents[one.max(other) as usize] = one.min(other);
    }
    let mut parts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for group in 0..groups.len() as u32 {
        parts.entry(root(&mut parents, group)).or_default().push(group);
    }
    let touches = |group: &u32| {
        let group = &groups[*group as usize];
        !group.live.is_empty() || !group.giving.is_empty()
    };
    parts.into_values().filter(|part| part.iter().any(touches)).collect()
}
