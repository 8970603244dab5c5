//! Tags that the service may take for one, so that removing one may take the other along.
//!
//! Compares texts only; what the service was seen to do is for `answer`.

use crate::text;

/// A shorter tag of a device is hardly the rest of one that was cut: 100 characters fit in every account of the service.
pub(super) const CUT_BEYOND: usize = 99;

/// What two tags have in common if the service may take them for one.
pub(super) fn class(tag: &str) -> String {
    plain(tag).chars().take(CUT_BEYOND + 1).collect()
}

/// Whether a call that removes a tag may remove another of its class instead: one that differs in case, in Unicode form, in what has
/// no width or in white space at the ends, or one that is left when the end of the text is cut off.
pub(super) fn takes_along(removed: &str, other: &str) -> bool {
    plain(removed).starts_with(&plain(other))
}

/// A tag as a service that tidies texts might store it.
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
