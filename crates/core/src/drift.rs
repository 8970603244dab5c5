//! Drift: every difference of a plan as a finding with its class.
//!
//! Plans nothing and renders nothing.

use crate::plan::{DeviceChange, Plan, WithheldReason};

/// What a difference is as a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A tag that the device should carry.
    Missing,
    /// A tag that it should not carry.
    Extra,
    /// A value that differs.
    Value,
    /// Another origin holds it.
    Contested,
    /// Written, and not shown by the service yet.
    Pending,
    /// Not done: the inventory is untrusted, or data is missing.
    Withheld,
    /// Not done: a protection matches. Listed, but no drift.
    Protected,
}

impl Class {
    /// All classes, in the order of reports.
    pub const ALL: [Class; 7] = [
        Class::Missing,
        Class::Extra,
        Class::Value,
        Class::Contested,
        Class::Pending,
        Class::Withheld,
        Class::Protected,
    ];

    /// The word in documents.
    pub fn word(self) -> &'static str {
        match self {
            Class::Missing => "missing",
            Class::Extra => "extra",
            Class::Value => "value",
            Class::Contested => "contested",
            Class::Pending => "pending",
            Class::Withheld => "withheld",
            Class::Protected => "protected",
        }
    }

    /// Whether it makes `drift` exit 2.
    pub fn is_drift(self) -> bool {
        matches!(self, Class::Missing | Class::Extra | Class::Value)
    }

    /// The class of what is withheld for a reason.
    pub fn of(reason: WithheldReason) -> Class {
        match reason {
            WithheldReason::Protected => Class::Protected,
            WithheldReason::Contested => Class::Contested,
            WithheldReason::Untrusted | WithheldReason::Unresolved => Class::Withheld,
            WithheldReason::Pending => Class::Pending,
        }
    }
}

/// How many differences a plan has of each class, in the order of [`Class::ALL`].
pub fn count(plan: &Plan) -> Vec<(Class, u64)> {
    let (missing, extra, value) = plan.counts();
    let set_aside = |class: Class| {
        let groups =
            plan.withheld.iter().chain(&plan.pending).filter(|group| Class::of(group.reason) == class);
        groups.map(|group| group.additions + group.removals + group.values).sum()
    };
    let counts = Class::ALL.map(|class| match class {
        Class::Missing => (class, missing),
        Class::Extra => (class, extra),
        Class::Value => (class, value),
        other => (other, set_aside(other)),
    });
    counts.to_vec()
}

/// Whether a plan is drift: it would change something.
pub fn is_any(plan: &Plan) -> bool {
    count(plan).iter().any(|(class, count)| class.is_drift() && *count > 0)
}

/// Devices that are not changed although they differ, with the class of it: withheld ones, then pending ones.
pub fn set_aside(plan: &Plan) -> impl Iterator<Item = (Class, Option<&str>, &DeviceChange)> {
    let groups = plan.withheld.iter().chain(&plan.pending);
    groups.flat_map(|group| {
        let class = Class::of(group.reason);
        group.devices.iter().map(move |device| (class, group.name.as_deref(), device))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Withheld;

    #[test]
    fn what_is_withheld_pending_or_protected_is_listed_and_no_drift() {
        let group = |reason: WithheldReason| Withheld {
            reason,
            name: None,
            additions: 1,
            removals: 2,
            values: 3,
            device_count: 0,
            devices: Vec::new(),
        };
        let plan = Plan {
            withheld: vec![group(WithheldReason::Protected), group(WithheldReason::Untrusted)],
            pending: vec![group(WithheldReason::Pending)],
            ..Plan::default()
        };
        assert!(!is_any(&plan));
        let counts: Vec<_> = count(&plan).into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(Class::Pending, 6), (Class::Withheld, 6), (Class::Protected, 6)]);
    }
}
