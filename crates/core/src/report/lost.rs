//! Tags that calls of a run removed by accident, in sentences: the tag, the device, and whether it is back.
//!
//! They are no changes of the plan, so no outcome counts them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::apply::{ChangeOutcome, Outcome};

use super::escape::clip;
use super::model::{Model, ReportRow, ReportedChange, outcome_rows};
use super::words::{counted, noun_for};

/// How many tags calls took along without meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LostTagsSummary {
    /// They are back.
    pub restored: u64,
    /// They are not.
    pub not_restored: u64,
}

impl LostTagsSummary {
    /// Of the tags that a run lost; `None` without any.
    pub(super) fn of(lost: &[ChangeOutcome]) -> Option<LostTagsSummary> {
        let (restored, not_restored) = counts(lost);
        (!lost.is_empty()).then_some(LostTagsSummary { restored, not_restored })
    }
}

impl<'a> Model<'a> {
    /// Tags that calls of the run removed by accident, one per row.
    pub fn lost_rows(&self) -> impl Iterator<Item = ReportRow<'a>> + use<'a> {
        let lost = self.input.run.map_or(&[][..], |run| &run.lost);
        outcome_rows(self.input, lost).map(|(_, row)| ReportRow { is_put_back: true, cause: None, ..row })
    }
}

/// The counts, one sentence each: first the tags that are not back.
pub(super) fn sums(lost: &[ChangeOutcome]) -> Vec<String> {
    let (back, left) = counts(lost);
    let took = |count: u64| format!("{} that a call took along", counted(count, "tag"));
    let left = (left > 0).then(|| format!("{} {} not back", took(left), noun_for(left, "is|are")));
    let back = (back > 0).then(|| format!("{} {} put back", took(back), noun_for(back, "was|were")));
    left.into_iter().chain(back).collect()
}

/// The number of tags that are back, and of those that are not.
pub(super) fn counts(lost: &[ChangeOutcome]) -> (u64, u64) {
    let back = lost.iter().filter(|lost| lost.outcome == Outcome::Done).count();
    (back as u64, (lost.len() - back) as u64)
}

/// One sentence per tag, first those that are not back; names are not escaped.
pub(super) fn sentences(model: &Model<'_>) -> Vec<String> {
    let mut rows: Vec<_> = model.lost_rows().collect();
    let is_back = |outcome: Option<&ChangeOutcome>| outcome.is_some_and(|lost| lost.outcome == Outcome::Done);
    rows.sort_by_key(|row| is_back(row.outcome));
    let sentence = |row: &ReportRow<'_>| {
        let ReportedChange::Add(tag) = row.what else { return None };
        let device = match row.name {
            Some(name) => format!("{name} ({})", row.id),
            None => row.id.to_owned(),
        };
        let why = row.outcome.and_then(|lost| lost.error.as_deref()).map(|error| clip(error, 300));
        let end = match (is_back(row.outcome), why) {
            (true, _) => "put back".to_owned(),
            (false, Some(why)) => format!("not back: {why}"),
            (false, None) => "not back".to_owned(),
        };
        Some(format!("tag \"{tag}\" of {device}: {end}"))
    };
    rows.iter().filter_map(sentence).collect()
}
