//! The words of each command: its arguments and flags.
//!
//! What follows from them is in one file a command.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand, ValueEnum};

use super::{CiSystem, FleetArgs, ResultArgs};
use mdetag_core::report::compact::MIN_CHARS;
use mdetag_core::report::markdown::MAX_CHARS;
use mdetag_core::time;

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
    #[arg(value_name = "DIR", default_value = ".", value_parser = super::output)]
    pub dir: PathBuf,
    /// Whose CI recipe to write [default: asks on a terminal, else by the git remote]
    #[arg(long, value_enum)]
    pub ci: Option<InitCi>,
}

/// Whose CI recipe `init` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InitCi {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
    /// Azure DevOps.
    Azure,
    /// No recipe.
    None,
}

impl InitCi {
    /// All of them.
    pub const ALL: [InitCi; 4] = [InitCi::Github, InitCi::Gitlab, InitCi::Azure, InitCi::None];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            InitCi::Github => "github",
            InitCi::Gitlab => "gitlab",
            InitCi::Azure => "azure",
            InitCi::None => "none",
        }
    }
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
    /// For the policies of all tenants: each set once, however many share it.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The policy set; its *.test.yaml files are the tests.
    #[command(flatten)]
    pub policy: PolicyPaths,
    /// Write a JUnit report to this file too
    #[arg(long, value_name = "FILE", value_parser = super::output)]
    pub junit: Option<PathBuf>,
    /// For the policies of all tenants: each set once, however many share it.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// What `plan`, `drift` and `apply` have in common.
#[derive(Clone, Debug, Default, Args)]
pub struct ReportArgs {
    /// `FORMAT=FILE`, as typed.
    #[arg(
        long = "report",
        value_name = "FORMAT=FILE",
        help = format!("Write a further report (repeatable): {}", super::report_formats())
    )]
    pub reports: Vec<String>,
    /// Cut Markdown at this many characters, by group
    #[arg(long, value_name = "N", value_parser = comment_length, default_value_t = MAX_CHARS)]
    pub max_chars: usize,
    /// List every device
    #[arg(long)]
    pub details: bool,
    /// Whose manners to use in CI
    #[arg(long, value_enum, default_value = "auto", env = "MDETAG_CI")]
    pub ci: CiSystem,
    /// Which of all tenants, and how many at a time.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// What is kept of many tenants.
    #[command(flatten)]
    pub results: ResultArgs,
}

/// The length of a comment, which no shorter limit may cut in the middle of what it must say.
fn comment_length(text: &str) -> Result<usize, String> {
    let length: usize = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if length < MIN_CHARS {
        return Err(format!("a comment holds at least {MIN_CHARS} characters"));
    }
    Ok(length)
}

/// `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// The policy set.
    #[command(flatten)]
    pub policy: PolicyPaths,
    /// Save the plan to this file
    #[arg(short, long, value_name = "FILE", value_parser = super::output)]
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
    #[arg(long, value_name = "N", value_parser = comment_length, default_value_t = MAX_CHARS)]
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
    /// Finish an interrupted run (the newest one of these policies, unless named)
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = false, default_missing_value = "")]
    pub resume: Option<String>,
    /// Plan anew where no run can be resumed: none is unfinished, or its policies changed
    #[arg(long, requires = "resume", conflicts_with = "next_wave")]
    pub or_plan: bool,
    /// Save the plan that --or-plan made and nobody has reviewed
    #[arg(short, long, value_name = "FILE", requires = "or_plan", value_parser = super::output)]
    pub output: Option<PathBuf>,
    /// Stop after this long, with work left for --resume (50m)
    #[arg(long, value_name = "D", value_parser = time::parse_duration)]
    pub max_duration: Option<Duration>,
    /// Stop after this many calls, with work left for --resume
    #[arg(long, value_name = "N")]
    pub max_calls: Option<u64>,
    /// Refuse a reviewed plan older than this
    #[arg(long, value_name = "D", value_parser = time::parse_duration, default_value = "24h")]
    pub plan_max_age: Duration,
    /// Refuse to resume a run whose last journal line is older than this
    #[arg(long, value_name = "D", value_parser = time::parse_duration, default_value = "7d")]
    pub resume_max_age: Duration,
    /// Wait this long for another apply on the tenant
    #[arg(long, value_name = "D", value_parser = time::parse_duration, default_value = "0s")]
    pub lock_timeout: Duration,
    /// Write changes that bounced in the last three runs again
    #[arg(long)]
    pub retry_contested: bool,
    /// Raise one cap to a number for this run (repeatable): removals=153, removalsPerTag:Tier0=312
    #[arg(long, value_name = "AXIS[:TAG]=N")]
    pub allow: Vec<String>,
    /// Write what a run undid although the policies still want it
    #[arg(long)]
    pub after_revert: bool,
    /// Let the next wave of a resumed run start, whatever its gate says
    #[arg(long, requires = "resume", requires = "reason")]
    pub next_wave: bool,
    /// Write everything at once, without waves
    #[arg(long, value_name = "all", value_parser = ["all"], requires = "reason", conflicts_with = "resume")]
    pub waves: Option<String>,
    /// Wait for the next wave instead of ending with 6
    #[arg(long)]
    pub wait: bool,
    /// Why: kept in the journal
    #[arg(long, value_name = "TEXT", value_parser = super::reason)]
    pub reason: Option<String>,
    /// Apply the reviewed plan of each tenant: DIR/TENANT/plan.json, as `plan --all-tenants --out-dir DIR` wrote it
    #[arg(long, value_name = "DIR", requires = "all_tenants", conflicts_with = "resume")]
    pub plans: Option<PathBuf>,
    /// Only the tenants of this wave of `guard.rollout.tenants`, from 1
    #[arg(long, value_name = "N", requires = "all_tenants",
          value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub tenant_wave: Option<usize>,
    /// Where the results of the wave before lie: refused unless each of its tenants ended with 0
    #[arg(long, value_name = "DIR", requires = "tenant_wave")]
    pub after: Option<PathBuf>,
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
    /// Show the conditions of every rule and protection, not only of those that matter
    #[arg(long)]
    pub details: bool,
}

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Where to write the policy set
    #[arg(short, long, value_name = "DIR", default_value = "policies", value_parser = super::output)]
    pub output: PathBuf,
    /// Tags to claim, repeatable; without it the policy claims nothing
    #[arg(long, value_name = "GLOB")]
    pub claim: Vec<String>,
    /// Import only these tags, repeatable
    #[arg(long, value_name = "GLOB")]
    pub tag: Vec<String>,
    /// The precision and recall that a selector must reach, in per cent
    #[arg(long, value_name = "PERCENT", default_value = "100")]
    pub fit: String,
    /// Write rules without claims although the list may be short
    #[arg(long)]
    pub untrusted_ok: bool,
}

/// `snapshot`.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct SnapshotArgs {
    /// Where to write
    #[arg(short, long, value_name = "FILE", value_parser = super::output)]
    pub output: Option<PathBuf>,

    /// Keep it in the tenant's state, where `--inventory state:` finds it
    #[arg(long)]
    pub keep: bool,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only this device (id or name) or this tag
    #[arg(value_name = "DEVICE | TAG")]
    pub subject: Option<String>,
    /// Only what happened from then on: a time, a day, or a span such as `30d` before now
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what happened before then
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only the newest N
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// `revert`.
#[derive(Debug, Args)]
pub struct RevertArgs {
    /// The run to undo (`mdetag history` lists them)
    #[arg(value_name = "RUN-ID")]
    pub run: String,
    /// Where to write the plan
    #[arg(short, long, value_name = "FILE", value_parser = super::output)]
    pub output: PathBuf,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also ask whether a newer version was released
    #[arg(long)]
    pub check_version: bool,
    /// Measure what the service does with this device (id or full name) and scratch tags, and put it back
    #[arg(long, value_name = "DEVICE", conflicts_with = "probe_cleanup")]
    pub probe: Option<String>,
    /// Put back the device of a probe that was interrupted, or take the scratch tags off this one
    #[arg(long, value_name = "DEVICE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub probe_cleanup: Option<String>,
    /// Write what was measured to this file, for the maintainers: no name, id, tag or token
    #[arg(long, value_name = "FILE", requires = "probe", value_parser = super::output)]
    pub share: Option<PathBuf>,
    /// Do not ask before a probe or its clean-up
    #[arg(long)]
    pub auto_approve: bool,
}

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
        /// Devices to make it of: NDJSON, one device of the API a line, or a snapshot file
        #[arg(long, value_name = "FILE", conflicts_with_all = ["devices", "seed"])]
        fleet: Option<PathBuf>,
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
        /// Policies whose tags it edits; by default those of the working directory
        #[arg(value_name = "POLICY")]
        policies: Vec<PathBuf>,
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
        #[arg(short, long, value_name = "FILE", value_parser = super::output)]
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
    /// Plan files, and `plan --format json`.
    Plan,
    /// `drift --format json`.
    Drift,
    /// `tags --format json`.
    Tags,
    /// `devices --format json`.
    Devices,
    /// `coverage --format json`.
    Coverage,
    /// `groups --format json`.
    Groups,
    /// `apply --format json`.
    Apply,
    /// The document of errors.
    Diagnostics,
    /// mdetag.yaml.
    Mdetag,
    /// The data of a notification.
    Notification,
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
pub struct ManArgs {
    /// The command [default: mdetag itself]
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    pub command: Option<String>,
    /// Write all pages into this folder
    #[arg(short, long, value_name = "DIR", value_parser = super::output)]
    pub output: Option<PathBuf>,
}

/// `help`.
#[derive(Debug, Args)]
pub struct HelpArgs {
    /// A command, a topic, a diagnostic's code or a page of the guide
    #[arg(value_name = "COMMAND | TOPIC")]
    pub topic: Vec<String>,
}
