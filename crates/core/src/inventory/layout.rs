//! The columns that the inventory reads, and the meaning of the JSON keys of a device and of a list page.
//!
//! The table of fields with their columns and keys is `device`.

use crate::device::{Column, Field};
use crate::strict_json::is_next_link;

pub(crate) const ID: usize = text(Field::Id);
pub(crate) const NAME: usize = text(Field::ComputerDnsName);
pub(crate) const RESOURCE_ID: usize = text(Field::VmResourceId);
pub(crate) const SUBSCRIPTION: usize = symbol(Field::VmSubscriptionId);
pub(crate) const VALUE: usize = symbol(Field::DeviceValue);
pub(crate) const LAST_SEEN: usize = time(Field::LastSeen);

const fn text(field: Field) -> usize {
    match field.column() {
        Column::Text(index) => index,
        _ => panic!("the field is in a column of another kind"),
    }
}

const fn symbol(field: Field) -> usize {
    match field.column() {
        Column::Symbol(index) => index,
        _ => panic!("the field is in a column of another kind"),
    }
}

const fn time(field: Field) -> usize {
    match field.column() {
        Column::Time(index) => index,
        _ => panic!("the field is in a column of another kind"),
    }
}

/// The meaning of a top-level key of a device or of a list page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKey {
    /// One value.
    Field(Field),
    /// `machineTags`.
    Tags,
    /// `ipAddresses`: IP and hardware addresses.
    Addresses,
    /// `vmMetadata`.
    Vm,
    /// The devices of a list page.
    Value,
    /// The link to the next list page.
    NextLink,
    /// Number of devices in the whole list.
    Count,
    /// An error of the service.
    Error,
    /// Any other key.
    Other,
}

/// The meaning of a key.
pub(crate) fn key(name: &str) -> DeviceKey {
    match name {
        "machineTags" => DeviceKey::Tags,
        "ipAddresses" => DeviceKey::Addresses,
        "vmMetadata" => DeviceKey::Vm,
        "value" => DeviceKey::Value,
        "@odata.nextLink" => DeviceKey::NextLink,
        "@odata.count" => DeviceKey::Count,
        "error" | "odata.error" | "@odata.error" => DeviceKey::Error,
        name => match Field::of_device_key(name) {
            Some(field) => DeviceKey::Field(field),
            None if is_next_link(name) => DeviceKey::NextLink,
            None if name.eq_ignore_ascii_case("@odata.count") => DeviceKey::Count,
            None => DeviceKey::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::device::{JsonKey, Kind};
    use crate::inventory::{Row, SnapshotBuilder};

    #[test]
    fn every_field_is_read_from_its_key() {
        for field in Field::ALL {
            let value = match field.kind() {
                Kind::Time => json!("2026-11-24T03:00:00Z"),
                Kind::Address => json!("10.0.0.1"),
                Kind::Integer => json!(7),
                Kind::Boolean => json!(true),
                _ => json!("value"),
            };
            let mut device = json!({ "id": "a1", "machineTags": [] });
            match field.key() {
                JsonKey::Device(key) => device[key] = value,
                JsonKey::VmMetadata(key) => device["vmMetadata"] = json!({ key: value }),
                JsonKey::Custom => continue,
            }
            let mut builder = SnapshotBuilder::new();
            builder.read_device(device.to_string().as_bytes()).unwrap();
            let snapshot = builder.finish().0;
            assert!(snapshot.shown(*field, Row(0)).is_some(), "{}", field.name());
        }
    }
}
