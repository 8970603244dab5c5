//! Which column holds which field, and under which JSON key it arrives.
//!
//! One table for the reader and for whoever asks for a field, so that they cannot disagree.

use crate::device::Field;

/// Where a field is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Index into `Columns::texts`.
    Text(usize),
    /// Index into `Columns::symbols`.
    Symbol(usize),
    /// Index into `Columns::times`.
    Time(usize),
    /// Index into `Columns::bytes`.
    Bytes(usize),
    /// The part of the name up to the first dot.
    DeviceName,
    /// The part of the name after the first dot.
    Domain,
    /// The tags.
    Tags,
    /// Not in the inventory.
    Lookup,
}

pub(crate) const ID: usize = 0;
pub(crate) const NAME: usize = 1;
pub(crate) const RESOURCE_ID: usize = 2;
pub(crate) const MERGED_INTO: usize = 4;
pub(crate) const LAST_SEEN: usize = 1;
pub(crate) const SUBSCRIPTION: usize = 13;
pub(crate) const VALUE: usize = 8;
pub(crate) const ADDRESSES: usize = 2;
pub(crate) const HARDWARE: usize = 3;

/// Where a field is stored.
pub(crate) fn column(field: Field) -> Column {
    match field {
        Field::Id => Column::Text(ID),
        Field::ComputerDnsName => Column::Text(NAME),
        Field::VmResourceId => Column::Text(RESOURCE_ID),
        Field::AadDeviceId => Column::Text(3),
        Field::MergedIntoMachineId => Column::Text(MERGED_INTO),
        Field::VmId => Column::Text(5),
        Field::OsPlatform => Column::Symbol(0),
        Field::OsProcessor => Column::Symbol(1),
        Field::OsArchitecture => Column::Symbol(2),
        Field::RbacGroupName => Column::Symbol(3),
        Field::HealthStatus => Column::Symbol(4),
        Field::OnboardingStatus => Column::Symbol(5),
        Field::RiskScore => Column::Symbol(6),
        Field::ExposureLevel => Column::Symbol(7),
        Field::DeviceValue => Column::Symbol(VALUE),
        Field::ManagedBy => Column::Symbol(9),
        Field::ManagedByStatus => Column::Symbol(10),
        Field::ExclusionReason => Column::Symbol(11),
        Field::VmCloudProvider => Column::Symbol(12),
        Field::VmSubscriptionId => Column::Symbol(SUBSCRIPTION),
        Field::Version => Column::Symbol(14),
        Field::OsVersion => Column::Symbol(15),
        Field::AgentVersion => Column::Symbol(16),
        Field::OsBuild => Column::Symbol(17),
        Field::RbacGroupId => Column::Symbol(18),
        Field::IsAadJoined => Column::Symbol(19),
        Field::IsExcluded => Column::Symbol(20),
        Field::IsPotentialDuplication => Column::Symbol(21),
        Field::FirstSeen => Column::Time(0),
        Field::LastSeen => Column::Time(LAST_SEEN),
        Field::LastIpAddress => Column::Bytes(0),
        Field::LastExternalIpAddress => Column::Bytes(1),
        Field::IpAddresses => Column::Bytes(ADDRESSES),
        Field::MacAddresses => Column::Bytes(HARDWARE),
        Field::DeviceName => Column::DeviceName,
        Field::Domain => Column::Domain,
        Field::MachineTags => Column::Tags,
        Field::Lookup { .. } => Column::Lookup,
    }
}

/// What stands under a top-level key of a device or of a list page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
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
    /// The place of the next list page.
    NextLink,
    /// How many devices the whole list has.
    Count,
    /// Nothing that is known.
    Other,
}

/// What stands under a key. Keys are matched exactly, except `onboardingstatus`, which the documentation spells so.
pub(crate) fn key(name: &str) -> Key {
    match name {
        "machineTags" => Key::Tags,
        "ipAddresses" => Key::Addresses,
        "vmMetadata" => Key::Vm,
        "value" => Key::Value,
        "@odata.nextLink" => Key::NextLink,
        "@odata.count" => Key::Count,
        name => field(name).map_or(Key::Other, Key::Field),
    }
}

/// The field of a top-level key of a device in the API's JSON.
fn field(name: &str) -> Option<Field> {
    Some(match name {
        "id" => Field::Id,
        "mergedIntoMachineId" => Field::MergedIntoMachineId,
        "isPotentialDuplication" => Field::IsPotentialDuplication,
        "isExcluded" => Field::IsExcluded,
        "exclusionReason" => Field::ExclusionReason,
        "computerDnsName" => Field::ComputerDnsName,
        "firstSeen" => Field::FirstSeen,
        "lastSeen" => Field::LastSeen,
        "osPlatform" => Field::OsPlatform,
        "osVersion" => Field::OsVersion,
        "osProcessor" => Field::OsProcessor,
        "version" => Field::Version,
        "lastIpAddress" => Field::LastIpAddress,
        "lastExternalIpAddress" => Field::LastExternalIpAddress,
        "agentVersion" => Field::AgentVersion,
        "osBuild" => Field::OsBuild,
        "healthStatus" => Field::HealthStatus,
        "deviceValue" => Field::DeviceValue,
        "rbacGroupId" => Field::RbacGroupId,
        "rbacGroupName" => Field::RbacGroupName,
        "riskScore" => Field::RiskScore,
        "exposureLevel" => Field::ExposureLevel,
        "isAadJoined" => Field::IsAadJoined,
        "aadDeviceId" => Field::AadDeviceId,
        "onboardingStatus" | "onboardingstatus" => Field::OnboardingStatus,
        "osArchitecture" => Field::OsArchitecture,
        "managedBy" => Field::ManagedBy,
        "managedByStatus" => Field::ManagedByStatus,
        _ => return None,
    })
}

/// The field of a key inside `vmMetadata`.
pub(crate) fn vm_key(name: &str) -> Option<Field> {
    Some(match name {
        "vmId" => Field::VmId,
        "cloudProvider" => Field::VmCloudProvider,
        "resourceId" => Field::VmResourceId,
        "subscriptionId" => Field::VmSubscriptionId,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::columns;

    #[test]
    fn every_field_has_its_own_column() {
        let mut seen = Vec::new();
        for field in Field::ALL {
            let place = column(*field);
            assert!(!seen.contains(&place), "{field:?}");
            let fits = match place {
                Column::Text(index) => index < columns::TEXTS,
                Column::Symbol(index) => index < columns::SYMBOLS,
                Column::Time(index) => index < columns::TIMES,
                Column::Bytes(index) => index < columns::BYTES,
                _ => true,
            };
            assert!(fits, "{field:?}");
            seen.push(place);
        }
    }

    #[test]
    fn keys_are_the_names_that_policies_use() {
        for field in Field::ALL {
            let name = field.name();
            let found = name.strip_prefix("vmMetadata.").map_or_else(|| super::field(name), vm_key);
            assert!(found.is_none_or(|found| found == *field), "{name}");
        }
    }
}
