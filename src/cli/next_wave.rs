//! A rollout between two waves: when the next may start, what an earlier resume reports, and `--wait`.
//!
//! Reads no inventory and writes nothing.

use std::time::Duration;

use mdetag::store::journal::RecordedRun;
use mdetag_core::apply::gates::KeptGates;
use mdetag_core::apply::waves::{WaveStep, Waves};
use mdetag_core::plan::Plan;
use mdetag_core::report::model::RunEnd;
use mdetag_core::time::{Timestamp, spoken};

use super::args::ApplyArgs;
use super::context::Context;
use super::ended_run::{self, OtherRollout};
use super::exit::Exit;
use super::failure::Failure;
use super::flags;
use super::open_rollouts;
use super::planning::PolicySet;
use super::rollout;
use super::run_end::wait_sentence;
use super::session::Session;
use super::set_names;
use super::signals;

/// The longest time without a message during a wait.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// The shortest wait, because each early return costs a sign-in.
const SHORTEST: Duration = Duration::from_secs(1);

/// When a run's next wave may start.
#[derive(Clone, Debug)]
pub struct NextWave {
    pub run: String,
    /// The earliest start by the service's clock.
    pub not_before: Timestamp,
    /// The same moment by this computer's clock, which may differ.
    until: Timestamp,
}

impl NextWave {
    /// The next wave of a run. `now` is the service's time.
    pub fn new(context: &Context, run: &str, not_before: Timestamp, now: Timestamp) -> NextWave {
        let until = context.clock.now().plus(not_before.since(now).max(SHORTEST));
        NextWave { run: run.to_owned(), not_before, until }
    }
}

/// Whether `--wait` reaches the next wave within the time limit.
pub fn waits_for(context: &Context, args: &ApplyArgs, next: &NextWave) -> bool {
    let deadline = args.max_duration.map(|span| context.started.plus(span));
    args.wait && deadline.is_none_or(|deadline| deadline >= next.until)
}

/// Sleeps until a wave may start; returns whether it may before the time limit.
///
/// # Errors
/// A signal.
pub async fn wait_for(context: &Context, args: &ApplyArgs, next: &NextWave) -> Result<bool, Failure> {
    if !waits_for(context, args, next) {
        return Ok(false);
    }
    let mut signals = signals::listen(context);
    loop {
        let now = context.clock.now();
        if now >= next.until {
            return Ok(true);
        }
        let left = next.until.since(now);
        let (spoken, until) = (spoken(left), next.not_before.rounded_up());
        context
            .console
            .say(&format!("waiting {spoken} for the next wave of run {}, until {until}", next.run));
        tokio::select! {
            () = tokio::time::sleep(left.min(TOLD_EVERY)) => {}
            Some(()) = signals.recv() => return Err(Failure::stopped()),
        }
    }
}

/// Why a resumed run may not read or write now: its next wave waits (then with a report), or somebody ended the rollout.
///
/// # Errors
/// A rollout that was ended; `--next-wave` without waves.
pub fn held_back(
    context: &Context,
    args: &ApplyArgs,
    set: &PolicySet,
    (reviewed, recorded, others): (&Plan, &RecordedRun, &[OtherRollout]),
    session: &Session,
) -> Result<Option<(RunEnd, Exit)>, Failure> {
    let run = &recorded.header.run;
    let at_hand = set.policy.guard.rollout.as_ref().map(KeptGates::new);
    let kept = recorded.header.gates.clone().or(at_hand);
    let gates = kept.map(|kept| rollout::gates(context, session, &kept));
    let waves =
        gates.and_then(|gates| Waves::new(reviewed, &later(reviewed, recorded), gates, &recorded.entries));
    let Some(waves) = waves else {
        let message = format!("run {run} has no waves");
        return if args.next_wave { Err(Failure::usage(message)) } else { Ok(None) };
    };
    match waves.next(session.ledger.clock().now()) {
        WaveStep::Closed(reason) => {
            let flags = flags::tenant_flags(context);
            Err(Failure::usage(format!("the rollout of run {run} was ended: {reason}"))
                .help(format!("nothing was written; plan again with `mdetag plan{flags}`")))
        }
        WaveStep::WaitUntil(moment) if !args.next_wave => {
            let end = waiting((context, args, set), (run, &recorded.header.plan), &waves, moment);
            Ok(Some(beside(end, others)))
        }
        _ => Ok(None),
    }
}

/// The plan's changes in the waves that were not started: all that a run can know of its rest without a read.
fn later(reviewed: &Plan, recorded: &RecordedRun) -> Plan {
    let current = open_rollouts::progress(recorded).current;
    let of = reviewed.rollout.iter().flat_map(|waves| &waves.of);
    let changes = reviewed.changes.iter().zip(of).filter(|(_, wave)| **wave > current);
    Plan {
        tags: reviewed.tags.clone(),
        changes: changes.map(|(change, _)| change.clone()).collect(),
        ..Plan::default()
    }
}

/// The report of a run that must wait for its next wave, without any read.
fn waiting(
    (context, args, set): (&Context, &ApplyArgs, &PolicySet),
    (run_id, digest): (&str, &str),
    waves: &Waves<'_>,
    moment: Timestamp,
) -> RunEnd {
    let outcomes = waves.outcomes();
    let bad = outcomes.iter().filter(|ended| ended.outcome.is_bad()).count() as u64;
    RunEnd {
        run_id: run_id.to_owned(),
        plan_digest: digest.to_owned(),
        stopped: Some(wait_sentence(moment, bad)),
        outcomes,
        is_default_set: set_names::is_default(context, &set.reference),
        tenant_flags: flags::tenant_flags(context),
        resume_flags: flags::resume_flags(context, args),
        is_resumable: true,
        not_before: Some(moment),
        ..RunEnd::default()
    }
}

/// The same beside other rollouts: what is said of them, and how the command ends because of them.
fn beside(end: RunEnd, others: &[OtherRollout]) -> (RunEnd, Exit) {
    let exit = others.iter().fold(Exit::Waiting, |exit, other| exit.worst(other.exit));
    let (not_before, next_run) = ended_run::first_wave(end.not_before, others);
    let notes = ended_run::about_others(others);
    (RunEnd { notes, not_before, next_run, exit_code: exit.code(), ..end }, exit)
}
