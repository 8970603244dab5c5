//! Results of hunting queries, as recorded or fetched: device ids a query.
//!
//! Runs no query.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::Unmatched;
use crate::diagnostic::{Diagnostic, Span};
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::Hunting;
use crate::text;

/// Rows at which the service cuts a result: one that has so many may not be whole.
const ROW_LIMIT: usize = 100_000;

/// Device ids by query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HuntingResults {
    /// By query text without white space at its ends, and by column where a live run fetched one; recorded results name none.
    results: BTreeMap<(String, Option<String>), Vec<String>>,
}

impl HuntingResults {
    /// The JSON of `--hunting-results`: `{ "query text": ["device id", …] }`.
    ///
    /// # Errors
    /// One sentence on what is wrong with the document.
    pub fn from_json(bytes: &[u8]) -> Result<HuntingResults, String> {
        let recorded: Recorded = serde_json::from_slice(bytes)
            .map_err(|error| format!("expected an object of query texts and lists of device ids: {error}"))?;
        let mut results = BTreeMap::new();
        for (query, ids) in recorded.0 {
            if ids.len() >= ROW_LIMIT {
                return Err(format!(
                    "a result has {} rows: the service cuts at {ROW_LIMIT}, so it may not be whole",
                    ids.len()
                ));
            }
            if results.insert((query.trim().to_owned(), None), ids).is_some() {
                return Err("a query stands there twice, with two results".to_owned());
            }
        }
        Ok(HuntingResults { results })
    }

    /// Adds the result of a live query.
    pub fn insert(&mut self, query: &Hunting, ids: Vec<String>) {
        let key = (query.query.trim().to_owned(), Some(query.column.to_string()));
        self.results.insert(key, ids);
    }

    /// The device ids of a query, if it has a result.
    pub fn get(&self, query: &Hunting) -> Option<&[String]> {
        let text = query.query.trim().to_owned();
        let live = self.results.get(&(text.clone(), Some(query.column.to_string())));
        live.or_else(|| self.results.get(&(text, None))).map(Vec::as_slice)
    }
}

/// Recorded results as they stand in the file: a query that stands there twice is seen.
struct Recorded(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Recorded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Recorded, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Recorded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Recorded, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Recorded(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Queries that have no usable result, each named once.
pub(super) fn faults(queries: &[(Hunting, Span)], results: &HuntingResults) -> Vec<Diagnostic> {
    let mut named = BTreeSet::new();
    let mut faults = Vec::new();
    for (query, span) in queries {
        let fault = match results.get(query) {
            None => Diagnostic::error("E0701", *span, "there is no result for this hunting query")
                .help("plan against a tenant, or hand a recorded result in with `--hunting-results FILE`"),
            Some([]) if !query.allow_empty => {
                Diagnostic::error("E0702", *span, "the result of this hunting query has no rows")
                    .help("an empty result would take tags away; if it is right, write `allowEmpty: true`")
            }
            Some(_) => continue,
        };
        if named.insert((&query.query, &query.column)) {
            faults.push(fault);
        }
    }
    faults
}

/// The devices whose id is in a result, compared without case as the field `id` is, and the ids that are no device.
pub(super) fn matches(
    query: &Hunting,
    ids: &[String],
    snapshot: &Snapshot,
) -> (DeviceSet, Option<Unmatched>) {
    let mut numbers: HashMap<String, usize> = HashMap::with_capacity(ids.len());
    for (number, id) in ids.iter().enumerate() {
        numbers.entry(text::fold(id.trim()).into_owned()).or_insert(number);
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
    let unused = unused.into_iter().map(|number| ids[number].as_str());
    (set, Unmatched::report(&query.title(), false, unused))
}

/// Whether a device's id is in a result.
pub(super) fn lists(ids: &[String], id: &str) -> bool {
    ids.iter().any(|listed| text::equal(listed.trim(), id))
}
