//! Writes snapshot files: line by line, or from live list pages with their devices unchanged.
//!
//! Reads only the id of a device and when it was seen.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use tempfile::NamedTempFile;

use super::output_file;

use super::compression::CompressedWriter;
use super::snapshot_file::SnapshotFileError;
use super::snapshot_header::{SnapshotHeader, SnapshotStamp};
use mdetag_core::device;
use mdetag_core::report::escape::JsonLog;
use mdetag_core::time::Timestamp;

/// Raw devices on disk until the read is over, because the header comes first and is known last. Of repeated devices the copy
/// seen last is kept, as in the snapshot.
pub struct SnapshotPages {
    spool: BufWriter<File>,
    lines: u64,
    /// By id: when it was seen, and its line.
    kept: HashMap<String, (Option<Timestamp>, u64)>,
}

#[derive(Deserialize)]
struct PageDevices<'p> {
    #[serde(borrow, default)]
    value: Option<Vec<&'p RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RowSketch<'p> {
    #[serde(borrow)]
    id: Cow<'p, str>,
    #[serde(borrow, default)]
    last_seen: Option<Cow<'p, str>>,
}

impl SnapshotPages {
    /// A collection without any page yet.
    ///
    /// # Errors
    /// No temporary file can be made.
    pub fn new() -> io::Result<SnapshotPages> {
        Ok(SnapshotPages { spool: BufWriter::new(tempfile::tempfile()?), lines: 0, kept: HashMap::new() })
    }

    /// Adds the devices of a list page, except those without a usable id.
    ///
    /// # Errors
    /// The page is not a list page, or the disk cannot be written; as a sentence.
    pub fn add(&mut self, page: &[u8]) -> Result<(), String> {
        let page: PageDevices<'_> = serde_json::from_slice(page).map_err(|error| error.to_string())?;
        for raw in page.value.unwrap_or_default() {
            let Ok(sketch) = serde_json::from_str::<RowSketch<'_>>(raw.get()) else { continue };
            if !device::is_id(&sketch.id) {
                continue;
            }
            let seen = sketch.last_seen.as_deref().and_then(Timestamp::parse_field);
            let place = (seen, self.lines);
            let kept = self.kept.entry_ref(&*sketch.id).or_insert(place);
            if kept.0 < seen {
                *kept = place;
            }
            // A line end inside an object is white space between its tokens.
            let line = raw.get().replace(['\n', '\r'], " ");
            writeln!(self.spool, "{line}").map_err(|error| format!("cannot keep the page: {error}"))?;
            self.lines += 1;
        }
        Ok(())
    }

    /// Writes the snapshot file; fills the number of devices into the header.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub fn write(&mut self, path: &Path, stamp: &SnapshotStamp) -> Result<(), SnapshotFileError> {
        let file_error = |source| SnapshotFileError::File { verb: "write", path: path.to_owned(), source };
        let mut wanted: Vec<u64> = self.kept.values().map(|(_, line)| *line).collect();
        wanted.sort_unstable();
        let stamp = SnapshotStamp { devices: wanted.len() as u64, ..stamp.clone() };
        let mut out = SnapshotLines::create(path, &stamp)?;
        self.spool.flush().map_err(file_error)?;
        let spool = self.spool.get_mut();
        spool.rewind().map_err(file_error)?;
        let mut wanted = wanted.into_iter().peekable();
        for (number, line) in BufReader::new(spool).split(b'\n').enumerate() {
            let line = line.map_err(file_error)?;
            if wanted.next_if_eq(&(number as u64)).is_some() {
                out.add(&line)?;
            }
        }
        out.finish()
    }
}

/// Writes a snapshot file line by line. It appears whole or not at all.
pub struct SnapshotLines {
    packer: JsonLog<CompressedWriter<NamedTempFile>>,
    path: PathBuf,
}

impl SnapshotLines {
    /// Starts the file with its header. The name decides the compression: `.gz`, `.zst`, or none.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(path: &Path, stamp: &SnapshotStamp) -> Result<SnapshotLines, SnapshotFileError> {
        let header = SnapshotHeader::new(stamp);
        let begin = || {
            let mut packer = JsonLog::new(CompressedWriter::new(path, output_file::temporary(path)?));
            serde_json::to_writer(&mut packer, &header)?;
            packer.write_all(b"\n")?;
            Ok(packer)
        };
        let packer = begin().map_err(|source| write_error(path, source))?;
        Ok(SnapshotLines { packer, path: path.to_owned() })
    }

    /// Appends one device: one JSON object without line ends.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub fn add(&mut self, object: &[u8]) -> Result<(), SnapshotFileError> {
        let added = self.packer.write_all(object).and_then(|()| self.packer.write_all(b"\n"));
        added.map_err(|source| write_error(&self.path, source))
    }

    /// Completes the file and moves it to its place.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub fn finish(self) -> Result<(), SnapshotFileError> {
        let path = self.path;
        let place = |packer: CompressedWriter<NamedTempFile>| {
            let file = packer.finish()?;
            file.as_file().sync_all()?;
            output_file::put(file, &path)
        };
        place(self.packer.into_inner()).map_err(|source| write_error(&path, source))
    }
}

fn write_error(path: &Path, source: io::Error) -> SnapshotFileError {
    SnapshotFileError::File { verb: "write", path: path.to_owned(), source }
}
