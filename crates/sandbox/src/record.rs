//! One device of the simulated service: finished JSON with two gaps for the parts that can change, the tags by origin, and writes
//! that readers do not see yet.
//!
//! Decides no request. Answers what a reader sees now, and takes writes that were decided elsewhere.

use std::sync::Arc;

use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

/// A tag; equal tags of a fleet share their text.
pub(super) type Tag = Arc<str>;

/// Number and name of a device group; 0 and no name is ungrouped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) id: i32,
    pub(super) name: Option<Arc<str>>,
}

/// The parts that writes change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Tags made in the portal or through the API, in the order in which they were added.
    pub(super) manual: Vec<Tag>,
    /// The device value; `None` is written as null.
    pub(super) value: Option<DeviceValue>,
    pub(super) group: Group,
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: Box<str>,
    /// All members of the JSON object but value, group and tags.
    json: Box<[u8]>,
    /// Byte offset in `json` at which value and group are inserted.
    state_at: u32,
    /// Byte offset in `json` at which the tags are inserted; never before `state_at`.
    tags_at: u32,
    pub(super) last_seen: Option<Timestamp>,
    pub(super) state: State,
    /// The tag that the device reports from its registry.
    pub(super) registry: Option<Tag>,
    /// Tags of the simulated dynamic rules.
    pub(super) dynamic: Vec<Tag>,
    /// The value that a dynamic rule holds.
    pub(super) locked: Option<DeviceValue>,
    later: Option<Box<TimedState>>,
}

/// The parts that change with time alone. Few devices have any, so they are kept apart.
#[derive(Clone, Debug, Default)]
struct TimedState {
    pending: Vec<Pending>,
    /// Registry and dynamic tags that a write removed, each with the time at which it is reported again.
    suppressed: Vec<(Tag, Timestamp)>,
    /// A value that a rule will restore, and when.
    reverts: Option<(Option<DeviceValue>, Timestamp)>,
    /// The group that the tags will lead to, and when.
    regroup: Option<(Group, Timestamp)>,
}

/// A write that readers do not see yet.
#[derive(Clone, Debug)]
struct Pending {
    list_at: Timestamp,
    hunting_at: Timestamp,
    before: State,
}

/// The reader: a write's own answer sees everything at once, the list and hunting see it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Viewer {
    Writer,
    List,
    Hunting,
}

/// Which origins `machineTags` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShownOrigins {
    Manual,
    ManualAndRegistry,
    All,
}

/// One device as a reader sees it at one moment.
#[derive(Clone, Debug)]
pub(super) struct DeviceView<'a> {
    pub(super) value: Option<DeviceValue>,
    pub(super) group: &'a Group,
    pub(super) tags: Vec<&'a Tag>,
    pub(super) last_seen: Option<Timestamp>,
}

/// Departures from the usual JSON, which a client must survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quirks {
    pub(super) group_id_as_text: bool,
    pub(super) without_tags: bool,
    pub(super) null_tags: bool,
    pub(super) unknown_property: bool,
    pub(super) unknown_value: bool,
    pub(super) os_version: bool,
    pub(super) av_status: bool,
    pub(super) year_one: bool,
    pub(super) without_id: bool,
}

impl Record {
    /// A device whose JSON has its two gaps at these places.
    pub(super) fn new(id: &str, json: Vec<u8>, state_at: usize, tags_at: usize) -> Record {
        Record {
            id: id.into(),
            json: json.into_boxed_slice(),
            state_at: state_at as u32,
            tags_at: tags_at as u32,
            last_seen: None,
            state: State::default(),
            registry: None,
            dynamic: Vec::new(),
            locked: None,
            later: None,
        }
    }

    /// The device as a reader sees it.
    pub(super) fn shown(&self, now: Timestamp, viewer: Viewer, shows: ShownOrigins) -> DeviceView<'_> {
        let Some(later) = &self.later else {
            return DeviceView {
                value: self.state.value,
                group: &self.state.group,
                tags: self.tags(&self.state.manual, &[], now, shows),
                last_seen: self.last_seen,
            };
        };
        let visible_at = |pending: &Pending| match viewer {
            Viewer::Writer => now,
            Viewer::List => pending.list_at,
            Viewer::Hunting => pending.hunting_at,
        };
        let unseen = later.pending.iter().find(|pending| visible_at(pending) > now);
        let state = unseen.map_or(&self.state, |pending| &pending.before);
        let reverted = later.reverts.filter(|(_, due)| *due <= now && unseen.is_none());
        let regrouped = later.regroup.as_ref().filter(|(_, due)| *due <= now);
        DeviceView {
            value: reverted.map_or(state.value, |(value, _)| value),
            group: regrouped.map_or(&state.group, |(group, _)| group),
            tags: self.tags(&state.manual, &later.suppressed, now, shows),
            last_seen: self.last_seen,
        }
    }

    fn tags<'a>(
        &'a self,
        manual: &'a [Tag],
        suppressed: &[(Tag, Timestamp)],
        now: Timestamp,
        shows: ShownOrigins,
    ) -> Vec<&'a Tag> {
        let mut tags: Vec<&Tag> = manual.iter().collect();
        let registry = self.registry.iter().filter(|_| shows != ShownOrigins::Manual);
        let dynamic = self.dynamic.iter().filter(|_| shows == ShownOrigins::All);
        for tag in registry.chain(dynamic) {
            let hidden = suppressed.iter().any(|(other, until)| other == tag && *until > now);
            if !hidden && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// Takes a new state, made from the current one after [`Record::forget_past`]. The list and hunting see it from the given
    /// moments on.
    pub(super) fn write(&mut self, state: State, now: Timestamp, list_at: Timestamp, hunting_at: Timestamp) {
        let before = std::mem::replace(&mut self.state, state);
        if list_at > now || hunting_at > now {
            self.later_mut().pending.push(Pending { list_at, hunting_at, before });
        }
    }

    /// Hides a registry or dynamic tag until it is reported again.
    pub(super) fn suppress(&mut self, tag: &Tag, until: Timestamp) {
        self.later_mut().suppressed.retain(|(other, _)| other != tag);
        self.later_mut().suppressed.push((tag.clone(), until));
    }

    /// Restores the rule's value at `due`.
    pub(super) fn revert_value(&mut self, to: Option<DeviceValue>, due: Timestamp) {
        self.later_mut().reverts = Some((to, due));
    }

    /// The group changes at `due`.
    pub(super) fn regroup(&mut self, group: Group, now: Timestamp, due: Timestamp) {
        self.forget_past(now);
        self.later_mut().regroup = Some((group, due));
    }

    /// The group that the device is in or on its way to.
    pub(super) fn coming_group(&self) -> &Group {
        let coming = self.later.as_ref().and_then(|later| later.regroup.as_ref());
        coming.map_or(&self.state.group, |(group, _)| group)
    }

    /// Whether the device has this tag from another origin than the API, and shows it.
    pub(super) fn holds_external(&self, tag: &str) -> bool {
        self.registry.as_deref() == Some(tag) || self.dynamic.iter().any(|other| &**other == tag)
    }

    fn later_mut(&mut self) -> &mut TimedState {
        self.later.get_or_insert_with(Box::default)
    }

    /// Merges due changes into the state, so that the next write starts from it.
    pub(super) fn forget_past(&mut self, now: Timestamp) {
        let Some(later) = &mut self.later else { return };
        later.pending.retain(|pending| pending.list_at > now || pending.hunting_at > now);
        later.suppressed.retain(|(_, until)| *until > now);
        if let Some((value, _)) = later.reverts.take_if(|(_, due)| *due <= now) {
            self.state.value = value;
        }
        if let Some((group, _)) = later.regroup.take_if(|(_, due)| *due <= now) {
            self.state.group = group;
        }
        if later.pending.is_empty()
            && later.suppressed.is_empty()
            && later.reverts.is_none()
            && later.regroup.is_none()
        {
            self.later = None;
        }
    }

    /// Writes the JSON object as a reader sees it.
    pub(super) fn render(&self, out: &mut Vec<u8>, shown: &DeviceView<'_>, quirks: &Quirks) {
        let (state_at, tags_at) = (self.state_at as usize, self.tags_at as usize);
        let start = out.len();
        out.extend_from_slice(&self.json[..state_at]);
        write_state(out, shown.value, shown.group, quirks.group_id_as_text);
        out.extend_from_slice(&self.json[state_at..tags_at]);
        if quirks.null_tags {
            out.extend_from_slice(b"\"machineTags\":null,");
        } else if !quirks.without_tags {
            write_tags(out, shown.tags.iter().map(|tag| &***tag));
        }
        out.extend_from_slice(&self.json[tags_at..]);
        let is_reported_otherwise = shown.last_seen != self.last_seen;
        if *quirks != Quirks::default() || is_reported_otherwise {
            let odd = quirks.apply(&out[start..], shown.last_seen.filter(|_| is_reported_otherwise));
            out.truncate(start);
            out.extend_from_slice(&odd);
        }
    }

    /// The raw JSON of a member that no write changes, if the device has it.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.json).ok()?;
        let key = format!("\"{name}\":");
        // Quotes inside a text are escaped, so a quote after `,` or `{` starts a member.
        let found = text
            .match_indices(&key)
            .find(|(at, _)| matches!(at.checked_sub(1).map(|before| self.json[before]), Some(b',' | b'{')));
        let value = &text[found?.0 + key.len()..];
        let mut quoted = false;
        let mut escaped = false;
        let end = value.bytes().position(|byte| {
            let ends = !quoted && matches!(byte, b',' | b'}' | b']');
            quoted ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        Some(&value[..end.unwrap_or(value.len())])
    }

    /// The text of a member that no write changes; `None` for null, absent and other kinds.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }
}

impl Quirks {
    /// Applies the quirks to plain JSON. Slow; only hardening runs use it.
    fn apply(&self, json: &[u8], last_seen: Option<Timestamp>) -> Vec<u8> {
        let Ok(serde_json::Value::Object(mut device)) = serde_json::from_slice(json) else {
            return json.to_vec();
        };
        let mut set = |on: bool, name: &str, value: serde_json::Value| {
            if on {
                device.insert(name.to_owned(), value);
            }
        };
        set(self.unknown_property, "futureProperty", serde_json::json!({ "nested": [1, null, "x"] }));
        set(self.unknown_value, "healthStatus", "SomethingNew".into());
        set(self.os_version, "osVersion", serde_json::Value::Null);
        set(self.av_status, "defenderAvStatus", "Updated".into());
        set(self.year_one, "firstSeen", "0001-01-01T00:00:00Z".into());
        if let Some(last_seen) = last_seen {
            device.insert("lastSeen".to_owned(), serde_json::json!(last_seen));
        }
        if self.without_id {
            device.remove("id");
        }
        serde_json::to_vec(&device).unwrap_or_else(|_| json.to_vec())
    }
}

/// `"deviceValue":…,"rbacGroupId":…,"rbacGroupName":…,`
pub(super) fn write_state(out: &mut Vec<u8>, value: Option<DeviceValue>, group: &Group, id_as_text: bool) {
    out.extend_from_slice(b"\"deviceValue\":");
    match value {
        Some(value) => write_text(out, value.word()),
        None => out.extend_from_slice(b"null"),
    }
    let id = group.id.to_string();
    out.extend_from_slice(b",\"rbacGroupId\":");
    match id_as_text {
        true => write_text(out, &id),
        false => out.extend_from_slice(id.as_bytes()),
    }
    out.extend_from_slice(b",\"rbacGroupName\":");
    match &group.name {
        Some(name) => write_text(out, name),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b',');
}

/// `"machineTags":[…],`
pub(super) fn write_tags<'a>(out: &mut Vec<u8>, tags: impl Iterator<Item = &'a str>) {
    out.extend_from_slice(b"\"machineTags\":[");
    for (place, tag) in tags.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(out, tag);
    }
    out.extend_from_slice(b"],");
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        for scalar in text.chars() {
            match scalar {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                control if (control as u32) < 0x20 => {
                    out.extend_from_slice(format!("\\u{:04x}", control as u32).as_bytes());
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let json = br#"{"id":"a","computerDnsName":"x,\"id\":\"b","vmMetadata":null}"#.to_vec();
        Record::new("a", json, 10, 10)
    }

    #[test]
    fn a_write_is_seen_by_its_writer_first_and_by_the_list_later() {
        let mut record = record();
        let second = |at| Timestamp::from_seconds(at);
        let state = State { value: Some(DeviceValue::High), ..State::default() };
        record.write(state, second(0), second(10), second(20));
        let value = |at, viewer| record.shown(second(at), viewer, ShownOrigins::All).value;
        assert_eq!(value(0, Viewer::Writer), Some(DeviceValue::High));
        assert_eq!(value(9, Viewer::List), None);
        assert_eq!(value(10, Viewer::List), Some(DeviceValue::High));
        assert_eq!(value(19, Viewer::Hunting), None);
    }

    #[test]
    fn members_are_found_even_when_a_name_looks_like_json() {
        assert_eq!(record().text("id").as_deref(), Some("a"));
        assert_eq!(record().text("computerDnsName").as_deref(), Some("x,\"id\":\"b"));
        assert_eq!(record().raw("vmMetadata"), Some("null"));
    }

    #[test]
    fn the_rendered_object_has_every_changing_member_once() {
        let record = record();
        let mut out = Vec::new();
        record.render(
            &mut out,
            &record.shown(Timestamp::EPOCH, Viewer::List, ShownOrigins::All),
            &Quirks::default(),
        );
        let device: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(device["machineTags"], serde_json::json!([]));
        assert_eq!(device["rbacGroupId"], 0);
    }
}
