//! Parses the result of a hunting query, and keeps only the wanted columns.
//!
//! Does not judge whether the service truncated the result.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use mdetag_core::strict_json::is_next_link;

use crate::tenant::http::clean;
use crate::tenant::wire;

/// Why an answer is not a table.
pub(super) enum ParseFault {
    /// It ends in the middle: the next try may be complete.
    CutShort(String),
    /// The next try would give the same.
    Strange(String),
}

/// A result with only the wanted columns. Accepts both casings of the documentation.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    /// Cells in the order of the wanted columns; `None` if the row lacks the column.
    pub(super) rows: Vec<Vec<Option<HuntedCell>>>,
}

/// The content of a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HuntedCell {
    /// Numbers as written, empty for `null`, the JSON of lists and objects.
    pub(super) text: String,
    /// Whether it is a list or an object.
    pub(super) is_nested: bool,
}

impl Table {
    pub(super) fn parse(body: &[u8], wanted: &[&str]) -> Result<Table, ParseFault> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let table = TableSeed(wanted).deserialize(&mut json).and_then(|table| json.end().map(|()| table));
        match table {
            Ok(Some(table)) => Ok(table),
            Ok(None) => Err(ParseFault::Strange("holds no `results`".to_owned())),
            Err(error) if error.is_eof() => Err(ParseFault::CutShort(format!("was cut short: {error}"))),
            Err(error) => Err(ParseFault::Strange(format!("is no JSON as expected: {error}"))),
        }
    }

    pub(super) fn has_column(&self, index: usize, name: &str) -> bool {
        self.columns.iter().any(|column| column.eq_ignore_ascii_case(name))
            || self.rows.iter().any(|row| row[index].is_some())
    }
}

struct TableSeed<'w>(&'w [&'w str]);

impl<'de> DeserializeSeed<'de> for TableSeed<'_> {
    type Value = Option<Table>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TableSeed<'_> {
    type Value = Option<Table>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `results`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Column {
            #[serde(alias = "Name")]
            name: Option<String>,
        }
        let (mut table, mut listed) = (Table::default(), false);
        while let Some(key) = map.next_key::<String>()? {
            if key.eq_ignore_ascii_case("results") && listed {
                return Err(A::Error::custom("`results` appears twice"));
            }
            if wire::is_error_key(&key) {
                if let Some(error) = map.next_value::<Option<serde_json::Value>>()? {
                    return Err(A::Error::custom(wire::shown_error(&error)));
                }
            } else if is_next_link(&key) {
                if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                    return Err(A::Error::custom("it is only a part of the rows, with a link to the next"));
                }
            } else if key.eq_ignore_ascii_case("results") {
                table.rows = map.next_value_seed(RowsSeed(self.0))?;
                listed = true;
            } else if key.eq_ignore_ascii_case("schema") {
                let columns = map.next_value::<Option<Vec<Column>>>()?.unwrap_or_default();
                table.columns = columns.into_iter().filter_map(|column| column.name).collect();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(listed.then_some(table))
    }
}

struct RowsSeed<'w>(&'w [&'w str]);

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = Vec<Vec<Option<HuntedCell>>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = Vec<Vec<Option<HuntedCell>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element_seed(RowSeed(self.0))? {
            rows.push(row);
        }
        Ok(rows)
    }
}

struct RowSeed<'w>(&'w [&'w str]);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Vec<Option<HuntedCell>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Vec<Option<HuntedCell>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut cells: Vec<Option<HuntedCell>> = vec![None; self.0.len()];
        while let Some(key) = map.next_key::<String>()? {
            let exact = self.0.iter().position(|wanted| *wanted == key);
            let near = || self.0.iter().position(|wanted| wanted.eq_ignore_ascii_case(&key));
            match exact.or_else(near) {
                Some(index) if cells[index].is_some() => {
                    let key = clean(&key, 80);
                    return Err(A::Error::custom(format_args!("`{key}` stands twice in one row")));
                }
                Some(index) => cells[index] = Some(cell(&map.next_value::<Box<RawValue>>()?)),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(cells)
    }
}

fn cell(raw: &RawValue) -> HuntedCell {
    let text = match raw.get() {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap_or_default(),
        text => text.to_owned(),
    };
    HuntedCell { text, is_nested: raw.get().starts_with(['[', '{']) }
}
