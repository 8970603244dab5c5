//! Why a command could not do its work: what happened, the causes, and what to do next.
//!
//! Renders nothing: `report::diagnostics` shows it as text or as the document of `--format json`.

use std::fmt;

use mdetag::store::journal::JournalError;
use mdetag::store::regular_file::reason;
use mdetag_core::apply::StopReason;
use mdetag_core::diagnostic::{Diagnostic, Sources};

use super::exit::Exit;

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// The kind of failure: the code in the JSON document.
    pub code: &'static str,
    /// What happened and where, without a full stop.
    pub message: String,
    pub help: Option<String>,
    /// Policy findings that caused it, with their sources.
    pub findings: Option<Box<(Sources, Vec<Diagnostic>)>>,
    pub exit: Exit,
    /// The reason if the command was stopped before its first call.
    pub stopped_by: Option<StopReason>,
}

impl Failure {
    /// A failure with what happened and where.
    pub fn new(code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
            help: None,
            findings: None,
            exit: Exit::Error,
            stopped_by: None,
        }
    }

    /// Arguments that do not fit together.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(USAGE, message)
    }

    /// A file that cannot be read or written.
    pub fn file(message: impl Into<String>) -> Failure {
        Failure::new("E9002", message)
    }

    /// An output that cannot be written. If its reader is gone, nobody is left to tell.
    pub fn output(error: &(dyn std::error::Error + 'static)) -> Failure {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let mut reasons = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
        match reasons.any(is_broken_pipe) {
            true => Failure::reader_gone(),
            false => Failure::file(chain(error)),
        }
    }

    fn reader_gone() -> Failure {
        Failure::new(BROKEN_PIPE, "the reader of the output went away")
    }

    /// A problem with identity, network or service.
    pub fn tenant(message: impl Into<String>) -> Failure {
        Failure::new("E9003", message)
    }

    /// A plan that cannot be applied as it is.
    pub fn plan(message: impl Into<String>) -> Failure {
        Failure::new("E9004", message)
    }

    /// A journal that cannot be written. If the lease was lost, another process continues.
    pub fn journal(error: JournalError) -> Failure {
        let mut failure = Failure::file(chain(&error));
        if matches!(error, JournalError::LeaseLost { .. }) {
            failure.exit = Exit::Stopped;
        }
        failure
    }

    /// A signal before anything was written.
    pub fn stopped() -> Failure {
        let failure = Failure::new("E9005", "stopped by a signal before the first call: nothing was written");
        let stopped_by = Some(StopReason::Signal);
        Failure { exit: Exit::Stopped, stopped_by, ..failure.help("run the same command again") }
    }

    /// A time limit that ended before anything was written.
    pub fn out_of_time() -> Failure {
        let what = "stopped by the time limit (--max-duration) before the first call: nothing was written";
        let failure = Failure::new("E9005", what).help("run the same command again, or with more time");
        Failure { exit: Exit::Stopped, stopped_by: Some(StopReason::Deadline), ..failure }
    }

    /// A signal that ended a read-only command.
    pub fn stopped_reading() -> Failure {
        let failure = Failure::new("E9005", "stopped by a signal");
        Failure { exit: Exit::Stopped, ..failure.help("run the same command again") }
    }

    /// A policy set with errors, which are the message.
    pub fn policy(sources: Sources, findings: Vec<Diagnostic>) -> Failure {
        let mut failure = Failure::new("E9000", "the policy set has errors");
        failure.findings = Some(Box::new((sources, findings)));
        failure
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    /// Whether the arguments do not fit together, so that nothing was tried.
    pub fn is_usage(&self) -> bool {
        self.code == USAGE
    }

    /// Whether the reader of our output is gone, so that nothing needs to be said.
    pub fn is_broken_pipe(&self) -> bool {
        self.code == BROKEN_PIPE
    }
}

/// The code for arguments that do not fit together.
const USAGE: &str = "E9001";

/// The code of a failure that is not reported.
const BROKEN_PIPE: &str = "E9009";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        if is_broken_pipe(&error) { Failure::reader_gone() } else { Failure::file(error.to_string()) }
    }
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    // ERROR_PIPE_NOT_CONNECTED, for which the standard library has no kind.
    let is_disconnected = cfg!(windows) && error.raw_os_error() == Some(233);
    error.kind() == std::io::ErrorKind::BrokenPipe || is_disconnected
}

/// An error and its causes as one sentence: `cannot read x: permission denied`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = match cause.downcast_ref::<std::io::Error>() {
            Some(error) if error.raw_os_error().is_some() || error.get_ref().is_none() => reason(error),
            _ => cause.to_string(),
        };
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
