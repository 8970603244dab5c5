//! `apply --resume`: the run to continue, whether it still may, and the alternative of `--or-plan`.
//!
//! Writes nothing itself; the rest of the run is applied like any reviewed plan.

use std::path::PathBuf;

use mdetag::store::journal::RecordedRun;
use mdetag::store::path_text::shown;
use mdetag::store::set_name;
use mdetag_core::plan::Plan;
use mdetag_core::report::model::RunEnd;

use super::applied::{Applied, tell_end};
use super::apply_request::{ApplyInputs, ApplyRequest};
use super::args::ApplyArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::flags;
use super::output::Reports;
use super::past_run;
use super::planning::PolicySet;
use super::session::{Session, WritingSession};
use super::set_names;
use super::signals::StopConditions;
use super::unfinished::{self, Unfinished};
use super::{age, next_wave, open_rollouts, plan, policy_set, reviewed};

/// The command line's input.
#[derive(Clone, Copy)]
pub struct ResumeInputs<'a> {
    pub context: &'a Context,
    pub args: &'a ApplyArgs,
    pub reports: &'a Reports,
}

/// The result of `--resume`.
pub enum Resumed {
    Ended(Box<Applied>),
    /// `--or-plan`: nothing can be resumed, so the policies are planned anew.
    Plan {
        /// Plans of this set are reviewed before they are applied.
        in_place_of_reviewed: bool,
    },
}

/// Finishes an interrupted run: its plan, minus its journal.
///
/// # Errors
/// No such run, a run that can no longer be resumed, and every error of an apply.
pub async fn resume_run(
    given: ResumeInputs<'_>,
    run: &str,
    session: WritingSession,
    stops: StopConditions,
) -> Result<Resumed, Failure> {
    let ResumeInputs { context, args, reports } = given;
    let context = &context.suited(&session.reading.known);
    let state = &session.reading.state;
    let flags = flags::tenant_flags(context);
    // Other open rollouts of these policies.
    let mut others = Vec::new();
    let recorded = if run.is_empty() {
        let set = set_names::set_at(context, &context.policy_paths(&args.paths)?);
        let mut found = unfinished::find(context, state, &set)?;
        let now = session.reading.ledger.clock().now();
        found.choose(now, args.next_wave);
        found.report_leftovers(context, now);
        if found.runs.is_empty() {
            // Devices wait for a rollout that nothing continues: reporting success would leave them there.
            let open = open_rollouts::open(state, Some(&set), None).map_err(Failure::journal)?;
            open.iter().try_for_each(|open| open_rollouts::not_undone(state, open, &flags))?;
            let ended = nothing_left(given, &found, &session.reading);
            session.reading.close().await;
            return ended;
        }
        let chosen = found.runs.remove(0);
        others.extend(found.runs.iter().filter_map(|rest| open_rollouts::other(rest, now, &flags)));
        chosen
    } else {
        past_run::recorded(state, run)?
    };
    let run = &recorded.header.run;
    open_rollouts::not_undone(state, &recorded, &flags)?;
    let reviewed = past_run::plan_of(state, &recorded)?;
    reviewed::same_tenant(&reviewed, &session.reading)?;
    let (set, paths, is_replanned) = match still_fits(context, args, &reviewed, &recorded) {
        Ok((set, paths)) => (set, paths, false),
        Err(failure) if !args.or_plan => return Err(failure),
        Err(failure) => {
            context.console.say(&format!("run {run} is planned anew: {}", failure.message));
            if !is_bound(&recorded, &session)? {
                session.reading.close().await;
                return Ok(Resumed::Plan { in_place_of_reviewed: false });
            }
            let (set, paths) = anew(context, args, &reviewed, &recorded)?;
            (set, paths, true)
        }
    };
    session.reading.check_pin(&set.policy)?;
    let held_back =
        next_wave::held_back(context, args, &set, (&reviewed, &recorded, &others[..]), &session.reading)?;
    if let Some((end, exit)) = held_back {
        let ended = (exit, session.reading.ledger.clock().now());
        session.reading.close().await;
        let applied = tell_end(context, args, reports, (&reviewed, None), &end, ended)?;
        return Ok(Resumed::Ended(Box::new(applied)));
    }
    let allowances = plan::allowances(&recorded.allowed(&args.allow))?;
    let request = ApplyRequest { reviewed: Some(reviewed), resumed: Some(recorded), paths, is_replanned };
    let inputs = ApplyInputs {
        context,
        args,
        set: &set,
        allowances: &allowances,
        reports,
        is_unreviewed: false,
        others: &others,
    };
    Ok(Resumed::Ended(Box::new(inputs.apply(session, request, stops).await?)))
}

/// A run keeps its own policies. If no run is named, policies say whose run it is.
///
/// # Errors
/// A plan file, or policies together with a run id.
pub fn check_paths(args: &ApplyArgs, run: &str) -> Result<(), Failure> {
    let is_plan = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    if args.paths.iter().any(is_plan) || !args.paths.is_empty() && !run.is_empty() && !args.or_plan {
        return Err(Failure::usage("`--resume` takes no plan and no policies: the run keeps its own"));
    }
    Ok(())
}

/// No run of the policies ended early.
fn nothing_left(given: ResumeInputs<'_>, found: &Unfinished, session: &Session) -> Result<Resumed, Failure> {
    let ResumeInputs { context, args, reports, .. } = given;
    if args.or_plan {
        context.console.say("nothing to resume: planning anew");
        let newest = found.newest.as_ref();
        let in_place_of_reviewed = newest.is_some_and(|header| header.reviewed != Some(false));
        return Ok(Resumed::Plan { in_place_of_reviewed });
    }
    if found.is_new {
        let place = context.place.folder().map_or_else(
            || context.place.to_string(),
            |folder| format!("the state directory {}", shown(folder)),
        );
        let message =
            format!("there is no run to resume in {place}: it holds none of these policies on this tenant");
        return Err(Failure::usage(message).help(
            "if nothing was applied so far, run `mdetag apply` without --resume; if a run stopped in another job or on another computer, bring its state directory here (a cache or an artifact) or name it with --state",
        ));
    }
    const NOTHING: &str = "nothing to resume: the last run of these policies came to its end";
    context.console.say(NOTHING);
    if reports.is_human() {
        return Ok(Resumed::Ended(Box::new(Exit::Success.into())));
    }
    // A program reads one document, whatever there was to do.
    let now = session.ledger.clock().now();
    let mut plan = Plan::default();
    plan.header.tool = format!("mdetag {}", env!("CARGO_PKG_VERSION"));
    (plan.header.tenant, plan.header.created_at) = (session.reference.clone(), now);
    let end = RunEnd { notes: vec![NOTHING.to_owned()], ..RunEnd::default() };
    let applied = tell_end(context, args, reports, (&plan, None), &end, (Exit::Success, now))?;
    Ok(Resumed::Ended(Box::new(applied)))
}

/// The policies of a run if its rest may still be written, that is, if they, its options and its age still fit.
fn still_fits(
    context: &Context,
    args: &ApplyArgs,
    reviewed: &Plan,
    recorded: &RecordedRun,
) -> Result<(PolicySet, Vec<PathBuf>), Failure> {
    let paths = policy_set::arguments(context, reviewed);
    policy_set::whole_profile(context, &paths)?;
    let set = policy_set::load(context, &paths, context.policy_now())?;
    reviewed::same_policy(reviewed, &set).map_err(|failure| {
        let flags = flags::tenant_flags(context);
        failure.help(format!(
            "`--or-plan` plans the rest anew; without it, plan with `mdetag plan{flags}` and have the plan reviewed"
        ))
    })?;
    age::check(reviewed, Some(recorded), args, context.clock.now())?;
    reviewed::same_options(context, reviewed)?;
    Ok((set, paths))
}

/// Whether the run's own plan limits what is written instead: it was reviewed, or its waves are in progress.
fn is_bound(recorded: &RecordedRun, session: &WritingSession) -> Result<bool, Failure> {
    let is_open = open_rollouts::is_open(&session.reading.state, recorded).map_err(Failure::journal)?;
    Ok(is_open || recorded.header.reviewed != Some(false))
}

/// The current policies, for a run whose own have changed.
fn anew(
    context: &Context,
    args: &ApplyArgs,
    reviewed: &Plan,
    recorded: &RecordedRun,
) -> Result<(PolicySet, Vec<PathBuf>), Failure> {
    let paths = context.policy_paths(&args.paths)?;
    policy_set::whole_profile(context, &paths)?;
    let set = policy_set::load(context, &paths, context.policy_now())?;
    let (run, flags) = (&recorded.header.run, flags::tenant_flags(context));
    if !set_name::covers(&set_names::set_of(context, &set.reference), &recorded.header.set) {
        return Err(Failure::usage(format!(
            "run {run} is of other policies: {}",
            set_name::shown(&recorded.header.set).trim()
        ))
        .help(format!("name its policies as well: mdetag apply POLICY… --resume {run} --or-plan{flags}")));
    }
    let has_changed = reviewed::same_policy(reviewed, &set).is_err();
    if let Some((what, missing)) = lost_gate(&set, recorded, has_changed) {
        return Err(Failure::plan(format!("run {run} is written in waves, and {what}")).help(format!(
            "nothing was written; bring {missing} back, or end the rollout: mdetag state end {run} --reason TEXT{flags}"
        )));
    }
    Ok((set, paths))
}

/// The name of the gate that a run's waves need and the current policies lack. The journal has shares and waits, but only
/// policies can say which devices are sick.
///
/// If a gate reads a named selector, a file or a query, its words do not say who is sick. If policies or data `has_changed`, it
/// is unknown whether they still mean the same.
fn lost_gate(set: &PolicySet, recorded: &RecordedRun, has_changed: bool) -> Option<(String, &'static str)> {
    if recorded.header.waves < 2 {
        return None;
    }
    let Some(rollout) = &set.policy.guard.rollout else {
        return Some(("the policies at hand have no `guard.rollout`".to_owned(), "`guard.rollout`"));
    };
    let ill = recorded.header.gates.as_ref()?.ill()?;
    let Some(health) = rollout.health.as_ref().filter(|health| health.text == ill) else {
        let what = format!("its gate `health` looks for {ill}, which the policies at hand do not");
        return Some((what, "`guard.rollout.health`"));
    };
    let what =
        format!("its gate `health` looks for {ill}, and policies or data that it may read have changed");
    (has_changed && health.select.reads_more()).then_some((what, "the policies and data of the run"))
}
