//! Device groups: finds a device's group by the tenant's rules, in the shape of the undocumented entity set.
//!
//! Deliberately separate from the client's evaluation: a mistake there must meet a different answer here, not agreement.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::record::Group;

/// The groups of a tenant, the highest rank first.
#[derive(Clone, Debug)]
pub(super) struct Groups(Vec<DeviceGroup>);

#[derive(Clone, Debug)]
struct DeviceGroup {
    group: Group,
    priority: i64,
    is_unassigned: bool,
    /// By [`KINDS`].
    conditions: [Vec<Condition>; 4],
    /// As it was given.
    entity: Value,
}

/// One condition on one property.
#[derive(Clone, Debug)]
struct Condition {
    operator: Operation,
    /// In lower case.
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    StartsWith,
    EndsWith,
    Equals,
    Contains,
    In,
}

/// Members of `deviceGroupRules`, by property.
const KINDS: [&str; 4] =
    ["devicesNamesConditions", "devicesDomainsConditions", "devicesTagsConditions", "devicesOsConditions"];
const TAGS: usize = 2;
const SYSTEMS: usize = 3;

/// The properties of a device that rules look at.
pub(super) struct Seen<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) platform: Option<&'a str>,
    pub(super) tags: &'a [&'a str],
}

impl Default for Groups {
    fn default() -> Groups {
        Groups::usual().clone()
    }
}

impl Groups {
    /// The groups of a new sandbox.
    pub(super) fn usual() -> &'static Groups {
        static USUAL: OnceLock<Groups> = OnceLock::new();
        USUAL.get_or_init(|| Groups::parse(&usual_entities()).expect("the usual groups are groups"))
    }

    /// Reads an array of the entity set's objects.
    ///
    /// # Errors
    /// A sentence that names the group.
    pub(super) fn parse(entities: &Value) -> Result<Groups, String> {
        let entities = entities.as_array().ok_or("device groups are an array")?;
        let mut groups = entities.iter().map(DeviceGroup::parse).collect::<Result<Vec<_>, _>>()?;
        // The sort is stable: groups of one rank keep their order.
        groups.sort_by_key(|group| (group.is_unassigned, group.priority));
        Ok(Groups(groups))
    }

    /// The group of a device: the first whose conditions all hold.
    pub(super) fn of(&self, device: &Seen<'_>) -> Group {
        let found = self.0.iter().find(|group| !group.is_unassigned && group.holds(device));
        let found = found.or_else(|| self.0.iter().find(|group| group.is_unassigned));
        found.map_or_else(Group::default, |found| found.group.clone())
    }

    /// Whether some rule of a group depends on this tag.
    pub(super) fn look_at(&self, tag: &str) -> bool {
        let tag = tag.to_lowercase();
        let mut conditions = self.0.iter().flat_map(|group| &group.conditions[TAGS]);
        conditions.any(|condition| condition.holds(&tag))
    }

    /// The groups in the shape of the entity set, each with its number of devices.
    pub(super) fn entities(&self, counts: &HashMap<i32, u64>) -> Value {
        let entity = |group: &DeviceGroup| {
            let mut entity = group.entity.clone();
            entity["deviceCount"] = json!(counts.get(&group.group.id).copied().unwrap_or(0));
            entity
        };
        self.0.iter().map(entity).collect()
    }
}

impl DeviceGroup {
    fn parse(entity: &Value) -> Result<DeviceGroup, String> {
        let name = entity["deviceGroupName"].as_str().ok_or("a device group needs `deviceGroupName`")?;
        let named = |what: &str| format!("device group {name}: {what}");
        let id = entity["id"].as_i64().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or_else(|| named("`id` is no number"))?;
        let mut conditions = [const { Vec::new() }; 4];
        for (kind, list) in KINDS.iter().zip(&mut conditions) {
            for condition in entity["deviceGroupRules"][kind].as_array().into_iter().flatten() {
                list.extend(Condition::parse(condition).map_err(|what| named(&what))?);
            }
        }
        Ok(DeviceGroup {
            group: Group { id, name: Some(Arc::from(name)) },
            priority: entity["priority"].as_i64().unwrap_or(i64::MAX),
            is_unassigned: entity["isUnassignedDeviceGroup"].as_bool().unwrap_or(false),
            conditions,
            entity: entity.clone(),
        })
    }

    fn holds(&self, device: &Seen<'_>) -> bool {
        let name = device.name.map(str::to_lowercase);
        let domain = name.as_deref().and_then(|name| name.split_once('.')).map(|(_, domain)| domain);
        let tags: Vec<String> = device.tags.iter().map(|tag| tag.to_lowercase()).collect();
        let is_conditional = self.conditions.iter().any(|conditions| !conditions.is_empty());
        is_conditional
            && self.conditions.iter().enumerate().all(|(kind, conditions)| {
                conditions.is_empty()
                    || conditions.iter().any(|condition| match kind {
                        0 => name.as_deref().is_some_and(|name| condition.holds(name)),
                        1 => domain.is_some_and(|domain| condition.holds(domain)),
                        TAGS => tags.iter().any(|tag| condition.holds(tag)),
                        _ => device.platform.is_some_and(|platform| condition.holds_for_system(platform)),
                    })
            })
    }
}

impl Condition {
    /// Parses a condition; `None` for an empty value, which is no condition.
    fn parse(condition: &Value) -> Result<Option<Condition>, String> {
        let operator = match &condition["condition"] {
            Value::Number(number) => number.as_u64().and_then(|number| OPERATIONS.get(number as usize)),
            Value::String(name) => OPERATIONS.iter().find(|(known, _)| known == name),
            _ => None,
        };
        let (_, operator) = *operator.ok_or_else(|| format!("unknown operator in {condition}"))?;
        let mut values: Vec<String> = match (&condition["valuesList"], &condition["value"]) {
            (Value::Array(values), _) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            (_, Value::String(text)) if operator == Operation::In => serde_json::from_str(text)
                .unwrap_or_else(|_| text.split(',').map(|value| value.trim().to_owned()).collect()),
            (_, Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        };
        values.retain(|value| !value.is_empty());
        values.iter_mut().for_each(|value| *value = value.to_lowercase());
        Ok((!values.is_empty()).then_some(Condition { operator, values }))
    }

    fn holds(&self, text: &str) -> bool {
        self.values.iter().any(|value| match self.operator {
            Operation::StartsWith => text.starts_with(&**value),
            Operation::EndsWith => text.ends_with(&**value),
            Operation::Contains => text.contains(&**value),
            Operation::Equals | Operation::In => text == value,
        })
    }

    /// The portal's `Linux` covers every distribution.
    fn holds_for_system(&self, platform: &str) -> bool {
        let platform = platform.to_lowercase();
        let others = ["windows", "macos", "ios", "android", "other"];
        let is_linux = !others.iter().any(|other| platform.starts_with(other));
        self.holds(&platform) || is_linux && self.holds("linux")
    }
}

/// By their numbers.
const OPERATIONS: [(&str, Operation); 5] = [
    ("StartsWith", Operation::StartsWith),
    ("EndsWith", Operation::EndsWith),
    ("Equals", Operation::Equals),
    ("Contains", Operation::Contains),
    ("In", Operation::In),
];

/// Group names and numbers of a new sandbox; 0 and no name is ungrouped.
pub(super) const NAMES: &[(i32, &str)] = &[
    (151, "Tier-0"),
    (150, "Servers"),
    (152, "Linux"),
    (160, "Mobile"),
    (140, "EU-Workstations"),
    (141, "US-Workstations"),
];

fn usual_entities() -> Value {
    let windows =
        ["2008R2", "2012R2", "2016", "2019", "2022", "2025"].map(|year| format!("WindowsServer{year}"));
    let systems = |names: &[&str]| json!([{ "condition": "In", "valuesList": names }]);
    let windows: Vec<&str> = windows.iter().map(String::as_str).collect();
    let text = |operator: &str, value: &str| json!([{ "condition": operator, "value": value }]);
    let rules = [
        ("SemiRequireApprovalForAllFolders", KINDS[TAGS], text("Equals", "Tier0")),
        ("SemiRequireApprovalForCoreFolders", KINDS[SYSTEMS], systems(&windows)),
        ("SemiRequireApprovalForNonTempFolders", KINDS[SYSTEMS], systems(&["Linux"])),
        ("NoAutomatedResponse", KINDS[SYSTEMS], systems(&["iOS", "Android"])),
        ("FullRemediateThreatsAutomatically", KINDS[1], text("Equals", "emea.corp.example.com")),
        ("FullRemediateThreatsAutomatically", KINDS[1], text("EndsWith", "corp.example.com")),
    ];
    let entities = NAMES.iter().zip(rules).enumerate().map(|(rank, ((id, name), (level, kind, conditions)))| {
        let mut rules = json!({});
        KINDS.iter().for_each(|kind| rules[*kind] = json!([]));
        rules[kind] = conditions;
        let access = if *name == "Tier-0" { "SOC tier 2" } else { "SOC" };
        json!({
            "id": id, "priority": rank + 1, "deviceGroupName": name, "isUnassignedDeviceGroup": false,
            "automationLevel": level, "description": "", "deviceCount": 0, "lastUpdateTime": "2026-01-01T00:00:00Z",
            "aadUsersGroups": [{ "displayName": access, "id": format!("00000000-0000-4000-8000-{:012}", access.len()) }],
            "deviceGroupRules": rules,
        })
    });
    entities.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, platform: &str, tags: &[&str]) -> Option<String> {
        let seen = Seen { name: Some(name), platform: Some(platform), tags };
        Groups::usual().of(&seen).name.map(|name| name.to_string())
    }

    #[test]
    fn the_first_group_whose_conditions_all_hold_has_the_device() {
        assert_eq!(group("a.corp.example.com", "Ubuntu", &["tier0"]).as_deref(), Some("Tier-0"));
        assert_eq!(group("a.corp.example.com", "Ubuntu", &[]).as_deref(), Some("Linux"));
        assert_eq!(group("A.EMEA.corp.example.com", "Windows11", &[]).as_deref(), Some("EU-Workstations"));
        assert_eq!(group("a.corp.example.com", "Windows11", &["x"]).as_deref(), Some("US-Workstations"));
        assert_eq!(group("a", "Windows11", &[]), None);
    }

    #[test]
    fn an_unknown_operator_names_its_group() {
        let wrong = json!([{ "id": 1, "deviceGroupName": "G", "deviceGroupRules": {
            "devicesTagsConditions": [{ "condition": "Near", "value": "x" }] } }]);
        assert!(Groups::parse(&wrong).unwrap_err().contains("device group G"));
        let empty = json!([{ "id": 1, "deviceGroupName": "G", "deviceGroupRules": {
            "devicesTagsConditions": [{ "condition": 2, "value": "" }] } }]);
        let seen = Seen { name: None, platform: None, tags: &[""] };
        assert_eq!(
            Groups::parse(&empty).unwrap().of(&seen),
            Group::default(),
            "no condition matches nothing"
        );
    }
}
