//! The list of groups as columns that fit the terminal. On a narrow one, cause and place go to a line of their own.
//!
//! Cuts names that do not fit, but never counts, causes or places.

use std::borrow::Cow;
use std::io::{self, Write};

use super::escape::{clip, terminal};
use super::fold::Line;
use super::last;
use super::model::{ChangeGroup, Model, ReportedChange};
use super::renamed;
use super::sentences;
use super::style::{Paint, Style, fit, pad, width, wrap};
use super::words::{cause, cause_place, noun_for, number, outcome_phrase, place};

/// The most groups with which each shows three of its devices.
const GROUPS_WITH_SAMPLES: usize = 20;

/// The cells of one line.
struct Cells {
    paint: Paint,
    symbol: &'static str,
    label: String,
    count: String,
    noun: String,
    cause: String,
    place: String,
    /// Further lines below it.
    below: Vec<String>,
}

pub(super) fn write(
    model: &Model<'_>,
    lines: &[Line<'_, '_>],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let with_samples = style.details || lines.len() <= GROUPS_WITH_SAMPLES;
    let cells: Vec<Cells> = lines.iter().map(|line| cells(model, line, with_samples, style)).collect();
    let widest = |cell: &dyn Fn(&Cells) -> usize| cells.iter().map(cell).max().unwrap_or(0);
    let count = widest(&|cells| width(&cells.count));
    let noun = widest(&|cells| width(&cells.noun));
    let cause = widest(&|cells| width(&cells.cause));
    let place = widest(&|cells| width(&cells.place));
    let fixed = "  + ".len() + 2 + count + 1 + noun;
    let widest_label = widest(&|cells| width(&cells.label)).max(18);
    let label = if style.details {
        widest_label
    } else {
        widest_label.min(style.width.saturating_sub(fixed).max(12))
    };
    let is_wide = fixed + widest_label + 3 + cause + 2 + place <= style.width;
    for cells in &cells {
        let name = pad(&fit(&cells.label, label), label);
        let head = format!("{} {name}", cells.symbol);
        let counted = format!("{:>count$} {}", cells.count, pad(&cells.noun, noun));
        let mut line = format!("  {}  {counted}", style.paint(cells.paint, &head));
        if is_wide {
            let tail = if cells.place.is_empty() {
                cells.cause.clone()
            } else {
                format!("{}  {}", pad(&cells.cause, cause), style.paint(Paint::Faint, &cells.place))
            };
            line.push_str(&format!("   {tail}"));
        }
        writeln!(out, "{}", line.trim_end())?;
        if !is_wide {
            let items = [&cells.cause, &cells.place].into_iter().filter(|item| !item.is_empty());
            for line in wrap(items.map(|item| Cow::Borrowed(item.as_str())), " · ", (6, 6), style.width) {
                writeln!(out, "{line}")?;
            }
        }
        for line in &cells.below {
            writeln!(out, "{}", style.paint(Paint::Faint, line))?;
        }
    }
    Ok(())
}

fn cells(model: &Model<'_>, line: &Line<'_, '_>, with_samples: bool, style: &Style) -> Cells {
    match line {
        Line::Group(group) => group_cells(model, group, with_samples, style),
        Line::Tags { is_removal, cause, groups } => {
            let changes = line.changes();
            // Every removed tag is named with its count; of added ones, three are.
            let shown = if *is_removal { groups.len() } else { 3 };
            let names = groups.iter().take(shown).map(|group| {
                let name = short(&group.what.label());
                let last = last::phrase(&group.last)
                    .map_or_else(String::new, |mark| format!("; {}", terminal(&mark)));
                if *is_removal {
                    format!("{name} ({}{last})", number(group.devices())).into()
                } else {
                    name.into()
                }
            });
            let rest = groups.len().saturating_sub(shown) as u64;
            let more = (rest > 0).then(|| format!("… {} more", number(rest)).into());
            Cells {
                paint: if *is_removal { Paint::Bad } else { Paint::Good },
                symbol: if *is_removal { "-" } else { "+" },
                label: format!("{} tags", number(groups.len() as u64)),
                count: number(changes),
                noun: noun_for(changes, if *is_removal { "removal" } else { "addition" }),
                below: wrap(names.chain(more), ", ", (6, 6), style.width),
                ..reason(model, Some(*cause))
            }
        }
        Line::Rest { lines, changes } => Cells {
            paint: Paint::Faint,
            symbol: "…",
            label: format!("{} more groups", number(*lines as u64)),
            count: number(changes.changes()),
            noun: noun_for(changes.changes(), "change"),
            cause: format!("{}; --details lists all", sentences::counts(*changes)),
            ..reason(model, None)
        },
    }
}

fn group_cells(model: &Model<'_>, group: &ChangeGroup<'_>, with_samples: bool, style: &Style) -> Cells {
    let devices = group.devices();
    let paint = match group.what {
        ReportedChange::Add(_) => Paint::Good,
        ReportedChange::Remove(_) => Paint::Bad,
        ReportedChange::Value { .. } => Paint::Notice,
    };
    let mut below = Vec::new();
    if with_samples {
        let shown = if style.details { usize::MAX } else { 3 };
        let names = group.members.iter().take(shown).map(|member| short(model.device_name(*member)).into());
        let rest = group.members.len().saturating_sub(shown) as u64;
        let more = (rest > 0).then(|| format!("… {} more", number(rest)).into());
        below = wrap(names.chain(more), ", ", (6, 6), style.width);
    }
    let mut reason = reason(model, group.cause);
    if let Some(why) = renamed::why(group) {
        reason.cause = terminal(&clip(&why, 200)).into_owned();
    }
    if let Some(mark) = last::phrase(&group.last) {
        reason.cause.push_str(&format!("; {}", terminal(&mark)));
    }
    if let Some(outcome) = group.outcome {
        let error =
            group.error.map_or_else(String::new, |error| format!(": {}", terminal(&clip(error, 300))));
        // The outcome matters more than the reason for the change, which is in the plan.
        reason.cause = format!("{}{error}", outcome_phrase(outcome));
        if group.error.is_none() {
            reason.place = String::new();
        }
    }
    Cells {
        paint,
        symbol: group.what.symbol(),
        label: terminal(&renamed::label(group)).into_owned(),
        count: number(devices),
        noun: noun_for(devices, "device"),
        below,
        ..reason
    }
}

/// A row with only cause and place.
fn reason(model: &Model<'_>, index: Option<crate::plan::CauseIndex>) -> Cells {
    let plan = model.plan();
    let why = index.and_then(|index| plan.causes.get(index.0 as usize));
    Cells {
        paint: Paint::Faint,
        symbol: " ",
        label: String::new(),
        count: String::new(),
        noun: String::new(),
        cause: why.map_or_else(String::new, |why| terminal(&clip(&cause(plan, why), 200)).into_owned()),
        place: why
            .and_then(|why| cause_place(plan, why))
            .map_or_else(String::new, |at| terminal(&place(at)).into_owned()),
        below: Vec::new(),
    }
}

fn short(name: &str) -> String {
    terminal(&clip(name, 80)).into_owned()
}
