//! Listings as one self-contained page: tables without a script.

use std::io::{self, Write};

use crate::report::listing::{Cell, Listing};

use super::markup::{Markup, emit, markup};
use super::{STYLE, source_digest};

/// Writes the page: each listing is a table below its heading.
///
/// # Errors
/// Those of the writer.
pub fn listing_page(title: &str, listings: &[Listing], out: &mut dyn Write) -> io::Result<()> {
    let policy = markup!(
        "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'",
        source_digest(STYLE)
    );
    emit!(out, "<!doctype html><!-- mdetag -->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    emit!(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">", policy)?;
    emit!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    emit!(out, "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>", title)?;
    emit!(
        out,
        "<style>{}</style>\n</head>\n<body>\n<header><h1>{}</h1></header>\n<main>",
        Markup::constant(STYLE),
        title
    )?;
    for listing in listings {
        table(listing, out)?;
    }
    emit!(out, "</main>\n</body>\n</html>")
}

fn table(listing: &Listing, out: &mut dyn Write) -> io::Result<()> {
    emit!(out, "<section>\n<h2>{}</h2>", listing.first_line())?;
    if !listing.rows.is_empty() {
        emit!(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">", listing.kind)?;
        let titles = listing.columns.iter().map(|column| markup!("<th scope=\"col\">{}</th>", column.key));
        emit!(out, "<table><thead><tr>{}</tr></thead><tbody>", Markup::joined(titles, ""))?;
        for row in &listing.rows {
            let cells = Markup::joined(row.iter().map(cell), "");
            emit!(out, "<tr>{}</tr>", cells)?;
        }
        emit!(out, "</tbody></table></div>")?;
    }
    for remark in &listing.remarks {
        emit!(out, "<p>{}</p>", remark)?;
    }
    emit!(out, "</section>")
}

fn cell(cell: &Cell) -> Markup {
    let class = if cell.is_number() { markup!(" class=\"number\"") } else { Markup::default() };
    markup!("<td{}>{}</td>", class, cell.shown())
}
