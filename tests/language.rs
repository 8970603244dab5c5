//! The language reference says what the code does: its tables are those of the readers.
//!
//! The policies printed in it are checked with all others in `tests/docs.rs`.

use std::fs;
use std::path::Path;

use mdetag_core::policy::reference;

/// What a marker `<!-- table: … -->` stands for.
fn table(marker: &str) -> String {
    match marker {
        "fields" => reference::field_table(),
        "operands" => reference::operand_table(),
        "meanings" => reference::meaning_table(),
        other => {
            let name = other.strip_prefix("key ").unwrap_or_else(|| panic!("unknown table `{other}`"));
            reference::key_table(name).unwrap_or_else(|| panic!("no keys of `{name}`"))
        }
    }
}

/// The document with the table behind every marker made anew.
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md");
    let text = fs::read_to_string(&path).expect("the language reference is readable");
    let wanted = renewed(&text);
    if text != wanted && std::env::var_os("MDETAG_UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).expect("the language reference is writable");
        return;
    }
    assert!(text.matches("<!-- table: ").count() > 15, "the markers have gone");
    assert_eq!(text, wanted, "run this test with MDETAG_UPDATE_DOCS=1 to write the tables anew");
}
