//! The language reference agrees with the code: its tables are generated from the readers'.
//!
//! `tests/docs.rs` checks the policies printed in it, as in all documents.

use std::fs;
use std::path::Path;

use crate::device::{Field, Kind};
use crate::policy::keys;
use crate::policy::operators::{Operand, kind_name, operators};
use crate::policy::shape::{MappingKey, Shape};

/// The table for a marker `<!-- table: … -->`.
fn table(marker: &str) -> String {
    match marker {
        "fields" => field_table(),
        "operands" => operand_table(),
        "meanings" => meaning_table(),
        other => {
            let name = other.strip_prefix("key ").unwrap_or_else(|| panic!("unknown table `{other}`"));
            key_table(name)
        }
    }
}

/// The document with every marked table regenerated.
fn renewed(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let marker = line.strip_prefix("<!-- table: ").and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(marker) = marker {
            while lines.next_if(|line| line.is_empty() || line.starts_with('|')).is_some() {}
            out.push('\n');
            out.push_str(&table(marker));
            if lines.peek().is_some() {
                out.push('\n');
            }
        }
    }
    out
}

#[test]
fn the_tables_of_the_language_reference_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/language.md");
    let text = fs::read_to_string(&path).expect("the language reference is readable");
    let wanted = renewed(&text);
    if text != wanted && std::env::var_os("MDETAG_UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).expect("the language reference is writable");
        return;
    }
    assert!(text.matches("<!-- table: ").count() > 15, "the markers have gone");
    assert_eq!(text, wanted, "run this test with MDETAG_UPDATE_DOCS=1 to write the tables anew");
}

/// Every kind of field with its fields and operators, as a Markdown table.
fn field_table() -> String {
    let mut table = String::from("| kind | fields | operators |\n| --- | --- | --- |\n");
    for kind in KINDS {
        let fields = Field::ALL.iter().filter(|field| field.kind() == kind);
        let mut fields: Vec<String> = fields.map(|field| format!("`{}`", field.name())).collect();
        if kind == Kind::Text {
            fields.push("`lookup.NAME.COLUMN`".to_owned());
        }
        let operators: Vec<String> = operators(kind).iter().map(|(name, _)| format!("`{name}`")).collect();
        table.push_str(&format!(
            "| {} | {} | {} |\n",
            kind_name(kind),
            fields.join(" "),
            operators.join(" ")
        ));
    }
    table
}

const KINDS: [Kind; 8] = [
    Kind::Text,
    Kind::Version,
    Kind::Integer,
    Kind::Boolean,
    Kind::Time,
    Kind::Address,
    Kind::Hardware,
    Kind::Tags,
];

/// Every field with its meaning and known values, as a Markdown table.
fn meaning_table() -> String {
    let mut table = String::from("| field | meaning | known values |\n| --- | --- | --- |\n");
    for field in Field::ALL {
        let values: Vec<String> = field.known_values().iter().map(|value| format!("`{value}`")).collect();
        table.push_str(&format!("| `{}` | {} | {} |\n", field.name(), field.about(), values.join(" ")));
    }
    table
}

/// The forms of operands, by operator, as a Markdown table.
fn operand_table() -> String {
    let mut table = String::from(
        "| kind | one value | a list | one or a list | other |\n| --- | --- | --- | --- | --- |\n",
    );
    for kind in KINDS {
        let of = |wanted: &[Operand]| {
            let names = operators(kind).iter().filter(|(_, operand)| wanted.contains(operand));
            names.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" ")
        };
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            kind_name(kind),
            of(&[Operand::One]),
            of(&[Operand::Many]),
            of(&[Operand::OneOrMany]),
            of(&[Operand::Boolean, Operand::File]),
        ));
    }
    table
}

/// The keys of a mapping, as a Markdown table: `policy`, `rule`, `lookup`, `protection`, `guard`, `caps`, `cap`,
/// `inventory`, `invariant`, `approval`, `accept`, `rollout`, `stopAt`, `health`, `superseded`, `hunting`, `lookup hunting`, `test file`, `test`, `expect`.
fn key_table(of: &str) -> String {
    let keys = match of {
        "policy" => keys::POLICY,
        "rule" => keys::RULE,
        "lookup" => keys::LOOKUP,
        "protection" => keys::PROTECTION,
        "guard" => keys::GUARD,
        "caps" => keys::CAPS,
        "cap" => keys::CAP_WITH_DAY,
        "inventory" => keys::INVENTORY,
        "invariant" => keys::INVARIANT,
        "approval" => keys::APPROVAL,
        "accept" => keys::ACCEPT,
        "rollout" => keys::ROLLOUT,
        "stopAt" => keys::STOP_AT,
        "health" => keys::HEALTH,
        "superseded" => keys::SUPERSEDED,
        "hunting" => keys::HUNTING,
        "lookup hunting" => keys::LOOKUP_HUNTING,
        "test file" => keys::TEST_FILE,
        "test" => keys::TEST,
        "expect" => keys::EXPECT,
        _ => panic!("no keys of `{of}`"),
    };
    let mut table = String::from("| key | takes | meaning |\n| --- | --- | --- |\n");
    for MappingKey { name, is_required, shape, about } in keys {
        let required = if *is_required { " (required)" } else { "" };
        table.push_str(&format!("| `{name}`{required} | {} | {about} |\n", takes(shape)));
    }
    table
}

fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Version => "`1`".to_owned(),
        Shape::Text => "text".to_owned(),
        Shape::Path => "path".to_owned(),
        Shape::Tag => "tag".to_owned(),
        Shape::TagOrGlob => "tag or glob".to_owned(),
        Shape::TagTemplate => "tag or template".to_owned(),
        Shape::Integer => "whole number".to_owned(),
        Shape::Count | Shape::Positive => "count".to_owned(),
        Shape::Percent => "percentage".to_owned(),
        Shape::Quantity => "count or percentage".to_owned(),
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Date => "date".to_owned(),
        Shape::Time => "date or time".to_owned(),
        Shape::Words(words) => {
            words.iter().map(|word| format!("`{}`", word.escape_default())).collect::<Vec<_>>().join(", ")
        }
        Shape::Selector => "selector".to_owned(),
        Shape::List(item) => format!("list: {}", takes(item)),
        Shape::Named(value) => format!("by name: {}", takes(value)),
        Shape::Mapping(_) => "mapping".to_owned(),
        Shape::Device => "fields".to_owned(),
        Shape::Cell => "text".to_owned(),
    }
}
