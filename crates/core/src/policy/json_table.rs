//! Tables written as JSON objects: a list of them, an answer that holds one, one a line, or the recorded rows of a query.
//!
//! Knows text and rows. `data` chooses the file, `names` gives its columns a meaning.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::answer::ListAnswer;
use super::table::Table;

/// A parsed row: names and raw values.
struct JsonRow<'t>(Vec<(String, &'t RawValue)>);

impl<'de: 't, 't> serde::Deserialize<'de> for JsonRow<'t> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<JsonRow<'t>, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = JsonRow<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<JsonRow<'de>, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(JsonRow(cells))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The rows of a JSON file: a list of objects, also under `value`.
pub(super) fn json_table(text: &str) -> Result<Table, String> {
    let wrong = |error: serde_json::Error| format!("{error} (expected a list of objects)");
    let rows: Vec<JsonRow<'_>> = if text.trim_start().starts_with('{') {
        serde_json::from_str::<ListAnswer<JsonRow<'_>>>(text).map_err(wrong)?.rows()?
    } else {
        serde_json::from_str(text).map_err(wrong)?
    };
    let mut draft = TableDraft::of_file();
    // Rows are in order, so their lines are counted in one pass.
    let (mut at, mut line) = (0, 1);
    for row in &rows {
        if let Some((_, first)) = row.0.first() {
            let start = first.get().as_ptr() as usize - text.as_ptr() as usize;
            line += text.as_bytes()[at..start].iter().filter(|byte| **byte == b'\n').count() as u64;
            at = start;
        }
        draft.add(row, line)?;
    }
    draft.finish()
}

/// The rows of a file with one object a line.
pub(super) fn ndjson_table(text: &str) -> Result<Table, String> {
    let mut draft = TableDraft::of_file();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row = serde_json::from_str(line).map_err(|error| {
            // The JSON reader sees each row as a text of its own, so its "line 1" would contradict our line number.
            let what = error.to_string().replace(&format!(" at line {} column", error.line()), " at column");
            format!("line {}: {what}", index + 1)
        })?;
        draft.add(&row, index as u64 + 1)?;
    }
    draft.finish()
}

/// The form that a file has although its extension says otherwise, and the advice for it.
pub(super) fn misnamed(text: &str, extension: &str) -> Option<(&'static str, &'static str)> {
    let text = text.trim_start();
    let is_object =
        |line: &str| line.trim_start().starts_with('{') && serde_json::from_str::<JsonRow<'_>>(line).is_ok();
    let first = text.lines().next().unwrap_or_default();
    match extension {
        "json" if is_object(first) => Some((
            "NDJSON, one object a line, and a .json file holds a list of objects",
            "give the file the extension .ndjson, here and in the policy",
        )),
        "ndjson" | "jsonl" if text.starts_with('[') => Some((
            "JSON, a list of objects, and an .ndjson file holds one object a line",
            "give the file the extension .json, here and in the policy",
        )),
        "csv" if text.starts_with("[{") || is_object(first) || first.trim_end() == "[" => Some((
            "JSON, and a .csv file holds a header and rows",
            "give the file the extension .json, or .ndjson where each object stands in a line of its own",
        )),
        _ => None,
    }
}

/// The rows of a recorded hunting result: device ids, or rows whose columns all count.
///
/// # Errors
/// A row that is neither, with its number.
pub(crate) fn recorded_rows(rows: &[&RawValue]) -> Result<(Vec<String>, Table), String> {
    let (mut ids, mut draft) =
        (Vec::new(), TableDraft { row: "row", is_query: true, ..TableDraft::of_file() });
    for (number, raw) in (1u64..).zip(rows) {
        let wrong = |error: serde_json::Error| {
            format!("row {number} is neither a device id (a text) nor an object: {error}")
        };
        if raw.get().starts_with('"') {
            ids.push(serde_json::from_str(raw.get()).map_err(wrong)?);
        } else {
            draft.add(&serde_json::from_str(raw.get()).map_err(wrong)?, number)?;
        }
    }
    Ok((ids, draft.finish()?))
}

/// A table whose columns are complete only at the end, because each JSON row names its own.
struct TableDraft {
    columns: HashMap<String, usize>,
    table: Table,
    /// Cells by column; `None`: unknown.
    rows: Vec<Vec<(usize, Option<Box<str>>)>>,
    /// The unit of row numbers: `line` of a file, or `row`.
    row: &'static str,
    /// Whether the rows come from a query. A list or an object in a cell is then unknown, as in a live result.
    is_query: bool,
}

impl TableDraft {
    fn of_file() -> TableDraft {
        TableDraft {
            columns: HashMap::new(),
            table: Table { has_objects: true, ..Table::default() },
            rows: Vec::new(),
            row: "line",
            is_query: false,
        }
    }

    fn add(&mut self, row: &JsonRow<'_>, number: u64) -> Result<(), String> {
        let place = self.row;
        let mut cells: Vec<(usize, Option<Box<str>>)> = Vec::with_capacity(row.0.len());
        for (name, raw) in &row.0 {
            let name = name.trim();
            let column = match self.columns.get(name) {
                Some(column) => *column,
                None => {
                    let column = self.table.columns.len();
                    self.table.add_column(name)?;
                    self.columns.insert(name.to_owned(), column);
                    column
                }
            };
            if cells.iter().any(|(other, _)| *other == column) {
                return Err(format!("{place} {number}: `{name}` appears twice in one row"));
            }
            let text = match cell(raw) {
                Err(_) if self.is_query => None,
                text => Some(text.map_err(|why| format!("{place} {number}: `{name}` {why}"))?),
            };
            cells.push((column, text));
        }
        self.rows.push(cells);
        self.table.lines.push(number);
        self.table.check_size()
    }

    fn finish(mut self) -> Result<Table, String> {
        let width = self.table.columns.len();
        let mut all: Vec<Option<Box<str>>> = vec![None; width * self.rows.len()];
        for (row, cells) in self.rows.into_iter().enumerate() {
            for (column, text) in cells {
                all[row * width + column] = text;
            }
        }
        // An empty cell is `null` or `""`. A column that an object leaves out was lost, as in a CSV row that ends early.
        let absent = all.iter().enumerate().filter(|(_, cell)| cell.is_none());
        self.table.unknown = absent.map(|(place, _)| place).collect();
        self.table.cells = all.into_iter().map(Option::unwrap_or_default).collect();
        Ok(self.table)
    }
}

/// The text of a JSON value: numbers as they are written, so that `1.10` stays `1.10`.
fn cell(raw: &RawValue) -> Result<Box<str>, String> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(text)
            .map(|text| Box::from(text.trim()))
            .map_err(|error| error.to_string()),
        Some(b'n') => Ok(Box::default()),
        Some(b'[' | b'{') => Err("is a list or an object; cells are text, numbers or booleans".to_owned()),
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_stand_in_an_object_under_value() {
        let table =
            json_table("{\"@odata.context\": {\"a\": 1},\n \"value\": [\n {\"k\": \" a \"}]}").unwrap();
        assert_eq!((&*table.cells[0], table.lines[0]), ("a", 3));
        assert!(json_table("{\"rows\": []}").unwrap_err().contains("value"));
        for more in [
            "\"@odata.nextLink\": \"x\"",
            "\"nextLink\": \"x\"",
            "\"odata.nextlink\": 1",
            "\"@odata.count\": 2",
        ] {
            let page = format!("{{ {more}, \"value\": [{{\"k\": \"a\"}}] }}");
            assert!(json_table(&page).unwrap_err().contains("a page of a longer answer"), "{page}");
        }
        assert!(json_table("{\"@odata.count\": 1, \"value\": [{\"k\": \"a\"}]}").is_ok());
    }

    #[test]
    fn json_numbers_keep_their_text() {
        let table = json_table("[\n {\"k\": 1.10, \"n\": null},\n {\"b\": true, \"k\": \"x\"}\n]").unwrap();
        assert_eq!(table.columns, ["k", "n", "b"]);
        assert_eq!(
            table.cells.iter().map(|cell| &**cell).collect::<Vec<_>>(),
            ["1.10", "", "", "x", "", "true"]
        );
        assert_eq!(table.lines, [2, 3]);
        let table = ndjson_table("{\"k\":12345678901234567890}\n\n{\"k\":1e3}\n").unwrap();
        assert_eq!((&*table.cells[0], &*table.cells[1]), ("12345678901234567890", "1e3"));
        assert_eq!(table.lines, [1, 3]);
    }

    #[test]
    fn white_space_around_names_of_columns_is_removed() {
        let rows = "{\"host \": \"d1\", \"env\u{a0}\": \"a\"}\n{\"env\": \"b\", \" host\": \"d2\"}\n";
        for table in [ndjson_table(rows), json_table(&format!("[{}]", rows.trim().replace('\n', ",")))] {
            let table = table.unwrap();
            assert_eq!(table.columns, ["host", "env"]);
            assert_eq!(table.cells.iter().map(|cell| &**cell).collect::<Vec<_>>(), ["d1", "a", "d2", "b"]);
        }
        let twice = ndjson_table("{\"k\": 1}\n{\"k\": 1, \"k \": 2}\n").unwrap_err();
        assert_eq!(twice, "line 2: `k` appears twice in one row");
    }

    #[test]
    fn malformed_tables_say_where() {
        assert!(json_table("[1]").unwrap_err().contains("expected an object"));
        assert!(json_table("7").unwrap_err().contains("list of objects"));
        assert!(ndjson_table("{}\n[1]\n").unwrap_err().starts_with("line 2"));
        assert!(json_table("[{\"a\":[1]}]").unwrap_err().contains("cells are text"));
    }
}
