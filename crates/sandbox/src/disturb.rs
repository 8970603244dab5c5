//! Edits as people make them in the portal between two runs: they remove tags, add tags by hand and change values.
//!
//! Bypasses the API routes: the edits are neither throttled, nor logged as calls, nor delayed.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::edits::{Change, Edit};
use crate::random::Random;
use crate::record::Tag;
use crate::service::Service;
use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

/// Tags that people invent.
const INVENTED: &[&str] = &["portal-note", "Investigate", "VIP", "to be reinstalled", "INC-20931"];
/// Tags that a policy is likely to claim. Used if the caller names none.
const CLAIMED: &[&str] = &["env/test", "env/prod", "Tier0", "Legacy", "Inactive40d"];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disturbance {
    pub device: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    pub what: Disturbed,
}

/// One edit of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disturbed {
    Added(String),
    /// This tag was removed.
    Removed(String),
    /// The value was set to this.
    Value(DeviceValue),
}

/// Makes `count` edits, each on a device of its own. The tags in `owned` are those of a policy, which drift should find.
pub(super) fn disturb(
    service: &mut Service,
    count: u64,
    seed: u64,
    owned: &[String],
    now: Timestamp,
) -> Result<Vec<Disturbance>, String> {
    let mut random = Random::new(seed ^ 0x00D1_570B);
    let mut rows: Vec<usize> = (0..service.fleet.devices.len()).collect();
    random.shuffle(&mut rows);
    let mut taken = HashSet::new();
    let (mut done, mut edits) = (Vec::new(), Vec::new());
    while (done.len() as u64) < count {
        // The kinds take turns. If no device is left for one kind, the next takes its place.
        let turns = (0..KINDS).map(|step| (done.len() + step) % KINDS);
        let found = turns.into_iter().find_map(|turn| {
            let mut free = rows.iter().filter(|row| !taken.contains(*row));
            free.find_map(|row| Some((*row, edit(service, *row, turn, owned, &mut random)?)))
        });
        let Some((row, (what, change))) = found else { break };
        taken.insert(row);
        let device = &service.fleet.devices[row];
        let name = device.text("computerDnsName");
        done.push(Disturbance { device: (*device.id).to_owned(), name, what });
        edits.push(Edit::now(now, change));
    }
    service.commit_or_say(&edits)?;
    Ok(done)
}

/// Kinds of edits: remove a tag, add a policy's tag where it may not belong, add an unrelated tag, change a value.
const KINDS: usize = 4;

/// One edit of a kind, if the device allows it.
fn edit(
    service: &Service,
    row: usize,
    kind: usize,
    owned: &[String],
    random: &mut Random,
) -> Option<(Disturbed, Change)> {
    let device = &service.fleet.devices[row];
    let ids = vec![device.id.clone()];
    let carries = |tag: &str| device.state.manual.iter().any(|other| &**other == tag);
    let add = |tag: &str| {
        let change = Change::Add { tag: tag.to_owned(), ids: ids.clone() };
        (!carries(tag)).then(|| (Disturbed::Added(tag.to_owned()), change))
    };
    match kind {
        0 => {
            let is_owned = |tag: &&Tag| owned.is_empty() || owned.iter().any(|other| **other == ***tag);
            let tags: Vec<&Tag> = device.state.manual.iter().filter(is_owned).collect();
            let tag = tags.get(random.below(tags.len() as u64) as usize)?.to_string();
            Some((Disturbed::Removed(tag.clone()), Change::Remove { tag, ids }))
        }
        1 if owned.is_empty() => add(random.pick(CLAIMED)),
        1 => add(&owned[random.below(owned.len() as u64) as usize]),
        2 => add(random.pick(INVENTED)),
        _ => {
            let value = random.pick(&DeviceValue::ALL);
            let changes = device.locked.is_none() && device.state.value != Some(value);
            changes.then(|| (Disturbed::Value(value), Change::Value { id: device.id.clone(), value }))
        }
    }
}
