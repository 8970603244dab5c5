//! The data files that a policy names: their paths and their rows.
//!
//! Reads no file: `store` puts the bytes into [`Sources::data`].

use super::delimited;
use super::json_table::{json_table, misnamed, ndjson_table};
use super::node::{Node, NodeKind, shown};
use super::reader::{Fields, Reader};
use super::syntax;
use super::table::Table;
use crate::diagnostic::{Diagnostic, SourceId, Sources, Span};

/// A data file that a policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRequest {
    /// The root that it is below: that of the file which names it.
    pub root: u32,
    /// The path below that root, normalised, with `/`.
    pub path: String,
    /// The place that names it.
    pub span: Span,
}

/// The data files of a set, in the order in which the policies name them. Leaves out paths that leave the root;
/// [`super::resolve`] reports those.
pub fn data_files(sources: &Sources) -> Vec<DataRequest> {
    let mut requests = Vec::new();
    for (index, source) in sources.files.iter().enumerate() {
        let (root, _) = syntax::parse(&source.text, SourceId(index as u32));
        let mut named = Vec::new();
        if let Some(root) = &root {
            collect(root, &mut named);
        }
        for (written, span) in named {
            if let Ok(path) = below_root(&source.path, written) {
                requests.push(DataRequest { root: source.root, path, span });
            }
        }
    }
    requests
}

/// Every text at a key that may hold a path: `file`, `inFile`, `queryFile`. A `file` at another place is an unknown key, and
/// reading one file too many does no harm.
fn collect<'n>(node: &'n Node, named: &mut Vec<(&'n str, Span)>) {
    match &node.kind {
        NodeKind::List(items) => items.iter().for_each(|item| collect(item, named)),
        NodeKind::Map(entries) => {
            for entry in entries.iter().filter(|entry| !entry.key.starts_with("x-")) {
                match (&*entry.key, &entry.value.kind) {
                    ("file" | "inFile" | "queryFile", NodeKind::Text(path)) => {
                        named.push((path, entry.value.span))
                    }
                    _ => collect(&entry.value, named),
                }
            }
        }
        _ => {}
    }
}

/// Turns a path relative to the file that names it into a path below the root.
pub(super) fn below_root(naming: &str, written: &str) -> Result<String, &'static str> {
    if written.is_empty() {
        return Err("is empty");
    }
    if written.starts_with(['/', '\\']) || written.as_bytes().get(1) == Some(&b':') {
        return Err("is absolute");
    }
    if written.contains('\0') {
        return Err("holds a NUL character");
    }
    let mut parts: Vec<&str> = naming.split('/').collect();
    parts.pop();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or("leaves the policy root")?),
            part => parts.push(part),
        }
    }
    if parts.is_empty() || written.ends_with('/') {
        return Err("names a directory");
    }
    Ok(parts.join("/"))
}

impl Reader<'_> {
    /// The index of a table's column.
    pub(super) fn column_of(&mut self, table: &Table, path: &str, name: &str, span: Span) -> Option<usize> {
        let index = table.columns.iter().position(|known| known == name);
        if index.is_none() {
            let known: Vec<&str> = table.columns.iter().map(String::as_str).collect();
            let what = format!("column `{}` of `{}`", shown(name), shown(path));
            self.unknown("E0306", span, &what, name, &known);
        }
        index
    }

    /// Refuses rows that end before one of these columns or leave it out: an absent cell does not mean an empty one.
    pub(super) fn refuse_absent(
        &mut self,
        table: &Table,
        path: &str,
        span: Span,
        columns: &[usize],
    ) -> Option<()> {
        let width = table.columns.len();
        let absent = table.unknown.iter().filter(|at| columns.contains(&(*at % width))).min()?;
        let column = &table.columns[absent % width];
        let (file, line, column) = (shown(path), table.lines[absent / width], shown(column));
        let (what, empty) = match table.has_objects {
            true => (format!("the row in line {line} leaves the column `{column}` out"), "is written `null`"),
            false => (format!("line {line} ends before the column `{column}`"), "keeps its delimiter"),
        };
        let finding = Diagnostic::error("E0303", span, format!("`{file}` cannot be understood: {what}"));
        self.report(finding.help(format!("restore the row; an empty cell {empty}")));
        Some(())
    }

    /// The bytes of a data file, as text.
    pub(super) fn data_text(&mut self, written: &str, span: Span) -> Option<&str> {
        let source = self.sources.file(span.source);
        let path = match below_root(&source.path, written) {
            Ok(path) => path,
            Err(why) => {
                let finding = Diagnostic::error("E0302", span, format!("the path `{}` {why}", shown(written)))
                    .help("data files lie in the policy's directory or below it; write the path relative to this file");
                self.report(finding);
                return None;
            }
        };
        let bytes = match self.sources.data.get(&(source.root, path)) {
            Some(Ok(bytes)) => bytes,
            found => {
                let why = found.and_then(|found| found.as_ref().err());
                let why = why.map_or("it was not found", |why| why.as_str());
                let message = format!("`{}` cannot be read: {}", shown(written), shown(why));
                self.report(
                    Diagnostic::error("E0301", span, message).help("the path is relative to this file"),
                );
                return None;
            }
        };
        match decode(bytes) {
            Ok(text) => Some(text),
            Err(why) => {
                let message = format!("`{}` is {why}", shown(written));
                let finding = Diagnostic::error("E0303", span, message);
                self.report(finding.help(
                    "save the file as UTF-8: in Excel, \"CSV UTF-8\"; in PowerShell, `-Encoding utf8`",
                ));
                None
            }
        }
    }

    /// The rows of a table file, parsed by its extension; `delimiter` is the policy's word for the separator of a CSV file.
    pub(super) fn table(
        &mut self,
        written: &str,
        span: Span,
        delimiter: Option<&Node>,
        allow_empty: bool,
    ) -> Option<Table> {
        let extension = written.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        let named = match delimiter {
            Some(node) => Some(self.delimiter(node, extension == "csv")?),
            None => None,
        };
        let parsed = match &*extension {
            "csv" => delimited::table(self.data_text(written, span)?, named),
            "json" => in_whole_lines(self.data_text(written, span)?).and_then(json_table),
            "ndjson" | "jsonl" => in_whole_lines(self.data_text(written, span)?).and_then(ndjson_table),
            _ => {
                let message = format!("`{}` is no table file", shown(written));
                self.report(
                    Diagnostic::error("E0303", span, message).help("tables end in .csv, .json or .ndjson"),
                );
                return None;
            }
        };
        match parsed {
            Ok(table) if table.lines.is_empty() && !allow_empty => {
                self.no_rows(written, span);
                None
            }
            Ok(table) => Some(table),
            Err(why) => {
                let misnamed = self.data_text(written, span).and_then(|text| misnamed(text, &extension));
                let why = misnamed.map_or_else(|| shown(&why), |(what, _)| format!("it is {what}"));
                let message = format!("`{}` cannot be understood: {why}", shown(written));
                let finding = Diagnostic::error("E0303", span, message);
                self.report(match misnamed {
                    Some((_, help)) => finding.help(help),
                    None => finding,
                });
                None
            }
        }
    }

    fn delimiter(&mut self, node: &Node, is_csv: bool) -> Option<u8> {
        let text = self.text(node, "`delimiter`")?;
        let finding = match delimited::delimiter(text) {
            Some(_) if !is_csv => Diagnostic::error("E0208", node.span, "only .csv files have a delimiter"),
            Some(delimiter) => return Some(delimiter),
            None => Diagnostic::error(
                "E0209",
                node.span,
                format!("unknown value `{}` of `delimiter`", shown(text)),
            )
            .help("write one of `,` `;` `\"\\t\"`, in quotes"),
        };
        self.report(finding);
        None
    }

    /// The values of a list file: one a line; `#` at the start of a line starts a comment.
    pub(super) fn list_file(&mut self, written: &str, span: Span, allow_empty: bool) -> Option<Vec<String>> {
        let text = match in_whole_lines(self.data_text(written, span)?) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("`{}` cannot be understood: {why}", shown(written));
                self.report(Diagnostic::error("E0303", span, message));
                return None;
            }
        };
        if let Some((at, odd)) = text.char_indices().find(|(_, scalar)| is_odd_in_list(*scalar)) {
            let line = text[..at].matches('\n').count() + 1;
            let message = format!(
                "`{}` cannot be understood: line {line} holds the character U+{:04X}",
                shown(written),
                u32::from(odd)
            );
            let finding = Diagnostic::error("E0303", span, message);
            self.report(finding.help("a list has one value a line; lines end with LF or CR LF"));
            return None;
        }
        let values: Vec<String> =
            text.lines().map(uncommented).filter(|value| !value.is_empty()).map(str::to_owned).collect();
        if values.is_empty() && !allow_empty {
            self.no_rows(written, span);
            return None;
        }
        Some(values)
    }

    /// Whether the policy allows a source without rows.
    pub(super) fn allow_empty(&mut self, fields: &Fields<'_>) -> Option<bool> {
        fields.get("allowEmpty").map_or(Some(false), |node| self.boolean(node, "`allowEmpty`"))
    }

    fn no_rows(&mut self, written: &str, span: Span) {
        let finding = Diagnostic::error("E0304", span, format!("`{}` holds no rows", shown(written)))
            .help("an empty export would take tags away; restore the file; if no rows is right, write `allowEmpty: true`");
        self.report(finding);
    }
}

/// Refuses text with a carriage return in the middle of a line.
fn in_whole_lines(text: &str) -> Result<&str, String> {
    let bytes = text.as_bytes();
    let is_lone = |at: &usize| bytes.get(at + 1).is_some_and(|next| *next != b'\n');
    match text.match_indices('\r').map(|(at, _)| at).find(is_lone) {
        None => Ok(text),
        Some(at) => Err(delimited::lone_return_in(text[..at].matches('\n').count() as u64 + 1)),
    }
}

/// The text of a data file. Without its byte order mark, UTF-16 is valid UTF-8 full of NUL characters.
fn decode(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err("UTF-32 text".to_owned());
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.contains(&0) {
        return Err("UTF-16 text, or no text".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        format!("not UTF-8 text (line {line}); it may be Windows-1252 or another code page")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Whether a list may not contain a character. Some programs end lines with these, and such a list would be one long value.
fn is_odd_in_list(scalar: char) -> bool {
    matches!(scalar, '\u{2028}' | '\u{2029}') || scalar.is_control() && !matches!(scalar, '\n' | '\r' | '\t')
}

fn uncommented(line: &str) -> &str {
    let line = line.trim();
    // Names contain `#` (`Kiosk #4`), so it starts a comment only at the start of a line.
    if line.starts_with('#') { "" } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_naming_file_and_stay_below_the_root() {
        assert_eq!(below_root("a/b.yaml", "data/x.csv").as_deref(), Ok("a/data/x.csv"));
        assert_eq!(below_root("a/b.yaml", "../x.csv").as_deref(), Ok("x.csv"));
        assert_eq!(below_root("a/b.yaml", "./c/../x.csv").as_deref(), Ok("a/x.csv"));
        for outside in ["../../x.csv", "/etc/passwd", "..", "C:/x", "", "c/../../../x", "a\0b", "x/"] {
            assert!(below_root("a/b.yaml", outside).is_err(), "{outside:?}");
        }
    }

    #[test]
    fn list_files_hold_one_value_a_line_and_comments() {
        let lines = ["srv01", "  srv 02  ", "# all", "srv#3", "srv04 # old", ""];
        let values: Vec<_> = lines.iter().map(|line| uncommented(line)).collect();
        assert_eq!(values, ["srv01", "srv 02", "", "srv#3", "srv04 # old", ""]);
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        assert_eq!(decode(b"\xef\xbb\xbfk\n"), Ok("k\n"));
        assert!(decode(b"\xff\xfek\0").unwrap_err().contains("UTF-16"));
        assert!(decode(b"\xfe\xff\0k").unwrap_err().contains("UTF-16"));
        assert!(decode(b"k\0;\0").unwrap_err().contains("UTF-16"));
        assert!(decode(b"\xff\xfe\0\0k\0\0\0").unwrap_err().contains("UTF-32"));
        let why = decode(b"k\r\nM\xfcnchen\n").unwrap_err();
        assert!(why.contains("line 2") && why.contains("Windows-1252"), "{why}");
    }
}
