//! The names that selectors and templates may use: named selectors and lookup columns.
//!
//! Reads lookup tables, because their columns are names; does not read selectors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::keys;
use super::lookup::{self, KeyedRows, Lookup};
use super::maps::Maps;
use super::reader::Reader;
use super::syntax::{Entry, shown};
use super::table::{MAX_COLUMNS, Table};
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};

/// The most lookups: a field names one by a 16-bit number.
const MAX_LOOKUPS: usize = 1_000;

/// What names stand for.
#[derive(Default)]
pub(super) struct Names {
    /// Index of each named selector.
    pub(super) selectors: HashMap<String, usize>,
    /// The names of selectors, in file order.
    pub(super) selector_names: Vec<String>,
    /// The lookups that can be used.
    lookups: Vec<Lookup>,
    /// Columns of lookups without a header: the key, and those that are read.
    open_columns: RefCell<HashMap<usize, Vec<String>>>,
    /// The maps that templates can use.
    pub(super) maps: Maps,
    /// Names of lookups whose file could not be used: their columns are not known, and not reported again.
    broken: Vec<String>,
}

impl Names {
    /// Every field name.
    pub(super) fn fields(&self) -> Vec<&str> {
        Field::ALL.iter().map(|field| field.name()).collect()
    }

    /// The field of `NAME.COLUMN`; reports what is unknown.
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

    /// The lookups, once everything that reads their columns was read.
    pub(super) fn into_lookups(mut self) -> (Vec<Lookup>, Maps) {
        for (index, columns) in self.open_columns.into_inner() {
            self.lookups[index].columns = columns;
        }
        (self.lookups, self.maps)
    }

    /// Reads an entry of `lookups` and its file.
    pub(super) fn add_lookup(&mut self, reader: &mut Reader<'_>, entry: &Entry) {
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
                if lookup.is_void {
                    self.open_columns.get_mut().insert(self.lookups.len(), lookup.columns.clone());
                }
                self.lookups.push(lookup);
            }
            None => self.broken.push(entry.key.clone()),
        }
    }
}

/// The place of a column that nothing lists.
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

fn lookup(reader: &mut Reader<'_>, entry: &Entry) -> Option<Lookup> {
    let fields = reader.fields(&entry.value, keys::LOOKUP, "a lookup")?;
    let key = fields.get("key").and_then(|key| Some((reader.filled_text(key, "`key`")?, key.span)));
    let matches = fields.get("match").and_then(|matches| {
        let words: Vec<&str> = matching_fields().map(Field::name).collect();
        Field::parse(reader.word(matches, "`match`", &words)?)
    });
    let file = fields.get("file").and_then(|file| Some((reader.filled_text(file, "`file`")?, file.span)));
    let (key, matches, file) = (key?, matches?, file?);
    let allow_empty = reader.allow_empty(&fields)?;
    let on_conflict = match fields.get("onConflict") {
        None => OnConflict::Error,
        Some(node) => OnConflict::parse(reader.word(node, "`onConflict`", &OnConflict::WORDS)?)?,
    };
    let table = reader.table(file.0, file.1, fields.get("delimiter"), allow_empty)?;
    let (name, span) = (entry.key.clone(), entry.key_span);
    if table.is_void() {
        let (columns, rows) = (vec![key.0.to_owned()], Arc::default());
        return Some(Lookup { name, file: file.0.to_owned(), matches, columns, is_void: true, rows, span });
    }
    let key_column = key_column(reader, &table, file, key)?;
    // A row that ends before its key could be about any device.
    if reader.refuse_absent(&table, file.0, file.1, &[key_column]).is_some() {
        return None;
    }
    let columns = table.columns.clone();
    let keyed = lookup::keyed(table, key_column);
    report_clashes(reader, file, &keyed, on_conflict);
    report_rows(reader, file, &keyed, allow_empty)?;
    let rows = keyed.rows.into();
    Some(Lookup { name, file: file.0.to_owned(), matches, columns, is_void: false, rows, span })
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

/// The most clashes that are told one by one.
const TOLD: usize = 20;

/// How many keys a warning names.
const SAMPLE: usize = 3;

/// Says which rows of one key differ, and which rows end early.
fn report_clashes(reader: &mut Reader<'_>, file: (&str, Span), keyed: &KeyedRows, on_conflict: OnConflict) {
    let (name, span) = (shown(file.0), file.1);
    let more = |count: usize| match count.saturating_sub(SAMPLE) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    if !keyed.torn.is_empty() {
        let lines: Vec<String> = keyed.torn.iter().take(SAMPLE).map(u64::to_string).collect();
        let message = match keyed.torn.len() {
            1 => format!("line {} of `{name}` ends before its last column", lines[0]),
            count => format!(
                "{count} rows of `{name}` end before their last column: lines {}{}",
                lines.join(", "),
                more(count)
            ),
        };
        reader.report(Diagnostic::warning("W0302", span, message).help(
            "what a row leaves out is unknown, and nothing is written that depends on it; an empty cell keeps its delimiter",
        ));
    }
    let clashes = &keyed.clashes;
    if on_conflict == OnConflict::Missing && !clashes.is_empty() {
        let keys: Vec<String> = clashes
            .iter()
            .take(SAMPLE)
            .map(|clash| format!("`{}` (lines {} and {})", shown(&clash.key), clash.lines.0, clash.lines.1))
            .collect();
        let (rows, differ) = match clashes.len() {
            1 => ("1 row".to_owned(), "differs"),
            many => (format!("{many} rows"), "differ"),
        };
        let message = format!(
            "{rows} of `{name}` {differ} from an earlier one of the same key: {}{}",
            keys.join(", "),
            more(clashes.len())
        );
        reader.report(Diagnostic::warning("W0302", span, message).help(
            "the columns in which they differ are unknown on these devices, and nothing is written that depends on them",
        ));
        return;
    }
    for clash in clashes.iter().take(TOLD) {
        let (first, second) = clash.lines;
        let message = format!(
            "`{name}` holds the key `{}` twice with different rows: lines {first} and {second}",
            shown(&clash.key)
        );
        let finding = Diagnostic::error("E0305", span, message);
        reader.report(finding.help(
            "one device cannot have two rows: keep one, choose another key column, or write `onConflict: missing`",
        ));
    }
    if clashes.len() > TOLD {
        let message = format!("`{name}` holds {} more such keys", clashes.len() - TOLD);
        reader.report(Diagnostic::error("E0305", span, message));
    }
}

fn report_rows(
    reader: &mut Reader<'_>,
    file: (&str, Span),
    keyed: &KeyedRows,
    allow_empty: bool,
) -> Option<()> {
    let (name, span, without_key) = (shown(file.0), file.1, keyed.without_key);
    if keyed.rows.keys.is_empty() && (without_key > 0 || !allow_empty) {
        let finding = Diagnostic::error("E0304", span, format!("no row of `{name}` has a key"));
        reader.report(
            finding.help("an empty export would take tags away; restore the file, or remove the lookup"),
        );
        return None;
    }
    if without_key > 0 {
        let rows = if without_key == 1 { "1 row has".to_owned() } else { format!("{without_key} rows have") };
        let finding = Diagnostic::warning("W0301", span, format!("{rows} no key in `{name}`"));
        reader.report(finding.help("rows without a key belong to no device and are left out"));
    }
    Some(())
}

crate::words! {
    /// What two rows of one key that differ are.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) enum OnConflict {
        /// An error.
        #[default]
        Error = "error",
        /// A warning: what they differ in is unknown.
        Missing = "missing",
    }
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

/// Names of anything but rules: text that can be shown on one line.
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
