//! The first line of a snapshot file: the tenant of the devices, when they were read, and how far to trust them.
//!
//! Reads no devices.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use mdetag_core::inventory::UntrustedReason;
use mdetag_core::plan::TenantReference;
use mdetag_core::time::Timestamp;

/// The written version; any 1.x is read.
const FORMAT_VERSION: &str = "1.0";

/// The content of a snapshot file's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotStamp {
    /// The tenant that was read.
    pub tenant: TenantReference,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// Number of devices, one per line.
    pub devices: u64,
    /// Why the read is untrusted; empty: it is trusted.
    pub reasons: Vec<String>,
}

/// The first line of a snapshot file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SnapshotHeader {
    format_version: String,
    kind: String,
    #[serde(default, deserialize_with = "object")]
    pub(super) tenant: HeaderTenant,
    #[serde(default)]
    pub(super) read_at: Option<Timestamp>,
    /// Without it, nobody can tell whether the file is torn.
    #[serde(default)]
    pub(super) devices: Option<u64>,
    #[serde(default)]
    trusted: bool,
    #[serde(default)]
    reasons: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct HeaderTenant {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) cloud: Option<String>,
}

/// A tenant as an object: derived readers would accept `[]` as a tenant without a name.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderTenant, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    if !value.is_object() {
        return Err(D::Error::custom("`tenant` is no object"));
    }
    serde_json::from_value(value).map_err(D::Error::custom)
}

impl SnapshotHeader {
    pub(super) fn new(stamp: &SnapshotStamp) -> SnapshotHeader {
        let TenantReference { id, name, cloud } = stamp.tenant.clone();
        SnapshotHeader {
            format_version: FORMAT_VERSION.to_owned(),
            kind: "snapshot".to_owned(),
            tenant: HeaderTenant { id, name, cloud },
            read_at: stamp.read_at,
            devices: Some(stamp.devices),
            trusted: stamp.reasons.is_empty(),
            reasons: stamp.reasons.clone(),
        }
    }

    /// Parses a line as a header; `None` if it is not one.
    pub(super) fn parse(line: &[u8]) -> Option<Result<SnapshotHeader, String>> {
        #[derive(Deserialize)]
        struct HeaderKind {
            kind: Option<String>,
        }
        let kind: HeaderKind = serde_json::from_slice(line).ok()?;
        if kind.kind.as_deref() != Some("snapshot") {
            return None;
        }
        let header =
            serde_json::from_slice::<SnapshotHeader>(line).map_err(|error| format!("its header: {error}"));
        Some(header.and_then(|header| match header.format_version.split('.').next() {
            Some("1") => Ok(header),
            _ => Err(format!(
                "format version {} is newer than this program reads (1.x)",
                header.format_version
            )),
        }))
    }

    pub(super) fn reasons(&self) -> Vec<UntrustedReason> {
        if self.trusted && self.reasons.is_empty() {
            return Vec::new();
        }
        if self.reasons.is_empty() {
            return vec![UntrustedReason::Recorded(
                "the read was untrusted, and no reason was kept".to_owned(),
            )];
        }
        self.reasons.iter().cloned().map(UntrustedReason::Recorded).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_is_no_object_makes_a_bad_header() {
        for tenant in ["[]", "[null,null,null]", "null", "\"x\"", "7"] {
            let line = format!(
                r#"{{"formatVersion":"1.0","kind":"snapshot","tenant":{tenant},"devices":1,"trusted":true}}"#
            );
            assert!(SnapshotHeader::parse(line.as_bytes()).unwrap().is_err(), "{tenant}");
        }
        let line =
            r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"t"},"devices":1,"trusted":true}"#;
        assert_eq!(SnapshotHeader::parse(line.as_bytes()).unwrap().unwrap().tenant.id.as_deref(), Some("t"));
    }
}
