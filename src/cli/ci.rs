//! Adapts to CI systems: which one this is, and its extra outputs besides the report.
//!
//! Renders nothing itself; that is `report::ci`.

use std::fs::File;
use std::path::Path;

use mdetag::store::{output_file, regular_file, repository};
use mdetag_core::diagnostic::{Diagnostic, Sources};
use mdetag_core::report;
use mdetag_core::report::ci::{self as manners, SUMMARY_CHARS, System};
use mdetag_core::report::diagnostics;
use mdetag_core::report::model::Model;
use mdetag_core::report::style::Style;
use mdetag_core::report::unplanned::{self, Unplanned};

use super::args::CiSystem;
use super::console::Console;
use super::context::Context;
use super::failure::Failure;

/// The CI system to write for: the named one, or the one that the environment shows.
pub fn detect(asked: CiSystem) -> Option<System> {
    match asked {
        CiSystem::Auto => manners::detect(variable),
        CiSystem::Github => Some(System::Github),
        CiSystem::Gitlab => Some(System::Gitlab),
        CiSystem::Azure => Some(System::Azure),
        CiSystem::None => None,
    }
}

/// Whether any CI system runs this.
pub fn is_ci() -> bool {
    detect(CiSystem::Auto).is_some() || variable("CI").is_some_and(|value| value != "false")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Findings as annotations at policy lines, if the CI system supports them; on standard error, which runners also read.
pub fn annotate(asked: CiSystem, sources: &Sources, findings: &[Diagnostic], console: &Console) {
    if console.logs_json {
        // Every line of the log must be JSON, and the findings are among them.
        return;
    }
    let text = match detect(asked) {
        Some(System::Github) => diagnostics::github(sources, findings),
        Some(system @ System::Azure) => {
            let line = |finding: &Diagnostic| {
                let place = finding.span.map(|span| sources.place(span));
                manners::annotation(system, finding.severity, place.as_ref(), finding.code, &finding.message)
            };
            findings.iter().filter_map(line).collect()
        }
        Some(System::Gitlab) | None => String::new(),
    };
    if !text.is_empty() {
        console.complain(&text);
    }
}

/// Findings that prevent a plan, as GitHub's step summary.
///
/// # Errors
/// A summary file that cannot be written.
pub fn summarize(asked: CiSystem, unplanned: &Unplanned<'_>) -> Result<(), Failure> {
    let Some(mut file) = step_summary(detect(asked))? else { return Ok(()) };
    unplanned::write(report::Format::Markdown, unplanned, SUMMARY_CHARS, &mut file)?;
    Ok(())
}

/// The file of GitHub's step summary.
fn step_summary(system: Option<System>) -> Result<Option<File>, Failure> {
    let path = variable("GITHUB_STEP_SUMMARY").filter(|_| system == Some(System::Github));
    Ok(path.map(|path| output_file::append(Path::new(&path))).transpose()?)
}

/// The CI system's extra outputs besides a report: annotations at policy lines, and on GitHub the step summary.
///
/// # Errors
/// A summary file that cannot be written.
pub fn report(asked: CiSystem, model: &Model<'_>, console: &Console) -> Result<(), Failure> {
    let Some(system) = detect(asked) else { return Ok(()) };
    let annotations = manners::annotations(system, model);
    if !annotations.is_empty() && !console.logs_json {
        console.complain(&annotations);
    }
    let Some(mut file) = step_summary(Some(system))? else { return Ok(()) };
    report::write(report::Format::Markdown, model, &Style::default(), SUMMARY_CHARS, &mut file)?;
    Ok(())
}

/// Shows text for people as a group that the CI system folds; unchanged on other systems.
///
/// # Errors
/// Those of `show`, and standard output that cannot be written.
pub fn grouped(
    asked: CiSystem,
    title: &str,
    context: &Context,
    show: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(system) = detect(asked) else { return show() };
    context.console.result(&manners::group(system, title, context.clock.now()))?;
    show()?;
    context.console.result(&manners::end_group(system, title, context.clock.now()))?;
    Ok(())
}

/// Who runs this and where, for the journal.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// The person, or the account of the job.
    pub who: Option<String>,
    pub host: Option<String>,
    pub job: Option<String>,
}

/// An address from the environment, without secrets, because journals store it.
fn address(name: &str) -> Option<String> {
    variable(name).map(|address| repository::without_secrets(&address))
}

/// The page of this job, for messages. Only a plain https address, because it is shown as a link.
pub fn link() -> Option<String> {
    let address = match manners::detect(variable)? {
        System::Github => format!(
            "{}/{}/actions/runs/{}",
            address("GITHUB_SERVER_URL")?.trim_end_matches('/'),
            variable("GITHUB_REPOSITORY")?,
            variable("GITHUB_RUN_ID")?
        ),
        System::Gitlab => address("CI_JOB_URL")?,
        System::Azure => format!(
            "{}{}/_build/results?buildId={}",
            address("SYSTEM_COLLECTIONURI")?,
            report::escape::uri(&variable("SYSTEM_TEAMPROJECT")?),
            variable("BUILD_BUILDID")?
        ),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(&byte);
    (address.starts_with("https://") && address.bytes().all(is_plain)).then_some(address)
}

/// Who runs this and where, as far as the environment shows.
pub fn who() -> Actor {
    let job = match manners::detect(variable) {
        Some(System::Github) => variable("GITHUB_REPOSITORY").map(|repository| {
            let server = address("GITHUB_SERVER_URL").unwrap_or_default();
            let server = server.trim_end_matches('/');
            format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID").unwrap_or_default())
        }),
        Some(System::Gitlab) => address("CI_JOB_URL"),
        Some(System::Azure) => variable("BUILD_BUILDURI"),
        None => None,
    };
    let names = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR", "USER", "USERNAME"];
    let host = regular_file::text(Path::new("/etc/hostname"), 4096).ok().map(|name| name.trim().to_owned());
    Actor {
        who: names.into_iter().find_map(variable).or_else(account),
        host: host
            .filter(|name| !name.is_empty())
            .or_else(|| variable("HOSTNAME"))
            .or_else(|| variable("COMPUTERNAME")),
        job,
    }
}

/// The number of this process's account, if the environment does not name it, as in a container.
#[cfg(unix)]
fn account() -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    // A process owns its own entry. On systems without one the account stays unknown.
    std::fs::metadata("/proc/self").ok().map(|own| format!("uid {}", own.uid()))
}

#[cfg(not(unix))]
fn account() -> Option<String> {
    None
}

/// Who runs this, in a few words for the holder of a lock.
pub fn origin() -> String {
    let origin = who();
    let who = origin.who.unwrap_or_else(|| "an unknown user".into());
    let place = origin.job.or(origin.host).unwrap_or_else(|| "an unnamed host".into());
    format!("{who} on {place}")
}
