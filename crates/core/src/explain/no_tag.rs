//! Templates that yield no tag on a device: why, and which line of which file is the cause.

use serde::Serialize;

use super::Explainer;
use crate::desired::{GapReason, tag_on};
use crate::device::Field;
use crate::diagnostic::Place;
use crate::policy::{TagExpressionKind, Template};

/// A template that yields no tag on the device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NoTag {
    /// As written.
    pub template: String,
    /// The placeholder without a value; if the result is unusable, all placeholders of the template, separated by commas.
    pub placeholder: String,
    /// One of the words of [`GapReason`].
    #[serde(serialize_with = "as_word")]
    pub reason: GapReason,
    /// The unusable value; if no row is about the device, the key that none has.
    pub value: Option<String>,
    /// The file of the lookup that the placeholder reads, or the name of the map without an entry for the value.
    pub source: Option<String>,
    /// The line of the device's row in that file.
    pub line: Option<u64>,
    /// The place of the lookup or the map in the policy.
    pub declared: Option<Place>,
}

fn as_word<S: serde::Serializer>(reason: &GapReason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.word())
}

impl Explainer<'_> {
    /// The templates of a rule that yield no tag here; none if the rule certainly does not apply.
    pub(super) fn no_tags(&self, rule: u32) -> Vec<NoTag> {
        let desired = self.desired;
        let applies = desired.selections.rules[rule as usize].contains(self.row);
        if !desired.is_live(rule) || !(applies || desired.is_undecided(rule, self.row)) {
            return Vec::new();
        }
        let tags = desired.policy.rules[rule as usize].tags.iter();
        let templates = tags.filter_map(|tag| match &tag.kind {
            TagExpressionKind::Template(template) => Some(template),
            TagExpressionKind::Literal(_) => None,
        });
        templates.filter_map(|template| self.no_tag(template)).collect()
    }

    fn no_tag(&self, template: &Template) -> Option<NoTag> {
        let policy = self.desired.policy;
        let snapshot = self.desired.snapshot;
        let lack = tag_on(policy, snapshot, self.desired.selections, template, self.row).err()?;
        let mut found = NoTag {
            template: template.source.clone(),
            placeholder: lack.placeholder,
            reason: lack.reason,
            value: lack.value,
            source: None,
            line: None,
            declared: None,
        };
        if let Some(map) = lack.map.and_then(|map| policy.maps.get(map)) {
            found.source = Some(map.name.clone());
            found.declared = Some(self.place(map.span));
        } else if let Some(Field::Lookup { lookup, .. }) = lack.field {
            let table = &policy.lookups[usize::from(lookup)];
            let join = &self.desired.selections.joins[usize::from(lookup)];
            found.source = Some(table.title());
            let line = join.line(self.row).filter(|_| table.query().is_none());
            found.line = line.and_then(|line| join.rows.lines.get(line).copied());
            found.declared = Some(self.place(table.span));
            if found.reason == GapReason::NoRow {
                found.value = snapshot.plain(table.matches, self.row).map(str::to_owned);
            }
        }
        Some(found)
    }
}
