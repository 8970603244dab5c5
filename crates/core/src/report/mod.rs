//! How everything looks: one model computed from values, and its many renderings.
//!
//! Prints nothing and reads no clock: the caller passes writers and widths in.

mod format;
pub mod escape;
pub mod words;
mod asides;
pub mod change;
mod links;
mod last;
pub mod model;
mod risk;
mod split;
pub mod style;
mod alike;
pub mod sentences;
mod not_done;
pub mod consequences;
pub mod refusal;
mod waves;
pub mod fold;
mod renamed;
mod table;
mod lost;
mod ending;
pub mod human;
pub mod row;
pub mod json;
pub mod ndjson;
mod figures;
pub mod notification;
mod cut;
mod first_lines;
pub mod compact;
pub mod markdown;
pub mod diagnostics;
pub mod log;
pub mod finding;
mod json_log;
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
pub mod unplanned;
pub mod history;
pub mod state;
pub mod carried;
pub mod saved;
pub mod sandbox;
pub mod init;
pub mod tenants;
pub mod import;
pub mod probe;
pub mod doctor;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod laws;

use std::io::{self, Write};

pub use format::Format;
pub use model::{Input, Model, RunEnd, Subject};
pub use style::Style;

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
        Format::Json => json::json(model, &mut escape::JsonLog::new(&mut out)),
        Format::Ndjson => ndjson::ndjson(model, &mut escape::JsonLog::new(&mut out)),
        Format::Markdown => markdown::markdown(model, max_chars, &mut out),
        Format::Html => html::html(model, &mut out),
        Format::Junit => junit::junit(model, &mut out),
        Format::Sarif => sarif::sarif(model, &mut escape::JsonLog::new(&mut out)),
        Format::Openmetrics => openmetrics::openmetrics(model, &mut out),
        Format::Csv => csv::csv(model, &mut out),
        Format::CsvBom => csv::csv_bom(model, &mut out),
        Format::Github => out.write_all(ci::annotations(ci::System::Github, model).as_bytes()),
        Format::CodeQuality => out.write_all(ci::code_quality(model).as_bytes()),
        // Matrices list tenants. A plan has no such form, and the command line does not offer it.
        Format::Gitlab | Format::Kubernetes => Ok(()),
    }?;
    out.flush()
}
