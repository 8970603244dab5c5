//! The reviewed part of a policy file: everything except `guard.approvals` and `guard.accept`, which may follow the review.
//!
//! Judges nothing: a file that cannot be parsed is compared as it is.

use std::borrow::Cow;

use super::node::{MappingEntry, Node, NodeKind};
use super::syntax;
use crate::diagnostic::SourceId;

/// Keys of the guard that may follow the review. What they allow depends on the day of the run.
const LATER: [&str; 2] = ["approvals", "accept"];

/// The content of a policy file without `guard.approvals` and `guard.accept`. Comments and layout do not count, the order of keys
/// does. `None` if the guard was the whole file and nothing of it is left, so that a file with only approvals counts as no file.
pub fn reviewed_content(text: &str) -> Option<Cow<'_, str>> {
    let (root, findings) = syntax::parse(text, SourceId(0));
    let Some(mut root) = root.filter(|_| findings.is_empty()) else { return Some(text.into()) };
    if let NodeKind::Map(sections) = &mut root.kind {
        sections.iter_mut().for_each(leave_later_out);
        let before = sections.len();
        sections.retain(|section| !is_empty_guard(section));
        if sections.len() < before && matches!(&sections[..], [version] if version.key == "version") {
            return None;
        }
    }
    let mut content = String::with_capacity(text.len());
    write(&root, &mut content);
    Some(content.into())
}

fn leave_later_out(section: &mut MappingEntry) {
    if let ("guard", NodeKind::Map(entries)) = (&*section.key, &mut section.value.kind) {
        entries.retain(|entry| !LATER.contains(&&*entry.key));
    }
}

fn is_empty_guard(section: &MappingEntry) -> bool {
    section.key == "guard" && matches!(&section.value.kind, NodeKind::Map(entries) if entries.is_empty())
}

/// Writes a value so that equal texts mean equal content: text is quoted, everything else is not.
fn write(node: &Node, out: &mut String) {
    match &node.kind {
        NodeKind::Null => out.push_str("null"),
        NodeKind::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        NodeKind::Number(number) => out.push_str(number),
        NodeKind::Text(text) => quote(text, out),
        NodeKind::List(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        NodeKind::Map(entries) => {
            out.push('{');
            for entry in entries {
                quote(&entry.key, out);
                out.push(':');
                write(&entry.value, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for scalar in text.chars() {
        if matches!(scalar, '"' | '\\') {
            out.push('\\');
        }
        out.push(scalar);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(one: &str, other: &str) -> bool {
        reviewed_content(one) == reviewed_content(other)
    }

    const GUARD: &str = "version: 1\nguard:\n  caps: { values: { floor: 1 } }\n";

    #[test]
    fn approvals_comments_and_layout_are_none_of_it() {
        let approved =
            format!("# new\n{GUARD}  approvals: [{{ cap: values, max: 3, expires: 2027-01-01 }}]\n");
        assert!(is_same(GUARD, &approved));
        assert!(is_same(GUARD, "{ version: 1, guard: { caps: { values: { floor: 1 } } } }"));
        assert!(is_same("version: 1\nclaims: [T]", "version: 1\nclaims: [T]\nguard: { approvals: [] }"));
        assert_eq!(reviewed_content("version: 1\nguard: { approvals: [] }"), None);
        let accepted = format!("{GUARD}  accept: [{{ tag: Old, reason: registry, expires: 2027-01-01 }}]\n");
        assert!(is_same(GUARD, &accepted));
        assert_eq!(reviewed_content("version: 1\nguard: { approvals: [], accept: [] }"), None);
        assert!(reviewed_content("version: 1\n").is_some(), "a file that nobody reviewed");
    }

    #[test]
    fn everything_else_is() {
        for other in [
            "version: 1\nguard:\n  caps: { values: { floor: 2 } }\n",
            "version: 1\nguard:\n  caps: { values: { floor: \"1\" } }\n",
            "version: 1\nguard:\n  caps: { values: { floor: 1, approvals: 3 } }\n",
            "version: 1\nguard:\n  caps: { values: { floor: 1 } }\nx-approvals: 1\n",
            "version: 1\nguard:\n  caps: { values: { floor: 1 } }\napprovals: []\n",
            "version: 1\nguard: {}\n",
            "version: 1\nguard: null\n",
        ] {
            assert!(!is_same(GUARD, other), "{other}");
        }
        assert!(!is_same("claims: [\"a\", \"b\"]", "claims: ['a\",\"b']"));
        assert!(!is_same("claims: [\"null\"]", "claims: [null]"));
        // Content that cannot be parsed is compared as it is.
        assert!(!is_same("guard: [", "guard: [ "));
        assert!(!is_same("guard: {}\n---\nclaims: [a]", "guard: {}\n---\nclaims: [b]"));
    }
}
