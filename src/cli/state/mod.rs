//! `mdetag state`: what earlier runs left behind, one file per subcommand.

mod accept;
mod copies;
mod end;
mod prune;
mod show;
mod unlock;

use super::args::{StateArgs, StateCommand};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// Runs a subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(context: &Context, args: &StateArgs) -> Result<Exit, Failure> {
    match &args.command {
        StateCommand::Show => show::run(context),
        StateCommand::Pull(args) => copies::pull(context, args),
        StateCommand::Push(args) => copies::push(context, args),
        StateCommand::Prune(args) => prune::run(context, args),
        StateCommand::Accept(args) => accept::run(context, args).await,
        StateCommand::End(args) => end::run(context, args),
        StateCommand::Unlock(args) => unlock::run(context, args),
    }
}
