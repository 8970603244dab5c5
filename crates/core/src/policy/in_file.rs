//! `inFile`: the values of a condition from a list file or from a column of a table.
//!
//! Reads no bytes; `data` and `delimited` parse them.

use super::condition::distinct;
use super::keys;
use super::node::{MappingEntry, Node, NodeKind, shown};
use super::reader::{Fields, Reader};
use super::{ListFile, Test, TextList};
use crate::diagnostic::Diagnostic;

impl Reader<'_> {
    pub(super) fn in_file(&mut self, what: &str, node: &Node) -> Option<Test> {
        let (file, values): (ListFile, Vec<String>) = match &node.kind {
            NodeKind::Map(_) => {
                let fields = self.fields(node, keys::IN_FILE, what)?;
                let (file, allow_empty) = (fields.get("file")?, self.allow_empty(&fields)?);
                let is_unlisted_ok = self.unlisted_ok(&fields);
                let Some(column) = fields.get("column") else {
                    return self.long_list(what, node, &fields, file, allow_empty);
                };
                let (path, column_name) = (self.filled_text(file, "`file`")?, self.text(column, "`column`")?);
                let table = self.table(path, file.span, fields.get("delimiter"), allow_empty)?;
                if table.is_void() {
                    return Some(void_list(self.list_source(path, file.span, Some(column_name))));
                }
                let index = self.column_of(&table, path, column_name, column.span)?;
                let mut filters = Vec::new();
                let entries = match fields.get("where") {
                    Some(node) => self.map(node, "`where`")?,
                    None => &[],
                };
                for entry in entries {
                    let wanted = self.text(&entry.value, "a value of `where`")?;
                    filters.push((self.column_of(&table, path, &entry.key, entry.key_span)?, wanted.trim()));
                }
                let read: Vec<usize> = filters.iter().map(|(at, _)| *at).chain([index]).collect();
                if self.refuse_absent(&table, path, file.span, &read).is_some() {
                    return None;
                }
                let rows = table.cells.chunks(table.columns.len().max(1));
                let kept = rows.filter(|row| filters.iter().all(|(at, wanted)| row[*at].trim() == *wanted));
                let values: Vec<String> = kept
                    .map(|row| row[index].trim())
                    .filter(|cell| !cell.is_empty())
                    .map(str::to_owned)
                    .collect();
                if values.is_empty() && !(allow_empty && table.lines.is_empty()) {
                    let message =
                        format!("the column `{}` of `{}` is empty", shown(column_name), shown(path));
                    let message = if filters.is_empty() {
                        message
                    } else {
                        format!("no row of `{}` has what `where` asks for", shown(path))
                    };
                    self.report(Diagnostic::error("E0304", column.span, message));
                    return None;
                }
                let kept_of = match fields.get("where") {
                    Some(_) => format!("{column_name} where {}", pairs(entries)),
                    None => column_name.to_owned(),
                };
                let source = self.list_source(path, file.span, Some(&kept_of));
                (ListFile { is_unlisted_ok, ..source }, values)
            }
            _ => {
                let path = self.filled_text(node, what)?;
                (self.list_source(path, node.span, None), self.list_file(path, node.span, false)?)
            }
        };
        let values = distinct(values.iter().map(String::as_str));
        Some(Test::Text(TextList { values, file: Some(file) }))
    }

    /// Whether `unlisted: ok` says that values need not be devices.
    pub(super) fn unlisted_ok(&mut self, fields: &Fields<'_>) -> bool {
        fields.get("unlisted").is_some_and(|unlisted| self.word(unlisted, "`unlisted`", &["ok"]).is_some())
    }

    /// `{ file, allowEmpty }`: one value a line. Keys of tables are allowed only together with a column.
    fn long_list(
        &mut self,
        what: &str,
        node: &Node,
        fields: &Fields<'_>,
        file: &Node,
        allow_empty: bool,
    ) -> Option<Test> {
        let path = self.filled_text(file, "`file`")?;
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        let is_table = matches!(&*extension, "csv" | "json" | "ndjson" | "jsonl")
            || fields.get("where").is_some()
            || fields.get("delimiter").is_some();
        if is_table {
            let finding = Diagnostic::error("E0105", node.span, format!("{what} of a table needs `column`"));
            self.report(finding.help("name the column whose values are meant"));
            return None;
        }
        let values = self.list_file(path, file.span, allow_empty)?;
        let values = distinct(values.iter().map(String::as_str));
        let is_unlisted_ok = self.unlisted_ok(fields);
        let source = self.list_source(path, file.span, None);
        Some(Test::Text(TextList { values, file: Some(ListFile { is_unlisted_ok, ..source }) }))
    }
}

/// The values of a table without rows and columns, where the policy allows that.
fn void_list(file: ListFile) -> Test {
    Test::Text(TextList { values: distinct(std::iter::empty()), file: Some(file) })
}

/// `env=prod, site=A`.
fn pairs(entries: &[MappingEntry]) -> String {
    let pairs = entries.iter().map(|entry| match &entry.value.kind {
        NodeKind::Text(text) => format!("{}={}", entry.key, text.trim()),
        _ => entry.key.clone(),
    });
    pairs.collect::<Vec<_>>().join(", ")
}
