//! Any bytes as devices: as one object, as lines, and as a stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mdetag::inventory::SnapshotBuilder;

fuzz_target!(|bytes: &[u8]| {
    let mut builder = SnapshotBuilder::new();
    let _ = builder.read_device(bytes);
    let _ = builder.read_stream(bytes);
    for line in bytes.split(|byte| *byte == b'\n') {
        let _ = builder.read_device(line);
    }
    builder.finish();
});
