//! One request to apply: locks, reads, plans anew, keeps the reviewed changes, asks, and writes.
//!
//! Does not know the origin of the request: `apply` takes it from the command line, `resuming` from a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::journal::{self, RecordedRun};
use mdetag::store::path_text::shown;
use mdetag::tenant::Writer;
use mdetag_core::apply::resume;
use mdetag_core::plan::guard::{Allowance, changes_digest};
use mdetag_core::plan::replacement::Replacements;
use mdetag_core::plan::stale::{self, Dropped};
use mdetag_core::plan::{ChangeKey, Owed, Plan, SafePlan, WithheldReason, document, revert, waves};
use mdetag_core::report::escape::JsonLog;
use mdetag_core::report::model::{Input, Model, Subject};
use mdetag_core::report::notification::SummaryDocument;
use mdetag_core::report::refusal;
use mdetag_core::time::Timestamp;

use super::applied::{Applied, tell_end};
use super::args::ApplyArgs;
use super::carry_out;
use super::context::Context;
use super::ended_run::OtherRollout;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::flags;
use super::output;
use super::output::Reports;
use super::past_run;
use super::planning::{self, PolicySet};
use super::rollout;
use super::run_inputs::RunInputs;
use super::session::{Session, WritingSession};
use super::set_names;
use super::signals::StopConditions;
use super::source::{self, Source};
use super::state_store;
use super::{age, ci, ledger_text, left_out, lock, past, plan, question, reviewed, sightings, undone};

/// The changes to apply: those of a reviewed plan, or those that the policies want now.
pub struct ApplyRequest {
    /// The reviewed plan.
    pub reviewed: Option<Plan>,
    /// The run to continue.
    pub resumed: Option<RecordedRun>,
    pub paths: Vec<PathBuf>,
    /// `--or-plan`: the policies have changed since, so the plan only limits what the new one writes.
    pub is_replanned: bool,
}

/// The input of an apply.
pub struct ApplyInputs<'a> {
    pub context: &'a Context,
    pub args: &'a ApplyArgs,
    pub set: &'a PolicySet,
    /// `--allow`.
    pub allowances: &'a [Allowance],
    pub reports: &'a Reports,
    /// `--or-plan` found nothing to resume, and plans of this set are reviewed: a new one is only applied if a person says yes.
    pub is_unreviewed: bool,
    /// Other open rollouts besides the resumed run.
    pub others: &'a [OtherRollout],
}

/// The part of a request that still applies to the tenant.
struct Remaining {
    verdict: planning::Planned,
    dropped: Vec<(ChangeKey, Dropped)>,
    unreviewed: u64,
    /// The latest time by which the list shows every change that an answer confirmed.
    shown_by: Option<Timestamp>,
    /// Tags that calls of earlier runs removed by accident.
    owed: BTreeMap<ChangeKey, Owed>,
    /// The whole plan, if the reviewed one only limits what is written.
    whole: Option<Box<planning::Planned>>,
}

impl ApplyInputs<'_> {
    /// Locks, reads, plans, asks and writes.
    ///
    /// # Errors
    /// Those of [`run`].
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
        // If runs exist, something carries them from job to job.
        let is_new = || journal::runs(&session.state).is_ok_and(|runs| runs.is_empty());
        if let Some(why) = state_store::local_in_ci(self.context).filter(|_| is_new()) {
            self.context
                .console
                .complain(&format!("warning: {why}\n= help: {}\n", state_store::NAME_A_STORE));
        }
        // The previous holder of the lock may have continued the run.
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

    /// Checks the tenant, age and options of a reviewed plan.
    fn check_reviewed(
        &self,
        reviewed: &Plan,
        request: &ApplyRequest,
        session: &Session,
    ) -> Result<(), Failure> {
        reviewed::same_tenant(reviewed, session)?;
        if request.is_replanned {
            return Ok(());
        }
        age::check(reviewed, request.resumed.as_ref(), self.args, self.context.clock.now())?;
        reviewed::same_options(self.context, reviewed)?;
        if reviewed.header.options.profile != self.context.options().profile {
            self.context.console.say(
                "note: the plan was made with another service profile: its changes are planned again with the one at hand",
            );
        }
        Ok(())
    }

    /// Reads the inventory again, from the tenant (or, for a sandbox, from the given file).
    async fn read(&self, session: Session) -> Result<Source, Failure> {
        source::of_session(self.context, Some(self.set), session).await
    }

    /// Plans anew, and keeps the reviewed changes of the plan.
    fn fit(&self, source: &Source, request: &ApplyRequest) -> Result<Remaining, Failure> {
        let resumed = request.resumed.as_ref().map(|recorded| &*recorded.header.run);
        let (context, retry) = (self.context, self.args.retry_contested);
        let after_revert = self.args.after_revert
            || request.reviewed.as_ref().is_some_and(|reviewed| reviewed.header.reverts.is_some());
        let asked = past::HistoryOverrides { retry_contested: retry, after_revert, resumed };
        let mut history = past::history(context, source, &self.set.reference, asked)?;
        let owed = history.lost.clone();
        // The resumed run puts back its own lost tags.
        history.lost.retain(|_, owed| resumed != Some(&*owed.run));
        let with = source.plan_inputs(self.context, &history, self.allowances);
        let mut fresh = planning::fresh(self.set, &source.inventory, &with)?;
        fresh.plan.measures.changed_back = past::changed_back(context, source, &fresh.plan, &history);
        let (mut dropped, mut unreviewed) = (Vec::new(), 0);
        // The review and the resumed run limit what is written; the next review sees everything.
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
                    let ran = past_run::run(state, run)?;
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
        let verdict = planning::guarded(self.set, fresh, self.allowances);
        // What a run did can be undone whatever is found today.
        if verdict.plan().header.reverts.is_none() {
            planning::deny(self.set, verdict.plan(), with.lints)?;
        }
        Ok(Remaining { verdict, dropped, unreviewed, shown_by: history.shown_by, owed, whole })
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
            leave_to_review(self.context, self.args, safe.plan())?;
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
        let mut document = JsonLog::new(Vec::new());
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
            is_default_set: set_names::is_default(self.context, &self.set.reference),
            hunting: &source.hunting,
            safe: &safe,
            document: document.into_inner(),
            digest,
            reviewed: request.reviewed.as_ref(),
            resumed: request.resumed.as_ref(),
            settled,
            owed: &fitting.owed,
            unreviewed: fitting.unreviewed,
            shown_by: fitting.shown_by,
            withheld,
            is_held_anew,
            others: self.others,
            waiting: left_out::waiting(safe.plan())
                .worst(self.others.iter().fold(Exit::Success, |exit, other| exit.worst(other.exit)))
                .worst(left_out::unwritable(safe.plan(), &self.set.policy))
                .worst(if is_left || is_held_anew { Exit::Stopped } else { Exit::Success }),
        };
        let end = carry_out::carry_out(&inputs, signals).await;
        sightings::learn(self.context, session);
        let end = end?;
        past::keep_refused(&inputs, &end.run.run_id, &end.run.outcomes);
        if let Some(whole) = fitting.whole.filter(|_| is_left) {
            leave_to_review(self.context, self.args, whole.plan())?;
        }
        let plans = (safe.plan(), request.reviewed.as_ref());
        let ended = (end.exit, session.ledger.clock().now());
        tell_end(self.context, self.args, self.reports, plans, &end.run, ended)
    }

    /// Asks, and accepts only a full yes.
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

/// Saves a plan that nobody has reviewed, instead of applying it.
///
/// # Errors
/// A file that cannot be written.
fn leave_to_review(context: &Context, args: &ApplyArgs, plan: &Plan) -> Result<(), Failure> {
    let Some(path) = &args.output else {
        context.console.say("the new plan was not reviewed, so it is not applied; save it with -o FILE");
        return Ok(());
    };
    let path = output::named(context, path)?;
    output::save_plan(&path, plan)?;
    let (path, flags) = (shown(&path), flags::tenant_flags(context));
    context.console.say(&format!(
        "the new plan was not reviewed, so it is not applied: it is in {path}; apply it with `mdetag apply {path}{flags}`"
    ));
    Ok(())
}
