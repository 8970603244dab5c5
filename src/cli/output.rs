//! Where reports go: one to standard output, further ones to files, and what the CI system wants beside them.
//!
//! Renders nothing itself; that is `report`.

use std::path::PathBuf;

use crate::store::whole_file;
use mdetag_core::report;
use mdetag_core::report::model::Model;
use mdetag_core::report::style::Style;

use super::args::{Format, ReportArgs};
use super::console::Console;
use super::failure::Failure;

/// Reports that were asked for, checked before any work is done.
#[derive(Clone, Debug)]
pub struct Reports {
    format: report::Format,
    files: Vec<(Kind, PathBuf)>,
    details: bool,
    max_chars: usize,
}

/// What a file gets: a report, or what GitLab shows beside the lines of a merge request.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Report(report::Format),
    CodeQuality,
}

impl Kind {
    fn parse(name: &str) -> Option<Kind> {
        match name {
            "codequality" => Some(Kind::CodeQuality),
            name => report::Format::parse(name).map(Kind::Report),
        }
    }
}

impl Reports {
    /// Checks `--format` and every `--report FORMAT=FILE`.
    ///
    /// # Errors
    /// A format that is none, or a report without a file.
    pub fn new(format: Format, args: &ReportArgs) -> Result<Reports, Failure> {
        let mut files = Vec::new();
        for text in &args.reports {
            let wrong = || {
                let known = report::Format::ALL.map(report::Format::name).join(", ");
                Failure::usage(format!("`--report {text}` is not FORMAT=FILE")).help(format!(
                    "write for example --report markdown=plan.md; the formats are {known}, codequality"
                ))
            };
            let (name, path) = text.split_once('=').ok_or_else(wrong)?;
            let kind = Kind::parse(name).filter(|_| !path.is_empty()).ok_or_else(wrong)?;
            files.push((kind, PathBuf::from(path)));
        }
        Ok(Reports {
            format: report_format(format)?,
            files,
            details: args.details,
            max_chars: args.max_chars,
        })
    }

    /// Whether standard output is for people.
    pub fn is_human(&self) -> bool {
        self.format == report::Format::Human
    }

    /// Writes the report to standard output and to every file.
    ///
    /// # Errors
    /// Standard output or a file that cannot be written.
    pub fn write(&self, model: &Model<'_>, console: &Console) -> Result<(), Failure> {
        let style = Style { colour: console.colour, width: console.width, details: self.details };
        self.write_files(model)?;
        report::write(self.format, model, &style, self.max_chars, &mut console.out())?;
        Ok(())
    }

    /// Shows a report to people before the final one: standard output only.
    ///
    /// # Errors
    /// Standard output that cannot be written.
    pub fn show(&self, model: &Model<'_>, console: &Console) -> Result<(), Failure> {
        let style = Style { colour: console.colour, width: console.width, details: self.details };
        report::write(self.format, model, &style, self.max_chars, &mut console.out())?;
        Ok(())
    }

    /// Writes the report to the files only.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_files(&self, model: &Model<'_>) -> Result<(), Failure> {
        for (kind, path) in &self.files {
            let style = Style { colour: false, width: 120, details: self.details };
            match kind {
                Kind::Report(format) => whole_file::write_with(path, |out| {
                    report::write(*format, model, &style, self.max_chars, out)
                })?,
                Kind::CodeQuality => {
                    whole_file::write(path, report::ci::code_quality(model).as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

/// A report's format, where the word names one.
///
/// # Errors
/// `github`, which is for findings only.
pub fn report_format(format: Format) -> Result<report::Format, Failure> {
    report::Format::parse(&format.word()).ok_or_else(|| {
        Failure::usage(format!("`--format {}` is for `validate`", format.word())).help(
            "annotations come by themselves in GitHub Actions (--ci github); choose another format here",
        )
    })
}

/// Refuses formats that a command does not have.
///
/// # Errors
/// The command and what it has.
pub fn only(format: Format, command: &str, known: &[Format]) -> Result<(), Failure> {
    if known.contains(&format) {
        return Ok(());
    }
    let words: Vec<String> = known.iter().map(|format| format.word()).collect();
    Err(Failure::usage(format!("`{command}` has no `--format {}`", format.word()))
        .help(format!("choose one of {}", words.join(", "))))
}
