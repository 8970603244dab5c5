//! Writes a plan, or one wave of it: passes known facts to the run, then drives it to its end.
//!
//! Decides nothing; the module `apply` chooses the next call.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::journal::{Journal, JournalError};
use mdetag_core::apply::{Entry, Progress, Run, RunOptions};
use mdetag_core::plan::SafePlan;
use mdetag_core::time::Timestamp;

use super::drive::{DriveContext, DriveEvent, drive};
use super::lost_tags;
use super::reread::ListReader;
use super::run_inputs::RunInputs;

/// The run of a part of the plan. `journal`: the run's journal so far.
pub fn begin<'p>(
    inputs: &RunInputs<'p>,
    part: &'p SafePlan,
    journal: &[Entry],
    options: RunOptions,
    now: Timestamp,
) -> Run<'p> {
    let known = lost_tags::without_removed(&inputs.lost_tag_context(), journal);
    let mut run = Run::new(part, &known, options, now);
    inputs.tell_what_is_known(&mut run);
    run
}

/// Takes over decisions from before the first call: changes that had ended, and tags that earlier processes lost. Returns the
/// entries to journal.
pub fn take_over(inputs: &RunInputs<'_>, run: &mut Run<'_>, now: Timestamp) -> Vec<Entry> {
    let mut entries = run.settle(inputs.settled.clone(), now);
    entries.extend(lost_tags::restore(&inputs.lost_tag_context(), run, now));
    entries
}

/// Drives a run to its end, and stores its observations of the service.
///
/// # Errors
/// A journal that cannot be written: nothing is sent without it.
pub async fn write(
    inputs: &RunInputs<'_>,
    run: &mut Run<'_>,
    journal: &mut Journal,
    signals: &mut UnboundedReceiver<()>,
    watch: &mut (dyn FnMut(DriveEvent<'_>, Progress) + Send),
) -> Result<(), JournalError> {
    let session = inputs.session;
    let around = DriveContext {
        writer: Arc::new(inputs.writer.clone()),
        read_again: ListReader::new(inputs.context, session).read_again(),
        ledger: &session.ledger,
        journal,
        clock: session.ledger.clock().clone(),
        signals,
        deadline: inputs.deadline(),
        watch,
    };
    let driven = drive(run, around).await;
    session.tenant.add_sightings(run.sightings());
    driven
}
