//! Globs: the whole string; `*` any run (dots and slashes included), `?` one Unicode scalar, `[a-z]`, `[!a-z]`, `{a,b}`
//! (not nested), `\` escapes the next scalar.
//!
//! A glob is parsed once into [`GlobPart`]s, which give its regular expression, its literals and whether two globs can overlap.
//! The regular expression does the matching: linear time for every pattern.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::text;

/// A part of a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobPart {
    /// This scalar.
    Literal(char),
    /// Any number of scalars, including none.
    Run,
    /// `?`: any one Unicode scalar.
    AnyScalar,
    /// One scalar in one of the ranges, or in none of them.
    Class {
        /// `[!…]`.
        is_negated: bool,
        /// First and last scalar of each, at least one range.
        ranges: Vec<(char, char)>,
    },
    /// One of these alternatives, which contain no further alternatives.
    Alternatives(Vec<Vec<GlobPart>>),
}

/// A checked glob.
#[derive(Clone, Debug)]
pub struct Glob {
    source: String,
    /// In composed form (NFC) if `is_composed`.
    parts: Arc<[GlobPart]>,
    regex: Regex,
    /// Whether the glob and the texts are composed (NFC) before they are compared.
    is_composed: bool,
}

impl PartialEq for Glob {
    fn eq(&self, other: &Glob) -> bool {
        self.regex.as_str() == other.regex.as_str() && self.is_composed == other.is_composed
    }
}

impl Eq for Glob {}

impl Glob {
    /// A glob that compares exactly (tags).
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn exact(source: &str) -> Result<Glob, String> {
        Glob::compile(source, source, false)
    }

    /// A glob that compares without case (tags, where case does not count).
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn without_case(source: &str) -> Result<Glob, String> {
        Glob::compile(source, source, true)
    }

    /// A glob that compares composed and without case (text fields).
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn text(source: &str) -> Result<Glob, String> {
        let glob = Glob::compile(source, &text::compose(source), true)?;
        Ok(Glob { is_composed: true, ..glob })
    }

    fn compile(shown: &str, source: &str, ignore_case: bool) -> Result<Glob, String> {
        let parts = parse(source)?;
        let mut translated = String::from(if ignore_case { "(?i)" } else { "" });
        // `.` also matches a newline.
        translated.push_str(r"(?s)\A");
        translate(&parts, &mut translated);
        translated.push_str(r"\z");
        let regex = RegexBuilder::new(&translated).size_limit(1 << 22).build();
        let regex = regex.map_err(|_| format!("the pattern `{source}` is too large"))?;
        Ok(Glob { source: shown.to_owned(), parts: parts.into(), regex, is_composed: false })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parts in the order in which they match.
    pub fn parts(&self) -> &[GlobPart] {
        &self.parts
    }

    /// The literal text that every match starts with.
    pub fn literal_start(&self) -> String {
        let literals = self.parts.iter().map_while(|part| match part {
            GlobPart::Literal(scalar) => Some(*scalar),
            _ => None,
        });
        literals.collect()
    }

    /// The literals between its stars, if the glob consists only of literals and stars: one more literal than there are stars.
    pub fn segments(&self) -> Option<Vec<String>> {
        let mut segments = vec![String::new()];
        for part in &*self.parts {
            match part {
                GlobPart::Literal(scalar) => segments.last_mut()?.push(*scalar),
                GlobPart::Run => segments.push(String::new()),
                _ => return None,
            }
        }
        Some(segments)
    }

    /// The equivalent regular expression, anchored and with its case flag, for matching many patterns in one pass. A glob over
    /// text fields expects composed texts.
    pub fn regex(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        if self.is_composed { self.regex.is_match(&text::compose(text)) } else { self.regex.is_match(text) }
    }
}

/// Whether a "literal or glob" is a glob, that is, contains an unescaped `*`, `?`, `[` or `{`.
pub fn is_glob(text: &str) -> bool {
    let mut scalars = text.chars();
    while let Some(scalar) = scalars.next() {
        match scalar {
            '\\' => drop(scalars.next()),
            '*' | '?' | '[' | '{' => return true,
            _ => {}
        }
    }
    false
}

/// The literal behind a "literal or glob" without glob characters: `\` escapes the next scalar.
pub fn unescape(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    let mut scalars = text.chars();
    while let Some(scalar) = scalars.next() {
        literal.push(if scalar == '\\' { scalars.next().unwrap_or('\\') } else { scalar });
    }
    literal
}

/// The glob that matches exactly this text.
pub fn escape(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for scalar in text.chars() {
        if matches!(scalar, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            glob.push('\\');
        }
        glob.push(scalar);
    }
    glob
}

/// Parses a glob. The syntax of globs is defined here and nowhere else.
fn parse(source: &str) -> Result<Vec<GlobPart>, String> {
    let mut parts = Vec::new();
    // The branches of the open `{…}`.
    let mut open: Option<Vec<Vec<GlobPart>>> = None;
    let mut scalars = source.chars().peekable();
    while let Some(scalar) = scalars.next() {
        let part = match (scalar, &mut open) {
            ('*', _) => GlobPart::Run,
            ('?', _) => GlobPart::AnyScalar,
            ('[', _) => class(&mut scalars, source)?,
            ('{', Some(_)) => {
                return Err(format!("`{{` inside `{{…}}` in `{source}`: alternatives cannot be nested"));
            }
            ('{', None) => {
                open = Some(vec![Vec::new()]);
                continue;
            }
            ('}', Some(_)) => {
                parts.extend(open.take().map(GlobPart::Alternatives));
                continue;
            }
            (',', Some(branches)) => {
                branches.push(Vec::new());
                continue;
            }
            ('\\', _) => {
                let escaped = scalars.next().ok_or_else(|| format!("`{source}` ends in a lone `\\`"))?;
                GlobPart::Literal(escaped)
            }
            (other, _) => GlobPart::Literal(other),
        };
        match open.as_mut().and_then(|branches| branches.last_mut()) {
            Some(branch) => branch.push(part),
            None => parts.push(part),
        }
    }
    if open.is_some() {
        return Err(format!("`{{` without `}}` in `{source}`"));
    }
    Ok(parts)
}

/// One `[…]`: a leading `!` negates, a first `]` is literal, `a-z` is a range, `\` escapes.
fn class(scalars: &mut std::iter::Peekable<std::str::Chars<'_>>, source: &str) -> Result<GlobPart, String> {
    let unclosed = || format!("`[` without `]` in `{source}`");
    let is_negated = scalars.next_if_eq(&'!').is_some();
    let mut ranges: Vec<(char, char)> = Vec::new();
    loop {
        let mut low = scalars.next().ok_or_else(unclosed)?;
        if low == ']' && !ranges.is_empty() {
            break;
        }
        if low == '\\' {
            low = scalars.next().ok_or_else(unclosed)?;
        }
        let mut ahead = scalars.clone();
        let is_range = ahead.next() == Some('-') && ahead.peek().is_some_and(|next| *next != ']');
        let mut high = low;
        if is_range {
            scalars.next();
            high = scalars.next().ok_or_else(unclosed)?;
            if high == '\\' {
                high = scalars.next().ok_or_else(unclosed)?;
            }
        }
        if low > high {
            return Err(format!("the range `{low}-{high}` in `{source}` runs backwards"));
        }
        ranges.push((low, high));
    }
    Ok(GlobPart::Class { is_negated, ranges })
}

/// Appends the parts as a regular expression.
fn translate(parts: &[GlobPart], out: &mut String) {
    for part in parts {
        match part {
            GlobPart::Literal(scalar) => out.push_str(&regex::escape(scalar.encode_utf8(&mut [0; 4]))),
            GlobPart::Run => out.push_str(".*"),
            GlobPart::AnyScalar => out.push('.'),
            GlobPart::Class { is_negated, ranges } => {
                out.push_str(if *is_negated { "[^" } else { "[" });
                for (low, high) in ranges {
                    out.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", *low as u32, *high as u32));
                }
                out.push(']');
            }
            GlobPart::Alternatives(branches) => {
                out.push_str("(?:");
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        out.push('|');
                    }
                    translate(branch, out);
                }
                out.push(')');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(glob: &str, text: &str) -> bool {
        Glob::text(glob).unwrap().matches(text)
    }

    #[test]
    fn stars_cross_dots_slashes_and_newlines() {
        assert!(holds("dc*.corp.example.com", "DC01.a/b.corp.example.com"));
        assert!(holds("a*", "a\nb"));
        assert!(!holds("a", "ab"), "the whole string");
        assert!(holds("?", "é"));
    }

    #[test]
    fn letters_and_their_marks_compare_composed_in_text() {
        assert!(
            holds("mu\u{308}l*", "MÜLLER")
                && holds("mül*", "MU\u{308}LLER")
                && holds("m[ü]l?er", "mu\u{308}ller")
        );
        assert!(holds("[u\u{308}]", "Ü") && holds("?", "u\u{308}"));
    }

    #[test]
    fn classes_and_alternatives() {
        assert!(holds("s[0-9][!x]", "S1y"));
        assert!(!holds("s[0-9][!x]", "s1X"));
        assert!(holds("{web,db}*", "DB7"));
        assert!(holds(r"a\*b", "a*b") && !holds(r"a\*b", "axb"));
        assert!(holds("[]a]", "]"));
        assert!(holds("[a-]", "-"));
        assert!(Glob::exact("{a,{b}}").is_err());
        assert!(Glob::exact("[a").is_err());
        assert!(Glob::exact("{a").is_err());
        assert!(Glob::exact("a\\").is_err());
    }

    #[test]
    fn segments_are_the_literals_between_stars() {
        let segments = |glob| Glob::text(glob).unwrap().segments();
        assert_eq!(segments(r"a\**b,}*").unwrap(), ["a*", "b,}", ""]);
        assert_eq!(segments("").unwrap(), [""]);
        assert!(segments("a?*").is_none() && segments("{a}*").is_none());
        assert_eq!(Glob::exact(r"a\*b[c]d").unwrap().literal_start(), "a*b");
        assert_eq!(Glob::exact("{a,b}c").unwrap().regex(), r"(?s)\A(?:a|b)c\z");
    }

    #[test]
    fn a_literal_or_glob_is_a_glob_only_with_an_unescaped_special() {
        assert!(is_glob("env/*") && !is_glob(r"env/\*") && !is_glob("a]b}"));
        assert_eq!(unescape(r"env/\*"), "env/*");
        assert!(Glob::exact(&escape(r"a*?[x]{y}\z")).unwrap().matches(r"a*?[x]{y}\z"));
    }
}
