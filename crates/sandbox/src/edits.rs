//! Recorded changes of the fleet: what was added, removed or set on which devices, and when readers see it. Replaying them on the
//! seed's fleet gives the current fleet, so even with a million devices, saving a call costs no more than the call.
//!
//! Does not decide what a request leads to; that is `write`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::Fleet;
use crate::groups::Groups;
use crate::record::{Group, State, Tag};
use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

/// One fact, with its times in ticks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Edit {
    pub(super) at: i64,
    /// When the list shows it.
    pub(super) list: i64,
    /// When hunting shows it.
    pub(super) hunting: i64,
    #[serde(flatten)]
    pub(super) change: Change,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub(super) enum Change {
    Add {
        tag: String,
        ids: Vec<Box<str>>,
    },
    Remove {
        tag: String,
        ids: Vec<Box<str>>,
    },
    /// A device has exactly these manual tags.
    Tags {
        id: Box<str>,
        tags: Vec<String>,
    },
    /// A device has this value.
    Value {
        id: Box<str>,
        value: DeviceValue,
    },
    /// A registry or dynamic tag is hidden until then.
    Suppress {
        id: Box<str>,
        tag: String,
        until: i64,
    },
    /// A rule takes the value back then.
    Revert {
        id: Box<str>,
        value: DeviceValue,
        due: i64,
    },
    /// The group changes then.
    Regroup {
        id: Box<str>,
        group: i32,
        name: Option<String>,
        due: i64,
    },
    /// A device appears, or is replaced.
    Insert {
        device: serde_json::Value,
    },
    /// The tenant's device groups are replaced, and every device moves to where the new rules put it.
    Groups {
        groups: serde_json::Value,
    },
    Delete {
        ids: Vec<Box<str>>,
    },
    /// The clock was moved forward by this many ticks.
    Clock {
        by: i64,
    },
}

impl Edit {
    /// An edit that all readers see at once.
    pub(super) fn now(now: Timestamp, change: Change) -> Edit {
        Edit::seen(now, Duration::ZERO, Duration::ZERO, change)
    }

    /// An edit that the list and hunting see later.
    pub(super) fn seen(now: Timestamp, list: Duration, hunting: Duration, change: Change) -> Edit {
        Edit { at: now.ticks(), list: now.plus(list).ticks(), hunting: now.plus(hunting).ticks(), change }
    }

    /// Applies the edit to the fleet. Ignores devices that the fleet lacks.
    pub(super) fn apply(&self, fleet: &mut Fleet) {
        match &self.change {
            Change::Add { tag, ids } => {
                let tag = fleet.tag(tag);
                self.rewrite(fleet, ids, |state| {
                    if !state.manual.contains(&tag) {
                        state.manual.push(tag.clone());
                    }
                });
            }
            Change::Remove { tag, ids } => {
                self.rewrite(fleet, ids, |state| state.manual.retain(|other| **other != **tag));
            }
            Change::Tags { id, tags } => {
                let tags: Vec<Tag> = tags.iter().map(|tag| fleet.tag(tag)).collect();
                self.rewrite(fleet, std::slice::from_ref(id), |state| state.manual.clone_from(&tags));
            }
            Change::Value { id, value } => {
                self.rewrite(fleet, std::slice::from_ref(id), |state| state.value = Some(*value));
            }
            Change::Suppress { id, tag, until } => {
                let tag = fleet.tag(tag);
                if let Some(row) = fleet.row(id) {
                    fleet.devices[row].suppress(&tag, Timestamp::from_ticks(*until));
                }
            }
            Change::Revert { id, value, due } => {
                if let Some(row) = fleet.row(id) {
                    fleet.devices[row].revert_value(Some(*value), Timestamp::from_ticks(*due));
                }
            }
            Change::Regroup { id, group, name, due } => {
                if let Some(row) = fleet.row(id) {
                    let group = Group { id: *group, name: name.as_deref().map(Into::into) };
                    fleet.devices[row].regroup(
                        group,
                        Timestamp::from_ticks(self.at),
                        Timestamp::from_ticks(*due),
                    );
                }
            }
            Change::Insert { device } => {
                // Only devices that were inserted successfully are recorded.
                let _ = fleet.insert(device);
            }
            // Only groups that were parsed successfully are recorded.
            Change::Groups { groups } => {
                if let Ok(groups) = Groups::parse(groups) {
                    fleet.regroup(groups, Timestamp::from_ticks(self.at));
                }
            }
            Change::Delete { ids } => fleet.delete(ids),
            Change::Clock { .. } => {}
        }
    }

    fn rewrite(&self, fleet: &mut Fleet, ids: &[Box<str>], edit: impl Fn(&mut State)) {
        let moment = Timestamp::from_ticks;
        for id in ids {
            if let Some(row) = fleet.row(id) {
                fleet.devices[row].forget_past(moment(self.at));
                let mut state = fleet.devices[row].state.clone();
                edit(&mut state);
                fleet.devices[row].write(state, moment(self.at), moment(self.list), moment(self.hunting));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_survives_its_text() {
        let change = Change::Add { tag: "A".to_owned(), ids: vec!["x".into()] };
        let edit = Edit::seen(Timestamp::EPOCH, Duration::from_secs(5), Duration::ZERO, change);
        let text = serde_json::to_string(&edit).unwrap();
        let again: Edit = serde_json::from_str(&text).unwrap();
        assert_eq!((again.list, again.change), (edit.list, edit.change));
    }

    #[test]
    fn facts_on_the_same_fleet_give_the_same_fleet() {
        let mut fleet = Fleet::default();
        let edit = |change| Edit::now(Timestamp::EPOCH, change);
        edit(Change::Insert { device: serde_json::json!({ "id": "x", "machineTags": ["B"] }) })
            .apply(&mut fleet);
        edit(Change::Add { tag: "A".to_owned(), ids: vec!["x".into(), "gone".into()] }).apply(&mut fleet);
        edit(Change::Remove { tag: "B".to_owned(), ids: vec!["x".into()] }).apply(&mut fleet);
        edit(Change::Value { id: "x".into(), value: DeviceValue::High }).apply(&mut fleet);
        let state = &fleet.devices[0].state;
        assert_eq!(state.manual.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["A"]);
        assert_eq!(state.value, Some(DeviceValue::High));
    }
}
