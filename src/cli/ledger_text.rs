//! The ledger's figures for a plan: calls left this hour, and when the last call could start.
//!
//! Takes no slot.

use mdetag_core::plan::{LaneLeft, Ledger, Plan};

use super::session::Session;

/// The ledger's figures for the lanes of a plan.
pub fn ledger(session: &Session, plan: &Plan) -> Ledger {
    session.ledger.with(|budget, now| {
        let mut ledger = Ledger::default();
        for cost in &plan.schedule.lanes {
            let (left, of) = budget.left(cost.lane, now);
            let last = budget.earliest(cost.lane, cost.calls, now);
            ledger.lanes.push(LaneLeft { lane: cost.lane, left: u64::from(left), of: u64::from(of) });
            ledger.seconds = ledger.seconds.max(last.since(now).as_secs());
        }
        ledger
    })
}
