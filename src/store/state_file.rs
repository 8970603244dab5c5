//! Files of the state directory: created for their owner alone, and opened only if they are regular files and not links.
//!
//! An account that can write to the folder can replace any file by anything. Knows no format, and not which files there are.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Result};
use std::path::Path;
use std::time::Duration;

use super::path_text::shown;
use super::regular_file::{self, LinkPolicy};
use super::whole_file;

fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    regular_file::open(path, LinkPolicy::Refused, options)
}

/// Opens a file for reading.
///
/// # Errors
/// It is missing, not a regular file, or cannot be opened.
pub(super) fn open_to_read(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true))
}

/// Opens an existing file for reading and appending.
///
/// # Errors
/// As [`open_to_read`].
pub(super) fn open_to_append(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true).append(true))
}

/// Creates a new file for appending, with its parent folders.
///
/// # Errors
/// Those of [`open_to_read`], and the path exists already.
pub(super) fn create_new(path: &Path) -> Result<File> {
    make_folder_of(path)?;
    open(path, OpenOptions::new().append(true).create_new(true))
}

/// Opens a file to lock, read and rewrite it; creates it and its parent folders if needed.
///
/// # Errors
/// As [`open_to_read`].
pub(super) fn open_to_lock(path: &Path) -> Result<File> {
    make_folder_of(path)?;
    open(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
}

/// Takes the lock of a file for a brief change; waits at most this long.
///
/// # Errors
/// Those of [`open_to_read`], and another process keeps the lock.
pub(super) fn lock_for(path: &Path, most: Duration) -> Result<File> {
    const PAUSE: Duration = Duration::from_millis(2);
    let file = open_to_lock(path)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if waited >= most => {
                let why = format!("another process holds {}", shown(path));
                return Err(std::io::Error::new(ErrorKind::TimedOut, why));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
        waited += PAUSE;
    }
}

/// The bytes of a file, if there are at most `most`.
///
/// # Errors
/// Those of [`open_to_read`], and the file is larger.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    regular_file::whole(open_to_read(path)?, most)
}

/// Replaces a file as a whole, and creates its parent folders if needed.
///
/// # Errors
/// A sentence with the path, if it cannot be written or something other than a regular file is there.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<()> {
    // A rename would silently replace a link or pipe, whose presence means that somebody else writes here.
    match std::fs::symlink_metadata(path) {
        Ok(known) if known.is_file() => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Ok(known) => {
            let what = if known.is_dir() { "a folder" } else { "not a regular file" };
            let why = format!("cannot write {}: it is {what}, which nothing replaces", shown(path));
            return Err(std::io::Error::new(ErrorKind::InvalidInput, why));
        }
        Err(error) => return Err(error),
    }
    make_folder_of(path)?;
    whole_file::write_private(path, content)
}

/// Creates a folder of the state and its parents, for the owner alone.
///
/// # Errors
/// A folder cannot be created.
pub(super) fn make_folder(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn make_folder_of(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), make_folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (one, two, three) =
            (folder.path().join("a/b/one"), folder.path().join("a/two"), folder.path().join("a/three"));
        write(&one, b"1").unwrap();
        create_new(&two).unwrap();
        open_to_lock(&three).unwrap();
        assert_eq!([&one, &two, &three].map(|path| mode(path)), [0o600; 3]);
        assert_eq!([&folder.path().join("a"), &folder.path().join("a/b")].map(|path| mode(path)), [0o700; 2]);
    }

    #[cfg(unix)]
    #[test]
    fn what_stands_in_place_of_a_file_is_neither_read_written_nor_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let (other, link, pipe) =
            (folder.path().join("other"), folder.path().join("link"), folder.path().join("pipe"));
        std::fs::write(&other, "keep").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&link, &pipe, folder.path()] {
            assert!(open_to_read(path).is_err() && read(path, 9).is_err(), "{}", path.display());
            assert!(open_to_append(path).is_err() && open_to_lock(path).is_err(), "{}", path.display());
            assert!(create_new(path).is_err() && write(path, b"x").is_err(), "{}", path.display());
        }
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "keep");
        assert!(link.is_symlink());
    }
}
