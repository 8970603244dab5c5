//! Whether two globs can match the same text, for findings that say "might overlap".
//!
//! May say yes when the answer is no (many alternatives, very long patterns), never the other way round.

use crate::pattern::{Glob, GlobPart};
use crate::tag::TagCase;
use crate::text;

/// The most alternatives a pattern is expanded into; beyond it a `{…}` counts as `*`.
const MAX_ALTERNATIVES: usize = 32;

/// The remaining work, in compared pairs of pattern positions. When none is left, everything counts as overlapping.
pub(super) struct ComparisonBudget(usize);

impl ComparisonBudget {
    pub(super) fn new() -> ComparisonBudget {
        ComparisonBudget(10_000_000)
    }

    /// Whether no work is left, so that answers are no longer certain.
    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// One position of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Run,
    /// One scalar in one of these ranges.
    Scalar(Vec<(char, char)>),
}

/// A pattern expanded into several without alternatives.
#[derive(Clone, Debug)]
pub(super) struct FlatPattern {
    alternatives: Vec<Vec<Piece>>,
    /// The literal start of every matching text.
    prefix: String,
    /// How the pattern compares case.
    case: TagCase,
}

impl FlatPattern {
    /// The shape of a glob.
    pub(super) fn new(glob: &Glob, case: TagCase) -> FlatPattern {
        FlatPattern::of_parts(glob.parts(), &glob.literal_start(), case)
    }

    /// The shape of exactly this text.
    pub(super) fn literal(text: &str, case: TagCase) -> FlatPattern {
        let parts: Vec<GlobPart> = text.chars().map(GlobPart::Literal).collect();
        FlatPattern::of_parts(&parts, text, case)
    }

    fn of_parts(parts: &[GlobPart], prefix: &str, case: TagCase) -> FlatPattern {
        let mut alternatives = vec![Vec::new()];
        for part in parts {
            if let GlobPart::Alternatives(branches) = part {
                multiply(&mut alternatives, branches, case);
            } else {
                let piece = piece(part, case);
                alternatives.iter_mut().for_each(|pieces| pieces.push(piece.clone()));
            }
        }
        FlatPattern { alternatives, prefix: case.key(prefix).into_owned(), case }
    }

    /// Whether a text can match: a cheap first check.
    pub(super) fn may_match(&self, text: &str) -> bool {
        self.case.key(text).starts_with(&self.prefix)
    }

    /// Whether a text can match both.
    pub(super) fn overlaps(&self, other: &FlatPattern, effort: &mut ComparisonBudget) -> bool {
        if !self.prefix.starts_with(&other.prefix) && !other.prefix.starts_with(&self.prefix) {
            return false;
        }
        self.alternatives.iter().any(|one| other.alternatives.iter().any(|two| meet(one, two, effort)))
    }
}

/// One part as a position. Alternatives would be several positions, and count as any run here.
fn piece(part: &GlobPart, case: TagCase) -> Piece {
    match part {
        GlobPart::Literal(scalar) => Piece::Scalar(counted(vec![(*scalar, *scalar)], case)),
        GlobPart::AnyScalar => Piece::Scalar(vec![('\0', char::MAX)]),
        GlobPart::Class { is_negated: false, ranges } => Piece::Scalar(counted(ranges.clone(), case)),
        GlobPart::Class { is_negated: true, ranges } => Piece::Scalar(gaps(counted(ranges.clone(), case))),
        GlobPart::Run | GlobPart::Alternatives(_) => Piece::Run,
    }
}

/// Ranges extended by the scalars that count as theirs.
fn counted(ranges: Vec<(char, char)>, case: TagCase) -> Vec<(char, char)> {
    match case {
        TagCase::Exact => ranges,
        TagCase::Insensitive => text::fold_ranges(&ranges),
    }
}

/// Every scalar that is in none of the ranges.
fn gaps(mut ranges: Vec<(char, char)>) -> Vec<(char, char)> {
    ranges.sort_unstable();
    let mut gaps = Vec::new();
    let mut next = '\0';
    for (low, high) in ranges {
        if low > next {
            // The scalar before `low`; below the surrogates' gap that is the one before the gap.
            let before = char::from_u32(low as u32 - 1).unwrap_or('\u{D7FF}');
            gaps.push((next, before));
        }
        if high >= next {
            match char::from_u32(high as u32 + 1).or_else(|| (high < char::MAX).then_some('\u{E000}')) {
                Some(after) => next = after,
                None => return gaps,
            }
        }
    }
    gaps.push((next, char::MAX));
    gaps
}

/// Continues each alternative with each branch. Too many count as any run.
fn multiply(alternatives: &mut Vec<Vec<Piece>>, branches: &[Vec<GlobPart>], case: TagCase) {
    if branches.len() * alternatives.len() > MAX_ALTERNATIVES {
        alternatives.iter_mut().for_each(|pieces| pieces.push(Piece::Run));
        return;
    }
    let branches: Vec<Vec<Piece>> =
        branches.iter().map(|branch| branch.iter().map(|part| piece(part, case)).collect()).collect();
    *alternatives = alternatives
        .iter()
        .flat_map(|pieces| branches.iter().map(move |branch| [pieces.as_slice(), branch.as_slice()].concat()))
        .collect();
}

/// Walks the grid of positions of both patterns: the end of both is reachable exactly if some text matches both.
fn meet(one: &[Piece], two: &[Piece], effort: &mut ComparisonBudget) -> bool {
    let cells = (one.len() + 1) * (two.len() + 1);
    if effort.0 < cells {
        effort.0 = 0;
        return true;
    }
    effort.0 -= cells;
    let width = two.len() + 1;
    let mut reached = vec![false; cells];
    reached[0] = true;
    for i in 0..=one.len() {
        for j in 0..=two.len() {
            if !reached[i * width + j] {
                continue;
            }
            let (left, right) = (one.get(i), two.get(j));
            if left == Some(&Piece::Run) {
                reached[(i + 1) * width + j] = true;
                if j < two.len() {
                    reached[i * width + j + 1] = true;
                }
            }
            if right == Some(&Piece::Run) {
                reached[i * width + j + 1] = true;
                if i < one.len() {
                    reached[(i + 1) * width + j] = true;
                }
            }
            if let (Some(Piece::Scalar(left)), Some(Piece::Scalar(right))) = (left, right)
                && left.iter().any(|(low, high)| right.iter().any(|(from, to)| low <= to && from <= high))
            {
                reached[(i + 1) * width + j + 1] = true;
            }
        }
    }
    reached[cells - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_overlap_when_one_text_matches_both() {
        let cases = [
            ("env/*", "env/prod", true),
            ("env/*", "owner:*", false),
            ("*-a", "b-*", true),
            ("a*b", "a*c", false),
            ("[a-c]x", "[!a-b]x", true),
            ("[a-b]x", "[!a-b]x", false),
            ("{a,b}*", "{c,d}*", false),
            ("{a,b}*", "*b", true),
            ("a?", "ab*", true),
            ("a?", "abc*", false),
            (r"\*x", "*x", true),
            (r"\*x", "?y", false),
            ("*", "", true),
            ("a", "a", true),
        ];
        for (one, two, expected) in cases {
            let flat = |glob| FlatPattern::new(&Glob::exact(glob).unwrap(), TagCase::Exact);
            let (one, two) = (flat(one), flat(two));
            assert_eq!(one.overlaps(&two, &mut ComparisonBudget::new()), expected, "{one:?} {two:?}");
            assert_eq!(two.overlaps(&one, &mut ComparisonBudget::new()), expected, "{two:?} {one:?}");
        }
    }

    #[test]
    fn globs_overlap_without_case_where_case_does_not_count() {
        for (one, two, expected) in [("ENV/*", "env/p*", true), ("[A-C]x", "bX", true), ("[!b]", "B", false)]
        {
            let flat = |glob| FlatPattern::new(&Glob::without_case(glob).unwrap(), TagCase::Insensitive);
            let (one, two) = (flat(one), flat(two));
            assert_eq!(one.overlaps(&two, &mut ComparisonBudget::new()), expected, "{one:?} {two:?}");
        }
    }
}
