//! How far a snapshot can be trusted: every reason why a read could be incomplete.
//!
//! Decides nothing about changes; `plan` withholds those of an untrusted inventory.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::{DEVICES, Guard, Percent};

/// The verdict on a read. Without reasons it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Why the read could be incomplete.
    pub reasons: Vec<UntrustedReason>,
}

impl Trust {
    /// Whether there is no reason against the read.
    pub fn is_trusted(&self) -> bool {
        self.reasons.is_empty()
    }

    pub fn sentences(&self) -> Vec<String> {
        self.reasons.iter().map(ToString::to_string).collect()
    }
}

/// Why a read could be incomplete. Displays as a sentence in lower case without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UntrustedReason {
    /// A file without the snapshot header: the number of its devices is unknown.
    NoHeader,
    /// A snapshot header without a count of devices.
    NoCount,
    /// A snapshot file with fewer devices than its header says: it is truncated.
    ShortFile {
        /// The header's count.
        expected: u64,
        found: u64,
    },
    /// A file that ends in the middle of a device.
    CutFile,
    /// The snapshot was untrusted when it was written, for this reason.
    Recorded(String),
    /// Pages repeated devices.
    RepeatedPage {
        /// Number of devices that came twice.
        devices: u64,
    },
    /// Pages contradict each other, in the reader's words.
    PagingContradiction(String),
    /// Two passes over the list saw different devices.
    CountChanged {
        /// Devices of the first pass.
        first: u64,
        /// Devices of the second pass.
        second: u64,
    },
    /// Devices without a usable id were skipped.
    WithoutId(u64),
    /// Devices were skipped because `machineTags` is neither a list of texts nor null, a field appears twice, or a field has a
    /// value that it cannot have.
    UnreadableDevices {
        devices: u64,
        /// The names or ids of the first of them.
        names: Vec<String>,
    },
    /// A recorded list page that says that it does not contain all devices.
    FirstPage {
        /// Devices of the recorded pages.
        devices: u64,
        /// Devices of the list, if the page counts them.
        of: Option<u64>,
    },
    /// Fewer devices than `guard.inventory.min`.
    BelowMinimum {
        /// Devices read.
        found: u64,
        /// The guard's minimum.
        minimum: u64,
    },
    /// Fewer than the baseline, by more than `guard.inventory.maxShrink`.
    Shrunk {
        /// The source's name for people, with its previous name.
        what: String,
        /// `devices`, or the name of a lookup, list file or hunting query.
        source: String,
        from: u64,
        to: u64,
        limit: Percent,
    },
    /// The kept counts cannot be read, so any of them may have shrunk.
    UnreadableBaselines { file: String },
    /// A delegated token sees only the devices of its user's groups.
    DelegatedToken,
    /// The service answered with no device at all.
    EmptyAnswer,
    /// The list answered 404, which the documentation uses for "no recent device".
    NotFound,
    /// The guard pins a tenant, and the file names none.
    NoTenant { pinned: String },
}

impl fmt::Display for UntrustedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UntrustedReason::NoHeader => f.write_str(
                "the file has no snapshot header, so nothing says how many devices it should hold",
            ),
            UntrustedReason::NoCount => f.write_str(
                "the snapshot header has no `devices`, so nothing says how many devices the file should hold",
            ),
            UntrustedReason::ShortFile { expected, found } => write!(
                f,
                "the file holds {found} of the {expected} devices that its header announces; it was cut"
            ),
            UntrustedReason::CutFile => f.write_str("the file ends in the middle of a device; it was cut"),
            UntrustedReason::Recorded(reason) => write!(f, "when the snapshot was taken: {reason}"),
            UntrustedReason::RepeatedPage { devices: 1 } => {
                f.write_str("1 device came on more than one page")
            }
            UntrustedReason::RepeatedPage { devices } => {
                write!(f, "{devices} devices came on more than one page")
            }
            UntrustedReason::PagingContradiction(detail) => {
                write!(f, "the pages contradict each other: {detail}")
            }
            UntrustedReason::CountChanged { first, second } => write!(
                f,
                "two passes over the list saw different devices ({first} in the first, {second} in the second)"
            ),
            UntrustedReason::WithoutId(1) => f.write_str("1 device has no usable id and was skipped"),
            UntrustedReason::WithoutId(count) => {
                write!(f, "{count} devices have no usable id and were skipped")
            }
            UntrustedReason::UnreadableDevices { devices, names } => {
                let (noun, verb) = if *devices == 1 { ("device", "was") } else { ("devices", "were") };
                write!(
                    f,
                    "`machineTags` is no list of texts, a field has a value that it cannot have, or appears twice, at {devices} {noun}, which {verb} skipped: {}",
                    names.join(", ")
                )?;
                if *devices > names.len() as u64 { f.write_str(", …") } else { Ok(()) }
            }
            UntrustedReason::FirstPage { devices, of: Some(of) } => {
                write!(f, "the file is the first page of more: it holds {devices} of {of} devices")
            }
            UntrustedReason::FirstPage { devices, of: None } => {
                write!(
                    f,
                    "the file is the first page of more: it holds {devices} devices and a link to the next page"
                )
            }
            UntrustedReason::BelowMinimum { found, minimum } => {
                write!(f, "{found} devices were read and `guard.inventory.min` asks for at least {minimum}")
            }
            UntrustedReason::Shrunk { what, source, from, to, limit } => write!(
                f,
                "{what} went from {from} to {to} within the trusted runs of 7 days, and `guard.inventory.maxShrink` allows {limit} \
                 (if it really is smaller: `mdetag state accept {} --reason TEXT`)",
                quoted(source)
            ),
            UntrustedReason::UnreadableBaselines { file } => write!(
                f,
                "{file} cannot be read, so the expected counts are unknown (restore it, or move it away)"
            ),
            UntrustedReason::DelegatedToken => {
                f.write_str("the token acts for a user and may see only the devices of that user's groups")
            }
            UntrustedReason::EmptyAnswer => f.write_str("the service answered with no device at all"),
            UntrustedReason::NotFound => {
                f.write_str("the device list answered 404, as it does when it has no device")
            }
            UntrustedReason::NoTenant { pinned } => {
                write!(f, "the file names no tenant and `guard.tenantId` pins {pinned}")
            }
        }
    }
}

/// The counts of a run: kept if it is trusted, and compared with by the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryCounts {
    /// Devices read, before scope.
    pub devices: u64,
    /// Rows of each lookup, list file and hunting result, by its name for people.
    #[serde(default)]
    pub sources: BTreeMap<String, u64>,
}

impl InventoryCounts {
    /// The names of all counts.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        std::iter::once(DEVICES).chain(self.sources.keys().map(String::as_str))
    }
}

/// A word for a command line, in quotes if a shell would split it.
fn quoted(word: &str) -> std::borrow::Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    if word.bytes().all(is_plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")).into() }
}

/// The guard's reasons against a read, except shrinking, which `compare` finds. `tenant`: the id of the tenant that was read, if
/// known.
/// far as known.
pub fn judge(guard: &Guard, tenant: Option<&str>, counts: &InventoryCounts) -> Vec<UntrustedReason> {
    let mut reasons = Vec::new();
    if let (Some((pinned, _)), None) = (&guard.tenant_id, tenant) {
        reasons.push(UntrustedReason::NoTenant { pinned: pinned.clone() });
    }
    if let Some((minimum, _)) = guard.min_devices.filter(|(minimum, _)| counts.devices < *minimum) {
        reasons.push(UntrustedReason::BelowMinimum { found: counts.devices, minimum });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{SourceId, Span};

    fn guard() -> Guard {
        let span = Span { source: SourceId(0), start: 0, end: 0 };
        Guard { tenant_id: Some(("t".into(), span)), min_devices: Some((500, span)), ..Guard::default() }
    }

    fn counts(devices: u64) -> InventoryCounts {
        InventoryCounts { devices, ..InventoryCounts::default() }
    }

    #[test]
    fn a_read_at_the_limit_is_trusted_and_one_below_is_not() {
        assert_eq!(judge(&guard(), Some("t"), &counts(500)), []);
        assert_eq!(judge(&guard(), Some("t"), &counts(499)).len(), 1);
    }

    #[test]
    fn a_file_without_a_tenant_is_untrusted_while_one_is_pinned() {
        let reasons = judge(&guard(), None, &counts(500));
        assert_eq!(reasons, [UntrustedReason::NoTenant { pinned: "t".into() }]);
        assert_eq!(judge(&Guard::default(), None, &InventoryCounts::default()), []);
    }
}
