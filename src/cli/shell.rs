//! `mdetag completions` and `mdetag man`: made from the same declaration that parses the command line.

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
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
    context.console.result(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Success)
}

/// Prints the manual page, all commands in one.
///
/// # Errors
/// Standard output that cannot be written.
pub fn man(context: &Context) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("mdetag-{}", sub.get_name());
        clap_mangen::Man::new(sub.clone().name(name)).render(&mut text)?;
    }
    context.console.result(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Success)
}
