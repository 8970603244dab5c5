//! Device groups against a device-by-device evaluation, and the three forms of their file.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::inventory::{DeviceSet, Row, Snapshot, SnapshotBuilder};
use crate::policy::{
    DeviceGroup, DeviceGroups, GroupCondition, GroupIndex, Operator, Property, read_device_groups as read,
};
use crate::tag::TagCase;
use crate::text::fold;

fn snapshot(devices: &[serde_json::Value]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    for device in devices {
        let line = device.to_string();
        builder.read_device(line.as_bytes()).expect("a device");
    }
    builder.finish().0
}

const WRITTEN: &str = "
groups:
  - { name: Tier-0 servers, remediation: approve-all, access: [SOC tier 2], when: { tag: [{ equals: Tier0 }], os: [{ startsWith: WindowsServer }] } }
  - { name: Lab, remediation: full, when: { domain: [{ endsWith: lab.example.net }, { equals: test.example.net }] } }
  - { name: Empty, remediation: full }
";

#[test]
fn the_three_forms_of_a_file_say_the_same() {
    let portal = r#"{ "items": [
        { "Name": "Lab", "Priority": 2, "AutoRemediationLevel": 3, "MachineGroupAssignments": [],
          "GroupRules": [ { "Property": 1, "OperatorType": 1, "PropertyValue": "lab.example.net" },
                          { "Property": 1, "OperatorType": 2, "PropertyValue": "test.example.net" },
                          { "Property": 0, "OperatorType": 0, "PropertyValue": "" } ] },
        { "Name": "Tier-0 servers", "Priority": 1, "AutoRemediationLevel": 1, "Description": "ignored",
          "MachineGroupAssignments": [ { "WcdAadGroup": { "DisplayName": "SOC tier 2" } } ],
          "GroupRules": [ { "Property": 2, "OperatorType": 2, "PropertyValue": "Tier0" },
                          { "Property": 3, "OperatorType": 0, "PropertyValue": "WindowsServer" } ] },
        { "Name": "Empty", "Priority": 3, "AutoRemediationLevel": 3, "GroupRules": [] } ] }"#;
    let entity = r#"[
        { "deviceGroupName": "Tier-0 servers", "priority": 1, "automationLevel": "SemiRequireApprovalForAllFolders",
          "aadUsersGroups": [ { "displayName": "SOC tier 2", "id": "1" } ],
          "deviceGroupRules": { "devicesTagsConditions": [ { "condition": "Equals", "value": "Tier0" } ],
                                "devicesOsConditions": [ { "condition": 0, "valuesList": ["WindowsServer"] } ] } },
        { "deviceGroupName": "Lab", "priority": 2, "automationLevel": 7, "aadUsersGroups": [],
          "deviceGroupRules": { "devicesDomainsConditions": [ { "condition": "EndsWith", "value": "lab.example.net" },
                                                              { "condition": 2, "value": "test.example.net" } ] } },
        { "deviceGroupName": "Empty", "priority": 3, "automationLevel": 7 } ]"#;
    let written = read(WRITTEN, TagCase::Insensitive).unwrap();
    assert_eq!(written.groups.len(), 3);
    assert_eq!(written.notes, ["the group `Empty` has no condition and so matches no device"]);
    assert_eq!(read(portal, TagCase::Insensitive).unwrap(), written);
    assert_eq!(read(entity, TagCase::Insensitive).unwrap(), written);
}

#[test]
fn what_is_not_understood_is_an_error_that_names_the_group() {
    for (text, message) in [
        ("groups: [{ name: a, when: { tag: [{ is: b }] } }]", "group `a`: unknown operator"),
        ("groups: [{ name: a, when: { owner: [{ equals: b }] } }]", "group `a`: unknown property `owner`"),
        ("groups: [{ name: a, remediation: some }]", "group `a`: unknown remediation level"),
        (
            r#"[{ "Name": "a", "GroupRules": [{ "Property": 9, "OperatorType": 0, "PropertyValue": "x" }] }]"#,
            "group `a`: unknown property",
        ),
        (
            r#"[{ "deviceGroupName": "a", "deviceGroupRules": { "devicesTagsConditions": [{ "value": "x" }] } }]"#,
            "a condition has no operator: the operators are startsWith",
        ),
        ("groups: [{ name: a }, { name: A }]", "two groups are named"),
        ("groups: [{ remediation: full }]", "group number 1 has no name"),
        (
            "groups: [{ name: a, when: { tag: [{ equals: 2024 }] } }]",
            "group `a`: `2024` in `equals` is no text",
        ),
        ("groups: [{ name: a, access: [7] }]", "group `a`: `7` in `access` is no text"),
        (
            r#"[{ "Name": "a", "GroupRules": [{ "Property": 2, "OperatorType": 2, "PropertyValue": 7 }] }]"#,
            "group `a`: `7` in `PropertyValue` is no text",
        ),
        (
            r#"[{ "deviceGroupName": "a", "deviceGroupRules": { "devicesTagsConditions": [{ "condition": 2, "value": 7 }] } }]"#,
            "group `a`: `7` in `value` is no text",
        ),
        (
            r#"[{ "deviceGroupName": "a", "deviceGroupRules": { "devicesTagsConditions": { "condition": 2, "value": "x" } } }]"#,
            "group `a`: `devicesTagsConditions` is no list",
        ),
        (
            r#"[{ "deviceGroupName": "a", "deviceGroupRules": [] }]"#,
            "group `a`: `deviceGroupRules` is no mapping",
        ),
        (
            r#"[{ "deviceGroupName": "a", "aadUsersGroups": "SOC" }]"#,
            "group `a`: `aadUsersGroups` is no list",
        ),
        (r#"[{ "Name": "a", "GroupRules": { "0": {} } }]"#, "group `a`: `GroupRules` is no list"),
        (r#"[{ "Name": "a", "GroupRules": ["Tier0"] }]"#, "in `GroupRules` is no rule"),
        (
            r#"[{ "Name": "a", "MachineGroupAssignments": {} }]"#,
            "group `a`: `MachineGroupAssignments` is no list",
        ),
        ("groups: [{ name: a, when: [{ tag: x }] }]", "group `a`: `when` is no mapping"),
        ("rules: []", "these are no device groups"),
        (r#"{"items": [], "items": [{ "Name": "a" }]}"#, "the key `items` stands twice"),
        (
            r#"{"items": [{ "Name": "a", "GroupRules": [], "GroupRules": [] }]}"#,
            "the key `GroupRules` stands twice",
        ),
        ("groups:\n  - name: a\n    name: b\n", "duplicate mapping key: name"),
        (r#"{"items": [{ "Name": "a" }], "value": []}"#, "under `items` and under `value`"),
        (r#"{"value": [{ "Name": "a" }], "odata.nextLink": "x"}"#, "only a part"),
    ] {
        let error = read(text, TagCase::Insensitive).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_key_that_nothing_reads_in_a_file_written_by_hand_is_told_and_so_is_a_file_without_groups() {
    let notes = |text: &str| read(text, TagCase::Insensitive).unwrap().notes;
    let text = "groups: [{ name: a, acces: [SOC], owner: me, x-note: b, when: { tag: [{ equals: b }] } }]";
    assert_eq!(
        notes(text),
        [
            "the group `a` has the key `acces`, which nothing reads: did you mean `access`?",
            "the group `a` has the key `owner`, which nothing reads",
        ]
    );
    assert_eq!(notes("groups: []"), ["the file has no group: no device can be predicted in one"]);
    let portal = r#"[{ "Name": "a", "Description": "x", "GroupRules": [{ "Property": 2, "OperatorType": 2, "PropertyValue": "b" }] }]"#;
    assert!(notes(portal).is_empty());
}

#[test]
fn an_access_group_without_a_name_does_not_open_its_device_group_to_everyone() {
    let text = r#"[{ "Name": "a", "MachineGroupAssignments": [{ "WcdAadGroup": { "Id": "6f1a" } }, { "WcdAadGroup": null }] }]"#;
    let groups = read(text, TagCase::Insensitive).unwrap();
    assert_eq!(groups.groups[0].access, ["6f1a", "an access group without a name"]);
}

#[test]
fn a_condition_that_cannot_be_judged_makes_its_group_unpredictable() {
    let text = r#"[{ "Name": "a", "GroupRules": [{ "Property": 4, "OperatorType": 0, "PropertyValue": "x" }] },
                   { "Name": "b", "GroupRules": [{ "Property": 3, "OperatorType": 4, "PropertyValue": "[\"BeOS\"]" }] },
                   { "Name": "c", "GroupRules": [{ "Property": 3, "OperatorType": 4, "PropertyValue": "[\"Windows2016\", \"Linux\"]" }] }]"#;
    let groups = read(text, TagCase::Insensitive).unwrap();
    let unpredictable: Vec<bool> = groups.groups.iter().map(|group| group.unpredictable.is_some()).collect();
    assert_eq!(unpredictable, [true, true, false]);
    let told: Vec<&str> = groups.notes.iter().map(String::as_str).collect();
    assert_eq!(
        told[0],
        "the group `a` has a condition on another property (number 4: `x`): who is in it cannot be predicted"
    );
    assert!(told[1].contains("the platform `BeOS`"), "{told:?}");
    assert!(groups.groups[2].conditions[0].values.iter().any(|value| value == "WindowsServer2016"));
    assert!(groups.groups[2].conditions[0].values.iter().any(|value| value == "Ubuntu"));
}

#[test]
fn a_part_of_linux_stands_for_every_distribution_and_makes_its_group_unpredictable() {
    for (operator, value) in [("startsWith", "Lin"), ("endsWith", "ux"), ("contains", "linux")] {
        let text = format!("groups: [{{ name: L, when: {{ os: [{{ {operator}: {value} }}] }} }}]");
        let groups = read(&text, TagCase::Insensitive).unwrap();
        assert!(groups.groups[0].unpredictable.is_some(), "{text}");
        assert!(
            groups.notes[0].contains(&format!("a part of `Linux` (`{operator} {value}`)")),
            "{:?}",
            groups.notes
        );
        let of = |platform: &str| {
            let fleet = snapshot(&[serde_json::json!({ "id": "a", "osPlatform": platform })]);
            Membership::new(&groups, &fleet).assign().of(Row(0))
        };
        for platform in ["Ubuntu", "AlmaLinux", "RedHatEnterpriseLinux", "SLES"] {
            assert_eq!(of(platform), GroupIndex::Group(0), "{text}: {platform}");
        }
        assert_eq!(of("Windows11"), GroupIndex::Ungrouped, "{text}");
    }
    for (operator, value) in [("startsWith", "WindowsServer"), ("contains", "RedHat"), ("endsWith", "OS")] {
        let text = format!("groups: [{{ name: L, when: {{ os: [{{ {operator}: {value} }}] }} }}]");
        assert_eq!(read(&text, TagCase::Insensitive).unwrap().groups[0].unpredictable, None, "{text}");
    }
}

#[test]
fn a_device_is_in_the_first_group_by_rank_and_merged_devices_in_none() {
    let groups = read(WRITTEN, TagCase::Insensitive).unwrap();
    let fleet = snapshot(&[
        serde_json::json!({ "id": "a", "computerDnsName": "dc1.lab.example.net", "osPlatform": "WindowsServer2022", "machineTags": ["tier0"] }),
        serde_json::json!({ "id": "b", "computerDnsName": "pc1.lab.example.net", "osPlatform": "Windows11", "machineTags": ["Tier0"] }),
        serde_json::json!({ "id": "c", "computerDnsName": "pc2", "osPlatform": "Windows11", "machineTags": [] }),
        serde_json::json!({ "id": "d", "computerDnsName": "pc3.lab.example.net", "mergedIntoMachineId": "b" }),
    ]);
    let membership = Membership::new(&groups, &fleet);
    let names = |assignment: &Assignment| -> Vec<&str> {
        fleet.rows().map(|row| groups.name(assignment.of(row))).collect()
    };
    assert_eq!(names(&membership.assign()), ["Tier-0 servers", "Lab", "ungrouped", "merged"]);
    let before = membership.assign();
    let tags: [Arc<str>; 2] = ["tier0".into(), "TIER0".into()];
    let edits = [(Row(0), (vec![], vec![0])), (Row(2), (vec![1], vec![]))];
    let after = membership.assign_after(&before, &tags, &edits);
    assert_eq!(after.iter().map(|group| groups.name(*group)).collect::<Vec<_>>(), ["Lab", "ungrouped"]);
    assert_eq!(before.counts(&DeviceSet::full(4))[&GroupIndex::Group(1)], 1);
    assert!(membership.is_watched("TIER0") && !membership.is_watched("Tier"));
}

impl TagEdits for (Vec<u32>, Vec<u32>) {
    fn added(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    fn removed(&self) -> impl Iterator<Item = u32> {
        self.1.iter().copied()
    }
}

/// Evaluates one device alone, straight from the rules. The sets must agree with it.
fn judged(groups: &DeviceGroups, name: Option<&str>, platform: &str, tags: &[String]) -> GroupIndex {
    let holds = |condition: &GroupCondition, text: &str| {
        condition.values.iter().any(|value| condition.operator.holds(&fold(text), &fold(value)))
    };
    for (rank, group) in groups.groups.iter().enumerate() {
        let met = |condition: &GroupCondition| match condition.property {
            Property::Name => name.is_some_and(|name| holds(condition, name)),
            Property::Domain => {
                name.and_then(|name| name.split_once('.')).is_some_and(|(_, domain)| holds(condition, domain))
            }
            Property::Tag => tags.iter().any(|tag| holds(condition, tag)),
            Property::Os => holds(condition, platform),
        };
        let all = Property::ALL.into_iter().all(|property| {
            let mut on = group.conditions.iter().filter(|one| one.property == property).peekable();
            on.peek().is_none() || on.any(met)
        });
        if all && !group.conditions.is_empty() {
            return GroupIndex::Group(u16::try_from(rank).unwrap());
        }
    }
    GroupIndex::Ungrouped
}

fn condition() -> impl Strategy<Value = GroupCondition> {
    let operator = prop::sample::select(Operator::ALL.to_vec());
    (prop::sample::select(Property::ALL.to_vec()), operator, prop::collection::vec("[a-cA-C]{1,2}", 1..3))
        .prop_map(|(property, operator, values)| GroupCondition { property, operator, values })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn sets_agree_with_a_judgement_device_by_device(
        groups in prop::collection::vec(prop::collection::vec(condition(), 0..4), 0..6),
        fleet in prop::collection::vec((prop::option::of("[a-c]{1,3}(\\.[a-c]{1,2})?"), "[a-c]{1,2}", prop::collection::btree_set("[a-cA-C]{1,2}", 0..3)), 1..20),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[a-cA-C]{1,2}", any::<bool>()), 0..10),
    ) {
        let groups = DeviceGroups {
            groups: groups.into_iter().enumerate().map(|(rank, conditions)| DeviceGroup {
                name: format!("g{rank}"), remediation: None, access: Vec::new(), conditions, unpredictable: None,
            }).collect(),
            tag_case: TagCase::Insensitive,
            ..DeviceGroups::default()
        };
        let rows: Vec<serde_json::Value> = fleet.iter().enumerate().map(|(row, (name, platform, tags))| serde_json::json!({
            "id": format!("id{row}"), "computerDnsName": name, "osPlatform": platform, "machineTags": tags,
        })).collect();
        let inventory = snapshot(&rows);
        let mut after: Vec<std::collections::BTreeSet<String>> = fleet.iter().map(|(_, _, tags)| tags.clone()).collect();
        for (device, tag, is_addition) in &edits {
            let tags = &mut after[device.index(fleet.len())];
            if *is_addition { tags.insert(tag.clone()) } else { tags.remove(tag) };
        }
        // A plan contains only differences that remain: a tag that goes and comes back is not an edit.
        let tags: std::collections::BTreeSet<&String> = fleet.iter().map(|(_, _, tags)| tags).chain(&after).flatten().collect();
        let tags: Vec<Arc<str>> = tags.into_iter().map(|tag| tag.as_str().into()).collect();
        let number = |tag: &String| tags.iter().position(|own| **own == **tag).unwrap() as u32;
        let mut made = Vec::new();
        for (row, (now, (_, _, live))) in after.iter().zip(&fleet).enumerate() {
            let added: Vec<u32> = now.difference(live).map(number).collect();
            let removed: Vec<u32> = live.difference(now).map(number).collect();
            if !added.is_empty() || !removed.is_empty() {
                made.push((Row(row as u32), (added, removed)));
            }
        }
        let membership = Membership::new(&groups, &inventory);
        let before = membership.assign();
        let then = membership.assign_after(&before, &tags, &made);
        let then: std::collections::BTreeMap<Row, GroupIndex> = made.iter().map(|(row, _)| *row).zip(then).collect();
        for row in inventory.rows() {
            let then = then.get(&row).copied().unwrap_or(before.of(row));
            let (name, platform, tags) = &fleet[row.index()];
            let live: Vec<String> = tags.iter().cloned().collect();
            let new: Vec<String> = after[row.index()].iter().cloned().collect();
            prop_assert_eq!(before.of(row), judged(&groups, name.as_deref(), platform, &live));
            prop_assert_eq!(then, judged(&groups, name.as_deref(), platform, &new));
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            prop_assert_eq!(then, group_of(&groups, &inventory, row, &new), "alone as among all");
        }
    }
}
