//! State in a folder: a journal is one file, and the lock is the operating system's.
//!
//! For the processes of one computer. A folder that several computers mount has no reliable lock.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::{Backend, LONGEST_LOG, LeaseHandle, LeaseLost, Log, WriteLease};
use crate::store::lock::{self, Lock, LockError};
use crate::store::state_file;

/// The longest wait for another process's change, which takes less unless that process hangs.
const LONGEST_UPDATE: Duration = Duration::from_secs(10);

/// Folders of this computer. Paths are used unchanged.
#[derive(Clone, Copy, Debug)]
pub struct Directory;

impl Backend for Directory {
    fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>> {
        state_file::read(path, most)
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        state_file::write(path, content)
    }

    fn update(
        &self,
        path: &Path,
        most: u64,
        change: &mut dyn FnMut(Option<Vec<u8>>) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let _lock = state_file::lock_for(&path.with_extension("lock"), LONGEST_UPDATE)?;
        let old = absent_is_fine(self.read(path, most))?;
        self.write(path, &change(old)?)
    }

    fn logs(&self, folder: &Path) -> Result<Vec<String>> {
        names(folder, ".jsonl")
    }

    fn plans(&self, folder: &Path) -> Result<Vec<String>> {
        names(folder, ".plan.json")
    }

    fn create_log(&self, path: &Path) -> Result<Box<dyn Log>> {
        Ok(Box::new(FileLog(state_file::create_new(path)?)))
    }

    fn continue_log(&self, path: &Path) -> Result<Box<dyn Log>> {
        let mut file = state_file::open_to_append(path)?;
        let is_torn = ends_torn(&mut file)?;
        let mut log = FileLog(file);
        if is_torn {
            log.append(b"\n")?;
        }
        Ok(Box::new(log))
    }

    fn read_log(&self, path: &Path) -> Result<Box<dyn Read>> {
        let file = state_file::open_to_read(path)?;
        if file.metadata()?.len() > LONGEST_LOG {
            let why = format!("it has more than {LONGEST_LOG} bytes, which no run writes");
            return Err(std::io::Error::new(ErrorKind::FileTooLarge, why));
        }
        Ok(Box::new(BufReader::new(file)))
    }

    fn hold(&self, path: &Path, holder: &str) -> std::result::Result<WriteLease, LockError> {
        Lock::take(path, holder).map(WriteLease::new)
    }

    /// The operating system frees the lock when a process ends, so there is never one to end.
    fn unlock(&self, path: &Path, by: &str) -> std::result::Result<Option<String>, LockError> {
        if matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        Lock::take(path, by).map(|_free| None)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        absent_is_fine(std::fs::remove_file(path)).map(drop)
    }

    fn remove_log(&self, path: &Path) -> Result<()> {
        self.remove(path)
    }

    fn last_holder(&self, path: &Path) -> Result<Option<String>> {
        let Some(mut file) = absent_is_fine(state_file::open_to_read(path))? else { return Ok(None) };
        Ok(Some(lock::read_holder(&mut file)))
    }
}

fn absent_is_fine<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Debug)]
struct FileLog(File);

impl Log for FileLog {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)?;
        self.0.sync_data()
    }

    fn fence(&self) -> Option<u64> {
        None
    }
}

/// The operating system never takes a file's lock from a living process.
impl LeaseHandle for Lock {
    fn check(&self) -> std::result::Result<(), LeaseLost> {
        Ok(())
    }

    fn quarantine(&self, _: Duration) -> Option<Duration> {
        None
    }
}

fn ends_torn(file: &mut File) -> Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0u8];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The names of the files in a folder with this ending, without it, sorted.
fn names(folder: &Path, ending: &str) -> Result<Vec<String>> {
    let listing = match std::fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for file in listing {
        let name = file?.file_name();
        let own = name.to_str().and_then(|name| name.strip_suffix(ending));
        names.extend(own.filter(|own| super::is_name(own)).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    // On other systems a file of this length takes real space.
    #[cfg(unix)]
    #[test]
    fn a_journal_that_is_larger_than_any_run_writes_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        // Sparse: it takes no space, but would take minutes to read.
        File::create(&path).unwrap().set_len(20 << 30).unwrap();
        let error = Directory.read_log(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}
