//! Shows findings and failures: on standard error for people, as one document on standard output with `--format json`.
//!
//! Renders nothing itself; that is `report::diagnostics`.

use mdetag_core::diagnostic::{Diagnostic, Sources};
use mdetag_core::report::{diagnostics, escape};

use super::args::Format;
use super::console::Console;
use super::failure::Failure;

/// Warnings of a policy set, on standard error.
pub fn warn(console: &Console, sources: &Sources, findings: &[Diagnostic]) {
    if console.quiet || findings.is_empty() {
        return;
    }
    console.complain_of(sources, findings, || diagnostics::human(sources, findings, &console.error_style()));
}

/// A failure, in the requested format. A broken pipe is not reported.
pub fn fail(console: &Console, format: Format, failure: &Failure) {
    if failure.is_broken_pipe() {
        return;
    }
    let own;
    let (sources, findings) = match &failure.findings {
        Some(found) => (&found.0, found.1.as_slice()),
        None => {
            let finding = Diagnostic::error(failure.code, None, failure.message.clone());
            own = (
                Sources::default(),
                [match &failure.help {
                    Some(help) => finding.help(help.clone()),
                    None => finding,
                }],
            );
            (&own.0, own.1.as_slice())
        }
    };
    if format == Format::Json {
        // If standard output is gone too, nobody is left to tell.
        let _ = console.result(&escape::json_document(&diagnostics::json(sources, findings)));
        return;
    }
    console.complain_of(sources, findings, || match &failure.findings {
        Some(_) => diagnostics::human(sources, findings, &console.error_style()),
        None => diagnostics::failure(&findings[0], &console.error_style()),
    });
}
