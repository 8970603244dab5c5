//! Turns the answer of the service's entity set of device groups into a file for `deviceGroups`.
//!
//! The entity set is undocumented, and nobody reviews its answer before it is used. Any other shape than that of the service's
//! metadata is an error, never a shorter list or a group with fewer conditions.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{DeviceGroups, read};
use crate::strict_json::StrictValue;
use crate::strict_json::is_next_link;
use crate::tag::TagCase;
use crate::text::visible;

/// The lists of conditions that the metadata names.
const CONDITIONS: [&str; 4] =
    ["devicesNamesConditions", "devicesDomainsConditions", "devicesTagsConditions", "devicesOsConditions"];

/// Members that change from day to day although the group does not.
const PASSING: [&str; 2] = ["deviceCount", "lastUpdateTime"];

/// The groups of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedGroups {
    /// The file: the service's entities in order of rank, without the members that change from day to day.
    pub text: String,
    /// The file as policies read it.
    pub groups: DeviceGroups,
}

/// Makes the file.
///
/// # Errors
/// A sentence that says what is wrong with the answer, and in which group.
pub fn fetched(body: &[u8]) -> Result<FetchedGroups, String> {
    let StrictValue(document) =
        serde_json::from_slice(body).map_err(|error| format!("it is no JSON as expected: {error}"))?;
    let rows = document.get("value").and_then(Value::as_array).ok_or("it has no list `value`")?;
    let mut keys = document.as_object().into_iter().flatten();
    if keys.any(|(key, value)| is_next_link(key) && !value.is_null()) {
        return Err("it is only a part of the groups, with a link to the next".to_owned());
    }
    if rows.is_empty() {
        return Err("it has no group".to_owned());
    }
    let mut kept = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let named = |why: String| match row.get("deviceGroupName").and_then(Value::as_str) {
            Some(name) => format!("group `{name}`: {why}"),
            None => format!("group number {}: {why}", index + 1),
        };
        kept.push(entity(row).map_err(named)?);
    }
    kept.sort_by_key(|(rank, _)| *rank);
    let rows: Vec<Value> = kept.into_iter().map(|(_, row)| Value::Object(row)).collect();
    let text = plain(&format!("{:#}\n", json!({ "value": rows })));
    let groups = read(&text, TagCase::Insensitive)?;
    Ok(FetchedGroups { text, groups })
}

/// The sort key of a group: whether it is the unassigned one, which comes last, and its priority.
type Place = (bool, i64);

/// An entity of the expected shape, and its sort key.
fn entity(row: &Value) -> Result<(Place, Map<String, Value>), String> {
    let fields = row.as_object().ok_or("it is no object")?;
    fields.get("deviceGroupName").and_then(Value::as_str).ok_or("`deviceGroupName` is no text")?;
    let is_unassigned = match fields.get("isUnassignedDeviceGroup") {
        None | Some(Value::Null) => false,
        Some(flag) => flag.as_bool().ok_or("`isUnassignedDeviceGroup` is neither true nor false")?,
    };
    let rank = match fields.get("priority").and_then(Value::as_i64) {
        Some(rank) => rank,
        None if is_unassigned => i64::MAX,
        None => return Err("`priority` is no whole number".to_owned()),
    };
    match fields.get("deviceGroupRules") {
        Some(Value::Object(rules)) => conditions(rules)?,
        None | Some(Value::Null) if is_unassigned => {}
        _ => return Err("`deviceGroupRules` is no object".to_owned()),
    }
    for group in list(fields, "aadUsersGroups")? {
        if !["displayName", "id"].iter().any(|key| group.get(*key).is_some_and(Value::is_string)) {
            return Err("an entry of `aadUsersGroups` has neither `displayName` nor `id`".to_owned());
        }
    }
    let is_kept = |key: &str| !PASSING.contains(&key) && !key.contains("@odata.");
    let kept = fields.iter().filter(|(key, _)| is_kept(key));
    Ok(((is_unassigned, rank), kept.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// Checks that the reader of the file knows every condition, because it ignores unknown ones.
fn conditions(rules: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in rules.iter().filter(|(key, _)| !key.contains("@odata.")) {
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !CONDITIONS.contains(&key.as_str()) && !is_empty {
            return Err(format!("`{key}` holds conditions of an unknown kind"));
        }
        for condition in list(rules, key)? {
            let has = |key: &str| condition.get(key).is_some_and(|value| !value.is_null());
            if !has("value") && !has("valuesList") {
                return Err(format!("a condition in `{key}` has neither `value` nor `valuesList`"));
            }
        }
    }
    Ok(())
}

fn list<'v>(fields: &'v Map<String, Value>, key: &str) -> Result<&'v [Value], String> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(value) => Ok(value.as_array().ok_or_else(|| format!("`{key}` is no list"))?),
    }
}

/// JSON with invisible and direction-changing characters escaped, because people review the file.
fn plain(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut bytes = [0; 4];
    for scalar in json.chars() {
        let text: &str = scalar.encode_utf8(&mut bytes);
        if scalar < '\u{7f}' || visible(text) == text {
            plain.push(scalar);
            continue;
        }
        for unit in scalar.encode_utf16(&mut [0; 2]) {
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: &str = r#"{ "id": 4, "deviceGroupName": "Servers", "priority": 2, "automationLevel": 7, "deviceCount": 12,
        "lastUpdateTime": "2026-01-01T00:00:00Z", "aadUsersGroups": [{ "displayName": null, "id": "0a" }],
        "deviceGroupRules": { "devicesNamesConditions": [], "devicesOsConditions": [{ "condition": 0, "valuesList": ["WindowsServer"] }] } }"#;

    fn answer(rows: &str) -> String {
        format!(r#"{{ "@odata.context": "x", "value": [{rows}] }}"#)
    }

    #[test]
    fn an_answer_becomes_a_file_in_order_of_rank_without_what_differs_from_day_to_day() {
        let rest = r#"{ "deviceGroupName": "Rest", "isUnassignedDeviceGroup": true, "automationLevel": 1 }"#;
        let tier0 =
            SERVERS.replace("Servers", "Tier-0 \u{202e}é").replace(r#""priority": 2"#, r#""priority": 1"#);
        let found = fetched(answer(&[rest, SERVERS, &tier0].join(",")).as_bytes()).unwrap();
        let names: Vec<&str> = found.groups.groups.iter().map(|group| &*group.name).collect();
        assert_eq!(names, ["Tier-0 \u{202e}é", "Servers"]);
        assert_eq!(found.groups.ungrouped.name.as_deref(), Some("Rest"));
        assert_eq!(found.groups.groups[1].access, ["0a"]);
        assert!(found.text.contains(r"Tier-0 \u202eé") && found.text.ends_with("}\n"), "{}", found.text);
        for passing in ["deviceCount", "lastUpdateTime", "@odata"] {
            assert!(!found.text.contains(passing), "{}", found.text);
        }
        assert_eq!(read(&found.text, TagCase::Insensitive).unwrap(), found.groups);
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_that_says_where() {
        let changed = |from: &str, to: &str| {
            assert!(SERVERS.contains(from), "{from}");
            answer(&SERVERS.replace(from, to))
        };
        for (body, message) in [
            ("{".to_owned(), "no JSON"),
            ("[]".to_owned(), "no list `value`"),
            (answer(""), "has no group"),
            (answer(SERVERS).replace("@odata.context", "@odata.nextLink"), "only a part"),
            (answer("7"), "group number 1: it is no object"),
            (changed(r#""Servers""#, "null"), "group number 1: `deviceGroupName`"),
            (changed(r#""Servers""#, r#"" ""#), "has no name"),
            (changed(r#""priority": 2"#, r#""priority": "2""#), "group `Servers`: `priority`"),
            (changed("deviceGroupRules", "rules"), "`deviceGroupRules` is no object"),
            (changed("devicesOsConditions", "devicesOwnersConditions"), "conditions of an unknown kind"),
            (changed("valuesList", "values"), "neither `value` nor `valuesList`"),
            (changed(r#"["WindowsServer"]"#, "[7]"), "`7` in `valuesList` is no text"),
            (changed(r#""condition": 0"#, r#""condition": 9"#), "unknown operator"),
            (changed(r#""devicesNamesConditions": []"#, r#""devicesNamesConditions": {}"#), "is no list"),
            (changed(r#""id": "0a""#, r#""name": "0a""#), "neither `displayName` nor `id`"),
            (changed(r#""automationLevel": 7"#, r#""automationLevel": 5"#), "unknown remediation level"),
            (answer(&[SERVERS, SERVERS].join(",")), "two groups are named"),
        ] {
            let error = fetched(body.as_bytes()).unwrap_err();
            assert!(error.contains(message), "{error}: {message}");
        }
    }
}
