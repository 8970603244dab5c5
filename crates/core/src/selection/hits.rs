//! Hits gathered by chunks on all cores: short lists if few rows match, bits if many do.
//!
//! Knows only rows and the numbers of tests.

use rayon::prelude::*;

use crate::inventory::{DeviceSet, Row};

/// Rows per chunk.
const CHUNK: usize = 1 << 15;
/// The number of rows above which bits are smaller than the list.
const FEW: usize = CHUNK / 16;

/// The hits of one chunk, by test.
pub(super) struct ChunkHits {
    parts: Vec<ChunkPart>,
}

enum ChunkPart {
    /// Offsets, ascending.
    Few(Vec<u16>),
    Many(Box<[u64]>),
}

impl ChunkHits {
    fn new(tests: usize) -> ChunkHits {
        ChunkHits { parts: (0..tests).map(|_| ChunkPart::Few(Vec::new())).collect() }
    }

    fn add(&mut self, test: u32, offset: u16) {
        let part = &mut self.parts[test as usize];
        match part {
            ChunkPart::Few(offsets) => {
                if offsets.last() == Some(&offset) {
                    return;
                }
                offsets.push(offset);
                if offsets.len() > FEW {
                    let mut bits = vec![0u64; CHUNK / 64].into_boxed_slice();
                    offsets.iter().for_each(|offset| bits[usize::from(*offset) / 64] |= 1 << (offset % 64));
                    *part = ChunkPart::Many(bits);
                }
            }
            ChunkPart::Many(bits) => bits[usize::from(offset) / 64] |= 1 << (offset % 64),
        }
    }

    fn rows(&self, test: usize) -> Box<dyn Iterator<Item = u32> + '_> {
        match &self.parts[test] {
            ChunkPart::Few(offsets) => Box::new(offsets.iter().map(|offset| u32::from(*offset))),
            ChunkPart::Many(bits) => Box::new(bits.iter().enumerate().flat_map(|(word, bits)| {
                let mut bits = *bits;
                std::iter::from_fn(move || {
                    let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                    bits &= bits - 1;
                    Some(word as u32 * 64 + bit)
                })
            })),
        }
    }
}

/// Finds which of `tests` tests hold for each row. `ask` calls back with each test that holds, perhaps repeatedly.
pub(super) fn gather<S>(
    length: usize,
    tests: usize,
    scratch: impl Fn() -> S + Sync + Send,
    ask: impl Fn(&mut S, Row, &mut dyn FnMut(u32)) + Sync + Send,
) -> Vec<DeviceSet> {
    let chunks: Vec<ChunkHits> = (0..length.div_ceil(CHUNK))
        .into_par_iter()
        .map_init(&scratch, |scratch, chunk| {
            let mut hits = ChunkHits::new(tests);
            let start = chunk * CHUNK;
            for row in start..length.min(start + CHUNK) {
                ask(scratch, Row(row as u32), &mut |test| hits.add(test, (row - start) as u16));
            }
            hits
        })
        .collect();
    (0..tests)
        .into_par_iter()
        .map(|test| {
            let rows = chunks.iter().enumerate().flat_map(|(chunk, hits)| {
                hits.rows(test).map(move |offset| Row((chunk * CHUNK) as u32 + offset))
            });
            DeviceSet::of(length, rows)
        })
        .collect()
}
