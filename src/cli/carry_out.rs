//! Carries out a plan that the guard let pass: journal, loop, progress, outcomes.
//!
//! Decides nothing; `apply` (the room) says which call comes next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::history_index;
use mdetag::store::journal::{self, Header, Journal, RecordedRun};
use mdetag::tenant::{ReadDevices, ReadScope, ReadWatch, Writer};
use mdetag_core::apply::gates::KeptGates;
use mdetag_core::apply::{
    ChangeOutcome, DeviceState, Entry, Origins, Outcome, Progress, Run, RunOptions, StopReason,
};
use mdetag_core::device::Field;
use mdetag_core::inventory::{Row, Snapshot};
use mdetag_core::plan::{ChangeKey, Lane, Owed, Plan, PlannedWaves, SafePlan};
use mdetag_core::policy::claimed_patterns;
use mdetag_core::probe::Question;
use mdetag_core::report::model::RunEnd;
use mdetag_core::report::progress::{self, Applying};
use mdetag_core::selection::HuntingResults;
use mdetag_core::time::{Clock, Timestamp};

use super::args::ApplyArgs;
use super::ci;
use super::context::Context;
use super::drive::{DriveContext, DriveEvent, ReadAgain, Reread, close, drive};
use super::ended_run;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::lost_tags::{self, LostTags};
use super::past;
use super::planning::PolicySet;
use super::progress::{Meter, Reading};
use super::rollout;
use super::session::Session;

/// Larger runs are indexed when somebody asks for their history: the apply ends without that wait.
const MOST_INDEXED: usize = 20_000;

/// What is to be carried out, and with what.
pub struct RunInputs<'a> {
    pub context: &'a Context,
    pub args: &'a ApplyArgs,
    pub session: &'a Session,
    pub writer: Writer,
    /// Where tags come from, as far as hunting told.
    pub origins: &'a Origins,
    /// The devices as they were read.
    pub snapshot: &'a Snapshot,
    pub set: &'a PolicySet,
    /// Whether it is the one that commands take which name none.
    pub is_default_set: bool,
    /// Results of its hunting queries.
    pub hunting: &'a HuntingResults,
    pub safe: &'a SafePlan,
    /// The plan file that is kept beside the journal: the reviewed plan, where there is one.
    pub document: Vec<u8>,
    pub digest: String,
    pub reviewed: Option<&'a Plan>,
    /// The run that is resumed.
    pub resumed: Option<&'a RecordedRun>,
    /// Changes that ended before the run: stale, noop, withheld.
    pub settled: Vec<ChangeOutcome>,
    /// Tags that calls of earlier runs took along, this one's among them where it goes on.
    pub owed: &'a BTreeMap<ChangeKey, Owed>,
    /// Changes that are wanted and were not reviewed.
    pub unreviewed: u64,
    /// Whether an untrusted inventory left something out.
    pub withheld: bool,
    /// Whether removals that the resumed run held back are wanted now: only a new plan says which.
    pub is_held_anew: bool,
    /// How it ends because of removals that wait for an addition.
    pub waiting: Exit,
    /// When the list shows every change that an answer confirmed, at the latest; none where it shows all.
    pub shown_by: Option<Timestamp>,
}

pub struct ApplyEnd {
    pub run: RunEnd,
    pub exit: Exit,
}

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
    let mut journal = open_journal(inputs, &run_id, start).map_err(unusable)?;
    if let Some(waves) = rollout::waves(inputs) {
        return rollout::carry_out(inputs, waves, (run_id, journal), signals).await;
    }
    let before = inputs.resumed.map(|recorded| recorded.entries.as_slice()).unwrap_or_default();
    let lost = rollout::around_lost(inputs);
    let known = lost_tags::without_removed(&lost, before);
    let mut run = Run::new(inputs.safe, &known, options(inputs, start), start);
    tell_what_is_known(inputs, &mut run);
    let mut entries = run.settle(inputs.settled.clone(), start);
    entries.extend(lost_tags::restore(&lost, &mut run, start));
    entries.extend(rollout::all_at_once(inputs, start));
    journal.append(entries).map_err(unusable)?;
    let mut screen = RunDisplay::new(inputs, start);
    let around = DriveContext {
        writer: Arc::new(inputs.writer.clone()),
        read_again: read_again(context, session),
        ledger: &session.ledger,
        journal: &mut journal,
        clock: clock.clone(),
        signals: &mut signals,
        deadline: deadline(inputs),
        watch: &mut |event, progress| screen.show(event, progress),
    };
    let driven = drive(&mut run, around).await;
    session.tenant.add_sightings(run.sightings());
    screen.meter.end();
    driven
        .and_then(|()| {
            close(&run, &session.ledger, &mut journal, clock.now(), inputs.waiting == Exit::Stopped)
        })
        .map_err(unusable)?;
    if inputs.safe.plan().changes.len() <= MOST_INDEXED {
        // `history` indexes it, if it could not be done here.
        let _ = history_index::read(&session.state, &run_id);
    }
    Ok(end(inputs, run_id, &run, screen, start))
}

/// What is known beside the plan: where tags come from, and which devices are onboarded.
pub fn tell_what_is_known<'a>(inputs: &RunInputs<'a>, run: &mut Run<'a>) {
    let onboarding = |id: &str| {
        let row = inputs.snapshot.find(id)?;
        inputs.snapshot.text(Field::OnboardingStatus, row)
    };
    run.know_origins(inputs.origins);
    run.know_onboarded(&|id| onboarding(id).is_some_and(|status| status == "Onboarded"));
}

/// `--max-duration` as a moment of the ledger's clock.
pub fn deadline(inputs: &RunInputs<'_>) -> Option<Timestamp> {
    let (context, clock) = (inputs.context, inputs.session.ledger.clock());
    let spent = context.clock.now().since(context.started);
    inputs.args.max_duration.map(|span| clock.now().plus(span.saturating_sub(spent)))
}

/// A journal that cannot be written. Where the lease was lost, another process goes on.
pub fn unusable(error: journal::JournalError) -> Failure {
    let mut failure = Failure::file(chain(&error));
    if matches!(error, journal::JournalError::LeaseLost { .. }) {
        failure.exit = Exit::Stopped;
    }
    failure
}

pub fn options(inputs: &RunInputs<'_>, now: Timestamp) -> RunOptions {
    let (settings, session) = (&inputs.context.settings, inputs.session);
    RunOptions {
        concurrency: settings.budget.concurrency as usize,
        settle: session.scaled(settings.writes.settle),
        visibility: session.scaled(settings.writes.visibility),
        max_calls: inputs.args.max_calls,
        names_unknown: inputs.context.service.verdict(Question::UnknownId) == Some("refusedNamed"),
        seed: now.ticks() as u64 ^ u64::from(std::process::id()),
    }
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
        set: past::set_of(inputs.context, &plan.header.policy),
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

/// A run that held removals back is over only once a later one has written them.
fn held_anew(context: &Context) -> String {
    format!("what the run held back waits no longer: mdetag apply{} plans it anew", tenant_flags(context))
}

/// A device as a snapshot has it.
pub fn state_of(snapshot: &Snapshot, id: &str) -> Option<DeviceState> {
    let row: Row = snapshot.find(id)?;
    Some(DeviceState {
        id: snapshot.id(row).into(),
        tags: snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag).into()).collect(),
        value: snapshot.value(row).map(Into::into),
    })
}

/// Reads the whole list again, within the budget.
pub fn read_again(context: &Context, session: &Session) -> Arc<ReadAgain> {
    // The bar of the run is still there: lines of the read stand above it, and no second bar is drawn.
    let mut context = context.clone();
    context.console.lines |= context.console.bars;
    context.console.bars = false;
    let (tenant, ledger, known) = (session.tenant.clone(), session.ledger.clone(), session.known.clone());
    Arc::new(move || {
        let (reader, console) = (tenant.reader(), context.console.clone());
        let reading = Reading::start(&context, &ledger);
        let scope = ReadScope { service: known.clone(), ..ReadScope::default() };
        Box::pin(async move {
            tracing::info!("reading the list again");
            let quiet = |_: &mdetag::tenant::ReadProgress| {};
            let watch = ReadWatch { meter: &reading, progress: &quiet, pages: None };
            let read = reader.read(&scope, watch).await;
            let (snapshot, trust) = read.map_err(|error| error.to_string())?;
            if !trust.is_trusted() {
                console.say(&format!("the second read is untrusted: {}", trust.sentences().join("; ")));
            }
            let is_trusted = trust.is_trusted();
            Ok(Reread { observed: Box::new(move |id| state_of(&snapshot, id)), is_trusted })
        })
    })
}

/// What is shown of a run while it runs.
pub struct RunDisplay<'a> {
    pub meter: Meter,
    session: &'a Session,
    /// Calls that are left of the schedule, by lane. A fallback moves calls to a lane that the schedule does not have.
    lanes: Vec<(Lane, u64)>,
    clock: Arc<dyn Clock>,
    failed: u64,
    pub notes: Vec<String>,
    sent: std::collections::VecDeque<Timestamp>,
    /// Tags that calls removed by mistake, and whether they are back.
    pub repairs: Vec<Entry>,
    pub calls: u64,
    /// When the last answer came.
    pub last: Timestamp,
    /// When the last call may start, as far as the limits go, and when that was worked out.
    least: Option<(Timestamp, Timestamp)>,
}

impl<'a> RunDisplay<'a> {
    pub fn new(inputs: &RunInputs<'a>, start: Timestamp) -> RunDisplay<'a> {
        let plan = inputs.safe.plan();
        let (additions, removals, values) = plan.counts();
        RunDisplay {
            meter: Meter::start(&inputs.context.console, additions + removals + values),
            session: inputs.session,
            lanes: plan.schedule.lanes.iter().map(|cost| (cost.lane, cost.calls)).collect(),
            clock: inputs.session.ledger.clock().clone(),
            failed: 0,
            notes: Vec::new(),
            repairs: Vec::new(),
            sent: std::collections::VecDeque::new(),
            calls: 0,
            last: start,
            least: None,
        }
    }

    pub fn show(&mut self, event: DriveEvent<'_>, progress: Progress) {
        let now = self.clock.now();
        let mut wait = None;
        match event {
            DriveEvent::Entry(entry) => self.take(entry, now),
            DriveEvent::Waiting(until) => wait = until.map(|until| until.since(now)),
        }
        if let Some(left) = wait {
            self.meter.wait(left, || self.reason(now.plus(left), now));
        }
        let minute = self.session.scaled(Duration::from_secs(60));
        while self.sent.front().is_some_and(|sent| now.since(*sent) >= minute) {
            self.sent.pop_front();
        }
        let least = self.least(now);
        let (session, lanes) = (self.session, &self.lanes);
        let (per_minute, failed) = (self.sent.len() as u64, self.failed);
        self.meter.show(progress.ended, || {
            let left = session.ledger.with(|budget, now| {
                let of_lane = |(lane, _): &(Lane, u64)| budget.left(*lane, now);
                lanes.iter().map(of_lane).map(|(left, of)| (u64::from(left), u64::from(of))).min()
            });
            progress::applying(&Applying {
                ended: progress.ended,
                changes: progress.changes,
                failed,
                per_minute,
                left,
                wait,
                least,
            })
        });
    }

    /// What the run waits for until a moment.
    fn reason(&self, until: Timestamp, now: Timestamp) -> String {
        let wait = self.session.ledger.with(|budget, now| {
            let waits = Lane::ALL.into_iter().filter_map(|lane| budget.wait(lane, now));
            waits.into_iter().find(|wait| now.plus(wait.span) == until)
        });
        match wait {
            Some(wait) => progress::waiting(&wait, now),
            None => {
                progress::waiting_for(until.since(now), "a call is tried again, or the list read again", now)
            }
        }
    }

    /// The least time until the last call may start. Worked out once a second: it walks over every call that is left.
    fn least(&mut self, now: Timestamp) -> Option<Duration> {
        let is_stale = self.least.is_none_or(|(_, at)| now.since(at) >= Duration::from_secs(1));
        if is_stale {
            let lanes = &self.lanes;
            let end = self.session.ledger.with(|budget, now| {
                lanes.iter().map(|(lane, calls)| budget.earliest(*lane, *calls, now)).max()
            });
            self.least = end.map(|end| (end, now));
        }
        self.least.map(|(end, _)| end.since(now))
    }

    fn take(&mut self, entry: &Entry, now: Timestamp) {
        self.failed += entry.ended().iter().filter(|ended| ended.outcome.is_bad()).count() as u64;
        match entry {
            Entry::Intent { request, .. } => {
                self.sent.push_back(now);
                self.calls += 1;
                if let Some((_, left)) = self.lanes.iter_mut().find(|(lane, _)| *lane == request.lane()) {
                    *left = left.saturating_sub(1);
                }
            }
            Entry::Reply { .. } => self.last = now,
            Entry::Note { text, .. } => {
                self.meter.say(text);
                self.notes.push(text.clone());
            }
            Entry::Repair { .. } => self.repairs.push(entry.clone()),
            Entry::Wave { .. } | Entry::Ended { .. } | Entry::Canary { .. } => {}
        }
    }
}

/// Which tenant the command line named, as flags.
pub fn tenant_flags(context: &Context) -> String {
    let global = &context.global;
    let mut flags = String::new();
    if let Some(tenant) = &global.tenant {
        flags.push_str(&format!(" --tenant {}", quoted(tenant)));
    }
    match global.sandbox.as_deref() {
        Some("default") => flags.push_str(" --sandbox"),
        Some(name) => flags.push_str(&format!(" --sandbox={}", quoted(name))),
        None => {}
    }
    if let Some(state) = &global.state {
        flags.push_str(&format!(" --state {}", quoted(state)));
    }
    flags
}

/// What was said on the command line that a resumed run has to hear again. What was allowed its journal keeps.
pub fn resume_flags(context: &Context, args: &ApplyArgs) -> String {
    let mut flags = tenant_flags(context);
    if args.retry_contested {
        flags.push_str(" --retry-contested");
    }
    if args.after_revert {
        flags.push_str(" --after-revert");
    }
    if args.or_plan {
        flags.push_str(" --or-plan");
        if args.auto_approve {
            flags.push_str(" --auto-approve");
        }
        if let Some(path) = &args.output {
            flags.push_str(&format!(" -o {}", quoted(&path.to_string_lossy())));
        }
    }
    flags
}

/// A word as shells take it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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
    let LostTags { lost, notes: removed } =
        lost_tags::lost_tags(&rollout::around_lost(inputs), &screen.repairs);
    exit = exit.worst(lost_tags::exit(&lost, run.stopped().is_some()));
    let is_lost_left = lost.iter().any(|lost| lost.outcome != Outcome::Done);
    let mut notes = screen.notes;
    notes.extend(removed);
    notes.extend(ended_run::was_finished(inputs.resumed, &tenant_flags(inputs.context), screen.calls));
    notes.extend(inputs.is_held_anew.then(|| held_anew(inputs.context)));
    for (lane, reason) in &given_up {
        // The run itself reports most lanes that it gives up.
        if !notes.iter().any(|note| note.contains(reason)) {
            notes.push(format!("the lane {} was given up: {reason}", lane.word()));
        }
    }
    let run_end = RunEnd {
        run_id,
        outcomes: run.outcomes().collect(),
        stopped: run.stopped().map(StopReason::phrase).map(|phrase| format!("it was stopped by {phrase}")),
        is_default_set: inputs.is_default_set,
        tenant_flags: tenant_flags(inputs.context),
        resume_flags: resume_flags(inputs.context, inputs.args),
        is_resumable: is_lost_left || is_held || left + waiting + count(Outcome::Unknown) > 0,
        shown_by: inputs.shown_by.filter(|_| is_held || waiting > 0),
        unreviewed: inputs.unreviewed,
        plan_digest: inputs.digest.clone(),
        notes,
        lost,
        calls: screen.calls,
        seconds: screen.last.since(start).as_secs(),
        exit_code: exit.code(),
        not_before: None,
        halt: None,
    };
    ApplyEnd { run: run_end, exit }
}
