//! Translates the OS names in conditions of device groups to values of `osPlatform`.
//!
//! The portal's names differ from the values that devices report (field-reported: `Windows2016`, `Windows8blueserver`, `Linux`),
//! and nobody documents the list. A name that is missing here is reported, never guessed.

use crate::text;

/// Names that differ from the reported values.
const RENAMED: &[(&str, &str)] = &[
    ("Windows2008R2", "WindowsServer2008R2"),
    ("Windows2012R2", "WindowsServer2012R2"),
    ("Windows8blueserver", "WindowsServer2012R2"),
    ("Windows2016", "WindowsServer2016"),
    ("Windows2019", "WindowsServer2019"),
    ("Windows2022", "WindowsServer2022"),
    ("Windows2025", "WindowsServer2025"),
    ("Mac", "macOS"),
    ("MacOSX", "macOS"),
];

/// Values that devices report, in their own spelling.
const REPORTED: &[&str] = &[
    "Windows7",
    "Windows8",
    "Windows8Blue",
    "Windows10",
    "Windows10WVD",
    "Windows11",
    "WindowsServer2008R2",
    "WindowsServer2012R2",
    "WindowsServer2016",
    "WindowsServer2019",
    "WindowsServer2022",
    "WindowsServer2025",
    "macOS",
    "iOS",
    "Android",
];

/// Linux devices report their distribution.
pub(super) const LINUX: &[&str] = &[
    "AlmaLinux",
    "AmazonLinux",
    "AzureLinux",
    "CentOS",
    "Debian",
    "Fedora",
    "Linux",
    "Mariner",
    "OracleLinux",
    "RedHatEnterpriseLinux",
    "Rocky",
    "RockyLinux",
    "SLES",
    "SUSE",
    "SuseLinuxEnterpriseServer",
    "Ubuntu",
];

/// The values of `osPlatform` that an OS name means; `None` for an unknown name.
pub(super) fn values_of(name: &str) -> Option<Vec<&'static str>> {
    let is_name = |known: &str| text::equal(known, &name.replace(' ', ""));
    if is_name("Linux") {
        return Some(LINUX.to_vec());
    }
    if let Some((_, reported)) = RENAMED.iter().find(|(known, _)| is_name(known)) {
        return Some(vec![reported]);
    }
    REPORTED.iter().chain(LINUX).find(|known| is_name(known)).map(|known| vec![*known])
}
