//! The rows of a report besides the changes: withheld, contested, pending, protected and unresolved.

use crate::plan::{Plan, Withheld};

use super::change::{Class, ReportRow, ReportedChange, device_rows};
use super::model::{Model, Subject};

impl<'a> Model<'a> {
    /// What is contested, pending, withheld, protected or unresolved, one per row. A plan from a file has only samples, except of
    /// the unresolved.
    pub fn aside_rows(&self) -> impl Iterator<Item = ReportRow<'a>> + '_ {
        let plan = self.plan();
        let asides = self.asides().flat_map(move |(class, aside)| {
            aside.devices.iter().flat_map(move |device| {
                device_rows(plan, device).map(move |(what, cause)| ReportRow {
                    id: &device.id,
                    name: device.name.as_deref(),
                    what,
                    cause: Some(cause),
                    class,
                    origin: None,
                    aside: Some(aside),
                    unresolved: None,
                    outcome: None,
                    is_put_back: false,
                })
            })
        });
        asides.chain(unresolved_rows(plan))
    }

    /// The rows that go with a table of changes: what is not done, and the devices on which a template yields no tag.
    pub fn rows_beside(&self) -> impl Iterator<Item = ReportRow<'a>> + '_ {
        self.aside_rows().filter(|_| self.input.subject != Subject::Applied)
    }

    /// Groups of changes that are not made, with their class; pending ones last.
    pub fn asides(&self) -> impl Iterator<Item = (Class, &'a Withheld)> + use<'a> {
        let plan = self.plan();
        let withheld = plan.withheld.iter().map(|withheld| (Class::of(withheld.reason), withheld));
        withheld.chain(plan.pending.iter().map(|pending| (Class::Pending, pending)))
    }
}

/// Devices on which a template yields no tag, one per row.
fn unresolved_rows(plan: &Plan) -> impl Iterator<Item = ReportRow<'_>> {
    plan.unresolved.iter().flat_map(|entry| {
        entry.devices.iter().map(move |device| ReportRow {
            id: &device.id,
            name: device.name.as_deref(),
            what: ReportedChange::Add(&entry.template),
            cause: None,
            class: Class::Withheld,
            origin: None,
            aside: None,
            unresolved: Some((entry, device.reason)),
            outcome: None,
            is_put_back: false,
        })
    })
}
