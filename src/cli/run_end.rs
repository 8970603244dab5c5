//! The end of a run, written at once or in waves: its exit code, its notes, and what a resume finds.
//!
//! Renders nothing; that is `report`.

use mdetag_core::apply::{ChangeOutcome, Halt, Outcome, StopReason};
use mdetag_core::plan::Lane;
use mdetag_core::report::model::RunEnd;
use mdetag_core::report::words::counted;
use mdetag_core::time::Timestamp;

use super::ended_run;
use super::exit::Exit;
use super::flags::{resume_flags, tenant_flags};
use super::lost_tags::{self, LostTags};
use super::reviewed;
use super::run_display::RunDisplay;
use super::run_inputs::RunInputs;

pub struct ApplyEnd {
    pub run: RunEnd,
    pub exit: Exit,
}

/// Why a run does not continue now; empty if it has ended.
#[derive(Default)]
pub struct Pause {
    pub stopped: Option<StopReason>,
    /// The earliest start of the next wave.
    pub not_before: Option<Timestamp>,
    pub halt: Option<Halt>,
}

impl Pause {
    /// `bad`: changes of the run that did not end as they should.
    fn sentence(&self, bad: u64) -> Option<String> {
        match self {
            Pause { stopped: Some(reason), .. } => Some(format!("it was stopped by {}", reason.phrase())),
            Pause { halt: Some(halt), .. } => Some(halt_sentence(halt)),
            Pause { not_before: Some(moment), .. } => Some(wait_sentence(*moment, bad)),
            _ => None,
        }
    }
}

/// The sentence about a rollout that must not continue before a moment. `bad`: changes of its waves so far that did not end as they should.
pub fn wait_sentence(not_before: Timestamp, bad: u64) -> String {
    let so_far = match bad {
        0 => "and nothing failed".to_owned(),
        _ => format!("and {} so far did not end as planned", counted(bad, "change")),
    };
    format!("the next wave waits: it may start at {}, {so_far}", not_before.rounded_up())
}

/// `wave 1 fails the gate "failed": 9 of 25 devices (at most 2 %)`.
pub fn halt_sentence(halt: &Halt) -> String {
    let bound = halt.at_most.as_ref().map_or_else(
        || "nothing shows how the wave fared".to_owned(),
        |share| format!("at most {share} may"),
    );
    let of = counted(halt.of, "device");
    format!("wave {} fails the gate `{}`: {} of {of} ({bound})", halt.wave, halt.gate.word(), halt.bad)
}

/// The results of a run.
pub struct RunEnding {
    pub run_id: String,
    /// The outcome of each change.
    pub outcomes: Vec<ChangeOutcome>,
    pub pause: Pause,
    pub given_up: Vec<(Lane, String)>,
    /// Facts about its waves.
    pub notes: Vec<String>,
}

impl RunEnding {
    /// The run in the form of reports, and its exit code.
    pub fn judge(self, inputs: &RunInputs<'_>, screen: RunDisplay<'_>, start: Timestamp) -> ApplyEnd {
        let pause = self.pause;
        let mut counts = [0_u64; Outcome::ALL.len()];
        for ended in &self.outcomes {
            counts[ended.outcome as usize] += 1;
        }
        let count = |outcome: Outcome| counts[outcome as usize];
        let bad: u64 = Outcome::ALL.into_iter().filter(|outcome| outcome.is_bad()).map(count).sum();
        let left = count(Outcome::NotAttempted);
        // Only time is missing: a resumed run finds them in the list.
        let waiting = count(Outcome::Pending) + count(Outcome::Unconfirmed);
        let is_held = inputs.waiting == Exit::Stopped && !inputs.is_held_anew;
        let is_stopped = pause.stopped.is_some();
        let mut exit = inputs.waiting;
        if inputs.withheld {
            exit = exit.worst(Exit::Refused);
        }
        if bad > 0 || pause.halt.is_some() || left > 0 && !is_stopped && pause.not_before.is_none() {
            exit = exit.worst(Exit::Partial);
        }
        if waiting > 0 || is_stopped && left + count(Outcome::Unknown) > 0 {
            exit = exit.worst(Exit::Stopped);
        }
        if pause.not_before.is_some() {
            exit = exit.worst(Exit::Waiting);
        }
        let LostTags { lost, notes: removed } =
            lost_tags::lost_tags(&inputs.lost_tag_context(), &screen.repairs);
        exit = exit.worst(lost_tags::exit(&lost, is_stopped));
        let is_lost = lost.iter().any(|lost| lost.outcome != Outcome::Done);
        let has_open = is_lost || left + waiting + count(Outcome::Unknown) > 0;
        let (not_before, next_run) = ended_run::first_wave(pause.not_before, inputs.others);
        let tenant_flags = tenant_flags(inputs.context);
        let mut notes = [ended_run::about_others(inputs.others), screen.notes, removed].concat();
        notes.extend(ended_run::was_finished(inputs.resumed, &tenant_flags, screen.calls));
        notes.extend(reviewed::other_names(inputs.reviewed, inputs.safe.plan()));
        notes.extend(self.notes);
        notes.extend(inputs.is_held_anew.then(|| ended_run::held_anew(&inputs.plan_command())));
        for (lane, reason) in &self.given_up {
            // The run itself reports most lanes that it gives up.
            if !notes.iter().any(|note| note.contains(reason)) {
                notes.push(format!("the lane {} was given up: {reason}", lane.word()));
            }
        }
        let run = RunEnd {
            run_id: self.run_id,
            outcomes: self.outcomes,
            stopped: pause.sentence(bad),
            is_default_set: inputs.is_default_set,
            tenant_flags,
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
            next_run,
            halt: pause.halt,
        };
        ApplyEnd { run, exit }
    }
}
