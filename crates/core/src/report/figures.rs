//! The figures that short documents about a command share: the policy, the run and how it ended.
//!
//! Publishes nothing: each document says which of them it has, and how it writes them. Leaves out the counts of changes: a
//! message counts the plan's, a tenant's result the report's, and a run of a reviewed plan reports stale changes too.

use crate::plan::Plan;

use super::json::OutcomesDocument;
use super::lost::LostTagsSummary;
use super::model::Model;

/// The figures of a plan, and of the run that applied it.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// `sha256:…` of the policy set; empty if unknown.
    pub policy: String,
    /// Git commit of the policy set.
    pub commit: Option<String>,
    /// The run; empty if the guard refused the plan, so that none was started.
    pub run_id: Option<String>,
    /// The outcomes of the run.
    pub outcomes: Option<OutcomesDocument>,
    /// The tags that calls of the run removed by accident; `None` without any.
    pub lost_tags: Option<LostTagsSummary>,
}

impl Figures {
    /// Of a plan without a run.
    pub(super) fn of_plan(plan: &Plan) -> Figures {
        let policy = &plan.header.policy;
        Figures {
            policy: policy.digest.clone(),
            commit: policy.commit.clone(),
            run_id: None,
            outcomes: None,
            lost_tags: None,
        }
    }

    /// Of a report, with its run if it has one.
    pub(super) fn of(model: &Model<'_>) -> Figures {
        let run = model.input.run;
        Figures {
            run_id: run.map(|run| run.run_id.clone()),
            outcomes: run.map(|_| OutcomesDocument::of(model)),
            lost_tags: run.and_then(|run| LostTagsSummary::of(&run.lost)),
            ..Figures::of_plan(model.plan())
        }
    }
}
