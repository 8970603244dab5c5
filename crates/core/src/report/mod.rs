//! How everything looks: one model computed from values, and many renderings of it.
//!
//! Prints nothing, reads no clock: writers and widths come in.

pub mod escape;
pub mod words;
pub mod pages;
pub mod change;
pub mod model;
mod split;
pub mod style;
pub mod sentences;
pub mod refusal;
pub mod fold;
mod table;
pub mod human;
pub mod row;
pub mod json;
pub mod ndjson;
mod cut;
pub mod markdown;
pub mod diagnostics;
pub mod finding;
pub mod junit;
pub mod sarif;
pub mod openmetrics;
pub mod csv;
pub mod ci;
pub mod progress;
pub mod explain;
pub mod rehearsal;
pub mod html;
pub mod listing;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod laws;

use std::io::{self, Write};

pub use model::{Input, Model, RunEnd, Subject};
pub use style::Style;

/// A form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// One JSON line a change.
    Ndjson,
    /// A comment on a pull request.
    Markdown,
    /// One self-contained page.
    Html,
    /// Test results.
    Junit,
    /// Code-scanning results.
    Sarif,
    /// Metrics.
    Openmetrics,
    /// A table.
    Csv,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 9] = [
        Format::Human,
        Format::Json,
        Format::Ndjson,
        Format::Markdown,
        Format::Html,
        Format::Junit,
        Format::Sarif,
        Format::Openmetrics,
        Format::Csv,
    ];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Human => "human",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Markdown => "markdown",
            Format::Html => "html",
            Format::Junit => "junit",
            Format::Sarif => "sarif",
            Format::Openmetrics => "openmetrics",
            Format::Csv => "csv",
        }
    }

    /// The format with this name.
    pub fn parse(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// Writes a report. `max_chars` bounds `markdown` (see [`markdown::MAX_CHARS`]); `style` is for `human`.
///
/// # Errors
/// Those of the writer.
pub fn write(
    format: Format,
    model: &Model<'_>,
    style: &Style,
    max_chars: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    match format {
        Format::Human => human::human(model, style, &mut out),
        Format::Json => json::json(model, &mut out),
        Format::Ndjson => ndjson::ndjson(model, &mut out),
        Format::Markdown => markdown::markdown(model, max_chars, &mut out),
        Format::Html => html::html(model, &mut out),
        Format::Junit => junit::junit(model, &mut out),
        Format::Sarif => sarif::sarif(model, &mut out),
        Format::Openmetrics => openmetrics::openmetrics(model, &mut out),
        Format::Csv => csv::csv(model, &mut out),
    }?;
    out.flush()
}
