//! Every tag that is live or named in the policies, and the parts of the policies that claim, write or remove it.
//!
//! Looks at each distinct tag once, never at single devices.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Place, Sources};
use crate::inventory::Snapshot;
use crate::policy::{Policy, TagExpressionKind};
use crate::tag::TagPattern;
use crate::text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// Its exact text.
    pub tag: String,
    /// Live devices that carry it, of all devices read.
    pub devices: u64,
    /// Other live tags that differ from it only in case or Unicode form.
    pub spellings: Vec<String>,
    /// The parts of the policies that concern it, in file order within each standing.
    pub owners: Vec<TagOwner>,
}

impl TagRow {
    /// Whether no part of the policies owns it: a plan leaves it alone unless a rule removes it.
    pub fn is_unclaimed(&self) -> bool {
        !self.owners.iter().any(|owner| {
            matches!(owner.standing, TagStanding::Claims | TagStanding::Family | TagStanding::Renames)
        })
    }

    /// Whether the policies name it and no device carries it.
    pub fn is_dead(&self) -> bool {
        self.devices == 0
    }
}

/// A part of the policies that concerns a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagOwner {
    /// Its effect on the tag.
    pub standing: TagStanding,
    /// The rule's or family's name, the claim or the old name as written.
    pub name: String,
    pub place: Place,
}

/// The effect of a part of the policies on a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagStanding {
    /// An entry of `claims` matches it.
    Claims,
    /// It is a member of a family.
    Family,
    /// It is the old name of a rename.
    Renames,
    /// A rule gives it literally.
    Gives,
    /// A rule's template can yield it.
    MayGive,
    /// A rule removes it.
    Removes,
    Retires,
}

impl TagStanding {
    pub fn word(self) -> &'static str {
        match self {
            TagStanding::Claims => "claims",
            TagStanding::Family => "family",
            TagStanding::Renames => "renames",
            TagStanding::Gives => "gives",
            TagStanding::MayGive => "may give",
            TagStanding::Removes => "removes",
            TagStanding::Retires => "retires",
        }
    }
}

/// Every live tag and every tag that the policies name literally, the most frequent first, then bytewise.
pub fn tags(policy: &Policy, sources: &Sources, snapshot: &Snapshot) -> Vec<TagRow> {
    let mut carriers: BTreeMap<String, u64> = named(policy).into_iter().map(|tag| (tag, 0)).collect();
    for tag in snapshot.tag_ids() {
        let count = snapshot.carrier_rows(tag).len() as u64;
        if count > 0 {
            carriers.insert(snapshot.tag(tag).to_owned(), count);
        }
    }
    let mut by_fold: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (tag, _) in carriers.iter().filter(|(_, count)| **count > 0) {
        by_fold.entry(text::fold(tag).into_owned()).or_default().push(tag);
    }
    let row = |(tag, devices): (&String, &u64)| TagRow {
        tag: tag.clone(),
        devices: *devices,
        spellings: by_fold
            .get(&*text::fold(tag))
            .into_iter()
            .flatten()
            .filter(|other| **other != tag.as_str())
            .map(|other| (*other).to_owned())
            .collect(),
        owners: owners(policy, sources, tag),
    };
    let mut rows: Vec<TagRow> = carriers.iter().map(row).collect();
    rows.sort_by(|one, other| other.devices.cmp(&one.devices).then_with(|| one.tag.cmp(&other.tag)));
    rows
}

/// Every tag that the policies name as it is: claims and removals by glob, and templates, name none.
fn named(policy: &Policy) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rule in &policy.rules {
        for expression in &rule.tags {
            if let TagExpressionKind::Literal(tag) = &expression.kind {
                named.insert(tag.clone());
            }
        }
        named.extend(rule.remove_tags.iter().filter_map(|remove| literal(&remove.pattern)));
    }
    let claims = policy.claims.iter().map(|claim| &claim.pattern);
    let retired = policy.retire.iter().map(|retire| &retire.pattern);
    named.extend(claims.chain(retired).filter_map(literal));
    named.extend(policy.families.iter().flat_map(|family| &family.members).map(|member| member.tag.clone()));
    named.extend(policy.renames.iter().flat_map(|rename| [rename.from.clone(), rename.to.clone()]));
    named
}

fn literal(pattern: &TagPattern) -> Option<String> {
    match pattern {
        TagPattern::Literal(tag) => Some(tag.clone()),
        TagPattern::Glob(_) => None,
    }
}

fn owners(policy: &Policy, sources: &Sources, tag: &str) -> Vec<TagOwner> {
    let is_same = |other: &str| policy.tag_case.is_same(other, tag);
    let owner =
        |standing, name: &str, span| TagOwner { standing, name: name.to_owned(), place: sources.place(span) };
    let mut owners = Vec::new();
    for claim in policy.claims.iter().filter(|claim| policy.covers(&claim.pattern, tag)) {
        owners.push(owner(TagStanding::Claims, &claim.pattern.to_string(), claim.span));
    }
    for family in &policy.families {
        for member in family.members.iter().filter(|member| is_same(&member.tag)) {
            owners.push(owner(TagStanding::Family, &family.name, member.span));
        }
    }
    for rename in policy.renames.iter().filter(|rename| is_same(&rename.from)) {
        owners.push(owner(TagStanding::Renames, &rename.to, rename.span));
    }
    for rule in &policy.rules {
        for expression in &rule.tags {
            match &expression.kind {
                TagExpressionKind::Literal(literal) if is_same(literal) => {
                    owners.push(owner(TagStanding::Gives, &rule.name, expression.span));
                }
                TagExpressionKind::Template(template) if template.glob.matches(tag) => {
                    owners.push(owner(TagStanding::MayGive, &rule.name, expression.span));
                }
                _ => {}
            }
        }
        for remove in rule.remove_tags.iter().filter(|remove| policy.covers(&remove.pattern, tag)) {
            owners.push(owner(TagStanding::Removes, &rule.name, remove.span));
        }
    }
    for retire in policy.retire.iter().filter(|retire| policy.covers(&retire.pattern, tag)) {
        owners.push(owner(TagStanding::Retires, &retire.pattern.to_string(), retire.span));
    }
    owners.sort_by_key(|owner| owner.standing);
    owners
}
