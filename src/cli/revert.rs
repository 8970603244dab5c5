//! `mdetag revert`: a plan that undoes a run's confirmed changes, reviewed and applied like any other.

use mdetag::store::path_text::shown;
use mdetag_core::plan::revert;
use mdetag_core::report::escape;
use mdetag_core::report::markdown::MAX_CHARS;
use mdetag_core::report::model::{Input, Model, Subject};
use mdetag_core::report::words::counted;

use super::args::{CiSystem, ReportArgs, RevertArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::flags;
use super::output::{self, Reports};
use super::past_run;
use super::past_run::ProvenRun;
use super::planning::{self, UncheckedPlan};
use super::session;
use super::source::{self, Source};
use super::{open_rollouts, past, policy_set};

/// Writes the plan and shows it. Never writes to the tenant.
///
/// # Errors
/// No such run, missing policies, identity, network, files.
pub async fn run(context: &Context, args: &RevertArgs) -> Result<Exit, Failure> {
    let plain = ReportArgs { max_chars: MAX_CHARS, ci: CiSystem::None, ..ReportArgs::default() };
    let reports = Reports::new(context, &plain)?;
    let session = session::open(context, None).await?;
    let ran = past_run::run(&session.state, &args.run)?;
    let set = policy_set::load(context, &policy_set::arguments(context, &ran.plan), context.policy_now())?;
    session.check_pin(&set.policy)?;
    let source = source::of_session(context, Some(&set), session).await?;
    let (context, set) = &source.suited(context, set)?;
    let history = past::history(
        context,
        &source,
        &set.reference,
        past::HistoryOverrides { after_revert: true, ..past::HistoryOverrides::default() },
    )?;
    let fresh = planning::fresh(set, &source.inventory, &source.plan_inputs(context, &history, &[]))?;
    let UncheckedPlan { plan, selections, counts } = fresh;
    let snapshot = &source.inventory.snapshot;
    let protected = planning::protected(&selections, snapshot.len());
    let plan = revert::inverse(ran.as_past(), plan, planning::reach(set, snapshot, &selections, &protected));
    let mut fresh = UncheckedPlan { plan, selections, counts };
    planning::foresee(set, snapshot, &mut fresh, &history);
    let planned = planning::guarded(set, fresh, &[]);
    output::save_plan(&output::named(context, &args.output)?, planned.plan())?;
    let notices: Vec<String> = unwritten(&source, &ran)?.into_iter().collect();
    let model = Model::new(Input {
        notices: &notices,
        repository: context.settings.repository_url.as_deref(),
        ..Input::new(Subject::Plan, planned.plan())
    });
    reports.write(&model, &context.console)?;
    source.close().await;
    if let Some(snippet) = &planned.plan().guard.snippet {
        let (path, flags) = (shown(&args.output), flags::tenant_flags(context));
        let allow: Vec<_> = snippet.allow.iter().map(|word| escape::shell(word)).collect();
        let allow = allow.join(" ");
        context
            .console
            .say(&format!("once it is reviewed, apply it with: mdetag apply {path} {allow}{flags}"));
    }
    Ok(if planned.verdict.is_ok() { Exit::Success } else { Exit::Refused })
}

/// What happens to the unwritten waves of a rollout that is undone.
fn unwritten(source: &Source, ran: &ProvenRun) -> Result<Option<String>, Failure> {
    let (Some(state), Some(waves)) = (&source.state, &ran.plan.rollout) else { return Ok(None) };
    if !open_rollouts::is_open(state, &ran.recorded).map_err(Failure::journal)? {
        return Ok(None);
    }
    let current = open_rollouts::progress(&ran.recorded).current;
    let left = waves.of.iter().filter(|wave| **wave > current).count() as u64;
    Ok(Some(format!(
        "once this is written, its rollout is over: the next apply leaves what was undone alone and writes the {} of its \
         unwritten waves, unless the policies no longer ask for that",
        counted(left, "device")
    )))
}
