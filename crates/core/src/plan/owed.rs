//! Puts back tags that calls of earlier runs removed by accident, if the policies would let them stay.
//!
//! Journals know the lost tags; this checks whether the list shows them again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::differences::{CauseSource, Differences, TagEntry};
use super::{ChangeKey, ChangeWhat, Owed, Warning};
use crate::desired::Desired;
use crate::inventory::Row;
use crate::policy::TagExpressionKind;
use crate::tag;

/// The most lost tags outside the plan that are reported one by one.
const MOST_TOLD: usize = 20;

/// Adds a change for each lost tag. Warns about those that no plan puts back, or not yet.
pub(super) fn restore(
    desired: &Desired<'_>,
    owed: &BTreeMap<ChangeKey, Owed>,
    found: &mut Differences<'_>,
) -> Vec<Warning> {
    if owed.is_empty() {
        return Vec::new();
    }
    let seen: Vec<(Row, &Arc<str>, &Owed, bool)> = owed
        .iter()
        .filter_map(|(key, owed)| seen(desired, key).map(|(row, tag, is_live)| (row, tag, owed, is_live)))
        .collect();
    let (live, missing): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(.., is_live)| *is_live);
    let mut left = Vec::new();
    for (row, tag, owed, _) in live {
        let Some(until) = owed.shown_until.filter(|_| !is_against(desired, tag, row)) else { continue };
        left.push(format!(
            "a call of run {} took the tag `{tag}` of device {} along; the list still shows it and may lag until {}: once it \
             does not, a plan puts the tag back",
            owed.run,
            desired.snapshot.label(row),
            until.rounded_up()
        ));
    }
    let rows: HashSet<Row> = missing.iter().map(|(row, ..)| *row).collect();
    let case = desired.tag_case;
    let text = |entry: &TagEntry| case.key(&found.names.list[entry.tag.0 as usize]).into_owned();
    let given = found.tags.iter().filter(|entry| !entry.is_removal && rows.contains(&entry.row));
    let given: HashSet<(Row, String)> = given.map(|entry| (entry.row, text(entry))).collect();
    for (row, tag, owed, _) in missing {
        if given.contains(&(row, case.key(tag).into_owned())) || is_against(desired, tag, row) {
            continue;
        }
        if let Some(why) = out_of_reach(desired, tag, row) {
            let snapshot = desired.snapshot;
            left.push(format!(
                "a call of run {} took the tag `{tag}` of device {} along, and no plan puts it back: {why}",
                owed.run,
                snapshot.label(row)
            ));
            continue;
        }
        let cause = found.causes.number(CauseSource::Restored(owed.run.clone()));
        let tag = found.names.of_text(tag);
        found.tags.push(TagEntry { row, tag, cause, is_removal: false, is_doubted: false, gap: None });
    }
    let more = left.len().saturating_sub(MOST_TOLD);
    left.truncate(MOST_TOLD);
    left.extend(
        (more > 0).then(|| format!("{more} more tags that calls took along are put back by no plan yet")),
    );
    left.into_iter().map(|message| Warning::new("W0606", message)).collect()
}

/// The device's row and the tag, if the list shows the device, and whether it shows the tag as well.
fn seen<'k>(desired: &Desired<'_>, key: &'k ChangeKey) -> Option<(Row, &'k Arc<str>, bool)> {
    let ChangeWhat::Add(tag) = &key.what else { return None };
    let snapshot = desired.snapshot;
    let row = snapshot.find(&key.device)?;
    let is_same = |live: &str| desired.tag_case.is_same(live, tag);
    let is_live = snapshot.tags(row).iter().any(|live| is_same(snapshot.tag(*live)));
    Some((row, tag, is_live))
}

/// Why a plan cannot contain the change.
fn out_of_reach(desired: &Desired<'_>, tag: &str, row: Row) -> Option<String> {
    if !desired.selections.scope.contains(row) {
        return Some("the device is out of the policies' scope".to_owned());
    }
    if tag::is_reserved(tag) && !desired.policy.guard.allows_reserved() {
        return Some("`guard.allowReserved` does not name it".to_owned());
    }
    tag::check(tag).err().map(|fault| fault.to_string())
}

/// Whether the policies would remove the tag from the device. If that is unknown, the tag would stay.
fn is_against(desired: &Desired<'_>, tag: &str, row: Row) -> bool {
    let (policy, case) = (desired.policy, desired.tag_case);
    let rules = || policy.rules.iter().enumerate().filter(|(_, rule)| rule.is_live(desired.now));
    let forbids = |(index, rule): (usize, &crate::policy::Rule)| {
        rule.remove_tags.iter().any(|remove| policy.covers(&remove.pattern, tag))
            && (desired.selections.rules[index].contains(row) || desired.is_undecided(index as u32, row))
    };
    let is_old_name = || policy.renames.iter().any(|rename| case.is_same(&rename.from, tag));
    if policy.retire.iter().any(|retire| policy.covers(&retire.pattern, tag))
        || rules().any(forbids)
        || is_old_name()
    {
        return true;
    }
    if !policy.claims_tag(tag) {
        return false;
    }
    let may_give = |(index, rule): (usize, &crate::policy::Rule)| {
        let is_tag = |kind: &TagExpressionKind| matches!(kind, TagExpressionKind::Literal(own) if case.is_same(own, tag));
        desired.is_undecided(index as u32, row) && rule.tags.iter().any(|given| is_tag(&given.kind))
    };
    let is_open =
        desired.gaps.iter().any(|gap| gap.has(row) && gap.glob.matches(tag)) || rules().any(may_give);
    !is_open
}
