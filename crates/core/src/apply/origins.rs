//! The origins of tags as hunting reported them before the run. A list may contain manual tags; it must not contain others.
//!
//! Asks no service itself: a tag that hunting did not list has no known origin.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The origin of a device's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagOrigin {
    /// Made in the portal or by the API.
    Manual,
    /// Only the device's registry or a dynamic rule sets it.
    Foreign,
}

/// The origins of tags, by device.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    devices: HashMap<Arc<str>, Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    manual: HashSet<Arc<str>>,
    foreign: HashSet<Arc<str>>,
}

impl Origins {
    /// Adds the tags of one device.
    pub fn insert(
        &mut self,
        device: Arc<str>,
        manual: impl IntoIterator<Item = Arc<str>>,
        foreign: impl IntoIterator<Item = Arc<str>>,
    ) {
        let known = self.devices.entry(device).or_default();
        known.manual.extend(manual);
        known.foreign.extend(foreign);
    }

    /// The origin of a device's tag, if known. A tag that is set both by hand and by a rule is manual.
    pub fn of(&self, device: &str, tag: &str) -> Option<TagOrigin> {
        let known = self.devices.get(device)?;
        if known.manual.contains(tag) {
            return Some(TagOrigin::Manual);
        }
        known.foreign.contains(tag).then_some(TagOrigin::Foreign)
    }
}
