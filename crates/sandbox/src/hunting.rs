//! The hunting routes. They interpret no KQL: a query is known by its text, asks `DeviceInfo` for columns, or is refused.
//!
//! The control plane sets the results of any other query.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::record::{Record, ShownOrigins, Viewer};
use crate::routes::Route;
use crate::service::Service;
use crate::switches::Switch;
use crate::wire::{Answer, Request};
use mdetag_vocabulary::time::Timestamp;

/// Columns that the projector knows.
const COLUMNS: &[&str] = &[
    "DeviceId",
    "DeviceName",
    "OSPlatform",
    "DeviceManualTags",
    "DeviceDynamicTags",
    "RegistryDeviceTag",
    "AssetValue",
    "Timestamp",
];

pub(super) fn run(service: &mut Service, request: &Request, route: Route, now: Timestamp) -> Answer {
    if route == Route::OldHunting && service.switches.is(Switch::MdeHunting, "retired") {
        return service.error(
            403,
            "DisabledFeature",
            "This API has been retired. Use Microsoft Graph instead.",
        );
    }
    match service.switches.text(Switch::Hunting) {
        "bad_request" => return bad(service, "The query is too large or wrong."),
        "cpu" => {
            let answer =
                service.error(429, "TooManyRequests", "The tenant has used up its CPU quota for hunting.");
            return answer.header("retry-after", "900");
        }
        "timeout" => {
            return service.error(504, "GatewayTimeout", "The query took longer than three minutes.");
        }
        _ => {}
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let Some(query) = body["Query"].as_str().or_else(|| body["query"].as_str()) else {
        return bad(service, "The property 'Query' is missing.");
    };
    let query = normal(query);
    let (columns, rows) = match service.hunting.get(&query) {
        Some(rows) => {
            let columns: BTreeSet<&str> = rows
                .iter()
                .filter_map(Value::as_object)
                .flat_map(|row| row.keys().map(String::as_str))
                .collect();
            let columns = if columns.is_empty() { vec!["DeviceId"] } else { columns.into_iter().collect() };
            (columns, rows.clone())
        }
        None => match columns(&query) {
            Some((columns, kept)) => {
                let rows = project(service, &columns, kept, now);
                (columns, rows)
            }
            None => {
                return bad(
                    service,
                    "The sandbox interprets no KQL: lay down a result for this query, or project columns of DeviceInfo.",
                );
            }
        },
    };
    let upper = route == Route::OldHunting || service.switches.is(Switch::HuntingKeys, "upper");
    let (name, kind) = if upper { ("Name", "Type") } else { ("name", "type") };
    let schema: Vec<Value> = columns.iter().map(|column| json!({ name: column, kind: "String" })).collect();
    let (schema_key, results) =
        if route == Route::OldHunting { ("Schema", "Results") } else { ("schema", "results") };
    Answer::json(
        200,
        &json!({
            "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults",
            schema_key: schema, results: rows,
        }),
    )
}

/// The rows of a request that sets a result: `ids`, or `rows` as objects of columns.
///
/// # Errors
/// An element of `rows` is no object.
pub(super) fn laid_down(body: &Value) -> Result<Vec<Value>, String> {
    let ids = body["ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let ids = ids.map(|id| json!({ "DeviceId": id }));
    let rows = body["rows"].as_array().map_or(&[][..], Vec::as_slice);
    if !rows.iter().all(Value::is_object) {
        return Err("each of `rows` is an object of columns".to_owned());
    }
    Ok(ids.chain(rows.iter().cloned()).collect())
}

fn bad(service: &Service, message: &str) -> Answer {
    service.error(400, "BadRequest", message)
}

/// A query with single blanks and no comments. Quoted text is left as it is.
pub(super) fn normal(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let mut rest = query.chars().peekable();
    let mut quote = None;
    while let Some(scalar) = rest.next() {
        match (quote, scalar) {
            (Some(_), '\\') => {
                out.push(scalar);
                out.extend(rest.next());
            }
            (Some(mark), _) => {
                out.push(scalar);
                if scalar == mark {
                    quote = None;
                }
            }
            (None, '"' | '\'') => {
                out.push(scalar);
                quote = Some(scalar);
            }
            (None, '/') if rest.peek() == Some(&'/') => while rest.next_if(|next| *next != '\n').is_some() {},
            (None, blank) if blank.is_whitespace() => {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            (None, other) => out.push(other),
        }
    }
    out.trim_end().trim_end_matches(';').trim_end().to_owned()
}

/// Which devices a query keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    All,
    /// Those with a tag whose origin is neither the portal nor the API.
    WithForeignTags,
}

/// The one known filter on tags, as documentation and forums write it.
const WITH_FOREIGN_TAGS: &str =
    "isnotempty(RegistryDeviceTag) or (isnotempty(DeviceDynamicTags) and DeviceDynamicTags != \"[]\")";

/// The columns of a query that asks `DeviceInfo` for the newest row of every device, and the devices that it keeps.
fn columns(query: &str) -> Option<(Vec<&'static str>, Kept)> {
    let mut steps = query.split('|').map(str::trim);
    if steps.next()? != "DeviceInfo" {
        return None;
    }
    let (mut columns, mut kept) = (vec!["DeviceId"], Kept::All);
    for step in steps {
        let (verb, rest) = step.split_once(' ')?;
        match verb {
            "summarize" if rest.contains("arg_max(") && rest.ends_with("by DeviceId") => {}
            "where" if rest.starts_with("isnotempty(OSPlatform)") || rest.starts_with("Timestamp > ago(") => {
            }
            "where" if rest == WITH_FOREIGN_TAGS => kept = Kept::WithForeignTags,
            "project" | "distinct" => {
                let known = |name: &str| COLUMNS.iter().copied().find(|column| *column == name.trim());
                columns = rest.split(',').map(known).collect::<Option<Vec<_>>>()?;
            }
            _ => return None,
        }
    }
    Some((columns, kept))
}

fn project(service: &mut Service, columns: &[&str], kept: Kept, now: Timestamp) -> Vec<Value> {
    let missing = service.switches.number(Switch::HuntingMissing) as usize;
    let extra = service.switches.number(Switch::HuntingExtra);
    let mut rows: Vec<Value> = Vec::new();
    for device in service.fleet.devices.iter().skip(missing) {
        if kept == Kept::WithForeignTags && device.registry.is_none() && device.dynamic.is_empty() {
            continue;
        }
        let mut row = Map::new();
        for column in columns {
            row.insert((*column).to_owned(), cell(device, column, now, service.random.below(2) == 0));
        }
        rows.push(Value::Object(row));
    }
    for number in 0..extra {
        rows.push(json!({ "DeviceId": format!("{:040x}", u128::MAX - u128::from(number)) }));
    }
    rows
}

/// Empty lists are empty text or, if `null`, null.
fn cell(device: &Record, column: &str, now: Timestamp, null: bool) -> Value {
    let empty = || if null { Value::Null } else { json!("") };
    let list = |tags: Vec<&str>| match tags.is_empty() {
        true => empty(),
        false => json!(json!(tags).to_string()),
    };
    let shown = device.shown(now, Viewer::Hunting, ShownOrigins::Manual);
    match column {
        "DeviceId" => json!(device.id),
        "DeviceName" => json!(device.text("computerDnsName").unwrap_or_default()),
        "OSPlatform" => json!(device.text("osPlatform").unwrap_or_default()),
        "DeviceManualTags" => list(shown.tags.iter().map(|tag| &***tag).collect()),
        "DeviceDynamicTags" => list(device.dynamic.iter().map(|tag| &**tag).collect()),
        "RegistryDeviceTag" => device.registry.as_deref().map_or_else(empty, |tag| json!(tag)),
        "AssetValue" => json!(shown.value.map(mdetag_vocabulary::device::DeviceValue::word)),
        _ => json!(device.last_seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_laid_down_as_ids_or_as_rows_of_columns() {
        let rows = laid_down(&json!({ "ids": ["a"], "rows": [{ "DeviceId": "b", "Owner": "x" }] })).unwrap();
        assert_eq!(rows, [json!({ "DeviceId": "a" }), json!({ "DeviceId": "b", "Owner": "x" })]);
        assert!(laid_down(&json!({ "rows": ["a"] })).is_err());
    }

    #[test]
    fn queries_are_known_by_their_text_and_nothing_is_guessed() {
        let query = "DeviceInfo\n| summarize arg_max(Timestamp, *) by DeviceId // newest\n| project DeviceId,  RegistryDeviceTag;";
        assert_eq!(columns(&normal(query)), Some((vec!["DeviceId", "RegistryDeviceTag"], Kept::All)));
        let link = "DeviceInfo | where Url == 'https://x  y' // note\n| project DeviceId";
        assert_eq!(normal(link), "DeviceInfo | where Url == 'https://x  y' | project DeviceId");
        assert_eq!(columns("DeviceInfo"), Some((vec!["DeviceId"], Kept::All)));
        let foreign = format!("DeviceInfo | where {WITH_FOREIGN_TAGS}");
        assert_eq!(columns(&foreign), Some((vec!["DeviceId"], Kept::WithForeignTags)));
        for other in ["DeviceEvents", "DeviceInfo | where DeviceName == 'x'", "DeviceInfo | project Secret"] {
            assert_eq!(columns(other), None, "{other}");
        }
    }
}
