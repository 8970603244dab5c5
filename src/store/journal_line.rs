//! One journal line as JSON: `{"kind":"intent", … ,"crc":"1a2b3c4d"}`, the checksum over everything before it.
//!
//! Reads the lines of any 1.x: ignores unknown keys, and turns an unknown kind into a note that says so.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use mdetag_core::apply::{
    Call, CallId, ChangeKey, ChangeOutcome, ChangeWhat, DeviceState, Entry, Gate, Halt, Outcome, TagAction,
    WaveEvent,
};
use mdetag_core::device::DeviceValue;
use mdetag_core::plan::Lane;
use mdetag_core::time::Timestamp;

use super::journal_header::{Closing, Header};
use super::state_json;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Run { at: Timestamp, header: Box<Header>, contested: Vec<ChangeKey> },
    Before { at: Timestamp, device: DeviceState },
    Entry(Entry),
    Closed(Closing),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLine {
    kind: LineKind,
    at: Timestamp,
    #[serde(flatten)]
    body: LineBody,
}

#[derive(Clone, Copy, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum LineKind {
    Run,
    Before,
    Intent,
    Reply,
    Ended,
    Repair,
    Canary,
    Note,
    Wave,
    Closed,
    #[serde(other)]
    Unknown,
}

/// The keys of all kinds of lines; each kind uses a few.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LineBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    format_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contested: Vec<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_value: Option<DeviceValue>,
    /// The value before `deviceValue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_was: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<Arc<str>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<WaveBody>,
}

#[derive(Clone, Copy, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Action {
    Add,
    Remove,
}

/// Changes that differ only in their device.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_value: Option<DeviceValue>,
    devices: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// An event of a wave.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WaveBody {
    wave: u32,
    event: WaveKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bad: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<String>,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum WaveKind {
    #[default]
    Started,
    Ended,
    Halted,
    Passed,
    Closed,
}

fn wave_body(wave: u32, event: &WaveEvent) -> LineBody {
    let of = |event| WaveBody { wave, event, ..WaveBody::default() };
    let (wave, devices, text) = match event {
        WaveEvent::Started { ill } => (of(WaveKind::Started), ill.clone(), None),
        WaveEvent::Ended { not_before } => {
            let not_before = Some(*not_before);
            (WaveBody { not_before, ..of(WaveKind::Ended) }, Vec::new(), None)
        }
        WaveEvent::Halted(Halt { gate, bad, of: judged, at_most, devices, .. }) => {
            let (gate, at_most) = (Some(gate.word().to_owned()), at_most.clone());
            let (bad, judged) = (Some(*bad), Some(*judged));
            let body = WaveBody { gate, bad, of: judged, at_most, ..of(WaveKind::Halted) };
            (body, devices.clone(), None)
        }
        WaveEvent::Passed { reason } => (of(WaveKind::Passed), Vec::new(), reason.clone()),
        WaveEvent::Closed { reason } => (of(WaveKind::Closed), Vec::new(), Some(reason.clone())),
    };
    LineBody { wave: Some(wave), devices, text, ..LineBody::default() }
}

fn wave_entry(at: Timestamp, body: LineBody) -> Option<Entry> {
    let WaveBody { wave, event, not_before, gate, bad, of, at_most } = body.wave?;
    let event = match event {
        WaveKind::Started => WaveEvent::Started { ill: body.devices },
        WaveKind::Ended => WaveEvent::Ended { not_before: not_before? },
        WaveKind::Halted => {
            let gate = Gate::parse(&gate?)?;
            WaveEvent::Halted(Halt { wave, gate, bad: bad?, of: of?, at_most, devices: body.devices })
        }
        WaveKind::Passed => WaveEvent::Passed { reason: body.text },
        WaveKind::Closed => WaveEvent::Closed { reason: body.text? },
    };
    Some(Entry::Wave { at, wave, event })
}

impl Group {
    fn what(&self) -> Option<ChangeWhat> {
        match (&self.tag, self.action, self.device_value) {
            (Some(tag), Some(Action::Add), _) => Some(ChangeWhat::Add(tag.clone())),
            (Some(tag), Some(Action::Remove), _) => Some(ChangeWhat::Remove(tag.clone())),
            (_, _, Some(value)) => Some(ChangeWhat::Value(value)),
            _ => None,
        }
    }

    fn of(key: &ChangeKey) -> Group {
        let (tag, action, device_value) = match &key.what {
            ChangeWhat::Add(tag) => (Some(tag.clone()), Some(Action::Add), None),
            ChangeWhat::Remove(tag) => (Some(tag.clone()), Some(Action::Remove), None),
            ChangeWhat::Value(value) => (None, None, Some(*value)),
        };
        Group { outcome: None, tag, action, device_value, devices: vec![key.device.clone()], error: None }
    }

    fn keys(&self) -> Vec<ChangeKey> {
        let Some(what) = self.what() else { return Vec::new() };
        self.devices.iter().map(|device| ChangeKey { device: device.clone(), what: what.clone() }).collect()
    }
}

fn grouped(ended: &[ChangeOutcome]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut last: Option<&ChangeOutcome> = None;
    for outcome in ended {
        let joins = last.is_some_and(|last| {
            (&last.key.what, last.outcome, &last.error)
                == (&outcome.key.what, outcome.outcome, &outcome.error)
        });
        match groups.last_mut() {
            Some(group) if joins => group.devices.push(outcome.key.device.clone()),
            _ => groups.push(Group {
                outcome: Some(outcome.outcome.word().to_owned()),
                error: outcome.error.clone(),
                ..Group::of(&outcome.key)
            }),
        }
        last = Some(outcome);
    }
    groups
}

fn keys_grouped(keys: &[ChangeKey]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for key in keys {
        match groups.last_mut() {
            Some(group) if group.what().as_ref() == Some(&key.what) => group.devices.push(key.device.clone()),
            _ => groups.push(Group::of(key)),
        }
    }
    groups
}

fn ungrouped(groups: &[Group]) -> Option<Vec<ChangeOutcome>> {
    let mut ended = Vec::new();
    for group in groups {
        let outcome = Outcome::parse(group.outcome.as_deref()?)?;
        let keys = group.keys().into_iter();
        ended.extend(keys.map(|key| ChangeOutcome { key, outcome, error: group.error.clone() }));
    }
    Some(ended)
}

fn written(line: &Line) -> WrittenLine {
    let entry = match line {
        Line::Run { at, header, contested } => {
            let body = LineBody {
                format_version: Some("1.0".to_owned()),
                header: Some((**header).clone()),
                contested: keys_grouped(contested),
                ..LineBody::default()
            };
            return WrittenLine { kind: LineKind::Run, at: *at, body };
        }
        Line::Before { at, device: DeviceState { id, tags, value, .. } } => {
            let (devices, tags, value) = (vec![id.clone()], Some(tags.clone()), value.clone());
            let body = LineBody { devices, tags, value, ..LineBody::default() };
            return WrittenLine { kind: LineKind::Before, at: *at, body };
        }
        Line::Closed(Closing { at, is_complete, reason }) => {
            let body =
                LineBody { complete: Some(*is_complete), text: Some(reason.clone()), ..LineBody::default() };
            return WrittenLine { kind: LineKind::Closed, at: *at, body };
        }
        Line::Entry(entry) => entry,
    };
    let (kind, body) = match entry {
        Entry::Intent { call, request, value_was, .. } => {
            let (call, value_was) = (Some(call.0), value_was.clone());
            (LineKind::Intent, LineBody { call, value_was, ..intent(request) })
        }
        Entry::Reply { call, answer, ended, .. } => {
            let (answer, ended) = (Some(answer.clone()), grouped(ended));
            (LineKind::Reply, LineBody { call: Some(call.0), answer, ended, ..LineBody::default() })
        }
        Entry::Ended { ended, .. } => {
            (LineKind::Ended, LineBody { ended: grouped(ended), ..LineBody::default() })
        }
        Entry::Repair { device, tag, restored, error, .. } => {
            let (devices, tag) = (vec![device.clone()], Some(tag.clone()));
            (
                LineKind::Repair,
                LineBody { devices, tag, restored: *restored, text: error.clone(), ..LineBody::default() },
            )
        }
        Entry::Canary { device, tags, .. } => {
            let (devices, tags) = (vec![device.clone()], Some(tags.clone()));
            (LineKind::Canary, LineBody { devices, tags, ..LineBody::default() })
        }
        Entry::Wave { wave, event, .. } => (LineKind::Wave, wave_body(*wave, event)),
        Entry::Note { text, .. } => {
            (LineKind::Note, LineBody { text: Some(text.clone()), ..LineBody::default() })
        }
    };
    WrittenLine { kind, at: entry.at(), body }
}

fn intent(call: &Call) -> LineBody {
    let body = LineBody {
        lane: Some(call.lane().word().to_owned()),
        devices: call.devices().to_vec(),
        ..LineBody::default()
    };
    let action = |action: &TagAction| match action {
        TagAction::Add => Some(Action::Add),
        TagAction::Remove => Some(Action::Remove),
    };
    match call {
        Call::BulkTag { tag, action: own, .. } | Call::SingleTag { tag, action: own, .. } => {
            LineBody { tag: Some(tag.clone()), action: action(own), ..body }
        }
        Call::SetValue { value, .. } => LineBody { device_value: Some(*value), ..body },
        Call::Update { value, tags, .. } => LineBody { device_value: *value, tags: tags.clone(), ..body },
        Call::Get { .. } => body,
    }
}

fn call(body: LineBody) -> Option<Call> {
    let lane = Lane::parse(body.lane.as_deref()?)?;
    let action = body.action.map(|action| match action {
        Action::Add => TagAction::Add,
        Action::Remove => TagAction::Remove,
    });
    // A probe tests what a bulk call without ids does.
    if lane == Lane::BulkTag {
        return Some(Call::BulkTag { tag: body.tag?, action: action?, devices: body.devices });
    }
    let device = body.devices.first()?.clone();
    Some(match lane {
        Lane::SingleTag => Call::SingleTag { tag: body.tag?, action: action?, device },
        Lane::SetValue => Call::SetValue { device, value: body.device_value? },
        Lane::UpdateDevice => Call::Update { device, value: body.device_value, tags: body.tags },
        Lane::Get => Call::Get { device },
        Lane::BulkTag | Lane::List | Lane::Hunting => return None,
    })
}

fn read(written: WrittenLine) -> Option<Line> {
    let WrittenLine { kind, at, body } = written;
    Some(match kind {
        LineKind::Run => {
            let contested = body.contested.iter().flat_map(Group::keys).collect();
            Line::Run { at, header: Box::new(body.header?), contested }
        }
        LineKind::Before => {
            let id = body.devices.first()?.clone();
            Line::Before {
                at,
                device: DeviceState { id, tags: body.tags?, has_tag_list: true, value: body.value },
            }
        }
        LineKind::Closed => {
            Line::Closed(Closing { at, is_complete: body.complete?, reason: body.text.unwrap_or_default() })
        }
        LineKind::Intent => {
            let (number, value_was) = (CallId(body.call?), body.value_was.clone());
            Line::Entry(Entry::Intent { call: number, at, request: call(body)?, value_was })
        }
        LineKind::Reply => {
            let ended = ungrouped(&body.ended)?;
            Line::Entry(Entry::Reply { call: CallId(body.call?), at, answer: body.answer?, ended })
        }
        LineKind::Ended => Line::Entry(Entry::Ended { at, ended: ungrouped(&body.ended)? }),
        LineKind::Repair => {
            let (device, restored, error) = (body.devices.first()?.clone(), body.restored, body.text);
            Line::Entry(Entry::Repair { at, device, tag: body.tag?, restored, error })
        }
        LineKind::Canary => {
            let device = body.devices.first()?.clone();
            Line::Entry(Entry::Canary { at, device, tags: body.tags? })
        }
        LineKind::Wave => Line::Entry(wave_entry(at, body)?),
        LineKind::Note => Line::Entry(Entry::Note { at, text: body.text? }),
        LineKind::Unknown => Line::Entry(Entry::Note {
            at,
            text: "a newer mdetag wrote a line that this one does not know".into(),
        }),
    })
}

/// The line with its checksum and line end, and the number of the lease that it is written under.
pub(super) fn render(line: &Line, fence: Option<u64>) -> String {
    let mut json = state_json::text(&written(line)).expect("plain data has a JSON form");
    json.pop();
    if let Some(fence) = fence {
        json.push_str(&format!(",\"fence\":{fence}"));
    }
    let checksum = crc32fast::hash(json.as_bytes());
    format!("{json},\"crc\":\"{checksum:08x}\"}}\n")
}

/// Parses a line; `None` if it is torn, damaged or foreign.
pub(super) fn parse(bytes: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix("\"}\n")?;
    let (json, checksum) = text.rsplit_once(",\"crc\":\"")?;
    if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(json.as_bytes()) {
        return None;
    }
    read(serde_json::from_str(&format!("{json}}}")).ok()?)
}

#[cfg(test)]
mod tests;
