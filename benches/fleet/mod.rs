//! A made-up fleet for benchmarks: the shape and size of the service's objects, for any number of devices, always the same.
//!
//! Not the sandbox's fleet: this one must be fast to make and must never change, so that figures compare over time.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::fmt::Write;

use mdetag_core::random::SeededNumbers;

/// Choices from a seed.
struct Numbers(SeededNumbers);

impl Numbers {
    /// The sequence of this seed.
    fn new(seed: u64) -> Numbers {
        Numbers(SeededNumbers::new(seed))
    }

    /// The next number.
    fn next(&mut self) -> u64 {
        self.0.number()
    }

    /// A number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of these.
    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len() as u64) as usize]
    }
}

const PLATFORMS: &[&str] = &[
    "Windows11",
    "Windows11",
    "Windows10",
    "WindowsServer2019",
    "WindowsServer2022",
    "Ubuntu",
    "macOS",
    "RedHatEnterpriseLinux",
];
const SITES: &[&str] = &["fin", "hr", "ops", "dev", "web", "sql", "dc", "kiosk", "lab", "fac"];
const DOMAINS: &[&str] = &["corp.example.com", "emea.example.com", "apac.example.com", "dmz.example.net"];

/// Appends one device as one line of NDJSON, about 1 kB.
pub(crate) fn push_device(out: &mut String, number: u64) {
    let mut numbers = Numbers::new(number);
    let id = format!("{:016x}{:016x}{:08x}", numbers.next(), numbers.next(), number as u32);
    let platform = numbers.pick(PLATFORMS);
    let name = format!("{}-{:05}.{}", numbers.pick(SITES), number % 100_000, numbers.pick(DOMAINS));
    let (site, host) = (numbers.below(200), numbers.below(65_000));
    let ip = format!("10.{site}.{}.{}", host / 250, host % 250);
    let mac = format!("00005E{:06X}", number & 0xff_ffff);
    let (month, day, hour) = (1 + numbers.below(10), 1 + numbers.below(28), numbers.below(24));
    let fraction = numbers.below(10_000_000);
    let tags: Vec<String> =
        (0..numbers.below(4)).map(|_| format!("\"env/{}\"", numbers.below(300))).collect();
    let (group, build) = (numbers.below(60), 19_041 + numbers.below(4_000));
    let (aad_high, aad_low) = (numbers.next(), numbers.next());
    let vm = if numbers.below(5) == 0 {
        let subscription = numbers.below(40);
        format!(
            r#"{{"vmId":"{:08x}-1111-2222-3333-{:012x}","cloudProvider":"Azure","resourceId":"/subscriptions/{subscription:08}-0000-0000-0000-000000000000/resourceGroups/rg-{group}/providers/Microsoft.Compute/virtualMachines/vm{number}","subscriptionId":null}}"#,
            aad_low as u32,
            aad_high & 0xffff_ffff_ffff
        )
    } else {
        "null".to_owned()
    };
    let tags = tags.join(",");
    let version = numbers.pick(&["22H2", "23H2", "24H2", "1809", "9.4"]);
    let external = numbers.below(40);
    let patch = numbers.below(20);
    let health = numbers.pick(&["Active", "Active", "Active", "Inactive", "NoSensorData"]);
    let value = numbers.pick(&["Normal", "Normal", "Normal", "High", "Low"]);
    let risk = numbers.pick(&["None", "Low", "Medium", "High"]);
    let exposure = numbers.pick(&["Low", "Medium", "High"]);
    let joined = numbers.below(2) == 0;
    let aad = format!(
        "{:08x}-{:04x}-4e7e-8d37-{:012x}",
        aad_high as u32,
        aad_high >> 48,
        aad_low & 0xffff_ffff_ffff
    );
    let a = numbers.below(65_536);
    let b = numbers.below(65_536);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        r#"{{"id":"{id}","mergedIntoMachineId":null,"isPotentialDuplication":false,"isExcluded":false,"exclusionReason":null,"#
    );
    let _ = write!(
        out,
        r#""computerDnsName":"{name}","firstSeen":"2025-{month:02}-{day:02}T08:14:52.1830412Z","#
    );
    let _ = write!(
        out,
        r#""lastSeen":"2026-{month:02}-{day:02}T{hour:02}:07:19.{fraction:07}Z","osPlatform":"{platform}","osVersion":null,"#
    );
    let _ = write!(
        out,
        r#""osProcessor":"x64","version":"{version}","lastIpAddress":"{ip}","lastExternalIpAddress":"203.0.113.{external}","#
    );
    let _ = write!(
        out,
        r#""agentVersion":"10.8760.{build}.{patch}","osBuild":{build},"healthStatus":"{health}","deviceValue":"{value}","#
    );
    let _ = write!(
        out,
        r#""rbacGroupId":{group},"rbacGroupName":"group-{group}","riskScore":"{risk}","exposureLevel":"{exposure}","#
    );
    let _ = write!(
        out,
        r#""isAadJoined":{joined},"aadDeviceId":"{aad}","machineTags":[{tags}],"onboardingStatus":"Onboarded","#
    );
    let _ = write!(
        out,
        r#""osArchitecture":"64-bit","managedBy":"Intune","managedByStatus":"Success","ipAddresses":["#
    );
    let _ = write!(
        out,
        r#"{{"ipAddress":"{ip}","macAddress":"{mac}","type":"Ethernet","operationalStatus":"Up"}},"#
    );
    let _ = write!(
        out,
        r#"{{"ipAddress":"fe80::{a:x}:{b:x}","macAddress":"{mac}","type":"Ethernet","operationalStatus":"Up"}},"#
    );
    let _ = writeln!(
        out,
        r#"{{"ipAddress":"127.0.0.1","macAddress":null,"type":"SoftwareLoopback","operationalStatus":"Up"}}],"vmMetadata":{vm}}}"#
    );
}

/// How many devices the benchmarks use.
pub(crate) fn sizes() -> Vec<u64> {
    let more = std::env::var("MDETAG_BENCH_DEVICES").ok().and_then(|number| number.parse().ok());
    [10_000, 100_000].into_iter().chain(more).collect()
}

/// A policy with this many rules over this fleet: names, networks, ages, versions, tags, groups, in equal parts.
pub(crate) fn policy(rules: usize) -> String {
    let mut out = String::from(
        "version: 1\nselectors:\n  servers: { osPlatform: { startsWith: WindowsServer } }\nrules:\n",
    );
    for number in 0..rules {
        let round = number / 10;
        let (site, domain) = (SITES[round % 10], DOMAINS[number % 4]);
        let select = match number % 10 {
            0 => format!(
                r#"computerDnsName: {{ glob: ["{site}-{round:03}*", "{site}-9{round:02}*.{domain}"] }}"#
            ),
            1 => format!(r#"use: servers, computerDnsName: {{ startsWith: "{site}-{:02}" }}"#, round % 100),
            2 => format!(r"lastIpAddress: {{ cidr: [10.{}.0.0/16] }}", round % 256),
            3 => format!(r"lastSeen: {{ olderThan: {}d }}, osPlatform: Windows11", 10 + round),
            4 => format!(
                r"rbacGroupName: group-{}, isAadJoined: {}, domain: {domain}",
                round % 60,
                round % 2 == 0
            ),
            5 => format!(
                r#"agentVersion: {{ atLeast: "10.8760.{}" }}, not: {{ use: servers }}"#,
                19_041 + round * 30
            ),
            6 => format!(r#"computerDnsName: {{ regex: "^{site}-[0-9]*{:02}\\.{domain}" }}"#, round % 100),
            7 => format!(
                r"machineTags: {{ hasAny: [env/{}, env/{}] }}, healthStatus: Active",
                round % 300,
                (round + 100) % 300
            ),
            8 => format!(
                r#"computerDnsName: {{ contains: "{:02}.{}" }}, osBuild: {{ atLeast: {} }}"#,
                round % 100,
                &domain[..4],
                20_000 + round * 20
            ),
            _ => format!(
                r#"any: [{{ macAddresses: {{ startsWith: "00005E0{}" }} }}, {{ deviceValue: High, domain: {domain} }}]"#,
                round % 10
            ),
        };
        let _ = writeln!(out, "  - {{ name: r{number}, select: {{ {select} }}, tags: [rule/{number}] }}");
    }
    out
}

/// This many devices as NDJSON.
pub(crate) fn ndjson(devices: u64) -> String {
    let mut out = String::with_capacity(devices as usize * 1100);
    (0..devices).for_each(|number| push_device(&mut out, number));
    out
}
