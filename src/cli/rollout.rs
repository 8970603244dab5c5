//! Carries out a plan in waves: each wave is a run of its own in the same journal, with gates in between.
//!
//! Decides nothing about waves; `apply::waves` does. A wait ends the command; the next one plans again.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::journal::{Closing, Journal};
use mdetag_core::apply::gates::{Gates, KeptGates};
use mdetag_core::apply::waves::{GateRead, WaveStep, Waves};
use mdetag_core::apply::{DeviceState, Entry, Outcome, RunOptions, StopReason, WaveEvent};
use mdetag_core::inventory::{DeviceSet, Snapshot, Trust};
use mdetag_core::plan::Lane;
use mdetag_core::selection;
use mdetag_core::time::Timestamp;

use super::args::ApplyArgs;
use super::context::Context;
use super::drive::DriveEvent;
use super::exit::Exit;
use super::failure::Failure;
use super::flags::tenant_flags;
use super::reread::ListReader;
use super::run_display::RunDisplay;
use super::run_end::{ApplyEnd, Pause, RunEnding, halt_sentence};
use super::run_inputs::RunInputs;
use super::run_part;
use super::session::Session;

/// The waves of the plan; `None` if it is written at once.
pub fn waves<'a>(inputs: &RunInputs<'a>) -> Option<Waves<'a>> {
    let rollout = inputs.set.policy.guard.rollout.as_ref()?;
    let whole = inputs.reviewed.unwrap_or(inputs.safe.plan());
    if inputs.args.waves.is_some() || whole.header.reverts.is_some() {
        return None;
    }
    let before = inputs.resumed.map(|recorded| recorded.entries.as_slice()).unwrap_or_default();
    let kept = inputs.resumed.and_then(|recorded| recorded.header.gates.clone());
    let gates = gates(inputs.context, inputs.session, &kept.unwrap_or_else(|| KeptGates::new(rollout)));
    let mut waves = Waves::new(whole, inputs.safe.plan(), gates, before)?;
    if !inputs.safe.plan().is_trusted() {
        waves.doubt();
    }
    Some(waves)
}

/// The gates of a rollout. Their times run as fast as the tenant's clock, which is only faster if the tenant is simulated.
pub fn gates(context: &Context, session: &Session, kept: &KeptGates) -> Gates {
    let gates = kept.gates(session.scaled(context.settings.writes.visibility));
    Gates { wait: session.scaled(gates.wait), ..gates }
}

/// A rollout in progress.
struct Rollout<'a, 'r> {
    inputs: &'r RunInputs<'a>,
    waves: Waves<'a>,
    journal: Journal,
    /// All entries of the journal.
    entries: Vec<Entry>,
    /// Devices that were certainly sick in the last read.
    ill: HashSet<Arc<str>>,
    given_up: Vec<(Lane, String)>,
    has_lost: bool,
    calls: u64,
    has_settled: bool,
}

/// Writes wave after wave until all are written, a gate fails, or the next must wait.
///
/// # Errors
/// A journal that cannot be written: nothing is sent without it.
pub async fn carry_out<'a>(
    inputs: &RunInputs<'a>,
    waves: Waves<'a>,
    (run_id, journal): (String, Journal),
    mut signals: UnboundedReceiver<()>,
) -> Result<ApplyEnd, Failure> {
    let start = inputs.session.ledger.clock().now();
    check_beginning(inputs, &waves, start)?;
    let entries = inputs.resumed.map(|recorded| recorded.entries.clone()).unwrap_or_default();
    let health = health_of(inputs, inputs.snapshot).unwrap_or_default();
    let ill = ids(inputs.snapshot, health.surely.as_ref());
    let mut rollout = Rollout {
        inputs,
        waves,
        journal,
        entries,
        ill,
        given_up: Vec::new(),
        has_lost: false,
        calls: 0,
        has_settled: false,
    };
    let mut screen = RunDisplay::new(inputs, start);
    if let Some(reason) = inputs.args.reason.clone().filter(|_| inputs.args.next_wave) {
        let said = rollout.waves.pass(reason, start);
        rollout.write(said)?;
    }
    let pause = rollout.go_on(&mut screen, &mut signals).await;
    screen.meter.end();
    let pause = pause?;
    rollout.close(&pause)?;
    Ok(rollout.end(run_id, pause).judge(inputs, screen, start))
}

/// A resumed run with an empty journal may only continue with its first wave. If that wave is already written, lines of the
/// journal are lost, and it is unknown whether a later wave is due.
fn check_beginning(inputs: &RunInputs<'_>, waves: &Waves<'_>, now: Timestamp) -> Result<(), Failure> {
    let Some(recorded) = inputs.resumed.filter(|recorded| recorded.entries.is_empty()) else {
        return Ok(());
    };
    if !matches!(waves.next(now), WaveStep::Write { wave: 2.., .. }) {
        return Ok(());
    }
    let (run, flags) = (&recorded.header.run, tenant_flags(inputs.context));
    Err(Failure::plan(format!(
        "the first wave of run {run} is written, and its journal does not say so: when its next wave is due is unknown"
    ))
    .help(format!(
        "nothing was written; restore the journal, or end the rollout: mdetag state end {run} --reason TEXT{flags}"
    )))
}

impl Rollout<'_, '_> {
    fn write(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        self.journal.append(entries.clone()).map_err(Failure::journal)?;
        self.entries.extend(entries);
        Ok(())
    }

    async fn go_on(
        &mut self,
        screen: &mut RunDisplay<'_>,
        signals: &mut UnboundedReceiver<()>,
    ) -> Result<Pause, Failure> {
        loop {
            let now = self.inputs.session.ledger.clock().now();
            match self.waves.next(now) {
                WaveStep::Write { wave, after } => {
                    let ill = &self.ill;
                    let said = self.waves.start(wave, &|id| ill.contains(id), now);
                    self.write(said)?;
                    if let Some(stopped) = self.wave(wave, after, screen, signals).await? {
                        return Ok(Pause { stopped: Some(stopped), ..Pause::default() });
                    }
                }
                // The read behind the plan is the newest one before the next wave, and it is not trusted.
                WaveStep::Inspect if !self.has_settled && !self.inputs.safe.plan().is_trusted() => {
                    self.inspect(Err("the read is untrusted".to_owned()), now)?;
                }
                WaveStep::Inspect => {
                    let list = ListReader::new(self.inputs.context, self.inputs.session);
                    let read = tokio::select! {
                        read = list.read() => read,
                        Some(()) = signals.recv() => {
                            return Ok(Pause { stopped: Some(StopReason::Signal), ..Pause::default() });
                        }
                    };
                    self.inspect(read, now)?;
                }
                WaveStep::WaitUntil(moment) => {
                    return Ok(Pause { not_before: Some(moment), ..Pause::default() });
                }
                WaveStep::Halted(halt) => return Ok(Pause { halt: Some(halt), ..Pause::default() }),
                WaveStep::Finished => {
                    let said = self.waves.finish(now);
                    self.write(said)?;
                    return Ok(Pause::default());
                }
                WaveStep::Closed(_) => return Ok(Pause::default()),
            }
        }
    }

    /// Writes the rest of some waves; returns why it stopped early, if it did.
    async fn wave(
        &mut self,
        wave: u32,
        after: u32,
        screen: &mut RunDisplay<'_>,
        signals: &mut UnboundedReceiver<()>,
    ) -> Result<Option<StopReason>, Failure> {
        let inputs = self.inputs;
        let now = inputs.session.ledger.clock().now();
        let part = inputs.safe.waves(after + 1..=wave);
        let options = inputs.options(now);
        let max_calls = options.max_calls.map(|most| most.saturating_sub(self.calls));
        let options = RunOptions { max_calls, ..options };
        let mut run = run_part::begin(inputs, &part, &self.entries, options, now);
        let said = match std::mem::replace(&mut self.has_settled, true) {
            true => Vec::new(),
            false => run_part::take_over(inputs, &mut run, now),
        };
        self.waves.learn(&said);
        self.write(said)?;
        let mut seen: Vec<Entry> = Vec::new();
        let mut watch = |event: DriveEvent<'_>, progress| {
            if let DriveEvent::Entry(entry) = event {
                seen.push(entry.clone());
            }
            screen.show(event, progress);
        };
        let written = run_part::write(inputs, &mut run, &mut self.journal, signals, &mut watch).await;
        written.map_err(Failure::journal)?;
        self.calls += run.progress().calls;
        self.given_up = inputs.session.ledger.with(|budget, _| run.given_up(budget));
        self.has_lost = run.repairs().any(|repair| repair.outcome != Outcome::Done);
        let stopped = run.stopped();
        let said = self.waves.end(&seen, stopped.is_some(), inputs.session.ledger.clock().now());
        self.entries.extend(seen);
        self.write(said)?;
        Ok(stopped)
    }

    /// Judges the last wave by a fresh read.
    fn inspect(&mut self, read: Result<(Snapshot, Trust), String>, asked: Timestamp) -> Result<(), Failure> {
        let now = self.inputs.session.ledger.clock().now();
        let judged = read.and_then(|(snapshot, trust)| {
            let health = health_of(self.inputs, &snapshot)?;
            Ok((snapshot, trust, health))
        });
        let said = match judged {
            Ok((snapshot, trust, Health { ill, surely })) => {
                let observed = |id: &str| DeviceState::in_snapshot(&snapshot, id);
                let is_ill = |id: &str| {
                    let row = snapshot.find(id);
                    ill.as_ref().is_some_and(|ill| row.is_some_and(|row| ill.contains(row)))
                };
                let is_trusted = trust.is_trusted();
                let read = GateRead { asked, is_trusted, observed: &observed, is_ill: &is_ill };
                let said = self.waves.inspect(Ok(&read), now);
                self.ill = ids(&snapshot, surely.as_ref());
                said
            }
            Err(reason) => {
                self.inputs.context.console.say(&format!("the gate saw nothing: {reason}"));
                self.waves.inspect(Err(&reason), now)
            }
        };
        self.write(said)
    }

    fn close(&mut self, pause: &Pause) -> Result<(), Failure> {
        let is_open = |outcome| matches!(outcome, Outcome::Unknown | Outcome::Pending | Outcome::Unconfirmed);
        let is_held = self.inputs.waiting == Exit::Stopped;
        let has_open = is_held || self.waves.outcomes().iter().any(|ended| is_open(ended.outcome));
        let paused = pause.stopped.is_some() || pause.not_before.is_some() || pause.halt.is_some();
        let is_complete =
            !paused && self.given_up.is_empty() && !has_open && !self.has_lost && self.waves.is_over();
        let reason = match pause {
            Pause { stopped: Some(reason), .. } => format!("stopped by {}", reason.phrase()),
            Pause { halt: Some(halt), .. } => format!("halted: {}", halt_sentence(halt)),
            Pause { not_before: Some(moment), .. } => format!("waits until {moment} for the next wave"),
            _ if is_complete => "finished".to_owned(),
            _ => "finished with work left".to_owned(),
        };
        let at = self.inputs.session.ledger.clock().now();
        self.journal.close(Closing { at, is_complete, reason }).map_err(Failure::journal)
    }

    fn end(self, run_id: String, pause: Pause) -> RunEnding {
        let notes = self.notes(&pause);
        RunEnding { run_id, outcomes: self.waves.outcomes(), pause, given_up: self.given_up, notes }
    }

    /// The progress of the waves, and the devices that failed a gate.
    fn notes(&self, pause: &Pause) -> Vec<String> {
        let whole = self.inputs.reviewed.unwrap_or(self.inputs.safe.plan());
        let waves = whole.rollout.as_ref().map_or(0, |waves| waves.last());
        let mut notes =
            vec![format!("wave {} of {waves} was the last that was started", self.waves.current())];
        if let Some(halt) = &pause.halt {
            let name = |id: &Arc<str>| {
                let place = whole.changes.binary_search_by(|change| change.id.cmp(id)).ok();
                let name = place.and_then(|place| whole.changes[place].name.clone());
                name.unwrap_or_else(|| id.clone()).to_string()
            };
            let names: Vec<String> = halt.devices.iter().map(name).collect();
            notes.push(format!("{}: {}", halt_sentence(halt), names.join(", ")));
        }
        notes
    }
}

/// `--waves all`: the entries for the journal, and the first line of every report.
pub fn all_at_once(inputs: &RunInputs<'_>, at: Timestamp) -> Vec<Entry> {
    let Some(text) = notice(inputs.args) else { return Vec::new() };
    let mut entries = vec![Entry::Note { at, text }];
    // No waves remain that could be open: a resumed run writes the rest at once too.
    if let Some(waves) = inputs.reviewed.and_then(|plan| plan.rollout.as_ref()) {
        let event = WaveEvent::Started { ill: Vec::new() };
        entries.push(Entry::Wave { at, wave: waves.last(), event });
    }
    entries
}

/// The sentence about `--waves all`.
pub fn notice(args: &ApplyArgs) -> Option<String> {
    args.waves.as_ref()?;
    let reason = args.reason.as_deref().unwrap_or_default();
    Some(format!("every wave of this plan is written at once (--waves all): {reason}"))
}

/// The devices that meet the policy's `health`, or may meet it, and those that certainly do.
fn health_of(inputs: &RunInputs<'_>, snapshot: &Snapshot) -> Result<Health, String> {
    let policy = &inputs.set.policy;
    if policy.guard.rollout.as_ref().is_none_or(|rollout| rollout.health.is_none()) {
        return Ok(Health::default());
    }
    let now = inputs.context.policy_now();
    let selected = selection::select(policy, snapshot, inputs.hunting, now);
    let first = |findings: Vec<mdetag_core::diagnostic::Diagnostic>| {
        findings.into_iter().next().map_or_else(String::new, |finding| finding.message)
    };
    let health =
        |selections: selection::Selections| Health { ill: selections.ill, surely: selections.surely_ill };
    selected.map(health).map_err(first)
}

/// Devices by the policy's `health`; nothing without that gate.
#[derive(Default)]
struct Health {
    /// After a wave these count as sick: missing evidence does, too.
    ill: Option<DeviceSet>,
    /// Before a wave only these do.
    surely: Option<DeviceSet>,
}

fn ids(snapshot: &Snapshot, devices: Option<&DeviceSet>) -> HashSet<Arc<str>> {
    devices.into_iter().flat_map(DeviceSet::iter).map(|row| snapshot.id(row).into()).collect()
}
