//! `mdetag completions`: generated from the declaration that parses the command line.

use clap::CommandFactory;

use mdetag_core::report::carried;

use super::args::{Cli, CompletionsArgs, Format};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// Prints a shell's completions.
///
/// # Errors
/// Standard output that cannot be written.
pub fn completions(context: &Context, args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mdetag", &mut text);
    print(context, &text)
}

/// A text for another program, as a document if the environment asks for documents from every command.
fn print(context: &Context, text: &[u8]) -> Result<Exit, Failure> {
    let text = String::from_utf8_lossy(text);
    if context.global.format == Format::Json {
        context.console.result(&carried::text(&text))?;
    } else {
        context.console.result(&text)?;
    }
    Ok(Exit::Success)
}
