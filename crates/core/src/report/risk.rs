//! Which changes reviewers read first: those that remove a tag or lower a value, the largest share of the tag's devices first.
//!
//! Takes the number of carriers from the guard's arithmetic; a tag that the guard does not count has no known share.

use std::cmp::Reverse;

use hashbrown::HashMap;

use crate::device::DeviceValue;
use crate::plan::{Cause, CauseIndex, Plan};
use crate::policy::Axis;

use super::change::ReportedChange;

/// The risk of a group; smaller is riskier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Risk {
    kind: RiskKind,
    /// Whether the group removes its tag from all of its devices.
    takes_all: Reverse<bool>,
    /// Devices that lose the tag, per million that carry it.
    lost: Reverse<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RiskKind {
    /// A tag is removed, or a value lowered.
    Loss,
    /// A tag is added, or a value raised.
    Gain,
    /// The tag gets another name on the same device.
    Rename,
}

/// By removed tag, the number of devices that carry it and of those that lose it.
pub(super) struct Carriers<'p> {
    counts: HashMap<&'p str, (u64, u64)>,
}

impl<'p> Carriers<'p> {
    pub(super) fn new(plan: &'p Plan) -> Carriers<'p> {
        let axes = plan.guard.axes.iter().filter(|axis| axis.axis == Axis::RemovalsPerTag);
        let counts = axes.filter_map(|axis| Some((axis.tag.as_deref()?, (axis.base, axis.planned))));
        Carriers { counts: counts.collect() }
    }

    pub(super) fn rank(
        &self,
        plan: &Plan,
        what: ReportedChange<'_>,
        cause: Option<CauseIndex>,
        devices: u64,
    ) -> Risk {
        let is_rename = cause
            .and_then(|cause| plan.causes.get(cause.0 as usize))
            .is_some_and(|cause| matches!(cause, Cause::Renamed { .. }));
        let kind = match what {
            _ if is_rename => RiskKind::Rename,
            ReportedChange::Remove(_) => RiskKind::Loss,
            // An unreadable value counts as the highest.
            ReportedChange::Value { from, to }
                if to < from.and_then(DeviceValue::parse).unwrap_or(DeviceValue::High) =>
            {
                RiskKind::Loss
            }
            ReportedChange::Add(_) | ReportedChange::Value { .. } => RiskKind::Gain,
        };
        let base = match what {
            ReportedChange::Remove(tag) => self.counts.get(tag).map_or(0, |(base, _)| *base),
            ReportedChange::Add(_) | ReportedChange::Value { .. } => 0,
        };
        let lost = (devices * 1_000_000).checked_div(base).unwrap_or(0);
        Risk { kind, takes_all: Reverse(base > 0 && devices >= base), lost: Reverse(lost) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::AxisReport;

    #[test]
    fn the_riskiest_change_ranks_first() {
        let mut plan = Plan {
            causes: vec![Cause::Retired { place: crate::report::fixtures::place("a.yaml", 1) }],
            ..Plan::default()
        };
        plan.causes
            .push(Cause::Renamed { to: "New".into(), place: crate::report::fixtures::place("a.yaml", 1) });
        for (tag, base, planned) in [("Half", 100, 50), ("All", 10, 10), ("Old", 10, 10)] {
            plan.guard.axes.push(AxisReport {
                tag: Some(Arc::from(tag)),
                ..crate::report::fixtures::axis(Axis::RemovalsPerTag, planned, base, 0, 0)
            });
        }
        let carriers = Carriers::new(&plan);
        let value = |from, to| ReportedChange::Value { from, to };
        let order = [
            (ReportedChange::Remove("All"), 0, 10),
            (ReportedChange::Remove("Half"), 0, 50),
            (value(Some("High"), DeviceValue::Low), 0, 1),
            (ReportedChange::Add("B"), 0, 900),
            (ReportedChange::Remove("Old"), 1, 10),
        ];
        let ranks =
            order.map(|(what, cause, devices)| carriers.rank(&plan, what, Some(CauseIndex(cause)), devices));
        assert!(ranks.is_sorted_by(|left, right| left < right), "{ranks:?}");
        assert!(
            carriers.rank(&plan, value(None, DeviceValue::Normal), None, 1) < ranks[3],
            "unknown is the highest"
        );
    }
}
