//! What a plan causes in the device groups: a table, and a picture of the moves as inline SVG.
//!
//! The picture repeats the table, so that no meaning hangs on colour or width.

use std::io::{self, Write};

use crate::plan::consequences::{Consequences, GroupMove, RemediationChange};
use crate::report::consequences;
use crate::report::escape::{clip, html as text};
use crate::report::model::Model;
use crate::report::words::{counted, number};

use super::LIST;

/// Moves that are drawn.
const DRAWN: usize = 12;

/// Writes the section, if the plan knows device groups.
pub(super) fn write(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Some(found) = consequences::foreseen(model) else { return Ok(()) };
    writeln!(
        out,
        "<section aria-labelledby=\"moves\"><h2 id=\"moves\">{}</h2>",
        text(&consequences::heading(found))
    )?;
    if !found.moves.is_empty() {
        picture(&found.moves, out)?;
        table(found, out)?;
    }
    let counts = consequences::counts(found);
    if !counts.is_empty() {
        writeln!(out, "<ul>")?;
        for (name, before, after) in counts {
            let name = text(&clip(name, 200));
            writeln!(out, "<li><bdi>{name}</bdi>: {} → {}</li>", number(before), counted(after, "device"))?;
        }
        writeln!(out, "</ul>")?;
    }
    if let Some(exposure) = consequences::exposure(found) {
        writeln!(out, "<p>{exposure}</p>")?;
    }
    writeln!(out, "</section>")
}

fn table(found: &Consequences, out: &mut dyn Write) -> io::Result<()> {
    let heads =
        ["From", "To", "Devices", "Because of", "Remediation", "Gain sight", "Lose sight", "For example"];
    writeln!(
        out,
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-labelledby=\"moves\"><table class=\"groups\"><thead><tr>"
    )?;
    for head in heads {
        let number = if head == "Devices" { " class=\"number\"" } else { "" };
        write!(out, "<th scope=\"col\"{number}>{head}</th>")?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    let name = |name: &str| format!("<bdi>{}</bdi>", text(&clip(name, 200)));
    for one in found.moves.iter().take(LIST) {
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            name(&one.from),
            name(&one.to),
            number(one.devices),
            consequences::names(&one.tags, &name),
            word(one.remediation),
            consequences::names(&one.gain, &name),
            consequences::names(&one.lose, &name),
            consequences::names(&one.sample, &name),
        )?;
    }
    writeln!(out, "</tbody></table></div>")?;
    match found.moves.len().saturating_sub(LIST) {
        0 => Ok(()),
        rest => writeln!(out, "<p>… and {}</p>", counted(rest as u64, "more move")),
    }
}

fn word(change: RemediationChange) -> &'static str {
    match change {
        RemediationChange::Rises => "<strong class=\"bad\">rises</strong>",
        RemediationChange::Falls => "falls",
        RemediationChange::Same => "same",
        RemediationChange::Unknown => "unknown",
    }
}

/// Each move a band from its group to the next, as wide as its share of the largest move.
fn picture(moves: &[GroupMove], out: &mut dyn Write) -> io::Result<()> {
    const STEP: usize = 44;
    const WIDEST: u64 = 20;
    let drawn = &moves[..moves.len().min(DRAWN)];
    let most = drawn.iter().map(|one| one.devices).max().unwrap_or(0).max(1);
    let title = format!("The largest moves between device groups, {} of {}", drawn.len(), moves.len());
    let height = drawn.len() * STEP;
    writeln!(out, "<figure class=\"moves\"><figcaption>{title}</figcaption>")?;
    writeln!(
        out,
        "<svg viewBox=\"0 0 400 {height}\" role=\"img\" aria-label=\"{title}; the table lists them\">"
    )?;
    for (at, one) in drawn.iter().enumerate() {
        let (label, band) = (at * STEP + 13, at * STEP + 29);
        let thick = (u128::from(one.devices) * u128::from(WIDEST) / u128::from(most)).max(2);
        let class = match one.remediation {
            RemediationChange::Rises => "rises",
            RemediationChange::Falls => "falls",
            RemediationChange::Same | RemediationChange::Unknown => "same",
        };
        let [from, to] = [&one.from, &one.to].map(|name| (text(&clip(name, 300)), text(&clip(name, 24))));
        writeln!(
            out,
            "<line x1=\"0\" y1=\"{band}\" x2=\"388\" y2=\"{band}\" stroke-width=\"{thick}\" class=\"flow {class}\"/>"
        )?;
        writeln!(out, "<path d=\"M386 {} l14 12 l-14 12 z\" class=\"head {class}\"/>", band - 12)?;
        writeln!(out, "<text x=\"0\" y=\"{label}\"><title>{}</title>{}</text>", from.0, from.1)?;
        writeln!(out, "<text x=\"200\" y=\"{label}\" class=\"middle\">{}</text>", number(one.devices))?;
        writeln!(out, "<text x=\"400\" y=\"{label}\" class=\"end\"><title>{}</title>{}</text>", to.0, to.1)?;
    }
    writeln!(out, "</svg></figure>")
}
