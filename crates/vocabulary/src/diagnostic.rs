//! Findings about what people wrote: a code, a place, what was expected, and what to do next.
//!
//! Does not decide how a finding looks; that is `report`.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::sync::Arc;
use std::sync::OnceLock;

/// How much a finding matters. Errors stop a run, warnings stop one under `--deny-warnings`, notes never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// mdetag cannot use the policy set.
    Error,
    /// mdetag can use the set, but a reviewer should look.
    Warning,
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// Index of a file in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A byte range in one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte; equal to `start` for a point.
    pub end: u32,
}

/// A span in the form that people and other tools use. Lines and columns count from 1; columns count Unicode scalars.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The path as it was given on the command line or found below a directory argument.
    pub file: Arc<str>,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// One past the last column.
    pub end_column: u32,
}

/// A text file of the policy set.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path for people: relative to the working directory, with `/`.
    pub name: Arc<str>,
    /// Index of the argument that it came from: relative data paths may not leave that argument's root.
    pub root: u32,
    /// The path below the root, with `/`.
    pub path: String,
    pub text: Arc<str>,
    /// Byte offset of every line but the first. Computed once and kept, because a plan looks up a place for every rule.
    lines: OnceLock<Vec<u32>>,
}

impl Source {
    /// `name` is the path for people, `root` the argument that the file came from, `path` its path below that.
    pub fn new(
        name: impl Into<Arc<str>>,
        root: u32,
        path: impl Into<String>,
        text: impl Into<Arc<str>>,
    ) -> Source {
        Source { name: name.into(), root, path: path.into(), text: text.into(), lines: OnceLock::new() }
    }

    /// Line and column (from 1, in Unicode scalars) of a byte offset; offsets past the end are the end.
    fn line_and_column(&self, offset: usize) -> (u32, u32) {
        let starts = self
            .lines
            .get_or_init(|| self.text.match_indices('\n').map(|(newline, _)| newline as u32 + 1).collect());
        let offset = self.text.floor_char_boundary(offset);
        let line = starts.partition_point(|start| *start as usize <= offset);
        let start = line.checked_sub(1).map_or(0, |before| starts[before] as usize);
        (line as u32 + 1, self.text[start..offset].chars().count() as u32 + 1)
    }
}

/// A data file that a policy names: the bytes, or why they could not be read.
pub type DataFile = Result<Arc<[u8]>, String>;

/// All input of one policy set: its YAML files in order, and the data files that they name.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Policy files, in the order of the arguments and of their relative paths.
    pub files: Vec<Source>,
    /// Findings from reading the files (not UTF-8, a loop of symbolic links).
    pub unread: Vec<Diagnostic>,
    /// Data files by root and normalised path below it.
    pub data: std::collections::BTreeMap<(u32, String), DataFile>,
}

impl Sources {
    /// A set of one file from memory, for tests, fuzzing and generated policies.
    pub fn from_text(name: &str, text: &str) -> Sources {
        Sources { files: vec![Source::new(name, 0, name, text)], ..Sources::default() }
    }

    /// The file with this id.
    pub fn file(&self, id: SourceId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// The text that a span covers.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.source).text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// File, lines and columns of a span.
    pub fn place(&self, span: Span) -> Place {
        let source = self.file(span.source);
        let (line, column) = source.line_and_column(span.start as usize);
        let (end_line, end_column) = source.line_and_column(span.end.max(span.start) as usize);
        Place { file: source.name.clone(), line, column, end_line, end_column }
    }
}

/// A second place that explains a finding: the other half of a clash, or the selector that a rule uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    pub span: Span,
    /// A short phrase that says what this place has to do with the finding.
    pub message: String,
}

/// The devices that a finding is about: their number, and up to three names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceSample {
    pub count: u64,
    /// Up to three of them, by name (by id where they have none).
    pub sample: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code: `E0101`, `W0301`, `N0001`. Each has a page in `docs/diagnostics`.
    pub code: &'static str,
    pub severity: Severity,
    /// One sentence, lower case, no full stop: what is wrong.
    pub message: String,
    /// The faulty place; `None` for findings about a whole set.
    pub span: Option<Span>,
    /// A few words beside the caret.
    pub label: Option<String>,
    pub help: Option<String>,
    pub related: Vec<Related>,
    /// Devices, for conflicts.
    pub devices: Option<DeviceSample>,
    /// Whether the source lines may hold a secret. Reports then print the places without the lines.
    pub hides_lines: bool,
}

impl Diagnostic {
    fn new(
        code: &'static str,
        severity: Severity,
        span: impl Into<Option<Span>>,
        message: String,
    ) -> Diagnostic {
        let span = span.into();
        Diagnostic {
            code,
            severity,
            message,
            span,
            label: None,
            help: None,
            related: Vec::new(),
            devices: None,
            hides_lines: false,
        }
    }

    /// An error at a place.
    pub fn error(
        code: &'static str,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::new(code, Severity::Error, span, message.into())
    }

    /// A warning at a place.
    pub fn warning(
        code: &'static str,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::new(code, Severity::Warning, span, message.into())
    }

    /// A note at a place.
    pub fn note(code: &'static str, span: impl Into<Option<Span>>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, Severity::Note, span, message.into())
    }

    /// With a few words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.related.push(Related { span, message: message.into() });
        self
    }

    /// With the devices it is about.
    #[must_use]
    pub fn devices(mut self, devices: DeviceSample) -> Diagnostic {
        self.devices = Some(devices);
        self
    }
}

/// The known name nearest to `word`, if at most a third of it differs: probably a typing slip.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let near =
        known.into_iter().map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let (distance, name) = near.min_by_key(|(distance, name)| (*distance, name.len()))?;
    (distance <= 1.max(word.chars().count().max(name.chars().count()) / 3)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_scalars_not_bytes() {
        let sources = Sources::from_text("a.yaml", "x: é\ny: ü z\n");
        let start = sources.files[0].text.find('z').unwrap() as u32;
        let place = sources.place(Span { source: SourceId(0), start, end: start + 1 });
        assert_eq!((place.line, place.column, place.end_line, place.end_column), (2, 6, 2, 7));
    }

    #[test]
    fn every_offset_has_the_line_of_its_newlines_and_the_column_of_its_scalars() {
        for text in ["", "\n", "a", "a\n", "\n\na", "é\r\nü\n\nend"] {
            let sources = Sources::from_text("a.yaml", text);
            for offset in 0..text.len() + 3 {
                let span = Span { source: SourceId(0), start: offset as u32, end: 0 };
                let before = &text[..(0..=offset).rev().find(|at| text.is_char_boundary(*at)).unwrap()];
                let line = before.matches('\n').count() as u32 + 1;
                let column = before.rsplit('\n').next().unwrap().chars().count() as u32 + 1;
                let place = sources.place(span);
                assert_eq!((place.line, place.column), (line, column), "{text:?} at {offset}");
                assert_eq!((place.end_line, place.end_column), (line, column), "{text:?} at {offset}");
            }
        }
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        let known = ["computerDnsName", "osPlatform", "machineTags"];
        assert_eq!(did_you_mean("osplatfrom", known), Some("osPlatform"));
        assert_eq!(did_you_mean("banana", known), None);
    }
}
