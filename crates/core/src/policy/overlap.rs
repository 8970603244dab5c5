//! Whether two globs can match the same text: what "might overlap" means when a set is checked.
//!
//! May say yes where the answer is no (many alternatives, very long patterns); never the other way round.

use crate::tag::TagCase;
use crate::text;

/// The most alternatives a pattern is expanded into; beyond it a `{…}` counts as `*`.
const MAX_ALTERNATIVES: usize = 32;

/// Work that may still be spent, in compared pairs of pattern positions; when it is used up everything overlaps.
pub(super) struct ComparisonBudget(usize);

impl ComparisonBudget {
    pub(super) fn new() -> ComparisonBudget {
        ComparisonBudget(10_000_000)
    }
}

/// One position of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Any run.
    Run,
    /// One scalar in one of these ranges.
    Scalar(Vec<(char, char)>),
}

/// A pattern without alternatives, several times.
#[derive(Clone, Debug)]
pub(super) struct FlatPattern {
    alternatives: Vec<Vec<Piece>>,
    /// What every matching text starts with.
    prefix: String,
    /// How both compare.
    case: TagCase,
}

impl FlatPattern {
    /// The shape of a checked glob.
    pub(super) fn new(glob: &str, case: TagCase) -> FlatPattern {
        let mut alternatives = vec![Vec::new()];
        let mut scalars = glob.chars().peekable();
        while let Some(scalar) = scalars.next() {
            let piece = match scalar {
                '*' => Piece::Run,
                '?' => Piece::Scalar(vec![('\0', char::MAX)]),
                '[' => class(&mut scalars, case),
                '\\' => one(scalars.next().unwrap_or('\\'), case),
                '{' => {
                    branch(&mut scalars, case, &mut alternatives);
                    continue;
                }
                other => one(other, case),
            };
            alternatives.iter_mut().for_each(|pieces| pieces.push(piece.clone()));
        }
        let special = glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
        FlatPattern { alternatives, prefix: case.key(&glob[..special]).into_owned(), case }
    }

    /// Whether a text can match: a cheap first look.
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

fn one(scalar: char, case: TagCase) -> Piece {
    Piece::Scalar(counted(vec![(scalar, scalar)], case))
}

/// Ranges with the scalars that count as theirs.
fn counted(ranges: Vec<(char, char)>, case: TagCase) -> Vec<(char, char)> {
    match case {
        TagCase::Exact => ranges,
        TagCase::Insensitive => text::fold_ranges(&ranges),
    }
}

/// A checked `[…]`, after its bracket.
fn class(scalars: &mut std::iter::Peekable<std::str::Chars<'_>>, case: TagCase) -> Piece {
    let is_negated = scalars.next_if_eq(&'!').is_some();
    let mut ranges: Vec<(char, char)> = Vec::new();
    while let Some(scalar) = scalars.next() {
        if scalar == ']' && !ranges.is_empty() {
            break;
        }
        let low = if scalar == '\\' { scalars.next().unwrap_or('\\') } else { scalar };
        let mut ahead = scalars.clone();
        let mut high = low;
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|next| *next != ']') {
            scalars.next();
            high = scalars.next().unwrap_or(low);
            if high == '\\' {
                high = scalars.next().unwrap_or(low);
            }
        }
        ranges.push((low, high));
    }
    let mut ranges = counted(ranges, case);
    if !is_negated {
        return Piece::Scalar(ranges);
    }
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
                None => return Piece::Scalar(gaps),
            }
        }
    }
    gaps.push((next, char::MAX));
    Piece::Scalar(gaps)
}

/// A checked `{a,b}`, after its brace: multiplies the alternatives.
fn branch(
    scalars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    case: TagCase,
    alternatives: &mut Vec<Vec<Piece>>,
) {
    let mut branches = vec![Vec::new()];
    while let Some(scalar) = scalars.next() {
        let piece = match scalar {
            '}' => break,
            ',' => {
                branches.push(Vec::new());
                continue;
            }
            '*' => Piece::Run,
            '?' => Piece::Scalar(vec![('\0', char::MAX)]),
            '[' => class(scalars, case),
            '\\' => one(scalars.next().unwrap_or('\\'), case),
            other => one(other, case),
        };
        if let Some(last) = branches.last_mut() {
            last.push(piece);
        }
    }
    if branches.len() * alternatives.len() > MAX_ALTERNATIVES {
        alternatives.iter_mut().for_each(|pieces| pieces.push(Piece::Run));
        return;
    }
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
            let (one, two) = (FlatPattern::new(one, TagCase::Exact), FlatPattern::new(two, TagCase::Exact));
            assert_eq!(one.overlaps(&two, &mut ComparisonBudget::new()), expected, "{one:?} {two:?}");
            assert_eq!(two.overlaps(&one, &mut ComparisonBudget::new()), expected, "{two:?} {one:?}");
        }
    }

    #[test]
    fn globs_overlap_without_case_where_case_does_not_count() {
        for (one, two, expected) in [("ENV/*", "env/p*", true), ("[A-C]x", "bX", true), ("[!b]", "B", false)]
        {
            let (one, two) =
                (FlatPattern::new(one, TagCase::Insensitive), FlatPattern::new(two, TagCase::Insensitive));
            assert_eq!(one.overlaps(&two, &mut ComparisonBudget::new()), expected, "{one:?} {two:?}");
        }
    }
}
