//! Tags that the service may treat as the same, so that removing one may remove the other as well.
//!
//! Compares texts only; `answer` knows what the service did.

use crate::text;

/// A shorter tag is hardly the rest of a truncated one: every account of the service keeps at least 100 characters.
pub(super) const CUT_BEYOND: usize = 99;

/// A key that two tags share if the service may treat them as the same.
pub(super) fn class(tag: &str) -> String {
    plain(tag).chars().take(CUT_BEYOND + 1).collect()
}

/// Whether a call that removes a tag may remove another of its class instead: one that differs in case, Unicode form, zero-width
/// characters or white space at the ends, or one that is the same with its end cut off.
pub(super) fn takes_along(removed: &str, other: &str) -> bool {
    plain(removed).starts_with(&plain(other))
}

/// A tag as a service that normalises texts might store it.
fn plain(tag: &str) -> String {
    let visible: String =
        text::compatible(tag).chars().filter(|scalar| !text::is_zero_width(*scalar)).collect();
    text::fold(visible.trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_twin(removed: &str, other: &str) -> bool {
        class(removed) == class(other) && takes_along(removed, other)
    }

    #[test]
    fn a_removal_may_take_along_what_differs_in_case_form_blanks_or_a_long_end() {
        for (removed, other) in
            [("Tier0", "tier0"), ("é", "e\u{301}"), (" Tier0", "Tier0"), ("Tier0", "tier0 ")]
        {
            assert!(is_twin(removed, other), "{removed:?} {other:?}");
        }
        let (whole, cut) = ("l".repeat(201), "l".repeat(200));
        assert!(is_twin(&whole, &cut));
        assert!(!is_twin(&cut, &whole), "nothing makes a text longer");
        assert!(!is_twin("Tier01", "Tier0"), "short texts are not cut");
        assert!(!is_twin(&format!("{cut}a"), &format!("{cut}b")));
    }
}
