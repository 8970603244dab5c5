//! The words of `state`: what earlier runs left.

use clap::{Args, Subcommand};

use super::PolicyPaths;

/// `state`.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: StateCommand,
}

/// What to do with the state.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// What the state holds: runs, open rollouts, counts, approvals used, calls left, the lock
    Show,
    /// Copy the state out of its place into a folder
    Pull(CopyArgs),
    /// Copy the state in a folder to its place, if nothing was written there since it was pulled
    Push(CopyArgs),
    /// Drop runs of which nothing is needed any more: their journals and plans
    Prune(PruneArgs),
    /// Take the count of a source at hand for right: it really became smaller
    Accept(AcceptArgs),
    /// End an open rollout: its unwritten waves are free for other plans
    End(EndArgs),
    /// End the lease of an apply that is gone: it was not renewed for 60 seconds
    Unlock(UnlockArgs),
}

/// `state pull` and `state push`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The folder with the copy, another than where the state lies
    #[arg(value_name = "FOLDER", value_parser = super::output)]
    pub folder: std::path::PathBuf,
}

/// `state unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// Why; kept with the lease until the next apply
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `state prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// How long a run is kept after its end; 8 days at least
    #[arg(long, value_name = "DURATION", default_value = "400d", value_parser = mdetag_core::time::parse_duration)]
    pub keep: std::time::Duration,
}

/// `state end`.
#[derive(Debug, Args)]
pub struct EndArgs {
    /// The run whose rollout is open
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Why; kept in the run's journal
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `state accept`.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// `devices`, the name of a lookup, or a list file as the policy writes it
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Why; kept with the count
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The policy set.
    #[command(flatten)]
    pub policy: PolicyPaths,
}
