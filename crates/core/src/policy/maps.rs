//! `maps`: texts that templates write in place of a field's value, by value.
//!
//! `desired` fills in templates.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{MappingEntry, shown};
use super::reader::Reader;
use crate::diagnostic::{Diagnostic, Span};
use crate::text;

/// The key that stands for every other value.
const OTHERS: &str = "*";

/// The most maps, because lints compare each with every template.
const MAX_MAPS: usize = 1_000;

/// An entry of `maps`: values by value.
#[derive(Clone, Debug)]
pub struct ValueMap {
    /// The name in `{FIELD|map:NAME}`.
    pub name: String,
    /// By value, folded.
    entries: HashMap<String, Arc<str>>,
    /// The text at `*`.
    others: Option<Arc<str>>,
    /// The place of the map's name.
    pub span: Span,
}

impl ValueMap {
    /// The text for a value, compared without case.
    pub fn get(&self, value: &str) -> Option<&str> {
        self.entries.get(&*text::fold(value)).or(self.others.as_ref()).map(|text| &**text)
    }
}

/// The maps that templates can use.
#[derive(Default)]
pub(super) struct Maps {
    pub(super) known: Vec<ValueMap>,
    /// Names of maps with errors, so that their use is not reported again.
    broken: Vec<String>,
}

impl Maps {
    /// Reads an entry of `maps`.
    pub(super) fn add(&mut self, reader: &mut Reader<'_>, entry: &MappingEntry) {
        match map(reader, entry, self.known.len()) {
            Some(map) => self.known.push(map),
            None => self.broken.push(entry.key.clone()),
        }
    }

    /// The index of a map; reports an unknown name.
    pub(super) fn find(&self, reader: &mut Reader<'_>, name: &str, span: Span) -> Option<usize> {
        let found = self.known.iter().position(|map| map.name == name);
        if found.is_none() && !self.broken.iter().any(|broken| broken == name) {
            let known: Vec<&str> = self.known.iter().map(|map| map.name.as_str()).collect();
            reader.unknown("E0215", span, &format!("map `{}`", shown(name)), name, &known);
        }
        found
    }
}

fn map(reader: &mut Reader<'_>, entry: &MappingEntry, count: usize) -> Option<ValueMap> {
    if entry.key.contains(['{', '}', '|', ':']) {
        let message = format!("the map name `{}` holds one of {{ }} | :", shown(&entry.key));
        let finding = Diagnostic::error("E0113", entry.key_span, message);
        reader.report(finding.help("templates name it as `{FIELD|map:NAME}`; leave these characters out"));
        return None;
    }
    if count == MAX_MAPS {
        reader.report(Diagnostic::error("E0110", entry.key_span, format!("more than {MAX_MAPS} maps")));
        return None;
    }
    let lines = reader.map(&entry.value, "a map")?;
    if lines.is_empty() {
        let finding = Diagnostic::error(
            "E0216",
            entry.key_span,
            format!("the map `{}` holds nothing", shown(&entry.key)),
        );
        reader.report(
            finding
                .label("no entry")
                .help("write `VALUE: TEXT`, one a line; `\"*\": TEXT` is every other value"),
        );
        return None;
    }
    let mut map =
        ValueMap { name: entry.key.clone(), entries: HashMap::new(), others: None, span: entry.key_span };
    let mut places: HashMap<String, Span> = HashMap::new();
    let mut is_sound = true;
    for line in lines {
        let what = format!("`{}` of the map `{}`", shown(&line.key), shown(&entry.key));
        let Some(text) = reader.filled_text(&line.value, &what) else {
            is_sound = false;
            continue;
        };
        let text: Arc<str> = text.trim().into();
        if line.key == OTHERS {
            map.others = Some(text);
            continue;
        }
        let folded = text::fold(&line.key).into_owned();
        if let Some(earlier) = places.insert(folded.clone(), line.key_span) {
            let message = format!(
                "the map `{}` holds `{}` twice: it compares without case",
                shown(&entry.key),
                shown(&line.key)
            );
            let finding = Diagnostic::error("E0216", line.key_span, message).label("again here");
            reader.report(finding.related(earlier, "first here").help("delete one of the two"));
            is_sound = false;
        }
        map.entries.insert(folded, text);
    }
    is_sound.then_some(map)
}
