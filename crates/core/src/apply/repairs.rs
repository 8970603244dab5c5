//! Tags that calls of a run removed by accident, and whether each is back. They are in no plan, so no outcome counts them.
//!
//! `canary` puts them back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ChangeKey, ChangeOutcome, ChangeWhat, Entry, Outcome};

/// Each lost tag of a run once, as the addition that puts it back: done, failed, or not attempted yet.
pub fn lost_tags<'j>(entries: impl IntoIterator<Item = &'j Entry>) -> Vec<ChangeOutcome> {
    let mut last: BTreeMap<(&Arc<str>, &Arc<str>), _> = BTreeMap::new();
    for entry in entries {
        if let Entry::Repair { device, tag, restored, error, .. } = entry {
            last.insert((device, tag), (*restored, error.clone()));
        }
    }
    let put_back = last.into_iter().map(|((device, tag), (restored, error))| ChangeOutcome {
        key: ChangeKey { device: device.clone(), what: ChangeWhat::Add(tag.clone()) },
        outcome: match restored {
            Some(true) => Outcome::Done,
            Some(false) => Outcome::Failed,
            None => Outcome::NotAttempted,
        },
        error: error.filter(|_| restored != Some(true)),
    });
    put_back.collect()
}
