//! What only parsing costs: every line of an NDJSON file by one JSON parser, on so many threads.
//!
//!     parse PARSER FLEET THREADS
//!
//! `serde-value`, `simd-value`, `sonic-value`: any JSON as a tree. `simd-tape`: any JSON as a flat list. `serde-typed`,
//! `sonic-typed`: a device with its fields, texts borrowed. `serde-skip`: only whether it is JSON; nothing is built.
//! Prints the lines that it took. Threads take blocks of the file in turn and drop what they built.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::sync::Mutex;

/// The size of mdetag's own blocks.
const BLOCK: usize = 1 << 19;

/// A file, and what was read beyond the last whole line.
struct Source {
    file: File,
    rest: Vec<u8>,
    is_at_end: bool,
}

impl Source {
    /// The next block of whole lines; `false` at the end.
    fn next(&mut self, block: &mut Vec<u8>) -> std::io::Result<bool> {
        block.clear();
        block.append(&mut self.rest);
        let mut filled = block.len();
        block.resize(filled + BLOCK, 0);
        while filled < block.len() && !self.is_at_end {
            let count = self.file.read(&mut block[filled..])?;
            filled += count;
            self.is_at_end = count == 0;
        }
        block.truncate(filled);
        if let Some(newline) = block.iter().rposition(|byte| *byte == b'\n').filter(|_| !self.is_at_end) {
            self.rest.extend_from_slice(&block[newline + 1..]);
            block.truncate(newline + 1);
        }
        Ok(!block.is_empty())
    }
}

/// A device as the service sends it: what a program would declare that reads it whole.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
#[allow(dead_code)]
struct Device<'a> {
    id: &'a str,
    merged_into_machine_id: Option<&'a str>,
    is_potential_duplication: Option<bool>,
    is_excluded: Option<bool>,
    exclusion_reason: Option<&'a str>,
    computer_dns_name: Option<&'a str>,
    first_seen: Option<&'a str>,
    last_seen: Option<&'a str>,
    os_platform: Option<&'a str>,
    os_processor: Option<&'a str>,
    version: Option<&'a str>,
    last_ip_address: Option<&'a str>,
    last_external_ip_address: Option<&'a str>,
    agent_version: Option<&'a str>,
    os_build: Option<u64>,
    health_status: Option<&'a str>,
    device_value: Option<&'a str>,
    rbac_group_id: Option<u64>,
    rbac_group_name: Option<&'a str>,
    risk_score: Option<&'a str>,
    exposure_level: Option<&'a str>,
    is_aad_joined: Option<bool>,
    aad_device_id: Option<&'a str>,
    machine_tags: Vec<&'a str>,
    onboarding_status: Option<&'a str>,
    os_architecture: Option<&'a str>,
    managed_by: Option<&'a str>,
    managed_by_status: Option<&'a str>,
    ip_addresses: Vec<Interface<'a>>,
    vm_metadata: Option<Vm<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Interface<'a> {
    ip_address: Option<&'a str>,
    mac_address: Option<&'a str>,
    r#type: Option<&'a str>,
    operational_status: Option<&'a str>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Vm<'a> {
    vm_id: Option<&'a str>,
    cloud_provider: Option<&'a str>,
    resource_id: Option<&'a str>,
    subscription_id: Option<&'a str>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [parser, fleet, threads] = arguments.as_slice() else { return Err("parse PARSER FLEET THREADS".into()) };
    let parse: fn(&mut [u8]) -> bool = match parser.as_str() {
        "serde-value" => |line| serde_json::from_slice::<serde_json::Value>(line).is_ok(),
        "serde-skip" => |line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok(),
        "simd-tape" => |line| simd_json::to_tape(line).is_ok(),
        "simd-value" => |line| simd_json::to_borrowed_value(line).is_ok(),
        "sonic-value" => |line| sonic_rs::from_slice::<sonic_rs::Value>(line).is_ok(),
        "serde-typed" => |line| serde_json::from_slice::<Device<'_>>(line).is_ok(),
        "sonic-typed" => |line| sonic_rs::from_slice::<Device<'_>>(line).is_ok(),
        other => return Err(format!("no parser `{other}`").into()),
    };
    let source = Mutex::new(Source { file: File::open(fleet)?, rest: Vec::new(), is_at_end: false });
    let count = || -> std::io::Result<usize> {
        let mut block = Vec::new();
        let mut lines = 0;
        while source.lock().expect("no thread panics").next(&mut block)? {
            let whole = block.split_mut(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines += whole.map(parse).filter(|is_json| *is_json).count();
        }
        Ok(lines)
    };
    let threads: usize = threads.parse()?;
    let total: std::io::Result<usize> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
    });
    println!("{}", total?);
    Ok(())
}
