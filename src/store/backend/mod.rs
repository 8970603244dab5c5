//! The storage of a tenant's state: a folder of this computer, or a store that several computers share.
//!
//! Knows no format: journals, plans and counts are bytes here. Paths are those of `StateDir`.

mod bucket;
mod connect;
mod directory;
mod fault;
mod lease;
mod listing;
mod missing;
mod objects;
mod place;

use std::fmt;
use std::io::{Read, Result};
use std::path::Path;
use std::sync::Arc;

pub use bucket::Bucket;
pub use connect::{connect, examine, probe};
pub use directory::Directory;
pub use lease::Lease;
pub use listing::{EndlessList, StopSign};
pub use missing::UnreachableStore;
pub use objects::{Cell, Cells, Condition, ObjectBucket, SharedCell, Version};
pub use place::{StatePlace, StoreAddress};

use mdetag_core::time::Clock;

use super::lock::LockError;
use super::path_text::is_name;

/// Upper limit of a journal's size in bytes: a journal of a million changes has less than a quarter of it.
const LONGEST_LOG: u64 = 4 << 30;

/// Stores the bytes of a tenant's state. Everything that a method writes is durable when it returns.
pub trait Backend: fmt::Debug + Send + Sync {
    /// The bytes of a file, if there are at most `most`.
    ///
    /// # Errors
    /// It is missing, larger, or cannot be read.
    fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>>;

    /// Replaces a file whole: readers see the old content or the new one.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self, path: &Path, content: &[u8]) -> Result<()>;

    /// Changes a file so that no change of another process is lost. `change` makes the new content from the old (`None` if there
    /// is no file, at most `most` bytes), and is called again if another process was faster.
    ///
    /// # Errors
    /// It cannot be read or written, or others keep changing it; and the errors of `change`.
    fn update(
        &self,
        path: &Path,
        most: u64,
        change: &mut dyn FnMut(Option<Vec<u8>>) -> Result<Vec<u8>>,
    ) -> Result<()>;

    /// The names of the journals in a folder, without their endings, sorted. A missing folder has none.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn logs(&self, folder: &Path) -> Result<Vec<String>>;

    /// The names of the plans in a folder of journals, without their endings, sorted. A missing folder has none.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn plans(&self, folder: &Path) -> Result<Vec<String>>;

    /// Starts a new journal.
    ///
    /// # Errors
    /// It exists already, or cannot be written.
    fn create_log(&self, path: &Path) -> Result<Box<dyn Log>>;

    /// Continues a journal. Ends a torn last line first, or it would swallow the next.
    ///
    /// # Errors
    /// It is missing, or cannot be written.
    fn continue_log(&self, path: &Path) -> Result<Box<dyn Log>>;

    /// Reads a journal from its start, as far as it is written.
    ///
    /// # Errors
    /// It is missing, or cannot be read.
    fn read_log(&self, path: &Path) -> Result<Box<dyn Read>>;

    /// Takes the right to write to the tenant, or says who has it; never waits. `holder` describes this process in one line.
    ///
    /// # Errors
    /// [`LockError`].
    fn hold(&self, path: &Path, holder: &str) -> std::result::Result<WriteLease, LockError>;

    /// Takes the right to write from a holder that is gone, and says who it was; `None` if nobody has it. `by`: who does this,
    /// and why.
    ///
    /// # Errors
    /// [`LockError::Held`] if its holder is working.
    fn unlock(&self, path: &Path, by: &str) -> std::result::Result<Option<String>, LockError>;

    /// Removes a file. A missing one is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Removes a journal. A missing one is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove_log(&self, path: &Path) -> Result<()>;

    /// The last process that took the right to write, found without taking it; `None` if nobody ever did.
    ///
    /// # Errors
    /// It cannot be read.
    fn last_holder(&self, path: &Path) -> Result<Option<String>>;

    /// A file that several computers change without the right to write to the tenant; `None` in a folder, where the system locks
    /// files.
    ///
    /// # Errors
    /// A path outside of this state.
    fn shared(&self, _path: &Path) -> Result<Option<SharedCell>> {
        Ok(None)
    }
}

/// A journal opened for writing.
pub trait Log: fmt::Debug + Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// Writing fails; [`LeaseLost`] if another process may write to the tenant now.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// The number of the lease that it is written under, which its entries record. `None` if no lease is needed.
    fn fence(&self) -> Option<u64>;

    /// The right to write that it is written under.
    fn hold(&self) -> Option<WriteLease> {
        None
    }

    /// Marks the end of the run, so that work for later readers may be done now. A failure loses nothing.
    fn finish(&mut self) {}
}

/// The right to write to a tenant. Dropping it frees it for others.
#[derive(Clone, Debug)]
pub struct WriteLease(Arc<dyn LeaseHandle>);

impl WriteLease {
    /// A right that `held` keeps.
    pub fn new(held: impl LeaseHandle + 'static) -> WriteLease {
        WriteLease(Arc::new(held))
    }

    /// Whether only this process may write now.
    ///
    /// # Errors
    /// It was not renewed in time: no further call may be sent.
    pub fn check(&self) -> std::result::Result<(), LeaseLost> {
        self.0.check()
    }

    /// How long calls of the previous holder may still be in progress, if each takes at most `call`; `None` after a clean end.
    pub fn quarantine(&self, call: std::time::Duration) -> Option<std::time::Duration> {
        self.0.quarantine(call)
    }
}

/// Keeps a right to write.
pub trait LeaseHandle: fmt::Debug + Send + Sync {
    /// Like [`WriteLease::check`].
    ///
    /// # Errors
    /// Like [`WriteLease::check`].
    fn check(&self) -> std::result::Result<(), LeaseLost>;

    /// Like [`WriteLease::quarantine`].
    fn quarantine(&self, call: std::time::Duration) -> Option<std::time::Duration>;
}

/// This computer's clock.
#[derive(Clone)]
struct OwnClock(Arc<dyn Clock>);

impl fmt::Debug for OwnClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OwnClock")
    }
}

/// Another process may write to the tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease on the tenant was lost: {0}")]
pub struct LeaseLost(pub String);

/// Whether an error means that the lease was lost.
pub fn is_lease_lost(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<LeaseLost>())
}
