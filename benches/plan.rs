//! Planning 100,000 devices against 100 rules, from memory: select, desire, diff, guard, schedule and render, each stage
//! alone and the pipeline together.
//!
//! Reads nothing from disk; the fleet and the policy are made here, the same in every run. `MDETAG_BENCH_DEVICES` takes
//! another number of devices. Run with `cargo bench --bench plan`.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mdetag_core::desired::desire;
use mdetag_core::diagnostic::{Severity, Sources};
use mdetag_core::inventory::{Snapshot, SnapshotBuilder};
use mdetag_core::plan::{Header, History, SafePlan, cost, diff, document};
use mdetag_core::policy::{self, Policy};
use mdetag_core::report::{self, Input, Model, Style, Subject, markdown};
use mdetag_core::selection::{HuntingResults, select};
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;

const RULES: usize = 100;

fn devices() -> usize {
    std::env::var("MDETAG_BENCH_DEVICES").ok().and_then(|number| number.parse().ok()).unwrap_or(100_000)
}

fn fleet(devices: usize) -> Snapshot {
    let platforms = ["Windows11", "Windows10", "WindowsServer2022", "WindowsServer2019", "Ubuntu", "macOS"];
    let mut lines = String::new();
    for index in 0..devices {
        let site = index % 50;
        let platform = platforms[index * 7 % platforms.len()];
        // One device in 20 has a tag that a rule removes; most carry the right one.
        let tag = if index % 20 == 0 { "site/old".to_owned() } else { format!("site/s{site:02}") };
        writeln!(
            lines,
            r#"{{"id":"{:040x}","computerDnsName":"s{site:02}-{index:06}.corp.example.com","osPlatform":"{platform}","machineTags":["{tag}"],"deviceValue":"Normal","lastSeen":"2026-11-21T08:00:00Z"}}"#,
            index.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        )
        .expect("a string takes any text");
    }
    let mut builder = SnapshotBuilder::new();
    builder.read_stream(lines.as_bytes()).expect("the lines are devices");
    builder.finish().0
}

fn policy_text() -> String {
    let mut text = String::from("version: 1\nclaims: [\"site/*\", \"os/*\"]\nrules:\n");
    for index in 0..RULES {
        let select = match index {
            0..50 => format!("{{ computerDnsName: {{ glob: \"s{index:02}-*\" }} }}"),
            50..90 => format!(
                "{{ computerDnsName: {{ contains: \"-0{}{}\" }}, osPlatform: [Windows11, Ubuntu] }}",
                index % 10,
                index / 10
            ),
            _ => "{ osPlatform: { startsWith: WindowsServer } }".to_owned(),
        };
        let says = match index {
            0..50 => format!("tags: [\"site/s{index:02}\"]"),
            50..90 => format!("tags: [\"ring-{index}\"]"),
            _ => format!("tags: [\"os/{{osPlatform|slug}}\"], deviceValue: High, priority: {index}"),
        };
        writeln!(text, "  - {{ name: r{index}, select: {select}, {says} }}")
            .expect("a string takes any text");
    }
    text
}

fn benches(criterion: &mut Criterion) {
    let now = Timestamp::parse("2026-11-22T03:00:00Z").expect("a time");
    let sources = Sources::from_text("policy.yaml", &policy_text());
    let (policy, findings): (Policy, _) = policy::resolve(&sources, TagCase::Exact, now);
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let devices = devices();
    let snapshot = fleet(devices);
    let hunting = HuntingResults::default();
    let selections = select(&policy, &snapshot, &hunting, now).expect("there is no hunting");
    let desired = desire(&policy, &snapshot, &selections, now).expect("no rule is in conflict");
    let plan = diff(&desired, &History::default(), Header::default(), &sources);

    let mut group = criterion.benchmark_group(format!("{devices} devices, {RULES} rules"));
    group.sample_size(10);
    group.bench_function("select", |bench| {
        bench.iter(|| black_box(select(&policy, &snapshot, &hunting, now)).is_ok());
    });
    group.bench_function("desire", |bench| {
        bench.iter(|| black_box(desire(&policy, &snapshot, &selections, now)).is_ok());
    });
    group.bench_function("diff", |bench| {
        bench.iter(|| {
            black_box(diff(&desired, &History::default(), Header::default(), &sources)).changes.len()
        });
    });
    group.bench_function("guard", |bench| {
        bench.iter(|| black_box(SafePlan::new(plan.clone(), &policy.guard, &[], &sources)).is_ok());
    });
    group.bench_function("schedule", |bench| {
        bench.iter(|| black_box(cost::schedule(&plan, &plan.header.options)).total);
    });
    group.bench_function("document", |bench| {
        bench.iter(|| document::write_to(&plan, &mut std::io::sink()).is_ok());
    });
    group.bench_function("model", |bench| {
        bench.iter(|| black_box(Model::new(Input::new(Subject::Plan, &plan))).totals.devices);
    });
    let model = Model::new(Input::new(Subject::Plan, &plan));
    for format in report::Format::ALL.iter().copied() {
        group.bench_function(format!("render {}", format.name()), |bench| {
            let style = Style::default();
            bench.iter(|| {
                report::write(format, &model, &style, markdown::MAX_CHARS, &mut std::io::sink()).is_ok()
            });
        });
    }
    group.bench_function("select, desire, diff", |bench| {
        bench.iter(|| {
            let selections = select(&policy, &snapshot, &hunting, now).expect("there is no hunting");
            let desired = desire(&policy, &snapshot, &selections, now).expect("no conflict");
            black_box(diff(&desired, &History::default(), Header::default(), &sources)).changes.len()
        });
    });
    group.finish();
}

criterion_group!(plan, benches);
criterion_main!(plan);
