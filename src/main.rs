//! The `mdetag` binary: hands the command line to the library and its exit code to the shell. Decides nothing.

use std::process::ExitCode;

fn main() -> ExitCode {
    mdetag::cli::main()
}
