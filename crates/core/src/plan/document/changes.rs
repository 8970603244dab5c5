//! Writes and reads the changes of a plan: one line per device, in the form of [`ChangeLine`].
//!
//! A plan has millions of tag changes and few tags and causes, so the text of each of those is made once and copied. Keys are in
//! canonical order, so the lines, without leading white space, are hashed as they are. Does not know the rest of the document.

use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{ChangeLine, blocks};
use crate::plan::digest::{self, Sha256};
use crate::plan::{Cause, DeviceChange, Plan, TagChange, TagIndex, ValueChange};

/// Appends the changes of a plan as the elements of a list, and hashes their canonical form. `is_drift` adds the class of drift
/// to each.
///
/// # Errors
/// Those of the writer.
pub(super) fn write(plan: &Plan, is_drift: bool, sha256: &mut Sha256, out: &mut dyn Write) -> io::Result<()> {
    let texts = SharedTexts::new(plan, is_drift);
    let mut comma: &[u8] = b"";
    let hash = |block: &Block| {
        for line in &block.lines {
            sha256.update(std::mem::replace(&mut comma, b","));
            sha256.update(&block.text[line.clone()]);
        }
    };
    // No comma precedes the first line.
    let mut written_from = 1;
    let take = |block: &Block| out.write_all(&block.text[std::mem::take(&mut written_from)..]);
    let places: Vec<usize> = (0..plan.changes.len()).collect();
    blocks::in_order(&places, |block, places| fill(block, &texts, places), hash, take)
}

/// Some changes, one line each, each preceded by a comma.
#[derive(Default)]
struct Block {
    text: Vec<u8>,
    /// The range of each change's JSON.
    lines: Vec<Range<usize>>,
}

fn fill(block: &mut Block, texts: &SharedTexts<'_>, places: &[usize]) {
    block.text.clear();
    block.lines.clear();
    for place in places {
        block.text.extend_from_slice(b",\n    ");
        let start = block.text.len();
        texts.change(*place, &mut block.text);
        block.lines.push(start..block.text.len());
    }
}

/// Reads the elements of a list of changes in order, a few at a time, and hashes their canonical form.
///
/// # Errors
/// An element that is not a change or has no canonical form; the error's place is relative to the element.
pub(super) fn read<'a>(
    changes: &[&'a RawValue],
    sha256: &mut Sha256,
    mut take: impl FnMut(&[ChangeLine<'a>]),
) -> serde_json::Result<()> {
    let mut comma: &[u8] = b"";
    let hash = |block: &ReadBlock<'_>| {
        sha256.update(std::mem::replace(&mut comma, b","));
        sha256.update(&block.canonical);
    };
    let fill = |block: &mut ReadBlock<'a>, changes: &[&'a RawValue]| {
        block.canonical.clear();
        block.documents.clear();
        block.fault = changes.iter().try_for_each(|change| block.push(change.get())).err();
    };
    blocks::in_order(changes, fill, hash, |block| match &block.fault {
        Some(fault) => Err(serde::de::Error::custom(fault)),
        None => {
            take(&block.documents);
            Ok(())
        }
    })
}

/// Some changes of a document.
#[derive(Default)]
struct ReadBlock<'a> {
    documents: Vec<ChangeLine<'a>>,
    /// Their canonical form, separated by commas.
    canonical: Vec<u8>,
    fault: Option<serde_json::Error>,
}

impl<'a> ReadBlock<'a> {
    fn push(&mut self, json: &'a str) -> serde_json::Result<()> {
        if !self.canonical.is_empty() {
            self.canonical.push(b',');
        }
        digest::append(json, &mut self.canonical)?;
        self.documents.push(serde_json::from_str(json)?);
        Ok(())
    }
}

/// JSON texts that many changes share.
struct SharedTexts<'a> {
    plan: &'a Plan,
    /// By [`TagIndex`].
    tags: Vec<String>,
    /// By [`CauseIndex`](crate::plan::CauseIndex).
    causes: Vec<CauseText<'a>>,
    is_drift: bool,
}

/// The keys of a cause, in pieces, because those of a change go between them.
struct CauseText<'a> {
    /// `{"cause":"…"`.
    word: String,
    /// `,"family":"…"`, if a family is the cause.
    family: String,
    /// `,"rules":["…"]`, if rules are the cause.
    rules: String,
    /// `,"run":"…"`, if a run is the cause.
    run: String,
    /// The new name, if a rename is the cause.
    to: Option<&'a str>,
    /// `,"why":0}`.
    why: String,
}

impl<'a> SharedTexts<'a> {
    fn new(plan: &'a Plan, is_drift: bool) -> SharedTexts<'a> {
        let tags = plan.tags.iter().map(json).collect();
        let cause = |(index, cause): (usize, &'a Cause)| CauseText {
            word: format!("{{\"cause\":\"{}\"", cause.word()),
            family: match cause {
                Cause::Family { family, .. } => format!(",\"family\":{}", json(family)),
                _ => String::new(),
            },
            rules: match cause {
                Cause::Rule(rules) if !rules.is_empty() => {
                    let names: Vec<&str> =
                        rules.iter().map(|rule| &*plan.rules[*rule as usize].name).collect();
                    format!(",\"rules\":{}", json(&names))
                }
                _ => String::new(),
            },
            run: match cause {
                Cause::Restored { run } => format!(",\"run\":{}", json(run)),
                _ => String::new(),
            },
            to: match cause {
                Cause::Renamed { to, .. } => Some(to),
                _ => None,
            },
            why: format!(",\"why\":{index}}}"),
        };
        SharedTexts { plan, tags, causes: plan.causes.iter().enumerate().map(cause).collect(), is_drift }
    }

    fn change(&self, place: usize, out: &mut Vec<u8>) {
        let change: &DeviceChange = &self.plan.changes[place];
        out.extend_from_slice(b"{\"add\":[");
        list(&change.add, out, |add, out| self.tag_change(*add, "missing", out));
        out.extend_from_slice(b"],\"device\":{\"id\":");
        append(&change.id, out);
        out.extend_from_slice(b",\"name\":");
        append(&change.name, out);
        out.push(b'}');
        if let Some(value) = change.value {
            out.extend_from_slice(b",\"deviceValue\":");
            self.value(value, change.observed_value.as_deref(), out);
        }
        out.extend_from_slice(b",\"observed\":{\"deviceValue\":");
        append(&change.observed_value, out);
        out.extend_from_slice(b",\"tags\":[");
        list(&change.observed_tags, out, |tag, out| out.extend_from_slice(self.tag(*tag)));
        out.extend_from_slice(b"]},\"remove\":[");
        list(&change.remove, out, |remove, out| self.tag_change(*remove, "extra", out));
        out.push(b']');
        if let Some(waves) = &self.plan.rollout {
            out.extend_from_slice(b",\"wave\":");
            append(&waves.of[place], out);
        }
        out.push(b'}');
    }

    fn tag_change(&self, change: TagChange, class: &str, out: &mut Vec<u8>) {
        let cause = &self.causes[change.cause.0 as usize];
        out.extend_from_slice(cause.word.as_bytes());
        self.class(class, out);
        out.extend_from_slice(cause.family.as_bytes());
        out.extend_from_slice(cause.rules.as_bytes());
        out.extend_from_slice(cause.run.as_bytes());
        out.extend_from_slice(b",\"tag\":");
        out.extend_from_slice(self.tag(change.tag));
        // The new name is written beside the removal of the old one; an addition already names it.
        if let Some(to) = cause.to.filter(|to| **to != **self.plan.tag(change.tag)) {
            out.extend_from_slice(b",\"to\":");
            append(to, out);
        }
        out.extend_from_slice(cause.why.as_bytes());
    }

    fn value(&self, value: ValueChange, from: Option<&str>, out: &mut Vec<u8>) {
        let cause = &self.causes[value.cause.0 as usize];
        out.extend_from_slice(cause.word.as_bytes());
        self.class("value", out);
        out.extend_from_slice(b",\"from\":");
        append(&from, out);
        out.extend_from_slice(cause.rules.as_bytes());
        out.extend_from_slice(b",\"to\":");
        append(value.to.word(), out);
        out.extend_from_slice(cause.why.as_bytes());
    }

    fn class(&self, word: &str, out: &mut Vec<u8>) {
        if self.is_drift {
            out.extend_from_slice(b",\"class\":\"");
            out.extend_from_slice(word.as_bytes());
            out.push(b'"');
        }
    }

    fn tag(&self, tag: TagIndex) -> &[u8] {
        self.tags[tag.0 as usize].as_bytes()
    }
}

/// Items separated by commas.
fn list<Item>(items: &[Item], out: &mut Vec<u8>, append: impl Fn(&Item, &mut Vec<u8>)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        append(item, out);
    }
}

fn append(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes any text");
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("a text is JSON")
}

#[cfg(test)]
mod tests {
    use super::blocks::{AT_ONCE, BLOCK};
    use super::*;
    use crate::device::DeviceValue;
    use crate::plan::{CauseIndex, document};

    #[test]
    fn blocks_are_written_and_hashed_in_order() {
        for devices in [0, 1, BLOCK, BLOCK * AT_ONCE, BLOCK * AT_ONCE + 1, 2 * BLOCK * AT_ONCE + BLOCK + 1] {
            let change = |index: usize| DeviceChange {
                id: format!("{index:08}").into(),
                name: Some(format!("line\n    feed,\n {index}").into()),
                observed_tags: Box::new([TagIndex(0)]),
                observed_value: None,
                add: Vec::new(),
                remove: vec![TagChange { tag: TagIndex(0), cause: CauseIndex(0) }],
                value: index
                    .is_multiple_of(2)
                    .then_some(ValueChange { to: DeviceValue::High, cause: CauseIndex(0) }),
            };
            let mut plan = Plan {
                changes: (0..devices).map(change).collect(),
                tags: vec!["a\nb".into()],
                causes: vec![Cause::Retired { place: crate::plan::nowhere() }],
                ..Plan::default()
            };
            plan.header.inventory.devices = devices as u64;
            let text = document::written(&plan);
            let read = document::read(&text).expect("the digest is that of the text");
            assert_eq!(read.changes, plan.changes);
            let lines = text.lines().filter(|line| line.starts_with("    {\"add\":")).count();
            assert_eq!(lines, devices);
        }
    }
}
