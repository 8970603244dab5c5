//! The command line: the only room that reads the clock and the environment, prints and ends the process.
//!
//! Decides nothing about devices: each command is a short path through the pipeline and the edges.

use std::process::ExitCode;

pub mod args;
pub mod console;
pub mod context;
pub mod exit;
pub mod failure;
pub mod planning;
pub mod policy_set;

/// Runs the command line.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
