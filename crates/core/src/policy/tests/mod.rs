//! The sentences of the language reference as tests, by chapter.

mod dead;
mod files;
mod hostile;
mod language;
mod maps;
mod rollout;
mod rules;
mod selectors;
mod settle;

use super::{Policy, data_files, resolve};
use crate::diagnostic::{Diagnostic, Severity, Source, Sources};
use crate::tag::TagCase;
use crate::time::Timestamp;

/// The clock of these tests.
pub(super) fn now() -> Timestamp {
    Timestamp::parse("2026-11-22T03:00:00Z").unwrap()
}

/// A set of files of one root, with its data files.
pub(super) fn sources(files: &[(&str, &str)], data: &[(&str, &str)]) -> Sources {
    let file = |(name, text): &(&str, &str)| Source::new(*name, 0, *name, *text);
    let mut sources = Sources { files: files.iter().map(file).collect(), ..Sources::default() };
    for (path, text) in data {
        sources.data.insert((0, (*path).to_owned()), Ok(text.as_bytes().into()));
    }
    sources
}

/// A resolved set whose findings tests compare.
pub(super) struct ResolvedSet {
    pub(super) sources: Sources,
    pub(super) policy: Policy,
    pub(super) findings: Vec<Diagnostic>,
}

pub(super) fn set(files: &[(&str, &str)], data: &[(&str, &str)]) -> ResolvedSet {
    let sources = sources(files, data);
    data_files(&sources);
    let (policy, findings) = resolve(&sources, TagCase::Exact, now());
    ResolvedSet { sources, policy, findings }
}

/// Resolves one file; puts `version: 1` before it.
pub(super) fn one(text: &str) -> ResolvedSet {
    set(&[("p.yaml", &format!("version: 1\n{text}"))], &[])
}

/// Resolves one file with tags that compare without case.
pub(super) fn one_without_case(text: &str) -> ResolvedSet {
    let sources = sources(&[("p.yaml", &format!("version: 1\n{text}"))], &[]);
    let (policy, findings) = resolve(&sources, TagCase::Insensitive, now());
    ResolvedSet { sources, policy, findings }
}

/// One file with data files.
pub(super) fn with_data(text: &str, data: &[(&str, &str)]) -> ResolvedSet {
    set(&[("p.yaml", &format!("version: 1\n{text}"))], data)
}

/// One rule with this selector.
pub(super) fn select(selector: &str) -> ResolvedSet {
    one(&format!("claims: [T]\nrules:\n  - name: r\n    select: {selector}\n    tags: [T]\n"))
}

impl ResolvedSet {
    /// `CODE line:column text-at-the-span`, notes left out.
    pub(super) fn shown(&self) -> Vec<String> {
        let findings = self.findings.iter().filter(|finding| finding.severity != Severity::Note);
        findings.map(|finding| self.show(finding)).collect()
    }

    fn show(&self, finding: &Diagnostic) -> String {
        let Some(span) = finding.span else { return finding.code.to_owned() };
        let place = self.sources.place(span);
        let text = self.sources.text(span).lines().next().unwrap_or("").to_owned();
        format!("{} {}:{} {}", finding.code, place.line, place.column, text).trim_end().to_owned()
    }

    /// Codes, notes left out.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        let findings = self.findings.iter().filter(|finding| finding.severity != Severity::Note);
        findings.map(|finding| finding.code).collect()
    }

    /// Codes of notes.
    pub(super) fn notes(&self) -> Vec<&'static str> {
        let findings = self.findings.iter().filter(|finding| finding.severity == Severity::Note);
        findings.map(|finding| finding.code).collect()
    }

    /// The only finding that is not a note.
    pub(super) fn only(&self) -> &Diagnostic {
        let findings: Vec<_> =
            self.findings.iter().filter(|finding| finding.severity != Severity::Note).collect();
        assert_eq!(findings.len(), 1, "{:?}", self.shown());
        findings[0]
    }

    /// Asserts that there are only notes.
    pub(super) fn sound(self) -> Policy {
        let all: Vec<_> = self.findings.iter().filter(|finding| finding.severity != Severity::Note).collect();
        assert!(all.is_empty(), "{all:#?}");
        self.policy
    }
}
