//! Globs: the whole string; `*` any run (dots and slashes included), `?` one Unicode scalar, `[a-z]`, `[!a-z]`, `{a,b}`
//! (not nested), `\` escapes the next scalar.
//!
//! Globs are translated to regular expressions, so that matching takes linear time whatever the pattern.

use regex::{Regex, RegexBuilder};

use crate::text;

/// A checked glob.
#[derive(Clone, Debug)]
pub struct Glob {
    source: String,
    regex: Regex,
    /// Whether texts are composed before they are compared.
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
        let translated = format!("{}{}", if ignore_case { "(?i)" } else { "" }, translate(source)?);
        let regex = RegexBuilder::new(&translated).size_limit(1 << 22).build();
        let regex = regex.map_err(|_| format!("the pattern `{source}` is too large"))?;
        Ok(Glob { source: shown.to_owned(), regex, is_composed: false })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The equivalent regular expression, anchored, with its case flag: for matching many patterns in one pass, over composed
    /// texts where the glob is one of text fields.
    pub fn regex(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        if self.is_composed { self.regex.is_match(&text::compose(text)) } else { self.regex.is_match(text) }
    }
}

/// Whether a "literal or glob" is a glob: it holds an unescaped `*`, `?`, `[` or `{`.
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

/// The literal text that a "literal or glob" starts with.
pub fn literal_start(text: &str) -> String {
    let mut literal = String::new();
    let mut scalars = text.chars();
    while let Some(scalar) = scalars.next() {
        match scalar {
            '\\' => literal.extend(scalars.next()),
            '*' | '?' | '[' | '{' => break,
            _ => literal.push(scalar),
        }
    }
    literal
}

/// The literal that a "literal or glob" without glob characters stands for: `\` escapes the next scalar.
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

/// A glob as an anchored regular expression; `.` also matches a newline.
fn translate(source: &str) -> Result<String, String> {
    let mut out = String::from(r"(?s)\A");
    let mut scalars = source.chars().peekable();
    let mut in_braces = false;
    while let Some(scalar) = scalars.next() {
        match scalar {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => class(&mut scalars, &mut out, source)?,
            '{' if in_braces => {
                return Err(format!("`{{` inside `{{…}}` in `{source}`: alternatives cannot be nested"));
            }
            '{' => {
                in_braces = true;
                out.push_str("(?:");
            }
            '}' if in_braces => {
                in_braces = false;
                out.push(')');
            }
            ',' if in_braces => out.push('|'),
            '\\' => {
                let escaped = scalars.next().ok_or_else(|| format!("`{source}` ends in a lone `\\`"))?;
                out.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
            }
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    if in_braces {
        return Err(format!("`{{` without `}}` in `{source}`"));
    }
    out.push_str(r"\z");
    Ok(out)
}

/// One `[…]`: a leading `!` negates, a first `]` is literal, `a-z` is a range, `\` escapes.
fn class(
    scalars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
    source: &str,
) -> Result<(), String> {
    let unclosed = || format!("`[` without `]` in `{source}`");
    let negated = scalars.next_if_eq(&'!').is_some();
    let mut members: Vec<(char, char)> = Vec::new();
    loop {
        let mut low = scalars.next().ok_or_else(unclosed)?;
        if low == ']' && !members.is_empty() {
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
        members.push((low, high));
    }
    out.push_str(if negated { "[^" } else { "[" });
    for (low, high) in members {
        out.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", low as u32, high as u32));
    }
    out.push(']');
    Ok(())
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
    fn a_literal_or_glob_is_a_glob_only_with_an_unescaped_special() {
        assert!(is_glob("env/*") && !is_glob(r"env/\*") && !is_glob("a]b}"));
        assert_eq!(unescape(r"env/\*"), "env/*");
        assert!(Glob::exact(&escape(r"a*?[x]{y}\z")).unwrap().matches(r"a*?[x]{y}\z"));
    }
}
