//! Selection: which devices each selector of a policy holds for, column by column.
//!
//! Knows selectors and columns; what follows from a match is for `desired`.

/// Values of a data file that match no device: reported, never silently dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The list file's path, or the lookup's name.
    pub source: String,
    /// Whether it is a lookup (its keys) or a list file (its values).
    pub is_lookup: bool,
    /// How many.
    pub count: u64,
    /// The first few.
    pub sample: Vec<String>,
}
