//! An imported policy as text: claims, one rule per tag or value with its exceptions, and one shared list of devices.

use std::fmt::Write;

use crate::inventory::{Row, Snapshot};
use crate::text::{is_deceptive, is_formula, visible};

use super::{ImportOptions, ImportedRule, RuleOutput};

/// A file of an imported policy set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFile {
    /// Path below the policy directory, with `/`.
    pub path: String,
    /// The YAML, ready to be written.
    pub text: String,
}

/// The list of all rules without a selector.
const LIST: &str = "data/imported.csv";

/// The files of an import. `rows` are the devices of each rule.
pub(super) fn files(
    snapshot: &Snapshot,
    rules: &[ImportedRule],
    rows: &[Vec<Row>],
    claims: &[String],
    left_out: &[(String, String)],
    options: &ImportOptions,
) -> Vec<ImportedFile> {
    let schema = options.schema.as_ref();
    let schema = schema.map(|path| format!("# yaml-language-server: $schema={path}\n")).unwrap_or_default();
    let mut text = format!(
        "{schema}# Imported from the live tags: as it stands, it plans to zero changes.\nversion: 1\n"
    );
    if !claims.is_empty() {
        text.push_str("\nclaims:\n");
        for claim in claims {
            line(&mut text, &format!("  - {}", scalar(claim)));
        }
    }
    for (tag, reason) in left_out {
        line(&mut text, &format!("# left out: {} ({reason})", scalar(tag)));
    }
    if !rules.is_empty() {
        text.push_str("\nrules:\n");
    }
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["tag", "id", "name"]).expect("memory takes any row");
    let mut listed = 0;
    for (index, (rule, rows)) in rules.iter().zip(rows).enumerate() {
        if index > 0 {
            text.push('\n');
        }
        line(&mut text, &format!("  - name: {}", scalar(&rule.name)));
        if rule.is_selected {
            write_selector(&mut text, snapshot, rule);
        } else {
            listed += write_listed(&mut text, snapshot, rule, rows, &mut list);
        }
        match &rule.gives {
            RuleOutput::Tag(tag) => {
                let tag = tag.replace('{', "{{").replace('}', "}}");
                line(&mut text, &format!("    tags: [{}]", scalar(&tag)));
            }
            RuleOutput::Value(value) => line(&mut text, &format!("    deviceValue: {value}")),
        }
    }
    let mut files = vec![ImportedFile { path: "imported.yaml".to_owned(), text }];
    if let Some(id) = &options.guard {
        let text = format!("{schema}version: 1\n\nguard:\n  tenantId: {}\n", scalar(id));
        files.push(ImportedFile { path: "guard.yaml".to_owned(), text });
    }
    if listed > 0 {
        let bytes = list.into_inner().expect("memory takes any row");
        let text = String::from_utf8(bytes).expect("rows are text");
        files.push(ImportedFile { path: LIST.to_owned(), text });
    }
    files
}

/// Writes the selector, and the ids of the devices that it gets wrong.
fn write_selector(text: &mut String, snapshot: &Snapshot, rule: &ImportedRule) {
    let selector = rule.selector.as_deref().unwrap_or_default();
    if rule.without.is_empty() && rule.besides.is_empty() {
        line(text, &format!("    select: {selector}"));
        return;
    }
    line(
        text,
        &format!(
            "    # precision {}, recall {}; the exceptions follow",
            percent(rule.precision),
            percent(rule.recall)
        ),
    );
    text.push_str("    select:\n      any:\n");
    if rule.without.is_empty() {
        line(text, &format!("        - {selector}"));
    } else {
        text.push_str("        - all:\n");
        line(text, &format!("            - {selector}"));
        text.push_str("            - not:\n                id:\n");
        write_ids(text, snapshot, &rule.without, "                  ");
    }
    if !rule.besides.is_empty() {
        text.push_str("        - id:\n");
        write_ids(text, snapshot, &rule.besides, "            ");
    }
}

/// Ids with their names, in order of the ids.
fn write_ids(text: &mut String, snapshot: &Snapshot, rows: &[Row], indent: &str) {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| snapshot.id(*row));
    for row in rows {
        let name = snapshot.name(row).map(|name| format!("  # {}", visible(name))).unwrap_or_default();
        line(text, &format!("{indent}- {}{name}", scalar(snapshot.id(row))));
    }
}

/// Writes the rule's rows of the shared list, under its tag. Returns their number.
fn write_listed(
    text: &mut String,
    snapshot: &Snapshot,
    rule: &ImportedRule,
    rows: &[Row],
    list: &mut csv::Writer<Vec<u8>>,
) -> usize {
    if let Some(selector) = &rule.selector {
        let (precision, recall) = (percent(rule.precision), percent(rule.recall));
        line(text, &format!("    # nearest selector: {selector} (precision {precision}, recall {recall})"));
    }
    // An id has no alias, so a rule with an id that a table cannot hold lists its devices itself.
    if !rows.iter().all(|row| is_plain_cell(snapshot.id(*row))) {
        text.push_str("    select:\n      id:\n");
        write_ids(text, snapshot, rows, "        ");
        return 0;
    }
    let key = match &rule.gives {
        RuleOutput::Tag(tag) if is_plain_cell(tag) && !is_alias(tag) => tag.clone(),
        _ => format!("{ALIAS}{}", rule.name),
    };
    line(
        text,
        &format!(
            "    select: {{ id: {{ inFile: {{ file: {LIST}, column: id, where: {{ tag: {} }} }} }} }}",
            scalar(&key)
        ),
    );
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| snapshot.id(*row));
    for row in &rows {
        let name = snapshot.name(*row).unwrap_or_default();
        // No policy reads the names, so an apostrophe can keep one from being a formula.
        let apostrophe = if is_formula(name) { "'" } else { "" };
        let name = format!("{apostrophe}{}", visible(name));
        list.write_record([key.as_str(), snapshot.id(*row), &name]).expect("memory takes any row");
    }
    rows.len()
}

/// The prefix of a key in the list that replaces a tag which is not a plain cell.
const ALIAS: &str = "rule ";

/// Whether a tag looks like the key of another one; cells compare without case.
fn is_alias(tag: &str) -> bool {
    tag.get(..ALIAS.len()).is_some_and(|start| start.eq_ignore_ascii_case(ALIAS))
}

/// Whether a cell reads back as this text and is safe to open: cells lose blanks at their ends, hidden characters look alike in a
/// table, and a spreadsheet evaluates formulas.
fn is_plain_cell(text: &str) -> bool {
    text.trim() == text && !text.chars().any(is_deceptive) && !is_formula(text)
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a String takes any text");
}

/// `97.4 %`; 100 % only if nothing is missing.
fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

/// A YAML scalar of this text: plain if it reads back as the same text in block and flow style, else double-quoted.
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
    // JSON's escapes are valid in YAML. Characters that look like others are escaped as well.
    let json = serde_json::to_string(text).expect("text is JSON");
    let mut out = String::with_capacity(json.len());
    for scalar in json.chars() {
        match scalar {
            hidden if is_deceptive(hidden) && (hidden as u32) > 0xFFFF => {
                write!(out, "\\U{:08X}", hidden as u32).expect("a String takes any text");
            }
            hidden if is_deceptive(hidden) => {
                write!(out, "\\u{:04X}", hidden as u32).expect("a String takes any text")
            }
            shown => out.push(shown),
        }
    }
    out
}
