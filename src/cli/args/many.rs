//! The words of commands for many tenants: which of them, what is kept of each, and what becomes of the results.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use mdetag_core::time;

/// Which of all tenants a command runs for, and how many at a time.
#[derive(Clone, Debug, Default, Args)]
pub struct FleetArgs {
    /// Run for every profile of mdetag.yaml side by side
    #[arg(long, conflicts_with_all = ["tenant", "inventory"])]
    pub all_tenants: bool,
    /// Only tenants with this label (repeatable; all must fit)
    #[arg(long, value_name = "LABEL=VALUE", requires = "all_tenants")]
    pub select: Vec<String>,
    /// Tenants at a time
    #[arg(long, value_name = "N", default_value = "8", requires = "all_tenants",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    /// Only part I of N of the tenants, the same part in each run; in a Kubernetes Indexed Job `auto/N`
    #[arg(long, value_name = "I/N", requires = "all_tenants")]
    pub shard: Option<String>,
}

/// What is kept of many tenants, and when they start.
#[derive(Clone, Debug, Default, Args)]
pub struct ResultArgs {
    /// Write plan, reports and result of each tenant into DIR/TENANT as it ends; `mdetag report merge DIR` reads them
    #[arg(long, value_name = "DIR", requires = "all_tenants", value_parser = super::output)]
    pub out_dir: Option<PathBuf>,
    /// Start after a part of this time that differs from part to part of the tenants, so that pods do not start at once
    #[arg(long, value_name = "D", requires = "all_tenants", value_parser = time::parse_duration)]
    pub jitter: Option<Duration>,
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportCommandArgs {
    /// What to do with results.
    #[command(subcommand)]
    pub command: ReportCommand,
}

/// What `report` does.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// One report over the results of many tenants, the worst first
    Merge(MergeArgs),
}

/// `report merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// A folder that `--all-tenants --out-dir` wrote, or one that holds several of them
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Write a further report (repeatable): human, json, markdown, html, csv, openmetrics
    #[arg(long = "report", value_name = "FORMAT=FILE")]
    pub reports: Vec<String>,
}

/// `tenants`.
#[derive(Debug, Args)]
pub struct TenantsArgs {
    /// Only tenants with this label (repeatable; all must fit)
    #[arg(long, value_name = "LABEL=VALUE")]
    pub select: Vec<String>,
}
