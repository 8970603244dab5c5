//! How text compares: Unicode simple case folding, dotted versions, slugs.
//!
//! Tags never come here: they compare exactly.

use std::borrow::Cow;
use std::cmp::Ordering;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// The folded form of a text: two texts are equal without case exactly when their folded forms are equal.
///
/// The orbits are those of the `regex` crate (Unicode simple case folding), so `eq` and patterns always agree.
pub fn fold(text: &str) -> Cow<'_, str> {
    // Without an early exit the processor looks at many bytes at a time; nearly every text is folded already.
    let is_other = |byte: u8| !byte.is_ascii() | byte.is_ascii_uppercase();
    if !text.bytes().fold(false, |any, byte| any | is_other(byte)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(fold_char).collect())
}

/// One scalar folded: ASCII to lower case, anything else to one fixed member of its orbit.
pub fn fold_char(scalar: char) -> char {
    // The orbits of `k` and `s` leave ASCII (the Kelvin sign, the long s); they fold to the ASCII letter.
    if scalar.is_ascii() {
        return scalar.to_ascii_lowercase();
    }
    let mut orbit = ClassUnicode::new([ClassUnicodeRange::new(scalar, scalar)]);
    if orbit.try_case_fold_simple().is_err() {
        return scalar;
    }
    let least = orbit.ranges().first().map_or(scalar, ClassUnicodeRange::start);
    least.to_ascii_lowercase()
}

/// Equal without case.
pub fn equal(left: &str, right: &str) -> bool {
    left == right || fold(left) == fold(right)
}

/// Compares dotted versions: two numeric parts as numbers (of any length), two others as text without case, a numeric
/// part below a textual one, a missing part as 0.
pub fn compare_versions(left: &str, right: &str) -> Ordering {
    let (mut lefts, mut rights) = (left.split('.'), right.split('.'));
    loop {
        let (one, other) = match (lefts.next(), rights.next()) {
            (None, None) => return Ordering::Equal,
            (one, other) => (one.unwrap_or("0"), other.unwrap_or("0")),
        };
        let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let order = match (numeric(one), numeric(other)) {
            (true, true) => {
                let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
                one.len().cmp(&other.len()).then_with(|| one.cmp(other))
            }
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => fold(one).cmp(&fold(other)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Lower case; ASCII letters and digits kept, every other run one `-`, trimmed.
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for scalar in text.to_lowercase().chars() {
        if scalar.is_ascii_alphanumeric() {
            slug.push(scalar);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_joins_orbits_that_leave_ascii() {
        assert!(equal("K", "\u{212A}"));
        assert!(equal("ſ", "S"));
        assert!(equal("ÄÖ", "äö"));
        assert!(equal("Σ", "ς"));
        assert!(!equal("ß", "ss"), "simple folding never changes the length");
    }

    #[test]
    fn versions_compare_part_by_part() {
        use Ordering::{Equal, Greater, Less};
        let cases = [
            ("10.0", "10", Equal),
            ("9", "10", Less),
            ("22H2", "9", Greater),
            ("1.2.10", "1.2.9", Greater),
            ("1.a", "1.A", Equal),
            ("007", "7", Equal),
            ("99999999999999999999999", "100000000000000000000000", Less),
        ];
        for (left, right, order) in cases {
            assert_eq!(compare_versions(left, right), order, "{left} {right}");
        }
    }

    #[test]
    fn slugs_are_trimmed_runs() {
        assert_eq!(slug("  Ops & Team_7 "), "ops-team-7");
        assert_eq!(slug("---"), "");
    }
}
