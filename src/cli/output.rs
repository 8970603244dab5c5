//! The destinations of reports: one goes to standard output, further ones to files, and extra output to the CI system.
//!
//! Renders nothing itself; that is `report`.

use std::io::Write;
use std::path::{Path, PathBuf};

use mdetag::store::output_file;
use mdetag::store::state::SANDBOX;
use mdetag_core::diagnostic::{Diagnostic, Sources};
use mdetag_core::plan::{Plan, TenantReference, document};
use mdetag_core::report;
use mdetag_core::report::escape::JsonLog;
use mdetag_core::report::model::{Model, Subject};
use mdetag_core::report::style::Style;
use mdetag_core::report::tenants::Summary;
use mdetag_core::report::unplanned::{self, Unplanned, holds_findings};

use super::args::{CiSystem, Command, Format, Global, ReportArgs, report_file, report_formats};
use super::ci;
use super::console::Console;
use super::context::{self, Context};
use super::exit::Exit;
use super::failure::Failure;

/// The requested reports, checked before any work is done.
#[derive(Clone, Debug)]
pub struct Reports {
    format: Format,
    files: Vec<(Format, PathBuf)>,
    details: bool,
    max_chars: usize,
}

impl Reports {
    /// Checks `--format` and every `--report FORMAT=FILE`.
    ///
    /// # Errors
    /// An unknown format, or a report without a file.
    pub fn new(context: &Context, args: &ReportArgs) -> Result<Reports, Failure> {
        let mut files = Vec::new();
        for text in &args.reports {
            let wrong = || {
                let known = report_formats();
                Failure::usage(format!("`--report {text}` is not FORMAT=FILE"))
                    .help(format!("write for example --report markdown=plan.md; the formats are {known}"))
            };
            let (name, path) = report_file(text).ok_or_else(wrong)?;
            let format = Format::parse(name).filter(|format| format.is_of_a_plan()).ok_or_else(wrong)?;
            files.push((format, named(context, Path::new(path))?));
        }
        Ok(Reports {
            format: report_format(context.global.format)?,
            files,
            details: args.details,
            max_chars: args.max_chars,
        })
    }

    /// The reports if `mdetag.yaml` itself has errors. Leaves out a file with a profile in its name if neither the command nor
    /// the readable part of `mdetag.yaml` names one.
    pub fn unsettled(cli: &Global, console: &Console, command: &Command, failure: Failure) -> Failure {
        let (subject, args) = match command {
            Command::Plan(args) => (Subject::Plan, &args.report),
            Command::Drift(args) => (Subject::Drift, &args.report),
            Command::Apply(args) => (Subject::Applied, &args.report),
            _ => return failure,
        };
        let Ok(format) = report_format(cli.format) else { return failure };
        let is_of_all = args.fleet.all_tenants;
        let named = cli.sandbox.clone().or_else(|| cli.tenant.clone());
        let name = named.or_else(|| context::likely_tenant().filter(|_| !is_of_all));
        let files = args.reports.iter().filter_map(|text| {
            let (format, path) = report_file(text)?;
            let path = match &name {
                Some(name) if !is_of_all => path.replace(TENANT, name),
                _ => path.to_owned(),
            };
            (!path.contains(TENANT)).then_some((Format::parse(format)?, path.into()))
        });
        let files = if is_of_all { Vec::new() } else { files.collect() };
        let reports = Reports { format, files, details: args.details, max_chars: args.max_chars };
        let cloud = cli.sandbox.as_ref().map(|_| SANDBOX.to_owned());
        let tenant = TenantReference { id: None, name, cloud };
        reports.tell_unplanned(console, (subject, args.ci), &tenant, failure)
    }

    /// Whether standard output is for people.
    pub fn is_human(&self) -> bool {
        self.format == Format::Human
    }

    /// Writes the report to standard output and to every file.
    ///
    /// # Errors
    /// Standard output or a file that cannot be written.
    pub fn write(&self, model: &Model<'_>, console: &Console) -> Result<(), Failure> {
        let style = console.style(self.details);
        note(model, console);
        self.write_files(model)?;
        report::write(self.format, model, &style, self.max_chars, &mut console.out())?;
        Ok(())
    }

    /// Writes the report of a run: in full to files; to people, who have just seen the plan, only the differences from it.
    ///
    /// # Errors
    /// Standard output or a file that cannot be written.
    pub fn write_end(&self, model: &Model<'_>, console: &Console) -> Result<(), Failure> {
        let style = Style { follows_plan: self.is_human(), ..console.style(self.details) };
        note(model, console);
        self.write_files(model)?;
        report::write(self.format, model, &style, self.max_chars, &mut console.out())?;
        Ok(())
    }

    /// Writes the reports of an apply that the guard refused: data formats say of each change that it was not attempted, all
    /// others show the plan with the reasons.
    ///
    /// # Errors
    /// Standard output or a file that cannot be written.
    pub fn write_refused(&self, plan: &Model<'_>, end: &Model<'_>, console: &Console) -> Result<(), Failure> {
        let is_data = |format| matches!(format, Format::Json | Format::Ndjson | Format::Csv | Format::CsvBom);
        let model = |format: Format| if is_data(format) { end } else { plan };
        note(plan, console);
        for (format, path) in &self.files {
            self.write_file(*format, path, model(*format))?;
        }
        let style = console.style(self.details);
        report::write(self.format, model(self.format), &style, self.max_chars, &mut console.out())?;
        Ok(())
    }

    /// Shows a report to people before the final one, only on standard output.
    ///
    /// # Errors
    /// Standard output that cannot be written.
    pub fn show(&self, model: &Model<'_>, console: &Console) -> Result<(), Failure> {
        let style = console.style(self.details);
        report::write(self.format, model, &style, self.max_chars, &mut console.out())?;
        Ok(())
    }

    /// Replaces the reports of a plan that could not be made by the findings that prevent it, in each format that can contain
    /// them. The end of the command writes JSON to standard output. Returns the failure.
    pub fn unplanned(&self, context: &Context, subject: Subject, ci: CiSystem, failure: Failure) -> Failure {
        self.tell_unplanned(&context.console, (subject, ci), &context.named_tenant(), failure)
    }

    fn tell_unplanned(
        &self,
        console: &Console,
        (subject, ci): (Subject, CiSystem),
        tenant: &TenantReference,
        failure: Failure,
    ) -> Failure {
        let Some(found) = &failure.findings else {
            self.tell_failure(console, (subject, ci), tenant, &failure);
            return failure;
        };
        let unplanned = Unplanned { subject, tenant, sources: &found.0, findings: &found.1 };
        ci::annotate(ci, &found.0, &found.1, console);
        let written = self.write_unplanned(&unplanned, console);
        for why in [written, ci::summarize(ci, &unplanned)]
            .into_iter()
            .filter_map(Result::err)
            .filter(|why| !why.is_broken_pipe())
        {
            console.complain(&format!("warning: the findings cannot be reported: {why}"));
        }
        failure
    }

    /// Writes a failure that is no policy finding, such as a failed sign-in, to the files, so that none of an earlier run or of
    /// the repository is taken for this run's. Keeps what an apply has already written.
    fn tell_failure(
        &self,
        console: &Console,
        (subject, ci): (Subject, CiSystem),
        tenant: &TenantReference,
        failure: &Failure,
    ) {
        if matches!(subject, Subject::Applied) || failure.exit != Exit::Error || failure.is_broken_pipe() {
            return;
        }
        let mut finding = Diagnostic::error(failure.code, None, failure.message.clone());
        finding.help.clone_from(&failure.help);
        let (sources, findings) = (Sources::default(), [finding]);
        let unplanned = Unplanned { subject, tenant, sources: &sources, findings: &findings };
        let mut faults: Vec<Failure> = self
            .files
            .iter()
            .filter(|(format, _)| holds_findings(*format))
            .filter_map(|(format, path)| {
                let written = output_file::write(path, |out| {
                    unplanned::write(*format, &unplanned, self.max_chars, out)
                });
                written.err().map(Failure::from)
            })
            .collect();
        faults.extend(ci::summarize(ci, &unplanned).err());
        // The failure itself may be a file that could not be written.
        for why in faults.iter().filter(|why| why.message != failure.message && !why.is_broken_pipe()) {
            console.complain(&format!("warning: the failure cannot be reported: {why}"));
        }
    }

    fn write_unplanned(&self, unplanned: &Unplanned<'_>, console: &Console) -> Result<(), Failure> {
        for (format, path) in self.files.iter().filter(|(format, _)| holds_findings(*format)) {
            output_file::write(path, |out| unplanned::write(*format, unplanned, self.max_chars, out))?;
        }
        if self.format != Format::Json {
            let mut out = console.out();
            unplanned::write(self.format, unplanned, self.max_chars, &mut out)?;
            out.flush()?;
        }
        Ok(())
    }

    /// Writes the report only to the files.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_files(&self, model: &Model<'_>) -> Result<(), Failure> {
        self.files.iter().try_for_each(|(format, path)| self.write_file(*format, path, model))
    }

    fn write_file(&self, format: Format, path: &Path, model: &Model<'_>) -> Result<(), Failure> {
        let style = Style { details: self.details, ..Style::default() };
        output_file::write(path, |out| report::write(format, model, &style, self.max_chars, out))?;
        Ok(())
    }
}

/// Notes the figures of a report if it is one of several tenants'.
fn note(model: &Model<'_>, console: &Console) {
    if let Some(kept) = &console.kept {
        kept.note(Summary::of(model));
    }
}

/// Saves a plan.
///
/// # Errors
/// A file that cannot be written.
pub fn save_plan(path: &Path, plan: &Plan) -> Result<(), Failure> {
    // A job may print the file.
    output_file::write(path, |out| document::write_to(plan, &mut JsonLog::new(out)).map(drop))?;
    Ok(())
}

/// The placeholder for the tenant in a file name, so that several tenants can share a command line.
pub const TENANT: &str = "{tenant}";

/// An output's path with the tenant in it: its profile's name, else the sandbox's.
///
/// # Errors
/// A path that needs a tenant's name, for a tenant without one.
pub fn named(context: &Context, path: &Path) -> Result<PathBuf, Failure> {
    let Some(text) = path.to_str().filter(|text| text.contains(TENANT)) else {
        return Ok(path.to_path_buf());
    };
    let profile = context.profile()?.map(|profile| profile.name.as_str());
    let name = profile.or(context.global.sandbox.as_deref()).ok_or_else(|| {
        Failure::usage(format!("`{text}` asks for the tenant's name, and no tenant profile is in use"))
            .help("profiles are listed in mdetag.yaml under `tenants`; `mdetag init` writes one")
    })?;
    Ok(PathBuf::from(text.replace(TENANT, name)))
}

/// A report's format, if the word names one.
///
/// # Errors
/// Formats of findings and of tenants.
pub fn report_format(format: Format) -> Result<Format, Failure> {
    if format.is_offered() {
        return Ok(format);
    }
    let of = if matches!(format, Format::Gitlab | Format::Kubernetes) { "tenants" } else { "validate" };
    Err(Failure::usage(format!("`--format {}` is for `{of}`", format.name()))
        .help("annotations come by themselves in GitHub Actions (--ci github); choose another format here"))
}

/// Refuses formats that a command does not have.
///
/// # Errors
/// The command and its formats.
pub fn only(format: Format, command: &str, known: &[Format]) -> Result<(), Failure> {
    if known.contains(&format) {
        return Ok(());
    }
    let words: Vec<&str> = known.iter().map(|format| format.name()).collect();
    Err(Failure::usage(format!("`{command}` has no `--format {}`", format.name()))
        .help(format!("choose one of {}", words.join(", "))))
}
