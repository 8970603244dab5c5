//! `mdetag drift`: the differences between policy and tenant, as a report for schedules and dashboards.

use mdetag_core::report::model::Subject;
use mdetag_core::report::notification::SummaryDocument;

use super::args::DriftArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::notify;
use super::plan::{self, PlanRequest};

/// Reports drift. Exits with 2 if there is some, if a contested change is not covered by `guard.accept`, or if an invariant is
/// already broken. A guard that would refuse the repair is shown and does not matter here.
///
/// # Errors
/// Policy, identity, network, files.
pub async fn run(context: &Context, args: &DriftArgs) -> Result<Exit, Failure> {
    let mut summary = None;
    let ended = compare(context, args, &mut summary).await;
    let told = ended.as_ref().map(|exit| *exit);
    notify::send_message(context, Subject::Drift, summary, told).await;
    ended
}

/// Plans and reports. The summary is filled as soon as there is a plan, even if a later step fails.
async fn compare(
    context: &Context,
    args: &DriftArgs,
    summary: &mut Option<SummaryDocument>,
) -> Result<Exit, Failure> {
    let request = PlanRequest {
        subject: Subject::Drift,
        paths: &args.policy.policy,
        base: args.base.as_ref(),
        allow: &[],
        output: None,
        report: &args.report,
    };
    // Refusing is an error here: 3 is for commands that plan or apply.
    let as_error = |failure: Failure| Failure { exit: Exit::Error, ..failure };
    let planned = plan::plan_and_report(context, &request).await.map_err(as_error)?;
    *summary = Some(SummaryDocument::of_plan(Subject::Drift, planned.plan()));
    if planned.saw_nothing {
        return Err(Failure::tenant("no device was read, so nobody can say whether there is drift")
            .help(
                "check the token's roles, `cloud` and `endpoints.api`: `mdetag doctor` shows them\nif this tenant has no devices yet, write `guard: { inventory: { min: 0 } }`",
            ));
    }
    let plan = planned.plan();
    let is_clean = plan.is_empty() && !plan.has_unaccepted() && plan.guard.broken().next().is_none();
    let exit = if is_clean { Exit::Success } else { Exit::Changes };
    context.let_go(planned);
    Ok(exit)
}
