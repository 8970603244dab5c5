//! `mdetag state prune`: old runs go, with their plans.
//!
//! Which ones may go is for the store to say; counts, pending changes and the ledger stay.

use std::collections::BTreeSet;

use mdetag::store::retention::{self, LEAST};
use mdetag::store::state::StateDir;
use mdetag::store::{journal, path_text::shown};
use mdetag_core::report::escape;
use mdetag_core::report::words::counted;
use serde_json::{Value, json};

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
    let (mut text, mut tenants) = (String::new(), Vec::<Value>::new());
    for state in history::states(context)? {
        let removed = prune(context, &state, args)?;
        let left = journal::runs(&state).map_err(|error| unusable(&state, &error))?.len();
        text += &format!(
            "{}: {} dropped, {left} kept\n",
            shown(state.path()),
            counted(removed.len() as u64, "run")
        );
        tenants.push(json!({ "state": shown(state.path()), "dropped": removed, "kept": left }));
    }
    if context.global.format == Format::Json {
        let document = json!({ "formatVersion": "1.0", "tenants": tenants });
        context.console.result(&escape::json_document(&document))?;
    } else if tenants.is_empty() {
        context.console.result("the state holds no tenant\n")?;
    } else {
        context.console.result(&text)?;
    }
    Ok(Exit::Success)
}

fn prune(context: &Context, state: &StateDir, args: &PruneArgs) -> Result<Vec<String>, Failure> {
    let now = context.clock.now();
    let holder = format!("process {} of {}, since {now}", std::process::id(), ci::origin());
    let hold = state.backend().hold(&state.lock(), &holder).map_err(|error| Failure::file(chain(&error)))?;
    // Which rollouts are open must be known: their journals are needed, and so are those of the runs that undid them.
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
        .help("runs that were dropped before stay dropped; type the command again")
}
