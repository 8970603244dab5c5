//! The end of an apply, its report, and when it may continue.
//!
//! Decides nothing; exit codes come from `carry_out` and `rollout`.

use mdetag_core::apply::StopReason;
use mdetag_core::plan::Plan;
use mdetag_core::report::model::{Input, Model, RunEnd, Subject};
use mdetag_core::report::notification::SummaryDocument;
use mdetag_core::time::Timestamp;

use super::args::ApplyArgs;
use super::ci;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::next_wave::{self, NextWave};
use super::output::Reports;
use super::rollout;

/// The end of an apply, and when it may continue.
pub struct Applied {
    pub exit: Exit,
    /// The next wave of the run, if one waits.
    pub next: Option<NextWave>,
    /// The report that was held back because the command waits for that wave.
    pub untold: Option<Box<LastWave>>,
    /// The message for the webhook; `None` if a person declined, or if there was nothing to resume.
    pub summary: Option<Box<SummaryDocument>>,
}

impl From<Exit> for Applied {
    fn from(exit: Exit) -> Applied {
        Applied { exit, next: None, untold: None, summary: None }
    }
}

/// The state of a run whose next wave waits. Only reported if no later wave replaces it.
pub struct LastWave {
    /// The plan of the remaining changes.
    plan: Plan,
    reviewed: Option<Plan>,
    end: RunEnd,
    /// The exit code for the shell.
    exit: Exit,
}

impl LastWave {
    /// Reports it as the end of a command that was stopped before the next wave.
    ///
    /// # Errors
    /// A report that cannot be written.
    pub fn report(
        mut self,
        context: &Context,
        args: &ApplyArgs,
        stopped: StopReason,
    ) -> Result<Applied, Failure> {
        let exit = self.exit.worst(Exit::Stopped);
        let waits = self.end.not_before.map(|moment| format!(", which may start at {}", moment.rounded_up()));
        let waits = waits.unwrap_or_default();
        self.end.stopped =
            Some(format!("it was stopped by {} before the next wave{waits}", stopped.phrase()));
        self.end.exit_code = exit.code();
        let reports = Reports::new(context, &args.report)?;
        let summary = report(context, args, &reports, (&self.plan, self.reviewed.as_ref()), &self.end)?;
        Ok(Applied { summary: Some(Box::new(summary)), ..exit.into() })
    }
}

/// Writes the report at the end of a run. `now` is the service's time.
///
/// # Errors
/// A report that cannot be written.
pub fn tell_end(
    context: &Context,
    args: &ApplyArgs,
    reports: &Reports,
    (plan, reviewed): (&Plan, Option<&Plan>),
    end: &RunEnd,
    (exit, now): (Exit, Timestamp),
) -> Result<Applied, Failure> {
    // Of another run's wave it is the time only where nothing else is left to do.
    let not_before = end.not_before.filter(|_| end.next_run.is_none() || exit == Exit::Waiting);
    let run = end.next_run.as_ref().unwrap_or(&end.run_id);
    let next = not_before.map(|not_before| NextWave::new(context, run, not_before, now));
    if next.as_ref().is_some_and(|next| next_wave::waits_for(context, args, next)) {
        // The report is of the last wave, because a command prints one document.
        let last = LastWave { plan: plan.clone(), reviewed: reviewed.cloned(), end: end.clone(), exit };
        return Ok(Applied { exit, next, untold: Some(Box::new(last)), summary: None });
    }
    let summary = report(context, args, reports, (plan, reviewed), end)?;
    Ok(Applied { exit, next, untold: None, summary: Some(Box::new(summary)) })
}

/// Writes the report, and returns the message for the webhook.
///
/// # Errors
/// A report that cannot be written.
fn report(
    context: &Context,
    args: &ApplyArgs,
    reports: &Reports,
    (plan, reviewed): (&Plan, Option<&Plan>),
    end: &RunEnd,
) -> Result<SummaryDocument, Failure> {
    let notices: Vec<String> = rollout::notice(args).into_iter().collect();
    let comment_of = context.comment_of();
    let mut input = Input::new(Subject::Applied, plan);
    input.comment_of = Some(&comment_of);
    (input.run, input.reviewed, input.notices) = (Some(end), reviewed, &notices);
    input.repository = context.settings.repository_url.as_deref();
    let model = Model::new(input);
    ci::report(args.report.ci, &model, &context.console)?;
    reports.write_end(&model, &context.console)?;
    Ok(SummaryDocument::of_run(&model))
}
