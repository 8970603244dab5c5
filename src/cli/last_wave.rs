//! The report of the last wave while the command waits for the next one: told only where no later wave takes its place.
//!
//! Decides nothing; how the wave ended is `rollout`'s.

use mdetag_core::apply::StopReason;
use mdetag_core::plan::Plan;
use mdetag_core::report::model::RunEnd;

use super::applied::{Applied, report};
use super::args::ApplyArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Reports;

/// How a run stands while its next wave waits.
pub struct LastWave {
    /// The plan of what was left.
    pub plan: Plan,
    /// The reviewed plan.
    pub reviewed: Option<Plan>,
    /// How it ended.
    pub end: RunEnd,
    /// The same for the shell.
    pub exit: Exit,
}

impl LastWave {
    /// Tells it as the end of a command that was stopped before the next wave.
    ///
    /// # Errors
    /// A report that cannot be written.
    pub fn tell(
        mut self,
        context: &Context,
        args: &ApplyArgs,
        stopped: StopReason,
    ) -> Result<Applied, Failure> {
        let exit = self.exit.worst(Exit::Stopped);
        let waits = self.end.not_before.map(|moment| format!(", which may start at {moment}"));
        let waits = waits.unwrap_or_default();
        self.end.stopped =
            Some(format!("it was stopped by {} before the next wave{waits}", stopped.phrase()));
        self.end.exit_code = exit.code();
        let reports = Reports::new(context, &args.report)?;
        let summary = report(context, args, &reports, (&self.plan, self.reviewed.as_ref()), &self.end)?;
        Ok(Applied { summary: Some(Box::new(summary)), ..exit.into() })
    }
}
