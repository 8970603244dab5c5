//! `mdetag validate`: every problem in the policy set at once, or the page of one code.

use mdetag_core::diagnostic::Severity;
use mdetag_core::pages;
use mdetag_core::report::{carried, diagnostics, escape};

use super::args::{Format, ValidateArgs};
use super::ci;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::policy_set;

/// Validates, or explains a code.
///
/// # Errors
/// An unknown code, or a format that `validate` lacks. Findings are no failure: they are the result.
pub fn run(context: &Context, args: &ValidateArgs) -> Result<Exit, Failure> {
    let format = context.global.format;
    output::only(format, "validate", &[Format::Human, Format::Json, Format::Sarif, Format::Github])?;
    if let Some(code) = &args.explain {
        let page = pages::page(code).ok_or_else(|| {
            Failure::usage(format!("there is no diagnostic `{code}`"))
                .help("codes look like E0203; every finding shows its own in brackets")
        })?;
        context.console.result(&match format {
            Format::Json => {
                let code = code.to_ascii_uppercase();
                carried::page(&code, pages::title(&code), page)
            }
            _ => page.to_owned(),
        })?;
        return Ok(Exit::Success);
    }
    let paths = context.policy_paths(&args.policy.policy)?;
    let read = policy_set::read(context, &paths, context.policy_now());
    let (_, test_findings) = mdetag_core::policy::parse_tests(&read.tests, context.policy_now());
    let (sources, findings) =
        policy_set::merged(read.set.sources, read.set.findings, &read.tests, test_findings);
    let text = match format {
        Format::Json => escape::json_document(&diagnostics::json(&sources, &findings)),
        Format::Sarif => escape::json_document(&diagnostics::sarif(&sources, &findings)),
        Format::Github => diagnostics::github(&sources, &findings),
        _ => {
            let style = context.console.style(false);
            let shown = diagnostics::human(&sources, &findings, &style);
            if shown.is_empty() { diagnostics::clean(&read.set.policy, sources.files.len()) } else { shown }
        }
    };
    context.console.result(&text)?;
    if format == Format::Human {
        ci::annotate(args.ci, &sources, &findings, &context.console);
    }
    let has = |severity: Severity| findings.iter().any(|finding| finding.severity == severity);
    let is_bad = has(Severity::Error) || args.deny_warnings && has(Severity::Warning);
    Ok(if is_bad { Exit::Error } else { Exit::Success })
}
