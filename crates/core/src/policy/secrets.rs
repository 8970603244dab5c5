//! Secrets where none may be: in `mdetag.yaml` and in a file of tenants. They are refused, and no finding shows their line.
//!
//! Goes by the names of keys and the form of addresses, because a value alone does not show whether it is a secret.

use super::node::{Node, NodeKind};
use super::reader::Reader;
use crate::diagnostic::{Diagnostic, Sources, Span};

/// Words in a key that mean a secret, without punctuation and in lower case.
const WORDS: [&str; 13] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "token",
    "apikey",
    "privatekey",
    "accesskey",
    "accountkey",
    "sharedkey",
    "credential",
    "connectionstring",
    "authorization",
];

/// Whether the words of a key mean a secret.
pub(super) fn is_named_by(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    WORDS.iter().any(|word| plain.contains(word))
}

impl Reader<'_> {
    /// Reports a secret in a reviewed file, before any other finding: it is a leaked secret.
    pub(super) fn refuse_secrets(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Map(entries) => {
                for entry in entries {
                    if is_named_by(&entry.key) {
                        let finding = Diagnostic::error(
                            "E0801",
                            entry.key_span,
                            "a secret does not belong in mdetag.yaml",
                        );
                        self.report(finding.label("looks like a secret").help(
                            "delete it, revoke it if it was real, and use AZURE_CLIENT_SECRET, a certificate or a federated identity",
                        ));
                    }
                    self.refuse_secrets(&entry.value);
                }
            }
            NodeKind::List(items) => items.iter().for_each(|item| self.refuse_secrets(item)),
            _ => {}
        }
    }
}

/// Hides lines of the file from reports. If it contains a secret, all lines: the value may continue on other lines, and other
/// findings may be about it. Otherwise the lines that look as if they contain one, in a comment or an address. `root`: the parsed
/// file; `None` if it could not be parsed.
pub(super) fn hide(sources: &Sources, root: Option<&Node>, findings: &mut [Diagnostic]) {
    if findings.is_empty() {
        return;
    }
    let text = &*sources.files[0].text;
    let holds_secret = findings.iter().any(|finding| finding.code == "E0801")
        || match root {
            Some(root) => names_an_address(root),
            None => text.lines().any(may_hold_secret),
        };
    let is_hidden = |span: Span| holds_secret || may_hold_secret(line_of(text, span));
    for finding in findings {
        let mut places = finding.span.into_iter().chain(finding.related.iter().map(|related| related.span));
        finding.hides_lines = places.any(is_hidden);
    }
}

/// Whether `notify` contains the address of a receiver, which is secret at any place in it.
fn names_an_address(root: &Node) -> bool {
    let NodeKind::Map(entries) = &root.kind else { return false };
    entries.iter().any(|entry| entry.key == "notify" && is_or_holds_address(&entry.value))
}

fn is_or_holds_address(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Text(text) => text.contains('/'),
        NodeKind::List(items) => items.iter().any(is_or_holds_address),
        NodeKind::Map(entries) => entries.iter().any(|entry| {
            let is_no_variable = entry.key == "webhook"
                && matches!(&entry.value.kind, NodeKind::Text(text) if !text.starts_with("env:"));
            is_no_variable || entry.key.contains('/') || is_or_holds_address(&entry.value)
        }),
        _ => false,
    }
}

/// Whether a line names a secret, or contains an address with a password, a signature or a receiver's path.
fn may_hold_secret(line: &str) -> bool {
    let address = line.split_once("://").map(|(_, rest)| rest);
    is_named_by(line)
        || address.is_some_and(|rest| {
            rest.contains('@') || rest.contains("sig=") || line.to_ascii_lowercase().contains("hook")
        })
}

/// The whole line that a span starts in.
fn line_of(text: &str, span: Span) -> &str {
    let at = text.floor_char_boundary(span.start as usize);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{read_profiles, settings};
    use super::*;
    use crate::report::diagnostics;
    use crate::report::style::Style;

    const PLANTED: &str = "hunter2-hunter2";

    /// Every form of report about a file; none may contain the planted secret.
    fn told(name: &str, text: &str) -> String {
        let sources = Sources::from_text(name, text);
        let findings = match name {
            "mdetag.yaml" => settings::read(&sources).1,
            _ => read_profiles(&sources).1,
        };
        assert!(!findings.is_empty(), "{text}");
        let human = diagnostics::human(&sources, &findings, &Style::default());
        let forms = [
            diagnostics::json(&sources, &findings).to_string(),
            diagnostics::sarif(&sources, &findings).to_string(),
            diagnostics::github(&sources, &findings),
        ];
        for form in [&human].into_iter().chain(&forms) {
            assert!(!form.contains(PLANTED), "{text}\n{form}");
        }
        human
    }

    #[test]
    fn no_form_of_any_finding_shows_a_secret_of_the_settings() {
        for text in [
            "version: 1\nclientSecret: P\n",
            "version: 1\ntenants:\n  a: { clientSecret: P }\n",
            "version: 1\ntenants: { a: { tenantId: 1, cloud: gov, client-secret: P, foo: 1 } }\n",
            "version: 1\ntenants:\n  a:\n    labels: { apiToken: { P: } }\n",
            "version: 1\nstate: { accountKey: P }\n",
            "version: 1\nbudget:\n  perMinute: [\n    P, { passphrase: P } ]\n",
            "version: 1\nclientSecret: P\nclientSecret: P\n",
            "version: 1\nclientSecret: P: x\n",
            "version: 1\nclientSecret:\n\t- P\n",
            "version: 1\nclientSecret: \"a\n  P\\q\"\n",
            "version: 2 # password was P\n",
            "version: 1\nfoo: https://me:P@example.com/\n",
            "version: 1\nrepositoryUrl: https://me:P@example.com/\n",
            "version: 1\nstate: { url: \"https://example.com/?sv=1&sig=P\" }\n",
            "version: 1\nnotify: { webhook: \"https://example.com/P\", foo: 1 }\n",
            "version: 1\nnotify: { webhook: example.com/P }\n",
            "version: 1\nnotify: { webhook: P }\n",
            "version: 1\nnotify: { webhook: [ \"https://example.com/P\" ] }\n",
            "version: 1\nnotify: https://example.com/P\n",
            "version: 1\nnotify: { webhook: \"https://hooks.example.com/P\"\n",
        ] {
            told("mdetag.yaml", &text.replace('P', PLANTED));
        }
        let number = "version: 1\ntenants: { a: { labels: { apiToken: 123456 } } }\n";
        assert!(!told("mdetag.yaml", number).contains("123456"));
    }

    #[test]
    fn no_form_of_any_finding_shows_a_secret_of_a_file_of_tenants() {
        for (name, text) in [
            ("t.csv", "name,clientSecret\none,P\n"),
            ("t.csv", "name,clientSecret\none,P\none,P\n"),
            ("t.csv", "name,tenantId,clientSecret\none,x,P\n"),
            ("t.csv", "name,clientSecret\none,P,x\n"),
            ("t.csv", "clientSecret\nP\n"),
            ("t.yaml", "one: { clientSecret: P, cloud: gov }\n"),
            ("t.json", "{ \"one\": { \"clientSecret\": \"P\" }"),
        ] {
            told(name, &text.replace('P', PLANTED));
        }
    }

    #[test]
    fn the_place_of_a_secret_is_told_and_lines_without_one_are_shown() {
        let human = told("mdetag.yaml", "version: 1\ntenants:\n  a: { clientSecret: x }\n");
        assert!(human.contains("mdetag.yaml:3:8") && !human.contains("clientSecret: x"), "{human}");
        let human = told("mdetag.yaml", "version: 1 # the token comes from the environment\nfoo: bar\n");
        assert!(human.contains("foo: bar"), "{human}");
    }
}
