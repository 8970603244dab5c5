//! Generic tables: the output of `tags`, `devices`, `coverage` and `groups`, in every format with rows.
//!
//! Knows columns and cells, not their meaning.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::csv::io_error;
use super::escape::{self, terminal};
use super::style::{Paint, Style, fit, pad, width, write_prose};
use super::words::number;
use crate::time::Timestamp;

/// A table with a heading and remarks.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The kind of rows in JSON: `tags`, `devices`, `rules`.
    pub kind: &'static str,
    /// Whether it is about a simulated tenant: in the first line for people, a field in JSON.
    pub is_sandbox: bool,
    /// When recorded devices were read: said like that.
    pub recorded_at: Option<Timestamp>,
    /// The sentence above the rows.
    pub heading: String,
    pub columns: Vec<Column>,
    /// One cell per column.
    pub rows: Vec<Vec<Cell>>,
    /// Sentences below the rows.
    pub remarks: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Column {
    /// The key in JSON and CSV.
    pub key: String,
    /// Whether the table on a terminal shows it; files have every column.
    pub is_brief: bool,
    /// Whether a part of its cells is useless, as for the id of a run: a narrow terminal cuts other columns.
    pub is_whole: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Unknown.
    Missing,
    /// Text, which may be hostile; renderers escape it.
    Text(String),
    /// A count.
    Number(u64),
    /// Of seconds for people, and exact for programs.
    Time(Timestamp),
    /// A share of a whole in per cent.
    Percent(f64),
    /// Several texts.
    List(Vec<String>),
}

impl Cell {
    fn is_nothing(&self) -> bool {
        match self {
            Cell::Missing => true,
            Cell::List(texts) => texts.is_empty(),
            Cell::Text(_) | Cell::Number(_) | Cell::Time(_) | Cell::Percent(_) => false,
        }
    }

    fn plain(&self) -> String {
        match self {
            Cell::Missing => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Time(time) => time.to_string(),
            Cell::Number(count) => count.to_string(),
            Cell::Percent(share) => format!("{share:.1}"),
            Cell::List(items) => items.join("; "),
        }
    }

    /// The text for people; a renderer escapes it further.
    pub(super) fn shown(&self) -> String {
        match self {
            Cell::Missing => "-".to_owned(),
            Cell::Number(count) => number(*count),
            Cell::Percent(share) => format!("{share:.1} %"),
            Cell::Text(text) => terminal(&escape::tag(text)).into_owned(),
            Cell::Time(time) => time.rounded_down().to_string(),
            Cell::List(items) => {
                let items: Vec<_> = items.iter().map(|item| escape::tag(item)).collect();
                terminal(&items.join("; ")).into_owned()
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Missing => Value::Null,
            Cell::Text(text) => json!(text),
            Cell::Time(time) => json!(time),
            Cell::Number(count) => json!(count),
            Cell::Percent(share) => json!((share * 100.0).round() / 100.0),
            Cell::List(items) => json!(items),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Cell::Number(_) | Cell::Percent(_))
    }
}

impl Listing {
    /// Adds a column for people and files.
    pub fn column(mut self, key: impl Into<String>) -> Listing {
        self.columns.push(Column { key: key.into(), is_brief: true, is_whole: false });
        self
    }

    /// Adds a column for people and files that is never cut.
    pub fn whole_column(mut self, key: impl Into<String>) -> Listing {
        self.columns.push(Column { key: key.into(), is_brief: true, is_whole: true });
        self
    }

    /// Adds a column for files only.
    pub fn detail(mut self, key: impl Into<String>) -> Listing {
        self.columns.push(Column { key: key.into(), is_brief: false, is_whole: false });
        self
    }

    /// The listing without the columns for files only.
    #[must_use]
    pub fn brief(&self) -> Listing {
        let is_brief: Vec<bool> = self.columns.iter().map(|column| column.is_brief).collect();
        let keep = |row: &Vec<Cell>| {
            row.iter().zip(&is_brief).filter(|(_, keep)| **keep).map(|(cell, _)| cell.clone()).collect()
        };
        Listing {
            kind: self.kind,
            is_sandbox: self.is_sandbox,
            recorded_at: self.recorded_at,
            heading: self.heading.clone(),
            columns: self.columns.iter().filter(|column| column.is_brief).cloned().collect(),
            rows: self.rows.iter().map(keep).collect(),
            remarks: self.remarks.clone(),
        }
    }

    /// The first line for people.
    pub(super) fn first_line(&self) -> String {
        let sandbox = if self.is_sandbox { "SANDBOX · " } else { "" };
        let recorded = self.recorded_at.map(|at| format!(" · recorded at {}", at.rounded_down()));
        format!("{sandbox}{}{}", self.heading, recorded.unwrap_or_default())
    }

    /// The rows as JSON objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = Value> + '_ {
        self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(row).map(|(column, cell)| (column.key.clone(), cell.json()));
            Value::Object(cells.collect::<Map<_, _>>())
        })
    }
}

/// Writes a table for people: columns aligned, cut to the terminal's width, the last columns first.
///
/// # Errors
/// Those of the writer.
pub fn human(listing: &Listing, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    write_prose(&terminal(&listing.first_line()), Paint::Strong, (0, 2), style, out)?;
    let mut shown: Vec<usize> = (0..listing.columns.len())
        .filter(|index| style.details || listing.columns[*index].is_brief)
        .collect();
    // What holds nothing in any row gives way before names are cut.
    let is_filled = |index: &usize| listing.rows.iter().any(|row| !row[*index].is_nothing());
    if !style.details && !shown.iter().all(is_filled) && least_width(listing, &shown) > style.width {
        shown.retain(is_filled);
    }
    if !listing.rows.is_empty() {
        let cells: Vec<Vec<String>> =
            listing.rows.iter().map(|row| shown.iter().map(|index| row[*index].shown()).collect()).collect();
        let titles: Vec<String> = shown.iter().map(|index| title(&listing.columns[*index].key)).collect();
        let widest = |place: usize| {
            let cells = cells.iter().map(|row| width(&row[place]));
            cells.chain([width(&titles[place])]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..shown.len()).map(widest).collect();
        let is_whole: Vec<bool> = shown.iter().map(|index| listing.columns[*index].is_whole).collect();
        let between = 2 * shown.len().saturating_sub(1) + 2;
        // A long cell is cut before a column is dropped; no column gets narrower than 12 characters.
        while widths.iter().sum::<usize>() + between > style.width
            && let Some((longest, _)) =
                widths.iter_mut().zip(&is_whole).filter(|(_, is_whole)| !**is_whole).max()
            && *longest > 12
        {
            *longest -= 1;
        }
        let line = |row: &[String], is_number: &dyn Fn(usize) -> bool| {
            let cells = row.iter().zip(&widths).enumerate().map(|(place, (text, columns))| {
                let text = fit(text, *columns);
                if is_number(place) {
                    format!("{}{text}", " ".repeat(columns - width(&text)))
                } else {
                    pad(&text, *columns)
                }
            });
            format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
        };
        let numbers: Vec<bool> =
            shown.iter().map(|index| listing.rows.iter().all(|row| row[*index].is_number())).collect();
        writeln!(out, "\n{}", style.paint(Paint::Faint, &line(&titles, &|place| numbers[place])))?;
        for row in &cells {
            writeln!(out, "{}", line(row, &|place| numbers[place]))?;
        }
    }
    for (index, remark) in listing.remarks.iter().enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        write!(out, "{gap}")?;
        write_prose(&terminal(remark), Paint::Plain, (0, 2), style, out)?;
    }
    Ok(())
}

/// The width of a table of these columns in which no cell is cut.
fn least_width(listing: &Listing, shown: &[usize]) -> usize {
    let widest = |index: &usize| {
        let cells = listing.rows.iter().map(|row| width(&row[*index].shown()));
        cells.chain([width(&title(&listing.columns[*index].key))]).max().unwrap_or(0)
    };
    shown.iter().map(widest).sum::<usize>() + 2 * shown.len()
}

/// `lastSeen` as `LAST SEEN`.
fn title(key: &str) -> String {
    let mut title = String::new();
    for scalar in key.chars() {
        if scalar.is_uppercase() {
            title.push(' ');
        }
        title.extend(scalar.to_uppercase());
    }
    title
}

/// Writes one JSON document: `{ "formatVersion", "kind", "sandbox", "readAt", "heading", "rows": [{…}], "remarks": […] }`.
///
/// # Errors
/// Those of the writer.
pub fn json_document(listing: &Listing, out: &mut dyn Write) -> io::Result<()> {
    let document = json!({
        "formatVersion": "1.0",
        "kind": listing.kind,
        "sandbox": listing.is_sandbox,
        "readAt": listing.recorded_at,
        "heading": listing.heading,
        "rows": listing.objects().collect::<Vec<_>>(),
        "remarks": listing.remarks,
    });
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

/// The JSON Schema of [`json_document`] for rows of one kind. All cells of a column have one type, or are `null` if unknown.
pub fn schema(kind: &str) -> Value {
    let cell = json!({
        "anyOf": [
            { "type": ["string", "number", "null"] },
            { "type": "array", "items": { "type": "string" } },
        ],
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "type": "object",
        "additionalProperties": false,
        "required": ["formatVersion", "kind", "sandbox", "heading", "rows", "remarks"],
        "properties": {
            "formatVersion": { "const": "1.0" },
            "kind": { "const": kind },
            "sandbox": { "type": "boolean", "description": "Whether the tenant is simulated." },
            "readAt": { "type": ["string", "null"], "description": "When recorded devices were read." },
            "heading": { "type": "string", "description": "The sentence above the rows." },
            "rows": {
                "type": "array",
                "description": "One object a row; its keys are the columns.",
                "items": { "type": "object", "additionalProperties": cell },
            },
            "remarks": {
                "type": "array",
                "description": "Sentences below the rows.",
                "items": { "type": "string" },
            },
        },
    })
}

/// Writes one JSON object a row.
///
/// # Errors
/// Those of the writer.
pub fn ndjson(listing: &Listing, out: &mut dyn Write) -> io::Result<()> {
    for row in listing.objects() {
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes a CSV file with a header; several texts of a cell are joined by `; `.
///
/// # Errors
/// Those of the writer.
pub fn csv(listing: &Listing, out: &mut dyn Write) -> io::Result<()> {
    // In quotes, so that no cell starts a line that a CI system reads as a command.
    let mut rows = ::csv::WriterBuilder::new().quote_style(::csv::QuoteStyle::Always).from_writer(out);
    rows.write_record(listing.columns.iter().map(|column| column.key.as_str())).map_err(io_error)?;
    for row in &listing.rows {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| {
                let plain = cell.plain();
                if cell.is_number() { plain } else { escape::csv(&plain).into_owned() }
            })
            .collect();
        rows.write_record(&cells).map_err(io_error)?;
    }
    rows.flush()
}

/// Writes a table in Markdown.
///
/// # Errors
/// Those of the writer.
pub fn markdown(listing: &Listing, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n", prose(&listing.first_line()))?;
    if !listing.rows.is_empty() {
        let titles: Vec<String> =
            listing.columns.iter().map(|column| escape::markdown(&column.key)).collect();
        writeln!(out, "| {} |", titles.join(" | "))?;
        writeln!(out, "|{}", " --- |".repeat(titles.len()))?;
        for row in &listing.rows {
            let cells: Vec<String> = row.iter().map(cell_in_markdown).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
    }
    for remark in &listing.remarks {
        writeln!(out, "\n{}", prose(remark))?;
    }
    Ok(())
}

/// Our own sentence unchanged; as code if it contains anything that Markdown could interpret.
fn prose(text: &str) -> String {
    let is_plain = |scalar: char| scalar.is_ascii_alphanumeric() || " ,.:;%-·?/".contains(scalar);
    if text.chars().all(is_plain) { text.to_owned() } else { escape::markdown(text) }
}

fn cell_in_markdown(cell: &Cell) -> String {
    match cell {
        Cell::Missing => String::new(),
        Cell::Text(text) => escape::markdown(&escape::tag(text)),
        Cell::Time(time) => time.rounded_down().to_string(),
        Cell::Number(_) | Cell::Percent(_) => cell.shown(),
        Cell::List(items) => {
            let items: Vec<String> = items.iter().map(|item| escape::markdown(&escape::tag(item))).collect();
            items.join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing {
            kind: "tags",
            heading: "2 tags".to_owned(),
            remarks: vec!["1 tag is on no device".to_owned()],
            ..Listing::default()
        }
        .column("tag")
        .column("devices")
        .detail("lastRun");
        listing.rows = vec![
            vec![Cell::Text("=cmd|'\u{202e}x".into()), Cell::Number(1_200), Cell::Missing],
            vec![Cell::List(vec!["a".into(), "<b>".into()]), Cell::Number(3), Cell::Text("r".into())],
        ];
        listing
    }

    fn written(render: impl Fn(&Listing, &mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        render(&listing(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_format_has_every_row_and_disarms_names() {
        let style = Style { colour: false, width: 80, details: false, ..Style::default() };
        let text = written(|listing, out| human(listing, &style, out));
        assert!(text.contains("1,200") && text.contains("a; <b>") && !text.contains('\u{202e}'), "{text}");
        assert!(!text.contains("LAST RUN") && text.contains("1 tag is on no device"), "{text}");
        let document: Value = serde_json::from_str(&written(json_document)).unwrap();
        assert_eq!(document["rows"][1], json!({ "tag": ["a", "<b>"], "devices": 3, "lastRun": "r" }));
        assert_eq!(written(ndjson).lines().count(), 2);
        let text = written(csv);
        assert!(text.starts_with("\"tag\",\"devices\",\"lastRun\"\n") && !text.contains("\n="), "{text}");
        let text = written(markdown);
        assert!(text.contains("| `a` `<b>` | 3 | `r` |") && !text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn columns_that_hold_nothing_give_way_on_a_narrow_screen_and_sentences_are_folded() {
        let mut listing = Listing { kind: "tags", remarks: vec!["word ".repeat(30)], ..Listing::default() }
            .column("tag")
            .column("removedBy")
            .column("otherSpellings");
        let name = "a-tag-of-thirty-five-characters-000";
        listing.rows = vec![vec![Cell::Text(name.into()), Cell::Missing, Cell::List(Vec::new())]];
        let shown = |width: usize| {
            let mut out = Vec::new();
            human(&listing, &Style { width, ..Style::default() }, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let (narrow, wide) = (shown(50), shown(100));
        assert!(narrow.contains(name) && !narrow.contains("REMOVED BY"), "{narrow}");
        assert!(narrow.lines().all(|line| line.len() <= 50), "{narrow}");
        assert!(
            wide.contains(name) && wide.contains("REMOVED BY") && wide.contains("OTHER SPELLINGS"),
            "{wide}"
        );
    }

    #[test]
    fn white_space_at_the_ends_of_a_tag_is_seen_by_people_and_kept_in_files() {
        let mut listing = Listing { kind: "tags", ..Listing::default() }.column("tag").column("others");
        listing.rows = vec![vec![Cell::Text("Keep ".into()), Cell::List(vec![" keep".into(), "k".into()])]];
        let written = |render: &dyn Fn(&Listing, &mut dyn Write) -> io::Result<()>| {
            let mut out = Vec::new();
            render(&listing, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let style = Style { width: 80, ..Style::default() };
        let text = written(&|listing, out| human(listing, &style, out));
        assert!(text.contains(r#""Keep "  " keep"; k"#), "{text}");
        let text = written(&|listing, out| markdown(listing, out));
        assert!(text.contains(r#"| `"Keep "` | `" keep"` `k` |"#), "{text}");
        let text = written(&|listing, out| {
            crate::report::html::listing_page("t", std::slice::from_ref(listing), out)
        });
        assert!(text.contains("<td>&quot;Keep &quot;</td>"), "{text}");
        let text = written(&|listing, out| ndjson(listing, out));
        assert!(text.contains(r#""tag":"Keep ""#), "{text}");
    }

    #[test]
    fn the_first_line_says_that_a_tenant_is_simulated() {
        let simulated = Listing { is_sandbox: true, ..listing() };
        let first = |render: &dyn Fn(&Listing, &mut dyn Write) -> io::Result<()>| {
            let mut out = Vec::new();
            render(&simulated, &mut out).unwrap();
            String::from_utf8(out).unwrap().lines().next().unwrap().to_owned()
        };
        let style = Style { width: 80, ..Style::default() };
        assert_eq!(first(&|listing, out| human(listing, &style, out)), "SANDBOX · 2 tags");
        assert_eq!(first(&|listing, out| markdown(listing, out)), "SANDBOX · 2 tags");
        assert_eq!(first(&|listing, out| csv(listing, out)), r#""tag","devices","lastRun""#);
        let document: Value = serde_json::from_str(&written(json_document)).unwrap();
        assert_eq!(document["sandbox"], false);
    }

    #[test]
    fn a_narrow_terminal_cuts_cells_and_keeps_columns() {
        let style = Style { colour: false, width: 40, details: true, ..Style::default() };
        let mut long = listing();
        long.rows[0][0] = Cell::Text("x".repeat(200));
        let mut out = Vec::new();
        human(&long, &style, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| width(line) <= 40), "{text}");
        assert!(text.contains("LAST RUN"), "{text}");
    }
}
