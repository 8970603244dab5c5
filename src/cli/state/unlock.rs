//! `mdetag state unlock`: ends the lease of a tenant that nobody is working on.
//!
//! Does not end a lease that is renewed: its holder would continue, and two would write.

use mdetag::store::lock::LockError;
use mdetag::store::path_text::shown;
use mdetag::store::state::StateDir;
use mdetag_core::report::escape::terminal;

use crate::cli::args::UnlockArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::flags;
use crate::cli::{ci, history};

/// Ends the lease of a tenant.
///
/// # Errors
/// No tenant or several, a holder that is working, a store that does not answer.
pub fn run(context: &Context, args: &UnlockArgs) -> Result<Exit, Failure> {
    if mdetag_core::text::is_blank(&args.reason) {
        return Err(Failure::usage("`--reason` is empty").help("say how you know that the holder is gone"));
    }
    let states = history::states(context)?;
    let state = only(&states)?;
    let by = format!("{} at {}: {}", ci::origin(), context.clock.now().rounded_down(), args.reason);
    let ended = state.backend().unlock(&state.lock(), &by).map_err(|error| match error {
        LockError::Held { .. } => Failure::file(chain(&error)).help(
            "a lease can be ended once it was not renewed for 60 s; a lock in a folder ends with its process",
        ),
        LockError::Unusable { .. } => Failure::file(chain(&error)),
    })?;
    let told = match ended {
        Some(holder) => format!(
            "ended: the lease of {}; what it left unfinished goes on with `mdetag apply --resume{}`\n",
            terminal(&holder),
            flags::tenant_flags(context)
        ),
        None => "nothing to end: nobody holds the tenant\n".to_owned(),
    };
    context.console.result(&told)?;
    Ok(Exit::Success)
}

/// The only tenant whose state can be meant.
fn only(states: &[StateDir]) -> Result<&StateDir, Failure> {
    match states {
        [state] => Ok(state),
        [] => Err(Failure::usage("there is no state of a tenant here")
            .help("name the place with --state, the tenant with --tenant or --sandbox")),
        several => {
            let names: Vec<String> =
                several.iter().map(|state| terminal(&shown(state.path())).into()).collect();
            Err(Failure::usage(format!("several tenants have state here: {}", names.join(", ")))
                .help("name one with --tenant or --sandbox"))
        }
    }
}
