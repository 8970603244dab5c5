//! Counts of a read besides the rows: skipped devices, and what pages say about further ones.
//!
//! Knows no JSON.

use super::UntrustedReason;

/// Names of unreadable devices kept for the message.
const NAMED: usize = 3;

/// Counts of one or more parts of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Devices that were skipped because they have no usable id.
    pub without_id: u64,
    /// Devices that were skipped because `machineTags` is neither a list of texts nor null, a field appears twice, or a field has
    /// a value that it cannot have: their state is unknown.
    pub unreadable: u64,
    /// The names or ids of the first of these.
    pub unreadable_names: Vec<String>,
    /// What the list pages say about devices that they do not contain.
    pub(super) pages: Option<PageTally>,
}

/// Counts of one or more consecutive list pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageTally {
    /// Their devices, skipped ones included.
    pub(super) rows: u64,
    /// `@odata.count`, if a page has one.
    pub(super) count: Option<u64>,
    /// Whether the last page has a link to a next one.
    pub(super) goes_on: bool,
}

impl Tally {
    /// Devices that did not become rows.
    pub fn skipped(&self) -> u64 {
        self.without_id + self.unreadable
    }

    /// Counts a device; `field` is the field with the impossible value, if that is the reason.
    pub(super) fn skip_unreadable(&mut self, name: &str, field: Option<&str>) {
        self.unreadable += 1;
        if self.unreadable_names.len() < NAMED {
            self.unreadable_names.push(match field {
                Some(field) => format!("{name} (`{field}`)"),
                None => name.to_owned(),
            });
        }
    }

    /// Adds the counts of a later part.
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

    /// The reasons against the read from skipped devices.
    pub fn skips(&self) -> Vec<UntrustedReason> {
        let without_id = (self.without_id > 0).then_some(UntrustedReason::WithoutId(self.without_id));
        let unreadable = (self.unreadable > 0).then(|| UntrustedReason::UnreadableDevices {
            devices: self.unreadable,
            names: self.unreadable_names.clone(),
        });
        without_id.into_iter().chain(unreadable).collect()
    }

    /// All reasons against a recorded read.
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
