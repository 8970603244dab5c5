//! `mdetag report merge DIR`: one report over the results of many tenants.
//!
//! Signs in nowhere and reads no policy: the results contain everything.

use mdetag::store::output_file;
use mdetag::store::path_text::shown;
use mdetag_core::report::style::Style;
use mdetag_core::report::tenants::{self, FORMATS};

use super::all_tenants::results;
use super::args::{Format, ReportCommand, ReportCommandArgs, report_file};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;

/// Merges. Exits with 1 if a result could not be read; else with 0, whatever the tenants' exit codes were.
///
/// # Errors
/// A folder without results, an output that cannot be written.
pub fn run(context: &Context, args: &ReportCommandArgs) -> Result<Exit, Failure> {
    let ReportCommand::Merge(args) = &args.command;
    output::only(context.global.format, "report merge", &FORMATS)?;
    let mut files = Vec::new();
    for text in &args.reports {
        let parsed = report_file(text);
        let format = parsed.and_then(|(name, _)| Format::parse(name)).filter(|it| FORMATS.contains(it));
        let (Some(format), Some((_, path))) = (format, parsed) else {
            let known: Vec<&str> = FORMATS.iter().map(|format| format.name()).collect();
            return Err(Failure::usage(format!("`--report {text}` is not FORMAT=FILE")).help(format!(
                "write for example --report html=tenants.html; the formats are {}",
                known.join(", ")
            )));
        };
        files.push((format, path));
    }
    let merged = results::read_all(&args.dir)?;
    if merged.results.is_empty() && merged.problems.is_empty() {
        return Err(Failure::file(format!("there is no result of a tenant below `{}`", shown(&args.dir)))
            .help("`mdetag plan`, `drift` and `apply` write them with `--all-tenants --out-dir DIR`"));
    }
    for (format, path) in files {
        output_file::write(path.as_ref(), |out| tenants::write(&merged, format, &Style::default(), out))?;
    }
    let style = context.console.style(false);
    tenants::write(&merged, context.global.format, &style, &mut context.console.out())?;
    Ok(if merged.problems.is_empty() { Exit::Success } else { Exit::Error })
}
