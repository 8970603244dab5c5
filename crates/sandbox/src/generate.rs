//! Generates a realistic fleet from a seed. Every row depends only on the seed and its number, so all cores can make a million
//! rows in any order, and the result is always the same.
//!
//! Writes bytes, never a JSON tree. Keeps nothing; that is `fleet`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use rayon::prelude::*;

use crate::draft::{Draft, Kind};
use crate::groups;
use crate::people;
use crate::record::{self, Group, Record, Tag};
use crate::settings::TENANT_ID;
use mdetag_vocabulary::time::Timestamp;

/// Every text that generated devices share.
#[derive(Debug)]
pub(super) struct Words {
    tags: HashMap<&'static str, Tag>,
    groups: HashMap<&'static str, Arc<str>>,
}

impl Words {
    /// All tags and groups of the generator.
    pub(super) fn new() -> Words {
        let share = |text: &'static str| (text, Arc::from(text));
        Words {
            tags: people::tags().map(share).collect(),
            groups: groups::NAMES.iter().map(|(_, name)| share(name)).collect(),
        }
    }

    /// The shared tags.
    pub(super) fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.tags.values()
    }

    fn tag(&self, text: &'static str) -> Tag {
        self.tags.get(text).cloned().unwrap_or_else(|| Arc::from(text))
    }
}

/// The two gaps in a device's JSON.
enum Gap {
    State,
    Tags,
}

impl Draft {
    /// The device after this many more days of reports. Devices that report rarely keep doing so.
    pub(super) fn days_later(mut self, days: u64) -> Draft {
        self.last_seen = self.last_seen.map(|seen| seen.plus(Duration::from_secs(days * 86_400)));
        self
    }

    /// The device as the sandbox keeps it.
    pub(super) fn record(&self, words: &Words) -> Record {
        let (mut json, mut state_at, mut tags_at) = (Vec::with_capacity(1100), 0, 0);
        self.write(&mut json, |gap, out| match gap {
            Gap::State => state_at = out.len(),
            Gap::Tags => tags_at = out.len(),
        });
        json.shrink_to_fit();
        let mut record = Record::new(&self.id, json, state_at, tags_at);
        let group =
            self.group.1.map(|name| words.groups.get(name).cloned().unwrap_or_else(|| Arc::from(name)));
        record.last_seen = self.last_seen;
        record.state.value = Some(self.value);
        record.state.group = Group { id: self.group.0, name: group };
        record.state.manual = self.manual.iter().map(|tag| words.tag(tag)).collect();
        record.registry = self.registry.map(|tag| words.tag(tag));
        record.dynamic = self.dynamic.iter().map(|tag| words.tag(tag)).collect();
        record.locked = self.locked.then_some(self.value);
        record
    }

    /// The device as a line of a snapshot, with tags of every origin, as the service shows them.
    fn line(&self, out: &mut Vec<u8>) {
        self.write(out, |gap, out| match gap {
            Gap::State => {
                let group = Group { id: self.group.0, name: self.group.1.map(Arc::from) };
                record::write_state(out, Some(self.value), &group, false);
            }
            Gap::Tags => {
                let mut tags = self.manual.clone();
                let external = self.registry.iter().chain(&self.dynamic);
                external.for_each(|tag| {
                    if !tags.contains(tag) {
                        tags.push(tag)
                    }
                });
                record::write_tags(out, tags.into_iter());
            }
        });
        out.push(b'\n');
    }

    /// Members in the order in which the service writes them.
    fn write(&self, out: &mut Vec<u8>, mut gap: impl FnMut(Gap, &mut Vec<u8>)) {
        out.extend_from_slice(b"{\"id\":");
        record::write_text(out, &self.id);
        member(out, "mergedIntoMachineId", self.merged_into.as_deref());
        flag(out, "isPotentialDuplication", Some(self.duplicate));
        flag(out, "isExcluded", Some(self.excluded));
        member(out, "exclusionReason", self.excluded.then_some("DuplicateDevice"));
        member(out, "computerDnsName", self.name.as_deref());
        moment(out, "firstSeen", self.first_seen);
        moment(out, "lastSeen", self.last_seen);
        member(out, "osPlatform", Some(self.platform));
        member(out, "osProcessor", Some(if self.kind == Kind::Phone { "arm64" } else { "x64" }));
        member(out, "version", self.version);
        self.write_addresses(out);
        member(out, "agentVersion", self.agent);
        match self.build {
            Some(build) => put(out, format_args!(",\"osBuild\":{build}")),
            None => out.extend_from_slice(b",\"osBuild\":null"),
        }
        member(out, "healthStatus", Some(self.health));
        out.push(b',');
        gap(Gap::State, out);
        out.extend_from_slice(b"\"riskScore\":");
        text_or_null(out, self.risk);
        member(out, "exposureLevel", Some(self.exposure));
        flag(out, "isAadJoined", self.joined);
        member(out, "aadDeviceId", self.entra_id.as_deref());
        out.push(b',');
        gap(Gap::Tags, out);
        out.extend_from_slice(b"\"onboardingStatus\":");
        text_or_null(out, Some(self.onboarding));
        member(out, "osArchitecture", Some("64-bit"));
        member(out, "managedBy", Some(self.managed_by.0));
        member(out, "managedByStatus", Some(self.managed_by.1));
        self.write_interfaces(out);
        self.write_vm(out);
        out.push(b'}');
    }

    fn write_addresses(&self, out: &mut Vec<u8>) {
        let [a, b, c, d] = self.address;
        put(out, format_args!(",\"lastIpAddress\":\"{a}.{b}.{c}.{d}\""));
        // Addresses of the documentation ranges, so that no real network appears in a generated fleet.
        let outside = if self.serial.is_multiple_of(3) { "203.0.113" } else { "198.51.100" };
        put(out, format_args!(",\"lastExternalIpAddress\":\"{outside}.{}\"", self.serial % 250 + 1));
    }

    fn write_interfaces(&self, out: &mut Vec<u8>) {
        let ([a, b, c, d], serial) = (self.address, self.serial);
        let mac = format!("00005E{:06X}", serial & 0xFF_FFFF);
        if self.kind == Kind::Discovered {
            out.extend_from_slice(
                br#","ipAddresses":[{"ipAddress":"","macAddress":null,"type":"Other","operationalStatus":"Down"}]"#,
            );
            return;
        }
        let row = |address: std::fmt::Arguments<'_>, mac: &str, kind: &str| {
            format!(
                r#"{{"ipAddress":"{address}","macAddress":{mac},"type":"{kind}","operationalStatus":"Up"}}"#
            )
        };
        let mac = format!("\"{mac}\"");
        put(
            out,
            format_args!(
                ",\"ipAddresses\":[{},{},{}]",
                row(format_args!("{a}.{b}.{c}.{d}"), &mac, "Ethernet"),
                row(
                    format_args!("fe80::{:x}:{:x}", serial >> 16 & 0xFFFF, serial & 0xFFFF),
                    &mac,
                    "Ethernet"
                ),
                row(format_args!("127.0.0.1"), "null", "SoftwareLoopback")
            ),
        );
    }

    fn write_vm(&self, out: &mut Vec<u8>) {
        let Some(azure) = &self.azure else {
            out.extend_from_slice(b",\"vmMetadata\":null");
            return;
        };
        let subscription = format!("{:08x}-0000-4000-8000-{:012x}", azure.subscription, azure.subscription);
        let short = self.name.as_deref().unwrap_or("vm").split('.').next().unwrap_or("vm");
        let resource = format!(
            "/subscriptions/{subscription}/resourceGroups/rg-{}/providers/Microsoft.Compute/virtualMachines/{short}",
            self.kind.word()
        );
        out.extend_from_slice(b",\"vmMetadata\":{");
        if azure.only_resource {
            out.extend_from_slice(b"\"vmId\":null");
        } else {
            put(
                out,
                format_args!(
                    "\"vmId\":\"{:08x}-1111-4111-8111-{:012x}\"",
                    self.serial >> 32,
                    self.serial >> 16
                ),
            );
        }
        member(out, "cloudProvider", Some("Azure"));
        member(out, "resourceId", Some(&resource));
        member(out, "subscriptionId", (!azure.only_resource).then_some(&*subscription));
        out.push(b'}');
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::DomainController => "identity",
            Kind::Server => "servers",
            Kind::Linux => "linux",
            _ => "clients",
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

fn text_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => record::write_text(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn member(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    key(out, name);
    text_or_null(out, text);
}

fn flag(out: &mut Vec<u8>, name: &str, flag: Option<bool>) {
    key(out, name);
    out.extend_from_slice(match flag {
        Some(true) => b"true",
        Some(false) => b"false",
        None => b"null",
    });
}

fn moment(out: &mut Vec<u8>, name: &str, moment: Option<Timestamp>) {
    key(out, name);
    match moment {
        Some(moment) => put(out, format_args!("\"{moment}\"")),
        None => out.extend_from_slice(b"null"),
    }
}

/// The size, seed, date and form of a generated fleet file.
#[derive(Clone, Debug)]
pub struct FleetFile {
    /// Number of devices.
    pub devices: u64,
    /// The same seed gives the same devices.
    pub seed: u64,
    /// Ages count back from this moment.
    pub created: Timestamp,
    /// Whether the first line is the header of a snapshot file; without it the file is plain NDJSON.
    pub header: bool,
}

/// Rows between two writes: enough to keep both cores busy, few enough to fit in memory.
const ROWS_AT_A_TIME: u64 = 20_000;

/// Streams a fleet as NDJSON, one API object a line. A million devices take seconds and little memory.
///
/// # Errors
/// The writer's.
pub fn generate(writer: &mut dyn Write, file: &FleetFile) -> io::Result<()> {
    if file.header {
        writeln!(
            writer,
            "{{\"formatVersion\":\"1.0\",\"kind\":\"snapshot\",\"tenant\":{{\"id\":\"{}\",\"name\":\"sandbox\",\"cloud\":\"sandbox\"}},\
             \"readAt\":\"{}\",\"devices\":{},\"trusted\":true,\"reasons\":[]}}",
            TENANT_ID, file.created, file.devices
        )?;
    }
    let mut next = 0;
    while next < file.devices {
        let end = file.devices.min(next + ROWS_AT_A_TIME);
        let parts: Vec<Vec<u8>> = (next as usize..end as usize)
            .into_par_iter()
            .with_min_len(1000)
            .fold(Vec::new, |mut out, row| {
                people::draft(file.seed, file.devices, row as u64, file.created).line(&mut out);
                out
            })
            .collect();
        for part in parts {
            writer.write_all(&part)?;
        }
        next = end;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(devices: u64, header: bool) -> String {
        let mut out = Vec::new();
        let file = FleetFile { devices, seed: 7, created: Timestamp::parse("2026-11-22").unwrap(), header };
        generate(&mut out, &file).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_is_an_object_with_every_member_of_the_api() {
        let text = lines(500, false);
        let devices: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(devices.len(), 500);
        let members = |device: &serde_json::Value| device.as_object().unwrap().len();
        assert!(devices.iter().all(|device| members(device) == 30), "{}", members(&devices[0]));
        let ids: std::collections::HashSet<&str> =
            devices.iter().map(|device| device["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 500, "no id twice");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(lines(300, true), lines(300, true));
        assert!(lines(1, true).starts_with("{\"formatVersion\":\"1.0\",\"kind\":\"snapshot\""));
    }
}
