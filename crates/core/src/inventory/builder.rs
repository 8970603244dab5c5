//! Builds a snapshot page by page, line by line or from a stream.
//!
//! Requests nothing: the caller passes the bytes in, and decides what a short read means.

use hashbrown::HashSet;
use serde::de::DeserializeSeed;

use super::columns::{CodeMapping, Columns};
use super::copies::CopyWatch;
use super::layout;
use super::read::{ParsedValue, TopLevel};
use super::tally::Tally;
use super::{Snapshot, UntrustedReason};

/// The devices read so far.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    columns: Columns,
    /// Ids of the rows before `known`, so that repeats are noticed while pages arrive.
    ids: HashSet<Box<str>>,
    known: usize,
    tally: Tally,
    pub(super) copies: CopyWatch,
}

/// The content of one list page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Devices on it, including repeated ones, excluding those without an id.
    pub rows: u64,
    /// `@odata.nextLink`.
    pub next_link: Option<String>,
    /// Devices that already came on this page or an earlier one.
    pub repeated: u64,
    /// The skipped devices, and why.
    pub tally: Tally,
}

/// Why bytes could not be read as devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    /// Not JSON, truncated JSON, or JSON of another shape.
    #[error("{detail} (line {line}, column {column})")]
    Json {
        /// The parser's message.
        detail: String,
        /// Line within the bytes, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// JSON that is not a list page: it has no `value`.
    #[error("the answer is JSON but holds no list of devices (`value` is missing)")]
    NoList,
    /// More than 4 GiB of text in one column.
    #[error("more devices than fit: one column passes 4 GiB of text")]
    TooLarge,
}

impl From<serde_json::Error> for ReadFault {
    fn from(error: serde_json::Error) -> ReadFault {
        let (line, column) = (error.line(), error.column());
        let detail = error.to_string();
        let place = format!(" at line {line} column {column}");
        ReadFault::Json { detail: detail.strip_suffix(&place).unwrap_or(&detail).to_owned(), line, column }
    }
}

impl ReadFault {
    /// The same fault, with `lines` added to its line number.
    #[must_use]
    pub fn after(self, lines: u64) -> ReadFault {
        match self {
            ReadFault::Json { detail, line, column } => {
                ReadFault::Json { detail, line: line + lines as usize, column }
            }
            other => other,
        }
    }
}

/// Checking the whole text once is much cheaper than checking each string.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, ReadFault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let detail =
            "a byte that is no UTF-8: the text has another encoding, such as Windows-1252".to_owned();
        ReadFault::Json { detail, line, column: before.len() - start + 1 }
    })
}

/// One JSON value. `copies` takes repeated devices out of a long list.
pub(super) fn read_json(
    text: &str,
    columns: &mut Columns,
    copies: Option<&mut CopyWatch>,
) -> Result<ParsedValue, ReadFault> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = TopLevel { columns, copies }.deserialize(&mut json)?;
    json.end()?;
    Ok(found)
}

impl SnapshotBuilder {
    /// A builder that has read no device yet.
    pub fn new() -> SnapshotBuilder {
        SnapshotBuilder::default()
    }

    /// Devices read so far; repeated ones are among them while there are few.
    pub fn rows(&self) -> usize {
        self.columns.len()
    }

    /// Counts of everything besides the rows.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Reads one list page: `{"value": […], "@odata.nextLink": …}`.
    ///
    /// # Errors
    /// Bytes that are not JSON, or not a list page. Devices before the fault may already be added.
    pub fn read_page(&mut self, bytes: &[u8]) -> Result<Page, ReadFault> {
        let mut part = Columns::default();
        // Its repeats are counted.
        let found = read_json(text_of(bytes)?, &mut part, None)?;
        if !found.is_list {
            return Err(ReadFault::NoList);
        }
        self.take_columns(&part, &mut CodeMapping::default(), &found.tally)?;
        let mut repeated = 0;
        while self.known < self.columns.len() {
            let id = self.columns.texts[layout::ID].get(self.known);
            repeated += u64::from(!self.ids.insert(id.into()));
            self.known += 1;
        }
        Ok(Page { rows: found.rows, next_link: found.next_link, repeated, tally: found.tally })
    }

    /// Reads one device object: an NDJSON line, or the answer for one device.
    ///
    /// # Errors
    /// Bytes that are not a JSON object.
    pub fn read_device(&mut self, bytes: &[u8]) -> Result<(), ReadFault> {
        self.tally.add(&read_json(text_of(bytes)?, &mut self.columns, None)?.tally);
        Ok(())
    }

    /// Reads consecutive JSON values from a stream: devices, list pages or arrays of any size. Apart from the devices themselves
    /// it needs bounded memory, at about half the speed of a page in memory.
    ///
    /// # Errors
    /// Errors of the stream, and JSON of another shape.
    pub fn read_stream(&mut self, stream: impl std::io::Read) -> Result<(), ReadFault> {
        let mut json = serde_json::Deserializer::from_reader(stream);
        // serde_json's `end` succeeds if only white space is left; anything else starts the next value.
        while json.end().is_err() {
            let value = TopLevel { columns: &mut self.columns, copies: Some(&mut self.copies) };
            let found = value.deserialize(&mut json)?;
            self.tally.add(&found.tally);
            self.copies.look(&mut self.columns);
        }
        Ok(())
    }

    /// Adds devices that were parsed separately. `adopted` belongs to the part: see [`Columns::append`].
    pub(super) fn take_columns(
        &mut self,
        part: &Columns,
        adopted: &mut CodeMapping,
        tally: &Tally,
    ) -> Result<(), ReadFault> {
        self.tally.add(tally);
        self.columns.append(part, adopted).then_some(()).ok_or(ReadFault::TooLarge)
    }

    /// As [`SnapshotBuilder::take_columns`], of a file: its repeats say nothing against it, and go where they are many.
    pub(super) fn take_part(
        &mut self,
        part: &Columns,
        adopted: &mut CodeMapping,
        tally: &Tally,
    ) -> Result<(), ReadFault> {
        self.take_columns(part, adopted, tally)?;
        self.copies.look(&mut self.columns);
        Ok(())
    }

    /// The snapshot, and the reasons against trusting it that the devices themselves give.
    pub fn finish(self) -> (Snapshot, Vec<UntrustedReason>) {
        let reasons = self.tally.reasons();
        (Snapshot::new(self.columns), reasons)
    }
}
