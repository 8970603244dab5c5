//! Live tags that are equal as text to a tag of the policy but differ in spelling: the service may treat the two as the same, and
//! a claim may miss what its author meant.
//!
//! Only warns; `desired` decides which tag is written.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Warning;
use crate::desired::Desired;
use crate::inventory::TagId;
use crate::tag::{self, TagPattern};
use crate::text;

/// The most twins that are reported one by one.
const MOST_TWINS: usize = 20;

/// Tags that the policy gives or names and that differ only in case or Unicode form from a live one, and patterns that would
/// cover a live tag in its other Unicode form.
pub(super) fn twins(desired: &Desired<'_>) -> Vec<Warning> {
    let snapshot = desired.snapshot;
    let is_in_scope =
        |tag: &TagId| snapshot.carrier_rows(*tag).iter().any(|row| desired.selections.scope.contains(*row));
    let mut live: HashMap<String, Vec<TagId>> = HashMap::new();
    for tag in snapshot.tag_ids().filter(is_in_scope) {
        live.entry(text::fold(snapshot.tag(tag)).into_owned()).or_default().push(tag);
    }
    let owned: HashSet<TagId> = desired.groups.iter().flat_map(|group| &group.live).copied().collect();
    let renames = desired.policy.renames.iter().map(|rename| (rename.from.as_str(), rename.to.as_str()));
    let renames: HashSet<(&str, &str)> = renames.collect();
    let targets: HashSet<&str> = renames.iter().map(|(_, to)| *to).collect();
    let given =
        desired.groups.iter().filter(|group| !group.giving.is_empty() || targets.contains(&*group.name));
    let given: BTreeSet<&str> = given.map(|group| &*group.name).collect();
    let patterns = patterns(desired);
    let named = patterns.iter().filter_map(|pattern| match pattern {
        TagPattern::Literal(tag) => Some(tag.as_str()),
        TagPattern::Glob(_) => None,
    });
    let named: BTreeSet<&str> = named.filter(|tag| !given.contains(tag)).collect();
    let mut told: HashSet<TagId> = HashSet::new();
    let mut messages = Vec::new();
    let given = given.into_iter().map(|tag| (tag, true));
    for (tag, is_given) in given.chain(named.into_iter().map(|tag| (tag, false))) {
        for twin in live.get(&*text::fold(tag)).into_iter().flatten() {
            let text = snapshot.tag(*twin);
            // A rename to the tag resolves the pair, and so does a claim of the twin if the tag is only named.
            let is_settled = renames.contains(&(text, tag)) || (!is_given && owned.contains(twin));
            if desired.tag_case.is_same(text, tag) || is_settled {
                continue;
            }
            told.insert(*twin);
            messages.push(format!(
                "the tag `{tag}` of the policy and the live tag `{text}` differ {}; the service may take them for one",
                tag::difference(tag, text)
            ));
        }
    }
    for tag in snapshot.tag_ids().filter(|tag| !owned.contains(tag) && !told.contains(tag)) {
        messages.extend(other_form(desired, &patterns, snapshot.tag(tag)).filter(|_| is_in_scope(&tag)));
    }
    let untold = messages.len().saturating_sub(MOST_TWINS);
    messages.truncate(MOST_TWINS);
    if untold > 0 {
        messages.push(format!(
            "{untold} more live tags differ only in case or Unicode form from a tag of the policy"
        ));
    }
    messages.into_iter().map(|message| Warning::new("W0603", message)).collect()
}

/// The patterns in force that may remove tags.
fn patterns<'p>(desired: &Desired<'p>) -> Vec<&'p TagPattern> {
    let policy = desired.policy;
    let bans =
        policy.rules.iter().filter(|rule| rule.is_live(desired.now)).flat_map(|rule| &rule.remove_tags);
    let claims = policy.claims.iter().map(|claim| &claim.pattern);
    claims
        .chain(policy.retire.iter().map(|retire| &retire.pattern))
        .chain(bans.map(|remove| &remove.pattern))
        .collect()
}

/// A warning about a live tag that nothing covers, but that a pattern would cover in its other Unicode form.
fn other_form(desired: &Desired<'_>, patterns: &[&TagPattern], live: &str) -> Option<String> {
    [text::compose(live), text::decompose(live)].into_iter().filter(|form| form != live).find_map(|form| {
        let pattern = patterns.iter().find(|pattern| desired.policy.covers(pattern, &form))?;
        Some(format!(
            "`{pattern}` covers the live tag `{live}` but for its Unicode form (one has its letters and marks apart); tags \
             compare exactly"
        ))
    })
}
