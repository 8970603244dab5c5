//! `mdetag show`: prints a saved plan as `plan` did.

use mdetag::store::path_text::shown;
use mdetag::store::regular_file;
use mdetag_core::plan::Plan;
use mdetag_core::plan::document;
use mdetag_core::report::model::{Input, Model, Subject};

use super::args::{CiSystem, ReportArgs, ShowArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Reports;

/// The largest plan file, in bytes: a million changes take a third of it.
const MAX_BYTES: u64 = 4 << 30;

/// Prints a saved plan. A stale or refused one is shown like any other.
///
/// # Errors
/// An unreadable file, or one that is no plan.
pub fn run(context: &Context, args: &ShowArgs) -> Result<Exit, Failure> {
    let report = ReportArgs {
        reports: Vec::new(),
        max_chars: args.max_chars,
        details: args.details,
        ci: CiSystem::None,
        ..ReportArgs::default()
    };
    let reports = Reports::new(context, &report)?;
    let plan = read(&args.plan)?;
    let comment_of = context.comment_of();
    let model = Model::new(Input {
        comment_of: Some(&comment_of),
        repository: context.settings.repository_url.as_deref(),
        ..Input::new(Subject::Plan, &plan)
    });
    reports.write(&model, &context.console)?;
    context.let_go(plan);
    Ok(Exit::Success)
}

/// A plan from a file.
///
/// # Errors
/// A file that is unreadable, too large, or no plan of this version.
pub fn read(path: &std::path::Path) -> Result<Plan, Failure> {
    read_with_digest(path).map(|(plan, _)| plan)
}

/// Like [`read`], with the plan's digest.
///
/// # Errors
/// Those of [`read`].
pub fn read_with_digest(path: &std::path::Path) -> Result<(Plan, String), Failure> {
    let text = regular_file::argument_text(path, MAX_BYTES).map_err(|why| {
        Failure::plan(format!("{}: {why}", shown(path)))
            .help("name the file of a saved plan; `mdetag plan -o FILE` writes one")
    })?;
    parse(path, &text)
}

/// The plan in the text of a file, with its digest.
///
/// # Errors
/// A text that is no plan of this version.
pub fn parse(path: &std::path::Path, text: &str) -> Result<(Plan, String), Failure> {
    document::read_with_digest(text).map_err(|error| {
        Failure::plan(format!("{}: {error}", shown(path)))
            .help("plans are written by `mdetag plan -o FILE`; make a new one if it was edited or cut")
    })
}
