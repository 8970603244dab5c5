//! One change as a document: a line of `ndjson`, or an entry of the `apply` document.
//!
//! Keys are those of the plan file, plus those that only reports have (class, half, outcome).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use crate::device::DeviceValue;
use crate::diagnostic::Place;
use crate::plan::{Cause, Plan, Unresolved, WithheldReason};

use super::last::{self, LastDevicesDocument};
use super::model::{Model, ReportRow, ReportedChange};
use super::words;

/// A device as documents name it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceDocument<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

/// A change of a device value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ValueDocument<'a> {
    /// As read; absent where the service reports none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// As it should be.
    pub to: DeviceValue,
}

/// Where a cause stands in the policy.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlaceDocument<'a> {
    /// The file.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u32,
}

/// One change of one device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowDocument<'a> {
    /// The device.
    pub device: DeviceDocument<'a>,
    /// `add`, `remove` or `value`; `putBack` for a tag that a call of the run took along, which is no change of the plan.
    pub action: &'static str,
    /// The tag, for `add` and `remove`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<&'a str>,
    /// The value, for `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_value: Option<ValueDocument<'a>>,
    /// `rule`, `unselected`, `family`, `retired`, `renamed`, `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// The rules that won, beside `rule`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<&'a str>,
    /// The family, beside `family`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<&'a str>,
    /// The new name, beside `renamed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<&'a str>,
    /// Where the cause stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceDocument<'a>>,
    /// `missing`, `extra`, `value`, `contested`, `pending`, `withheld`, `protected`; absent at the end of `apply`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// `thisChange` or `before`, with a base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<&'static str>,
    /// Why it is withheld, beside `withheld`, `contested` and `protected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The protection, rule or origin, beside `reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_name: Option<&'a str>,
    /// The template that yields no tag, beside the reason `unresolved`; then there is no `tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<&'a str>,
    /// What the template lacks (`missing`, `noRow`, `emptyCell`, `notInMap`, `emptySlug`, `conflict`, `shortRow`, `unmatched`, `unusable`), beside `template`;
    /// `reasonName` is the placeholder then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacks: Option<&'static str>,
    /// What the plan's removals of the tag leave without any device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_devices: Vec<LastDevicesDocument<'a>>,
    /// How it ended, for `apply`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// The service's code and message, or the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'a, str>>,
}

/// A row as a document.
pub fn document<'a>(model: &Model<'a>, row: &ReportRow<'a>) -> RowDocument<'a> {
    let plan = model.plan();
    let cause = row.cause.and_then(|index| plan.causes.get(index.0 as usize));
    let device_value = match row.what {
        ReportedChange::Value { from, to } => Some(ValueDocument { from, to }),
        ReportedChange::Add(_) | ReportedChange::Remove(_) => None,
    };
    RowDocument {
        device: DeviceDocument { id: row.id, name: row.name },
        action: row.action(),
        tag: row.what.tag().filter(|_| row.unresolved.is_none()),
        device_value,
        cause: cause.map(Cause::word),
        rules: match (cause, row.unresolved) {
            (Some(Cause::Rule(rules)), _) => rules.iter().map(|rule| words::rule_name(plan, *rule)).collect(),
            (_, Some((entry, _))) => vec![words::rule_name(plan, entry.rule)],
            _ => Vec::new(),
        },
        family: match cause {
            Some(Cause::Family { family, .. }) => Some(family),
            _ => None,
        },
        to: match cause {
            Some(Cause::Renamed { to, .. }) => Some(to),
            _ => None,
        },
        place: place(plan, row).map(|place| PlaceDocument { file: &place.file, line: place.line }),
        class: row.outcome.is_none().then(|| row.class.word()),
        origin: row.origin.map(|origin| origin.word()),
        reason: reason(row).filter(|_| row.class != super::model::Class::Pending),
        reason_name: row
            .aside
            .and_then(|aside| aside.name.as_deref())
            .or(row.unresolved.map(|(entry, _)| &*entry.placeholder)),
        template: row.unresolved.map(|(entry, _)| &*entry.template),
        lacks: row.unresolved.map(|(_, lacks)| lacks.word()),
        last_devices: last::documents(model.last(row)),
        outcome: row.outcome.map(|outcome| outcome.outcome.word()),
        error: row.outcome.and_then(|outcome| outcome.error.as_deref()).map(Cow::Borrowed),
    }
}

/// Why a change is not made, in one word.
pub fn reason(row: &ReportRow<'_>) -> Option<&'static str> {
    let unresolved = row.unresolved.map(|_| WithheldReason::Unresolved);
    row.aside.map(|aside| aside.reason).or(unresolved).map(WithheldReason::word)
}

/// The place of a change's cause, or of the rule whose template yields no tag.
pub fn place<'a>(plan: &'a Plan, row: &ReportRow<'_>) -> Option<&'a Place> {
    let cause = row.cause.and_then(|index| plan.causes.get(index.0 as usize));
    let rule = |(entry, _): (&Unresolved, _)| plan.rules.get(entry.rule as usize).map(|rule| &rule.place);
    cause.and_then(|cause| words::cause_place(plan, cause)).or(row.unresolved.and_then(rule))
}

/// The cause as a word and a name, for tables: `rule` and its rules, `family` and its name.
pub fn cause_name<'a>(plan: &'a Plan, cause: &'a Cause) -> Cow<'a, str> {
    match cause {
        Cause::Rule(rules) => {
            rules.iter().map(|rule| words::rule_name(plan, *rule)).collect::<Vec<_>>().join(", ").into()
        }
        Cause::Unselected { claim, .. } => Cow::Borrowed(claim),
        Cause::Family { family, .. } => Cow::Borrowed(family),
        Cause::Renamed { to, .. } => Cow::Borrowed(to),
        Cause::Restored { run } => Cow::Borrowed(run),
        Cause::Retired { .. } | Cause::Default { .. } => Cow::Borrowed(""),
    }
}
