//! The names that selectors and templates may use: named selectors and lookup columns.
//!
//! Reads lookup tables, because their columns are names; does not read selectors.

use std::collections::HashMap;

use super::Lookup;
use super::keys;
use super::maps::Maps;
use super::reader::Reader;
use super::syntax::{Entry, shown};
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};
use crate::text;

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
    pub(super) lookups: Vec<Lookup>,
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
        let Some(at) = lookup.columns.iter().position(|known| known == column) else {
            let known: Vec<&str> = lookup.columns.iter().map(String::as_str).collect();
            let what = format!("column `{}` of the lookup `{}`", shown(column), shown(name));
            reader.unknown("E0213", span, &what, column, &known);
            return None;
        };
        Some(Field::Lookup { lookup: index as u16, column: at as u16 })
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
            Some(lookup) => self.lookups.push(lookup),
            None => self.broken.push(entry.key.clone()),
        }
    }
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
    let table = reader.table(file.0, file.1, fields.get("delimiter"), allow_empty)?;
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    if reader.refuse_absent(&table, file.0, file.1, &columns).is_some() {
        return None;
    }
    let known: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    let Some(key_column) = known.iter().position(|column| *column == key.0) else {
        let what = format!("column `{}` of `{}`", shown(key.0), shown(file.0));
        reader.unknown("E0306", key.1, &what, key.0, &known);
        return None;
    };
    let mut lookup = Lookup {
        name: entry.key.clone(),
        file: file.0.to_owned(),
        matches,
        columns: table.columns,
        keys: Vec::with_capacity(table.lines.len()),
        cells: Vec::with_capacity(table.cells.len()),
        span: entry.key_span,
    };
    let width = lookup.columns.len();
    let mut rows: HashMap<String, (usize, u64)> = HashMap::with_capacity(table.lines.len());
    let (mut clashes, mut without_key) = (Vec::new(), 0usize);
    let mut cells = table.cells.into_iter();
    for line in table.lines {
        let row: Vec<Box<str>> = cells.by_ref().take(width).collect();
        let key = row[key_column].to_string();
        if key.is_empty() {
            without_key += 1;
            continue;
        }
        let folded = text::fold(&key).into_owned();
        if let Some((earlier, first)) = rows.get(&folded) {
            let kept = &lookup.cells[earlier * width..(earlier + 1) * width];
            let differs = |column: usize| column != key_column && kept[column] != row[column];
            if (0..width).any(differs) {
                clashes.push((key, *first, line));
            }
            continue;
        }
        rows.insert(folded, (lookup.keys.len(), line));
        lookup.keys.push(key);
        lookup.cells.extend(row);
    }
    report_rows(reader, &lookup, file.1, &clashes, without_key, allow_empty)?;
    Some(lookup)
}

fn report_rows(
    reader: &mut Reader<'_>,
    lookup: &Lookup,
    span: Span,
    clashes: &[(String, u64, u64)],
    without_key: usize,
    allow_empty: bool,
) -> Option<()> {
    for (key, first, second) in clashes.iter().take(20) {
        let message = format!(
            "`{}` holds the key `{}` twice with different rows: lines {first} and {second}",
            shown(&lookup.file),
            shown(key)
        );
        let finding = Diagnostic::error("E0305", span, message);
        reader
            .report(finding.help("one device cannot have two rows: keep one, or choose another key column"));
    }
    if clashes.len() > 20 {
        let message = format!("`{}` holds {} more such keys", shown(&lookup.file), clashes.len() - 20);
        reader.report(Diagnostic::error("E0305", span, message));
    }
    if lookup.keys.is_empty() && (without_key > 0 || !allow_empty) {
        let finding =
            Diagnostic::error("E0304", span, format!("no row of `{}` has a key", shown(&lookup.file)));
        reader.report(
            finding.help("an empty export would take tags away; restore the file, or remove the lookup"),
        );
        return None;
    }
    if without_key > 0 {
        let rows = if without_key == 1 { "1 row has".to_owned() } else { format!("{without_key} rows have") };
        let finding =
            Diagnostic::warning("W0301", span, format!("{rows} no key in `{}`", shown(&lookup.file)));
        reader.report(finding.help("rows without a key belong to no device and are left out"));
    }
    Some(())
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
