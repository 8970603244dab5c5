//! The largest age of what is applied: a reviewed plan's from its creation, the rest of a run's from its last journal line.
//!
//! Does not know the content of the plan; `plan::stale` checks that the rest still fits the tenant.

use std::time::Duration;

use mdetag::store::journal::RecordedRun;
use mdetag_core::plan::Plan;
use mdetag_core::time::{Timestamp, spoken};

use super::args::ApplyArgs;
use super::failure::Failure;

/// The tolerated difference between the clocks of the planning computer and this one.
const CLOCK_SLACK: Duration = Duration::from_secs(300);

/// Refuses a plan from the future or one that is too old. For a resumed run the last journal line counts, because a long run may
/// outlive the age of its plan.
///
/// # Errors
/// Too old, or made in the future.
pub fn check(
    plan: &Plan,
    resumed: Option<&RecordedRun>,
    args: &ApplyArgs,
    now: Timestamp,
) -> Result<(), Failure> {
    let created = plan.header.created_at;
    if created > now.plus(CLOCK_SLACK) {
        return Err(Failure::plan(format!(
            "the plan was made at {}, which is in the future",
            created.rounded_down()
        ))
        .help("correct the clock of this computer, or of the one that planned"));
    }
    let Some(recorded) = resumed else {
        let (age, most) = (now.since(created), args.plan_max_age);
        if age <= most {
            return Ok(());
        }
        let help = format!("make a new one; plans are applied for {} (--plan-max-age)", spoken(most));
        return Err(Failure::plan(format!("the plan is {} old", spoken(age))).help(help));
    };
    let closed = recorded.closing.as_ref().map(|closing| closing.at);
    let last = recorded.entries.last().map(|entry| entry.at()).max(closed).or(recorded.started);
    let (age, most) = (now.since(last.unwrap_or(created)), args.resume_max_age);
    if age <= most {
        return Ok(());
    }
    let run = &recorded.header.run;
    Err(Failure::plan(format!("run {run} wrote its last line {} ago", spoken(age))).help(format!(
        "plan again with `mdetag plan`; runs are resumed for {} (--resume-max-age)",
        spoken(most)
    )))
}
