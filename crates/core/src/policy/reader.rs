//! Reads typed values from a tree and reports what is wrong: the helpers that all readers of the policy share.
//!
//! Knows no key by name; those are in `keys`.

use std::time::Duration;

use super::expression_size::Growth;
use super::lint_exception::Exceptions;
use super::node::{MappingEntry, Node, NodeKind, shown};
use super::scalars;
use super::shape::MappingKey;
use crate::diagnostic::{Diagnostic, Severity, Sources, Span, did_you_mean};
use crate::tag::TagCase;
use crate::text;
use crate::time::{Date, Timestamp, parse_duration};

/// The most findings of one severity. Nobody reads more, and a hostile file must not cause millions.
const MAX_FINDINGS: usize = 1_000;

/// The longest name for which a suggestion is searched.
const MAX_SUGGESTED: usize = 100;

/// The most names that are searched for a suggestion.
const MAX_CANDIDATES: usize = 1_000;

/// The state that readers share: the sources, the clock, and the findings so far.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a Sources,
    pub(super) now: Timestamp,
    pub(super) tag_case: TagCase,
    findings: Vec<Diagnostic>,
    pub(super) exceptions: Exceptions,
    /// Number of findings of each severity, including those over the limit.
    counts: [usize; 3],
    /// Number of compiled patterns; each takes kilobytes.
    pub(super) patterns: usize,
    /// The remaining budget for regular expressions.
    pub(super) growth: Growth,
    /// Whether a reported mistake has removed rules or their tags from the policy. Nothing can then be said about what no rule
    /// does.
    pub(super) is_partial: bool,
}

/// The entries of a mapping whose keys were checked.
pub(super) struct Fields<'n> {
    entries: &'n [MappingEntry],
    pub(super) span: Span,
}

impl<'n> Fields<'n> {
    /// The value at a key.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The entry of a key.
    pub(super) fn entry(&self, name: &str) -> Option<&'n MappingEntry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    pub(super) fn entries(&self) -> &'n [MappingEntry] {
        self.entries
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources, tag_case: TagCase, now: Timestamp) -> Reader<'a> {
        Reader {
            sources,
            now,
            tag_case,
            findings: Vec::new(),
            exceptions: Exceptions::default(),
            counts: [0; 3],
            patterns: 0,
            growth: Growth::default(),
            is_partial: false,
        }
    }

    /// Adds a finding, unless an exception of its rule covers it.
    pub(super) fn report(&mut self, finding: Diagnostic) {
        if self.exceptions.cover(&finding) {
            return;
        }
        let count = &mut self.counts[finding.severity as usize];
        *count += 1;
        if *count <= MAX_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// All findings in the order of files and lines, those without a place first.
    pub(super) fn into_findings(mut self) -> Vec<Diagnostic> {
        let place = |finding: &Diagnostic| finding.span.map(|span| (span.source, span.start));
        self.findings.sort_by_key(|finding| (place(finding), finding.severity));
        self.findings.dedup();
        let rest = self.counts.map(|count| count.saturating_sub(MAX_FINDINGS));
        let more =
            |count: usize, what: &str| format!("{count} more {what} are not shown; repair these first");
        if rest[0] > 0 {
            self.findings.push(Diagnostic::error("E0199", None, more(rest[0], "errors")));
        }
        if rest[1] > 0 {
            self.findings.push(Diagnostic::warning("W0199", None, more(rest[1], "warnings")));
        }
        self.findings
    }

    /// Whether an error was found so far.
    pub(super) fn has_errors(&self) -> bool {
        self.counts[Severity::Error as usize] > 0
    }

    /// Whether further errors are only counted. No suggestion is then searched, because nobody will see it.
    pub(super) fn is_full(&self) -> bool {
        self.counts[Severity::Error as usize] >= MAX_FINDINGS
    }

    /// A mapping with these keys and no others, all required ones present. `what` follows the word "in": `a rule`.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        keys: &[MappingKey],
        what: &str,
    ) -> Option<Fields<'n>> {
        let entries = self.map(node, what)?;
        self.check_keys(entries.iter(), node.span, keys, what);
        Some(Fields { entries, span: node.span })
    }

    /// Reports unknown and missing keys.
    pub(super) fn check_keys<'n>(
        &mut self,
        entries: impl Iterator<Item = &'n MappingEntry> + Clone,
        span: Span,
        keys: &[MappingKey],
        what: &str,
    ) {
        for entry in entries.clone() {
            if keys.iter().any(|key| key.name == entry.key) {
                continue;
            }
            let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
            let what = format!("key `{}` in {what}", shown(&entry.key));
            self.unknown("E0103", entry.key_span, &what, &entry.key, &known);
        }
        for key in keys.iter().filter(|key| key.is_required) {
            if !entries.clone().any(|entry| entry.key == key.name) {
                let at = entries.clone().next().map_or(span, |entry| entry.key_span);
                let finding = Diagnostic::error("E0105", at, format!("`{}` is missing in {what}", key.name));
                self.report(finding.label(format!("needs `{}`", key.name)).help(key.about));
            }
        }
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [MappingEntry]> {
        match &node.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => self.wrong(node, what, "a mapping"),
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            NodeKind::List(items) => Some(items),
            _ => self.wrong(node, what, "a list"),
        }
    }

    /// A duration with its unit. A bare number gets its own advice: it lacks a unit, and quoting does not add one.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        if let NodeKind::Number(_) = node.kind {
            let raw = shown(self.sources.text(node.span));
            let message = format!("{what} is a duration with its unit, found {}", node.describe());
            let finding = Diagnostic::error("E0208", node.span, message).label("no unit");
            self.report(finding.help(format!("say of what: `{raw}h`, `{raw}m` or `{raw}d`")));
            return None;
        }
        let text = self.text(node, what)?;
        self.parsed(node.span, what, parse_duration(text))
    }

    /// A list with at least one item.
    pub(super) fn filled_list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        let items = self.list(node, what)?;
        if items.is_empty() {
            self.report(
                Diagnostic::error("E0204", node.span, format!("{what} is an empty list")).label("no entry"),
            );
            return None;
        }
        Some(items)
    }

    /// Text. A number, a boolean or null must be quoted.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            NodeKind::Text(text) => Some(text),
            NodeKind::Number(_) | NodeKind::Boolean(_) => {
                let raw = self.sources.text(node.span);
                let message = format!("{what} is text, found {}", node.describe());
                let finding = Diagnostic::error("E0207", node.span, message).label("not text");
                self.report(finding.help(format!("quote it: \"{}\"", shown(raw))));
                None
            }
            _ => self.wrong(node, what, "text"),
        }
    }

    /// Text that is not blank.
    pub(super) fn filled_text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = self.text(node, what)?;
        if text::is_blank(text) {
            self.report(Diagnostic::error("E0208", node.span, format!("{what} is empty")));
            return None;
        }
        Some(text)
    }

    /// One text or a non-empty list of them, each with its place.
    pub(super) fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<(&'n str, Span)>> {
        let items = match &node.kind {
            NodeKind::List(_) => self.filled_list(node, what)?,
            _ => std::slice::from_ref(node),
        };
        let texts: Vec<_> = items
            .iter()
            .filter_map(|item| Some((self.text(item, &format!("an entry of {what}"))?, item.span)))
            .collect();
        (texts.len() == items.len()).then_some(texts)
    }

    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.kind {
            NodeKind::Boolean(value) => Some(value),
            _ => self.wrong(node, what, "`true` or `false`"),
        }
    }

    pub(super) fn integer(&mut self, node: &Node, what: &str) -> Option<i64> {
        let NodeKind::Number(raw) = &node.kind else { return self.wrong(node, what, "a whole number") };
        if let Some(number) = scalars::whole(raw) {
            return Some(number);
        }
        let bounds = match raw.contains(['.', 'e', 'E']) {
            true => String::new(),
            false => format!(" from {} to {}", i64::MIN, i64::MAX),
        };
        let message = format!("{what} is a whole number{bounds}, found `{}`", shown(raw));
        self.report(Diagnostic::error("E0208", node.span, message));
        None
    }

    /// A whole number that is not negative.
    pub(super) fn count(&mut self, node: &Node, what: &str) -> Option<u64> {
        let number = self.integer(node, what)?;
        if number < 0 {
            self.report(Diagnostic::error("E0208", node.span, format!("{what} cannot be negative")));
        }
        u64::try_from(number).ok()
    }

    pub(super) fn date(&mut self, node: &Node, what: &str) -> Option<Date> {
        let text = self.text(node, what)?;
        self.parsed(node.span, what, Date::parse(text))
    }

    /// One of a few words, compared exactly.
    pub(super) fn word<'n>(&mut self, node: &'n Node, what: &str, words: &[&str]) -> Option<&'n str> {
        let text = self.text(node, what)?;
        if words.contains(&text) {
            return Some(text);
        }
        self.unknown("E0209", node.span, &format!("value `{}` of {what}", shown(text)), text, words);
        None
    }

    /// The value of a parser; its error, a sentence, becomes a finding.
    pub(super) fn parsed<T>(&mut self, span: Span, what: &str, outcome: Result<T, String>) -> Option<T> {
        outcome
            .map_err(|error| {
                self.report(Diagnostic::error("E0208", span, format!("{what}: {}", shown_long(&error))))
            })
            .ok()
    }

    /// "Unknown …", with the nearest name if there is one, else with the known ones.
    pub(super) fn unknown(&mut self, code: &'static str, span: Span, what: &str, word: &str, known: &[&str]) {
        let finding = Diagnostic::error(code, span, format!("unknown {what}"));
        if self.is_full() {
            return self.report(finding);
        }
        let help = match suggestion(word, known) {
            Some(near) => {
                self.report(finding.label(format!("did you mean `{near}`?")).help(format!("write `{near}`")));
                return;
            }
            None if known.is_empty() => "none is defined in this policy set".to_owned(),
            None => format!("expected one of {}", listed(known)),
        };
        self.report(finding.label("not known here").help(help));
    }

    fn wrong<T>(&mut self, node: &Node, what: &str, expected: &str) -> Option<T> {
        let message = format!("{what} is {expected}, found {}", node.describe());
        let mut finding =
            Diagnostic::error("E0104", node.span, message).label(format!("expected {expected}"));
        if let Some(template) = node.unquoted_template().filter(|_| expected == "text") {
            finding =
                finding.help(format!("quote it: `\"{template}\"`; braces without quotes are a mapping"));
        }
        self.report(finding);
        None
    }
}

/// The nearest name, unless the word is too long to be a typing slip.
pub(super) fn suggestion<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > MAX_SUGGESTED {
        return None;
    }
    did_you_mean(word, known.iter().copied().take(MAX_CANDIDATES).filter(|name| name.len() <= MAX_SUGGESTED))
}

/// At most twenty names for a sentence.
fn listed(names: &[&str]) -> String {
    let mut text =
        names.iter().take(20).map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ");
    if names.len() > 20 {
        text.push_str(&format!(" and {} more", names.len() - 20));
    }
    text
}

/// Text of a file for a sentence: control characters escaped, cut if it is very long.
pub(super) fn shown_long(text: &str) -> String {
    let cut = if text.chars().nth(300).is_some() { "…" } else { "" };
    let beginning: String = text.chars().take(300).collect();
    format!("{}{cut}", crate::text::visible(&beginning))
}
