//! Results of hunting queries, recorded or fetched: rows, or only device ids; and the parts that selectors and lookups read.
//!
//! Runs no query.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Unmatched;
use crate::diagnostic::{Diagnostic, Span};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::{self, Hunting, Lookup, LookupQuery, LookupRows, Table};
use crate::text;

/// The number of rows at which the service cuts a result. A result of this size may be incomplete.
const ROW_LIMIT: usize = 100_000;

/// Results by query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HuntingResults {
    /// By query text, trimmed.
    results: BTreeMap<String, HuntedRows>,
}

/// The result of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HuntedRows {
    /// Rows recorded as a device id only, whatever column a selector asks for.
    ids: Vec<String>,
    /// All others.
    table: Table,
}

/// A query to run, and the columns of its result that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its text, as it is sent.
    pub text: Arc<str>,
    /// Each column once.
    pub columns: Vec<String>,
}

impl HuntedRows {
    /// A result of device ids only.
    pub fn of_ids(ids: Vec<String>) -> HuntedRows {
        HuntedRows { ids, table: Table::default() }
    }

    /// Rows of these columns, cell by cell; `None`: the row does not have the cell.
    pub fn new(columns: Vec<String>, rows: impl Iterator<Item = Vec<Option<String>>>) -> HuntedRows {
        let mut table = Table { columns, has_objects: true, ..Table::default() };
        for (number, row) in (1u64..).zip(rows) {
            table.lines.push(number);
            for cell in row {
                if cell.is_none() {
                    table.unknown.insert(table.cells.len());
                }
                table.cells.push(cell.unwrap_or_default().trim().into());
            }
        }
        HuntedRows { ids: Vec::new(), table }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ids.len() + self.table.lines.len()
    }

    /// True when the query returned no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has a column. A result without rows and columns counts as having any.
    pub fn has_column(&self, name: &str) -> bool {
        self.column(name).is_some() || self.table.columns.is_empty() && self.table.lines.is_empty()
    }

    /// The index of a column. The service varies the case of names.
    fn column(&self, name: &str) -> Option<usize> {
        let columns = &self.table.columns;
        let exact = columns.iter().position(|known| known == name);
        exact.or_else(|| columns.iter().position(|known| known.eq_ignore_ascii_case(name)))
    }

    /// The device ids in a column.
    fn ids(&self, column: &str) -> impl Iterator<Item = &str> {
        let width = self.table.columns.len().max(1);
        let at = self.column(column);
        let cells = at.into_iter().flat_map(move |at| self.table.cells.iter().skip(at).step_by(width));
        let cells = cells.map(|cell| &**cell).filter(|cell| !cell.is_empty());
        self.ids.iter().map(|id| id.trim()).chain(cells)
    }

    /// Number of rows without a column, and number of rows in which it is empty.
    fn without(&self, column: &str) -> (usize, usize) {
        let width = self.table.columns.len().max(1);
        let Some(at) = self.column(column) else { return (0, 0) };
        let unknown = self.table.unknown.iter().filter(|place| **place % width == at).count();
        let blank = self.table.cells.iter().skip(at).step_by(width).filter(|cell| cell.is_empty()).count();
        (unknown, blank.saturating_sub(unknown))
    }

    /// These columns of all rows, in this order; `None` if one is missing or a row is only a device id.
    fn read(&self, columns: &[String]) -> Option<Table> {
        if !self.ids.is_empty() || !columns.iter().all(|column| self.has_column(column)) {
            return None;
        }
        let width = self.table.columns.len();
        let places: Vec<usize> = columns.iter().filter_map(|column| self.column(column)).collect();
        let mut read =
            Table { columns: columns.to_vec(), lines: self.table.lines.clone(), ..Table::default() };
        for row in 0..self.table.lines.len() {
            for place in places.iter().map(|at| row * width + at) {
                if self.table.unknown.contains(&place) {
                    read.unknown.insert(read.cells.len());
                }
                read.cells.push(self.table.cells[place].clone());
            }
        }
        Some(read)
    }
}

impl HuntingResults {
    /// The JSON of `--hunting-results`: `{ "query text": ["device id" or { "COLUMN": value, … }, …] }`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the document.
    pub fn from_json(bytes: &[u8]) -> Result<HuntingResults, String> {
        let recorded: Recorded<'_> = serde_json::from_slice(bytes).map_err(|error| {
            format!("expected an object of query texts and lists of device ids or rows: {error}")
        })?;
        let mut results = BTreeMap::new();
        for (query, rows) in recorded.0 {
            if rows.len() >= ROW_LIMIT {
                return Err(format!(
                    "a result has {} rows: the service cuts at {ROW_LIMIT}, so it may not be whole",
                    rows.len()
                ));
            }
            let (ids, table) = policy::recorded_rows(&rows)?;
            if results.insert(query.trim().to_owned(), HuntedRows { ids, table }).is_some() {
                return Err("a query appears twice, with two results".to_owned());
            }
        }
        Ok(HuntingResults { results })
    }

    /// Adds the result of a query.
    pub fn insert(&mut self, query: &str, rows: HuntedRows) {
        self.results.insert(query.trim().to_owned(), rows);
    }

    /// The result of a query, if it has one.
    pub fn get(&self, query: &str) -> Option<&HuntedRows> {
        self.results.get(query.trim())
    }

    /// The device ids that a selector reads.
    pub(super) fn ids(&self, query: &Hunting) -> Vec<&str> {
        self.get(&query.query).map(|rows| rows.ids(&query.column).collect()).unwrap_or_default()
    }
}

/// Recorded results in the form of the file, so that a repeated query is noticed.
struct Recorded<'r>(Vec<(String, Vec<&'r RawValue>)>);

impl<'de> Deserialize<'de> for Recorded<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Recorded<'de>, D::Error> {
        struct RecordedVisitor;
        impl<'de> Visitor<'de> for RecordedVisitor {
            type Value = Recorded<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Recorded<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Recorded(entries))
            }
        }
        deserializer.deserialize_map(RecordedVisitor)
    }
}

/// Queries without a usable result, each named once.
pub(super) fn faults(queries: &[(Hunting, Span)], results: &HuntingResults) -> Vec<Diagnostic> {
    let mut named = BTreeSet::new();
    let mut faults = Vec::new();
    for (query, span) in queries {
        let fault = match results.get(&query.query) {
            None => no_result(*span),
            Some(rows) if rows.is_empty() && !query.allow_empty => no_rows(*span),
            Some(rows) if rows.ids.is_empty() && !rows.has_column(&query.column) => {
                no_column(*span, &query.column)
            }
            Some(rows) => match rows.without(&query.column) {
                (0, _) => continue,
                (absent, _) => absent_ids(*span, absent, &query.column),
            },
        };
        if named.insert((&query.query, &query.column)) {
            faults.push(fault);
        }
    }
    faults
}

/// Reports how many rows have no device id, once per result.
pub(super) fn rows_without_id(queries: &[(Hunting, Span)], results: &HuntingResults) -> Vec<Diagnostic> {
    let mut named = BTreeSet::new();
    let mut findings = Vec::new();
    for (query, span) in queries {
        let rows = results.get(&query.query);
        let (_, blank) = rows.map_or((0, 0), |rows| rows.without(&query.column));
        if blank == 0 || !named.insert((&query.query, &query.column)) {
            continue;
        }
        let rows = if blank == 1 { "1 row has".to_owned() } else { format!("{blank} rows have") };
        let message = format!("{rows} no `{}` in this hunting result", query.column);
        let finding = Diagnostic::warning("W0702", *span, message);
        findings.push(finding.help("rows without an id belong to no device and are left out"));
    }
    findings
}

/// The rows that a lookup reads from its query's result, and warnings about them.
///
/// # Errors
/// A result that is missing, empty or without a column, and rows that are invalid for a lookup.
pub(super) fn lookup_rows(
    lookup: &Lookup,
    query: &LookupQuery,
    results: &HuntingResults,
) -> Result<(LookupRows, Vec<Diagnostic>), Vec<Diagnostic>> {
    let rows = results.get(&query.query).ok_or_else(|| vec![no_result(lookup.span)])?;
    if rows.is_empty() && !query.allow_empty {
        return Err(vec![no_rows(lookup.span)]);
    }
    if !rows.ids.is_empty() {
        let message = "the recorded result of this lookup's query holds device ids alone";
        let finding = Diagnostic::error("E0704", lookup.span, message);
        return Err(vec![
            finding.help("a lookup needs rows: record each as an object, `{ \"COLUMN\": value, … }`"),
        ]);
    }
    let missing = lookup.columns.iter().filter(|column| !rows.has_column(column));
    let missing: Vec<Diagnostic> = missing.map(|column| no_column(lookup.span, column)).collect();
    match rows.read(&lookup.columns) {
        Some(read) if missing.is_empty() => lookup.rows_of(query, read),
        _ => Err(missing),
    }
}

fn no_result(span: Span) -> Diagnostic {
    Diagnostic::error("E0701", span, "there is no result for this hunting query")
        .help("plan against a tenant, or hand a recorded result in with `--hunting-results FILE`")
}

fn no_rows(span: Span) -> Diagnostic {
    Diagnostic::error("E0702", span, "the result of this hunting query has no rows")
        .help("an empty result would take tags away; if it is right, write `allowEmpty: true`")
}

/// The message does not list the result's columns: otherwise anybody who may propose a policy could explore any table.
fn no_column(span: Span, column: &str) -> Diagnostic {
    Diagnostic::error("E0704", span, format!("the result of this hunting query has no column `{column}`"))
        .help("project the column in the query, or name another one")
}

fn absent_ids(span: Span, rows: usize, column: &str) -> Diagnostic {
    let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    let message = format!(
        "{rows} of the result of this hunting query leave `{column}` out, or have a list or an object there"
    );
    Diagnostic::error("E0704", span, message)
        .help("such a row could be about any device: project the column as text in the query")
}

/// The devices whose id is in a result, compared without case like the field `id`, and the ids of no device.
pub(super) fn matches(query: &Hunting, ids: &[&str], snapshot: &Snapshot) -> (DeviceSet, Option<Unmatched>) {
    let mut numbers: HashMap<String, usize> = HashMap::with_capacity(ids.len());
    for (number, id) in ids.iter().enumerate() {
        numbers.entry(text::fold(id).into_owned()).or_insert(number);
    }
    let used: Vec<AtomicBool> = ids.iter().map(|_| AtomicBool::new(false)).collect();
    let is_listed = |row: Row| {
        let number = numbers.get(&*text::fold(snapshot.id(row)));
        number.inspect(|number| used[**number].store(true, Ordering::Relaxed)).is_some()
    };
    let set = DeviceSet::collect(snapshot.len(), is_listed);
    let mut unused: Vec<usize> =
        numbers.into_values().filter(|number| !used[*number].load(Ordering::Relaxed)).collect();
    unused.sort_unstable();
    let unused = unused.into_iter().map(|number| ids[number]);
    (set, Unmatched::report(&query.title(), false, unused))
}

/// Whether a result contains a device's id.
pub(super) fn lists(ids: &[&str], id: &str) -> bool {
    ids.iter().any(|listed| text::equal(listed, id))
}
