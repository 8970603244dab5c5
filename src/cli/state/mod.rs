//! `mdetag state`: what earlier runs left, one file a subcommand.

mod accept;

use crate::cli::args::{StateArgs, StateCommand};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

/// Runs a subcommand.
///
/// # Errors
/// As the subcommand says.
pub async fn run(context: &Context, args: &StateArgs) -> Result<Exit, Failure> {
    match &args.command {
        StateCommand::Accept(args) => accept::run(context, args).await,
    }
}
