//! `mdetag test`: policy tests, without a tenant.

use mdetag::store::output_file;
use mdetag::store::path_text::shown;
use mdetag_core::policy;
use mdetag_core::rehearsal;
use mdetag_core::report::rehearsal::{self as rendered, TestReport};

use super::args::{Format, TestArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::hunting;
use super::output;
use super::planning::has_errors;
use super::policy_set;

/// Runs the tests of the policy set.
///
/// # Errors
/// A policy set or test file with errors, no test, a report that cannot be written.
pub fn run(context: &Context, args: &TestArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "test", &[Format::Human, Format::Json, Format::Junit])?;
    let (paths, now) = (context.policy_paths(&args.policy.policy)?, context.policy_now());
    let policy_set::Read { set, tests: sources } = policy_set::read(context, &paths, now);
    let (tests, test_findings) = policy::parse_tests(&sources, now);
    if has_errors(&set.findings) || has_errors(&test_findings) {
        let (sources, findings) = policy_set::merged(set.sources, set.findings, &sources, test_findings);
        return Err(Failure::policy(sources, findings));
    }
    if tests.tests.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| shown(path)).collect();
        return Err(Failure::usage(format!("there is no policy test in {}", named.join(", ")))
            .help("tests are kept beside the policies, in files named *.test.yaml"));
    }
    let hunting = hunting::recorded(context)?;
    let ended = rehearsal::rehearse(&set.policy, &set.sources, &tests, &hunting, now);
    let tested =
        TestReport { rehearsal: &ended, policy: &set.policy, sources: &set.sources, tests: &sources };
    if let Some(path) = &args.junit {
        let mut text = Vec::new();
        rendered::junit(&tested, &mut text)?;
        output_file::write(path, |out| out.write_all(&text))?;
    }
    let mut text = Vec::new();
    match context.global.format {
        Format::Json => text.extend_from_slice(rendered::json(&tested).as_bytes()),
        Format::Junit => rendered::junit(&tested, &mut text)?,
        _ => {
            let style = context.console.style(false);
            rendered::human(&tested, &style, &mut text)?;
        }
    }
    context.console.result(&String::from_utf8_lossy(&text))?;
    Ok(if ended.failed() == 0 { Exit::Success } else { Exit::Error })
}
