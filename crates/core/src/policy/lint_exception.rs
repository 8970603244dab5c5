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
    /// The whole rule: it counts for what is found at any line of it.
    pub within: Span,
}

/// Codes that only a plan tells: whether an exception of these is needed, no policy file says.
const TOLD_BY_PLANS: [&str; 5] = ["N0601", "W0302", "W0303", "W0701", "W0702"];

impl LintException {
    /// Whether a finding is meant.
    pub fn covers(&self, finding: &Diagnostic) -> bool {
        let Some(at) = finding.span.filter(|_| finding.severity != Severity::Error) else { return false };
        let Span { source, start, end } = self.within;
        self.code == finding.code && source == at.source && start <= at.start && at.end <= end
    }

    /// Whether only a plan can say that nothing needs it.
    pub fn is_told_by_plans(&self) -> bool {
        TOLD_BY_PLANS.contains(&self.code)
    }
}

/// The exceptions of the files so far.
#[derive(Default)]
pub(super) struct Exceptions(Vec<PlacedException>);

pub(super) struct PlacedException {
    pub(super) exception: LintException,
    /// The code, as it is written.
    pub(super) span: Span,
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
        let Some(one) = self.0.iter_mut().find(|one| one.exception.covers(finding)) else { return false };
        one.is_used = true;
        true
    }
}
