//! Any bytes as devices: as one object, as lines, as a stream, and as blocks, which must give the same as lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mdetag_core::inventory::{BlockReader, SnapshotBuilder};

fuzz_target!(|bytes: &[u8]| {
    let mut builder = SnapshotBuilder::new();
    let _ = builder.read_device(bytes);
    let _ = builder.read_stream(bytes);
    builder.finish();
    assert_eq!(by_blocks(bytes), by_lines(bytes));
});

/// The devices' digest and the number of those without id, by the parser alone.
fn by_lines(bytes: &[u8]) -> Option<(String, u64)> {
    let mut builder = SnapshotBuilder::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        builder.read_device(line).ok()?;
    }
    let without_id = builder.without_id();
    Some((builder.finish().0.digest(), without_id))
}

/// The same by the scanner where it can, in two blocks cut at a line end near the middle.
fn by_blocks(bytes: &[u8]) -> Option<(String, u64)> {
    let middle = bytes[bytes.len() / 2..].iter().position(|byte| *byte == b'\n');
    let (first, second) = bytes.split_at(middle.map_or(bytes.len(), |at| bytes.len() / 2 + at + 1));
    let mut reader = BlockReader::new(0);
    for block in [first, second] {
        reader.read(&[block], || ()).ok()?;
    }
    let builder = reader.finish().ok()?;
    let without_id = builder.without_id();
    Some((builder.finish().0.digest(), without_id))
}
