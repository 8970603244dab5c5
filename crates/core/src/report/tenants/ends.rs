//! The end of a command for many tenants: the last lines for people, and the parts of the combined document.
//!
//! Writes nothing: the document of thousands of tenants is written part by part, as each ends.

use serde_json::{Value, json};

use super::{TenantError, TenantResult};
use crate::report::escape::json_document;
use crate::report::words::{counted, number};

/// One line per tenant, and the number that ended well.
#[derive(Clone, Debug, Default)]
pub struct TenantEndings {
    lines: Vec<(String, u8, String)>,
}

impl TenantEndings {
    /// Adds the line of a tenant.
    pub fn add(&mut self, result: &TenantResult) {
        self.lines.push((result.tenant.clone(), result.exit_code, result.sentence()));
    }

    /// All lines, and the sum.
    pub fn text(&self) -> String {
        let width = self.lines.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let mut text = String::from("All tenants:\n");
        for (name, exit, words) in &self.lines {
            text.push_str(&format!("  {name:<width$}  exit {exit}  {words}\n"));
        }
        let good = self.lines.iter().filter(|(_, exit, _)| *exit == 0).count() as u64;
        let all = counted(self.lines.len() as u64, "tenant");
        text.push_str(&format!("{all}, {} with exit 0\n", number(good)));
        text
    }
}

/// The start of the combined document: the tenants' parts follow, separated by commas, then [`end`].
pub const BEGINNING: &str = "{\n\"formatVersion\": \"1.0\",\n\"tenants\": [";

/// One tenant's part: the command's output for it, its figures, or its failure.
pub fn part(result: &TenantResult, report: &[u8]) -> String {
    let part = json!({
        "tenant": result.tenant,
        "exitCode": result.exit_code,
        "summary": result.summary,
        "report": written(report),
        "error": result.error,
    });
    json_document(&part).trim_end().to_owned()
}

/// The end of the document.
pub fn end(exit_code: u8) -> String {
    format!("\n],\n\"exitCode\": {exit_code}\n}}\n")
}

/// The end of a command that needs no tenant, for one policy set.
#[derive(Clone, Copy, Debug)]
pub struct PolicySetEnd<'a> {
    /// The paths of its policies.
    pub policies: &'a [String],
    /// The profiles that share it.
    pub tenants: &'a [String],
    /// The exit code for this set alone.
    pub exit_code: u8,
    /// The command's output for it.
    pub report: &'a [u8],
    /// Why the command could not do its work.
    pub error: Option<&'a TenantError>,
}

/// The part of a policy set.
pub fn policy_set(set: &PolicySetEnd<'_>) -> Value {
    json!({
        "policies": set.policies,
        "tenants": set.tenants,
        "exitCode": set.exit_code,
        "report": written(set.report),
        "error": set.error,
    })
}

/// The document for all policy sets.
pub fn policy_sets(sets: &[Value], exit_code: u8) -> String {
    json_document(&json!({ "formatVersion": "1.0", "policySets": sets, "exitCode": exit_code }))
}

fn written(report: &[u8]) -> Value {
    serde_json::from_slice(report).unwrap_or(Value::Null)
}
