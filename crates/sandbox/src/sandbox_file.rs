//! Opens the sandbox's own files: only regular ones, without following a link or waiting for a pipe.
//!
//! The directory is in a checkout, and a checkout can contain anything. Knows no format.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// Upper limit of a file's size in bytes, above what any sandbox writes.
const MOST: u64 = 4 << 30;

/// Opens a file with these options.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    guard(options);
    let opened = options.open(path);
    // Systems differ in the error that they give for a link that must not be followed, or for a pipe without a second end.
    let is_special = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|known| !known.is_file());
    match opened {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Err(error) if error.kind() == ErrorKind::NotFound || !is_special(path) => Err(error),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

#[cfg(unix)]
fn guard(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW);
}

#[cfg(windows)]
fn guard(options: &mut OpenOptions) {
    use std::os::windows::fs::OpenOptionsExt;
    /// `FILE_FLAG_OPEN_REPARSE_POINT`: opens the link itself, which is then not a regular file.
    const OPEN_LINK: u32 = 0x0020_0000;
    options.custom_flags(OPEN_LINK);
}

/// The text of a file.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path, OpenOptions::new().read(true))?.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// Makes a directory and its parents, readable only by their owner.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
