//! The loop of a run: several calls in flight, each journalled before it is sent, after its slot is in the ledger.
//!
//! Decides nothing: `apply` chooses the next step. This only waits, handles signals, and orders writing and sending.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use mdetag::store::journal::{Closing, Journal, JournalError};
use mdetag::store::ledger::Ledger;
use mdetag::tenant::{Pending, WriteDevices};
use mdetag_core::apply::{Call, CallId, DeviceState, Entry, Outcome, Progress, Reply, Run, Step, StopReason};
use mdetag_core::time::{Clock, Timestamp};

/// How long calls in flight may still be answered after a run is stopped.
pub const GRACE: Duration = Duration::from_secs(30);

/// The longest sleep, so that the screen shows progress, and a computer that was asleep looks at the clock again.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// The device with an id, if the list has it.
pub type Observed = Box<dyn Fn(&str) -> Option<DeviceState> + Send>;

pub struct Reread {
    pub observed: Observed,
    /// Whether a device's absence proves anything.
    pub is_trusted: bool,
}

/// Reads the list again. An error is a sentence.
pub type ReadAgain = dyn Fn() -> Pending<'static, Result<Reread, String>> + Send + Sync;

/// Reports of the loop.
#[derive(Clone, Copy, Debug)]
pub enum DriveEvent<'a> {
    /// The journal contains this entry now.
    Entry(&'a Entry),
    /// Nothing can be sent. The time is that of the next call; `None` if only replies are awaited.
    Waiting(Option<Timestamp>),
}

/// The input of the loop besides the run.
pub struct DriveContext<'a> {
    pub writer: Arc<dyn WriteDevices>,
    pub read_again: Arc<ReadAgain>,
    /// The budget, shared with other processes.
    pub ledger: &'a Ledger,
    /// Written and synced before each call.
    pub journal: &'a mut Journal,
    pub clock: Arc<dyn Clock>,
    /// One message per signal: the first stops the run, the second ends it at once.
    pub signals: &'a mut UnboundedReceiver<()>,
    /// `--max-duration`, as a moment.
    pub deadline: Option<Timestamp>,
    pub watch: &'a mut (dyn FnMut(DriveEvent<'_>, Progress) + Send),
}

/// The end of a task.
enum CallEnd {
    /// With the time of its arrival: its slot frees one window later, however busy the loop was.
    Reply(CallId, Reply, Timestamp),
    Reread(Result<Reread, String>),
}

/// Drives a run to its end. Every change then has an outcome, even if this fails.
///
/// # Errors
/// The journal cannot be written: calls in flight are abandoned, and nothing more is sent.
pub async fn drive(run: &mut Run<'_>, mut around: DriveContext<'_>) -> Result<(), JournalError> {
    let mut in_flight = CallsInFlight::default();
    let driven = drive_loop(run, &mut around, &mut in_flight).await;
    if let Err(JournalError::LeaseLost { .. }) = &driven {
        // The new holder of the lease re-reads calls without an answer; this process writes nothing more.
        run.stop(StopReason::LeaseLost);
    }
    if driven.is_err() {
        let _ = around.ledger.with(|budget, now| run.abandon(now, budget));
        let _ = around.ledger.with(|budget, now| run.next(now, budget));
    }
    if matches!(driven, Err(JournalError::LeaseLost { .. })) {
        in_flight.set.abort_all();
        return Ok(());
    }
    driven
}

/// Writes the journal's last line.
///
/// # Errors
/// The journal cannot be written.
pub fn close(
    run: &Run<'_>,
    ledger: &Ledger,
    journal: &mut Journal,
    at: Timestamp,
    waits: bool,
) -> Result<(), JournalError> {
    if run.stopped() == Some(StopReason::LeaseLost) {
        return Ok(());
    }
    let is_complete = !waits && is_complete(run, ledger);
    let reason = match run.stopped() {
        Some(reason) => format!("stopped by {}", reason.phrase()),
        None if is_complete => "finished".to_owned(),
        None => "finished with work left".to_owned(),
    };
    match journal.close(Closing { at, is_complete, reason }) {
        // Every change has ended. Only the last line is missing, and another process may have to write it.
        Err(JournalError::LeaseLost { .. }) => Ok(()),
        closed => closed,
    }
}

/// Whether a resumed run would have nothing to do.
fn is_complete(run: &Run<'_>, ledger: &Ledger) -> bool {
    let has = |outcome: Outcome| run.counts()[outcome as usize] > 0;
    let given_up = ledger.with(|budget, _| !run.given_up(budget).is_empty()) && has(Outcome::NotAttempted);
    run.stopped().is_none()
        && !given_up
        && ![Outcome::Unknown, Outcome::Pending, Outcome::Unconfirmed].into_iter().any(has)
        && run.repairs().all(|repair| repair.outcome == Outcome::Done)
}

#[derive(Default)]
struct CallsInFlight {
    set: JoinSet<CallEnd>,
    calls: HashMap<tokio::task::Id, CallId>,
}

async fn drive_loop(
    run: &mut Run<'_>,
    around: &mut DriveContext<'_>,
    in_flight: &mut CallsInFlight,
) -> Result<(), JournalError> {
    let mut grace: Option<Timestamp> = None;
    loop {
        let now = around.clock.now();
        if around.deadline.is_some_and(|deadline| now >= deadline) {
            run.stop(StopReason::Deadline);
        }
        if run.stopped().is_some() {
            let end = *grace.get_or_insert(now.plus(GRACE));
            if now >= end {
                abandon(run, around, in_flight)?;
            }
        }
        let (step, starts) = steps(run, around)?;
        for (call, request) in starts {
            let (writer, clock) = (around.writer.clone(), around.clock.clone());
            let hold = around.journal.hold();
            let task = in_flight.set.spawn(async move {
                // A process that stood still after it wrote the intent may have lost its lease meanwhile.
                let reply = match hold.map_or(Ok(()), |hold| hold.check()) {
                    Ok(()) => writer.send(&request).await,
                    Err(lost) => Reply::Lost { detail: lost.to_string(), maybe_sent: false },
                };
                CallEnd::Reply(call, reply, clock.now())
            });
            in_flight.calls.insert(task.id(), call);
        }
        let until = match step {
            Step::Finished => return Ok(()),
            Step::Verify => {
                let read_again = around.read_again.clone();
                in_flight.set.spawn(async move { CallEnd::Reread(read_again().await) });
                continue;
            }
            Step::WaitUntil(moment) => Some(moment),
            Step::AwaitReply | Step::Send(..) => None,
        };
        (around.watch)(DriveEvent::Waiting(until), run.progress());
        let limits = [until, grace, around.deadline.filter(|_| run.stopped().is_none())];
        let now = around.clock.now();
        let sleep = limits.into_iter().flatten().map(|moment| moment.since(now)).min();
        let sleep = sleep.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        tokio::select! {
            Some(ended) = in_flight.set.join_next_with_id() => {
                let mut entries = receive(run, around, in_flight, ended);
                while let Some(ended) = in_flight.set.try_join_next_with_id() {
                    entries.extend(receive(run, around, in_flight, ended));
                }
                record(run, around, entries)?;
            }
            Some(()) = around.signals.recv() => {
                if run.stopped() == Some(StopReason::Signal) {
                    abandon(run, around, in_flight)?;
                }
                run.stop(StopReason::Signal);
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Gives up waiting for calls in flight.
fn abandon(
    run: &mut Run<'_>,
    around: &mut DriveContext<'_>,
    in_flight: &mut CallsInFlight,
) -> Result<(), JournalError> {
    in_flight.set.abort_all();
    in_flight.calls.clear();
    let entries = around.ledger.with(|budget, now| run.abandon(now, budget));
    record(run, around, entries)
}

/// The calls that may start now, and what follows them. One sync writes all their intents, because on a slow disk one sync each
/// would cost more than the limits.
fn steps(
    run: &mut Run<'_>,
    around: &mut DriveContext<'_>,
) -> Result<(Step, Vec<(CallId, Call)>), JournalError> {
    let (mut entries, mut starts) = (Vec::new(), Vec::new());
    let step = loop {
        let step = around.ledger.with(|budget, now| {
            loop {
                let step = run.next(now, budget);
                entries.extend(run.drain());
                let Step::Send(call, request) = step else { return step };
                entries.push(run.intent(call, request.clone(), now));
                starts.push((call, request));
            }
        });
        // Calls that may start now must not wait for the answer of a store.
        if !starts.is_empty() || !around.ledger.reserves() {
            break step;
        }
    };
    if let Err(error) = record(run, around, entries) {
        // Without their intents in the journal the calls are not sent, so their outcome is known.
        for (call, _) in starts {
            let detail = "its intent is not in the journal".to_owned();
            let reply = Reply::Lost { detail, maybe_sent: false };
            around.ledger.with(|budget, now| run.reply(call, reply, now, budget));
        }
        return Err(error);
    }
    Ok((step, starts))
}

/// Processes the end of a task; returns the entries to journal.
fn receive(
    run: &mut Run<'_>,
    around: &DriveContext<'_>,
    in_flight: &mut CallsInFlight,
    ended: Result<(tokio::task::Id, CallEnd), tokio::task::JoinError>,
) -> Vec<Entry> {
    let ended = match ended {
        Ok((task, ended)) => {
            in_flight.calls.remove(&task);
            ended
        }
        Err(error) => match in_flight.calls.remove(&error.id()) {
            Some(call) => {
                let detail = "the call ended without an answer".to_owned();
                CallEnd::Reply(call, Reply::Lost { detail, maybe_sent: true }, around.clock.now())
            }
            None if error.is_cancelled() => return Vec::new(),
            None => CallEnd::Reread(Err("the read ended without an answer".to_owned())),
        },
    };
    match ended {
        CallEnd::Reply(call, reply, at) => around.ledger.with(|budget, _| run.reply(call, reply, at, budget)),
        CallEnd::Reread(Ok(reread)) => run.verify(&*reread.observed, reread.is_trusted, around.clock.now()),
        CallEnd::Reread(Err(reason)) => run.verify_failed(&reason, around.clock.now()),
    }
}

/// Journals entries, then shows them, so that the screen never knows more than the journal.
fn record(run: &Run<'_>, around: &mut DriveContext<'_>, entries: Vec<Entry>) -> Result<(), JournalError> {
    if entries.is_empty() {
        return Ok(());
    }
    around.journal.append(entries.clone())?;
    let progress = run.progress();
    entries.iter().for_each(|entry| (around.watch)(DriveEvent::Entry(entry), progress));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::time::Instant;

    use super::*;
    use mdetag::store::journal::{self, Header};
    use mdetag::store::state::StateDir;
    use mdetag_core::apply::RunOptions;
    use mdetag_core::apply::budget::Limits;
    use mdetag_core::device::DeviceValue;
    use mdetag_core::diagnostic::Sources;
    use mdetag_core::plan::guard::Allowance;
    use mdetag_core::plan::{Cause, CauseIndex, DeviceChange, Plan, SafePlan, ValueChange};
    use mdetag_core::policy::{Axis, Guard};

    /// Tokio's own clock, which the tests stop.
    struct PausedClock(Instant);

    impl Clock for PausedClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(1_800_000_000).plus(self.0.elapsed())
        }
    }

    /// Answers every value call after a second, and stops the run at the call with this number.
    struct Service {
        values: Mutex<Vec<Arc<str>>>,
        signals: UnboundedSender<()>,
        stop_at: usize,
        is_mute: bool,
    }

    impl WriteDevices for Service {
        fn send<'a>(&'a self, call: &'a Call) -> Pending<'a, Reply> {
            let Call::SetValue { device, value } = call else { panic!("only values are planned") };
            let count = {
                let mut values = self.values.lock().unwrap();
                values.push(device.clone());
                values.len()
            };
            if count == self.stop_at {
                self.signals.send(()).unwrap();
            }
            let (id, value) = (device.clone(), Some(value.word().into()));
            let state = DeviceState { id, tags: Vec::new(), has_tag_list: true, value };
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(if self.is_mute { 90 } else { 1 })).await;
                Reply::Answered { devices: vec![state] }
            })
        }
    }

    fn plan(devices: u32) -> SafePlan {
        let cause = CauseIndex(0);
        let changes = (0..devices).map(|number| DeviceChange {
            id: format!("{number:06}").into(),
            name: None,
            observed_tags: Box::default(),
            observed_value: None,
            add: Vec::new(),
            remove: Vec::new(),
            value: Some(ValueChange { to: DeviceValue::High, cause }),
        });
        let plan = Plan { changes: changes.collect(), causes: vec![Cause::Rule(vec![])], ..Plan::default() };
        let any = Axis::ALL.map(|axis| Allowance { axis, tag: None, max: u64::MAX });
        SafePlan::new(plan, &Guard::default(), &any, &Sources::default()).expect("everything is allowed")
    }

    struct Played {
        counts: [u64; Outcome::ALL.len()],
        sent: Vec<Arc<str>>,
        took: Duration,
    }

    async fn play(folder: &tempfile::TempDir, plan: &SafePlan, stop_at: usize, is_mute: bool) -> Played {
        let state = StateDir::new(folder.path(), "sandbox", "t").unwrap();
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
        let header = Header { run: "run".into(), ..Header::default() };
        let before = journal::read(&state, "run").map(|recorded| recorded.entries).unwrap_or_default();
        let mut journal = if before.is_empty() {
            Journal::create(&state, &header, plan.plan(), b"{}", clock.now()).unwrap()
        } else {
            Journal::resume(&state, &header, clock.now()).unwrap()
        };
        let ledger = Ledger::open(&state.ledger("app").unwrap(), Limits::default(), 1, clock.clone());
        let (sender, mut signals) = unbounded_channel();
        let service = Service { values: Mutex::default(), signals: sender, stop_at, is_mute };
        let service = Arc::new(service);
        let mut run = Run::new(plan, &before, RunOptions::default(), clock.now());
        let start = Instant::now();
        let around = DriveContext {
            writer: service.clone(),
            read_again: Arc::new(|| Box::pin(async { Err("not needed".to_owned()) })),
            ledger: &ledger,
            journal: &mut journal,
            clock: clock.clone(),
            signals: &mut signals,
            deadline: None,
            watch: &mut |_, _| {},
        };
        drive(&mut run, around).await.unwrap();
        close(&run, &ledger, &mut journal, clock.now(), false).unwrap();
        let sent = service.values.lock().unwrap().clone();
        Played { counts: run.counts(), sent, took: start.elapsed() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_keeps_the_minute_and_ends_with_every_change_done() {
        let folder = tempfile::tempdir().unwrap();
        let played = play(&folder, &plan(150), 0, false).await;
        assert_eq!(played.counts[Outcome::Done as usize], 150);
        assert!(
            played.took >= Duration::from_secs(61) && played.took < Duration::from_secs(80),
            "{:?}",
            played.took
        );
        let state = StateDir::new(folder.path(), "sandbox", "t").unwrap();
        assert!(!journal::read(&state, "run").unwrap().is_resumable());
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_lets_calls_in_flight_end_and_a_resumed_run_does_the_rest_once() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(40);
        let first = play(&folder, &plan, 12, false).await;
        let done = first.counts[Outcome::Done as usize];
        assert_eq!(done, first.sent.len() as u64, "what was in flight is confirmed");
        assert_eq!(done + first.counts[Outcome::NotAttempted as usize], 40);
        assert!(done < 40);
        let second = play(&folder, &plan, 0, false).await;
        assert_eq!(second.counts[Outcome::Done as usize], 40);
        assert_eq!(second.sent.len() as u64 + done, 40, "nothing is sent twice");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_without_an_answer_are_abandoned_after_the_grace_time() {
        let folder = tempfile::tempdir().unwrap();
        let played = play(&folder, &plan(40), 3, true).await;
        assert!(played.took <= GRACE + Duration::from_secs(1), "{:?}", played.took);
        assert_eq!(played.counts[Outcome::Unknown as usize], played.sent.len() as u64);
    }
}
