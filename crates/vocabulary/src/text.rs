//! How text compares: canonical composition, Unicode simple case folding, dotted versions, slugs.
//!
//! Tags compare exactly, or without case: they are never composed.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// The text with letters and their marks composed (NFC): `u` and two dots are `ü`, as most programs write it.
pub fn compose(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    const { ComposingNormalizerBorrowed::new_nfc() }.normalize(text)
}

/// The text with letters and their marks separated (NFD), as some file systems and exports write it.
pub fn decompose(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    const { DecomposingNormalizerBorrowed::new_nfd() }.normalize(text)
}

/// The compatibility form (NFKC): texts share it if they look alike or mean the same to a careless program. Full-width letters
/// become plain ones.
pub fn compatible(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    const { ComposingNormalizerBorrowed::new_nfkc() }.normalize(text)
}

/// Whether a scalar is shown as nothing at all.
pub fn is_zero_width(scalar: char) -> bool {
    matches!(scalar,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a text is the all-zero GUID, which services write for "no value".
pub fn is_zero_guid(text: &str) -> bool {
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| byte == if is_dash(at) { b'-' } else { b'0' })
}

/// Whether a text has the form of a GUID: five groups of hexadecimal digits.
pub fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Whether a tenant profile may have this name. The name is used for files and folders.
pub fn is_profile_name(name: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=80).contains(&name.len()) && !name.starts_with(['.', '-']) && name.bytes().all(is_safe)
}

/// Whether Windows would open a DOS device for a file of this name, or drop the name's last dot.
pub fn is_taken_by_windows(name: &str) -> bool {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_port =
        |kind: &str| stem.strip_prefix(kind).is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']));
    name.ends_with('.') || DEVICES.contains(&stem.as_str()) || is_port("com") || is_port("lpt")
}

/// Whether a spreadsheet would read a cell with this text as a formula, or might do so after it removed an escape at the start.
pub fn is_formula(text: &str) -> bool {
    const SIGNS: [char; 12] = ['=', '+', '-', '@', '|', '%', '＝', '＋', '－', '﹣', '−', '＠'];
    text.starts_with(['\t', '\r', '\n']) || text.trim_start().starts_with(SIGNS)
}

/// A key that two texts share exactly when they compare as equal: composed, then folded.
pub fn fold(text: &str) -> Cow<'_, str> {
    match compose(text) {
        Cow::Borrowed(composed) => fold_case(composed),
        Cow::Owned(composed) => Cow::Owned(fold_case(&composed).into_owned()),
    }
}

/// A key that two texts share exactly when they differ at most in case. Letters and marks are not composed.
///
/// The case classes are those of the `regex` crate (Unicode simple case folding), so equality and patterns always agree.
pub fn fold_case(text: &str) -> Cow<'_, str> {
    // No early exit, so that the processor compares many bytes at a time. Nearly every text is folded already.
    let is_other = |byte: u8| !byte.is_ascii() | byte.is_ascii_uppercase();
    if !text.bytes().fold(false, |any, byte| any | is_other(byte)) {
        return Cow::Borrowed(text);
    }
    if text.is_ascii() {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Owned(text.chars().map(fold_char).collect())
}

/// Folds one scalar: ASCII to lower case, any other to a fixed member of its case class.
pub fn fold_char(scalar: char) -> char {
    // The case classes of `k` and `s` include scalars outside ASCII (the Kelvin sign, the long s), which fold to the ASCII
    // letter.
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

/// Extends ranges of scalars by every scalar that equals one of theirs without case.
pub fn fold_ranges(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut class = ClassUnicode::new(ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)));
    // Fails only in a build without Unicode tables, and the workspace's build has them.
    let _ = class.try_case_fold_simple();
    class.ranges().iter().map(|range| (range.start(), range.end())).collect()
}

/// Whether text fields compare as equal: composed, and without case.
pub fn equal(left: &str, right: &str) -> bool {
    left == right || fold(left) == fold(right)
}

/// Whether texts are equal without case. Neither is composed first.
pub fn equal_case(left: &str, right: &str) -> bool {
    left == right || fold_case(left) == fold_case(right)
}

/// Compares dotted versions part by part: two numbers by value (of any length), two texts without case, a number below a text. A
/// missing part counts as 0.
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

/// ASCII in lower case, trimmed. Other scripts are transliterated by a table that never changes, because a new one would rename
/// tags. Every run of other characters, including those that the table lacks, becomes one `-`.
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for spelled in text.chars().map(|scalar| deunicode::deunicode_char(scalar).unwrap_or(" ")) {
        for scalar in spelled.chars() {
            if scalar.is_ascii_alphanumeric() {
                slug.push(scalar.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// Whether a scalar moves the cursor, changes the direction of text, has no width or looks like a space, so that it can disguise
/// text as other text.
pub fn is_deceptive(scalar: char) -> bool {
    scalar.is_control()
        || matches!(scalar,
            '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
            | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a reader sees nothing of a text: it is empty, white space or without width.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|scalar| scalar.is_whitespace() || is_deceptive(scalar))
}

/// Writes the visible form of a scalar: `\n`, `\t`, `\r`, else `\u{202e}`.
pub fn push_visible(text: &mut String, scalar: char) {
    match scalar {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        other => {
            let _ = write!(text, "\\u{{{:x}}}", u32::from(other));
        }
    }
}

/// The text on one line. Control, direction and invisible characters are written out as `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for scalar in text.chars() {
        if is_deceptive(scalar) { push_visible(&mut shown, scalar) } else { shown.push(scalar) }
    }
    Cow::Owned(shown)
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
    fn text_compares_composed_and_tags_do_not() {
        assert!(equal("MU\u{308}LLER", "müller"));
        assert!(!equal_case("MU\u{308}LLER", "müller") && equal_case("MU\u{308}LLER", "mu\u{308}ller"));
        assert!(equal("\u{212B}", "a\u{30a}"), "the sign of the unit, and the letter");
        assert!(equal("가", "\u{1100}\u{1161}"), "syllables of Hangul");
        assert_eq!((compose("Bu\u{308}ro"), decompose("Büro")), ("Büro".into(), "Bu\u{308}ro".into()));
        assert!(matches!((compose("plain"), compose("büro")), (Cow::Borrowed(_), Cow::Borrowed(_))));
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

    #[test]
    fn slugs_transliterate_other_letters() {
        let spelled = [
            ("Büro München", "buro-munchen"),
            ("Bu\u{308}ro", "buro"),
            ("Straße", "strasse"),
            ("Łódź / Kraków", "lodz-krakow"),
            ("İzmir", "izmir"),
            ("Москва", "moskva"),
            ("Αθήνα", "athena"),
            ("北京", "bei-jing"),
            ("a\u{a0}b\u{e000}c", "a-b-c"),
        ];
        for (text, expected) in spelled {
            assert_eq!(slug(text), expected, "{text}");
        }
    }

    #[test]
    fn the_table_of_slugs_never_changes() {
        let scalars = ('\u{0}'..='\u{52f}').chain('\u{1e00}'..='\u{1fff}').chain('\u{3040}'..='\u{30ff}');
        let mut digest = crc32fast::Hasher::new();
        for scalar in scalars {
            digest.update(format!("{:x} {}\n", scalar as u32, slug(&format!("a{scalar}z"))).as_bytes());
        }
        assert_eq!(digest.finalize(), 402_432_427, "another table renames tags: it would be another filter");
    }
}
