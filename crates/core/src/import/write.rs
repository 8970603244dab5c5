//! An imported policy as text: claims, one rule a tag or value, lists of ids beside it.

use std::fmt::Write;

use crate::inventory::{Row, Snapshot};
use crate::pattern;

use super::{Gives, ImportedRule};

/// A file of an imported policy set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFile {
    /// Path below the policy directory, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// More ids than this go into a file of their own.
const MOST_INLINE_IDS: usize = 10;

/// The first line of every policy file that the tool writes: editors complete and check by it.
const SCHEMA_COMMENT: &str = "# yaml-language-server: $schema=../schema/policy.schema.json\n";

pub(super) fn files(
    snapshot: &Snapshot,
    rules: &[ImportedRule],
    rows: &[Vec<Row>],
    left_out: &[(String, String)],
    tenant_id: Option<&str>,
) -> Vec<ImportedFile> {
    let mut text = format!(
        "{SCHEMA_COMMENT}# Imported from the live tags: as it stands, it plans to zero changes.\nversion: 1\n"
    );
    let claims = rules.iter().filter_map(|rule| match &rule.gives {
        Gives::Tag(tag) => Some(scalar(&pattern::escape(tag))),
        Gives::Value(_) => None,
    });
    let claims: Vec<String> = claims.collect();
    if !claims.is_empty() {
        text.push_str("\nclaims:\n");
        for claim in claims {
            line(&mut text, &format!("  - {claim}"));
        }
    }
    for (tag, reason) in left_out {
        line(&mut text, &format!("# left out: {} ({reason})", scalar(tag)));
    }
    let mut lists = Vec::new();
    if !rules.is_empty() {
        text.push_str("\nrules:\n");
    }
    for (index, (rule, rows)) in rules.iter().zip(rows).enumerate() {
        if index > 0 {
            text.push('\n');
        }
        write_rule(&mut text, snapshot, rule, rows, &mut lists);
    }
    let mut files = vec![ImportedFile { path: "imported.yaml".to_owned(), text }];
    if let Some(id) = tenant_id {
        let text = format!("{SCHEMA_COMMENT}version: 1\n\nguard:\n  tenantId: {}\n", scalar(id));
        files.push(ImportedFile { path: "guard.yaml".to_owned(), text });
    }
    files.extend(lists);
    files
}

fn write_rule(
    text: &mut String,
    snapshot: &Snapshot,
    rule: &ImportedRule,
    rows: &[Row],
    lists: &mut Vec<ImportedFile>,
) {
    line(text, &format!("  - name: {}", scalar(&rule.name)));
    match (&rule.selector, rule.is_exact) {
        (Some(selector), true) => line(text, &format!("    select: {selector}")),
        (selector, _) => {
            if let Some(selector) = selector {
                let (precision, recall) = (percent(rule.precision), percent(rule.recall));
                line(
                    text,
                    &format!("    # nearest selector: {selector} (precision {precision}, recall {recall})"),
                );
            }
            write_ids(text, snapshot, rule, rows, lists);
        }
    }
    match &rule.gives {
        Gives::Tag(tag) => {
            line(text, &format!("    tags: [{}]", scalar(&tag.replace('{', "{{").replace('}', "}}"))))
        }
        Gives::Value(value) => line(text, &format!("    deviceValue: {value}")),
    }
}

/// The rule's devices by id: inline with their names, or in a file of their own.
fn write_ids(
    text: &mut String,
    snapshot: &Snapshot,
    rule: &ImportedRule,
    rows: &[Row],
    lists: &mut Vec<ImportedFile>,
) {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| snapshot.id(*row));
    if rows.len() <= MOST_INLINE_IDS {
        text.push_str("    select:\n      id:\n");
        for row in rows {
            let name = snapshot.name(row).map(|name| format!("  # {}", comment(name))).unwrap_or_default();
            line(text, &format!("        - {}{name}", scalar(snapshot.id(row))));
        }
        return;
    }
    let path = format!("data/{}.txt", rule.name);
    line(text, &format!("    select: {{ id: {{ inFile: {} }} }}", scalar(&path)));
    let mut list = String::new();
    for row in rows {
        if let Some(name) = snapshot.name(row) {
            line(&mut list, &format!("# {}", comment(name)));
        }
        line(&mut list, snapshot.id(row));
    }
    lists.push(ImportedFile { path, text: list });
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a String takes any text");
}

/// A name that cannot leave its comment.
fn comment(name: &str) -> String {
    name.chars().map(|scalar| if scalar.is_control() { '\u{FFFD}' } else { scalar }).collect()
}

/// `97.4 %`, and 100 % only where nothing is missing.
fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

/// A YAML scalar of this text: plain where that reads back as the same text in block and flow style, else double-quoted.
pub(super) fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if starts && !word && text.bytes().all(plain) {
        return text.to_owned();
    }
    serde_json::to_string(text).expect("text is JSON")
}
