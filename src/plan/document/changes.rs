//! Writes the changes of a plan: a line a device, in the form of [`ChangeDocument`](super::ChangeDocument).
//!
//! A plan has millions of tag changes and few tags and causes: the text of each of those is made once and copied. Keys stand
//! in canonical order, so that the lines without the white space before them are what is hashed. Knows nothing of the rest of
//! the document.

use std::io::{self, Write};

use rayon::prelude::*;
use serde::Serialize;

use crate::plan::digest::Sha256;
use crate::plan::{Cause, DeviceChange, Plan, TagChange, TagIndex, ValueChange};

/// Devices that one core writes at a time.
const BLOCK: usize = 1_024;

/// Blocks that are made while those before them are hashed and written: enough for all cores, and little memory whatever
/// the plan's size.
const AT_ONCE: usize = 8;

/// What a line starts with, outside the canonical form.
const INDENT: &[u8] = b"\n    ";

/// Appends the changes of a plan as the elements of a list, and hashes their canonical form. `is_drift` adds the class of
/// drift to each.
///
/// # Errors
/// Those of the writer.
pub(super) fn write(plan: &Plan, is_drift: bool, sha256: &mut Sha256, out: &mut dyn Write) -> io::Result<()> {
    let texts = Texts::new(plan, is_drift);
    let mut next = vec![Block::default(); AT_ONCE];
    let mut ready: Vec<Block> = Vec::new();
    for changes in plan.changes.chunks(BLOCK * AT_ONCE) {
        // Making blocks takes all cores; hashing and writing must keep the order, so each goes beside it.
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                next.truncate(changes.len().div_ceil(BLOCK));
                let blocks = next.par_iter_mut().zip(changes.par_chunks(BLOCK));
                blocks.for_each(|(block, changes)| block.fill(&texts, changes));
            });
            scope.spawn(|_| ready.iter().for_each(|block| block.hash(sha256)));
            ready.iter().try_for_each(|block| out.write_all(&block.text))
        })?;
        std::mem::swap(&mut next, &mut ready);
        next.resize(AT_ONCE, Block::default());
    }
    if let Some(last) = ready.last_mut() {
        last.drop_comma();
    }
    ready.iter().for_each(|block| block.hash(sha256));
    ready.iter().try_for_each(|block| out.write_all(&block.text))
}

/// Some changes, a line each, with a comma after each.
#[derive(Clone, Default)]
struct Block {
    text: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Block {
    /// Other changes in place of those before, in the same memory.
    fn fill(&mut self, texts: &Texts<'_>, changes: &[DeviceChange]) {
        self.text.clear();
        self.ends.clear();
        for change in changes {
            self.text.extend_from_slice(INDENT);
            texts.change(change, &mut self.text);
            self.text.push(b',');
            self.ends.push(self.text.len());
        }
    }

    /// Nothing follows the last change.
    fn drop_comma(&mut self) {
        self.text.pop();
        self.ends.last_mut().into_iter().for_each(|end| *end -= 1);
    }

    fn hash(&self, sha256: &mut Sha256) {
        let mut start = 0;
        for end in &self.ends {
            sha256.update(&self.text[start + INDENT.len()..*end]);
            start = *end;
        }
    }
}

/// The JSON of what many changes share.
struct Texts<'a> {
    plan: &'a Plan,
    /// By [`TagIndex`].
    tags: Vec<String>,
    /// By [`CauseIndex`](crate::plan::CauseIndex).
    causes: Vec<CauseText<'a>>,
    is_drift: bool,
}

/// The keys of a cause, in pieces: those of a change stand between them.
struct CauseText<'a> {
    /// `{"cause":"…"`.
    word: String,
    /// `,"family":"…"`, where a family is the cause.
    family: String,
    /// `,"rules":["…"]`, where rules are.
    rules: String,
    /// The new name, where a rename is.
    to: Option<&'a str>,
    /// `,"why":0}`.
    why: String,
}

impl<'a> Texts<'a> {
    fn new(plan: &'a Plan, is_drift: bool) -> Texts<'a> {
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
            to: match cause {
                Cause::Renamed { to, .. } => Some(to),
                _ => None,
            },
            why: format!(",\"why\":{index}}}"),
        };
        Texts { plan, tags, causes: plan.causes.iter().enumerate().map(cause).collect(), is_drift }
    }

    fn change(&self, change: &DeviceChange, out: &mut Vec<u8>) {
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
        out.extend_from_slice(b"]}");
    }

    fn tag_change(&self, change: TagChange, class: &str, out: &mut Vec<u8>) {
        let cause = &self.causes[change.cause.0 as usize];
        out.extend_from_slice(cause.word.as_bytes());
        self.class(class, out);
        out.extend_from_slice(cause.family.as_bytes());
        out.extend_from_slice(cause.rules.as_bytes());
        out.extend_from_slice(b",\"tag\":");
        out.extend_from_slice(self.tag(change.tag));
        // The new name stands beside the removal of the old one; an addition names it already.
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

/// Items with commas between them.
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
            let nowhere =
                crate::diagnostic::Place { file: "p".into(), line: 1, column: 1, end_line: 1, end_column: 1 };
            let mut plan = Plan {
                changes: (0..devices).map(change).collect(),
                tags: vec!["a\nb".into()],
                causes: vec![Cause::Retired { place: nowhere }],
                ..Plan::default()
            };
            plan.header.inventory.devices = devices as u64;
            let text = document::write(&plan);
            let read = document::read(&text).expect("the digest is that of the text");
            assert_eq!(read.changes, plan.changes);
            let lines = text.lines().filter(|line| line.starts_with("    {\"add\":")).count();
            assert_eq!(lines, devices);
        }
    }
}
