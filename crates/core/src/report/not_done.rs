//! What a plan does not do, in the sentences that several renderers share: withheld changes, templates without a tag, keys that match
//! nothing.
//!
//! Foreign names are apart in a [`Phrase`], as in `sentences`.

use crate::plan::{GapReason, Plan, Unresolved, Withheld};

use super::model::{Class, Model};
use super::sentences::Phrase;
use super::words::{counted, noun_for, number};

/// Withheld changes, one phrase per reason.
pub(super) fn not_written(model: &Model<'_>) -> Vec<Phrase> {
    let asides = model.asides().map(|(class, aside)| aside_phrase(class, aside));
    let templates = model.plan().unresolved.iter().flat_map(|unresolved| {
        let missing = (unresolved.missing() > 0).then(|| {
            let text = format!("{} unresolved", counted(unresolved.missing(), "tag"));
            let more = format!(": {}", gaps(unresolved));
            Phrase { more, ..Phrase::new(text, [unresolved.placeholder.clone()]) }
        });
        let unusable = (unresolved.unusable() > 0).then(|| {
            Phrase::new(
                format!("{} unusable", counted(unresolved.unusable(), "tag")),
                unresolved.sample.clone(),
            )
        });
        missing.into_iter().chain(unusable)
    });
    asides.chain(templates).filter(|phrase| !phrase.text.is_empty()).collect()
}

/// The reasons why a placeholder is empty: `no row`, or `1 no row, 2 empty cell` if there are several.
fn gaps(unresolved: &Unresolved) -> String {
    let missing = unresolved.reasons.iter().filter(|(reason, _)| **reason != GapReason::Unusable);
    let missing: Vec<(GapReason, u64)> = missing.map(|(reason, count)| (*reason, *count)).collect();
    if let [(only, _)] = missing[..] {
        return gap(only).to_owned();
    }
    let said: Vec<String> =
        missing.into_iter().map(|(reason, count)| format!("{} {}", number(count), gap(reason))).collect();
    said.join(", ")
}

/// The reason why a placeholder is empty, in words.
pub(super) fn gap(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Missing => "not reported",
        GapReason::NoRow => "no row",
        GapReason::EmptyCell => "empty cell",
        GapReason::NotInMap => "not in the map",
        GapReason::EmptySlug => "nothing left by slug",
        GapReason::Conflict => "rows differ",
        GapReason::ShortRow => "row lacks the column",
        GapReason::Unmatched => "no row is about a device",
        GapReason::Unusable => "no tag",
    }
}

/// `; 3 accepted until 2026-12-15`, if the guard accepts some of a group.
pub(super) fn accepted(aside: &Withheld) -> String {
    aside.accepted.map_or_else(String::new, |accepted| {
        format!("; {} accepted until {}", number(accepted.changes), accepted.until)
    })
}

fn aside_phrase(class: Class, aside: &Withheld) -> Phrase {
    let total = aside.additions + aside.removals + aside.values;
    if total == 0 {
        return Phrase::new(String::new(), None);
    }
    let parts = [(aside.additions, "addition"), (aside.removals, "removal"), (aside.values, "value")];
    let named: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count, noun)).collect();
    let named = named.join(", ");
    let retried =
        aside.until.map_or_else(String::new, |until| format!("; tried again from {}", until.rounded_up()));
    let accepted = accepted(aside);
    let text = match (class, aside.reason) {
        (Class::Pending, _) => format!("{named} pending: written, not shown by the service yet"),
        (Class::Protected, _) => format!("{} on protected devices", counted(total, "change")),
        (Class::Contested, _) => {
            format!(
                "{named} contested: another origin holds {}{retried}{accepted}",
                noun_for(total, "it|them")
            )
        }
        (Class::Unwritable, _) => {
            let them = noun_for(total, "it|them");
            format!("{named} unwritable: the service does not take {them}{retried}")
        }
        (_, crate::plan::WithheldReason::Unresolved) => format!("{named} withheld where data is missing"),
        (_, crate::plan::WithheldReason::Unconfirmed) => {
            format!("{named} withheld until the device has the tag that comes instead")
        }
        (_, crate::plan::WithheldReason::Reverted) => {
            let them = noun_for(total, "it|them");
            format!(
                "{named} reverted: a run undid {them}; withheld until the policies change, or --after-revert"
            )
        }
        (_, crate::plan::WithheldReason::Wave) => {
            format!("{named} withheld until their wave of an open rollout")
        }
        _ => format!("{named} withheld: the inventory is untrusted"),
    };
    Phrase::new(text, aside.name.clone())
}

/// Values of data files and policies that no device has, one phrase per source.
pub(super) fn unmatched(plan: &Plan) -> Vec<(String, String, Vec<String>)> {
    let sources = plan.unmatched.iter().filter(|unmatched| unmatched.count > 0);
    sources
        .map(|unmatched| {
            let noun = if unmatched.is_lookup { "key" } else { "value" };
            let verb = noun_for(unmatched.count, "matches|match");
            let mut names = unmatched.sample.clone();
            if unmatched.count > names.len() as u64 {
                names.push(format!("{} more", number(unmatched.count - names.len() as u64)));
            }
            (unmatched.source.clone(), format!("{} {verb} no device", counted(unmatched.count, noun)), names)
        })
        .collect()
}
