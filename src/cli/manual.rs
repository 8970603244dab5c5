//! `mdetag man`: a manual page per command, from the declaration that parses the command line.

use std::io::Write;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use mdetag::store::whole_file;
use mdetag_core::report::carried;

use super::args::{Format, ManArgs, declaration, examples};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::help;

/// Files that commands read and write.
const FILES: [(&str, &str); 4] = [
    (
        "mdetag.yaml",
        "tenants and limits; looked for in the working directory and its parents up to the repository root",
    ),
    ("policies/", "the policy set, unless the profile or the arguments name another"),
    ("*.test.yaml", "policy tests"),
    (".mdetag/", "ledgers, journals and sandboxes (--state-dir)"),
];

/// Prints a page, or writes all of them into a folder.
///
/// # Errors
/// A command that does not exist, a folder that cannot be written, standard output that cannot be written.
pub fn run(context: &Context, args: &ManArgs) -> Result<Exit, Failure> {
    let mut root = declaration();
    root.build();
    if let Some(folder) = &args.output {
        let mut names = vec!["mdetag.1".to_owned()];
        whole_file::write(&folder.join("mdetag.1"), &page(&root, "")?)?;
        for command in root.get_subcommands() {
            let name = format!("mdetag-{}.1", command.get_name());
            whole_file::write(&folder.join(&name), &page(command, command.get_name())?)?;
            names.push(name);
        }
        return print(context, format!("{}\n", names.join("\n")).as_bytes());
    }
    let Some(name) = &args.command else {
        return print(context, &page(&root, "")?);
    };
    let command = root.find_subcommand(name).ok_or_else(|| {
        Failure::usage(format!("there is no command `{name}`")).help("`mdetag --help` lists the commands")
    })?;
    print(context, &page(command, name)?)
}

/// Prints a text for another program, as a document if the environment asks for documents from every command.
///
/// # Errors
/// Standard output that cannot be written.
pub fn print(context: &Context, text: &[u8]) -> Result<Exit, Failure> {
    let text = String::from_utf8_lossy(text);
    if context.global.format == Format::Json {
        context.console.result(&carried::text(&text))?;
    } else {
        context.console.result(&text)?;
    }
    Ok(Exit::Success)
}

/// The page of a command, including its subcommands.
fn page(command: &Command, words: &str) -> Result<Vec<u8>, Failure> {
    let name = if words.is_empty() { "mdetag".to_owned() } else { format!("mdetag-{words}") };
    let man = Man::new(command.clone().name(name.clone()).display_name(name.clone()))
        .title(name)
        .source(format!("mdetag {}", env!("CARGO_PKG_VERSION")))
        .manual("mdetag manual");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    more(command, words).to_writer(&mut out)?;
    out.flush()?;
    Ok(out)
}

/// The sections that the declaration lacks.
fn more(command: &Command, words: &str) -> Roff {
    let mut roff = Roff::new();
    let heading = |roff: &mut Roff, title: &str| {
        roff.control("SH", [title]);
    };
    let entry = |roff: &mut Roff, term: &str, text: &str| {
        roff.control("TP", []);
        roff.text([bold(term)]);
        roff.text([roman(text)]);
    };
    heading(&mut roff, "EXAMPLES");
    let own = if words.is_empty() { START } else { examples::examples(words) };
    let below = command.get_subcommands().filter(|_| !words.is_empty());
    let below = below.flat_map(|sub| examples::examples(&format!("{words} {}", sub.get_name())));
    for (line, meaning) in own.iter().chain(below) {
        entry(&mut roff, line, meaning);
    }
    heading(&mut roff, "FILES");
    for (path, meaning) in FILES {
        entry(&mut roff, path, meaning);
    }
    heading(&mut roff, "ENVIRONMENT");
    for (name, meaning) in help::variables() {
        entry(&mut roff, &name, &meaning);
    }
    heading(&mut roff, "EXIT STATUS");
    for exit in Exit::ALL {
        entry(&mut roff, &exit.code().to_string(), exit.meaning());
    }
    heading(&mut roff, "SEE ALSO");
    roff.text([roman(
        "mdetag help TOPIC prints the guide: exit-codes, environment, selectors, cookbook and more.",
    )]);
    roff
}

/// The examples of the main page.
const START: &[examples::Example] = &[
    ("mdetag plan --sandbox", "a first look, without an account"),
    ("mdetag apply --sandbox --auto-approve", "and what happens then"),
    ("mdetag help quickstart", "step by step"),
];
