//! `mdetag state end`: closes a rollout, and frees the devices of its unwritten waves.
//!
//! Undoes nothing; that is `revert`.

use mdetag::store::journal::{self, Closing, Journal};
use mdetag_core::apply::{Entry, WaveEvent};
use mdetag_core::report::escape::terminal;

use crate::cli::args::EndArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::{ci, history, open_rollouts};

/// Ends the rollout of a run.
///
/// # Errors
/// No such run, no open rollout, another apply at work.
pub fn run(context: &Context, args: &EndArgs) -> Result<Exit, Failure> {
    if mdetag_core::text::is_blank(&args.reason) {
        return Err(Failure::usage("`--reason` is empty").help("say why the rollout does not go on"));
    }
    let unusable = |error: journal::JournalError| Failure::file(chain(&error));
    let states = history::states(context)?;
    let state =
        states.into_iter().find(|state| journal::runs(state).is_ok_and(|runs| runs.contains(&args.run)));
    let Some(state) = state else {
        let message = format!("there is no run `{}`", terminal(&args.run));
        return Err(Failure::usage(message).help("`mdetag history` lists the runs of the state directory"));
    };
    let at = context.clock.now();
    let holder = format!("process {} of {}, since {}", std::process::id(), ci::origin(), at.rounded_down());
    let _lock = state.backend().hold(&state.lock(), &holder).map_err(|error| Failure::file(chain(&error)))?;
    let recorded = journal::read(&state, &args.run).map_err(unusable)?;
    if !open_rollouts::is_open(&state, &recorded).map_err(unusable)? {
        return Err(Failure::usage(format!("run {} has no open rollout", terminal(&args.run)))
            .help("a rollout is open from its first wave until its last, a revert of it, or `state end`"));
    }
    let wave = open_rollouts::progress(&recorded).current;
    let mut journal = Journal::resume(&state, &recorded.header, at).map_err(unusable)?;
    let event = WaveEvent::Closed { reason: args.reason.clone() };
    journal.append(vec![Entry::Wave { at, wave, event }]).map_err(unusable)?;
    let reason = format!("its rollout was ended: {}", args.reason);
    journal.close(Closing { at, is_complete: true, reason }).map_err(unusable)?;
    context.console.result(&format!(
        "ended: the rollout of run {} after wave {wave} of {}; the next plan takes its unwritten devices up\n",
        terminal(&args.run),
        recorded.header.waves
    ))?;
    Ok(Exit::Success)
}
