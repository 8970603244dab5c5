//! `mdetag revert`: a plan that undoes a run's confirmed changes, to be reviewed and applied like any other.

use std::collections::HashSet;

use crate::store::{journal, whole_file};
use crate::tenant::Need;
use mdetag_core::apply::{Outcome, resume};
use mdetag_core::plan::revert::{self, Reach};
use mdetag_core::plan::{ChangeKey, document};
use mdetag_core::report::model::{Input, Model, Subject};

use super::args::{CiSystem, ReportArgs, RevertArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::output::Reports;
use super::planning::{self, Fresh};
use super::session;
use super::source;
use super::{apply, past, policy_set, show};

/// Writes the plan and shows it. Never writes to the tenant.
///
/// # Errors
/// No such run, its policies gone, identity, network, files.
pub async fn run(context: &Context, args: &RevertArgs) -> Result<Exit, Failure> {
    let plain = ReportArgs { max_chars: 60_000, ci: CiSystem::None, ..ReportArgs::default() };
    let reports = Reports::new(context.global.format, &plain)?;
    let session = session::open(context, None, Need::Read).await?;
    let recorded = journal::read(&session.state, &args.run).map_err(|error| {
        Failure::file(chain(&error)).help("`mdetag history` lists the runs of the state directory")
    })?;
    let ran = show::read(&session.state.plan(&args.run))?;
    let set = policy_set::load(context, &apply::arguments(context, &ran), context.policy_now())?;
    apply::check_pin(&session, &set.policy)?;
    let source = source::of_session(context, Some(&set), session).await?;
    let history = past::history(context, &source, &set.reference.digest, false);
    let fresh = planning::fresh(&set, &source.inventory, &source.circumstances(context, &history, &[]))?;
    let outcomes = resume::outcomes(&recorded.entries);
    let confirmed: HashSet<ChangeKey> = outcomes
        .into_iter()
        .filter(|(_, ended)| ended.outcome == Outcome::Done)
        .map(|(key, _)| key.clone())
        .collect();
    let Fresh { plan, selections, counts } = fresh;
    let protected = planning::protected(&selections, source.inventory.snapshot.len());
    let reach =
        Reach { snapshot: &source.inventory.snapshot, scope: &selections.scope, protected: &protected };
    let plan = revert::inverse(&args.run, &ran, &confirmed, plan, reach);
    let mut fresh = Fresh { plan, selections, counts };
    planning::foresee(&set, &source.inventory.snapshot, &mut fresh, &history);
    let planned = planning::guarded(&set, fresh, &[]);
    whole_file::write_proved(&args.output, |out| document::write_to(planned.plan(), out).map(drop))?;
    let model = Model::new(Input::new(Subject::Plan, planned.plan()));
    reports.write(&model, &context.console)?;
    source.close().await;
    Ok(if planned.verdict.is_ok() { Exit::Success } else { Exit::Refused })
}
