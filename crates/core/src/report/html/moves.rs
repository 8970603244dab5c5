//! The effects of a plan on the device groups: a table, and a picture of the moves as inline SVG.
//!
//! The picture repeats the table, so that neither colour nor width carries the meaning alone.

use std::io::{self, Write};

use crate::plan::consequences::{Consequences, GroupMove, RemediationChange};
use crate::report::consequences;
use crate::report::escape::clip;
use crate::report::model::Model;
use crate::report::words::{counted, number};

use super::LIST;
use super::markup::{Markup, emit, markup};

/// The most moves that are drawn.
const DRAWN: usize = 12;

/// Writes the section, if the plan knows device groups.
pub(super) fn write(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Some(found) = consequences::foreseen(model) else { return Ok(()) };
    emit!(out, "<section aria-labelledby=\"moves\"><h2 id=\"moves\">{}</h2>", consequences::heading(found))?;
    if !found.moves.is_empty() {
        picture(&found.moves, out)?;
        table(found, out)?;
    }
    let counts = consequences::counts(found);
    if !counts.is_empty() {
        emit!(out, "<ul>")?;
        for (name, before, after) in counts {
            let name = clip(name, 200);
            emit!(out, "<li><bdi>{}</bdi>: {} → {}</li>", name, number(before), counted(after, "device"))?;
        }
        emit!(out, "</ul>")?;
    }
    if let Some(exposure) = consequences::exposure(found) {
        emit!(out, "<p>{}</p>", exposure)?;
    }
    emit!(out, "</section>")
}

fn table(found: &Consequences, out: &mut dyn Write) -> io::Result<()> {
    const HEADS: [&str; 9] = [
        "From",
        "To",
        "Devices",
        "Because of",
        "Remediation",
        "Gain sight",
        "Lose sight",
        "For example",
        "UNRELIABLE",
    ];
    let is_doubted = found.moves.iter().any(|one| !one.unreliable.is_empty());
    let heads = &HEADS[..HEADS.len() - usize::from(!is_doubted)];
    emit!(
        out,
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"All moves\"><table class=\"groups moved cards\"><thead><tr>"
    )?;
    for head in heads {
        let number = if *head == "Devices" { markup!(" class=\"number\"") } else { Markup::default() };
        write!(out, "{}", markup!("<th scope=\"col\"{}>{}</th>", number, head))?;
    }
    emit!(out, "</tr></thead><tbody>")?;
    for one in found.moves.iter().take(LIST) {
        let doubts = consequences::doubts(one, &|group| clip(group, 200).into_owned());
        let cells = [
            name(&one.from),
            name(&one.to),
            markup!("{}", number(one.devices)),
            names(&one.tags),
            word(one.remediation),
            names(&one.gain),
            names(&one.lose),
            names(&one.sample),
            doubts.map_or_else(Markup::default, |doubts| markup!("<bdi class=\"bad\">{}</bdi>", doubts)),
        ];
        emit!(out, "<tr>")?;
        for (head, cell) in heads.iter().zip(&cells) {
            let class = if *head == "Devices" { markup!(" class=\"number\"") } else { Markup::default() };
            emit!(out, "<td data-name=\"{}\"{}>{}</td>", head, class, cell)?;
        }
        emit!(out, "</tr>")?;
    }
    emit!(out, "</tbody></table></div>")?;
    match found.moves.len().saturating_sub(LIST) {
        0 => Ok(()),
        rest => emit!(out, "<p>… and {}</p>", counted(rest as u64, "more move")),
    }
}

fn name(name: &str) -> Markup {
    markup!("<bdi>{}</bdi>", clip(name, 200))
}

fn names(list: &[String]) -> Markup {
    let shown = list.iter().take(consequences::NAMES).map(|listed| name(listed));
    let more = list.len().saturating_sub(consequences::NAMES) as u64;
    let more = (more > 0).then(|| markup!("… {} more", number(more)));
    Markup::joined(shown.chain(more), ", ")
}

fn word(change: RemediationChange) -> Markup {
    let word = consequences::change_word(change);
    match change {
        RemediationChange::Rises => markup!("<strong class=\"bad\">{}</strong>", word),
        _ => markup!("{}", word),
    }
}

/// Each move is an arrow under its words, as thick as its share of the largest move. The words are not part of the drawing, so
/// they keep their size on a phone and on a wide screen.
fn picture(moves: &[GroupMove], out: &mut dyn Write) -> io::Result<()> {
    const WIDEST: u64 = 20;
    let drawn = &moves[..moves.len().min(DRAWN)];
    let most = drawn.iter().map(|one| one.devices).max().unwrap_or(0).max(1);
    let title = match moves.len() - drawn.len() {
        0 => "Moves between device groups".to_owned(),
        _ => format!("The {} largest of {} moves between device groups", drawn.len(), moves.len()),
    };
    emit!(
        out,
        "<figure class=\"moves\"><figcaption>{}: thickness by devices, colour by automatic remediation</figcaption><ol>",
        title
    )?;
    for one in drawn {
        let thick = (u128::from(one.devices) * u128::from(WIDEST) / u128::from(most)).max(2);
        let class = match one.remediation {
            RemediationChange::Rises => "rises",
            RemediationChange::Falls => "falls",
            RemediationChange::Same | RemediationChange::Unknown => "same",
        };
        let doubted = if one.unreliable.is_empty() { "" } else { " doubted" };
        let mark = if one.unreliable.is_empty() { "" } else { ", UNRELIABLE" };
        let [from, to] = [&one.from, &one.to].map(|name| clip(name, 80));
        emit!(
            out,
            "<li><bdi>{}</bdi> → <bdi>{}</bdi>: {}, <span class=\"{}\">{}</span>{}",
            from,
            to,
            counted(one.devices, "device"),
            class,
            consequences::remediation(one.remediation),
            mark
        )?;
        emit!(
            out,
            "<svg viewBox=\"0 0 400 24\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><line x1=\"0\" y1=\"12\" x2=\"394\" y2=\"12\" stroke-width=\"{}\" class=\"flow {}{}\"/><path d=\"M393 0 l7 12 l-7 12 z\" class=\"head {}\"/></svg></li>",
            thick,
            class,
            doubted,
            class
        )?;
    }
    emit!(out, "</ol></figure>")
}
