//! `mdetag help`: the help of a command, a topic, a diagnostic, or a page of the guide, all contained in the program.
//!
//! Needs no file and no network, so that it works on a computer without either.

use clap::{Arg, Command};

use mdetag_core::diagnostic::did_you_mean;
use mdetag_core::pages;
use mdetag_core::report::carried;

use super::args::{Format, HelpArgs, declaration, folded};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// The pages of the guide by their names.
const GUIDE: &[(&str, &str)] = &[
    ("applying", include_str!("../../docs/applying.md")),
    ("ci", include_str!("../../docs/ci.md")),
    ("configuration", include_str!("../../docs/configuration.md")),
    ("consequences", include_str!("../../docs/consequences.md")),
    ("cookbook", include_str!("../../docs/cookbook.md")),
    ("how-it-decides", include_str!("../../docs/how-it-decides.md")),
    ("identity", include_str!("../../docs/identity.md")),
    ("index", include_str!("../../docs/index.md")),
    ("installing", include_str!("../../docs/installing.md")),
    ("language", include_str!("../../docs/language.md")),
    ("cmdb", include_str!("../../docs/cmdb.md")),
    ("looking", include_str!("../../docs/looking.md")),
    ("notifications", include_str!("../../docs/notifications.md")),
    ("performance", include_str!("../../docs/performance.md")),
    ("powershell", include_str!("../../docs/powershell.md")),
    ("quickstart", include_str!("../../examples/quickstart/README.md")),
    ("releasing", include_str!("../../docs/releasing.md")),
    ("reports", include_str!("../../docs/reports.md")),
    ("rollout", include_str!("../../docs/rollout.md")),
    ("sandbox-guide", include_str!("../../docs/sandbox.md")),
    ("service", include_str!("../../docs/service.md")),
    ("shared-state", include_str!("../../docs/state.md")),
    ("many-tenants", include_str!("../../docs/tenants.md")),
    ("upgrading", include_str!("../../docs/upgrading.md")),
];

/// Topics that are generated from the code.
const TOPICS: [&str; 3] = ["exit-codes", "environment", "selectors"];

/// Variables without a flag: name and description.
const VARIABLES: &[(&str, &str)] = &[
    ("MDETAG_ALLOW_HOSTS", "hosts beside those of the clouds that mdetag.yaml may name, with their port"),
    ("MDETAG_API_URL", "the service's address; loopback needs no leave"),
    ("MDETAG_LOGIN_URL", "the sign-in's address; loopback needs no leave"),
    ("MDETAG_GRAPH_URL", "the address of advanced hunting; loopback needs no leave"),
    ("MDETAG_RELEASES_URL", "where `doctor --check-version` asks"),
    (
        "MDETAG_HOOK_NAME",
        "the address of a webhook; `notify.webhook: env:MDETAG_HOOK_NAME` names it, with any NAME",
    ),
    ("MDETAG_STATE_DIR", "the old name of MDETAG_STATE"),
    ("AZURE_TENANT_ID", "the directory to sign in to"),
    ("AZURE_CLIENT_ID", "the application that signs in"),
    ("AZURE_CLIENT_SECRET", "its secret"),
    ("AZURE_CLIENT_CERTIFICATE_PATH", "its certificate with the key, PEM"),
    ("AZURE_FEDERATED_TOKEN_FILE", "a token of a Kubernetes workload identity"),
    ("ACTIONS_ID_TOKEN_REQUEST_URL", "GitHub's workload identity; GitHub sets it"),
    ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GitHub's workload identity; GitHub sets it"),
    ("IDENTITY_ENDPOINT", "a managed identity; Azure sets it"),
    ("IDENTITY_HEADER", "a managed identity; Azure sets it"),
    ("AZURE_STORAGE_ENDPOINT", "the address of the blob service, for state in azblob://"),
    ("AZURE_AUTHORITY_HOST", "where the identity for state in azblob:// signs in, outside the public cloud"),
    ("AZURE_STORAGE_TOKEN", "a bearer token for state in azblob://"),
    ("AZURE_STORAGE_SAS_KEY", "a shared access signature for state in azblob://"),
    ("AZURE_USE_AZURE_CLI", "`true`: the account of `az login` opens state in azblob://"),
    ("AZURE_STORAGE_ACCOUNT_KEY", "a key of the storage account; an identity is better"),
    (
        "AWS_ENDPOINT_URL",
        "the address of the object service, for state in s3://; the usual AWS_ variables hold",
    ),
    ("AWS_REGION", "the region of the bucket"),
    ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "where a virtual machine's managed identity answers"),
    ("JOB_COMPLETION_INDEX", "the pod's index for `--shard auto/N`; Kubernetes sets it"),
    ("HTTPS_PROXY", "a proxy for all calls; NO_PROXY names hosts without it"),
    ("SSL_CERT_FILE", "certificate authorities in place of the system's, PEM"),
    ("NO_COLOR", "no colour"),
    ("CLICOLOR_FORCE", "colour also into a pipe"),
    ("GITHUB_STEP_SUMMARY", "where the summary of a job goes; GitHub sets it"),
];

/// Prints the requested help.
///
/// # Errors
/// A word that is no command, topic, diagnostic or page.
pub fn run(context: &Context, args: &HelpArgs) -> Result<Exit, Failure> {
    let text = text_of(&args.topic)?;
    if context.global.format == Format::Json {
        context.console.result(&carried::topic(&args.topic.join(" "), &text))?;
    } else {
        context.console.result(&text)?;
    }
    Ok(Exit::Success)
}

fn text_of(words: &[String]) -> Result<String, Failure> {
    let mut command = folded();
    if words.is_empty() {
        let topics = format!("\nTopics of `mdetag help`:\n{}", indented(&listed()));
        return Ok(format!("{}{topics}", command.render_long_help()));
    }
    if let Some(found) = find(&mut command, words) {
        return Ok(found.render_help().to_string());
    }
    let [word] = words else { return Err(unknown(&words.join(" "))) };
    topic(word).ok_or_else(|| unknown(word))
}

/// A command by its words.
fn find<'a>(command: &'a mut Command, words: &[String]) -> Option<&'a mut Command> {
    words.iter().try_fold(command, |command, word| command.find_subcommand_mut(word))
}

fn topic(word: &str) -> Option<String> {
    match word {
        "exit-codes" => Some(exit_codes()),
        "environment" => Some(environment()),
        "selectors" => Some(selectors()),
        _ => {
            let page = GUIDE.iter().find(|(name, _)| *name == word).map(|(_, page)| *page);
            page.or_else(|| pages::page(&word.to_ascii_uppercase())).map(without_markers)
        }
    }
}

fn unknown(word: &str) -> Failure {
    let command = folded();
    let commands = command.get_subcommands().map(Command::get_name);
    let known = TOPICS.into_iter().chain(GUIDE.iter().map(|(name, _)| *name)).chain(commands);
    let nearest =
        did_you_mean(word, known).map_or_else(String::new, |name| format!("did you mean `{name}`? "));
    Failure::usage(format!("there is no command, topic, diagnostic or page `{word}`"))
        .help(format!("{nearest}topics: {}; `mdetag --help` lists the commands", listed().join(", ")))
}

fn listed() -> Vec<&'static str> {
    TOPICS.into_iter().chain(GUIDE.iter().map(|(name, _)| *name)).collect()
}

/// Names, six per line.
fn indented(names: &[&str]) -> String {
    names.chunks(6).map(|line| format!("  {}\n", line.join(", "))).collect()
}

/// The table of exit codes.
pub fn exit_codes() -> String {
    let rows = Exit::ALL.iter().map(|exit| format!("  {}  {}\n", exit.code(), exit.meaning()));
    let order = "Where several hold, also with --all-tenants: the first of 1, 3, 4, 5, 6, 2, 0.";
    format!("Exit codes, the same for every command:\n\n{}\n{order}\n", rows.collect::<String>())
}

/// Every variable with its description: those of flags, then the others.
pub fn variables() -> Vec<(String, String)> {
    let command = declaration();
    let mut found: Vec<(String, String)> = Vec::new();
    for arg in std::iter::once(&command).chain(command.get_subcommands()).flat_map(Command::get_arguments) {
        let Some(name) = arg.get_env().and_then(|name| name.to_str()) else { continue };
        if found.iter().any(|(known, _)| known == name) {
            continue;
        }
        found.push((
            name.to_owned(),
            format!("{}: {}", flag(arg), arg.get_help().cloned().unwrap_or_default()),
        ));
    }
    found.extend(VARIABLES.iter().map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned())));
    found
}

fn flag(arg: &Arg) -> String {
    let value =
        arg.get_value_names().and_then(|names| names.first()).filter(|_| arg.get_action().takes_values());
    let value = value.map_or_else(String::new, |name| format!(" {name}"));
    format!("--{}{value}", arg.get_long().unwrap_or_default())
}

fn environment() -> String {
    let variables = variables();
    let rows = variables.iter().map(|(name, meaning)| format!("  {name}\n      {meaning}\n"));
    format!(
        "Environment variables. A flag goes before its variable, a variable before mdetag.yaml.\n\n{}",
        rows.collect::<String>()
    )
}

/// The language reference's section on selectors, fields and operands.
fn selectors() -> String {
    let page = GUIDE.iter().find(|(name, _)| *name == "language").map_or("", |(_, page)| *page);
    let from = page.find("## Selectors").unwrap_or(0);
    let to = page.find("## Lookups").unwrap_or(page.len());
    without_markers(page.get(from..to).unwrap_or(page))
}

/// A page without the parts for its maintainers, and without pictures, which no terminal shows.
fn without_markers(page: &str) -> String {
    let mut text = String::new();
    for line in page.lines().filter(|line| !line.starts_with("<!--") && !line.starts_with("![")) {
        if !(line.is_empty() && text.ends_with("\n\n")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use regex::Regex;

    use super::*;

    #[test]
    fn pictures_are_left_out_with_the_gap_that_they_leave() {
        let shown = without_markers("Above\n\n![a drawing](pictures/how-it-works.svg)\n\nBelow\n");
        assert_eq!(shown, "Above\n\nBelow\n");
    }

    #[test]
    fn every_page_of_the_guide_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let entries = fs::read_dir(root.join("docs")).expect("the guide is there");
        let names = entries.map(|entry| entry.expect("an entry").path());
        for page in names.filter(|path| path.extension().is_some_and(|it| it == "md")) {
            let text = fs::read_to_string(&page).expect("a page");
            assert!(GUIDE.iter().any(|(_, carried)| *carried == text), "{} is not carried", page.display());
        }
    }

    #[test]
    fn a_page_hides_no_command_and_no_topic() {
        let command = declaration();
        for name in listed() {
            assert!(command.find_subcommand(name).is_none(), "`{name}` is a command too");
        }
    }

    #[test]
    fn every_variable_that_the_program_reads_is_named() {
        let known = variables();
        let name = Regex::new(r#""((?:MDETAG|AZURE|ACTIONS_ID|IDENTITY|NO_COLOR|CLICOLOR|SSL)[A-Z_]*)""#)
            .expect("sound");
        let files = crate::cli::documents::sources();
        for (file, text) in &files {
            for found in name.captures_iter(text) {
                assert!(known.iter().any(|(it, _)| it == &found[1]), "{} of {file}", &found[1]);
            }
        }
        assert!(files.len() > 50, "the reader has gone blind");
    }
}
