//! Carries out a plan that the guard let pass: journal, loop, progress, outcomes.
//!
//! Decides nothing; `apply` (the room) says which call comes next.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::history_index;
use mdetag::store::journal::{self, Header, Journal};
use mdetag_core::apply::gates::KeptGates;
use mdetag_core::apply::{Outcome, Run, StopReason};
use mdetag_core::plan::PlannedWaves;
use mdetag_core::policy::claimed_patterns;
use mdetag_core::report::model::RunEnd;
use mdetag_core::time::Timestamp;

use super::ci;
use super::drive::{DriveContext, close, drive};
use super::ended_run;
use super::exit::Exit;
use super::failure::Failure;
use super::flags::resume_flags;
use super::flags::tenant_flags;
use super::lost_tags::{self, LostTags};
use super::reread;
use super::reviewed;
use super::rollout;
use super::run_display::RunDisplay;
use super::run_inputs::{ApplyEnd, RunInputs};
use super::set_names;

/// Larger runs are indexed when somebody asks for their history: the apply ends without that wait.
const MOST_INDEXED: usize = 20_000;

/// Carries out a plan to its end, to a signal, or to a limit.
///
/// # Errors
/// A journal that cannot be written: nothing is sent without it.
pub async fn carry_out(
    inputs: &RunInputs<'_>,
    mut signals: UnboundedReceiver<()>,
) -> Result<ApplyEnd, Failure> {
    let (context, session) = (inputs.context, inputs.session);
    if inputs.safe.plan().is_empty() && inputs.settled.is_empty() && inputs.resumed.is_none() {
        let exit = if inputs.withheld { Exit::Refused } else { inputs.waiting };
        let shown_by = inputs.shown_by.filter(|_| exit == Exit::Stopped);
        let tenant_flags = tenant_flags(context);
        let plan_digest = inputs.digest.clone();
        let run = RunEnd { plan_digest, shown_by, tenant_flags, exit_code: exit.code(), ..RunEnd::default() };
        return Ok(ApplyEnd { run, exit });
    }
    let clock = session.ledger.clock().clone();
    let start = clock.now();
    let run_id =
        inputs.resumed.map_or_else(|| journal::run_id(start), |recorded| recorded.header.run.clone());
    let mut journal = open_journal(inputs, &run_id, start).map_err(Failure::journal)?;
    if let Some(waves) = rollout::waves(inputs) {
        return rollout::carry_out(inputs, waves, (run_id, journal), signals).await;
    }
    let before = inputs.resumed.map(|recorded| recorded.entries.as_slice()).unwrap_or_default();
    let lost = inputs.around_lost();
    let known = lost_tags::without_removed(&lost, before);
    let mut run = Run::new(inputs.safe, &known, inputs.options(start), start);
    inputs.tell_what_is_known(&mut run);
    let mut entries = run.settle(inputs.settled.clone(), start);
    entries.extend(lost_tags::restore(&lost, &mut run, start));
    entries.extend(rollout::all_at_once(inputs, start));
    journal.append(entries).map_err(Failure::journal)?;
    let mut screen = RunDisplay::new(inputs, start);
    let around = DriveContext {
        writer: Arc::new(inputs.writer.clone()),
        read_again: reread::read_again(context, session),
        ledger: &session.ledger,
        journal: &mut journal,
        clock: clock.clone(),
        signals: &mut signals,
        deadline: inputs.deadline(),
        watch: &mut |event, progress| screen.show(event, progress),
    };
    let driven = drive(&mut run, around).await;
    session.tenant.add_sightings(run.sightings());
    screen.meter.end();
    driven
        .and_then(|()| {
            close(&run, &session.ledger, &mut journal, clock.now(), inputs.waiting == Exit::Stopped)
        })
        .map_err(Failure::journal)?;
    if inputs.safe.plan().changes.len() <= MOST_INDEXED {
        // `history` indexes it, if it could not be done here.
        let _ = history_index::read(&session.state, &run_id);
    }
    Ok(end(inputs, run_id, &run, screen, start))
}

/// The journal of a new run with its plan beside it, or the one of the run that is resumed.
fn open_journal(inputs: &RunInputs<'_>, run: &str, now: Timestamp) -> Result<Journal, journal::JournalError> {
    let plan = inputs.safe.plan();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let origin = ci::who();
    let waves = inputs.reviewed.unwrap_or(plan).rollout.as_ref().map_or(0, PlannedWaves::last);
    let header = Header {
        run: run.to_owned(),
        tool: plan.header.tool.clone(),
        tenant: text(&plan.header.tenant.id),
        cloud: text(&plan.header.tenant.cloud),
        who: origin.who,
        host: origin.host,
        job: origin.job,
        commit: plan.header.policy.commit.clone(),
        policy: plan.header.policy.digest.clone(),
        plan: inputs.digest.clone(),
        set: set_names::set_of(inputs.context, &plan.header.policy),
        files: plan.header.policy.reviewed.clone(),
        claims: claimed_patterns(&inputs.set.policy),
        raised: plan.guard.needed(&plan.state),
        allow: inputs.args.allow.clone(),
        waves,
        gates: inputs.set.policy.guard.rollout.as_ref().filter(|_| waves > 1).map(KeptGates::new),
        reverts: plan.header.reverts.clone(),
        reviewed: match inputs.resumed {
            Some(recorded) => recorded.header.reviewed,
            None => Some(inputs.reviewed.is_some()),
        },
        ..Header::default()
    };
    match inputs.resumed {
        Some(_) => Journal::resume(&inputs.session.state, &header, now),
        None => Journal::create(&inputs.session.state, &header, plan, &inputs.document, now),
    }
}

/// Outcomes, and the exit code that they mean.
fn end(
    inputs: &RunInputs<'_>,
    run_id: String,
    run: &Run<'_>,
    screen: RunDisplay<'_>,
    start: Timestamp,
) -> ApplyEnd {
    let counts = run.counts();
    let count = |outcome: Outcome| counts[outcome as usize];
    let given_up = inputs.session.ledger.with(|budget, _| run.given_up(budget));
    let bad: u64 = Outcome::ALL.into_iter().filter(|outcome| outcome.is_bad()).map(count).sum();
    let left = count(Outcome::NotAttempted);
    // Only time is missing: a resumed run finds them in the list.
    let waiting = count(Outcome::Pending) + count(Outcome::Unconfirmed);
    let is_held = inputs.waiting == Exit::Stopped && !inputs.is_held_anew;
    let mut exit = inputs.waiting;
    if inputs.withheld {
        exit = exit.worst(Exit::Refused);
    }
    if bad > 0 || left > 0 && run.stopped().is_none() {
        exit = exit.worst(Exit::Partial);
    }
    if waiting > 0 || run.stopped().is_some() && left + count(Outcome::Unknown) > 0 {
        exit = exit.worst(Exit::Stopped);
    }
    let LostTags { lost, notes: removed } = lost_tags::lost_tags(&inputs.around_lost(), &screen.repairs);
    exit = exit.worst(lost_tags::exit(&lost, run.stopped().is_some()));
    let mut notes = [ended_run::about_others(inputs.others), screen.notes, removed].concat();
    notes.extend(ended_run::was_finished(inputs.resumed, &tenant_flags(inputs.context), screen.calls));
    notes.extend(reviewed::other_names(inputs.reviewed, inputs.safe.plan()));
    notes.extend(inputs.is_held_anew.then(|| ended_run::held_anew(&tenant_flags(inputs.context))));
    for (lane, reason) in &given_up {
        // The run itself reports most lanes that it gives up.
        if !notes.iter().any(|note| note.contains(reason)) {
            notes.push(format!("the lane {} was given up: {reason}", lane.word()));
        }
    }
    let is_lost = lost.iter().any(|lost| lost.outcome != Outcome::Done);
    let has_open = is_lost || left + waiting + count(Outcome::Unknown) > 0;
    let not_before = ended_run::next_wave(inputs.others);
    let run_end = RunEnd {
        run_id,
        outcomes: run.outcomes().collect(),
        stopped: run.stopped().map(StopReason::phrase).map(|phrase| format!("it was stopped by {phrase}")),
        is_default_set: inputs.is_default_set,
        tenant_flags: tenant_flags(inputs.context),
        resume_flags: resume_flags(inputs.context, inputs.args),
        is_resumable: has_open || is_held || not_before.is_some(),
        next_plan: inputs.next_plan().filter(|_| !has_open && is_held),
        shown_by: inputs.shown_by.filter(|_| is_held || waiting > 0),
        unreviewed: inputs.unreviewed,
        plan_digest: inputs.digest.clone(),
        notes,
        lost,
        calls: screen.calls,
        seconds: screen.last.since(start).as_secs(),
        exit_code: exit.code(),
        not_before,
        halt: None,
    };
    ApplyEnd { run: run_end, exit }
}
