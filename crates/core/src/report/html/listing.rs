//! Listings as one self-contained page: tables without a script.

use std::io::{self, Write};

use crate::report::escape::html as text;
use crate::report::listing::{Cell, Listing};

use super::{STYLE, source_digest};

/// Writes the page: each listing is a table below its heading.
///
/// # Errors
/// Those of the writer.
pub fn listing_page(title: &str, listings: &[Listing], out: &mut dyn Write) -> io::Result<()> {
    let policy = format!(
        "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'",
        source_digest(STYLE)
    );
    let title = text(title);
    writeln!(out, "<!doctype html><!-- mdetag -->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(out, "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>")?;
    writeln!(out, "<style>{STYLE}</style>\n</head>\n<body>\n<header><h1>{title}</h1></header>\n<main>")?;
    for listing in listings {
        table(listing, out)?;
    }
    writeln!(out, "</main>\n</body>\n</html>")
}

fn table(listing: &Listing, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<section>\n<h2>{}</h2>", text(&listing.first_line()))?;
    if !listing.rows.is_empty() {
        writeln!(
            out,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">",
            listing.kind
        )?;
        let titles: String = listing
            .columns
            .iter()
            .map(|column| format!("<th scope=\"col\">{}</th>", text(&column.key)))
            .collect();
        writeln!(out, "<table><thead><tr>{titles}</tr></thead><tbody>")?;
        for row in &listing.rows {
            let cells: String = row.iter().map(cell).collect();
            writeln!(out, "<tr>{cells}</tr>")?;
        }
        writeln!(out, "</tbody></table></div>")?;
    }
    for remark in &listing.remarks {
        writeln!(out, "<p>{}</p>", text(remark))?;
    }
    writeln!(out, "</section>")
}

fn cell(cell: &Cell) -> String {
    let class = if cell.is_number() { " class=\"number\"" } else { "" };
    format!("<td{class}>{}</td>", text(&cell.shown()))
}
