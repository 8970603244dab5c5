//! Builds a snapshot page by page, line by line or from a stream.
//!
//! Requests nothing: the caller passes the bytes in. What a short read means is for the caller to decide.

use hashbrown::HashSet;
use serde::de::DeserializeSeed;

use super::columns::{CodeMapping, Columns};
use super::layout;
use super::read::{ParsedValue, TopLevel};
use super::tally::Tally;
use super::{Snapshot, UntrustedReason};

/// Devices that have been read so far.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    columns: Columns,
    /// Ids of the rows before `known`: a repeat is seen while pages arrive.
    ids: HashSet<Box<str>>,
    known: usize,
    tally: Tally,
}

/// What one list page held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Devices on it, repeated ones included, those without id not.
    pub rows: u64,
    /// `@odata.nextLink`.
    pub next_link: Option<String>,
    /// Devices that came before, on this page or an earlier one.
    pub repeated: u64,
    /// The devices that were left out, and why.
    pub tally: Tally,
}

/// Why bytes could not be read as devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    /// No JSON, cut JSON, or JSON of another shape.
    #[error("{detail} (line {line}, column {column})")]
    Json {
        /// What is wrong, in the parser's words.
        detail: String,
        /// Line within the bytes, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// JSON that is no list page: nothing named `value`.
    #[error("the answer is JSON but holds no list of devices (`value` is missing)")]
    NoList,
    /// More text in one column than 4 GiB.
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
    /// The same fault in bytes that so many lines come before.
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

/// One check of the whole is much cheaper than one a string.
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

pub(super) fn read_json(text: &str, columns: &mut Columns) -> Result<ParsedValue, ReadFault> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = TopLevel { columns }.deserialize(&mut json)?;
    json.end()?;
    Ok(found)
}

impl SnapshotBuilder {
    /// A builder that has read no device yet.
    pub fn new() -> SnapshotBuilder {
        SnapshotBuilder::default()
    }

    /// Devices read so far, repeated ones included.
    pub fn rows(&self) -> usize {
        self.columns.len()
    }

    /// What was counted beside the rows.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Reads one list page: `{"value": […], "@odata.nextLink": …}`.
    ///
    /// # Errors
    /// Bytes that are no JSON, or no list page. Devices before the fault may have been taken.
    pub fn read_page(&mut self, bytes: &[u8]) -> Result<Page, ReadFault> {
        let mut part = Columns::default();
        let found = read_json(text_of(bytes)?, &mut part)?;
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

    /// Reads one device object: one NDJSON line, or the answer for one device.
    ///
    /// # Errors
    /// Bytes that are no JSON object.
    pub fn read_device(&mut self, bytes: &[u8]) -> Result<(), ReadFault> {
        self.tally.add(&read_json(text_of(bytes)?, &mut self.columns)?.tally);
        Ok(())
    }

    /// Reads JSON values one after another from a stream: devices, list pages or arrays of any size in bounded memory (apart
    /// from the devices themselves), at about half the speed of a page in memory.
    ///
    /// # Errors
    /// What the stream reports, and JSON of another shape.
    pub fn read_stream(&mut self, stream: impl std::io::Read) -> Result<(), ReadFault> {
        let mut json = serde_json::Deserializer::from_reader(stream);
        // `end` is how serde_json says that only white space is left; anything else is the next value.
        while json.end().is_err() {
            let found = TopLevel { columns: &mut self.columns }.deserialize(&mut json)?;
            self.tally.add(&found.tally);
        }
        Ok(())
    }

    /// Takes devices that were parsed apart. `adopted` goes with the part: see [`Columns::append`].
    pub(super) fn take_columns(
        &mut self,
        part: &Columns,
        adopted: &mut CodeMapping,
        tally: &Tally,
    ) -> Result<(), ReadFault> {
        self.tally.add(tally);
        if self.columns.append(part, adopted) { Ok(()) } else { Err(ReadFault::TooLarge) }
    }

    /// The snapshot, and what the devices themselves say against it.
    pub fn finish(self) -> (Snapshot, Vec<UntrustedReason>) {
        let reasons = self.tally.reasons();
        (Snapshot::new(self.columns), reasons)
    }
}
