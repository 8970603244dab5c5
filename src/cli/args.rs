//! The command line's shape: commands, flags, their environment variables and help.
//!
//! Reads nothing but the words; what follows from them is in one file a command.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::time::{self, Timestamp};

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
    after_help = "A first look needs no account:\n  mdetag plan --sandbox\n  mdetag apply --sandbox --auto-approve\n\nExit codes: 0 success, 1 error, 2 drift or changes, 3 refused, 4 applied in part, 5 stopped early."
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

    /// Read the inventory from this file instead of the tenant (snapshot, list page, array or NDJSON; .gz and .zst too)
    #[arg(long, global = true, value_name = "FILE", env = "MDETAG_INVENTORY")]
    pub inventory: Option<PathBuf>,

    /// Read hunting results from this JSON file: { "query text": ["device id", …] }
    #[arg(long, global = true, value_name = "FILE", env = "MDETAG_HUNTING_RESULTS")]
    pub hunting_results: Option<PathBuf>,

    /// Work on a simulated tenant in the state directory; created with 2,000 devices the first time
    #[arg(long, global = true, value_name = "NAME", env = "MDETAG_SANDBOX", num_args = 0..=1, require_equals = true,
          default_missing_value = "default")]
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

    /// Where ledgers, journals and sandboxes are kept
    #[arg(long, global = true, value_name = "DIR", env = "MDETAG_STATE_DIR", default_value = ".mdetag")]
    pub state_dir: PathBuf,

    /// The clock of the policy's ages and dates: RFC 3339, or a date (midnight UTC)
    #[arg(long, global = true, value_name = "TIME", env = "MDETAG_NOW", value_parser = Timestamp::parse)]
    pub now: Option<Timestamp>,

    /// How results are written to standard output
    #[arg(long, global = true, value_enum, env = "MDETAG_FORMAT", default_value = "human")]
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

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// One change a line.
    Ndjson,
    /// For a pull-request comment.
    Markdown,
    /// One self-contained page.
    Html,
    /// Test results.
    Junit,
    /// Code scanning.
    Sarif,
    /// Metrics for a text collector.
    Openmetrics,
    /// A table.
    Csv,
    /// GitHub annotations.
    Github,
}

impl Format {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Format::Human => "human",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Markdown => "markdown",
            Format::Html => "html",
            Format::Junit => "junit",
            Format::Sarif => "sarif",
            Format::Openmetrics => "openmetrics",
            Format::Csv => "csv",
            Format::Github => "github",
        }
    }
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
    /// Write a policy set from the live tags that plans to zero changes
    Import(ImportArgs),
    /// Save the inventory to a file (.zst and .gz by extension)
    Snapshot(SnapshotArgs),
    /// Who put which tag where, when, by which rule and run
    History(HistoryArgs),
    /// Write a plan that undoes a run's confirmed changes
    Revert(RevertArgs),
    /// Check identity, roles, reachability, clock and budget
    Doctor(DoctorArgs),
    /// List the tenant profiles of mdetag.yaml (`--format json`: a CI matrix)
    Tenants(TenantsArgs),
    /// A simulated tenant on this machine
    Sandbox(SandboxArgs),
    /// Print a JSON Schema
    Schema(SchemaArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

/// Policy files or directories.
#[derive(Clone, Debug, Default, Args)]
pub struct PolicyPaths {
    /// Policy files or directories [default: the profile's policies, else policies/]
    #[arg(value_name = "POLICY")]
    pub policy: Vec<PathBuf>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where to write
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The policy set.
    #[command(flatten)]
    pub policy: PolicyPaths,
    /// Count warnings as errors
    #[arg(long)]
    pub deny_warnings: bool,
    /// Explain a diagnostic code (E0203) and stop
    #[arg(long, value_name = "CODE")]
    pub explain: Option<String>,
    /// Whose manners to use in CI
    #[arg(long, value_enum, default_value = "auto", env = "MDETAG_CI")]
    pub ci: CiSystem,
}

/// `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The policy set; its *.test.yaml files are the tests.
    #[command(flatten)]
    pub policy: PolicyPaths,
    /// Write a JUnit report to this file too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// What `plan`, `drift` and `apply` have in common.
#[derive(Clone, Debug, Default, Args)]
pub struct ReportArgs {
    /// Write a further report (repeatable): human, json, ndjson, markdown, html, junit, sarif, openmetrics, csv
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    pub reports: Vec<String>,
    /// Cut Markdown at this many characters, by group
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    pub max_chars: usize,
    /// List every device
    #[arg(long)]
    pub details: bool,
    /// Whose manners to use in CI
    #[arg(long, value_enum, default_value = "auto", env = "MDETAG_CI")]
    pub ci: CiSystem,
    /// Run for every profile of mdetag.yaml side by side
    #[arg(long, conflicts_with_all = ["tenant", "inventory"])]
    pub all_tenants: bool,
}

/// `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// The policy set.
    #[command(flatten)]
    pub policy: PolicyPaths,
    /// Save the plan to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Exit 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Plan this directory's policies (the target branch) too, and tell this change from drift that was there already
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
    /// Raise one cap to a number for this run (repeatable): removals=153, removalsPerTag:Tier0=312
    #[arg(long, value_name = "AXIS[:TAG]=N")]
    pub allow: Vec<String>,
    /// Reports.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A plan file
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// List every device
    #[arg(long)]
    pub details: bool,
    /// Cut Markdown at this many characters, by group
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    pub max_chars: usize,
}

/// `apply`.
#[derive(Clone, Debug, Args)]
pub struct ApplyArgs {
    /// A reviewed plan (ends in .json), or policy files and directories
    #[arg(value_name = "PLAN | POLICY")]
    pub paths: Vec<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Finish an interrupted run (the last one, unless named)
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = false, default_missing_value = "")]
    pub resume: Option<String>,
    /// Stop after this long, with work left for --resume (50m)
    #[arg(long, value_name = "D", value_parser = time::parse_duration)]
    pub max_duration: Option<Duration>,
    /// Stop after this many calls, with work left for --resume
    #[arg(long, value_name = "N")]
    pub max_calls: Option<u64>,
    /// Refuse a reviewed plan older than this
    #[arg(long, value_name = "D", value_parser = time::parse_duration, default_value = "24h")]
    pub plan_max_age: Duration,
    /// Wait this long for another apply on the tenant
    #[arg(long, value_name = "D", value_parser = time::parse_duration, default_value = "0s")]
    pub lock_timeout: Duration,
    /// Write changes that bounced in the last three runs again
    #[arg(long)]
    pub retry_contested: bool,
    /// Raise one cap to a number for this run (repeatable): removals=153, removalsPerTag:Tier0=312
    #[arg(long, value_name = "AXIS[:TAG]=N")]
    pub allow: Vec<String>,
    /// Reports.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `drift`.
#[derive(Clone, Debug, Args)]
pub struct DriftArgs {
    /// The policy set.
    #[command(flatten)]
    pub policy: PolicyPaths,
    /// Plan this directory's policies (the target branch) too, and tell this change from drift that was there already
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
    /// Reports.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Device id, or its name
    #[arg(value_name = "DEVICE")]
    pub device: String,
    /// Only this tag
    #[arg(value_name = "TAG")]
    pub tag: Option<String>,
    /// Policy files or directories [default: the profile's policies, else policies/]
    #[arg(long = "policy", value_name = "POLICY")]
    pub policy: Vec<PathBuf>,
}

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Where to write the policy set
    #[arg(short, long, value_name = "DIR", default_value = "policies")]
    pub output: PathBuf,
}

/// `snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// Where to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only this device (id or name) or this tag
    #[arg(value_name = "DEVICE | TAG")]
    pub subject: Option<String>,
}

/// `revert`.
#[derive(Debug, Args)]
pub struct RevertArgs {
    /// The run to undo (`mdetag history` lists them)
    #[arg(value_name = "RUN-ID")]
    pub run: String,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {}

/// `tenants`.
#[derive(Debug, Args)]
pub struct TenantsArgs {}

/// `sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: SandboxCommand,
}

/// Commands on a sandbox; `--sandbox=NAME` names it.
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Make a sandbox anew
    Create {
        /// How many devices
        #[arg(long, default_value_t = 2_000, value_name = "N")]
        devices: usize,
        /// The same seed makes the same fleet
        #[arg(long, default_value_t = 1, value_name = "N")]
        seed: u64,
    },
    /// Serve it for other clients until interrupted
    Serve {
        /// Loopback address and port
        #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
        listen: std::net::SocketAddr,
    },
    /// Edit it as a person in the portal would
    Disturb {
        /// How many edits
        #[arg(long, default_value_t = 12, value_name = "N")]
        edits: usize,
        /// The same seed makes the same edits
        #[arg(long, default_value_t = 1, value_name = "N")]
        seed: u64,
    },
    /// Write a fleet file of any size
    Generate {
        /// How many devices
        #[arg(long, default_value_t = 2_000, value_name = "N")]
        devices: usize,
        /// The same seed makes the same fleet
        #[arg(long, default_value_t = 1, value_name = "N")]
        seed: u64,
        /// Where to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// List the faults and switches that `--sandbox-fault` takes
    Faults,
}

/// `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of what
    #[arg(value_enum, default_value = "policy")]
    pub of: SchemaOf,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// Policy files.
    Policy,
    /// Policy tests.
    Test,
    /// Plan files, and `drift --format json`.
    Plan,
    /// `apply --format json`.
    Apply,
    /// The document of errors.
    Diagnostics,
    /// mdetag.yaml.
    Mdetag,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {}

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
