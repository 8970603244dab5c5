//! The control plane under `/_sim/`: tests and other clients use it to turn switches, move the clock and look inside.
//!
//! It is no part of the simulated service. Its calls are neither throttled nor logged.

use std::time::Duration;

use serde_json::{Value, json};

use crate::assertion;
use crate::disk;
use crate::disturb;
use crate::edits::{Change, Edit};
use crate::fleet::Fleet;
use crate::groups::Groups;
use crate::hunting;
use crate::identity;
use crate::jwt;
use crate::record::{Quirks, Viewer};
use crate::service::Service;
use crate::switches::{SwitchRow, table};
use crate::wire::{Answer, Request};
use mdetag_vocabulary::time::{TICKS_PER_SECOND, Timestamp};

pub(super) fn answer(service: &mut Service, request: &Request, now: Timestamp) -> Answer {
    let body: Value = match request.body.as_slice() {
        b"" => Value::Null,
        bytes => match serde_json::from_slice(bytes) {
            Ok(body) => body,
            Err(error) => return refuse(&error.to_string()),
        },
    };
    let done = match (&*request.method, request.path.trim_start_matches("/_sim/")) {
        ("POST", "reset") => reset(service, now),
        ("POST", "clock") => {
            let seconds = body["advance_s"].as_f64().unwrap_or(0.0).clamp(0.0, 1e9);
            advance(service, Duration::from_secs_f64(seconds), now)
                .map(|()| json!({ "now": now.plus(Duration::from_secs_f64(seconds)) }))
        }
        ("POST", "faults") => faults(service, &body),
        ("GET", "faults") => Ok(json!({ "set": service.switches.changed(), "known": known() })),
        ("GET", "log") => Ok(json!(service.calls)),
        ("GET", "state") => Ok(state(service, now)),
        ("GET", "machines") => return fleet(service, now),
        ("POST", "machines") => insert(service, &body, now),
        ("DELETE", "machines") => {
            let ids = body["ids"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(Box::from)
                .collect();
            service.commit_or_say(&[Edit::now(now, Change::Delete { ids })]).map(|()| json!({}))
        }
        ("POST", "disturb") => {
            let (count, seed) = (body["count"].as_u64().unwrap_or(20), body["seed"].as_u64().unwrap_or(1));
            let owned = body["owned"].as_array().into_iter().flatten();
            let owned: Vec<String> = owned.filter_map(Value::as_str).map(str::to_owned).collect();
            disturb::disturb(service, count, seed, &owned, now).map(|done| json!(done))
        }
        ("POST", "groups") => Groups::parse(&body).and_then(|_| {
            service.commit_or_say(&[Edit::now(now, Change::Groups { groups: body })]).map(|()| json!({}))
        }),
        ("POST", "credentials") => trust(service, &body),
        ("POST", "federated-token") => {
            let text = |name: &str| body[name].as_str().unwrap_or_default();
            Ok(json!({ "token": identity::issued(text("issuer"), text("subject"), text("audience"), now) }))
        }
        ("POST", "hunting") => {
            let query = hunting::normal(body["query"].as_str().unwrap_or_default());
            hunting::laid_down(&body).map(|rows| {
                service.hunting.insert(query, rows);
                json!({})
            })
        }
        _ => Err("no such control route".to_owned()),
    };
    done.map_or_else(|error| refuse(&error), |body| Answer::json(200, &body))
}

fn refuse(message: &str) -> Answer {
    Answer::json(400, &json!({ "error": message }))
}

fn known() -> Vec<Value> {
    let row = |row: SwitchRow| json!({ "name": row.name, "values": row.values, "default": row.default, "mark": row.mark, "meaning": row.meaning });
    table().into_iter().map(row).collect()
}

/// Resets the fleet and the rate windows to their first state; switches stay.
pub(super) fn reset(service: &mut Service, now: Timestamp) -> Result<Value, String> {
    if let Some(disk) = &mut service.disk {
        disk.reset().map_err(|error| error.to_string())?;
    }
    let directory = service.disk.as_ref().map(|disk| disk.directory().to_owned());
    service.fleet =
        disk::first_fleet(directory.as_deref(), &service.settings, now).map_err(|error| error.to_string())?;
    service.limits.clear();
    service.calls.clear();
    service.list_answers = 0;
    Ok(json!({}))
}

/// Moves the sandbox's clock forward.
pub(super) fn advance(service: &mut Service, span: Duration, now: Timestamp) -> Result<(), String> {
    let by = (span.as_secs_f64() * TICKS_PER_SECOND as f64) as i64;
    service.commit_or_say(&[Edit::now(now, Change::Clock { by })])
}

fn faults(service: &mut Service, body: &Value) -> Result<Value, String> {
    let Value::Object(members) = body else {
        return Err("expected an object of names and values".to_owned());
    };
    let mut switches = service.switches.clone();
    for (name, value) in members {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        switches.set(name, &text)?;
    }
    service.switches = switches;
    Ok(json!({ "set": service.switches.changed() }))
}

/// Inserts devices: one object, or an array of them.
pub(super) fn insert(service: &mut Service, body: &Value, now: Timestamp) -> Result<Value, String> {
    let one = std::slice::from_ref(body);
    let devices = body.as_array().map_or(one, Vec::as_slice);
    let mut trial = Fleet::default();
    for device in devices {
        trial.insert(device)?;
    }
    let edits: Vec<Edit> =
        devices.iter().map(|device| Edit::now(now, Change::Insert { device: device.clone() })).collect();
    service.commit_or_say(&edits)?;
    Ok(json!({ "inserted": devices.len() }))
}

/// Lets the app sign in with a further certificate or federated credential.
fn trust(service: &mut Service, body: &Value) -> Result<Value, String> {
    let mut settings = service.settings.clone();
    if let Some(text) = body["certificate"].as_str() {
        let der = assertion::certificate_bytes(text).ok_or("this is no certificate with an RSA key")?;
        settings.certificates.push(jwt::encode(&der));
    } else {
        let row = serde_json::from_value(body["federated"].clone()).map_err(|error| error.to_string())?;
        settings.federated.push(row);
    }
    if let Some(disk) = &service.disk {
        disk::save_settings(disk.directory(), &settings).map_err(|error| error.to_string())?;
    }
    service.settings = settings;
    Ok(json!({}))
}

fn state(service: &Service, now: Timestamp) -> Value {
    let overlaps = service.calls.iter().filter(|call| !call.overlaps.is_empty()).count();
    json!({
        "tenantId": service.settings.tenant_id, "clientId": service.settings.client_id, "now": now, "speed": service.speed,
        "devices": service.fleet.devices.len(), "seed": service.settings.seed, "created": service.settings.created,
        "calls": service.calls.len(), "overlappingWrites": overlaps, "faults": service.switches.changed(),
    })
}

/// The true state of every device, one a line.
pub(super) fn fleet(service: &Service, now: Timestamp) -> Answer {
    let mut out = Vec::new();
    for device in &service.fleet.devices {
        device.render(&mut out, &device.shown(now, Viewer::Writer, service.shows()), &Quirks::default());
        out.push(b'\n');
    }
    Answer { status: 200, body: out, ..Answer::default() }.header("content-type", "application/x-ndjson")
}
