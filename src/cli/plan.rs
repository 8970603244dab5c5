//! `mdetag plan`: reads, plans, shows, saves. Never writes to the tenant.

use std::path::PathBuf;

use mdetag::store::baselines_file;
use mdetag_core::plan::guard::Allowance;
use mdetag_core::report::model::{Input, Model, Subject};

use super::args::{PlanArgs, ReportArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::findings;
use super::output::{self, Reports};
use super::planning::{self, Planned, PolicySet};
use super::policy_set::{self, Base};
use super::set_names;
use super::source::{self, Source};
use super::{ci, ledger_text, past};

/// Shared by `plan` and `drift`.
pub struct PlanRequest<'a> {
    pub subject: Subject,
    pub paths: &'a [PathBuf],
    /// `--base`.
    pub base: Option<&'a PathBuf>,
    /// `--allow`.
    pub allow: &'a [String],
    /// `-o`.
    pub output: Option<&'a PathBuf>,
    pub report: &'a ReportArgs,
}

/// Plans.
///
/// # Errors
/// Policy, identity, network, files.
pub async fn run(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    let request = PlanRequest {
        subject: Subject::Plan,
        paths: &args.policy.policy,
        base: args.base.as_ref(),
        allow: &args.allow,
        output: args.output.as_ref(),
        report: &args.report,
    };
    let planned = plan_and_report(context, &request).await?;
    let changes = if planned.plan().is_empty() { Exit::Success } else { Exit::Changes };
    let changes = if args.detailed_exitcode { changes } else { Exit::Success };
    let exit = if planned.verdict.is_err() { Exit::Refused.worst(changes) } else { changes };
    context.let_go(planned);
    Ok(exit)
}

/// Reads, plans, reports, and stores the counts of a trusted run.
///
/// # Errors
/// Policy, identity, network, files.
pub async fn plan_and_report(context: &Context, request: &PlanRequest<'_>) -> Result<Planned, Failure> {
    let reports = Reports::new(context, request.report)?;
    let planned = report_plan(context, request, &reports).await;
    planned.map_err(|failure| reports.unplanned(context, request.subject, request.report.ci, failure))
}

async fn report_plan(
    context: &Context,
    request: &PlanRequest<'_>,
    reports: &Reports,
) -> Result<Planned, Failure> {
    let output_path = request.output.map(|path| output::named(context, path)).transpose()?;
    let allowances = allowances(request.allow)?;
    let now = context.policy_now();
    let paths = context.policy_paths(request.paths)?;
    let set = policy_set::load(context, &paths, now)?;
    findings::warn(&context.console, &set.sources, &policy_set::warnings(&set.findings));
    let base_of = |context| request.base.and_then(|folder| policy_set::base(context, folder, &paths, now));
    let base = base_of(context);
    let source = source::read_for(context, Some(&set), base.as_ref().and_then(Base::policy)).await?;
    let (context, set) = source.suited(context, set)?;
    let context = &context;
    // Read again, because it must be adapted to the service too.
    let base = base.and_then(|_| base_of(context));
    let policy_changes = base.as_ref().map(|base| base.differences(context, &set)).unwrap_or_default();
    let base = base.as_ref().and_then(|base| base.usable(context));
    let history = past::history(context, &source, &set.reference, past::HistoryOverrides::default())?;
    let with = source.plan_inputs(context, &history, &allowances);
    let mut fresh = planning::fresh(&set, &source.inventory, &with)?;
    if let Some(base) = base {
        planning::foresee_by_base(&base.policy, &source.inventory.snapshot, &mut fresh, &history);
    }
    fresh.plan.measures.changed_back = past::changed_back(context, &source, &fresh.plan, &history);
    planning::roll_out(&set, &source.inventory.snapshot, &mut fresh);
    fresh.plan.ledger = source.session.as_ref().map(|session| ledger_text::ledger(session, &fresh.plan));
    let planned = planning::guarded(&set, fresh, &allowances);
    planning::deny(&set, planned.plan(), with.lints)?;
    // Its rules may conflict on this inventory, which is not the current set's fault.
    let base_plan = base.and_then(|base| planning::plan(base, &source.inventory, &with).ok());
    if let (Some(folder), Some(_), None) = (request.base, base, &base_plan) {
        policy_set::warn_unsplit(context, folder, "cannot be planned");
    }
    let comment_of = context.comment_of();
    let mut input = Input::new(request.subject, planned.plan());
    input.comment_of = Some(&comment_of);
    input.base = base_plan.as_ref().map(Planned::plan);
    input.policy_changes = &policy_changes;
    input.repository = context.settings.repository_url.as_deref();
    // The plan's file is written before its reports, so that a reader of reports that goes away does not lose it.
    let save = |path: &PathBuf| output::save_plan(path, planned.plan());
    let (model, saved) = rayon::join(|| Model::new(input), || output_path.as_ref().map(save).transpose());
    ci::report(request.report.ci, &model, &context.console)?;
    reports.write(&model, &context.console)?;
    saved?;
    past::keep(context, &source, planned.plan(), &history.lost);
    // A plan is only a question. Baselines come from scheduled and writing commands.
    if request.subject == Subject::Drift {
        keep_counts(context, &set, &source, &planned);
    }
    context.let_go((source.close().await, base_plan));
    Ok(planned)
}

/// Stores the counts of a trusted read of a tenant, for `maxShrink` of later runs.
pub fn keep_counts(context: &Context, set: &PolicySet, source: &Source, planned: &Planned) {
    let (Some(_), Some(state)) = (&source.session, &source.state) else { return };
    if !planned.plan().is_trusted() {
        return;
    }
    let (name, now) = (set_names::set_of(context, &set.reference), context.clock.now());
    let kept = baselines_file::update(state, &name, |baselines| {
        baselines.add(&planned.counts, &source.kept.filter, now);
        None
    });
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot keep what this run counted: `maxShrink` of the next one does not know it");
    }
}

/// The `--allow` flags.
///
/// # Errors
/// An invalid allowance.
pub fn allowances(texts: &[String]) -> Result<Vec<Allowance>, Failure> {
    texts
        .iter()
        .map(|text| Allowance::parse(text).map_err(|error| Failure::usage(format!("--allow: {error}"))))
        .collect()
}
