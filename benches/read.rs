//! Reading: NDJSON to columns, against what only skipping over the same JSON costs.
//!
//! Sizes: 10,000 and 100,000 devices; `MDETAG_BENCH_DEVICES` adds one. Run with `cargo bench --bench read`.
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod fleet;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mdetag::store::snapshot_file;
use mdetag_core::inventory::BlockReader;

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for devices in fleet::sizes() {
        let text = fleet::ndjson(devices);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("fleet.ndjson");
        std::fs::write(&path, &text).expect("the temporary folder can be written");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("skip", devices), &text, |bencher, text| {
            let is_json = |line: &str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
            bencher.iter(|| text.lines().filter(|line| is_json(line)).count());
        });
        group.bench_with_input(BenchmarkId::new("parse-one-core", devices), &text, |bencher, text| {
            bencher.iter(|| {
                let mut reader = BlockReader::new(0);
                reader.read(&[text], || ()).expect("the fleet is JSON");
                reader.finish().expect("the fleet is JSON").rows()
            });
        });
        group.bench_with_input(BenchmarkId::new("file", devices), &path, |bencher, path| {
            bencher.iter(|| snapshot_file::read(path).expect("the fleet is JSON").snapshot.len());
        });
        group.throughput(Throughput::Elements(devices));
        group.bench_with_input(BenchmarkId::new("digest", devices), &path, |bencher, path| {
            let read = || snapshot_file::read(path).expect("the fleet is JSON").snapshot;
            bencher.iter_batched(read, |snapshot| snapshot.digest(), criterion::BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
