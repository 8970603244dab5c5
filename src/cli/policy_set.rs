//! Reads a policy set for a command: files, meaning, findings, and how plans name them.
//!
//! Shows nothing; commands decide what becomes of findings.

use std::path::PathBuf;

use crate::store::{policy_files, repository};
use mdetag_core::diagnostic::{Diagnostic, Sources, Span};
use mdetag_core::policy;
use mdetag_core::time::Timestamp;

use super::context::Context;
use super::failure::Failure;
use super::planning::{PolicySet, has_errors};

/// A policy set with everything that was found in it, errors included.
pub struct Read {
    /// The set; usable only without errors.
    pub set: PolicySet,
    /// The tests beside it.
    pub tests: Sources,
}

/// Reads policy files. Never fails: errors are findings.
pub fn read(context: &Context, paths: &[PathBuf], now: Timestamp) -> Read {
    let files = policy_files::read(paths);
    let mut reference = files.reference(&context.base);
    reference.commit = context.repository.as_deref().and_then(repository::commit);
    let (policy, findings) = policy::resolve(&files.policy, now);
    Read { set: PolicySet { sources: files.policy, policy, findings, reference }, tests: files.tests }
}

/// Reads a policy set that must be free of errors.
///
/// # Errors
/// Every finding, where one of them is an error.
pub fn load(context: &Context, paths: &[PathBuf], now: Timestamp) -> Result<PolicySet, Failure> {
    let Read { set, .. } = read(context, paths, now);
    if has_errors(&set.findings) {
        return Err(Failure::policy(set.sources, set.findings));
    }
    Ok(set)
}

/// The findings that a command other than `validate` shows: notes are for `validate`.
pub fn warnings(findings: &[Diagnostic]) -> Vec<Diagnostic> {
    let is_note = |finding: &&Diagnostic| finding.severity == mdetag_core::diagnostic::Severity::Note;
    findings.iter().filter(|finding| !is_note(finding)).cloned().collect()
}

/// Findings of a policy set and of its tests over one list of sources.
pub fn merged(
    mut sources: Sources,
    mut findings: Vec<Diagnostic>,
    tests: &Sources,
    mut found: Vec<Diagnostic>,
) -> (Sources, Vec<Diagnostic>) {
    let offset = sources.files.len() as u32;
    let shift = |span: &mut Span| span.source.0 += offset;
    for finding in &mut found {
        finding.span.iter_mut().for_each(shift);
        finding.related.iter_mut().for_each(|related| shift(&mut related.span));
    }
    sources.files.extend(tests.files.iter().cloned());
    findings.extend(found);
    (sources, findings)
}
