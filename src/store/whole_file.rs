//! Writes files that appear whole or not at all: beside their place, then renamed.
//!
//! Knows no format.

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;

use super::path_text::shown;

/// Writes a file, and its parent folders if needed. Readers see the old or the new content, never a part, even after a power
/// failure.
///
/// # Errors
/// A sentence with the path, if a folder or the file cannot be written.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    written(path, content, make_readable)
}

/// Like [`write`], for a file that only its owner may read.
///
/// # Errors
/// As [`write`].
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    // Temporary files are only for their owner, on every system.
    written(path, content, |_| Ok(()))
}

fn written(path: &Path, content: &[u8], open_up: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let named = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot write {}: {error}", shown(path)))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(named)?;
    let mut file = tempfile::Builder::new().prefix(".mdetag-").tempfile_in(folder).map_err(named)?;
    file.write_all(content).map_err(named)?;
    file.as_file().sync_data().map_err(named)?;
    open_up(file.as_file()).map_err(named)?;
    file.persist(path).map_err(|error| named(error.error))?;
    Ok(())
}

/// Temporary files are only for their owner, but CI steps of other users read the final file.
#[cfg(unix)]
pub(super) fn make_readable(file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
pub(super) fn make_readable(_: &File) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_old_content_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
}
