//! Warnings and notes that a rule intends, and the findings that they cover.
//!
//! `exceptions` reads them.

use crate::diagnostic::{Diagnostic, Severity, Span};

/// A warning or note that a rule intends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintException {
    pub rule: String,
    pub code: &'static str,
    pub reason: String,
}

/// The exceptions of the files so far.
#[derive(Default)]
pub(super) struct Exceptions(Vec<PlacedException>);

pub(super) struct PlacedException {
    pub(super) exception: LintException,
    /// The code, as it is written.
    pub(super) span: Span,
    /// The whole rule.
    pub(super) rule: Span,
    pub(super) is_used: bool,
}

impl Exceptions {
    pub(super) fn add(&mut self, placed: PlacedException) {
        self.0.push(placed);
    }

    pub(super) fn into_placed(self) -> Vec<PlacedException> {
        self.0
    }

    /// Whether an exception covers a finding; that exception then counts as used.
    pub(super) fn cover(&mut self, finding: &Diagnostic) -> bool {
        let Some(at) = finding.span.filter(|_| finding.severity != Severity::Error) else { return false };
        let holds = |rule: Span| rule.source == at.source && rule.start <= at.start && at.end <= rule.end;
        let mut covering =
            self.0.iter_mut().filter(|one| one.exception.code == finding.code && holds(one.rule));
        let Some(one) = covering.next() else { return false };
        one.is_used = true;
        true
    }
}
