//! The routes that change devices: checks a body, decides the edits of a write, and builds its answer.
//!
//! A write is decided when it arrives. If a delay is switched on between reading and writing a device's tags, it is done when the
//! answer leaves, from what it read before. Overlapping writes then lose one, as they may in the real service.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::access::Caller;
use crate::edits::{Change, Edit};
use crate::read;
use crate::record::Viewer;
use crate::refusals;
use crate::routes::Route;
use crate::service::Service;
use crate::switches::Switch;
use crate::wire::{Answer, Request};
use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

/// A write between its two halves.
#[derive(Debug)]
pub(super) struct Write {
    route: Route,
    /// The devices in the answer, in the order of the request.
    rows: Vec<Box<str>>,
    /// Edits that are applied when the answer leaves.
    edits: Vec<Edit>,
    pub(super) wait: Duration,
}

impl Write {
    /// The devices that it touches.
    pub(super) fn ids(&self) -> Vec<Box<str>> {
        self.rows.clone()
    }
}

/// Checks a write and decides its edits. Applies them at once unless a delay is switched on.
pub(super) fn begin(
    service: &mut Service,
    request: &Request,
    route: Route,
    subject: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<Write, Answer> {
    if route == Route::BulkTag {
        refusals::bulk_route(service)?;
    }
    let body = body(service, request)?;
    if route == Route::BulkTag && service.switches.on(Switch::BulkForbidden) {
        return Err(service.error(403, "Forbidden", "The caller is not allowed to do this."));
    }
    let (ids, edits) = match route {
        Route::BulkTag => bulk(service, &body, caller, now)?,
        Route::SingleTag => single(service, &body, subject, caller, now)?,
        Route::SetValue => value(service, &body, subject, caller, now)?,
        _ => update(service, &body, subject, caller, now)?,
    };
    let wait = Duration::from_millis(service.switches.number(Switch::RmwDelay));
    if wait.is_zero() {
        service.commit(&edits)?;
        return Ok(Write { route, rows: ids, edits: Vec::new(), wait });
    }
    let edits = as_read(service, edits);
    Ok(Write { route, rows: ids, edits, wait })
}

/// Applies the remaining edits, and answers.
pub(super) fn finish(service: &mut Service, write: Write, now: Timestamp) -> Answer {
    let delays = delays(service);
    let edits: Vec<Edit> =
        write.edits.into_iter().map(|edit| Edit::seen(now, delays.0, delays.1, edit.change)).collect();
    if let Err(answer) = service.commit(&edits) {
        return answer;
    }
    let rows: Vec<usize> = write.rows.iter().filter_map(|id| service.fleet.row(id)).collect();
    if write.route != Route::BulkTag {
        return match rows.first() {
            Some(row) => Answer::ok(read::entity(service, *row, Viewer::Writer, now)),
            None => read::not_found(service, write.rows.first().map_or("", |id| id)),
        };
    }
    match service.switches.text(Switch::BulkBody) {
        "empty" => Answer::empty(200),
        "204" => Answer::empty(204),
        _ => Answer::ok(read::collection(service, &rows, Viewer::Writer, now)),
    }
}

/// Turns tag changes into whole lists, from the tags that the devices have now: the lost update of a slow read-modify-write.
fn as_read(service: &mut Service, edits: Vec<Edit>) -> Vec<Edit> {
    let mut out = Vec::new();
    for edit in edits {
        let (ids, tag, adds) = match &edit.change {
            Change::Add { tag, ids } => (ids, tag, true),
            Change::Remove { tag, ids } => (ids, tag, false),
            _ => {
                out.push(edit);
                continue;
            }
        };
        for row in ids.iter().filter_map(|id| service.fleet.row(id)) {
            let device = &service.fleet.devices[row];
            let mut tags: Vec<String> = device.state.manual.iter().map(|tag| (**tag).to_owned()).collect();
            tags.retain(|other| other != tag);
            if adds {
                tags.push(tag.clone());
            }
            out.push(Edit { change: Change::Tags { id: device.id.clone(), tags }, ..edit.clone() });
        }
    }
    out
}

fn delays(service: &Service) -> (Duration, Duration) {
    (read::delay(service, Switch::VisibleAfter), read::delay(service, Switch::HuntingAfter))
}

fn incorrect(service: &Service) -> Answer {
    service.error(400, "InvalidRequestBody", "Request body is incorrect")
}

fn body(service: &Service, request: &Request) -> Result<Map<String, Value>, Answer> {
    let kind = request.header("content-type").unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        match service.switches.text(Switch::ContentType) {
            "400" => return Err(incorrect(service)),
            "415" => {
                return Err(service.error(415, "UnsupportedMediaType", "The media type is not supported."));
            }
            _ => {}
        }
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(incorrect(service)),
    }
}

/// Checks the names of a body, with their case: required ones must be there, unknown ones must not.
fn names(service: &Service, body: &Map<String, Value>, required: &[&str]) -> Result<(), Answer> {
    let missing = required.iter().find(|name| !body.contains_key(**name));
    let unknown = body.keys().find(|name| !required.contains(&name.as_str()));
    let miscased = unknown.is_some_and(|name| required.iter().any(|known| known.eq_ignore_ascii_case(name)));
    let missing_first = miscased && service.switches.is(Switch::Miscased, "MissingRequiredParameter");
    match (missing, unknown) {
        (Some(name), unknown) if unknown.is_none() || missing_first => {
            let message = format!("The required parameter '{name}' is missing.");
            Err(service.error(400, "MissingRequiredParameter", &message))
        }
        (_, Some(_)) => Err(incorrect(service)),
        _ => Ok(()),
    }
}

/// `Value` and `Action`.
fn tag_and_action(service: &Service, body: &Map<String, Value>) -> Result<(String, bool), Answer> {
    let Some(Value::String(tag)) = body.get("Value") else { return Err(incorrect(service)) };
    let adds = match body.get("Action").and_then(Value::as_str) {
        Some("Add") => true,
        Some("Remove") => false,
        _ => return Err(incorrect(service)),
    };
    let mut tag = if service.switches.on(Switch::Trim) { tag.trim().to_owned() } else { tag.clone() };
    if tag.trim().is_empty() {
        return Err(service.error(400, "InvalidInput", "The tag must not be empty."));
    }
    if tag.chars().count() > mdetag_vocabulary::tag::MAX_LENGTH {
        match service.switches.text(Switch::LongTag) {
            "400" => return Err(service.error(400, "InvalidInput", "The tag is too long.")),
            "cut" => tag = tag.chars().take(mdetag_vocabulary::tag::MAX_LENGTH).collect(),
            _ => {}
        }
    }
    Ok((tag, adds))
}

fn bulk(
    service: &Service,
    body: &Map<String, Value>,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Vec<Box<str>>, Vec<Edit>), Answer> {
    names(service, body, &["Value", "Action", "MachineIds"])?;
    let (tag, adds) = tag_and_action(service, body)?;
    let Some(Value::Array(listed)) = body.get("MachineIds") else { return Err(incorrect(service)) };
    if listed.len() > 500 {
        let message = format!("Maximum batch size exceeded. Received: {}, allowed: 500.", listed.len());
        return Err(service.error(400, "MaximumBatchSizeExceeded", &message));
    }
    if listed.is_empty() {
        return Err(service.error(400, "InvalidInput", "The list of machines must not be empty."));
    }
    let (mut known, mut unknown): (Vec<Box<str>>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut taken = std::collections::HashSet::new();
    for id in listed {
        let Some(id) = id.as_str() else { return Err(incorrect(service)) };
        let seen = service.fleet.row(id).filter(|row| caller.sees(&service.fleet.devices[*row].state.group));
        match seen {
            Some(_) if !taken.insert(id) => {}
            Some(_) => known.push(id.into()),
            None => unknown.push(id),
        }
    }
    if !unknown.is_empty() {
        match service.switches.text(Switch::BulkUnknown) {
            "partial" => {}
            "reject_opaque" => {
                return Err(service.error(400, "BadRequest", "The request could not be processed."));
            }
            _ => {
                // Four words, then the ids: clients in the field parse this shape.
                let message = format!("Failed to find machines: {}", unknown.join(", "));
                return Err(service.error(400, "BadRequest", &message));
            }
        }
    }
    refusals::bulk(service, &known)?;
    let edits = tag_edits(service, &known, &tag, adds, now);
    Ok((known, edits))
}

fn single(
    service: &Service,
    body: &Map<String, Value>,
    subject: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Vec<Box<str>>, Vec<Edit>), Answer> {
    names(service, body, &["Value", "Action"])?;
    let (tag, adds) = tag_and_action(service, body)?;
    let ids = vec![service.fleet.devices[writable(service, subject, caller)?].id.clone()];
    let edits = tag_edits(service, &ids, &tag, adds, now);
    Ok((ids, edits))
}

fn writable(service: &Service, subject: &str, caller: &Caller) -> Result<usize, Answer> {
    let Some(row) = service.fleet.row(subject) else { return Err(read::not_found(service, subject)) };
    if caller.sees(&service.fleet.devices[row].state.group) {
        refusals::single(service, row)?;
        return Ok(row);
    }
    match service.switches.text(Switch::InvisibleWrite) {
        "403" => Err(service.error(403, "Forbidden", "The user has no access to this machine.")),
        _ => Err(read::not_found(service, subject)),
    }
}

/// The edits of adding or removing a tag: manual tags change, registry and dynamic ones at best vanish for a while.
fn tag_edits(service: &Service, ids: &[Box<str>], tag: &str, adds: bool, now: Timestamp) -> Vec<Edit> {
    let folds = service.switches.is(Switch::TagCase, "insensitive_keep_first");
    let same = |other: &str| other == tag || folds && other.to_lowercase() == tag.to_lowercase();
    let mut changed: std::collections::BTreeMap<String, Vec<Box<str>>> = std::collections::BTreeMap::new();
    let mut edits = Vec::new();
    let (list, hunting) = delays(service);
    for row in ids.iter().filter_map(|id| service.fleet.row(id)) {
        let device = &service.fleet.devices[row];
        let carried: Vec<&str> =
            device.state.manual.iter().map(|other| &**other).filter(|other| same(other)).collect();
        if adds && carried.is_empty() {
            changed.entry(tag.to_owned()).or_default().push(device.id.clone());
        }
        if adds {
            continue;
        }
        for other in carried {
            changed.entry(other.to_owned()).or_default().push(device.id.clone());
        }
        if device.holds_external(tag) && service.switches.is(Switch::ExternalRemoval, "returns") {
            let hours = if device.registry.as_deref() == Some(tag) { 24 } else { 1 };
            let until = now.plus(service.scaled(Duration::from_secs(hours * 3600))).ticks();
            edits
                .push(Edit::now(now, Change::Suppress { id: device.id.clone(), tag: tag.to_owned(), until }));
        }
    }
    for (tag, ids) in changed {
        let change = if adds { Change::Add { tag, ids } } else { Change::Remove { tag, ids } };
        edits.push(Edit::seen(now, list, hunting, change));
    }
    edits
}

fn value(
    service: &Service,
    body: &Map<String, Value>,
    subject: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Vec<Box<str>>, Vec<Edit>), Answer> {
    names(service, body, &["DeviceValue"])?;
    let value = body.get("DeviceValue").and_then(Value::as_str).and_then(DeviceValue::parse);
    let Some(value) = value else { return Err(incorrect(service)) };
    let row = writable(service, subject, caller)?;
    let edits = value_edits(service, row, value, now)?;
    Ok((vec![service.fleet.devices[row].id.clone()], edits))
}

fn value_edits(
    service: &Service,
    row: usize,
    value: DeviceValue,
    now: Timestamp,
) -> Result<Vec<Edit>, Answer> {
    refusals::value(service, row)?;
    let device = &service.fleet.devices[row];
    let (list, hunting) = delays(service);
    let mut edits = Vec::new();
    if let Some(locked) = device.locked.filter(|locked| *locked != value) {
        match service.switches.text(Switch::RuleLocked) {
            "403" => {
                let message = "The value of this machine is set by a rule.";
                return Err(service.error(403, "DisallowedOperation", message));
            }
            "accept" => {}
            _ => {
                let due = now.plus(service.scaled(Duration::from_secs(3600))).ticks();
                edits.push(Edit::now(now, Change::Revert { id: device.id.clone(), value: locked, due }));
            }
        }
    }
    edits.push(Edit::seen(now, list, hunting, Change::Value { id: device.id.clone(), value }));
    Ok(edits)
}

fn update(
    service: &Service,
    body: &Map<String, Value>,
    subject: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Vec<Box<str>>, Vec<Edit>), Answer> {
    let unsupported = || {
        service.error(
            400,
            "InvalidRequestBody",
            "Currently supporting only update of: 'tags' and 'deviceValue'",
        )
    };
    // Null counts as absent, and an update of nothing is refused.
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    let known = body.keys().all(|name| matches!(name.as_str(), "machineTags" | "deviceValue"));
    if !known || given("machineTags").is_none() && given("deviceValue").is_none() {
        return Err(unsupported());
    }
    let tags = match given("machineTags") {
        None => None,
        Some(Value::Array(tags)) if tags.is_empty() => return Err(unsupported()),
        Some(Value::Array(tags)) => {
            let texts: Option<Vec<String>> = tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect();
            Some(texts.ok_or_else(|| incorrect(service))?)
        }
        Some(_) => return Err(incorrect(service)),
    };
    let value = match given("deviceValue") {
        None => None,
        Some(value) => {
            let value = value.as_str().and_then(DeviceValue::parse);
            Some(value.ok_or_else(|| incorrect(service))?)
        }
    };
    let row = writable(service, subject, caller)?;
    let device = &service.fleet.devices[row];
    let (list, hunting) = delays(service);
    let mut edits = Vec::new();
    if tags.is_none() && service.switches.is(Switch::PatchLoses, "value") && !device.state.manual.is_empty() {
        let tags = device.state.manual.iter().skip(1).map(|tag| (**tag).to_owned()).collect();
        edits.push(Edit::seen(now, list, hunting, Change::Tags { id: device.id.clone(), tags }));
    }
    if let Some(mut sent) = tags {
        if service.switches.is(Switch::PatchLoses, "list") {
            sent.remove(0);
        }
        let tags = patched(service, row, sent)?;
        edits.push(Edit::seen(now, list, hunting, Change::Tags { id: device.id.clone(), tags }));
    }
    if let Some(value) = value {
        edits.extend(value_edits(service, row, value, now)?);
    }
    Ok((vec![device.id.clone()], edits))
}

/// The manual tags after a PATCH that sends these.
fn patched(service: &Service, row: usize, sent: Vec<String>) -> Result<Vec<String>, Answer> {
    let device = &service.fleet.devices[row];
    let live = || device.state.manual.iter().map(|tag| (**tag).to_owned());
    let mut tags: Vec<String> = match service.switches.text(Switch::Patch) {
        "append" => live().collect(),
        "legacy_400" if live().any(|tag| !sent.contains(&tag)) => {
            let message = "Existing tags must be included in the request.";
            return Err(service.error(400, "InvalidRequestBody", message));
        }
        _ => Vec::new(),
    };
    for tag in sent {
        // A tag of another origin does not become manual because the list repeats it.
        let external = device.holds_external(&tag) && !live().any(|other| other == tag);
        if !external && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}
