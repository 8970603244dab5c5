//! The tags that a probe may write and remove.

use crate::text;

/// The prefix of every scratch tag. Clean-up removes every tag of the device with this prefix, ignoring case and blanks at the
/// ends.
pub const PREFIX: &str = "mdetag-probe-";

/// The longest tag that the registry documentation allows; longer ones are tried too.
pub const DOCUMENTED_LENGTH: usize = 200;

/// Whether a probe wrote the tag: trimmed and case-folded it starts with [`PREFIX`].
pub fn is_scratch(tag: &str) -> bool {
    text::fold(tag.trim()).starts_with(PREFIX)
}

/// The scratch tags of one probe. `token` is a few letters and digits, different for each probe, so that two probes never share
/// tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchTags {
    /// The one that most questions use.
    pub plain: String,
    /// A second one, which a `PATCH` leaves out.
    pub second: String,
    /// [`ScratchTags::plain`] in upper case.
    pub upper: String,
    /// With a blank at each end.
    pub padded: String,
    /// As long as the documentation allows.
    pub long: String,
    /// One character longer.
    pub longer: String,
    /// Never written, only removed.
    pub absent: String,
}

impl ScratchTags {
    /// Scratch tags with a token of lower-case letters and digits.
    pub fn new(token: &str) -> ScratchTags {
        let of = |what: &str| format!("{PREFIX}{token}{what}");
        let long = of(&format!("-{}", "l".repeat(DOCUMENTED_LENGTH - PREFIX.len() - token.len() - 1)));
        ScratchTags {
            plain: of(""),
            second: of("-second"),
            upper: of("").to_uppercase(),
            padded: format!(" {} ", of("-padded")),
            longer: format!("{long}m"),
            long,
            absent: of("-absent"),
        }
    }
}
