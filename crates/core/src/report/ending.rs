//! The end of a run for people: outcomes, why it stopped, how to continue.
//!
//! `human` shows the plan itself.

use std::io::{self, Write};

use crate::apply::Outcome;

use super::escape::terminal;
use super::fold;
use super::lost;
use super::model::{Model, RunEnd};
use super::renamed;
use super::style::{Paint, Style, write_prose};
use super::table;
use super::words::{counted, noun_for, number, outcome_phrase};

/// The most lost tags that are listed without `--details`.
const MOST_LOST: usize = 20;

/// For a reader who has just seen the plan: changes that did not end as planned, and the end of the run.
pub(super) fn what_differs(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let sandbox = if model.is_sandbox() { "SANDBOX · " } else { "" };
    for part in &model.parts {
        let others = part.groups.iter().filter(|group| group.outcome != Some(Outcome::Done));
        let others: Vec<_> = others.cloned().collect();
        if others.is_empty() {
            continue;
        }
        let heading = format!("\n{sandbox}Not done as planned:\n");
        writeln!(out, "{}", style.paint(Paint::Strong, &heading))?;
        let others = renamed::joined(model, &others);
        let lines = if style.details {
            fold::unfolded(&others)
        } else {
            fold::gathered(fold::folded(&others, fold::SCREEN))
        };
        table::write(model, &lines, style, out)?;
    }
    writeln!(out)?;
    write(model, style, out)
}

/// The end of the run, and how to continue.
pub(super) fn write(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(run) = model.input.run else { return Ok(()) };
    let is_bad = Outcome::ALL.into_iter().any(|outcome| outcome.is_bad() && model.outcome(outcome) > 0)
        || lost::counts(&run.lost).1 > 0;
    let (lead, paint) = match (&run.stopped, is_bad || model.outcome(Outcome::NotAttempted) > 0) {
        (Some(_), _) => ("stopped", Paint::Notice),
        (None, true) => ("applied in part", Paint::Bad),
        (None, false) if run.calls == 0 && model.outcome(Outcome::Done) > 0 => ("done before", Paint::Good),
        (None, false) => ("applied", Paint::Good),
    };
    write_prose(&format!("{lead}: {}", outcomes(model)), paint, (0, 2), style, out)?;
    if let Some(reason) = &run.stopped {
        write_prose(&format!("because {}", terminal(reason)), Paint::Plain, (2, 4), style, out)?;
    }
    for (purpose, command) in ways_on(run) {
        // Never wrapped, so that it can be copied.
        writeln!(out, "  {purpose}: {}", terminal(&command))?;
    }
    if let Some(sentence) = shown_by(run) {
        write_prose(&sentence, Paint::Plain, (2, 4), style, out)?;
    }
    if run.unreviewed > 0 {
        let verb = noun_for(run.unreviewed, "is|are");
        let was = noun_for(run.unreviewed, "was|were");
        let changes = counted(run.unreviewed, "more change");
        writeln!(out, "  {changes} {verb} wanted now but {was} not reviewed: left for the next plan")?;
    }
    write_lost(model, run, style, out)?;
    for note in &run.notes {
        write_prose(&format!("note: {}", terminal(note)), Paint::Plain, (2, 4), style, out)?;
    }
    Ok(())
}

/// Tags that calls removed by accident, each with its device.
fn write_lost(model: &Model<'_>, run: &RunEnd, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let paint = if lost::counts(&run.lost).1 > 0 { Paint::Bad } else { Paint::Plain };
    for sum in lost::sums(&run.lost) {
        write_prose(&sum, paint, (2, 4), style, out)?;
    }
    let sentences = lost::sentences(model);
    let most = if style.details { sentences.len() } else { MOST_LOST };
    for sentence in sentences.iter().take(most) {
        write_prose(&terminal(sentence), Paint::Plain, (4, 6), style, out)?;
    }
    match sentences.len().saturating_sub(most) {
        0 => Ok(()),
        more => writeln!(out, "    … {} more: --details lists all", number(more as u64)),
    }
}

/// The time until which changes wait for the list.
pub(super) fn shown_by(run: &RunEnd) -> Option<String> {
    let moment = run.shown_by?.rounded_up();
    Some(format!("the rest waits until the list shows what was written, at the latest at {moment}"))
}

/// The commands that continue from here, each with its purpose. A plain resume does not pass a failed gate.
pub(super) fn ways_on(run: &RunEnd) -> Vec<(&'static str, String)> {
    let RunEnd { run_id, resume_flags, tenant_flags, .. } = run;
    if run.halt.is_some() {
        let pass = format!("mdetag apply --resume {run_id} --next-wave --reason TEXT{resume_flags}");
        let undo = format!("mdetag revert {run_id} -o undo.json{tenant_flags}");
        return vec![("to let the next wave start all the same", pass), ("to undo what was written", undo)];
    }
    let next = run.next_run.as_ref().unwrap_or(run_id);
    let named = if run.is_default_set { String::new() } else { format!(" {next}") };
    let resume = run.is_resumable.then(|| format!("mdetag apply --resume{named}{resume_flags}"));
    // Without a run there is nothing to resume: waiting changes are planned again.
    let again =
        (run.run_id.is_empty() && run.shown_by.is_some()).then(|| format!("mdetag apply{tenant_flags}"));
    run.next_plan.clone().or(resume).or(again).into_iter().map(|command| ("to continue", command)).collect()
}

/// `8,412 of 9,000 changes done, 3 failed, 585 not attempted`: every outcome that occurred, so that the numbers add up.
pub(super) fn outcomes(model: &Model<'_>) -> String {
    let total: u64 = model.outcomes.iter().sum();
    let done = model.outcome(Outcome::Done);
    let mut text = format!("{} of {} done", number(done), counted(total, "change"));
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Done) {
        let count = model.outcome(outcome);
        if count > 0 {
            text.push_str(&format!(", {} {}", number(count), outcome_phrase(outcome)));
        }
    }
    text
}
