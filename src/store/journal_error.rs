//! Why a journal cannot be used, with the file or the run.
//!
//! Does not quote its lines.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("cannot use the journal {path}")]
    Unusable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// Another process may write to the tenant now: nothing more is written here.
    #[error("the journal is closed to this process")]
    LeaseLost {
        #[source]
        source: std::io::Error,
    },
    /// There is no such run.
    #[error("there is no run `{run}` in {folder}")]
    NoSuchRun {
        /// The requested id.
        run: String,
        folder: String,
    },
    /// The run is a probe and was not applied.
    #[error("run `{run}` is a probe of the service: it changed nothing that could be resumed or undone")]
    IsProbe {
        /// The requested id.
        run: String,
    },
    /// The run was killed before its first line was complete: it did nothing.
    #[error("{path} holds no run: it was killed before it began")]
    NeverBegan { path: String },
    /// The file has no readable header.
    #[error("{path} is no journal: its first line cannot be read")]
    NoHeader { path: String },
}
