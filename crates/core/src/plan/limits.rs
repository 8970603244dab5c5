//! How the service was measured to store tags, so that no call is sent that would affect another tag.
//!
//! Measures nothing; `probe` does.

/// How the service stores a tag's text, as far as measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagLimits {
    /// The most characters that it keeps.
    pub longest: Option<u64>,
    /// Whether it trims white space at the ends.
    pub trims: bool,
}

impl TagLimits {
    /// Why a call for this tag would affect another one.
    pub fn refusal(self, tag: &str) -> Option<String> {
        let longest = self.longest.filter(|longest| tag.chars().count() as u64 > *longest);
        if let Some(longest) = longest {
            return Some(format!(
                "the service was measured to keep no more than {longest} characters of a tag"
            ));
        }
        (self.trims && tag.trim() != tag).then(|| {
            "the service was measured to take white space off a tag's ends: it would be another tag"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_the_service_would_change_are_refused() {
        let limits = TagLimits { longest: Some(5), trims: true };
        for tag in ["Tier01", " Tier", "Tier\u{a0}"] {
            assert!(limits.refusal(tag).is_some(), "{tag}");
            assert_eq!(TagLimits::default().refusal(tag), None);
        }
        assert_eq!(limits.refusal("Tier0"), None);
        assert_eq!(limits.refusal("ééééé"), None, "characters count, not bytes");
    }
}
