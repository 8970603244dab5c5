//! The help of the command line: examples below each command, global options folded.
//!
//! Changes nothing about parsing.

use clap::{ArgAction, Command, CommandFactory};

use super::Cli;
use super::examples::examples;

/// The whole command line, each command with its examples.
pub fn declaration() -> Command {
    with_examples(Cli::command(), "")
}

/// The same with the global options folded in commands, because those of `mdetag --help` fill a screen of their own.
pub fn folded() -> Command {
    let mut command = declaration();
    // Building the declaration adds the global options to the commands.
    command.build();
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, fold))
}

fn fold(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(|arg| {
        // One line per option, because people read a command's help more often than the meanings of its values.
        let is_help = arg.get_id() == "help";
        let arg = if is_help { arg.action(ArgAction::HelpShort).help("Print help") } else { arg };
        let is_folded = arg.is_global_set() || arg.get_id() == "version";
        if is_folded { arg.hide(true) } else { arg }
    });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, fold))
}

fn with_examples(command: Command, words: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let is_root = words.is_empty();
    let mut text = String::new();
    let of_command = examples(words);
    if !of_command.is_empty() {
        text.push_str("Examples:\n");
        for (line, meaning) in of_command {
            text.push_str(&format!("  {line}\n      {meaning}\n"));
        }
        text.push('\n');
    }
    text.push_str("`mdetag --help` lists the global options, such as --tenant, --sandbox and --format.");
    let command = if is_root { command } else { command.after_help(text) };
    names.into_iter().fold(command, |command, name| {
        let words = format!("{words} {name}");
        command.mut_subcommand(name, |sub| with_examples(sub, words.trim_start()))
    })
}
