//! The fields of a device, their kinds, and the values that the service is known to use.
//!
//! Says which column and which key a field has; stores nothing (that is `inventory`) and reads no JSON.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use serde::{Deserialize, Serialize};

crate::words! {
    /// How much a device weighs in the tenant's exposure score.
    #[derive(
        Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
    )]
    pub enum DeviceValue {
        /// 0.75.
        Low = "Low",
        /// 1: the service's default.
        Normal = "Normal",
        /// A tenth of the tenant's assets: one wrong High moves the score.
        High = "High",
    }
}

impl DeviceValue {
    /// Whether writing this value lowers the one that the service reports. An unknown reported value counts as the highest.
    pub fn lowers(self, from: Option<&str>) -> bool {
        from.and_then(DeviceValue::parse).map_or(self != DeviceValue::High, |from| self < from)
    }
}

/// The kind of a field, which decides the conditions that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Free or enumerated text, compared without case.
    Text,
    /// Text that also compares as a dotted version.
    Version,
    Integer,
    /// True or false.
    Boolean,
    /// A point in time.
    Time,
    /// An IP address, or a list of them.
    Address,
    /// A list of MAC addresses.
    Hardware,
    Tags,
}

/// The inventory's column for a field: the kind of column and its number among those of that kind.
///
/// Snapshots are digested column by column in this order, so numbers never change. A new field takes the next number of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text with mostly distinct values, stored one after the other.
    Text(usize),
    /// Text with few distinct values, numbers and booleans: each value is stored once.
    Symbol(usize),
    /// Points in time.
    Time(usize),
    /// Encoded addresses.
    Bytes(usize),
    /// The part of the device's name up to the first dot.
    DeviceName,
    /// The part of the device's name after the first dot.
    Domain,
    Tags,
    /// Not in the inventory: a column of a lookup file.
    Lookup,
}

/// The key that holds a field in the API's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKey {
    /// One value under this key of the device.
    Device(&'static str),
    /// One value under this key of the device's `vmMetadata`.
    VmMetadata(&'static str),
    /// A list, or a part of another field: the reader has its own code for it.
    Custom,
}

/// Declares each field once, with its column and its key. A field without either does not compile.
macro_rules! fields {
    ($(
        $variant:ident $name:literal $kind:ident $column:ident $(($index:literal))? $key:ident $(($word:literal))?
        $about:literal
    ),* $(,)?) => {
        /// A field of a device that selectors can read. `Lookup` is a column of a lookup file, joined to the device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $(#[doc = $about] $variant,)*
            /// Column `column` of lookup number `lookup` of the policy.
            Lookup {
                /// Index into `Policy::lookups`.
                lookup: u16,
                /// Index into that lookup's columns.
                column: u16,
            },
        }

        impl Field {
            /// Every field of the inventory, in the order of the language reference.
            pub const ALL: &'static [Field] = &[$(Field::$variant),*];

            /// The name in policies (as in the API's JSON, plus derived ones). Lookup columns have none of their own.
            pub fn name(self) -> &'static str {
                match self {
                    $(Field::$variant => $name,)*
                    Field::Lookup { .. } => "lookup",
                }
            }

            /// The kind of conditions that the field takes.
            pub fn kind(self) -> Kind {
                match self {
                    $(Field::$variant => Kind::$kind,)*
                    Field::Lookup { .. } => Kind::Text,
                }
            }

            /// The inventory's column for it; `Column::Lookup` for columns of lookup files.
            #[inline]
            pub const fn column(self) -> Column {
                match self {
                    $(Field::$variant => Column::$column $(($index))?,)*
                    Field::Lookup { .. } => Column::Lookup,
                }
            }

            /// Its key in the API's JSON.
            pub const fn key(self) -> JsonKey {
                match self {
                    $(Field::$variant => JsonKey::$key $(($word))?,)*
                    Field::Lookup { .. } => JsonKey::Custom,
                }
            }

            /// The field with a single value under this key of a device. Keys are matched exactly. `onboardingstatus` is lower
            /// case because the documentation writes it so.
            pub fn of_device_key(name: &str) -> Option<Field> {
                let name = if name == "onboardingstatus" { "onboardingStatus" } else { name };
                $(if let JsonKey::Device(word) = (JsonKey::$key $(($word))?) && word == name {
                    return Some(Field::$variant);
                })*
                None
            }

            /// The field with a single value under this key of `vmMetadata`.
            pub fn of_vm_key(name: &str) -> Option<Field> {
                $(if let JsonKey::VmMetadata(word) = (JsonKey::$key $(($word))?) && word == name {
                    return Some(Field::$variant);
                })*
                None
            }

            /// Its description in the language reference: one line.
            pub fn about(self) -> &'static str {
                match self {
                    $(Field::$variant => $about,)*
                    Field::Lookup { .. } => "A column of a lookup file.",
                }
            }

            /// The field with exactly this name.
            pub fn parse(name: &str) -> Option<Field> {
                Field::ALL.iter().copied().find(|field| field.name() == name)
            }
        }
    };
}

fields! {
    ComputerDnsName "computerDnsName" Text Text(1) Device("computerDnsName")
        "The name that the device reports: fully qualified or short, in any case.",
    DeviceName "deviceName" Text DeviceName Custom
        "Derived: the name up to the first dot.",
    Domain "domain" Text Domain Custom
        "Derived: the name after the first dot.",
    OsPlatform "osPlatform" Text Symbol(0) Device("osPlatform")
        "The platform, free text: Windows11, WindowsServer2022, Ubuntu, macOS.",
    OsProcessor "osProcessor" Text Symbol(1) Device("osProcessor")
        "The processor as reported: x64.",
    OsArchitecture "osArchitecture" Text Symbol(2) Device("osArchitecture")
        "32-bit or 64-bit.",
    RbacGroupName "rbacGroupName" Text Symbol(3) Device("rbacGroupName")
        "The device group. Tags and values can move a device between groups.",
    HealthStatus "healthStatus" Text Symbol(4) Device("healthStatus")
        "Sensor health.",
    OnboardingStatus "onboardingStatus" Text Symbol(5) Device("onboardingStatus")
        "Whether the device is onboarded.",
    RiskScore "riskScore" Text Symbol(6) Device("riskScore")
        "Risk as evaluated by the service.",
    ExposureLevel "exposureLevel" Text Symbol(7) Device("exposureLevel")
        "Exposure as evaluated by the service; values move it.",
    DeviceValue "deviceValue" Text Symbol(8) Device("deviceValue")
        "Low, Normal or High.",
    ManagedBy "managedBy" Text Symbol(9) Device("managedBy")
        "What manages the device.",
    ManagedByStatus "managedByStatus" Text Symbol(10) Device("managedByStatus")
        "State of that management.",
    ExclusionReason "exclusionReason" Text Symbol(11) Device("exclusionReason")
        "Why the device is excluded.",
    AadDeviceId "aadDeviceId" Text Text(3) Device("aadDeviceId")
        "Entra device id.",
    MergedIntoMachineId "mergedIntoMachineId" Text Text(4) Device("mergedIntoMachineId")
        "The id of the device that this one was merged into.",
    Id "id" Text Text(0) Device("id")
        "The device id.",
    VmId "vmMetadata.vmId" Text Text(5) VmMetadata("vmId")
        "Id of the virtual machine.",
    VmCloudProvider "vmMetadata.cloudProvider" Text Symbol(12) VmMetadata("cloudProvider")
        "Cloud of the virtual machine.",
    VmResourceId "vmMetadata.resourceId" Text Text(2) VmMetadata("resourceId")
        "Azure resource id.",
    VmSubscriptionId "vmMetadata.subscriptionId" Text Symbol(13) VmMetadata("subscriptionId")
        "Azure subscription; derived from the resource id where absent.",
    Version "version" Version Symbol(14) Device("version")
        "Version name of the operating system: 22H2.",
    OsVersion "osVersion" Version Symbol(15) Device("osVersion")
        "Version number of the operating system; usually absent.",
    AgentVersion "agentVersion" Version Symbol(16) Device("agentVersion")
        "Version of the sensor.",
    OsBuild "osBuild" Integer Symbol(17) Device("osBuild")
        "Build number of the operating system.",
    RbacGroupId "rbacGroupId" Integer Symbol(18) Device("rbacGroupId")
        "Number of the device group; 0 is ungrouped.",
    IsAadJoined "isAadJoined" Boolean Symbol(19) Device("isAadJoined")
        "Joined to Entra.",
    IsExcluded "isExcluded" Boolean Symbol(20) Device("isExcluded")
        "Excluded from vulnerability management.",
    IsPotentialDuplication "isPotentialDuplication" Boolean Symbol(21) Device("isPotentialDuplication")
        "The service suspects a duplicate.",
    FirstSeen "firstSeen" Time Time(0) Device("firstSeen")
        "First report.",
    LastSeen "lastSeen" Time Time(1) Device("lastSeen")
        "Last full report, about daily; not the portal's last seen.",
    LastIpAddress "lastIpAddress" Address Bytes(0) Device("lastIpAddress")
        "Last internal address.",
    LastExternalIpAddress "lastExternalIpAddress" Address Bytes(1) Device("lastExternalIpAddress")
        "Last address seen from outside.",
    IpAddresses "ipAddresses" Address Bytes(2) Custom
        "Derived: any of the device's addresses.",
    MacAddresses "macAddresses" Hardware Bytes(3) Custom
        "Derived: any of the device's hardware addresses.",
    MachineTags "machineTags" Tags Tags Custom
        "The tags.",
}

/// Columns of each kind: texts, symbols, times, bytes.
pub const COLUMNS: [usize; 4] = {
    let mut counts = [0; 4];
    let mut at = 0;
    while at < Field::ALL.len() {
        if let Some((kind, _)) = Field::ALL[at].place() {
            counts[kind] += 1;
        }
        at += 1;
    }
    counts
};

// Two fields in one column, or a column that no field has, do not compile.
const _: () = {
    let mut at = 0;
    while at < Field::ALL.len() {
        if let Some((kind, index)) = Field::ALL[at].place() {
            assert!(index < COLUMNS[kind], "a column's number is too high: take the next one of its kind");
            let mut before = 0;
            while before < at {
                if let Some((its_kind, its_index)) = Field::ALL[before].place() {
                    assert!(kind != its_kind || index != its_index, "two fields have one column");
                }
                before += 1;
            }
        }
        at += 1;
    }
};

impl Field {
    /// The kind of a stored column as an index into [`COLUMNS`], and its number.
    const fn place(self) -> Option<(usize, usize)> {
        match self.column() {
            Column::Text(index) => Some((0, index)),
            Column::Symbol(index) => Some((1, index)),
            Column::Time(index) => Some((2, index)),
            Column::Bytes(index) => Some((3, index)),
            Column::DeviceName | Column::Domain | Column::Tags | Column::Lookup => None,
        }
    }

    /// The values that the service is known to use, for fields that it enumerates; empty for others. Every enumeration is
    /// open: an unknown value is kept and only warned about in policies.
    pub fn known_values(self) -> &'static [&'static str] {
        match self {
            Field::OsArchitecture => &["32-bit", "64-bit"],
            Field::HealthStatus => &[
                "Active",
                "Inactive",
                "ImpairedCommunication",
                "NoSensorData",
                "NoSensorDataImpairedCommunication",
                "Unknown",
            ],
            Field::OnboardingStatus => &["InsufficientInfo", "Onboarded", "CanBeOnboarded", "Unsupported"],
            Field::RiskScore => &["None", "Informational", "Low", "Medium", "High"],
            Field::ExposureLevel => &["None", "Low", "Medium", "High"],
            Field::DeviceValue => &["Normal", "Low", "High"],
            Field::ManagedBy => {
                &["Unknown", "Intune", "SystemCenterConfigurationManager", "MicrosoftDefenderForEndpoint"]
            }
            Field::ManagedByStatus => &["Unknown", "Success", "Error"],
            Field::ExclusionReason => {
                &["Other", "InactiveDevice", "DuplicateDevice", "DeviceDoesNotExist", "DeviceOutOfScope"]
            }
            Field::VmCloudProvider => &["Unknown", "Azure"],
            _ => &[],
        }
    }
}

/// Whether a text can be a device id: 1 to 128 of `A-Z a-z 0-9 . _ -`, and not only dots. Most ids have 40 hex digits, but a
/// recorded answer of 2026 has `da637472900382838869_1364969609`.
pub fn is_id(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'.' | b'_' | b'-');
    // No early exit, so that the compiler can compare many bytes at once: this runs once for each device in the inventory.
    let are_safe = text.bytes().fold(true, |all, byte| all & is_safe(byte));
    (1..=128).contains(&text.len()) && are_safe && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_parses_back_from_its_name_and_from_its_key() {
        for field in Field::ALL {
            assert_eq!(Field::parse(field.name()), Some(*field));
            match field.key() {
                JsonKey::Device(key) => assert_eq!(Field::of_device_key(key), Some(*field)),
                JsonKey::VmMetadata(key) => assert_eq!(Field::of_vm_key(key), Some(*field)),
                JsonKey::Custom => assert_eq!(Field::of_device_key(field.name()), None),
            }
        }
        assert_eq!(Field::ALL.len(), 37);
    }

    #[test]
    fn ids_cannot_leave_their_place_in_a_path() {
        assert!(is_id("da637472900382838869_1364969609") && is_id("a.b-c"));
        for hostile in ["", "..", ".", "a/b", "a?b", "é", "a b", &"x".repeat(129)] {
            assert!(!is_id(hostile), "{hostile}");
        }
    }
}
