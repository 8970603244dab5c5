//! Reads `lints` of a rule: the warnings and notes that its author intends, each with a reason.
//!
//! Errors have no exceptions. `settings` decides how a code counts everywhere else.

use super::Rule;
use super::dead_rules;
use super::lint_exception::{LintException, PlacedException};
use super::node::{MappingEntry, Node, shown};
use super::reader::Reader;
use crate::diagnostic::{Diagnostic, Span, did_you_mean};
use crate::pages;

/// Warnings with these prefixes are about the guard, approvals, gates, protections and lost tags. Whoever may silence them
/// switches the guard off.
const NEVER_ALLOWED: [&str; 4] = ["W05", "W0604", "W0605", "W0606"];

/// Codes that speak of protections, scope and reserved tags as well as of rules: a rule may be excepted with a reason, a level for
/// all of them would silence protections too.
const ALLOWED_BY_RULE: [&str; 1] = ["N0202"];

impl Reader<'_> {
    /// Reads `lints` of a rule before its other keys, so that exceptions apply to findings in those.
    pub(super) fn exceptions(&mut self, node: &Node, rule: Span, name: &str) {
        for entry in self.map(node, "`lints`").unwrap_or_default() {
            let reason = self.filled_text(&entry.value, "the reason of an exception").map(str::to_owned);
            let code = self.lint_code(entry);
            if let Some(code) = code.filter(|code| self.may_be_allowed(code, entry.key_span))
                && let Some(reason) = reason
            {
                let exception = LintException { rule: name.to_owned(), code, reason, within: rule };
                let placed = PlacedException { exception, span: entry.key_span, is_used: false };
                self.exceptions.add(placed);
            }
        }
    }

    /// The code of an existing warning or note.
    pub(super) fn lint_code(&mut self, entry: &MappingEntry) -> Option<&'static str> {
        let code = entry.key.as_str();
        let levelled = || pages::codes().filter(|known| !known.starts_with('E'));
        if let Some(known) = levelled().find(|known| *known == code) {
            return Some(known);
        }
        let is_code = code.len() == 5
            && code.starts_with(['W', 'N'])
            && code[1..].bytes().all(|byte| byte.is_ascii_digit());
        if is_code {
            // A level for a code that is never reported would have no effect.
            let near = did_you_mean(code, levelled())
                .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            let finding =
                Diagnostic::error("E0208", entry.key_span, format!("there is no warning or note `{code}`"));
            self.report(finding.help(format!("{near}write a code as `mdetag validate` prints it")));
            return None;
        }
        let message = format!("`{}` is no code of a warning or a note", shown(code));
        let finding = Diagnostic::error("E0208", entry.key_span, message);
        self.report(
            finding.help("write a code as `mdetag validate` prints it: `W0713`; errors have no level"),
        );
        None
    }

    /// Whether a code may be silenced; reports an error if not.
    pub(super) fn may_be_allowed(&mut self, code: &str, span: Span) -> bool {
        if !NEVER_ALLOWED.iter().any(|beginning| code.starts_with(beginning)) {
            return true;
        }
        let message =
            format!("`{code}` speaks of the guard, of a protection or of a lost tag and cannot be allowed");
        self.report(
            Diagnostic::error("E0208", span, message).help("mend what it says, or leave it a warning"),
        );
        false
    }

    /// Whether a code may be silenced everywhere; reports an error if not.
    pub(super) fn may_be_allowed_everywhere(&mut self, code: &str, span: Span) -> bool {
        if !ALLOWED_BY_RULE.contains(&code) {
            return self.may_be_allowed(code, span);
        }
        let message = format!("`{code}` speaks of protections too and cannot be allowed everywhere");
        let finding = Diagnostic::error("E0208", span, message);
        self.report(finding.help("except the rule that means it, with a reason: `lints` of the rule"));
        false
    }

    /// Reports unused exceptions, and returns all of them.
    pub(super) fn settle_exceptions(&mut self, rules: &[Rule]) -> Vec<LintException> {
        let placed = std::mem::take(&mut self.exceptions).into_placed();
        let are_compared = rules.len() <= dead_rules::MOST_COMPARED;
        // If a mistake kept lints from running, their findings are missing, so no exception is called unused.
        let is_sure = !self.is_partial && !self.has_errors();
        for one in placed.iter().filter(|one| is_sure && !one.is_used) {
            let LintException { rule: name, code, .. } = &one.exception;
            let rule = rules.iter().find(|rule| rule.name == *name);
            let may_come = match *code {
                "W0401" | "W0402" => rule.is_some_and(|rule| rule.until.is_some()),
                "N0402" => rule.is_some_and(|rule| rule.from.is_some()),
                "N0404" | "W0712" | "W0713" => !are_compared,
                _ => one.exception.is_told_by_plans(),
            };
            if !may_come {
                let message = format!("rule `{}` excepts {code}, which nothing tells of it", shown(name));
                let finding = Diagnostic::warning("W0719", one.span, message).label("excepts nothing");
                self.report(finding.help("delete the exception, so that it does not hide what comes later"));
            }
        }
        placed.into_iter().map(|one| one.exception).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Sources;
    use crate::policy::resolve;
    use crate::tag::TagCase;
    use crate::time::Timestamp;

    /// The codes of the findings on two rules. The second rule adds nothing to the first.
    fn codes(narrow: &str) -> Vec<&'static str> {
        let text = format!(
            "version: 1\nclaims: [A]\nrules:\n\
             - {{ name: wide, select: {{ domain: corp.example.com }}, tags: [A] }}\n\
             - name: narrow\n  select: {{ domain: corp.example.com, osPlatform: Windows11 }}\n  tags: [A]\n{narrow}\
             - {{ name: last, select: {{ lastSeen: {{ within: 6h }} }}, deviceValue: High }}\n"
        );
        let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
        let (_, findings) = resolve(&Sources::from_text("p.yaml", &text), TagCase::Exact, now);
        findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn an_exception_with_a_reason_leaves_out_its_code_on_its_rule() {
        assert_eq!(codes(""), ["W0713", "W0718"]);
        assert_eq!(codes("  lints: { W0713: kept for the audit }\n"), ["W0718"]);
    }

    #[test]
    fn an_exception_that_nothing_needs_is_told_itself() {
        assert_eq!(codes("  lints: { W0713: audit, W0718: \"of another rule\" }\n"), ["W0719", "W0718"]);
        assert_eq!(codes("  lints: { W0713: audit, W0401: ends soon }\n"), ["W0719", "W0718"]);
        let dated =
            "  until: 2027-11-22\n  lints: { W0713: audit, W0401: it is meant to end, N0601: none yet }\n";
        assert_eq!(codes(dated), ["W0718"], "these may come");
        assert_eq!(codes("  until: 2026-11-23\n  lints: { W0713: audit, W0401: meant }\n"), ["W0718"]);
    }

    #[test]
    fn an_exception_is_the_code_of_a_warning_and_a_reason() {
        for (lints, code) in [
            ("{ W0713: \" \" }", "E0208"),
            ("{ W0713: [x] }", "E0104"),
            ("{ E0203: x }", "E0208"),
            ("{ W9999: x }", "E0208"),
            ("{ W0605: x }", "E0208"),
            ("[W0713]", "E0104"),
        ] {
            let found = codes(&format!("  lints: {lints}\n"));
            assert_eq!(
                found.iter().filter(|found| found.starts_with('E')).collect::<Vec<_>>(),
                [&code],
                "{lints}"
            );
        }
    }
}
