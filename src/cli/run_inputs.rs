//! The input of a run, written at once or in waves.
//!
//! Sends nothing; `carry_out` and `rollout` do.

use std::collections::BTreeMap;

use mdetag::store::journal::RecordedRun;
use mdetag::tenant::Writer;
use mdetag_core::apply::{ChangeOutcome, Origins, Run, RunOptions};
use mdetag_core::device::Field;
use mdetag_core::inventory::Snapshot;
use mdetag_core::plan::{ChangeKey, Owed, Plan, SafePlan};
use mdetag_core::probe::Question;
use mdetag_core::selection::HuntingResults;
use mdetag_core::time::Timestamp;

use super::args::ApplyArgs;
use super::context::Context;
use super::ended_run::{self, OtherRollout};
use super::exit::Exit;
use super::flags::tenant_flags;
use super::left_out;
use super::lost_tags::LostTagContext;
use super::planning::PolicySet;
use super::session::Session;

/// The plan to carry out, and everything needed for it.
pub struct RunInputs<'a> {
    pub context: &'a Context,
    pub args: &'a ApplyArgs,
    pub session: &'a Session,
    pub writer: Writer,
    /// The origins of tags from hunting, as far as known.
    pub origins: &'a Origins,
    /// The devices as read.
    pub snapshot: &'a Snapshot,
    pub set: &'a PolicySet,
    /// Whether it is the set of commands that name none.
    pub is_default_set: bool,
    /// Results of its hunting queries.
    pub hunting: &'a HuntingResults,
    pub safe: &'a SafePlan,
    /// The plan file that is stored beside the journal: the reviewed plan, if there is one.
    pub document: Vec<u8>,
    pub digest: String,
    pub reviewed: Option<&'a Plan>,
    /// The run to resume.
    pub resumed: Option<&'a RecordedRun>,
    /// Changes that ended before the run: stale, noop, withheld.
    pub settled: Vec<ChangeOutcome>,
    /// Tags that calls of earlier runs removed by accident, including this run's if it is resumed.
    pub owed: &'a BTreeMap<ChangeKey, Owed>,
    /// Number of wanted changes that were not reviewed.
    pub unreviewed: u64,
    /// Whether an untrusted inventory kept changes from being written.
    pub withheld: bool,
    /// Whether removals that the resumed run held back are wanted now: only a new plan says which.
    pub is_held_anew: bool,
    /// The exit code because of removals that wait for an addition, and of other rollouts.
    pub waiting: Exit,
    /// Other open rollouts of the policies.
    pub others: &'a [OtherRollout],
    /// The latest time by which the list shows every change that an answer confirmed; `None` if it shows all.
    pub shown_by: Option<Timestamp>,
}

impl<'a> RunInputs<'a> {
    /// Passes known facts to the run: the origins of tags, and which devices are onboarded.
    pub fn tell_what_is_known(&self, run: &mut Run<'a>) {
        let onboarding = |id: &str| {
            let row = self.snapshot.find(id)?;
            self.snapshot.text(Field::OnboardingStatus, row)
        };
        run.know_origins(self.origins);
        run.know_onboarded(&|id| onboarding(id).is_some_and(|status| status == "Onboarded"));
    }

    /// `--max-duration` as a moment of the ledger's clock.
    pub fn deadline(&self) -> Option<Timestamp> {
        let (context, clock) = (self.context, self.session.ledger.clock());
        let spent = context.clock.now().since(context.started);
        self.args.max_duration.map(|span| clock.now().plus(span.saturating_sub(spent)))
    }

    pub fn options(&self, now: Timestamp) -> RunOptions {
        let (settings, session) = (&self.context.settings, self.session);
        let unknown_id = self.context.service.verdict(Question::UnknownId);
        RunOptions {
            concurrency: settings.budget.concurrency as usize,
            settle: session.scaled(settings.writes.settle),
            visibility: session.scaled(settings.writes.visibility),
            max_calls: self.args.max_calls,
            names_unknown: unknown_id == Some("refusedNamed"),
            hides_unknown: unknown_id == Some("refusedUnnamed"),
            seed: now.ticks() as u64 ^ u64::from(std::process::id()),
        }
    }

    /// The command that plans removals which the run's plan held back.
    pub fn next_plan(&self) -> Option<String> {
        left_out::held_back(self.safe.plan()).then(|| self.plan_command())
    }

    /// The command that plans anew, for a review if this run's plan was reviewed.
    pub fn plan_command(&self) -> String {
        let kept = self.resumed.map(|recorded| recorded.header.reviewed == Some(true));
        ended_run::next_plan(kept.unwrap_or(self.reviewed.is_some()), &tenant_flags(self.context))
    }

    /// The known facts about lost tags of a run that may be resumed.
    pub fn lost_tag_context(&self) -> LostTagContext<'a> {
        LostTagContext {
            resumed: self.resumed,
            plan: self.reviewed,
            owed: self.owed,
            snapshot: self.snapshot,
            case: self.context.settings.tag_case,
        }
    }
}
