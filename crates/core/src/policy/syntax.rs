//! Parses YAML text into a tree in which every key and value knows its bytes. The only module that uses the YAML crate.
//!
//! Works on the crate's events with its own stack, so that nesting cannot exhaust the thread's, and sees every duplicate key.
//! Does not know the policy's keys: the readers above report unknown ones and wrong types.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span as YamlSpan};

use super::node::{MappingEntry, Node, NodeKind, shown};
use super::scalars::scalar;
use crate::diagnostic::{Diagnostic, SourceId, Span};

/// The largest policy file, in bytes; ten thousand rules take about 3 MB.
pub const MAX_BYTES: usize = 10 << 20;

/// The deepest nesting. Selectors are read recursively, so this also bounds the readers' stack.
const MAX_DEPTH: usize = 64;

/// The most values of a file.
const MAX_NODES: usize = 2_000_000;

/// The most values that aliases may add (32 bytes of text count as one). Otherwise a few kilobytes of nested aliases could need
/// more memory than any computer has.
const MAX_COPIES: usize = 200_000;

/// Parses one document. `None` if the text is not YAML, is empty, or exceeds a limit; a finding says which.
pub(super) fn parse(text: &str, source: SourceId) -> (Option<Node>, Vec<Diagnostic>) {
    let mut loader = Loader::new(source);
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        let finding =
            Diagnostic::error("E0110", loader.point(0), message).help("split it into several files");
        return (None, vec![finding]);
    }
    let lone = text.match_indices('\r').find(|(at, _)| text.as_bytes().get(at + 1) != Some(&b'\n'));
    if let Some((at, _)) = lone {
        // YAML ends a line here, but editors and `git diff` do not, so a comment could contain keys that no review shows.
        let span = Span { source, start: at as u32, end: at as u32 + 1 };
        let message = "a carriage return alone ends a line for YAML, and for no tool that shows the file";
        let finding = Diagnostic::error("E0101", span, message).help("end lines with LF or CRLF");
        return (None, vec![finding]);
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH + 1;
    options.block_nesting_limit = MAX_DEPTH + 1;
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => loader.event(event, span),
            Err(error) => Err(Box::new(scan_finding(&error, text, &loader))),
        };
        match step {
            Ok(true) => {}
            Ok(false) => break,
            Err(finding) => {
                loader.findings.push(*finding);
                return (None, loader.findings);
            }
        }
    }
    if loader.root.is_none() {
        let finding = Diagnostic::error("E0107", loader.point(0), "the file holds no document")
            .help("such a file starts with `version: 1`; delete it if it is not needed");
        loader.findings.push(finding);
    }
    (loader.root, loader.findings)
}

/// An unfinished container.
enum Open {
    List { items: Vec<Node>, start: u32, anchor: usize },
    Map { entries: Vec<EntryDraft>, key: Option<PendingKey>, start: u32, anchor: usize },
}

/// A key without its value yet.
struct PendingKey {
    text: Option<String>,
    span: Span,
    is_merge: bool,
}

/// An entry before merge keys are applied.
struct EntryDraft {
    entry: MappingEntry,
    is_merge: bool,
}

struct Loader {
    source: SourceId,
    stack: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    copies: usize,
    /// Finished anchored values, and the cost of copying each.
    anchors: HashMap<usize, (Node, usize)>,
    findings: Vec<Diagnostic>,
}

impl Loader {
    fn new(source: SourceId) -> Loader {
        Loader {
            source,
            stack: Vec::new(),
            root: None,
            documents: 0,
            nodes: 0,
            copies: 0,
            anchors: HashMap::new(),
            findings: Vec::new(),
        }
    }

    fn point(&self, at: u32) -> Span {
        Span { source: self.source, start: at, end: at }
    }

    fn span(&self, span: YamlSpan) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        Span { source: self.source, start: range.start as u32, end: range.end as u32 }
    }

    /// Takes one event. `false`: the rest does not matter.
    fn event(&mut self, event: Event<'_>, at: YamlSpan) -> Result<bool, Box<Diagnostic>> {
        let span = self.span(at);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let finding = Diagnostic::error("E0106", span, "a second document starts here")
                        .label("one document a file")
                        .help("move what follows into a file of its own");
                    self.findings.push(finding);
                    return Ok(false);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                let kind = scalar(text, style, tag.as_deref()).map_err(|message| {
                    Diagnostic::error("E0101", span, message)
                        .help("write the value without the tag, or with `!!str`")
                })?;
                self.node(Node { kind, span }, anchor, is_merge)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(span)?;
                self.stack.push(Open::List { items: Vec::new(), start: span.start, anchor });
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(span)?;
                self.stack.push(Open::Map { entries: Vec::new(), key: None, start: span.start, anchor });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => {
                let Some((node, cost)) = self.anchors.get(&anchor) else {
                    let message = "this alias is inside the value that it names";
                    return Err(Box::new(Diagnostic::error("E0101", span, message)));
                };
                let (node, cost) = (node.clone(), *cost);
                self.copy(cost, span)?;
                self.node(node, 0, false)?;
            }
            _ => {}
        }
        Ok(true)
    }

    fn open(&self, span: Span) -> Result<(), Box<Diagnostic>> {
        if self.stack.len() < MAX_DEPTH {
            return Ok(());
        }
        Err(Box::new(Diagnostic::error("E0110", span, format!("values nest deeper than {MAX_DEPTH} levels"))))
    }

    fn copy(&mut self, cost: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        self.copies = self.copies.saturating_add(cost);
        if self.copies <= MAX_COPIES {
            return Ok(());
        }
        let message = format!("anchors and aliases expand to more than {MAX_COPIES} values");
        Err(Box::new(
            Diagnostic::error("E0110", span, message).help("write the values out, or split the file"),
        ))
    }

    fn close(&mut self, end: Span) -> Result<(), Box<Diagnostic>> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let (kind, start, last, anchor) = match open {
            Open::List { items, start, anchor } => {
                let last = items.last().map_or(start, |item| item.span.end);
                (NodeKind::List(items), start, last, anchor)
            }
            Open::Map { entries, start, anchor, .. } => {
                let last = entries.last().map_or(start, |draft| draft.entry.value.span.end);
                (NodeKind::Map(self.merged(entries)), start, last, anchor)
            }
        };
        // The parser ends a block wherever it notices the end; people expect the end of its last value.
        let end = if end.end > end.start { end.end } else { last.max(start) };
        self.node(Node { kind, span: Span { source: self.source, start, end } }, anchor, false)
    }

    /// Puts a finished value in its place: the root, an item, a key, or the value of the pending key.
    fn node(&mut self, node: Node, anchor: usize, is_merge: bool) -> Result<(), Box<Diagnostic>> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the file holds more than {MAX_NODES} values");
            let finding = Diagnostic::error("E0110", node.span, message).help("split it into several files");
            return Err(Box::new(finding));
        }
        if anchor != 0 {
            let cost = cost(&node);
            self.copy(cost, node.span)?;
            self.anchors.insert(anchor, (node.clone(), cost));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None => *key = Some(PendingKey { span: node.span, text: key_text(node), is_merge }),
                Some(PendingKey { text: Some(text), span, is_merge }) => {
                    entries.push(EntryDraft {
                        entry: MappingEntry { key: text, key_span: span, value: node },
                        is_merge,
                    });
                }
                Some(PendingKey { text: None, span, .. }) => {
                    self.findings.push(Diagnostic::error(
                        "E0104",
                        span,
                        "a key is text, not a list or a mapping",
                    ));
                }
            },
        }
        Ok(())
    }

    /// The entries of a mapping: duplicates reported, merge keys applied (written keys win, then earlier merges).
    fn merged(&mut self, drafts: Vec<EntryDraft>) -> Vec<MappingEntry> {
        let mut first: HashMap<String, Span> = HashMap::with_capacity(drafts.len());
        let mut entries = Vec::with_capacity(drafts.len());
        let mut merges = Vec::new();
        for EntryDraft { entry, is_merge } in drafts {
            if let Some(earlier) = first.get(&entry.key) {
                let message = format!("the key `{}` appears twice in this mapping", shown(&entry.key));
                let finding = Diagnostic::error("E0102", entry.key_span, message)
                    .label("again here")
                    .related(*earlier, "first here")
                    .help("only one of them can hold: merge or delete one");
                self.findings.push(finding);
                continue;
            }
            first.insert(entry.key.clone(), entry.key_span);
            if is_merge {
                merges.push(entry.value);
            } else {
                entries.push(entry);
            }
        }
        for value in merges {
            let parts = match value.kind {
                NodeKind::List(items) => items,
                _ => vec![value],
            };
            for part in parts {
                let NodeKind::Map(merged) = part.kind else {
                    let message = format!("`<<` merges mappings, this is {}", part.describe());
                    self.findings.push(Diagnostic::error("E0104", part.span, message));
                    continue;
                };
                for entry in merged {
                    if !first.contains_key(&entry.key) {
                        first.insert(entry.key.clone(), entry.key_span);
                        entries.push(entry);
                    }
                }
            }
        }
        entries
    }
}

/// The cost of copying a value against [`MAX_COPIES`].
fn cost(node: &Node) -> usize {
    let text = |text: &str| text.len() / 32;
    1 + match &node.kind {
        NodeKind::Null | NodeKind::Boolean(_) => 0,
        NodeKind::Number(number) => text(number),
        NodeKind::Text(value) => text(value),
        NodeKind::List(items) => items.iter().map(cost).sum(),
        NodeKind::Map(entries) => entries.iter().map(|entry| text(&entry.key) + cost(&entry.value)).sum(),
    }
}

fn key_text(node: Node) -> Option<String> {
    match node.kind {
        NodeKind::Text(text) | NodeKind::Number(text) => Some(text),
        NodeKind::Boolean(value) => Some(value.to_string()),
        NodeKind::Null => Some("null".to_owned()),
        NodeKind::List(_) | NodeKind::Map(_) => None,
    }
}

fn scan_finding(error: &ScanError, text: &str, loader: &Loader) -> Diagnostic {
    let marker = error.marker();
    let at = marker.byte_offset().unwrap_or_else(|| byte_of(text, marker.index())).min(text.len());
    let end = text[at..].chars().next().map_or(at, |scalar| at + scalar.len_utf8());
    let span = Span { source: loader.source, start: at as u32, end: end as u32 };
    let info = error.info();
    let help = match () {
        () if info.contains("recursion") || info.contains("nest") => {
            let message = format!("values nest deeper than {MAX_DEPTH} levels");
            return Diagnostic::error("E0110", span, message);
        }
        () if info.contains("tab") => "indent with spaces",
        () if info.contains("quote") => "close the quote on the value's own line, or escape quotes inside it",
        () if info.contains("mapping values") => "put text that holds `: ` in quotes",
        () if info.contains("alias") || info.contains("anchor") => {
            "an alias `*name` needs an anchor `&name` earlier in the same file; a value that starts with `*` needs quotes"
        }
        () if info.contains("unexpected character") => {
            "remove the character, or write the file again as plain UTF-8 text"
        }
        () => "see the lines around this one: the mistake is often just before it",
    };
    Diagnostic::error("E0101", span, format!("this is not valid YAML: {}", shown(&info.replace('`', "'"))))
        .help(help)
}

/// The byte offset of a scalar index.
fn byte_of(text: &str, scalars: usize) -> usize {
    text.char_indices().nth(scalars).map_or(text.len(), |(byte, _)| byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<&'static str>) {
        let (node, findings) = parse(text, SourceId(0));
        (node, findings.iter().map(|finding| finding.code).collect())
    }

    fn entries(text: &str) -> Vec<MappingEntry> {
        let (node, codes) = read(text);
        assert_eq!(codes, Vec::<&str>::new(), "{text}");
        match node.map(|node| node.kind) {
            Some(NodeKind::Map(entries)) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quotes_and_str_tags_make_text() {
        for entry in entries("a: '12'\nb: \"true\"\nc: !!str 12\nd: |\n  12\ne: ! 12\n") {
            assert!(matches!(entry.value.kind, NodeKind::Text(_)), "{entry:?}");
        }
        assert_eq!(read("a: !custom x\n").1, ["E0101"]);
    }

    #[test]
    fn spans_are_bytes_through_multi_byte_text_and_a_byte_order_mark() {
        let text = "\u{feff}ключ: é\r\nb: {  }\r\nc: [x,\r\n y]\r\n";
        let all = entries(text);
        let raw = |span: Span| &text[span.start as usize..span.end as usize];
        assert_eq!((raw(all[0].key_span), raw(all[0].value.span)), ("ключ", "é"));
        assert_eq!(raw(all[1].value.span), "{  }");
        assert_eq!(raw(all[2].value.span), "[x,\r\n y]");
    }

    #[test]
    fn written_keys_win_over_merged_ones_and_earlier_merges_over_later() {
        let all = entries("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 9\n");
        let NodeKind::Map(merged) = &all[2].value.kind else { panic!() };
        let shown: Vec<_> =
            merged.iter().map(|entry| format!("{}={:?}", entry.key, entry.value.kind)).collect();
        assert_eq!(shown, [r#"x=Number("9")"#, r#"y=Number("2")"#, r#"z=Number("4")"#]);
        assert_eq!(read("a:\n  <<: 3\n").1, ["E0104"]);
    }

    #[test]
    fn a_duplicate_key_shows_both_places() {
        let (_, findings) = parse("a: 1\nb: 2\na: 3\n", SourceId(0));
        assert_eq!(findings[0].code, "E0102");
        assert_eq!((findings[0].span.unwrap().start, findings[0].related[0].span.start), (10, 0));
    }

    #[test]
    fn one_document_a_file() {
        assert_eq!(read("a: 1\n---\nb: 2\n").1, ["E0106"]);
        assert_eq!(read("a: 1\n---\n").1, ["E0106"], "also an empty one");
        assert_eq!(read("---\na: 1\n...\n").1, Vec::<&str>::new());
        for empty in ["", "# only a comment\n", "\u{feff}", "\n\n"] {
            assert_eq!(read(empty).1, ["E0107"], "{empty:?}");
        }
    }

    #[test]
    fn hostile_text_ends_in_one_finding() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
        }
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(100_000));
        let cases = [
            ("E0110", bomb),
            ("E0110", long),
            ("E0110", "[".repeat(200_000)),
            ("E0110", "- ".repeat(50_000)),
            ("E0110", format!("{}{}", "{a: ".repeat(80), "}".repeat(80))),
            ("E0110", "# ".repeat(6 << 20)),
            ("E0101", "a: &x [*x]\n".to_owned()),
            ("E0101", "a:\n\t- x\n".to_owned()),
            ("E0101", "a: \0b\n".to_owned()),
            ("E0101", "a: \u{1b}[31m\n".to_owned()),
            ("E0101", "a: \"unclosed\nb: 2\n".to_owned()),
            ("E0101", "a: *nope\n".to_owned()),
            ("E0101", "a: b: c\n".to_owned()),
            ("E0101", "a: [1, 2\nb: 3\n".to_owned()),
        ];
        for (code, text) in cases {
            let (node, codes) = read(&text);
            assert!(node.is_none(), "{code} {:?}", &text[..text.len().min(40)]);
            assert_eq!(codes, [code], "{:?}", &text[..text.len().min(40)]);
        }
    }
}
