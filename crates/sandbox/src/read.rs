//! The routes that read devices: the list with all its disputed ways of paging, one device, and the search by tag.
//!
//! Changes nothing, unless a fault says that the fleet moves between two pages.

use std::collections::HashMap;
use std::time::Duration;

use crate::access::Caller;
use crate::edits::{Change, Edit};
use crate::filter::{Dialect, Filter};
use crate::record::{DeviceView, Quirks, Record, Viewer, write_text};
use crate::service::Service;
use crate::switches::{self, Switch};
use crate::wire::{Answer, Request, entity_start, list_start};
use mdetag_vocabulary::time::Timestamp;

/// The host in the service's `@odata.context`, whichever host was called.
const CONTEXT_HOST: &str = "api.securitycenter.microsoft.com";
/// The most rows that `$top` may ask for.
const MAX_TOP: u64 = 10_000;

/// `GET /api/machines`.
pub(super) fn list(service: &mut Service, request: &Request, caller: &Caller, now: Timestamp) -> Answer {
    let answer = page(service, request, caller, now).unwrap_or_else(|answer| answer);
    service.list_answers += 1;
    move_fleet(service, now);
    answer
}

fn page(service: &mut Service, request: &Request, caller: &Caller, now: Timestamp) -> Result<Answer, Answer> {
    if let Some(answer) = foreign_body(service) {
        return Err(answer);
    }
    let odata = |service: &Service, message: &str| service.error(400, "ODataError", message);
    let filter = match request.parameter("$filter") {
        None => None,
        Some(text) => Some(Filter::parse(&text, dialect(service)).map_err(|error| odata(service, &error))?),
    };
    let number = |name: &str| match request.parameter(name) {
        None => Ok(None),
        Some(text) => text.trim().parse::<u64>().map(Some).map_err(|_| {
            odata(
                service,
                &format!("The value '{text}' of the query option '{name}' is not a non-negative integer."),
            )
        }),
    };
    let (top, skip) = (number("$top")?, number("$skip")?.unwrap_or(0));
    if top.is_some_and(|top| top > MAX_TOP) && !service.switches.on(Switch::Clamp) {
        return Err(odata(service, "The limit of '10000' for Top query has been exceeded."));
    }
    let page = service.switches.number(Switch::Page).clamp(1, MAX_TOP);
    let mut rows = rows(service, filter.as_ref(), caller, now);
    let undocumented = service.switches.on(Switch::UndocumentedOdata);
    if undocumented && request.parameter("$select").is_some() {
        return Err(service.error(
            501,
            "NotImplemented",
            "The sandbox does not know how the service treats $select.",
        ));
    }
    if undocumented && let Some(order) = request.parameter("$orderby") {
        sort(service, &mut rows, &order)?;
    }
    if rows.is_empty() && service.switches.is(Switch::Empty, "404") {
        return Err(service.error(404, "ResourceNotFound", "No recent machines were found."));
    }
    let paging = service.switches.text(Switch::Paging).to_owned();
    let is_endless = paging.ends_with("_endless") && !rows.is_empty();
    let wanted = top.unwrap_or(page).min(page);
    // In this mode the service has only one page. Only filters reach the other devices.
    let reach = match &*paging {
        "hard_cap" => page.min(rows.len() as u64),
        _ if is_endless => u64::MAX,
        _ => rows.len() as u64,
    };
    let (first, last) = (skip.min(reach), skip.saturating_add(wanted).min(reach));
    let mut out = list_start(CONTEXT_HOST);
    out.reserve((last - first) as usize * 1200);
    let quirks = quirks(service);
    for place in first..last {
        if place > first {
            out.push(b',');
        }
        // A list without an end starts again.
        let row = rows[(place % rows.len() as u64) as usize] as usize;
        service.fleet.devices[row].render(&mut out, &listed(service, row, now), &quirks);
    }
    out.push(b']');
    if undocumented && request.parameter("$count").as_deref() == Some("true") {
        out.extend_from_slice(format!(",\"@odata.count\":{}", rows.len()).as_bytes());
    }
    let linked =
        paging.starts_with("nextlink") && (top.is_none() || service.switches.on(Switch::NextlinkWithTop));
    if linked && last < reach {
        out.extend_from_slice(b",\"@odata.nextLink\":");
        write_text(&mut out, &next_link(request, &paging, skip, last));
    }
    out.push(b'}');
    Ok(Answer::ok(out))
}

fn dialect(service: &Service) -> Dialect {
    Dialect {
        short_list: service.switches.is(Switch::OdataStrict, "doc_short"),
        functions: service.switches.on(Switch::FilterFunctions),
    }
}

/// A device as the list shows it.
fn listed(service: &Service, row: usize, now: Timestamp) -> DeviceView<'_> {
    let mut shown = service.fleet.devices[row].shown(now, Viewer::List, service.shows());
    if (row as u64) < service.switches.number(Switch::SameLastSeen) {
        shown.last_seen = Some(service.settings.created);
    }
    shown
}

/// The body that the switch `list_body` puts in place of the list.
fn foreign_body(service: &Service) -> Option<Answer> {
    match service.switches.text(Switch::ListBody) {
        "empty" => {
            let mut body = list_start(CONTEXT_HOST);
            body.extend_from_slice(b"]}");
            Some(Answer::ok(body))
        }
        "html404" => Some(Answer::html(404, "Not Found")),
        "html200" => Some(Answer::html(200, "Sign in")),
        "json_without_value" => Some(Answer::json(200, &serde_json::json!({ "status": "ok" }))),
        _ => None,
    }
}

/// The rows that the caller may see and the filter keeps, in the order of this answer.
fn rows(service: &mut Service, filter: Option<&Filter>, caller: &Caller, now: Timestamp) -> Vec<u32> {
    let passes = |row: usize| {
        if filter.is_none() && caller.sees_all() {
            return true;
        }
        let shown = listed(service, row, now);
        caller.sees(shown.group)
            && filter.is_none_or(|filter| filter.holds(&service.fleet.devices[row], &shown))
    };
    let rows = (0..service.fleet.devices.len()).filter(|row| passes(*row));
    let mut rows: Vec<u32> = rows.map(|row| row as u32).collect();
    if service.switches.on(Switch::DupIds) && !rows.is_empty() {
        rows.push(rows[0]);
    }
    if service.switches.on(Switch::UnstableOrder) {
        service.random.shuffle(&mut rows);
    }
    rows
}

fn sort(service: &Service, rows: &mut [u32], order: &str) -> Result<(), Answer> {
    let (name, descending) = order.strip_suffix(" desc").map_or((order, false), |name| (name, true));
    let device = |row: &u32| &service.fleet.devices[*row as usize];
    match name.strip_suffix(" asc").unwrap_or(name) {
        "id" => rows.sort_by(|one, other| device(one).id.cmp(&device(other).id)),
        "lastSeen" => rows.sort_by_key(|row| device(row).last_seen),
        _ => return Err(service.error(501, "NotImplemented", "The sandbox sorts by id and lastSeen only.")),
    }
    if descending {
        rows.reverse();
    }
    Ok(())
}

/// The link to the next page: right or broken, as the switch says.
fn next_link(request: &Request, paging: &str, skip: u64, next: u64) -> String {
    let own = request.header("host").unwrap_or("127.0.0.1");
    let base = match paging {
        "nextlink_global_host" => format!("https://{CONTEXT_HOST}{}", request.path),
        "nextlink_foreign_host" => format!("https://attacker.example{}", request.path),
        _ => format!("http://{own}{}", request.path),
    };
    let is_skip = |pair: &str| pair.starts_with("$skip=") || pair.starts_with("%24skip=");
    // Reported from the field: the first link is right, later ones lose their filter.
    let is_lost = |pair: &str| {
        paging == "nextlink_bad"
            && skip > 0
            && (pair.starts_with("$filter=") || pair.starts_with("%24filter="))
    };
    let pairs = request.query.split('&').filter(|pair| !pair.is_empty() && !is_skip(pair) && !is_lost(pair));
    let mut query: String = pairs.map(|pair| format!("{pair}&")).collect();
    let target = if paging == "nextlink_loop" && skip > 0 { skip } else { next };
    query.push_str(&format!("$skip={target}"));
    format!("{base}?{query}")
}

/// The switch `after_page`: changes the fleet while somebody reads it.
fn move_fleet(service: &mut Service, now: Timestamp) {
    let Some((page, what)) = switches::after_page(service.switches.text(Switch::AfterPage)) else { return };
    if service.list_answers != page || service.fleet.devices.is_empty() {
        return;
    }
    match what {
        "insert" => {
            let device = serde_json::json!({
                "id": format!("{:040x}", service.list_answers), "computerDnsName": "new.corp.example.com", "lastSeen": now
            });
            // Inserted at the front, so that every later row moves by one.
            let change = Edit::now(now, Change::Insert { device });
            if service.commit(&[change]).is_ok() {
                service.fleet.devices.rotate_right(1);
            }
        }
        "delete" => {
            let ids = vec![service.fleet.devices[0].id.clone()];
            // If the deletion cannot be saved, the fleet stays as it was, which is harmless for this fault.
            let _ = service.commit(&[Edit::now(now, Change::Delete { ids })]);
        }
        _ => service.fleet.devices.rotate_left(1),
    }
    service.fleet.reindex();
}

/// The departures from the usual JSON that switches turn on.
pub(super) fn quirks(service: &Service) -> Quirks {
    let on = |switch| service.switches.on(switch);
    Quirks {
        group_id_as_text: on(Switch::RbacIdText),
        without_tags: on(Switch::NoTags),
        null_tags: on(Switch::NullTags),
        unknown_property: on(Switch::UnknownProperty),
        unknown_value: on(Switch::UnknownEnum),
        os_version: on(Switch::OsVersion),
        av_status: on(Switch::AvStatus),
        year_one: on(Switch::YearOne),
        without_id: on(Switch::NoId),
    }
}

/// `GET /api/machines/{idOrName}`.
pub(super) fn get(service: &Service, subject: &str, caller: &Caller, now: Timestamp) -> Answer {
    let Some(row) = service.fleet.row_of_id_or_name(subject) else { return not_found(service, subject) };
    let device = &service.fleet.devices[row];
    if !caller.sees(device.shown(now, Viewer::List, service.shows()).group) {
        return not_found(service, subject);
    }
    Answer::ok(entity(service, row, Viewer::List, now))
}

/// The answer for a device that is not there.
pub(super) fn not_found(service: &Service, subject: &str) -> Answer {
    service.error(404, "ResourceNotFound", &format!("Machine {subject} was not found."))
}

/// One device as a body of its own.
pub(super) fn entity(service: &Service, row: usize, viewer: Viewer, now: Timestamp) -> Vec<u8> {
    let device = &service.fleet.devices[row];
    let mut out = entity_start(CONTEXT_HOST);
    let start = out.len();
    device.render(&mut out, &device.shown(now, viewer, service.shows()), &quirks(service));
    out.remove(start);
    out
}

/// Some devices as a list body, as `viewer` sees them.
pub(super) fn collection(service: &Service, rows: &[usize], viewer: Viewer, now: Timestamp) -> Vec<u8> {
    let mut out = list_start(CONTEXT_HOST);
    let (shows, quirks) = (service.shows(), quirks(service));
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let device = &service.fleet.devices[*row];
        device.render(&mut out, &device.shown(now, viewer, shows), &quirks);
    }
    out.extend_from_slice(b"]}");
    out
}

/// `GET /api/machines/findbytag`.
pub(super) fn find_by_tag(service: &Service, request: &Request, caller: &Caller, now: Timestamp) -> Answer {
    let Some(tag) = request.parameter("tag").filter(|tag| !tag.is_empty()) else {
        return service.error(400, "MissingRequiredParameter", "The required parameter 'tag' is missing.");
    };
    let prefix =
        request.parameter("useStartsWithFilter").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let shows = service.shows();
    let found = |device: &Record| {
        let shown = device.shown(now, Viewer::List, shows);
        let matches = |other: &str| if prefix { other.starts_with(&*tag) } else { other == tag };
        caller.sees(shown.group) && shown.tags.iter().any(|other| matches(other))
    };
    let devices = service.fleet.devices.iter().enumerate();
    let rows: Vec<usize> = devices.filter(|(_, device)| found(device)).map(|(row, _)| row).collect();
    Answer::ok(collection(service, &rows, Viewer::List, now))
}

/// `GET /api/DeviceGroups`: known only from the service's metadata, so served only if a switch says so.
pub(super) fn device_groups(service: &Service, now: Timestamp) -> Answer {
    if !service.switches.on(Switch::DeviceGroups) {
        return service.error(404, "NotFound", "The requested resource does not exist.");
    }
    let mut counts = HashMap::new();
    for device in &service.fleet.devices {
        *counts.entry(device.shown(now, Viewer::List, service.shows()).group.id).or_default() += 1;
    }
    let body = serde_json::json!({
        "@odata.context": format!("https://{CONTEXT_HOST}/api/$metadata#DeviceGroups"),
        "value": service.fleet.groups.entities(&counts),
    });
    Answer::ok(body.to_string().into_bytes())
}

/// `GET /api/$metadata`: an outline of the routes, not the service's own document.
pub(super) fn metadata() -> Answer {
    let body = concat!(
        r#"<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>"#,
        r#"<Schema Namespace="Sandbox" xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="Machine"><Key><PropertyRef Name="id"/></Key>"#,
        r#"<Property Name="id" Type="Edm.String" Nullable="false"/><Property Name="computerDnsName" Type="Edm.String"/>"#,
        r#"<Property Name="machineTags" Type="Collection(Edm.String)"/><Property Name="deviceValue" Type="Edm.String" Nullable="false"/></EntityType>"#,
        r#"<EntityContainer Name="Container"><EntitySet Name="Machines" EntityType="Sandbox.Machine"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"#
    );
    Answer { status: 200, body: body.as_bytes().to_vec(), ..Answer::default() }
        .header("content-type", "application/xml; charset=utf-8")
}

/// The delay of a switch in seconds, at the sandbox's speed.
pub(super) fn delay(service: &Service, switch: Switch) -> Duration {
    service.scaled(Duration::from_secs(service.switches.number(switch)))
}
