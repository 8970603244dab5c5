//! Why a text is no plan that can be used.

/// Why a text is no plan that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not of the form of a plan.
    #[error("this is no plan file: {0}")]
    Form(String),
    /// Another major version.
    #[error("the plan has the format version {0}; this version of mdetag reads 1.x")]
    Version(String),
    /// The digest is not that of the content.
    #[error("the plan was changed after it was written: its digest is {found}, its content has {actual}")]
    Digest {
        /// As written.
        found: String,
        /// As computed.
        actual: String,
    },
    /// Something in it cannot be.
    #[error("the plan contradicts itself: {0}")]
    Content(String),
}
