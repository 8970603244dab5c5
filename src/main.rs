//! The `mdetag` binary: the command line, files and tenants. Its modules are private, so that rustc finds dead code.

use std::process::ExitCode;

#[expect(
    clippy::disallowed_methods,
    reason = "the command line owns the clock, the environment and the terminal"
)]
#[expect(unreachable_pub, reason = "nobody can reach into a binary: `pub` here means the sibling modules")]
mod cli;

fn main() -> ExitCode {
    cli::main()
}
