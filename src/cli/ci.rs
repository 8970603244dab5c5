//! The manners of CI systems: which one this is, and what it wants beside the report.
//!
//! Renders nothing itself; that is `report`.

use crate::diagnostic::{Diagnostic, Sources};
use crate::report;
use crate::report::diagnostics;
use crate::report::model::Model;
use crate::report::style::Style;

use super::args::CiSystem;
use super::failure::Failure;

/// GitHub takes a step summary of a megabyte; longer Markdown is read by nobody.
const MAX_SUMMARY: usize = 200_000;

/// The CI system to speak to: the one that was named, or the one that the environment shows.
pub fn detect(asked: CiSystem) -> CiSystem {
    if asked != CiSystem::Auto {
        return asked;
    }
    let is = |name: &str| std::env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    match () {
        () if is("GITHUB_ACTIONS") => CiSystem::Github,
        () if is("GITLAB_CI") => CiSystem::Gitlab,
        () if is("TF_BUILD") => CiSystem::Azure,
        () => CiSystem::None,
    }
}

/// Findings as annotations at policy lines, where the CI system has such.
pub fn annotations(asked: CiSystem, sources: &Sources, findings: &[Diagnostic]) -> String {
    match detect(asked) {
        CiSystem::Github => diagnostics::github(sources, findings),
        _ => String::new(),
    }
}

/// What the CI system wants beside the report: on GitHub the step summary.
///
/// # Errors
/// A summary file that cannot be written.
pub fn report(asked: CiSystem, model: &Model<'_>) -> Result<(), Failure> {
    if detect(asked) != CiSystem::Github {
        return Ok(());
    }
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
    report::write(report::Format::Markdown, model, &Style::default(), MAX_SUMMARY, &mut file)?;
    Ok(())
}

/// Where this run runs, for the journal: the CI job and its commit, or the host.
pub fn origin() -> String {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let job = match detect(CiSystem::Auto) {
        CiSystem::Github => env("GITHUB_REPOSITORY").map(|repository| {
            let run = env("GITHUB_RUN_ID").unwrap_or_default();
            format!("GitHub Actions {repository} run {run}")
        }),
        CiSystem::Gitlab => env("CI_JOB_URL").map(|url| format!("GitLab CI {url}")),
        CiSystem::Azure => env("BUILD_BUILDURI").map(|uri| format!("Azure DevOps {uri}")),
        _ => None,
    };
    let actor =
        env("GITHUB_ACTOR").or_else(|| env("GITLAB_USER_LOGIN")).or_else(|| env("BUILD_REQUESTEDFOR"));
    let user =
        actor.or_else(|| env("USER")).or_else(|| env("USERNAME")).unwrap_or_else(|| "unknown user".into());
    let host = env("HOSTNAME").or_else(|| env("COMPUTERNAME"));
    let place = job.unwrap_or_else(|| host.unwrap_or_else(|| "this machine".into()));
    format!("{user} on {place}")
}
