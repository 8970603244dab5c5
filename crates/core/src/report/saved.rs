//! The messages of `snapshot` and `groups --fetch` about the file that they wrote.
//!
//! Writes no file.

use serde_json::json;

use super::words::counted;

/// A file that was written.
#[derive(Clone, Copy, Debug)]
pub struct SavedFile<'a> {
    /// The path for programs.
    pub path: &'a str,
    /// The path for people.
    pub shown: &'a str,
    /// Whether its content is simulated.
    pub is_sandbox: bool,
}

impl SavedFile<'_> {
    fn human(&self, what: &str, more: &str) -> String {
        let sandbox = if self.is_sandbox { "SANDBOX: " } else { "" };
        format!("{sandbox}{what} in {}{more}\n", self.shown)
    }
}

/// A snapshot as a document. `reasons`: why it is not trusted.
pub fn snapshot_json(file: &SavedFile<'_>, devices: u64, reasons: &[String]) -> String {
    let trusted = reasons.is_empty();
    format!("{:#}", json!({ "file": file.path, "devices": devices, "trusted": trusted, "reasons": reasons }))
}

/// A snapshot for people.
pub fn snapshot_human(file: &SavedFile<'_>, devices: u64, reasons: &[String]) -> String {
    let verdict = if reasons.is_empty() { "trusted".to_owned() } else { reasons.join("; ") };
    file.human(&counted(devices, "device"), &format!(" ({verdict})"))
}

/// Device groups as a document.
pub fn groups_json(file: &SavedFile<'_>, groups: u64, notes: &[String]) -> String {
    format!("{:#}", json!({ "file": file.path, "groups": groups, "notes": notes }))
}

/// Device groups for people.
pub fn groups_human(file: &SavedFile<'_>, groups: u64) -> String {
    file.human(&counted(groups, "device group"), "")
}
