//! Selecting: all rules of a policy over a snapshot, by devices and by rules.
//!
//! Sizes as in `read`; 10, 100 and 1,000 rules. Run with `cargo bench --bench select`.
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod fleet;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mdetag_core::diagnostic::{Severity, Sources};
use mdetag_core::inventory::BlockReader;
use mdetag_core::policy;
use mdetag_core::selection::{self, HuntingResults};
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;

fn select(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("select");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let now = Timestamp::parse("2026-11-22").expect("a date");
    for devices in fleet::sizes() {
        let mut reader = BlockReader::new(0);
        reader.read(&[fleet::ndjson(devices)], || ()).expect("the fleet is JSON");
        let (snapshot, _) = reader.finish().expect("the fleet is JSON").finish();
        for rules in [10, 100, 1000] {
            let (policy, findings) = policy::resolve(
                &Sources::from_text("bench.yaml", &fleet::policy(rules)),
                TagCase::Exact,
                now,
            );
            let error = findings.iter().find(|finding| finding.severity == Severity::Error);
            assert_eq!(error, None);
            group.throughput(Throughput::Elements(devices));
            group.bench_with_input(
                BenchmarkId::new(format!("{rules}-rules"), devices),
                &policy,
                |bencher, policy| {
                    let none = HuntingResults::default();
                    bencher.iter(|| {
                        selection::select(policy, &snapshot, &none, now).expect("no hunting").rules.len()
                    });
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, select);
criterion_main!(benches);
