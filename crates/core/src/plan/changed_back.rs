//! Changes of a plan that earlier runs made and that somebody else took back each time.
//!
//! Judges nothing: a report names them, and people decide who owns the tags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChangeKey, ChangeWhat};
use crate::time::Timestamp;

/// The number of times from which a change is reported: once may be an accident.
const TIMES: usize = 2;

/// The most devices and runs that are named.
const SAMPLE: usize = 5;

/// A write that did not last, although no run undid it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoneWrite {
    pub run: Arc<str>,
    /// When the service confirmed it.
    pub at: Timestamp,
    /// Whether a read showed it before it was gone. Otherwise it may have bounced.
    pub was_shown: bool,
}

/// A tag or value that was changed back at least twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedBack {
    /// The tag, or the device value.
    pub tag: String,
    /// The action that this plan repeats: `add`, `remove` or `value`.
    pub action: String,
    /// Number of devices.
    pub devices: u64,
    /// Some of them.
    pub sample: Vec<Arc<str>>,
    /// Number of times, on the device with the fewest.
    pub times: u64,
    /// Who may have done it, as far as journals and lists show. The service names no one.
    pub who: String,
    /// The newest runs after which it was changed back, the newest first.
    pub after: Vec<ChangedAfter>,
}

/// A run whose write did not last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedAfter {
    /// When the service confirmed the write.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The run.
    pub run: Arc<str>,
}

/// The writes that did not last on one device.
type OfDevice<'a> = (&'a Arc<str>, &'a [UndoneWrite]);

/// The tags and values that were changed back at least `TIMES` times.
pub fn changed_back(undone: &BTreeMap<ChangeKey, Vec<UndoneWrite>>) -> Vec<ChangedBack> {
    let mut by_what: BTreeMap<&ChangeWhat, Vec<OfDevice<'_>>> = BTreeMap::new();
    for (key, writes) in undone.iter().filter(|(_, writes)| writes.len() >= TIMES) {
        by_what.entry(&key.what).or_default().push((&key.device, writes));
    }
    let told = by_what.into_iter().map(|(what, devices)| {
        let (action, tag) = match what {
            ChangeWhat::Add(tag) => ("add", tag.to_string()),
            ChangeWhat::Remove(tag) => ("remove", tag.to_string()),
            ChangeWhat::Value(value) => ("value", value.word().to_owned()),
        };
        let writes = || devices.iter().flat_map(|(_, writes)| writes.iter());
        let mut newest: BTreeMap<&Arc<str>, Timestamp> = BTreeMap::new();
        for write in writes() {
            let at = newest.entry(&write.run).or_insert(write.at);
            *at = write.at.max(*at);
        }
        let after: BTreeSet<ChangedAfter> =
            newest.into_iter().map(|(run, at)| ChangedAfter { at, run: run.clone() }).collect();
        let who = if writes().all(|write| write.was_shown) {
            "a person or another tool"
        } else {
            "a person, another tool or a rule of the service"
        };
        ChangedBack {
            tag,
            action: action.to_owned(),
            devices: devices.len() as u64,
            sample: devices.iter().take(SAMPLE).map(|(device, _)| (*device).clone()).collect(),
            times: devices.iter().map(|(_, writes)| writes.len() as u64).min().unwrap_or_default(),
            who: who.to_owned(),
            after: after.into_iter().rev().take(SAMPLE).collect(),
        }
    });
    told.collect()
}
