//! Texts that mdetag contains or generates for other programs, as documents: help, pages of diagnostics, manual pages,
//! completions.
//!
//! The texts are our own, so they are not escaped.

use serde_json::{Value, json};

/// A text in a document.
pub fn text(text: &str) -> String {
    document(&json!({ "formatVersion": "1.0", "text": text }))
}

/// The help of a topic in a document.
pub fn topic(topic: &str, text: &str) -> String {
    document(&json!({ "formatVersion": "1.0", "topic": topic, "text": text }))
}

/// The page of a diagnostic in a document.
pub fn page(code: &str, title: Option<&str>, page: &str) -> String {
    document(&json!({ "formatVersion": "1.0", "code": code, "title": title, "page": page }))
}

fn document(document: &Value) -> String {
    format!("{document:#}\n")
}
