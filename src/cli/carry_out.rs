//! Carries out a plan that passed the guard: journal, loop, progress, outcomes.
//!
//! Decides nothing; the module `apply` chooses the next call.

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::history_index;
use mdetag::store::journal::{self, Header, Journal};
use mdetag_core::apply::gates::KeptGates;
use mdetag_core::plan::PlannedWaves;
use mdetag_core::policy::claimed_patterns;
use mdetag_core::report::model::RunEnd;
use mdetag_core::time::Timestamp;

use super::ci;
use super::drive::{DriveEvent, close};
use super::exit::Exit;
use super::failure::Failure;
use super::flags::tenant_flags;
use super::rollout;
use super::run_display::RunDisplay;
use super::run_end::{ApplyEnd, Pause, RunEnding};
use super::run_inputs::RunInputs;
use super::run_part;
use super::set_names;

/// The largest run that is indexed at once. Larger ones are indexed when somebody asks for their history, so that the apply ends
/// sooner.
const MOST_INDEXED: usize = 20_000;

/// Carries out a plan to its end, a signal, or a limit.
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
    let mut run = run_part::begin(inputs, inputs.safe, before, inputs.options(start), start);
    let mut entries = run_part::take_over(inputs, &mut run, start);
    entries.extend(rollout::all_at_once(inputs, start));
    journal.append(entries).map_err(Failure::journal)?;
    let mut screen = RunDisplay::new(inputs, start);
    let mut watch = |event: DriveEvent<'_>, progress| screen.show(event, progress);
    let written = run_part::write(inputs, &mut run, &mut journal, &mut signals, &mut watch).await;
    screen.meter.end();
    let waits = inputs.waiting == Exit::Stopped;
    written
        .and_then(|()| close(&run, &session.ledger, &mut journal, clock.now(), waits))
        .map_err(Failure::journal)?;
    if inputs.safe.plan().changes.len() <= MOST_INDEXED {
        // `history` indexes it later if this fails.
        let _ = history_index::read(&session.state, &run_id);
    }
    let ending = RunEnding {
        run_id,
        outcomes: run.outcomes().collect(),
        pause: Pause { stopped: run.stopped(), ..Pause::default() },
        given_up: session.ledger.with(|budget, _| run.given_up(budget)),
        notes: Vec::new(),
    };
    Ok(ending.judge(inputs, screen, start))
}

/// The journal of a new run with its plan beside it, or that of the resumed run.
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
