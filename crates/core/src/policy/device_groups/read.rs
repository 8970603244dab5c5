//! Reads a file of device groups: the portal's document, the service's entities, or YAML written by hand.
//!
//! Ignores unknown properties. A condition that it does not understand is an error or makes the group unpredictable; it is never
//! dropped.

use serde_json::Value;

use super::{
    DeviceGroup, DeviceGroups, GroupCondition, Operator, Property, Remediation, Ungrouped, platforms,
};
use crate::diagnostic::did_you_mean;
use crate::strict_json::StrictValue;
use crate::strict_json::is_next_link;
use crate::tag::TagCase;
use crate::text;

/// Ten times the most groups that a tenant can have (documented: 2,000); ranks are 16-bit numbers.
const MOST_GROUPS: usize = 20_000;

/// A parsed group, before ranks are settled.
struct GroupEntry {
    group: DeviceGroup,
    /// Smaller ranks first; groups of the same rank keep the file's order.
    rank: i64,
    is_ungrouped: bool,
}

/// Reads the text of a file of device groups in any of its three forms.
///
/// # Errors
/// A sentence that says what is wrong, and in which group.
pub fn read(text: &str, tag_case: TagCase) -> Result<DeviceGroups, String> {
    let text = text.trim_start_matches('\u{feff}');
    let is_json = text.trim_start().starts_with(['{', '[']);
    let StrictValue(document) = if is_json {
        serde_json::from_str(text).map_err(|error| format!("this is no JSON as expected: {error}"))?
    } else {
        serde_yaml::from_str(text).map_err(|error| {
            format!("this is no YAML: {}", error.to_string().lines().next().unwrap_or_default())
        })?
    };
    refuse_part(&document)?;
    let rows = rows(&document).ok_or(
        "these are no device groups: expected `groups:`, an object with `items` or `value`, or a list of groups",
    )?;
    if rows.len() > MOST_GROUPS {
        return Err(format!("{} groups: a tenant has 2,000 at most", rows.len()));
    }
    let mut notes = Vec::new();
    let mut entries = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        entries.push(entry(row, index, &mut notes)?);
    }
    if entries.is_empty() {
        notes.push("the file has no group: no device can be predicted in one".to_owned());
    }
    settle(entries, tag_case, notes)
}

/// The keys that hold the groups, one for each form of the file.
const LISTS: [&str; 3] = ["groups", "items", "value"];

/// Refuses a document that contains only a part of the groups.
fn refuse_part(document: &Value) -> Result<(), String> {
    let Value::Object(object) = document else { return Ok(()) };
    if object.iter().any(|(key, value)| is_next_link(key) && !value.is_null()) {
        return Err("this is only a part of the groups, with a link to the next".to_owned());
    }
    let found: Vec<&str> = LISTS.into_iter().filter(|key| object.contains_key(*key)).collect();
    match found.as_slice() {
        [first, second, ..] => {
            Err(format!("groups stand under `{first}` and under `{second}`: write them in one list"))
        }
        _ => Ok(()),
    }
}

fn rows(document: &Value) -> Option<&Vec<Value>> {
    match document {
        Value::Array(rows) => Some(rows),
        Value::Object(object) => LISTS.iter().find_map(|key| object.get(*key)).and_then(Value::as_array),
        _ => None,
    }
}

fn settle(
    mut entries: Vec<GroupEntry>,
    tag_case: TagCase,
    mut notes: Vec<String>,
) -> Result<DeviceGroups, String> {
    entries.sort_by_key(|entry| entry.rank);
    let mut names: Vec<String> =
        entries.iter().map(|entry| text::fold(&entry.group.name).into_owned()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two groups are named `{}`", pair[0]));
    }
    let mut ungrouped = Ungrouped::default();
    let mut groups = Vec::new();
    for GroupEntry { group, is_ungrouped, .. } in entries {
        if is_ungrouped {
            ungrouped =
                Ungrouped { name: Some(group.name), remediation: group.remediation, access: group.access };
            continue;
        }
        if group.conditions.is_empty() && group.unpredictable.is_none() {
            notes.push(format!("the group `{}` has no condition and so matches no device", group.name));
        }
        groups.push(group);
    }
    Ok(DeviceGroups { groups, ungrouped, tag_case, notes, file: String::new() })
}

fn entry(row: &Value, index: usize, notes: &mut Vec<String>) -> Result<GroupEntry, String> {
    let name =
        ["name", "Name", "deviceGroupName"].iter().find_map(|key| row.get(*key)).and_then(Value::as_str);
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("group number {} has no name", index + 1))?.to_owned();
    let named = |error: String| format!("group `{name}`: {error}");
    let reader = if row.get("Name").is_some() {
        portal
    } else if row.get("deviceGroupName").is_some() {
        entity
    } else {
        note_unread(row, &name, notes);
        written
    };
    let mut entry = reader(row, index).map_err(named)?;
    entry.group.name.clone_from(&name);
    if let Some(why) = &entry.group.unpredictable {
        notes.push(format!("the group `{name}` has {why}: who is in it cannot be predicted"));
    }
    entry.group.conditions.sort_by_key(|condition| condition.property);
    for condition in entry.group.conditions.iter_mut().filter(|one| one.property == Property::Os) {
        if let Some(unknown) = name_platforms(condition) {
            notes.push(format!(
                "the group `{name}` asks for the platform `{unknown}`, which is not known here: who is in it cannot be predicted"
            ));
            entry.group.unpredictable = Some(format!("unknown platform `{unknown}`"));
        }
    }
    if let Some(linux) = entry.group.conditions.iter().find_map(part_of_linux) {
        let stated = format!("{} {}", linux.operator.word(), linux.values.join(" or "));
        notes.push(format!(
            "the group `{name}` looks for a part of `Linux` (`{stated}`), which is taken for every distribution, and the service \
             promises neither: who is in it cannot be predicted"
        ));
        entry.group.unpredictable = Some(format!("a part of `Linux` (`{stated}`)"));
        let every = platforms::LINUX.iter().map(|platform| (*platform).to_owned()).collect();
        let every = GroupCondition { property: Property::Os, operator: Operator::In, values: every };
        entry.group.conditions.push(every);
        entry.group.conditions.sort_by_key(|condition| condition.property);
    }
    Ok(entry)
}

/// Keys of a group written by hand.
const WRITTEN_KEYS: [&str; 5] = ["name", "remediation", "access", "when", "ungrouped"];

/// Notes keys that nothing reads: a group whose `access` is misspelled would be open to everyone. The service's own forms have more
/// keys than are read.
fn note_unread(row: &Value, name: &str, notes: &mut Vec<String>) {
    let keys = row.as_object().into_iter().flat_map(|object| object.keys());
    for key in keys.filter(|key| !WRITTEN_KEYS.contains(&key.as_str()) && !key.starts_with("x-")) {
        let near = did_you_mean(key, WRITTEN_KEYS);
        let near = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
        notes.push(format!("the group `{name}` has the key `{key}`, which nothing reads{near}"));
    }
}

/// If an OS condition matches a part of the name `Linux`, the condition on the values of `osPlatform` that match. Devices report
/// their distribution, whose name may lack that part.
fn part_of_linux(condition: &GroupCondition) -> Option<GroupCondition> {
    if condition.property != Property::Os || matches!(condition.operator, Operator::Equals | Operator::In) {
        return None;
    }
    let is_part = |value: &&String| condition.operator.holds("linux", &text::fold(value));
    let values: Vec<String> = condition.values.iter().filter(is_part).cloned().collect();
    (!values.is_empty()).then(|| GroupCondition { values, ..condition.clone() })
}

/// Replaces the names in an OS condition with the values that devices report; returns the first unknown name.
fn name_platforms(condition: &mut GroupCondition) -> Option<String> {
    if !matches!(condition.operator, Operator::Equals | Operator::In) {
        return None;
    }
    let (mut reported, mut unknown) = (Vec::new(), None);
    for value in &condition.values {
        match platforms::values_of(value) {
            Some(platforms) => reported.extend(platforms.into_iter().map(str::to_owned)),
            None => {
                unknown.get_or_insert_with(|| value.clone());
                reported.push(value.clone());
            }
        }
    }
    reported.sort_unstable();
    reported.dedup();
    condition.values = reported;
    unknown
}

/// A group of the portal's own document.
fn portal(row: &Value, index: usize) -> Result<GroupEntry, String> {
    let mut group = empty();
    group.remediation = row.get("AutoRemediationLevel").map(|level| remediation(level, true)).transpose()?;
    let assignments = list(row, "MachineGroupAssignments")?.iter();
    group.access = assignments.map(|one| access_group(one.get("WcdAadGroup").unwrap_or(one))).collect();
    for rule in list(row, "GroupRules")? {
        let rule =
            rule.as_object().ok_or_else(|| format!("{} in `GroupRules` is no rule", shown(Some(rule))))?;
        let value = texts(rule.get("PropertyValue"), "PropertyValue")?.join(",");
        if value.trim().is_empty() {
            continue;
        }
        let property = match rule.get("Property").and_then(Value::as_i64) {
            Some(0) => Property::Name,
            Some(1) => Property::Domain,
            Some(2) => Property::Tag,
            Some(3) => Property::Os,
            Some(4) => {
                group.unpredictable = Some(format!("a condition on another property (number 4: `{value}`)"));
                continue;
            }
            _ => return Err(format!("unknown property {}", shown(rule.get("Property")))),
        };
        let operator = operator(rule.get("OperatorType"))?;
        push(&mut group, property, operator, listed(&value, operator));
    }
    let rank = whole(row.get("Priority"), "Priority")?.unwrap_or(index as i64);
    Ok(GroupEntry { group, rank, is_ungrouped: flag(row, "IsUnassignedMachineGroup") })
}

/// A group of the service's undocumented entity set.
fn entity(row: &Value, index: usize) -> Result<GroupEntry, String> {
    let mut group = empty();
    group.remediation = row.get("automationLevel").map(|level| remediation(level, false)).transpose()?;
    group.access = list(row, "aadUsersGroups")?.iter().map(access_group).collect();
    let rules = row.get("deviceGroupRules").filter(|rules| !rules.is_null());
    if rules.is_some_and(|rules| !rules.is_object()) {
        return Err("`deviceGroupRules` is no mapping of lists of conditions".to_owned());
    }
    for (key, property) in [
        ("devicesNamesConditions", Property::Name),
        ("devicesDomainsConditions", Property::Domain),
        ("devicesTagsConditions", Property::Tag),
        ("devicesOsConditions", Property::Os),
    ] {
        for condition in rules.map_or(Ok(&[][..]), |rules| list(rules, key))? {
            let operator = operator(condition.get("condition"))?;
            let mut values = texts(condition.get("valuesList"), "valuesList")?;
            for value in texts(condition.get("value"), "value")? {
                values.extend(listed(&value, operator));
            }
            push(&mut group, property, operator, values);
        }
    }
    let rank = whole(row.get("priority"), "priority")?.unwrap_or(index as i64);
    Ok(GroupEntry { group, rank, is_ungrouped: flag(row, "isUnassignedDeviceGroup") })
}

/// A hand-written group: its position is its rank.
fn written(row: &Value, index: usize) -> Result<GroupEntry, String> {
    let mut group = empty();
    group.remediation = row.get("remediation").map(|level| remediation(level, false)).transpose()?;
    group.access = texts(row.get("access"), "access")?;
    let when = row.get("when").filter(|when| !when.is_null());
    let no_mapping = || "`when` is no mapping: write `when: { tag: [{ equals: TEXT }] }`".to_owned();
    let when = when.map(|when| when.as_object().ok_or_else(no_mapping)).transpose()?;
    for (key, conditions) in when.into_iter().flatten() {
        let property = Property::ALL.into_iter().find(|property| property.word() == key.as_str());
        let property = property.ok_or_else(|| {
            format!("unknown property `{key}`: the properties are name, domain, tag and os")
        })?;
        let items = conditions.as_array().map_or_else(|| vec![conditions], |items| items.iter().collect());
        for item in items {
            let item = item.as_object().ok_or_else(|| {
                format!("a condition on `{key}` is no mapping: write `{{ startsWith: TEXT }}`")
            })?;
            for (word, value) in item {
                let operator = operator(Some(&Value::String(word.clone())))?;
                let values = match value.as_str() {
                    Some(text) => listed(text, operator),
                    None => texts(Some(value), word)?,
                };
                push(&mut group, property, operator, values);
            }
        }
    }
    let is_ungrouped = flag(row, "ungrouped");
    Ok(GroupEntry { group, rank: index as i64, is_ungrouped })
}

fn empty() -> DeviceGroup {
    DeviceGroup {
        name: String::new(),
        remediation: None,
        access: Vec::new(),
        conditions: Vec::new(),
        unpredictable: None,
    }
}

/// Adds a condition. Empty values are no condition.
fn push(group: &mut DeviceGroup, property: Property, operator: Operator, values: Vec<String>) {
    let values: Vec<String> = values.into_iter().filter(|value| !value.trim().is_empty()).collect();
    if !values.is_empty() {
        group.conditions.push(GroupCondition { property, operator, values });
    }
}

/// A list; absent and null mean empty. Any other shape is an error: it must not pass for a group without conditions, or one that
/// everybody sees.
fn list<'v>(row: &'v Value, key: &str) -> Result<&'v [Value], String> {
    match row.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(format!("`{key}` is no list: {}", shown(Some(other)))),
    }
}

/// The name of an access group, or anything else that identifies it: even without a name, it keeps the device group from being
/// open to everyone.
fn access_group(one: &Value) -> String {
    let keys = ["DisplayName", "displayName", "name", "Id", "id", "ObjectId", "objectId"];
    let text = |key: &&str| one.get(*key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    keys.iter().find_map(text).unwrap_or("an access group without a name").to_owned()
}

/// The texts of a list, or one text. Anything else is an error, because a condition that loses its value holds for more devices.
fn texts(value: Option<&Value>, key: &str) -> Result<Vec<String>, String> {
    let text = |one: &Value| {
        let text = one.as_str().map(str::to_owned);
        text.ok_or_else(|| format!("{} in `{key}` is no text: put it in quotes", shown(Some(one))))
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(several)) => several.iter().map(text).collect(),
        Some(one) => text(one).map(|one| vec![one]),
    }
}

/// `in` takes a JSON list in text, or text cut at commas; other operators take the text as it is.
fn listed(value: &str, operator: Operator) -> Vec<String> {
    if value.trim_start().starts_with('[')
        && let Ok(list) = serde_json::from_str::<Vec<String>>(value)
    {
        return list;
    }
    if operator == Operator::In {
        return value.split(',').map(|part| part.trim().to_owned()).collect();
    }
    vec![value.to_owned()]
}

fn operator(value: Option<&Value>) -> Result<Operator, String> {
    let found = match value {
        Some(Value::Number(number)) => {
            number.as_u64().and_then(|number| Operator::ALL.get(usize::try_from(number).ok()?).copied())
        }
        Some(Value::String(word)) => {
            Operator::ALL.into_iter().find(|operator| text::equal(operator.word(), word))
        }
        _ => None,
    };
    found.ok_or_else(|| {
        let known = Operator::ALL.map(Operator::word).join(", ");
        match value {
            None | Some(Value::Null) => format!("a condition has no operator: the operators are {known}"),
            Some(_) => format!("unknown operator {}: the operators are {known}", shown(value)),
        }
    })
}

/// The level by its number: the portal counts 0 to 3, the service 1, 2, 3, 6, 7.
fn remediation(level: &Value, is_portal: bool) -> Result<Remediation, String> {
    use Remediation::{ApproveAll, ApproveCore, ApproveNonTemporary, Full, None as Nothing};
    let found = match level {
        Value::Number(number) => match (is_portal, number.as_i64()) {
            (true, Some(0)) | (false, Some(1)) => Some(Nothing),
            (true, Some(1)) | (false, Some(2)) => Some(ApproveAll),
            (true, Some(2)) | (false, Some(3)) => Some(ApproveNonTemporary),
            (false, Some(6)) => Some(ApproveCore),
            (true, Some(3)) | (false, Some(7)) => Some(Full),
            _ => None,
        },
        Value::String(word) => match word.as_str() {
            "NoAutomatedResponse" => Some(Nothing),
            "SemiRequireApprovalForAllFolders" => Some(ApproveAll),
            "SemiRequireApprovalForNonTempFolders" => Some(ApproveNonTemporary),
            "SemiRequireApprovalForCoreFolders" => Some(ApproveCore),
            "FullRemediateThreatsAutomatically" => Some(Full),
            word => Remediation::ALL.into_iter().find(|level| level.word() == word),
        },
        _ => None,
    };
    found.ok_or_else(|| {
        let known = Remediation::ALL.map(Remediation::word).join(", ");
        format!("unknown remediation level {}: the levels are {known}", shown(Some(level)))
    })
}

fn whole(value: Option<&Value>, key: &str) -> Result<Option<i64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_i64()
            .map(Some)
            .ok_or_else(|| format!("`{key}` is no whole number: {}", shown(Some(value)))),
    }
}

fn flag(row: &Value, key: &str) -> bool {
    row.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A value for a message, shortened.
fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
    text.chars().take(80).collect()
}
