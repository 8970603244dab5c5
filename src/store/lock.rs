//! The lock of a tenant: one `apply` at a time; the others learn who holds it.
//!
//! The file remains; the operating system frees the lock when its holder ends in any way.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::path_text::shown;
use super::state_file;

/// A held lock. Dropping it frees it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another apply is at work on this tenant: {holder}")]
    Held {
        /// The holder's own description: process, host, since when.
        holder: String,
    },
    /// The file cannot be used.
    #[error("cannot use the lock file {path}")]
    Unusable {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

impl Lock {
    /// Takes the lock, or says who holds it; never waits. `holder` describes this process in one line.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(path: &Path, holder: &str) -> Result<Lock, LockError> {
        let unusable = |source| LockError::Unusable { path: shown(path), source };
        let mut file = state_file::open_to_lock(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { holder: read_holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let line: String =
            holder.chars().map(|scalar| if scalar.is_control() { ' ' } else { scalar }).collect();
        file.set_len(0).map_err(unusable)?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(unusable)?;
        Ok(Lock { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that is just being started briefly has a copy of every open file, and so of the lock.
        let _ = self.file.unlock();
    }
}

/// The holder's text, made harmless, because the file may contain anything.
pub(super) fn read_holder(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(400).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let line: String =
        text.lines().next().unwrap_or("").chars().filter(|scalar| !scalar.is_control()).collect();
    if read.is_err() || line.trim().is_empty() { "it does not say who it is".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_with_the_holders_name_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenant/apply.lock");
        let first = Lock::take(&path, "process 7 on ci-1").unwrap();
        let second = Lock::take(&path, "process 8").unwrap_err();
        assert!(matches!(&second, LockError::Held { holder } if holder == "process 7 on ci-1"), "{second}");
        drop(first);
        Lock::take(&path, "process 8").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "process 8\n");
    }

    #[test]
    fn a_lock_is_free_at_once_though_a_program_that_starts_still_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apply.lock");
        let lock = Lock::take(&path, "one").unwrap();
        let _copy = lock.file.try_clone().unwrap();
        drop(lock);
        Lock::take(&path, "other").unwrap();
    }
}
