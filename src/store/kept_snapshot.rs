//! The snapshot in the state of a tenant, so that everyone who shares the state can plan on the same read.
//!
//! There is only one; the next replaces it.

use std::io::{Error, ErrorKind, Read};

use super::regular_file;
use super::snapshot_file::{self, SnapshotFile, SnapshotFileError};
use super::snapshot_header::SnapshotStamp;
use super::snapshot_writer::SnapshotPages;
use super::state::StateDir;

/// Upper limit of its size in bytes: a million devices take less than 200 MB.
const MOST_BYTES: u64 = 2 << 30;

/// Stores the pages of a read in the state.
///
/// # Errors
/// The temporary folder or the state cannot be written.
pub fn keep(
    state: &StateDir,
    pages: &mut SnapshotPages,
    stamp: &SnapshotStamp,
) -> Result<(), SnapshotFileError> {
    let path = state.snapshot();
    let failed = |source| SnapshotFileError::File { verb: "write", path: path.clone(), source };
    let folder = tempfile::tempdir().map_err(failed)?;
    // The name decides the compression.
    let packed = folder.path().join(path.file_name().unwrap_or_default());
    pages.write(&packed, stamp)?;
    let mut bytes = Vec::new();
    regular_file::open_argument(&packed).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed)?;
    state.backend().write(&path, &bytes).map_err(|source| SnapshotFileError::Kept { source })
}

/// The stored snapshot; `None` if there is none.
///
/// # Errors
/// It cannot be read, is not an inventory, or is of another tenant than its folder.
pub fn read(state: &StateDir) -> Result<Option<SnapshotFile>, SnapshotFileError> {
    let path = state.snapshot();
    let failed = |source| SnapshotFileError::File { verb: "read", path: path.clone(), source };
    let bytes = match state.backend().read(&path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let file = snapshot_file::read_bytes(&path, bytes)?;
    let folder = state.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !file.tenant.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(folder)) {
        return Err(failed(Error::new(ErrorKind::InvalidData, "it is of another tenant")));
    }
    Ok(Some(file))
}
