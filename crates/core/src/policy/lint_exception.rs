//! Warnings and notes that are meant on a rule, and which findings these are.
//!
//! Does not read them; that is `exceptions`.

use crate::diagnostic::{Diagnostic, Severity, Span};

/// A warning or note that is meant on a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintException {
    pub rule: String,
    pub code: &'static str,
    pub reason: String,
}

/// What the files except so far.
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

    /// Whether a finding is meant; the exception then counts as used.
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
