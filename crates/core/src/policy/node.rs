//! The tree of a YAML file: values and keys with their byte ranges.
//!
//! `syntax` parses it.

use crate::diagnostic::Span;
use crate::text::visible;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Its bytes; for an alias those of the anchor's value.
    pub(super) span: Span,
}

/// A value by the YAML 1.2 core schema.
#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A plain scalar that the core schema reads as a number, as written.
    Number(String),
    /// Every other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in order, without duplicates.
    Map(Vec<MappingEntry>),
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(super) struct MappingEntry {
    /// The key as text.
    pub(super) key: String,
    /// The bytes of the key.
    pub(super) key_span: Span,
    pub(super) value: Node,
}

impl Node {
    /// The template that was meant, if this is an unquoted `{osPlatform}`: YAML reads that as a mapping with an empty value.
    pub(super) fn unquoted_template(&self) -> Option<String> {
        let NodeKind::Map(entries) = &self.kind else { return None };
        let [MappingEntry { key, value, .. }] = entries.as_slice() else { return None };
        matches!(value.kind, NodeKind::Null).then(|| format!("{{{}}}", shown(key)))
    }

    /// The kind of value, for "expected …, found …".
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Boolean(_) => "a boolean",
            NodeKind::Number(_) => "a number",
            NodeKind::Text(_) => "text",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a mapping",
        }
    }
}

/// Text of a file for a message: short, without control characters.
pub(super) fn shown(text: &str) -> String {
    // Cut before escaping, so that no escape is cut in half.
    if text.chars().nth(80).is_none() {
        return visible(text).into_owned();
    }
    let beginning: String = text.chars().take(79).collect();
    format!("{}…", visible(&beginning))
}
