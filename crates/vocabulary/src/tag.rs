//! Tags: which texts the service accepts as one, the reserved tag, and patterns over tags.
//!
//! Tags compare exactly. The policy decides whether to warn about two that differ only in case.

use std::borrow::Cow;
use std::fmt;

use crate::pattern::{self, Glob};
use crate::text;

/// The tag that hands a device's configuration to Defender (security settings management): never written unless the guard
/// names it.
pub const RESERVED: &str = "MDE-Management";

/// The longest tag, in characters. Documented for registry tags; taken as the limit for all.
pub const MAX_LENGTH: usize = 200;

/// Why a text cannot be a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagFault {
    /// No character at all.
    Empty,
    /// Over 200 characters.
    TooLong,
    /// White space at an end.
    Untrimmed,
    /// A control character in it.
    Control,
}

impl fmt::Display for TagFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TagFault::Empty => "a tag needs at least one character",
            TagFault::TooLong => "a tag has at most 200 characters",
            TagFault::Untrimmed => "a tag has no white space at its ends",
            TagFault::Control => "a tag has no control characters",
        })
    }
}

/// Whether a text can be a tag.
///
/// # Errors
/// The first reason why not.
pub fn check(text: &str) -> Result<(), TagFault> {
    if text.is_empty() {
        return Err(TagFault::Empty);
    }
    if text.chars().count() > MAX_LENGTH {
        return Err(TagFault::TooLong);
    }
    if text.trim() != text {
        return Err(TagFault::Untrimmed);
    }
    if text.chars().any(char::is_control) {
        return Err(TagFault::Control);
    }
    Ok(())
}

/// Whether the text is the reserved tag in any case.
pub fn is_reserved(text: &str) -> bool {
    text::equal_case(text, RESERVED)
}

/// How two tags differ that mdetag compares as equal and the service may take for one.
pub fn difference(one: &str, other: &str) -> &'static str {
    if text::equal_case(one, other) {
        "only in case"
    } else if text::compose(one) == text::compose(other) {
        "only in Unicode form (one has its letters and marks apart)"
    } else {
        "only in case and Unicode form (one has its letters and marks apart)"
    }
}

/// Whether the portal's tag filter is documented to fail on it: `,`, `(` or `)`.
pub fn breaks_portal_filter(text: &str) -> bool {
    text.contains([',', '(', ')'])
}

/// How tags that differ only in case compare.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum TagCase {
    /// `Tier0` and `tier0` are two tags.
    #[default]
    Exact,
    /// A live tag that differs only in case counts as the tag.
    Insensitive,
}

impl TagCase {
    /// Whether one tag counts as the other.
    pub fn is_same(self, one: &str, other: &str) -> bool {
        one == other || (self == TagCase::Insensitive && text::equal_case(one, other))
    }

    /// Reads a glob over tags: without case where case does not count.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn parse_glob(self, source: &str) -> Result<Glob, String> {
        match self {
            TagCase::Exact => Glob::exact(source),
            TagCase::Insensitive => Glob::without_case(source),
        }
    }

    /// A key that two tags share exactly when they compare as equal.
    pub fn key(self, tag: &str) -> Cow<'_, str> {
        match self {
            TagCase::Exact => Cow::Borrowed(tag),
            TagCase::Insensitive => text::fold_case(tag),
        }
    }
}

/// A tag, or a glob over tags: what claims, `removeTags` and `retire` hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagPattern {
    /// Exactly this tag.
    Literal(String),
    /// Every tag that matches, except the reserved one unless the guard allows it.
    Glob(Glob),
}

impl TagPattern {
    /// Reads a "literal or glob".
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn parse(source: &str, case: TagCase) -> Result<TagPattern, String> {
        if pattern::is_glob(source) {
            return case.parse_glob(source).map(TagPattern::Glob);
        }
        Ok(TagPattern::Literal(pattern::unescape(source)))
    }

    /// Whether the pattern covers a tag. Its glob must have been parsed with the same `case`. `allow_reserved`: whether the guard
    /// names the reserved tag; otherwise no glob matches it.
    pub fn matches(&self, tag: &str, case: TagCase, allow_reserved: bool) -> bool {
        match self {
            TagPattern::Literal(literal) => case.is_same(literal, tag),
            TagPattern::Glob(glob) => glob.matches(tag) && (allow_reserved || !is_reserved(tag)),
        }
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagPattern::Literal(literal) => f.write_str(literal),
            TagPattern::Glob(glob) => f.write_str(glob.source()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_tag_is_known_in_any_case_and_hidden_from_globs() {
        assert!(is_reserved("mde-management"));
        let glob = TagPattern::parse("MDE*", TagCase::Exact).unwrap();
        assert!(
            glob.matches("MDE-x", TagCase::Exact, false)
                && !glob.matches("MDE-Management", TagCase::Exact, false)
                && glob.matches("MDE-Management", TagCase::Exact, true)
        );
    }

    #[test]
    fn tags_are_never_composed() {
        for case in [TagCase::Exact, TagCase::Insensitive] {
            assert!(!case.is_same("Büro", "Bu\u{308}ro"), "{case:?}");
            assert_ne!(case.key("Büro"), case.key("Bu\u{308}ro"), "{case:?}");
            assert!(!case.parse_glob("Büro*").unwrap().matches("Bu\u{308}ro"), "{case:?}");
        }
    }

    #[test]
    fn limits_of_a_tag() {
        assert_eq!(check(""), Err(TagFault::Empty));
        assert_eq!(check(&"x".repeat(201)), Err(TagFault::TooLong));
        assert_eq!(check(&"é".repeat(200)), Ok(()));
        assert_eq!(check(" a"), Err(TagFault::Untrimmed));
        assert_eq!(check("a\u{7}b"), Err(TagFault::Control));
    }
}
