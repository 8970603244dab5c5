//! The first lines of a comment: what a reviewer must read, and the differences from the base that only change the plan.
//!
//! The former are shortened before any is left out; the latter are folded, and those without room are counted.

use itertools::Itertools;

use crate::policy::ShownIn;

use super::escape::{clip, markdown as code};
use super::model::Model;
use super::sentences::{self, MustRead};
use super::words::{counted, length, number};

/// Characters of a sentence, and of one that must be shortened.
const WHOLE: usize = 500;
const SHORT: usize = 120;

/// Empty if there is nothing to report.
pub(super) fn write(model: &Model<'_>, max_chars: usize) -> String {
    let kinds = sentences::must_read_by_kind(model, ShownIn::Whole);
    let mut sentences: Vec<(&str, &str)> = kinds.iter().flat_map(of_kind).collect();
    let room = max_chars / 2;
    let mut lines = with(model, &sentences, WHOLE);
    if lines.iter().map(|line| length(line)).sum::<usize>() > room {
        lines = with(model, &sentences, SHORT);
    }
    if lines.iter().map(|line| length(line)).sum::<usize>() > room {
        sentences = in_turn(&kinds);
        lines = with(model, &sentences, SHORT);
    }
    let mut text = String::new();
    let shown = fill(&mut text, &lines, room);
    text.push_str(&left_out(&sentences[shown..], "more line|more lines"));
    text.push_str(&folded(model, text.is_empty(), max_chars / 8));
    text
}

/// The sentences as lines of the comment.
fn with(model: &Model<'_>, sentences: &[(&str, &str)], limit: usize) -> Vec<String> {
    let sandbox = if model.is_sandbox() { "SANDBOX · " } else { "" };
    let line = |(index, (_, sentence)): (usize, &(&str, &str))| {
        let sandbox = if index == 0 { sandbox } else { "" };
        format!("**{sandbox}⚠ {}**\n\n", code(&clip(sentence, limit)))
    };
    sentences.iter().enumerate().map(line).collect()
}

pub(super) fn of_kind(kind: &MustRead) -> impl Iterator<Item = (&str, &str)> {
    kind.sentences.iter().map(|sentence| (kind.section, sentence.as_str()))
}

/// The first of every kind, then the second of every kind, and so on, so that many of one kind do not crowd out another.
fn in_turn(kinds: &[MustRead]) -> Vec<(&str, &str)> {
    let mut turns: Vec<_> = kinds.iter().map(of_kind).collect();
    let mut sentences = Vec::new();
    loop {
        let before = sentences.len();
        sentences.extend(turns.iter_mut().filter_map(Iterator::next));
        if sentences.len() == before {
            return sentences;
        }
    }
}

/// By section, the number of lines to read that had no room.
pub(super) fn left_out(sentences: &[(&str, &str)], noun: &str) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let rest = counted(sentences.len() as u64, noun);
    let counts = sentences.iter().map(|(section, _)| *section).sorted().dedup_with_count();
    let counts = counts.map(|(count, section)| format!("{section} {}", number(count as u64))).join(", ");
    format!("**⚠ {rest} of what must be read first ({counts}): see another format**\n\n")
}

/// The differences that only change the plan, folded behind a line with their counts.
fn folded(model: &Model<'_>, is_first: bool, room: usize) -> String {
    let further = sentences::further(model, ShownIn::Whole);
    let all = sentences::further(model, ShownIn::Short).len();
    if further.is_empty() {
        return String::new();
    }
    let sandbox = if model.is_sandbox() && is_first { "SANDBOX · " } else { "" };
    let noun =
        if is_first { "difference from the base|differences from the base" } else { "more difference" };
    let counts = sentences::further_by_area(model);
    let mut text =
        format!("<details><summary>{sandbox}⚠ {}: {counts}</summary>\n\n", counted(all as u64, noun));
    let lines: Vec<String> =
        further.iter().map(|difference| format!("- {}\n", code(&clip(difference, WHOLE)))).collect();
    let shown = fill(&mut text, &lines, room);
    if shown < lines.len() {
        let rest = all.max(lines.len()) - shown;
        text.push_str(&format!("- … and {}\n", counted(rest as u64, "more difference")));
    }
    text + "\n</details>\n\n"
}

/// Appends the first lines that fit; returns their number.
fn fill(text: &mut String, lines: &[String], room: usize) -> usize {
    let mut left = room;
    for (at, line) in lines.iter().enumerate() {
        if length(line) > left {
            return at;
        }
        left -= length(line);
        text.push_str(line);
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Area, Difference};
    use crate::report::fixtures;
    use crate::report::markdown::{MAX_CHARS, markdown};
    use crate::report::model::{Input, Subject};

    fn comment(differences: &[Difference], max_chars: usize) -> String {
        let plan = fixtures::example();
        let input = Input { policy_changes: differences, ..Input::new(Subject::Plan, &plan) };
        let mut out = Vec::new();
        markdown(&Model::new(input), max_chars, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn differences(area: Area, count: usize) -> Vec<Difference> {
        (0..count).map(|number| Difference::new(area, &format!("d{number} {}", "z".repeat(200)))).collect()
    }

    #[test]
    fn every_difference_of_a_rail_is_shown_and_the_others_fold_away_with_their_counts() {
        let all = [(Area::Guard, 20), (Area::Protect, 20), (Area::Claims, 900), (Area::Data, 2)];
        let all: Vec<Difference> = all.iter().flat_map(|(area, count)| differences(*area, *count)).collect();
        let text = comment(&all, MAX_CHARS);
        assert_eq!(text.matches("**⚠ `guard changed: ").count(), 20);
        assert_eq!(text.matches("**⚠ `policy changed: ").count(), 20);
        let summary =
            "<details><summary>⚠ 902 more differences: claims 900, data 2</summary>\n\n- `policy changed: ";
        assert!(text.contains(summary), "{text}");
        let shown = text.matches("- `policy changed: ").count();
        assert!(text.contains(&format!("- … and {} more differences\n\n</details>", 902 - shown)), "{text}");
        assert!(text.find("**⚠ `policy changed").unwrap() < text.find("<details>").unwrap());
    }

    #[test]
    fn what_must_be_read_is_shortened_before_it_is_left_out_and_what_is_left_out_is_counted() {
        let text = comment(&differences(Area::Scope, 30), 12_000);
        assert_eq!(text.matches("**⚠ `policy changed: ").count(), 30, "{text}");
        let text = comment(&differences(Area::Scope, 30), 4_000);
        let shown = text.matches("**⚠ `policy changed: ").count();
        let left = 30 - shown;
        let rest = format!("**⚠ {left} more lines of what must be read first (scope {left})");
        assert!(shown < 30 && text.contains(&rest), "{text}");
    }

    #[test]
    fn many_differences_of_one_kind_push_none_of_another_out() {
        let base = crate::diagnostic::Sources::from_text(
            "p.yaml",
            "version: 1\nscope: { computerDnsName: a }\nprotect:\n- { name: zdcs, select: { computerDnsName: dc } }\n",
        );
        let protect =
            |number| format!("- {{ name: harmless{number}, select: {{ computerDnsName: h{number} }} }}\n");
        let new: String = (0..900).map(protect).collect();
        let new = crate::diagnostic::Sources::from_text("p.yaml", &format!("version: 1\nprotect:\n{new}"));
        let differences = crate::policy::differences(&base, &new);
        for max_chars in [MAX_CHARS, 4_000, 2_000] {
            let text = comment(&differences, max_chars);
            for gone in ["scope is taken out", "zdcs"] {
                assert!(text.find(gone).unwrap() < text.find("harmless1").unwrap_or(usize::MAX), "{text}");
            }
            assert!(text.contains("of what must be read first (protect "), "{text}");
        }
    }
}
