//! Fits the tables of a comment into a number of characters: removals and failures in full or short form, then the largest of the
//! rest, and a note about what was cut.
//!
//! Sees rows only as text; `markdown` writes them.

use itertools::Itertools;

use super::fold::Line;
use super::model::{ChangeGroup, ReportedChange, Totals};
use super::sentences;

use super::words::{counted, length, number};

const HEADER: &str = "| | Tag or value | Devices | Why | Where |\n|---|---|---:|---|---|\n";

/// Characters reserved for the note about the cut.
const NOTE: usize = 240;

/// A row as text, and whether it must be seen.
struct CutRow {
    text: String,
    must: bool,
    rank: (bool, u64),
    /// Number of groups in the row.
    groups: u64,
    sum: Totals,
}

/// One table per half, within `room` characters together.
pub(super) fn tables(
    halves: &[Vec<Line<'_, '_>>],
    room: usize,
    row: &dyn Fn(&Line<'_, '_>) -> String,
    short_row: &dyn Fn(&ChangeGroup<'_>) -> (String, String),
) -> Vec<String> {
    let shown = halves.iter().filter(|lines| !lines.is_empty()).count();
    let mut left = room.saturating_sub(shown * (HEADER.len() + 1 + NOTE));
    let halves: Vec<(Vec<CutRow>, &Vec<Line<'_, '_>>)> =
        halves.iter().map(|lines| (lines.iter().map(|line| rendered(line, row)).collect(), lines)).collect();
    let needed: usize =
        halves.iter().flat_map(|(rows, _)| rows).filter(|row| row.must).map(|row| length(&row.text)).sum();
    let is_short = needed > left;
    let mut shorts = Vec::new();
    if is_short {
        // The halves share the room in proportion to their rows that must be shown.
        let musts: Vec<usize> =
            halves.iter().map(|(rows, _)| rows.iter().filter(|row| row.must).count()).collect();
        let all = musts.iter().sum::<usize>().max(1);
        shorts = halves
            .iter()
            .zip(&musts)
            .map(|((_, lines), must)| short(lines, left * must / all, short_row))
            .collect();
        left = left.saturating_sub(shorts.iter().map(|text| length(text)).sum());
    } else {
        left -= needed;
    }
    let mut tables = Vec::new();
    for (index, (rows, lines)) in halves.iter().enumerate() {
        if lines.is_empty() {
            tables.push(String::new());
            continue;
        }
        let mut table = fill(rows, is_short, &mut left);
        if let Some(short) = shorts.get(index) {
            table.push_str(short);
        }
        tables.push(table);
    }
    tables
}

fn rendered(line: &Line<'_, '_>, row: &dyn Fn(&Line<'_, '_>) -> String) -> CutRow {
    let must = match line {
        Line::Group(group) => matches!(group.what, ReportedChange::Remove(_)) || group.error.is_some(),
        Line::Tags { .. } | Line::Rest { .. } => false,
    };
    let mut sum = Totals::default();
    line.add_to(&mut sum);
    let groups = match line {
        Line::Group(_) => 1,
        Line::Tags { groups, .. } => groups.len() as u64,
        Line::Rest { lines, .. } => *lines as u64,
    };
    CutRow { text: row(line), must, rank: line.rank(), groups, sum }
}

/// The rows that fit, in their order. The largest are chosen first.
fn fill(rows: &[CutRow], is_short: bool, left: &mut usize) -> String {
    let mut chosen: Vec<bool> = rows.iter().map(|row| row.must && !is_short).collect();
    let others = (0..rows.len()).filter(|at| !rows[*at].must);
    for at in others.sorted_by_key(|at| std::cmp::Reverse(rows[*at].rank)) {
        let needed = length(&rows[at].text);
        if needed > *left {
            break;
        }
        *left -= needed;
        chosen[at] = true;
    }
    let mut cut = (0, Totals::default());
    let mut table = String::new();
    for (row, is_chosen) in rows.iter().zip(chosen) {
        if is_chosen {
            table.push_str(&row.text);
        } else if !row.must {
            cut.0 += row.groups;
            cut.1.additions += row.sum.additions;
            cut.1.removals += row.sum.removals;
            cut.1.values += row.sum.values;
        }
    }
    if !table.is_empty() {
        table = format!("{HEADER}{table}\n");
    }
    if cut.0 > 0 {
        let groups = counted(cut.0, "group");
        table.push_str(&format!(
            "*Cut to fit: {groups} with {}; the other formats have all.*\n\n",
            sentences::counts(cut.1)
        ));
    }
    table
}

/// Groups that must be shown, one line per cause: as many names as fit, each with its count, and every count in any case.
fn short(
    lines: &[Line<'_, '_>],
    room: usize,
    short_row: &dyn Fn(&ChangeGroup<'_>) -> (String, String),
) -> String {
    let groups = lines.iter().filter_map(|line| match line {
        Line::Group(group) if matches!(group.what, ReportedChange::Remove(_)) || group.error.is_some() => {
            Some(*group)
        }
        _ => None,
    });
    let mut causes: Vec<(String, Vec<(u64, String)>)> = Vec::new();
    let mut places = hashbrown::HashMap::new();
    for group in groups {
        let (cause, item) = short_row(group);
        let place = *places.entry(cause.clone()).or_insert_with(|| {
            causes.push((cause, Vec::new()));
            causes.len() - 1
        });
        causes[place].1.push((group.changes(), item));
    }
    causes.sort_by_cached_key(|(_, items)| {
        std::cmp::Reverse(items.iter().map(|(count, _)| count).sum::<u64>())
    });
    let heads: Vec<String> = causes
        .iter()
        .map(|(cause, items)| {
            let count = items.iter().map(|(count, _)| count).sum();
            format!("- {cause}: {}, {}", counted(items.len() as u64, "tag"), counted(count, "change"))
        })
        .collect();
    let needed: usize = heads.iter().map(|head| length(head) + 1).sum::<usize>() + 1;
    if needed > room {
        let tags: usize = causes.iter().map(|(_, items)| items.len()).sum();
        let changes: u64 = causes.iter().flat_map(|(_, items)| items).map(|(count, _)| count).sum();
        let causes = counted(causes.len() as u64, "cause");
        return format!(
            "- removals and failures for {causes}: {}, {}\n\n",
            counted(tags as u64, "tag"),
            counted(changes, "change")
        );
    }
    let mut left = room - needed;
    let mut text = String::new();
    for ((_, items), head) in causes.iter_mut().zip(heads) {
        text.push_str(&head);
        items.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        append_items(&mut text, items, &mut left);
        text.push('\n');
    }
    text + "\n"
}

/// Appends as many items as fit after a head, and the number of the rest.
fn append_items(text: &mut String, items: &[(u64, String)], left: &mut usize) {
    const REST: usize = 60;
    for (at, (_, item)) in items.iter().enumerate() {
        let needed = length(item) + 2;
        if needed + REST > *left {
            let rest = &items[at..];
            let changes = rest.iter().map(|(count, _)| count).sum();
            if at > 0 {
                let more =
                    format!(", … {} more with {}", number(rest.len() as u64), counted(changes, "change"));
                *left = left.saturating_sub(length(&more));
                text.push_str(&more);
            }
            return;
        }
        *left -= needed;
        text.push_str(if at == 0 { ": " } else { ", " });
        text.push_str(item);
    }
}
