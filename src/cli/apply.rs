//! `mdetag apply`: plans anew, keeps the reviewed changes, asks, and applies.
//!
//! Decides nothing about a change: it applies those that the plan, the review and the guard all contain.

use std::path::PathBuf;

use mdetag_core::plan::Plan;
use mdetag_core::report::model::Subject;

use super::applied::Applied;
use super::apply_request::{ApplyInputs, ApplyRequest};
use super::args::ApplyArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::findings;
use super::output::Reports;
use super::planning::PolicySet;
use super::policy_set;
use super::resuming::{self, ResumeInputs, Resumed};
use super::session::{self};
use super::signals::StopConditions;
use super::{next_wave, notify, plan, reviewed, show};

/// Applies.
///
/// # Errors
/// Policy, identity, network, files, a plan that no longer fits, a missing approval.
pub async fn run(context: &Context, args: &ApplyArgs) -> Result<Exit, Failure> {
    let ended = to_the_end(context, args).await;
    let (summary, exit) = match ended {
        Ok(applied) => (applied.summary, Ok(applied.exit)),
        Err(failure) => (None, Err(failure)),
    };
    let told = exit.as_ref().map(|exit| *exit);
    notify::send_message(context, Subject::Applied, summary.map(|summary| *summary), told).await;
    exit
}

/// Applies, and waits for later waves if `--wait` is given.
async fn to_the_end(context: &Context, args: &ApplyArgs) -> Result<Applied, Failure> {
    let mut applied = apply_once(context, args).await?;
    while let Some(next) = applied.next.take() {
        let untold = applied.untold.take();
        let went_on = match next_wave::wait_for(context, args, &next).await {
            Ok(false) => break,
            Ok(true) => apply_once(context, &rest(args, next.run)).await,
            Err(failure) => Err(failure),
        };
        applied = match (went_on, untold) {
            // Nothing of the next wave was written, but this command wrote the last one.
            (Err(Failure { stopped_by: Some(reason), .. }), Some(last)) => {
                last.report(context, args, reason)?
            }
            (went_on, _) => went_on?,
        };
    }
    Ok(applied)
}

/// Hours may have passed, so the rest is planned again, as a later resume would do.
fn rest(args: &ApplyArgs, run: String) -> ApplyArgs {
    // A resume that names no run continues with whichever is due by then.
    let run = if args.resume.as_deref() == Some("") { String::new() } else { run };
    // `--or-plan` plans with the policies that it names, also beside a run.
    let paths = if args.or_plan || run.is_empty() { args.paths.clone() } else { Vec::new() };
    ApplyArgs { resume: Some(run), paths, next_wave: false, ..args.clone() }
}

async fn apply_once(context: &Context, args: &ApplyArgs) -> Result<Applied, Failure> {
    let reports = Reports::new(context, &args.report)?;
    let applied = apply_reported(context, args, &reports).await;
    let applied = applied.map_err(|failure| context.stop_in(failure));
    applied.map_err(|failure| reports.unplanned(context, Subject::Applied, args.report.ci, failure))
}

async fn apply_reported(context: &Context, args: &ApplyArgs, reports: &Reports) -> Result<Applied, Failure> {
    let allowances = plan::allowances(&args.allow)?;
    refuse_recorded(context)?;
    let mut is_unreviewed = false;
    if let Some(run) = &args.resume {
        resuming::check_paths(args, run)?;
        let mut stops = StopConditions::listen(context, args.max_duration);
        let session = stops.or(session::open_to_write(context, None)).await?;
        let given = ResumeInputs { context, args, reports };
        match resuming::resume_run(given, run, session, stops).await? {
            Resumed::Ended(applied) => return Ok(*applied),
            Resumed::Plan { in_place_of_reviewed } => is_unreviewed = in_place_of_reviewed,
        }
    }
    let request = request(context, args)?;
    if request.reviewed.is_none() && !args.auto_approve && !context.console.asks {
        return Err(Failure::usage("nobody can be asked: this is no terminal").help(
            "review the plan with `mdetag plan`, then pass --auto-approve, or apply a saved plan file",
        ));
    }
    let set = load(context, &request)?;
    // From here on, Ctrl-C requests a stop. Every wait must listen for it, or the process hangs.
    let mut stops = StopConditions::listen(context, args.max_duration);
    let session = stops.or(session::open_to_write(context, Some(&set.policy))).await?;
    let context = &context.suited(&session.reading.known);
    let set = policy_set::suited(context, set)?;
    let allowances = &allowances[..];
    let inputs = ApplyInputs { context, args, set: &set, allowances, reports, is_unreviewed, others: &[] };
    inputs.apply(session, request, stops).await
}

/// A plan file, or policies.
fn request(context: &Context, args: &ApplyArgs) -> Result<ApplyRequest, Failure> {
    let is_plan = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    match args.paths.as_slice() {
        // A plan file does not choose the policies that judge it: they come from the profile or the arguments.
        [path, policies @ ..] if is_plan(path) && !policies.iter().any(is_plan) => {
            let reviewed = show::read(path)?;
            reviewed::inside(&reviewed)?;
            check_sandbox(context, &reviewed)?;
            let paths = context.policy_paths(policies)?;
            Ok(ApplyRequest { reviewed: Some(reviewed), resumed: None, paths, is_replanned: false })
        }
        paths if paths.iter().any(is_plan) => {
            Err(Failure::usage("one plan is applied at a time: `mdetag apply PLAN [POLICY…]`"))
        }
        paths => {
            let paths = context.policy_paths(paths)?;
            Ok(ApplyRequest { reviewed: None, resumed: None, paths, is_replanned: false })
        }
    }
}

/// Reads the policies of a request, including all of its profile's, and compares them with the reviewed ones.
fn load(context: &Context, request: &ApplyRequest) -> Result<PolicySet, Failure> {
    policy_set::whole_profile(context, &request.paths)?;
    let set = policy_set::load(context, &request.paths, context.policy_now())?;
    if let Some(reviewed) = &request.reviewed {
        reviewed::same_policy(reviewed, &set)?;
    } else {
        findings::warn(&context.console, &set.sources, &policy_set::warnings(&set.findings));
    }
    Ok(set)
}

/// A plan of a sandbox only fits that sandbox. Checked before anybody has to sign in.
fn check_sandbox(context: &Context, reviewed: &Plan) -> Result<(), Failure> {
    let tenant = &reviewed.header.tenant;
    if tenant.cloud.as_deref() != Some(session::SANDBOX) || context.global.sandbox.is_some() {
        return Ok(());
    }
    let name = tenant.name.as_deref().unwrap_or("default");
    let flag = if name == "default" { "--sandbox".to_owned() } else { format!("--sandbox={name}") };
    Err(Failure::plan(format!("the plan is for the sandbox `{name}`, and this is no sandbox"))
        .help(format!("nothing was written; pass {flag}, or make a plan for the tenant")))
}

/// A recorded inventory says nothing about the present.
fn refuse_recorded(context: &Context) -> Result<(), Failure> {
    match context.recorded_flag() {
        Some(flag) if context.global.sandbox.is_none() => Err(Failure::usage(format!(
            "`apply` takes no `{flag}`, from the environment either, unless the tenant is a sandbox"
        ))
        .help("what is applied must fit the tenant as it is; plan with recorded data instead")),
        _ => Ok(()),
    }
}
