//! Reads NDJSON in blocks: parses them on all cores and joins them in order.
//!
//! Requests nothing: the caller passes the blocks in and may fetch the next ones meanwhile.

use rayon::prelude::*;

use super::SnapshotBuilder;
use super::builder::{self, ReadFault};
use super::columns::{CodeMapping, Columns};
use super::copies::CopyWatch;
use super::draft::DeviceDraft;
use super::scan::Scanner;
use super::tally::Tally;

/// The most words that a chunk keeps for its next block; with more it starts afresh. Few fleets have so many, and those of a
/// hostile one must not be stored once per chunk.
const KEPT_WORDS: usize = 1 << 14;

/// Reads blocks of whole lines into a builder. A line may be a device, a list page or an array; blank ones are skipped.
#[derive(Debug, Default)]
pub struct BlockReader {
    pub(super) builder: SnapshotBuilder,
    /// Parsed and not yet joined.
    parsed: Vec<Chunk>,
    /// Joined: the next blocks reuse their memory and the words that they know.
    spare: Vec<Chunk>,
    /// Line ends that came before the parsed blocks.
    lines: u64,
}

impl BlockReader {
    /// A reader at the start. `lines`: lines read elsewhere, which the places of faults count too.
    pub fn new(lines: u64) -> BlockReader {
        BlockReader { lines, ..BlockReader::default() }
    }

    /// Parses blocks on all cores. Meanwhile joins the previous blocks and runs `meanwhile`.
    ///
    /// # Errors
    /// The first line that is not JSON, of this or an earlier call.
    pub fn read<N: Send>(
        &mut self,
        blocks: &[impl AsRef<[u8]> + Sync],
        meanwhile: impl FnOnce() -> N + Send,
    ) -> Result<N, ReadFault> {
        let mut chunks = std::mem::take(&mut self.spare);
        chunks.resize_with(blocks.len().max(chunks.len()), Chunk::default);
        let parse = || {
            let pairs = chunks.par_iter_mut().zip(blocks.par_iter());
            pairs.for_each(|(chunk, block)| chunk.parse(block.as_ref()));
        };
        let join = || {
            let joined = self.join();
            joined.map(|()| meanwhile())
        };
        let (joined, ()) = rayon::join(join, parse);
        let next = joined?;
        self.spare.append(&mut self.parsed);
        self.spare.extend(chunks.drain(blocks.len()..));
        self.parsed = chunks;
        Ok(next)
    }

    fn join(&mut self) -> Result<(), ReadFault> {
        for chunk in &mut self.parsed {
            if let Some(fault) = chunk.fault.take() {
                return Err(fault.after(self.lines));
            }
            self.lines += chunk.lines;
            self.builder.take_part(&chunk.columns, &mut chunk.adopted, &chunk.tally)?;
        }
        Ok(())
    }

    /// All devices of all blocks.
    ///
    /// # Errors
    /// The first line that is not JSON.
    pub fn finish(mut self) -> Result<SnapshotBuilder, ReadFault> {
        self.join()?;
        Ok(self.builder)
    }
}

/// The devices of one block. Its dictionaries, and the builder's numbers for their words, outlive the block.
#[derive(Debug, Default)]
struct Chunk {
    columns: Columns,
    adopted: CodeMapping,
    scanner: Scanner,
    lines: u64,
    tally: Tally,
    fault: Option<ReadFault>,
}

impl Chunk {
    fn parse(&mut self, bytes: &[u8]) {
        if self.columns.words() > KEPT_WORDS {
            *self = Chunk::default();
        }
        self.columns.clear_rows();
        (self.lines, self.tally) = (0, Tally::default());
        self.fault = self.read_lines(bytes).err();
    }

    fn read_lines(&mut self, bytes: &[u8]) -> Result<(), ReadFault> {
        let mut rest = builder::text_of(bytes)?;
        let mut draft = DeviceDraft::default();
        while !rest.is_empty() {
            draft.clear();
            let scanned = self.scanner.device(rest, &mut draft, &mut self.columns);
            let after = scanned.and_then(|length| after_line_end(&rest[length..]));
            rest = if let Some(after) = after {
                draft.finish(&mut self.columns, &mut self.tally);
                after
            } else {
                let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
                if !line.trim_ascii().is_empty() {
                    let mut copies = CopyWatch::default();
                    let found = builder::read_json(line, &mut self.columns, Some(&mut copies));
                    self.tally.add(&found.map_err(|fault| fault.after(self.lines))?.tally);
                }
                after
            };
            self.lines += 1;
        }
        Ok(())
    }
}

/// The rest after the line end, if the line or the text ends here.
fn after_line_end(text: &str) -> Option<&str> {
    let end = text.strip_prefix('\r').unwrap_or(text);
    if end.is_empty() { Some(end) } else { end.strip_prefix('\n') }
}
