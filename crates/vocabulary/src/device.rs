//! What a device has: its fields, their kinds, and the values that the service is known to use.
//!
//! Knows names, not storage (that is `inventory`) and not the wire (that is `tenant::wire`).

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
    /// Whether writing this value lowers a device. What the service reports and we do not know counts as the highest.
    pub fn lowers(self, from: Option<&str>) -> bool {
        from.and_then(DeviceValue::parse).map_or(self != DeviceValue::High, |from| self < from)
    }
}

/// What kind of conditions a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Free or enumerated text, compared without case.
    Text,
    /// Text that also compares as a dotted version.
    Version,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A point in time.
    Time,
    /// An IP address, or a list of them.
    Address,
    /// A list of MAC addresses.
    Hardware,
    /// The tags.
    Tags,
}

macro_rules! fields {
    ($($variant:ident $name:literal $kind:ident $about:literal),* $(,)?) => {
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

            /// Which conditions it takes.
            pub fn kind(self) -> Kind {
                match self {
                    $(Field::$variant => Kind::$kind,)*
                    Field::Lookup { .. } => Kind::Text,
                }
            }

            /// One line for the language reference.
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
    ComputerDnsName "computerDnsName" Text "The name that the device reports: fully qualified or short, in any case.",
    DeviceName "deviceName" Text "Derived: the name up to the first dot.",
    Domain "domain" Text "Derived: the name after the first dot.",
    OsPlatform "osPlatform" Text "The platform, free text: Windows11, WindowsServer2022, Ubuntu, macOS.",
    OsProcessor "osProcessor" Text "The processor as reported: x64.",
    OsArchitecture "osArchitecture" Text "32-bit or 64-bit.",
    RbacGroupName "rbacGroupName" Text "The device group. Tags and values can move a device between groups.",
    HealthStatus "healthStatus" Text "Sensor health.",
    OnboardingStatus "onboardingStatus" Text "Whether the device is onboarded.",
    RiskScore "riskScore" Text "Risk as evaluated by the service.",
    ExposureLevel "exposureLevel" Text "Exposure as evaluated by the service; values move it.",
    DeviceValue "deviceValue" Text "Low, Normal or High.",
    ManagedBy "managedBy" Text "What manages the device.",
    ManagedByStatus "managedByStatus" Text "State of that management.",
    ExclusionReason "exclusionReason" Text "Why the device is excluded.",
    AadDeviceId "aadDeviceId" Text "Entra device id.",
    MergedIntoMachineId "mergedIntoMachineId" Text "The id of the device that this one was merged into.",
    Id "id" Text "The device id.",
    VmId "vmMetadata.vmId" Text "Id of the virtual machine.",
    VmCloudProvider "vmMetadata.cloudProvider" Text "Cloud of the virtual machine.",
    VmResourceId "vmMetadata.resourceId" Text "Azure resource id.",
    VmSubscriptionId "vmMetadata.subscriptionId" Text "Azure subscription; derived from the resource id where absent.",
    Version "version" Version "Version name of the operating system: 22H2.",
    OsVersion "osVersion" Version "Version number of the operating system; usually absent.",
    AgentVersion "agentVersion" Version "Version of the sensor.",
    OsBuild "osBuild" Integer "Build number of the operating system.",
    RbacGroupId "rbacGroupId" Integer "Number of the device group; 0 is ungrouped.",
    IsAadJoined "isAadJoined" Boolean "Joined to Entra.",
    IsExcluded "isExcluded" Boolean "Excluded from vulnerability management.",
    IsPotentialDuplication "isPotentialDuplication" Boolean "The service suspects a duplicate.",
    FirstSeen "firstSeen" Time "First report.",
    LastSeen "lastSeen" Time "Last full report, about daily; not the portal's last seen.",
    LastIpAddress "lastIpAddress" Address "Last internal address.",
    LastExternalIpAddress "lastExternalIpAddress" Address "Last address seen from outside.",
    IpAddresses "ipAddresses" Address "Derived: any of the device's addresses.",
    MacAddresses "macAddresses" Hardware "Derived: any of the device's hardware addresses.",
    MachineTags "machineTags" Tags "The tags.",
}

impl Field {
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

/// Whether a text can be a device id: 1 to 128 of `A-Z a-z 0-9 . _ -`, not dots only. Nearly always 40 hex digits, but not
/// always (a recorded answer of 2026 has `da637472900382838869_1364969609`).
pub fn is_id(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'.' | b'_' | b'-');
    // Without an early end the compiler looks at many bytes at once: every device that is read comes by here.
    let are_safe = text.bytes().fold(true, |all, byte| all & is_safe(byte));
    (1..=128).contains(&text.len()) && are_safe && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_parses_back_from_its_name() {
        for field in Field::ALL {
            assert_eq!(Field::parse(field.name()), Some(*field));
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
