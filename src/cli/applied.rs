//! How an apply ended, its report, and when it may go on.
//!
//! Decides nothing; exit codes come from `carry_out` and `rollout`.

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

/// How an apply ended, and when it may go on.
pub struct Applied {
    /// For the shell.
    pub exit: Exit,
    /// The next wave of the run, where one waits.
    pub next: Option<NextWave>,
    /// What a webhook is told; none where a person said no, or nothing was to be resumed.
    pub summary: Option<Box<SummaryDocument>>,
}

impl From<Exit> for Applied {
    fn from(exit: Exit) -> Applied {
        Applied { exit, next: None, summary: None }
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
    let next = end.not_before.map(|not_before| NextWave::new(context, &end.run_id, not_before, now));
    if next.as_ref().is_some_and(|next| next_wave::waits_for(context, args, next)) {
        // The report is that of the last wave: a command prints one document.
        return Ok(Applied { exit, next, summary: None });
    }
    let notices: Vec<String> = rollout::notice(args).into_iter().collect();
    let mut input = Input::new(Subject::Applied, plan);
    (input.run, input.reviewed, input.notices) = (Some(end), reviewed, &notices);
    input.repository = context.settings.repository_url.as_deref();
    let model = Model::new(input);
    ci::report(args.report.ci, &model, &context.console)?;
    reports.write_end(&model, &context.console)?;
    Ok(Applied { exit, next, summary: Some(Box::new(SummaryDocument::of_run(&model))) })
}
