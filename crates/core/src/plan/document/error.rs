//! Why a text is not a usable plan.

/// Why a text is not a usable plan.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not in the form of a plan.
    #[error("this is no plan file: {0}")]
    Form(String),
    /// Another major version.
    #[error("the plan has the format version {0}; this version of mdetag reads 1.x")]
    Version(String),
    /// The digest does not match the content.
    #[error("the plan was changed after it was written: its digest is {found}, its content has {actual}")]
    Digest {
        /// As written in the file.
        found: String,
        /// As computed from the content.
        actual: String,
    },
    /// The content is impossible.
    #[error("the plan contradicts itself: {0}")]
    Content(String),
}
