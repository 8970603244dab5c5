//! What a read counted beside the devices that became rows: devices that were skipped, and what pages say of the rest.
//!
//! Knows no JSON.

use super::UntrustedReason;

/// Names of unreadable devices that are kept for the message.
const NAMED: usize = 3;

/// Counts of one or more parts of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Devices that were skipped because they have no usable id.
    pub without_id: u64,
    /// Devices that were skipped because `machineTags` is neither a list of texts nor null, a field stands twice, or a value cannot be
    /// one of its field: what they are is unknown.
    pub unreadable: u64,
    /// What the first of these are called.
    pub unreadable_names: Vec<String>,
    /// What the list pages say of the devices that they do not hold.
    pub(super) pages: Option<PageTally>,
}

/// One or more list pages in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageTally {
    /// Their devices, skipped ones included.
    pub(super) rows: u64,
    /// `@odata.count`, where a page has one.
    pub(super) count: Option<u64>,
    /// Whether the last page has a link to a next one.
    pub(super) goes_on: bool,
}

impl Tally {
    /// Devices that did not become rows.
    pub fn skipped(&self) -> u64 {
        self.without_id + self.unreadable
    }

    /// Counts a device; `field` is the one whose value is none, where it is that.
    pub(super) fn skip_unreadable(&mut self, name: &str, field: Option<&str>) {
        self.unreadable += 1;
        if self.unreadable_names.len() < NAMED {
            self.unreadable_names.push(match field {
                Some(field) => format!("{name} (`{field}`)"),
                None => name.to_owned(),
            });
        }
    }

    /// Takes in the counts of what follows.
    pub fn add(&mut self, later: &Tally) {
        self.without_id += later.without_id;
        self.unreadable += later.unreadable;
        let room = NAMED.saturating_sub(self.unreadable_names.len());
        self.unreadable_names.extend(later.unreadable_names.iter().take(room).cloned());
        if let Some(later) = later.pages {
            let earlier = self.pages.unwrap_or_default();
            self.pages = Some(PageTally {
                rows: earlier.rows + later.rows,
                count: later.count.or(earlier.count),
                goes_on: later.goes_on,
            });
        }
    }

    /// The skipped devices as reasons against the read.
    pub fn skips(&self) -> Vec<UntrustedReason> {
        let without_id = (self.without_id > 0).then_some(UntrustedReason::WithoutId(self.without_id));
        let unreadable = (self.unreadable > 0).then(|| UntrustedReason::UnreadableDevices {
            devices: self.unreadable,
            names: self.unreadable_names.clone(),
        });
        without_id.into_iter().chain(unreadable).collect()
    }

    /// Everything that speaks against a recorded read.
    pub fn reasons(&self) -> Vec<UntrustedReason> {
        let mut reasons = self.skips();
        if let Some(pages) = self.pages
            && (pages.goes_on || pages.count.is_some_and(|count| count != pages.rows))
        {
            reasons.push(UntrustedReason::FirstPage { devices: pages.rows, of: pages.count });
        }
        reasons
    }
}
