//! The devices of the simulated tenant: generated from a seed or inserted by hand, found by id, read in row order.
//!
//! Does not make up devices; that is `generate`.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::generate;
use crate::groups::{Groups, Seen};
use crate::people;
use crate::random::hash;
use crate::record::{Group, Record, ShownOrigins, Tag, Viewer, write_text};
use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) devices: Vec<Record>,
    rows: HashTable<u32>,
    pub(super) groups: Groups,
    tags: HashMap<Box<str>, Tag>,
}

impl Fleet {
    /// The current fleet of a seed. It was made at `created` and has kept reporting since, so the ages of last reports stay the
    /// same to the day.
    pub(super) fn generated(devices: u64, seed: u64, created: Timestamp, now: Timestamp) -> Fleet {
        let days = now.since(created).as_secs() / 86_400;
        let words = generate::Words::new();
        let devices: Vec<Record> = (0..devices as usize)
            .into_par_iter()
            .map(|row| people::draft(seed, devices, row as u64, created).days_later(days).record(&words))
            .collect();
        let mut fleet = Fleet { devices, ..Fleet::default() };
        for tag in words.tags() {
            fleet.tags.insert(Box::from(&**tag), tag.clone());
        }
        fleet.reindex();
        fleet
    }

    /// Parses devices from lines of one API object each. Skips empty lines and the header of a snapshot file.
    ///
    /// # Errors
    /// A sentence that names the line.
    pub(super) fn of_lines(lines: &str) -> Result<Fleet, String> {
        let mut fleet = Fleet::default();
        for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let named = |error: String| format!("line {}: {error}", number + 1);
            let device: Value = serde_json::from_str(line).map_err(|error| named(error.to_string()))?;
            if number == 0 && device["kind"] == "snapshot" {
                continue;
            }
            fleet.insert(&device).map_err(named)?;
        }
        Ok(fleet)
    }

    /// The group that the rules give a device as it is now.
    pub(super) fn group_of(&self, row: usize, now: Timestamp) -> Group {
        let device = &self.devices[row];
        if device.text("mergedIntoMachineId").is_some() {
            return Group::default();
        }
        let shown = device.shown(now, Viewer::Writer, ShownOrigins::All);
        let tags: Vec<&str> = shown.tags.iter().map(|tag| &***tag).collect();
        let (name, platform) = (device.text("computerDnsName"), device.text("osPlatform"));
        self.groups.of(&Seen { name: name.as_deref(), platform: platform.as_deref(), tags: &tags })
    }

    /// Moves every device to the group that the new rules give it.
    pub(super) fn regroup(&mut self, groups: Groups, now: Timestamp) {
        self.groups = groups;
        for row in 0..self.devices.len() {
            let group = self.group_of(row, now);
            self.devices[row].regroup(group, now, now);
        }
    }

    /// Rebuilds the index after rows have moved.
    pub(super) fn reindex(&mut self) {
        self.rows = HashTable::with_capacity(self.devices.len());
        for row in 0..self.devices.len() {
            let key = hash(&self.devices[row].id);
            let devices = &self.devices;
            self.rows.insert_unique(key, row as u32, |other| hash(&devices[*other as usize].id));
        }
    }

    /// The row of an id.
    pub(super) fn row(&self, id: &str) -> Option<usize> {
        self.rows.find(hash(id), |row| &*self.devices[*row as usize].id == id).map(|row| *row as usize)
    }

    /// The row of an id, or of the most recently seen device of this name.
    pub(super) fn row_of_id_or_name(&self, text: &str) -> Option<usize> {
        self.row(text).or_else(|| {
            let named = |row: &usize| {
                let name = self.devices[*row].text("computerDnsName");
                name.is_some_and(|name| name.eq_ignore_ascii_case(text))
            };
            (0..self.devices.len()).filter(named).max_by_key(|row| self.devices[*row].last_seen)
        })
    }

    /// The fleet's shared copy of a tag's text.
    pub(super) fn tag(&mut self, text: &str) -> Tag {
        if let Some(tag) = self.tags.get(text) {
            return tag.clone();
        }
        let tag: Tag = Arc::from(text);
        self.tags.insert(text.into(), tag.clone());
        tag
    }

    /// Inserts a device, or replaces the one with its id. Keeps members that the API does not know. `registryTag`, `dynamicTags`
    /// and `lockedValue` are the sandbox's own and are never shown.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the object.
    pub(super) fn insert(&mut self, device: &Value) -> Result<Box<str>, String> {
        let Value::Object(members) = device else { return Err("a device is a JSON object".to_owned()) };
        let record = self.record(members.clone())?;
        let id = record.id.clone();
        match self.row(&id) {
            Some(row) => self.devices[row] = record,
            None => {
                let row = self.devices.len() as u32;
                self.devices.push(record);
                let devices = &self.devices;
                self.rows.insert_unique(hash(&id), row, |other| hash(&devices[*other as usize].id));
            }
        }
        Ok(id)
    }

    /// Removes devices. Ignores ids that the fleet lacks.
    pub(super) fn delete(&mut self, ids: &[Box<str>]) {
        let gone: std::collections::HashSet<&str> = ids.iter().map(|id| &**id).collect();
        self.devices.retain(|device| !gone.contains(&*device.id));
        self.reindex();
    }

    fn record(&mut self, mut members: Map<String, Value>) -> Result<Record, String> {
        let Some(Value::String(id)) = members.remove("id") else {
            return Err("a device needs an `id`".to_owned());
        };
        let texts = |value: Option<Value>| match value {
            Some(Value::Array(tags)) => {
                tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        let manual = texts(members.remove("machineTags"));
        let dynamic = texts(members.remove("dynamicTags"));
        let registry = members.remove("registryTag").and_then(|tag| tag.as_str().map(str::to_owned));
        let value_of =
            |value: Option<Value>| value.as_ref().and_then(Value::as_str).and_then(DeviceValue::parse);
        let value = members.remove("deviceValue");
        let value = if value.is_none() { Some(DeviceValue::Normal) } else { value_of(value) };
        let locked = value_of(members.remove("lockedValue"));
        let group_id = members.remove("rbacGroupId").and_then(|id| id.as_i64()).unwrap_or(0);
        let group_name = members.remove("rbacGroupName").and_then(|name| name.as_str().map(Arc::from));
        let last_seen = members.get("lastSeen").and_then(Value::as_str).and_then(Timestamp::parse_field);
        members.entry("computerDnsName").or_insert(Value::Null);
        members.entry("vmMetadata").or_insert(Value::Null);
        let mut json = b"{\"id\":".to_vec();
        write_text(&mut json, &id);
        json.push(b',');
        let gap = json.len();
        let rest = serde_json::to_vec(&members).map_err(|error| error.to_string())?;
        json.extend_from_slice(&rest[1..]);
        let mut record = Record::new(&id, json, gap, gap);
        record.last_seen = last_seen;
        record.state.manual = manual.iter().map(|tag| self.tag(tag)).collect();
        record.state.value = locked.or(value);
        record.state.group = Group { id: i32::try_from(group_id).unwrap_or(0), name: group_name };
        record.registry = registry.map(|tag| self.tag(&tag));
        record.dynamic = dynamic.iter().map(|tag| self.tag(tag)).collect();
        record.locked = locked;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_put_in_by_hand_replaces_the_one_with_its_id() {
        let mut fleet = Fleet::default();
        let device = |name: &str| serde_json::json!({ "id": "a", "computerDnsName": name });
        fleet.insert(&device("one")).unwrap();
        fleet.insert(&device("two")).unwrap();
        assert_eq!(fleet.devices.len(), 1);
        assert_eq!(fleet.row_of_id_or_name("TWO"), Some(0));
        fleet.delete(&["a".into()]);
        assert_eq!(fleet.row("a"), None);
    }
}
