//! The files of each tenant in `--out-dir`: written when it ends, read by later commands.
//!
//! Results may come from another computer: each file is checked, and unreadable ones are reported, never skipped.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use mdetag::store::path_text::shown;
use mdetag::store::{output_file, regular_file};
use mdetag_core::diagnostic::{Diagnostic, Severity};
use mdetag_core::plan::document::FORMAT_VERSION;
use mdetag_core::report::escape;
use mdetag_core::report::tenants::{Merged, RESULT_FILE, TenantError, TenantResult};
use mdetag_core::report::words;
use mdetag_core::strict_json;

use crate::cli::args::ReportArgs;
use crate::cli::failure::Failure;
use crate::cli::output::TENANT;

use super::{PLAN_FILE, REPORT_FILE};

/// The largest result that is read, in bytes.
const MAX_RESULT: u64 = 16 << 20;

/// Folders of artifacts in folders of jobs in the named folder: nothing deeper is searched.
const MOST_DEPTH: usize = 4;

/// The folder of one tenant.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, and empties it of an earlier run's files: an old plan or a good end must not be taken for this run's.
    ///
    /// # Errors
    /// A folder that cannot be made, or a file in it that cannot be removed.
    pub fn open(dir: &Path, tenant: &str) -> Result<Folder, Failure> {
        let folder = Folder(dir.join(tenant));
        let failed = |path: &Path, error: &std::io::Error| {
            Failure::file(format!("`--out-dir`: {}: {error}", shown(path)))
                .help("choose a folder that can be written to")
        };
        // A repository may contain a link in place of the folder, and the link's target must not be replaced.
        if std::fs::symlink_metadata(&folder.0).is_ok_and(|found| !found.is_dir()) {
            return Err(Failure::file(format!("`--out-dir`: {} is no folder", shown(&folder.0)))
                .help("remove it, or choose another folder"));
        }
        output_file::check(&folder.file(RESULT_FILE))
            .map_err(|error| Failure::file(format!("`--out-dir`: {error}")))?;
        std::fs::create_dir_all(&folder.0).map_err(|error| failed(&folder.0, &error))?;
        for name in [RESULT_FILE, PLAN_FILE, REPORT_FILE] {
            let path = folder.file(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&path, &error));
                }
                _ => {}
            }
        }
        Ok(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A `--report` that writes into it.
    ///
    /// # Errors
    /// A path that is no text.
    pub fn report(&self, format: &str, name: &str) -> Result<String, Failure> {
        let path = self.file(name);
        let text = path.to_str().ok_or_else(|| Failure::usage("`--out-dir` is no text that can be shown"))?;
        Ok(format!("{format}={text}"))
    }

    /// Redirects further reports with a plain name into this folder.
    ///
    /// # Errors
    /// A report with the name of one of ours.
    pub fn direct(&self, report: &mut ReportArgs) -> Result<(), Failure> {
        for text in &mut report.reports {
            let Some((format, path)) = text.split_once('=') else { continue };
            if path.contains(TENANT) || Path::new(path).is_absolute() {
                continue;
            }
            if [RESULT_FILE, PLAN_FILE, REPORT_FILE].contains(&path) {
                return Err(Failure::usage(format!(
                    "`--out-dir` writes `{path}` itself: choose another name"
                )));
            }
            *text = self.report(format, path)?;
        }
        Ok(())
    }

    /// Writes the result, the last file of a tenant, so that its presence proves the others.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(&self, result: &TenantResult) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(result).map_err(std::io::Error::from)?;
        let text = escape::json_text(&text);
        output_file::write(&self.file(RESULT_FILE), |out| out.write_all(text.as_bytes()))?;
        Ok(())
    }
}

/// The finding that represents all: an error, and no note before it.
fn first_error(findings: &[Diagnostic]) -> Option<&Diagnostic> {
    findings.iter().find(|finding| finding.severity == Severity::Error).or(findings.first())
}

/// Why a command could not do its work, in the form of results.
pub fn error(failure: &Failure) -> TenantError {
    let mut message = failure.message.clone();
    if let Some((sources, findings)) = failure.findings.as_deref()
        && let Some(first) = first_error(findings)
    {
        let place = first.span.map(|span| format!("{}: ", words::place(&sources.place(span))));
        message = format!("{message}: {}{}", place.unwrap_or_default(), first.message);
    }
    TenantError { code: failure.code.to_owned(), message, help: failure.help.clone() }
}

/// Reads every result below a folder, in the order of their paths.
///
/// # Errors
/// A folder that cannot be read.
pub fn read_all(dir: &Path) -> Result<Merged, Failure> {
    let (mut merged, mut places) = (Merged::default(), HashMap::new());
    let mut files = Vec::new();
    find(dir, MOST_DEPTH, &mut files).map_err(|error| {
        Failure::file(format!("{}: {error}", shown(dir)))
            .help("name the folder that `--all-tenants --out-dir` wrote, or one with several of them")
    })?;
    files.sort();
    for path in files {
        match read(&path) {
            Ok(result) => merged.add(&mut places, result),
            Err(why) => merged.problems.push(format!("{} does not count: {why}", shown(&path))),
        }
    }
    merged.sort();
    Ok(merged)
}

fn read(path: &Path) -> Result<TenantResult, String> {
    let text = regular_file::text(path, MAX_RESULT)?;
    let result: TenantResult = strict_json::from_slice(text.as_bytes())
        .map_err(|error| format!("it is no result of a tenant: {error}"))?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(&result.format_version) != major(FORMAT_VERSION) {
        return Err(format!(
            "it has the format {}, and this program reads {FORMAT_VERSION}",
            result.format_version
        ));
    }
    if result.exit_code == 0 && result.error.is_some() {
        return Err("it names an error and the exit code 0 at once".to_owned());
    }
    if result.exit_code > 6 {
        return Err(format!("{} is no exit code of mdetag", result.exit_code));
    }
    Ok(result)
}

/// Collects the results below a folder; links are not followed.
fn find(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            find(&entry.path(), depth - 1, found)?;
        } else if kind.is_file() && entry.file_name() == RESULT_FILE {
            found.push(entry.path());
        }
    }
    Ok(())
}
