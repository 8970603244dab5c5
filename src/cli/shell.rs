//! `mdetag completions`: generated from the declaration that parses the command line.

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::manual;

/// Prints a shell's completions.
///
/// # Errors
/// Standard output that cannot be written.
pub fn completions(context: &Context, args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mdetag", &mut text);
    manual::print(context, &text)
}
