//! The names that selectors and templates may use: named selectors and lookup columns.
//!
//! Reads lookup tables, because their columns are names. Reads no selectors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::keyed_rows::keyed;
use super::keys;
use super::lookup::{Lookup, LookupQuery, LookupSource};
use super::maps::Maps;
use super::node::{MappingEntry, shown};
use super::reader::{Fields, Reader};
use super::row_findings::{OnConflict, RowSource};
use super::table::{MAX_COLUMNS, Table};
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};

/// The most lookups. A field refers to one by a 16-bit number.
const MAX_LOOKUPS: usize = 1_000;

#[derive(Default)]
pub(super) struct Names {
    /// Index of each named selector.
    pub(super) selectors: HashMap<String, usize>,
    /// The names of selectors, in file order.
    pub(super) selector_names: Vec<String>,
    /// The lookups without errors.
    lookups: Vec<Lookup>,
    /// Columns of lookups without a list of columns (no header, or a query), by lookup: the key, then those that the policy
    /// reads.
    open_columns: RefCell<HashMap<usize, Vec<String>>>,
    /// The maps without errors.
    pub(super) maps: Maps,
    /// Names of lookups with an unusable file: their columns are unknown, and are not reported again.
    broken: Vec<String>,
}

impl Names {
    pub(super) fn fields(&self) -> Vec<&str> {
        Field::ALL.iter().map(|field| field.name()).collect()
    }

    /// The field of `NAME.COLUMN`; reports an unknown name.
    pub(super) fn lookup_field(&self, reader: &mut Reader<'_>, path: &str, span: Span) -> Option<Field> {
        let Some((name, column)) = path.split_once('.') else {
            let finding = Diagnostic::error("E0201", span, "a lookup field is `lookup.NAME.COLUMN`");
            reader.report(finding.label("no column"));
            return None;
        };
        if self.broken.iter().any(|broken| broken == name) {
            return None;
        }
        let Some(index) = self.lookups.iter().position(|lookup| lookup.name == name) else {
            let known: Vec<&str> = self.lookups.iter().map(|lookup| lookup.name.as_str()).collect();
            reader.unknown("E0212", span, &format!("lookup `{}`", shown(name)), name, &known);
            return None;
        };
        let lookup = &self.lookups[index];
        if let Some(columns) = self.open_columns.borrow_mut().get_mut(&index) {
            let at = open_column(reader, columns, column, span)?;
            return Some(Field::Lookup { lookup: index as u16, column: at as u16 });
        }
        let Some(at) = lookup.columns.iter().position(|known| known == column) else {
            let known: Vec<&str> = lookup.columns.iter().map(String::as_str).collect();
            let what = format!("column `{}` of the lookup `{}`", shown(column), shown(name));
            reader.unknown("E0213", span, &what, column, &known);
            return None;
        };
        Some(Field::Lookup { lookup: index as u16, column: at as u16 })
    }

    /// The lookups, after everything that uses their columns was read.
    pub(super) fn into_lookups(mut self) -> (Vec<Lookup>, Maps) {
        for (index, columns) in self.open_columns.into_inner() {
            self.lookups[index].columns = columns;
        }
        (self.lookups, self.maps)
    }

    /// Reads an entry of `lookups` and its file.
    pub(super) fn add_lookup(&mut self, reader: &mut Reader<'_>, entry: &MappingEntry) {
        let lookup = if entry.key.contains(['.', '{', '}', '|']) {
            let message = format!("the lookup name `{}` holds one of . {{ }} |", shown(&entry.key));
            let finding = Diagnostic::error("E0113", entry.key_span, message);
            reader.report(
                finding.help("fields are written `lookup.NAME.COLUMN`, so the name has to end at the dot"),
            );
            None
        } else if self.lookups.len() == MAX_LOOKUPS {
            reader.report(Diagnostic::error(
                "E0110",
                entry.key_span,
                format!("more than {MAX_LOOKUPS} lookups"),
            ));
            None
        } else {
            lookup(reader, entry)
        };
        match lookup {
            Some(lookup) => {
                if lookup.is_void || lookup.query().is_some() {
                    self.open_columns.get_mut().insert(self.lookups.len(), lookup.columns.clone());
                }
                self.lookups.push(lookup);
            }
            None => self.broken.push(entry.key.clone()),
        }
    }
}

/// The index of a column of a lookup without a list of columns.
fn open_column(
    reader: &mut Reader<'_>,
    columns: &mut Vec<String>,
    column: &str,
    span: Span,
) -> Option<usize> {
    if let Some(at) = columns.iter().position(|known| known == column) {
        return Some(at);
    }
    if columns.len() == MAX_COLUMNS {
        let message = format!("more than {MAX_COLUMNS} columns of one lookup");
        reader.report(Diagnostic::error("E0110", span, message));
        return None;
    }
    columns.push(column.to_owned());
    Some(columns.len() - 1)
}

fn lookup(reader: &mut Reader<'_>, entry: &MappingEntry) -> Option<Lookup> {
    let fields = reader.fields(&entry.value, keys::LOOKUP, "a lookup")?;
    let key = fields.get("key").and_then(|key| Some((reader.filled_text(key, "`key`")?, key.span)));
    let matches = fields.get("match").and_then(|matches| {
        let words: Vec<&str> = matching_fields().map(Field::name).collect();
        Field::parse(reader.word(matches, "`match`", &words)?)
    });
    let source = source(reader, &fields, entry.key_span);
    let (key, matches, source) = (key?, matches?, source?);
    let allow_empty = reader.allow_empty(&fields)?;
    let on_conflict = match fields.get("onConflict") {
        None => OnConflict::Error,
        Some(node) => OnConflict::parse(reader.word(node, "`onConflict`", &OnConflict::WORDS)?)?,
    };
    let delimiter = fields.get("delimiter");
    let (name, span) = (entry.key.clone(), entry.key_span);
    let found = Lookup {
        name,
        matches,
        source: LookupSource::File(String::new()),
        columns: vec![key.0.to_owned()],
        is_void: false,
        rows: Arc::default(),
        span,
    };
    let file = match source {
        Source::Hunting(query, is_empty_ok) => {
            if let Some(delimiter) = delimiter {
                reader.report(Diagnostic::error("E0208", delimiter.span, "only .csv files have a delimiter"));
            }
            let allow_empty = allow_empty || is_empty_ok;
            let source = LookupSource::Hunting(LookupQuery { query, allow_empty, on_conflict });
            return Some(Lookup { source, ..found });
        }
        Source::File(path, span) => (path, span),
    };
    let found = Lookup { source: LookupSource::File(file.0.to_owned()), ..found };
    let table = reader.table(file.0, file.1, delimiter, allow_empty)?;
    if table.is_void() {
        return Some(Lookup { is_void: true, ..found });
    }
    let key_column = key_column(reader, &table, file, key)?;
    // A row that ends before its key could be about any device.
    if reader.refuse_absent(&table, file.0, file.1, &[key_column]).is_some() {
        return None;
    }
    let (columns, has_objects) = (table.columns.clone(), table.has_objects);
    let keyed = keyed(table, key_column);
    let rows = RowSource { source: file.0, unit: "line", has_objects, span: file.1 };
    rows.findings(&keyed, on_conflict, allow_empty).into_iter().for_each(|finding| reader.report(finding));
    let is_lost = keyed.rows.keys.is_empty() && (keyed.without_key > 0 || !allow_empty);
    (!is_lost).then(|| Lookup { columns, rows: keyed.rows.into(), ..found })
}

/// The source of a lookup's rows, as written.
enum Source<'n> {
    File(&'n str, Span),
    /// The query, and whether its result may be empty.
    Hunting(Arc<str>, bool),
}

fn source<'n>(reader: &mut Reader<'_>, fields: &Fields<'n>, span: Span) -> Option<Source<'n>> {
    match (fields.get("file"), fields.get("hunting")) {
        (Some(file), None) => Some(Source::File(reader.filled_text(file, "`file`")?, file.span)),
        (None, Some(hunting)) => {
            let fields = reader.fields(hunting, keys::LOOKUP_HUNTING, "`hunting` of a lookup")?;
            let query = reader.query(&fields, hunting.span)?;
            Some(Source::Hunting(query, reader.allow_empty(&fields)?))
        }
        (None, None) => {
            let finding = Diagnostic::error("E0105", span, "`file` or `hunting` is missing in a lookup");
            reader.report(finding.label("has no source").help("name a file, or a hunting query"));
            None
        }
        (Some(_), Some(hunting)) => {
            let message = "a lookup has exactly one of `file` and `hunting`";
            reader.report(Diagnostic::error("E0214", hunting.span, message));
            None
        }
    }
}

fn key_column(
    reader: &mut Reader<'_>,
    table: &Table,
    file: (&str, Span),
    key: (&str, Span),
) -> Option<usize> {
    let known: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    let found = known.iter().position(|column| *column == key.0);
    if found.is_none() {
        let what = format!("column `{}` of `{}`", shown(key.0), shown(file.0));
        reader.unknown("E0306", key.1, &what, key.0, &known);
    }
    found
}

/// The fields that a lookup may match.
pub(super) fn matching_fields() -> impl Iterator<Item = Field> {
    [
        Field::Id,
        Field::ComputerDnsName,
        Field::DeviceName,
        Field::AadDeviceId,
        Field::VmId,
        Field::VmResourceId,
    ]
    .into_iter()
}

/// Checks a name of anything but a rule: it must be text that fits on one line.
pub(super) fn check_name(reader: &mut Reader<'_>, what: &str, name: &str, span: Span) {
    let is_name = (1..=80).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(char::is_control);
    if !is_name {
        let message = format!("`{}` cannot name a {what}", shown(name));
        let help = "a name has 1 to 80 characters, no control characters, and no white space at its ends";
        reader.report(Diagnostic::error("E0113", span, message).help(help));
    }
}
