//! `mdetag apply`: plans anew, keeps what was reviewed, asks, and carries it out.
//!
//! Decides nothing about a change: what is applied is what the plan, the review and the guard agree on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::journal::{self, RecordedRun};
use mdetag::tenant::Writer;
use mdetag_core::apply::resume;
use mdetag_core::plan::guard::{Allowance, changes_digest};
use mdetag_core::plan::replacement::Replacements;
use mdetag_core::plan::stale::{self, Dropped};
use mdetag_core::plan::{ChangeKey, Owed, Plan, SafePlan, WithheldReason, document, revert, waves};
use mdetag_core::policy::Policy;
use mdetag_core::report::model::{Input, Model, Subject};
use mdetag_core::report::notification::SummaryDocument;
use mdetag_core::report::refusal;
use mdetag_core::time::Timestamp;

use super::applied::{Applied, tell_end};
use super::args::ApplyArgs;
use super::carry_out::{self, RunInputs};
use super::context::{Context, from_folder};
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::findings;
use super::output::Reports;
use super::planning::{self, PolicySet};
use super::policy_set;
use super::resuming::{self, ResumeInputs, Resumed};
use super::rollout;
use super::session::{self, Session, WritingSession};
use super::signals::StopConditions;
use super::source::{self, Source};
use super::state_store;
use super::{
    age, ci, ledger_text, left_out, lock, next_wave, notify, past, plan, question, reviewed, show, sightings,
    undone,
};

/// What is applied: a plan that somebody saw, or what the policies say now.
pub struct ApplyRequest {
    /// The plan that somebody saw.
    pub reviewed: Option<Plan>,
    /// The run that goes on.
    pub resumed: Option<RecordedRun>,
    pub paths: Vec<PathBuf>,
    /// `--or-plan`: the policies changed since, so the plan only bounds what the new one writes.
    pub is_replanned: bool,
}

/// Applies.
///
/// # Errors
/// Policy, identity, network, files, a plan that no longer fits, no approval.
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

/// Applies, and waits for later waves where that was asked for.
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
            // Nothing of the next wave was written, but this command did write the last one.
            (Err(Failure { stopped_by: Some(reason), .. }), Some(last)) => {
                last.report(context, args, reason)?
            }
            (went_on, _) => went_on?,
        };
    }
    Ok(applied)
}

/// Hours may have passed, so the rest is planned again, just as a later resume would.
fn rest(args: &ApplyArgs, run: String) -> ApplyArgs {
    // `--or-plan` plans anew with policies that it names, beside a run too.
    let paths = if args.or_plan { args.paths.clone() } else { Vec::new() };
    ApplyArgs { resume: Some(run), paths, next_wave: false, ..args.clone() }
}

async fn apply_once(context: &Context, args: &ApplyArgs) -> Result<Applied, Failure> {
    let reports = Reports::new(context, &args.report)?;
    let applied = apply_reported(context, args, &reports).await;
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
    let waiting = Exit::Success;
    let inputs = ApplyInputs { context, args, set: &set, allowances, reports, is_unreviewed, waiting };
    inputs.apply(session, request, stops).await
}

/// A plan file, or policies.
fn request(context: &Context, args: &ApplyArgs) -> Result<ApplyRequest, Failure> {
    let is_plan = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    match args.paths.as_slice() {
        // A plan file does not choose the policies that judge it: they are the profile's or the arguments'.
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

/// The policy arguments of a plan, as paths from here.
pub fn arguments(context: &Context, plan: &Plan) -> Vec<PathBuf> {
    let here = |argument: &String| from_folder(&context.folder, &context.base.join(argument));
    plan.header.policy.arguments.iter().map(here).collect()
}

/// Reads the policies of a request, all of its profile's among them, and compares them with the reviewed ones.
fn load(context: &Context, request: &ApplyRequest) -> Result<PolicySet, Failure> {
    whole_profile(context, &request.paths)?;
    let set = policy_set::load(context, &request.paths, context.policy_now())?;
    if let Some(reviewed) = &request.reviewed {
        reviewed::same_policy(reviewed, &set)?;
    } else {
        findings::warn(&context.console, &set.sources, &policy_set::warnings(&set.findings));
    }
    Ok(set)
}

/// A guard or a rule that is not read cannot protect: the profile's policies must all be among the arguments.
///
/// # Errors
/// The policies that are left out.
pub fn whole_profile(context: &Context, paths: &[PathBuf]) -> Result<(), Failure> {
    let Some(profile) = context.profile()? else { return Ok(()) };
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let given: Vec<PathBuf> = paths.iter().map(|path| real(path)).collect();
    let folder = context.settings_folder.as_deref().unwrap_or(&context.folder);
    let missing = profile.policies.iter().find(|own| {
        let own = real(&folder.join(own));
        !given.iter().any(|given| own.starts_with(given))
    });
    match missing {
        None => Ok(()),
        Some(missing) => Err(Failure::usage(format!("the arguments leave out `{missing}` of profile `{}`", profile.name))
            .help("a guard that is not read cannot protect; leave the arguments out, or name all policies of the profile")),
    }
}

/// A plan of a sandbox fits nothing but that sandbox: said before anybody is asked to sign in.
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

/// A recorded inventory says nothing about now.
fn refuse_recorded(context: &Context) -> Result<(), Failure> {
    match context.recorded_flag() {
        Some(flag) if context.global.sandbox.is_none() => Err(Failure::usage(format!(
            "`apply` takes no `{flag}`, from the environment either, unless the tenant is a sandbox"
        ))
        .help("what is applied must fit the tenant as it is; plan with recorded data instead")),
        _ => Ok(()),
    }
}

/// Refuses a tenant other than the pinned one, where the policies were read after the sign-in.
///
/// # Errors
/// Another tenant: exit 3.
pub fn check_pin(session: &Session, policy: &Policy) -> Result<(), Failure> {
    let id = session.reference.id.as_deref().unwrap_or_default();
    match &policy.guard.tenant_id {
        Some((pin, _)) if !pin.eq_ignore_ascii_case(id) => {
            let mut failure = Failure::tenant(format!("the tenant is {id}, and `guard.tenantId` pins {pin}"))
                .help("nothing was read or written; choose the right profile with --tenant");
            failure.exit = Exit::Refused;
            Err(failure)
        }
        _ => Ok(()),
    }
}

/// An apply with everything that was given to it.
pub struct ApplyInputs<'a> {
    pub context: &'a Context,
    pub args: &'a ApplyArgs,
    pub set: &'a PolicySet,
    /// `--allow`.
    pub allowances: &'a [Allowance],
    pub reports: &'a Reports,
    /// `--or-plan` found nothing to resume, and plans of this set are reviewed: only a person's yes applies a new one.
    pub is_unreviewed: bool,
    /// How it ends at best: other runs of the policies may be left.
    pub waiting: Exit,
}

/// What is left of a request on the tenant as it is.
struct Remaining {
    verdict: planning::Planned,
    dropped: Vec<(ChangeKey, Dropped)>,
    unreviewed: u64,
    /// When the list shows every change that an answer confirmed, at the latest.
    shown_by: Option<Timestamp>,
    /// Tags that calls of earlier runs took along.
    owed: BTreeMap<ChangeKey, Owed>,
    /// The whole plan, where the one that was reviewed only bounds what is written.
    whole: Option<Box<planning::Planned>>,
}

impl ApplyInputs<'_> {
    /// Locks, reads, plans, asks and writes.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn apply(
        &self,
        session: WritingSession,
        mut request: ApplyRequest,
        mut stops: StopConditions,
    ) -> Result<Applied, Failure> {
        let WritingSession { reading: session, writer } = session;
        if let Some(reviewed) = &request.reviewed {
            self.check_reviewed(reviewed, &request, &session)?;
        }
        let _lock = stops.or(lock::lock(self.context, self.args, &session)).await?;
        // Where runs are there, somebody carries them from job to job.
        let is_new = || journal::runs(&session.state).is_ok_and(|runs| runs.is_empty());
        if let Some(why) = state_store::local_in_ci(self.context).filter(|_| is_new()) {
            self.context
                .console
                .complain(&format!("warning: {why}\n= help: {}\n", state_store::NAME_A_STORE));
        }
        // Whoever held the lock until now may have gone on with the run.
        if let Some(recorded) = &mut request.resumed {
            *recorded = journal::read(&session.state, &recorded.header.run)
                .map_err(|error| Failure::file(chain(&error)))?;
        }
        let source = stops.or(self.read(session)).await?;
        let fitting = self.fit(&source, &request)?;
        let exit = self.show_and_carry_out(&source, writer, request, fitting, stops.signals).await;
        source.close().await;
        exit
    }

    /// Tenant, age and options of a reviewed plan.
    fn check_reviewed(
        &self,
        reviewed: &Plan,
        request: &ApplyRequest,
        session: &Session,
    ) -> Result<(), Failure> {
        resuming::same_tenant(reviewed, session)?;
        if request.is_replanned {
            return Ok(());
        }
        age::check(reviewed, request.resumed.as_ref(), self.args, self.context.clock.now())?;
        resuming::same_options(self.context, reviewed)?;
        if reviewed.header.options.profile != self.context.options().profile {
            self.context.console.say(
                "note: the plan was made with another service profile: its changes are planned again with the one at hand",
            );
        }
        Ok(())
    }

    /// Reads the inventory anew, from the tenant (or, on a sandbox, from the file that was asked for).
    async fn read(&self, session: Session) -> Result<Source, Failure> {
        source::of_session(self.context, Some(self.set), session).await
    }

    /// Plans anew, and keeps of it what was reviewed.
    fn fit(&self, source: &Source, request: &ApplyRequest) -> Result<Remaining, Failure> {
        let resumed = request.resumed.as_ref().map(|recorded| &*recorded.header.run);
        let (context, retry) = (self.context, self.args.retry_contested);
        let after_revert = self.args.after_revert
            || request.reviewed.as_ref().is_some_and(|reviewed| reviewed.header.reverts.is_some());
        let asked = past::HistoryOverrides { retry_contested: retry, after_revert, resumed };
        let mut history = past::history(context, source, &self.set.reference, asked)?;
        let owed = history.lost.clone();
        // The run that goes on puts back what it lost itself.
        history.lost.retain(|_, owed| resumed != Some(&*owed.run));
        let with = source.plan_inputs(self.context, &history, self.allowances);
        let mut fresh = planning::fresh(self.set, &source.inventory, &with)?;
        fresh.plan.measures.changed_back = past::changed_back(context, source, &fresh.plan, &history);
        let (mut dropped, mut unreviewed) = (Vec::new(), 0);
        // The review and the run that goes on bound what is written; the next review sees everything.
        let whole = match request.is_replanned {
            true => Some(Box::new(planning::plan(self.set, &source.inventory, &with)?)),
            false => None,
        };
        let snapshot = &source.inventory.snapshot;
        if let Some(reviewed) = &request.reviewed {
            if resumed.is_none() {
                planning::same_waves(self.set, snapshot, &fresh.selections, reviewed)?;
            }
            let met = match reviewed.header.reverts {
                None => {
                    let case = fresh.plan.header.options.tag_case;
                    let replacements = Replacements::new(&self.set.policy, case);
                    stale::intersect(reviewed, fresh.plan, snapshot, Some(&replacements))
                }
                Some(ref run) => {
                    let state = source.state.as_ref();
                    let state = state.ok_or_else(|| Failure::usage("`apply` needs a tenant"))?;
                    let ran = past::run(state, run)?;
                    let protected = planning::protected(&fresh.selections, snapshot.len());
                    let reach = planning::reach(self.set, snapshot, &fresh.selections, &protected);
                    revert::refit(reviewed, ran.as_past(), fresh.plan, reach)
                        .map_err(|key| undone::foreign(run, &key))?
                }
            };
            (fresh.plan, dropped, unreviewed) = (met.plan, met.dropped, met.unreviewed);
            fresh.plan.measures.part_of = Some(changes_digest(reviewed));
            planning::foresee(self.set, snapshot, &mut fresh, &history);
            if self.args.waves.is_none() && reviewed.header.reverts.is_none() {
                waves::keep(&mut fresh.plan, reviewed);
            }
        } else if self.args.waves.is_none() {
            planning::roll_out(self.set, snapshot, &mut fresh);
        }
        fresh.plan.ledger = source.session.as_ref().map(|session| ledger_text::ledger(session, &fresh.plan));
        Ok(Remaining {
            verdict: planning::guarded(self.set, fresh, self.allowances),
            dropped,
            unreviewed,
            shown_by: history.shown_by,
            owed,
            whole,
        })
    }

    async fn show_and_carry_out(
        &self,
        source: &Source,
        writer: Writer,
        request: ApplyRequest,
        fitting: Remaining,
        mut signals: UnboundedReceiver<()>,
    ) -> Result<Applied, Failure> {
        let Some(session) = &source.session else {
            return Err(Failure::usage("`apply` needs a tenant"));
        };
        let shown = fitting.verdict.plan();
        past::keep(self.context, source, shown, &fitting.owed);
        plan::keep_counts(self.context, self.set, source, &fitting.verdict);
        let is_left_out = |why: &Dropped| *why == Dropped::Withheld(WithheldReason::Untrusted);
        let withheld = left_out::untrusted(shown) || fitting.dropped.iter().any(|(_, why)| is_left_out(why));
        let safe = match fitting.verdict.verdict {
            Err(refused) => {
                let repository = self.context.settings.repository_url.as_deref();
                let end = refusal::refused_run(&refused.plan, Exit::Refused.code())?;
                let comment_of = self.context.comment_of();
                let plan = Input {
                    repository,
                    comment_of: Some(&comment_of),
                    ..Input::new(Subject::Plan, &refused.plan)
                };
                let end = Input { subject: Subject::Applied, run: Some(&end), ..plan };
                let (plan, end) = (Model::new(plan), Model::new(end));
                self.reports.write_refused(&plan, &end, &self.context.console)?;
                let summary = SummaryDocument::of_plan(Subject::Applied, &refused.plan);
                return Ok(Applied { summary: Some(Box::new(summary)), ..Exit::Refused.into() });
            }
            Ok(safe) => safe,
        };
        if self.reports.is_human() {
            let notices: Vec<String> = rollout::notice(self.args).into_iter().collect();
            let repository = self.context.settings.repository_url.as_deref();
            let input = Input { notices: &notices, repository, ..Input::new(Subject::Plan, safe.plan()) };
            let model = Model::new(input);
            ci::grouped(self.args.report.ci, "Plan", self.context, || {
                self.reports.show(&model, &self.context.console)
            })?;
        }
        if self.is_unreviewed && self.args.auto_approve && !safe.plan().is_empty() {
            resuming::leave_to_review(self.context, self.args, safe.plan())?;
            return Ok(Exit::Stopped.into());
        }
        if !safe.plan().is_empty()
            && request.reviewed.is_none()
            && !self.args.auto_approve
            && !self.approved(session, &safe, &mut signals).await?
        {
            self.context.console.say("not applied: nothing was written");
            return Ok(Exit::Success.into());
        }
        if signals.try_recv().is_ok() {
            return Err(Failure::stopped());
        }
        let journal =
            request.resumed.as_ref().map(|recorded| recorded.entries.as_slice()).unwrap_or_default();
        let settled = resume::settle(&fitting.dropped, journal);
        let mut document = Vec::new();
        let digest = document::write_to(request.reviewed.as_ref().unwrap_or(safe.plan()), &mut document)?;
        let is_left = fitting.whole.is_some() && fitting.unreviewed > 0;
        let was_held =
            request.resumed.is_some() && request.reviewed.as_ref().is_some_and(left_out::held_back);
        let is_held_anew = was_held && fitting.unreviewed > 0;
        let inputs = RunInputs {
            context: self.context,
            args: self.args,
            session,
            writer,
            origins: &source.known,
            snapshot: &source.inventory.snapshot,
            set: self.set,
            is_default_set: past::is_default(self.context, &self.set.reference),
            hunting: &source.hunting,
            safe: &safe,
            document,
            digest,
            reviewed: request.reviewed.as_ref(),
            resumed: request.resumed.as_ref(),
            settled,
            owed: &fitting.owed,
            unreviewed: fitting.unreviewed,
            shown_by: fitting.shown_by,
            withheld,
            is_held_anew,
            waiting: left_out::waiting(safe.plan())
                .worst(self.waiting)
                .worst(left_out::unwritable(safe.plan(), &self.set.policy))
                .worst(if is_left || is_held_anew { Exit::Stopped } else { Exit::Success }),
        };
        let end = carry_out::carry_out(&inputs, signals).await;
        sightings::learn(self.context, session);
        let end = end?;
        past::keep_refused(&inputs, &end.run.run_id, &end.run.outcomes);
        if let Some(whole) = fitting.whole.filter(|_| is_left) {
            resuming::leave_to_review(self.context, self.args, whole.plan())?;
        }
        let plans = (safe.plan(), request.reviewed.as_ref());
        let ended = (end.exit, session.ledger.clock().now());
        tell_end(self.context, self.args, self.reports, plans, &end.run, ended)
    }

    /// Asks, and takes only a full yes.
    async fn approved(
        &self,
        session: &Session,
        safe: &SafePlan,
        signals: &mut UnboundedReceiver<()>,
    ) -> Result<bool, Failure> {
        let question = question::question(&session.reference, safe.plan().counts());
        question::approved(&self.context.console, question, signals).await
    }
}
