//! One change as reports see it: its content, its class as a finding, its half, and sums over changes.
//!
//! Contains no text for people except single words; the renderers phrase it.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use crate::apply::ChangeOutcome;
use crate::device::DeviceValue;
pub use crate::plan::Totals;
use crate::plan::{
    CauseIndex, DeviceChange, GapReason, Plan, TagIndex, Unresolved, Withheld, WithheldReason,
};

use super::escape;

mdetag_vocabulary::words! {
    /// The class of a difference as a finding.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Class {
        /// A tag that the device should carry.
        Missing = "missing",
        /// A tag that it should not carry.
        Extra = "extra",
        Value = "value",
        Contested = "contested",
        /// The service refuses a change of the device: tried again later. Listed, but no drift.
        Unwritable = "unwritable",
        /// Written, but not shown by the service yet.
        Pending = "pending",
        /// Not done, because the inventory is untrusted or data is missing.
        Withheld = "withheld",
        /// Not done, because a protection matches. Listed, but no drift.
        Protected = "protected",
    }
}

impl Class {
    /// The class of changes that are withheld for this reason.
    pub fn of(reason: WithheldReason) -> Class {
        match reason {
            WithheldReason::Protected => Class::Protected,
            WithheldReason::Contested => Class::Contested,
            WithheldReason::Unwritable => Class::Unwritable,
            WithheldReason::Untrusted
            | WithheldReason::Unresolved
            | WithheldReason::Unconfirmed
            | WithheldReason::Wave
            | WithheldReason::Reverted => Class::Withheld,
            WithheldReason::Pending => Class::Pending,
        }
    }
}

mdetag_vocabulary::words! {
    /// The half of the report that a change is in, if there is a base.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ChangeOrigin {
        /// Only this policy set wants it.
        ThisChange = "thisChange",
        /// The base wants it too, so the drift existed before.
        Before = "before",
    }
}

impl ChangeOrigin {
    /// The heading of the half.
    pub fn heading(self) -> &'static str {
        match self {
            ChangeOrigin::ThisChange => "This change",
            ChangeOrigin::Before => "Drift that was there already",
        }
    }
}

/// A change of a device, with names instead of indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportedChange<'a> {
    Add(&'a str),
    Remove(&'a str),
    Value {
        /// As read; `None` if the service reports none.
        from: Option<&'a str>,
        /// As wanted.
        to: DeviceValue,
    },
}

impl<'a> ReportedChange<'a> {
    /// `add`, `remove`, `value`.
    pub fn action(self) -> &'static str {
        match self {
            ReportedChange::Add(_) => "add",
            ReportedChange::Remove(_) => "remove",
            ReportedChange::Value { .. } => "value",
        }
    }

    /// `+`, `-`, `~`.
    pub fn symbol(self) -> &'static str {
        match self {
            ReportedChange::Add(_) => "+",
            ReportedChange::Remove(_) => "-",
            ReportedChange::Value { .. } => "~",
        }
    }

    /// The tag, in quotes if white space is at its ends, or `Normal → High`.
    pub fn label(self) -> String {
        match self {
            ReportedChange::Add(tag) | ReportedChange::Remove(tag) => escape::tag(tag).into_owned(),
            ReportedChange::Value { from, to } => format!("{} → {to}", from.unwrap_or("(none)")),
        }
    }

    pub fn tag(self) -> Option<&'a str> {
        match self {
            ReportedChange::Add(tag) | ReportedChange::Remove(tag) => Some(tag),
            ReportedChange::Value { .. } => None,
        }
    }

    /// The class of such a change in a plan.
    pub fn class(self) -> Class {
        match self {
            ReportedChange::Add(_) => Class::Missing,
            ReportedChange::Remove(_) => Class::Extra,
            ReportedChange::Value { .. } => Class::Value,
        }
    }
}

/// One change as a line of a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportRow<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
    pub what: ReportedChange<'a>,
    /// Why; `None` for the outcome of a change that the plan lacks.
    pub cause: Option<CauseIndex>,
    /// Its class as a finding.
    pub class: Class,
    /// Its half; `None` without a base, and for anything that is not planned.
    pub origin: Option<ChangeOrigin>,
    /// Why it is withheld, contested or pending.
    pub aside: Option<&'a Withheld>,
    /// The template that yields no tag on the device: `what` then names the template.
    pub unresolved: Option<(&'a Unresolved, GapReason)>,
    pub outcome: Option<&'a ChangeOutcome>,
    /// Whether it is no change of the plan but puts back a tag that a call removed by accident.
    pub is_put_back: bool,
}

impl ReportRow<'_> {
    /// `add`, `remove` or `value`; `putBack` for a tag that a call removed by accident.
    pub fn action(&self) -> &'static str {
        if self.is_put_back { "putBack" } else { self.what.action() }
    }
}

impl Totals {
    /// Counts one change.
    pub(super) fn count(&mut self, what: ReportedChange<'_>) {
        match what {
            ReportedChange::Add(_) => self.additions += 1,
            ReportedChange::Remove(_) => self.removals += 1,
            ReportedChange::Value { .. } => self.values += 1,
        }
    }
}

/// The changes of one device, in the order of the plan file.
pub fn device_rows<'a>(
    plan: &'a Plan,
    device: &'a DeviceChange,
) -> impl Iterator<Item = (ReportedChange<'a>, CauseIndex)> + use<'a> {
    let name = |tag: TagIndex| &*plan.tags[tag.0 as usize];
    let add = device.add.iter().map(move |change| (ReportedChange::Add(name(change.tag)), change.cause));
    let remove =
        device.remove.iter().map(move |change| (ReportedChange::Remove(name(change.tag)), change.cause));
    let value = device.value.iter().map(|change| {
        (ReportedChange::Value { from: device.observed_value.as_deref(), to: change.to }, change.cause)
    });
    add.chain(remove).chain(value)
}
