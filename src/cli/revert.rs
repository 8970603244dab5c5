//! `mdetag revert`: a plan that undoes a run's confirmed changes, to be reviewed and applied like any other.

use mdetag_core::plan::revert;
use mdetag_core::report::markdown::MAX_CHARS;
use mdetag_core::report::model::{Input, Model, Subject};

use super::args::{CiSystem, ReportArgs, RevertArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Reports};
use super::planning::{self, Fresh};
use super::session;
use super::source;
use super::{apply, past, policy_set};

/// Writes the plan and shows it. Never writes to the tenant.
///
/// # Errors
/// No such run, its policies gone, identity, network, files.
pub async fn run(context: &Context, args: &RevertArgs) -> Result<Exit, Failure> {
    let plain = ReportArgs { max_chars: MAX_CHARS, ci: CiSystem::None, ..ReportArgs::default() };
    let reports = Reports::new(context, &plain)?;
    let session = session::open(context, None).await?;
    let ran = past::run(&session.state, &args.run)?;
    let set = policy_set::load(context, &apply::arguments(context, &ran.plan), context.policy_now())?;
    apply::check_pin(&session, &set.policy)?;
    let source = source::of_session(context, Some(&set), session).await?;
    let (context, set) = &source.suited(context, set)?;
    let history = past::history(
        context,
        &source,
        &set.reference,
        past::Asked { after_revert: true, ..past::Asked::default() },
    )?;
    let fresh = planning::fresh(set, &source.inventory, &source.plan_inputs(context, &history, &[]))?;
    let Fresh { plan, selections, counts } = fresh;
    let snapshot = &source.inventory.snapshot;
    let protected = planning::protected(&selections, snapshot.len());
    let plan = revert::inverse(ran.as_past(), plan, planning::reach(set, snapshot, &selections, &protected));
    let mut fresh = Fresh { plan, selections, counts };
    planning::foresee(set, snapshot, &mut fresh, &history);
    let planned = planning::guarded(set, fresh, &[]);
    output::save_plan(&output::named(context, &args.output)?, planned.plan())?;
    let model = Model::new(Input {
        repository: context.settings.repository_url.as_deref(),
        ..Input::new(Subject::Plan, planned.plan())
    });
    reports.write(&model, &context.console)?;
    source.close().await;
    Ok(if planned.verdict.is_ok() { Exit::Success } else { Exit::Refused })
}
