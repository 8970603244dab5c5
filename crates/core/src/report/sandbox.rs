//! The results of `sandbox` commands, as text and as a document.
//!
//! Knows nothing about simulated tenants: their crate and this one share no code.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use serde::Serialize;
use serde_json::{Value, json};

use super::escape::{json_document, terminal};
use super::words::counted;
use crate::device::DeviceValue;

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxReport<'a> {
    /// A new sandbox with generated devices.
    Generated {
        name: &'a str,
        devices: u64,
        /// The seed that they were generated from.
        seed: u64,
        folder: String,
    },
    /// A new sandbox with the devices of a file.
    Loaded { name: &'a str, devices: u64, fleet: String, folder: String },
    /// A sandbox that serves other clients.
    Served {
        name: &'a str,
        url: &'a str,
        /// Its directory id.
        tenant_id: &'a str,
        /// The application that may sign in.
        client_id: &'a str,
        /// The application's secret, useless outside this sandbox.
        client_secret: &'a str,
    },
    /// Edits as a person would make them in the portal.
    Disturbed {
        name: &'a str,
        /// In the order in which they were made.
        edits: Vec<SandboxEdit>,
    },
    /// A file of devices was written.
    Written {
        devices: u64,
        /// The seed that they were generated from.
        seed: u64,
        file: String,
    },
    /// The faults that a sandbox can have.
    Faults(Vec<FaultRow>),
}

/// An edit to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SandboxEdit {
    pub device: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    pub what: SandboxEditKind,
}

/// One edit of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SandboxEditKind {
    Added(String),
    /// This tag was removed.
    Removed(String),
    /// The value was set to this.
    Value(DeviceValue),
}

/// A switch or a fault of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FaultRow {
    /// Its name on the command line.
    pub name: &'static str,
    pub values: &'static str,
    /// Its value unless it is set.
    pub default: &'static str,
    /// D: documented, F: reported from the field, C: sources disagree, A: assumed.
    pub mark: &'static str,
    pub meaning: &'static str,
}

pub fn human(report: &SandboxReport<'_>) -> String {
    match report {
        SandboxReport::Generated { name, devices, folder, .. } => {
            format!("SANDBOX {name} has {}, in {folder}\n", counted(*devices, "device"))
        }
        SandboxReport::Loaded { name, devices, fleet, folder } => {
            format!("SANDBOX {name} has {} of {fleet}, in {folder}\n", counted(*devices, "device"))
        }
        SandboxReport::Served { name, url, tenant_id, client_id, client_secret } => format!(
            "SANDBOX {name} is served at {url}\n\nFor another client:\n  \
             MDETAG_API_URL={url} MDETAG_LOGIN_URL={url} MDETAG_GRAPH_URL={url}\n  \
             AZURE_TENANT_ID={tenant_id} AZURE_CLIENT_ID={client_id}\n  AZURE_CLIENT_SECRET={client_secret}\n\n\
             Ctrl-C ends it.\n"
        ),
        SandboxReport::Disturbed { name, edits } => {
            let made = counted(edits.len() as u64, "edit");
            let heading = format!("SANDBOX {name}: {made} as a person in the portal would make\n");
            edits.iter().fold(heading, |text, edit| text + &edit_line(edit))
        }
        SandboxReport::Written { devices, file, .. } => {
            format!("{} in {file}\n", counted(*devices, "device"))
        }
        SandboxReport::Faults(rows) => faults(rows),
    }
}

fn edit_line(edit: &SandboxEdit) -> String {
    let what = match &edit.what {
        SandboxEditKind::Added(tag) => format!("+ {}", terminal(tag)),
        SandboxEditKind::Removed(tag) => format!("- {}", terminal(tag)),
        SandboxEditKind::Value(value) => format!("~ {value}"),
    };
    format!("  {what}  {}\n", terminal(edit.name.as_deref().unwrap_or(&edit.device)))
}

fn faults(rows: &[FaultRow]) -> String {
    let width = rows.iter().map(|row| row.name.len() + row.values.len() + 1).max().unwrap_or(0).min(50);
    let line = |row: &FaultRow| {
        let setting = format!("{}={}", row.name, row.values);
        format!("{setting:<width$}  {} (default {}, {})\n", row.meaning, row.default, row.mark)
    };
    rows.iter().map(line).collect()
}

/// Writes it as one document.
pub fn json(report: &SandboxReport<'_>) -> String {
    let document: Value = match report {
        SandboxReport::Generated { name, devices, seed, .. } => {
            json!({ "sandbox": name, "devices": devices, "seed": seed })
        }
        SandboxReport::Loaded { name, devices, fleet, .. } => {
            json!({ "sandbox": name, "devices": devices, "fleet": fleet })
        }
        SandboxReport::Served { name, url, tenant_id, client_id, client_secret } => json!({
            "sandbox": name, "url": url, "tenantId": tenant_id, "clientId": client_id,
            "clientSecret": client_secret,
        }),
        SandboxReport::Disturbed { name, edits } => json!({ "sandbox": name, "edits": edits }),
        SandboxReport::Written { devices, seed, file } => {
            json!({ "devices": devices, "seed": seed, "file": file })
        }
        SandboxReport::Faults(rows) => json!(rows),
    };
    json_document(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_name_the_device_and_disarm_the_tag() {
        let edit = |name: Option<&str>, what| SandboxEdit {
            device: "d1".to_owned(),
            name: name.map(str::to_owned),
            what,
        };
        let edits = vec![
            edit(None, SandboxEditKind::Added("##vso[x]".to_owned())),
            edit(Some("dc01"), SandboxEditKind::Value(DeviceValue::High)),
        ];
        let report = SandboxReport::Disturbed { name: "s", edits };
        let heading = "SANDBOX s: 2 edits as a person in the portal would make\n";
        assert_eq!(human(&report), format!("{heading}  + \\u{{23}}#vso[x]  d1\n  ~ High  dc01\n"));
        let document: Value = serde_json::from_str(&json(&report)).unwrap();
        assert_eq!(document["edits"][0]["what"], json!({ "added": "##vso[x]" }));
    }

    #[test]
    fn a_long_fault_does_not_push_the_meanings_of_all_others_to_the_right() {
        let row = |values| FaultRow { name: "f", values, default: "off", mark: "D", meaning: "m" };
        let text = faults(&[row("on|off"), row(&"x".repeat(80).leak()[..])]);
        assert!(text.starts_with(&format!("{:<50}  m (default off, D)\n", "f=on|off")), "{text}");
    }
}
