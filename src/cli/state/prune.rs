//! `mdetag state prune`: drops old runs with their plans.
//!
//! The store decides which ones; counts, pending changes and the ledger stay.

use std::collections::BTreeSet;

use mdetag::store::retention::{self, LEAST};
use mdetag::store::state::StateDir;
use mdetag::store::{journal, path_text::shown};
use mdetag_core::report::state::{self as report, Pruned};

use crate::cli::args::{Format, PruneArgs};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::{ci, history, open_rollouts, output};

/// Drops old runs of the tenants in the state.
///
/// # Errors
/// Less than 8 days, another apply at work, files that cannot be removed.
pub fn run(context: &Context, args: &PruneArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "state prune", &[Format::Human, Format::Json])?;
    if args.keep < LEAST {
        return Err(Failure::usage("`--keep` is shorter than 8 days").help(
            "what runs of the last week did decides what later ones may do; write `--keep 8d` or more",
        ));
    }
    let mut tenants = Vec::new();
    for state in history::states(context)? {
        let dropped = prune(context, &state, args)?;
        let kept = journal::runs(&state).map_err(|error| unusable(&state, &error))?.len();
        tenants.push(Pruned { state: shown(state.path()), dropped, kept });
    }
    context.console.result(&match context.global.format {
        Format::Json => report::pruned_json(&tenants),
        _ => report::pruned_human(&tenants),
    })?;
    Ok(Exit::Success)
}

fn prune(context: &Context, state: &StateDir, args: &PruneArgs) -> Result<Vec<String>, Failure> {
    let now = context.clock.now();
    let holder = format!("process {} of {}, since {}", std::process::id(), ci::origin(), now.rounded_down());
    let hold = state.backend().hold(&state.lock(), &holder).map_err(|error| Failure::file(chain(&error)))?;
    // The open rollouts must be known, because their journals are needed, and those of the runs that undid them.
    let open = open_rollouts::open(state, None, None).map_err(|error| {
        Failure::file(chain(&error)).help("nothing was dropped from this tenant; restore the journal first")
    })?;
    let open: BTreeSet<String> = open.into_iter().map(|recorded| recorded.header.run).collect();
    let runs = retention::prunable(state, now, args.keep, &open, context.settings.tag_case)
        .map_err(|error| unusable(state, &error))?;
    for run in &runs {
        retention::remove(state, run, &hold).map_err(|error| unusable(state, &error))?;
    }
    Ok(runs)
}

fn unusable(state: &StateDir, error: &std::io::Error) -> Failure {
    Failure::file(format!("{}: {error}", shown(state.path())))
        .help("runs that were dropped before stay dropped; run the command again")
}
