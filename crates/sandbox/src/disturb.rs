//! What people do in the portal between two runs: tags taken off, added by hand, values changed.
//!
//! Goes around the API routes: nothing here is throttled, logged as a call or delayed.

use serde::{Deserialize, Serialize};

use crate::edits::{Change, Edit};
use crate::random::Random;
use crate::service::Service;
use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

/// Tags that people invent.
const INVENTED: &[&str] = &["portal-note", "Investigate", "VIP", "to be reinstalled", "INC-20931"];
/// Tags that a policy is likely to claim, put where they may not belong.
const CLAIMED: &[&str] = &["env/test", "env/prod", "Tier0", "Legacy", "Inactive40d"];

/// One edit by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disturbance {
    /// Device id.
    pub device: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What was done.
    pub what: Disturbed,
}

/// What was done to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disturbed {
    /// This tag was added.
    Added(String),
    /// This tag was taken off.
    Removed(String),
    /// The value was set to this.
    Value(DeviceValue),
}

/// Makes `count` edits, each on a device of its own.
pub(super) fn disturb(
    service: &mut Service,
    count: u64,
    seed: u64,
    now: Timestamp,
) -> Result<Vec<Disturbance>, String> {
    let mut random = Random::new(seed ^ 0x00D1_570B);
    let mut rows: Vec<usize> = (0..service.fleet.devices.len()).collect();
    random.shuffle(&mut rows);
    let mut done = Vec::new();
    let mut edits = Vec::new();
    for row in rows {
        if done.len() as u64 >= count {
            break;
        }
        let turn = done.len() % 4;
        if let Some((what, change)) = edit(service, row, turn, &mut random) {
            let device = &service.fleet.devices[row];
            let name = device.text("computerDnsName");
            done.push(Disturbance { device: (*device.id).to_owned(), name, what });
            edits.push(Edit::now(now, change));
        }
    }
    service.commit_or_say(&edits)?;
    Ok(done)
}

/// One edit of the kind whose turn it is, if the device allows it.
fn edit(service: &Service, row: usize, turn: usize, random: &mut Random) -> Option<(Disturbed, Change)> {
    let device = &service.fleet.devices[row];
    let ids = vec![device.id.clone()];
    let carries = |tag: &str| device.state.manual.iter().any(|other| &**other == tag);
    let add = |tag: &str| {
        let change = Change::Add { tag: tag.to_owned(), ids: ids.clone() };
        (!carries(tag)).then(|| (Disturbed::Added(tag.to_owned()), change))
    };
    match turn {
        // Most tags in a tenant are likely a policy's, so taking any off is what drift should find.
        0 if device.state.manual.is_empty() => None,
        0 => {
            let tag =
                device.state.manual[random.below(device.state.manual.len() as u64) as usize].to_string();
            Some((Disturbed::Removed(tag.clone()), Change::Remove { tag, ids }))
        }
        1 => add(random.pick(CLAIMED)),
        2 => add(random.pick(INVENTED)),
        _ => {
            let value = random.pick(&DeviceValue::ALL);
            let changes = device.locked.is_none() && device.state.value != Some(value);
            changes.then(|| (Disturbed::Value(value), Change::Value { id: device.id.clone(), value }))
        }
    }
}
