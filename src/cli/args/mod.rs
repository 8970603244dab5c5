//! The command line's shape: commands, flags of every command, their environment variables and help.
//!
//! Reads nothing but the words; the words of single commands are in `commands`.

mod commands;
mod declaration;
pub mod examples;
mod looks;
mod many;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{
    FalseyValueParser, NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser,
};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use commands::*;
pub use declaration::{declaration, folded};
pub use looks::*;
pub use many::*;
pub use state::*;

pub use mdetag_core::report::Format;
use mdetag_core::time::{self, Timestamp};

/// Declarative tags and device values for Microsoft Defender for Endpoint, from reviewed files in git.
#[derive(Debug, Parser)]
#[command(
    name = "mdetag",
    version,
    propagate_version = true,
    max_term_width = 110,
    disable_help_subcommand = true
)]
#[command(
    after_help = "A first look needs no account:\n  mdetag plan --sandbox\n  mdetag apply --sandbox --auto-approve\n\nExit codes: 0 success, 1 error, 2 drift or changes, 3 refused, 4 applied in part, 5 stopped early, 6 waiting for a wave.\n`mdetag help TOPIC` prints the guide: exit-codes, environment, selectors, quickstart, cookbook and more."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The profile in mdetag.yaml to work on
    #[arg(long, global = true, value_name = "NAME", env = "MDETAG_TENANT")]
    pub tenant: Option<String>,

    /// Read the inventory from this file instead of the tenant (snapshot, list page, array or NDJSON; .gz and .zst too); `state:` is what `snapshot --keep` kept
    #[arg(long, global = true, value_name = "FILE", env = "MDETAG_INVENTORY")]
    pub inventory: Option<PathBuf>,

    /// Read hunting results from this JSON file: { "query text": ["device id" or { "COLUMN": value, … }, …] }
    #[arg(long, global = true, value_name = "FILE", env = "MDETAG_HUNTING_RESULTS")]
    pub hunting_results: Option<PathBuf>,

    /// Work on a simulated tenant in the state directory; created with 2,000 devices the first time
    #[arg(long, global = true, value_name = "NAME", env = "MDETAG_SANDBOX", num_args = 0..=1, require_equals = true,
          default_missing_value = "default", value_parser = sandbox_name)]
    pub sandbox: Option<String>,

    /// Shorten the sandbox's windows and waits by this factor, on both sides
    #[arg(long, global = true, value_name = "K", env = "MDETAG_SANDBOX_SPEED", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sandbox_speed: Option<u32>,

    /// Make the sandbox misbehave (repeatable); `mdetag sandbox faults` lists them
    #[arg(
        long,
        global = true,
        value_name = "NAME=VALUE",
        env = "MDETAG_SANDBOX_FAULT",
        value_delimiter = ','
    )]
    pub sandbox_fault: Vec<String>,

    /// Where ledgers, journals and locks are kept: a folder, azblob://ACCOUNT/CONTAINER/PREFIX or s3://BUCKET/PREFIX
    #[arg(long, global = true, value_name = "PLACE", env = "MDETAG_STATE", alias = "state-dir", value_parser = NonEmptyStringValueParser::new())]
    pub state: Option<String>,

    /// The clock of the policy's ages and dates: RFC 3339, or a date (midnight UTC)
    #[arg(long, global = true, value_name = "TIME", env = "MDETAG_NOW", value_parser = Timestamp::parse)]
    pub now: Option<Timestamp>,

    /// Total time of one call to the tenant, the sign-in or hunting, however slowly it answers
    #[arg(long, global = true, value_name = "D", env = "MDETAG_REQUEST_TIMEOUT", value_parser = time::parse_duration, default_value = "5m")]
    pub request_timeout: Duration,

    /// How results are written to standard output
    #[arg(long, global = true, value_name = "FORMAT", env = "MDETAG_FORMAT", default_value = "human", value_parser = formats())]
    pub format: Format,

    /// When to use colour; NO_COLOR and CLICOLOR_FORCE are honoured
    #[arg(long, global = true, value_enum, env = "MDETAG_COLOR", default_value = "auto")]
    pub color: Colour,

    /// Say less on standard error: errors only
    #[arg(short, long, global = true, env = "MDETAG_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,

    /// Say more on standard error (repeatable)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, env = "MDETAG_VERBOSE")]
    pub verbose: u8,

    /// How log lines are written to standard error
    #[arg(long, global = true, value_enum, env = "MDETAG_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// No progress bar and no progress lines
    #[arg(long, global = true, env = "MDETAG_NO_PROGRESS", value_parser = FalseyValueParser::new())]
    pub no_progress: bool,
}

/// The formats of `--format`. `github` is for `validate` alone, which names it itself.
fn formats() -> impl TypedValueParser<Value = Format> {
    let words = Format::ALL.iter().filter(|format| **format != Format::CodeQuality);
    let words: Vec<PossibleValue> = words
        .map(|format| PossibleValue::new(format.name()).help(format.meaning()).hide(!format.is_offered()))
        .collect();
    PossibleValuesParser::new(words).map(|word| Format::parse(&word).expect("each word is a format's name"))
}

/// The formats of `--report`, for its help and its message.
pub fn report_formats() -> String {
    let names = Format::ALL.iter().filter(|format| format.is_of_a_plan()).map(|format| format.name());
    names.collect::<Vec<_>>().join(", ")
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal that shows it.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// Forms of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whose manners to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CiSystem {
    /// Whatever the environment shows.
    #[default]
    Auto,
    /// GitHub Actions: groups, annotations, step summary.
    Github,
    /// GitLab CI: collapsible sections.
    Gitlab,
    /// Azure DevOps: logging commands.
    Azure,
    /// Plain output.
    None,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a ready GitOps repository: policy, test, mdetag.yaml, CI workflows
    Init(InitArgs),
    /// Report every problem in the policy set at once
    Validate(ValidateArgs),
    /// Run policy tests (*.test.yaml); needs no tenant
    Test(TestArgs),
    /// Read the tenant and show what would change; never writes to the tenant
    Plan(PlanArgs),
    /// Print a saved plan
    Show(ShowArgs),
    /// Plan if no plan is given, apply, report
    Apply(ApplyArgs),
    /// Report differences between policy and tenant, for schedules and dashboards
    Drift(DriftArgs),
    /// Say why a device has, gets or loses a tag or value, or why not
    Explain(ExplainArgs),
    /// List every tag: how many devices carry it, who claims it, who writes it
    Tags(TagsArgs),
    /// List the devices that a selector, a rule or a tag picks
    Devices(DevicesArgs),
    /// Say which devices no rule selects, which tags nobody claims, which rules hold for nobody
    Coverage(CoverageArgs),
    /// List the device groups, with the devices that are predicted in each and those that the service reports
    Groups(GroupsArgs),
    /// Write a policy set from the live tags that plans to zero changes
    Import(ImportArgs),
    /// Save the inventory to a file (.zst and .gz by extension), or in the state
    Snapshot(SnapshotArgs),
    /// Who put which tag where, when, by which rule and run
    History(HistoryArgs),
    /// Write a plan that undoes a run's confirmed changes
    Revert(RevertArgs),
    /// What earlier runs left: accept a source that really became smaller
    State(StateArgs),
    /// Check identity, roles, reachability, clock and budget
    Doctor(DoctorArgs),
    /// One report over the results of many tenants
    Report(ReportCommandArgs),
    /// List the tenant profiles of mdetag.yaml (json, github, gitlab, k8s: a CI matrix)
    Tenants(TenantsArgs),
    /// A simulated tenant on this machine
    Sandbox(SandboxArgs),
    /// Print a JSON Schema
    Schema(SchemaArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(ManArgs),
    /// Print the help of a command, a topic, a diagnostic or a page of the guide
    Help(HelpArgs),
}

impl Command {
    /// Whether the command reads `mdetag.yaml`. Commands that do not read it still work when it is broken, and help to repair it.
    pub fn reads_settings(&self) -> bool {
        match self {
            Command::Validate(args) => args.explain.is_none(),
            Command::Init(_)
            | Command::Schema(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Help(_) => false,
            _ => true,
        }
    }

    /// Whether what earlier runs left matters.
    pub fn uses_state(&self) -> bool {
        let is_offline = matches!(
            self,
            Command::Validate(_)
                | Command::Test(_)
                | Command::Show(_)
                | Command::Tenants(_)
                | Command::Report(_)
        );
        self.reads_settings() && !is_offline
    }
}

/// A sandbox's name. A word that means yes or no is a slip: it would make a sandbox of that name.
fn sandbox_name(text: &str) -> Result<String, String> {
    let switches = ["true", "false", "yes", "no", "on", "off", "0", "1"];
    if switches.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Err(
            "it takes the name of a sandbox, as in `default`; leave it out to work on a tenant".to_owned()
        );
    }
    Ok(text.to_owned())
}

/// Where a command writes.
fn output(text: &str) -> Result<PathBuf, String> {
    if text == "-" {
        return Err("standard output holds what the command says; name a file (`./-` is one)".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// `FORMAT=FILE` of a report, in two.
pub fn report_file(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(_, path)| !path.is_empty() && *path != "-")
}

/// A reason that the next reader can use.
fn reason(text: &str) -> Result<String, String> {
    if mdetag_core::text::is_blank(text) {
        return Err("it is empty: say why, for whoever reads the journal".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_sandbox_may_be_named_or_not() {
        let plain = Cli::parse_from(["mdetag", "plan", "--sandbox", "policies"]);
        assert_eq!(plain.global.sandbox.as_deref(), Some("default"));
        let named = Cli::parse_from(["mdetag", "--sandbox=two", "plan"]);
        assert_eq!(named.global.sandbox.as_deref(), Some("two"));
    }
}
