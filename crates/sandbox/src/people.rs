//! The devices of a generated fleet: names, platforms, ages and tags of an ordinary company, with a real one's oddities.
//!
//! Decides the content of a row; `generate` writes it.

use crate::draft::{Azure, Draft, Kind, days_before};
use crate::groups::{self, Groups, Seen};
use crate::random::Random;
use mdetag_vocabulary::device::DeviceValue;
use mdetag_vocabulary::time::Timestamp;

const DEPARTMENTS: &[(&str, &str)] = &[
    ("fin", "Finance"),
    ("hr", "HR"),
    ("eng", "Engineering"),
    ("ops", "Operations"),
    ("sal", "Sales"),
    ("leg", "Legal"),
];
const OWNERS: &[&str] = &["owner:ops-team", "owner:finance", "owner:web-team", "owner:dba", "owner:platform"];
const ODD_TAGS: &[&str] = &[
    "Büro-München",
    "東京オフィス",
    "São Paulo",
    "VIP (board), 2024",
    "O'Brien \"pilot\"",
    "finance",
    "FINANCE",
    "legacy",
    "🔒 locked-room",
];
const REGISTRY_TAGS: &[&str] = &["SITE-BER", "SITE-NYC", "Kiosk-Pool"];
const DYNAMIC_TAGS: &[&str] = &["dyn:internet-facing", "dyn:device-value"];
const PLAIN_TAGS: &[&str] = &["EU", "US", "Pilot", "BitLocker", "ring-1", "ring-2", "Project-Apollo"];
const POLICY_TAGS: &[&str] = &[
    "Tier0",
    "env/prod",
    "env/test",
    "Legacy",
    "Duplicate",
    "Ephemeral",
    "Inactive40d",
    "Inactive7d",
    "MDE-Management",
];
/// 200 characters, the longest tag that the service is known to accept.
const LONG_TAG: &str = "asset-register/2024/very-long-description/this-tag-was-pasted-from-a-spreadsheet-and-nobody-dares-to-remove-it/\
building-7/floor-3/room-21/rack-12/unit-33/contract-0000000000000000000000000000000001234";

/// Forty tags, for the few devices that collect them.
const MANY_TAGS: &[&str] = &[
    "app-01", "app-02", "app-03", "app-04", "app-05", "app-06", "app-07", "app-08", "app-09", "app-10",
    "app-11", "app-12", "app-13", "app-14", "app-15", "app-16", "app-17", "app-18", "app-19", "app-20",
    "app-21", "app-22", "app-23", "app-24", "app-25", "app-26", "app-27", "app-28", "app-29", "app-30",
    "app-31", "app-32", "app-33", "app-34", "app-35", "app-36", "app-37", "app-38", "app-39", "app-40",
];

/// Every tag that the generator uses.
pub(super) fn tags() -> impl Iterator<Item = &'static str> {
    let departments = DEPARTMENTS.iter().map(|(_, tag)| *tag);
    [OWNERS, ODD_TAGS, REGISTRY_TAGS, DYNAMIC_TAGS, PLAIN_TAGS, POLICY_TAGS, MANY_TAGS]
        .into_iter()
        .flatten()
        .copied()
        .chain(departments)
        .chain([LONG_TAG])
}

/// The number of domain controllers: a dozen of 2,000 devices, at least one, at most 400.
fn controllers(devices: u64) -> u64 {
    (devices / 160).clamp(1, 400)
}

/// Row `row` of a fleet.
pub(super) fn draft(seed: u64, devices: u64, row: u64, created: Timestamp) -> Draft {
    let random = &mut Random::for_row(seed, row);
    let every = (devices / controllers(devices)).max(1);
    let kind = if row % every == every / 2 && row / every < controllers(devices) {
        Kind::DomainController
    } else {
        kind(random.below(1000))
    };
    let (platform, version, build, agent) = platform(random, kind);
    let serial = random.next();
    let mut made = Draft {
        id: id(random, row),
        name: name(random, kind, row, every),
        kind,
        first_seen: None,
        last_seen: None,
        platform,
        version,
        build,
        health: "Active",
        onboarding: "Onboarded",
        risk: random.pick(&[Some("None"), Some("None"), Some("Low"), Some("Medium"), Some("High"), None]),
        exposure: random.pick(&["None", "Low", "Low", "Medium", "High"]),
        value: DeviceValue::Normal,
        group: undecided(random, kind),
        excluded: false,
        duplicate: false,
        merged_into: None,
        joined: Some(kind == Kind::Workstation),
        entra_id: None,
        managed_by: random.pick(&[
            ("Intune", "Success"),
            ("Unknown", "Unknown"),
            ("MicrosoftDefenderForEndpoint", "Success"),
            ("SystemCenterConfigurationManager", "Success"),
        ]),
        agent: Some(agent),
        address: address(random, kind),
        serial,
        azure: None,
        manual: Vec::new(),
        registry: None,
        dynamic: Vec::new(),
        locked: false,
    };
    times(&mut made, random, row, created);
    plan_inputs(&mut made, random, row);
    if made.duplicate && row % 400 == 87 && row + 40 < devices {
        // The device that replaced this one is forty rows further down and is not merged into another.
        made.merged_into = Some(draft(seed, devices, row + 40, created).id);
    }
    tag(&mut made, random);
    made.group = group(&made);
    made
}

fn kind(lot: u64) -> Kind {
    match lot {
        0..180 => Kind::Server,
        180..250 => Kind::Linux,
        250..850 => Kind::Workstation,
        850..900 => Kind::Mac,
        900..940 => Kind::Phone,
        _ => Kind::Discovered,
    }
}

/// Forty lower-case hex digits; one device in a thousand has the other form that was recorded in 2026.
fn id(random: &mut Random, row: u64) -> String {
    let (one, two, three) = (random.next(), random.next(), random.next());
    if row % 1000 == 601 {
        return format!("da{:018}_{:010}", one % 1_000_000_000_000_000_000, two % 10_000_000_000);
    }
    // The row number makes the id unique, whatever the random numbers are.
    format!("{one:016x}{:08x}{:08x}{:08x}", two as u32, (three as u32) ^ 0x5bd1_e995, row as u32)
}

fn platform(
    random: &mut Random,
    kind: Kind,
) -> (&'static str, Option<&'static str>, Option<u32>, &'static str) {
    const SERVERS: &[(&str, &str, u32)] = &[
        ("WindowsServer2022", "21H2", 20348),
        ("WindowsServer2022", "21H2", 20348),
        ("WindowsServer2019", "1809", 17763),
        ("WindowsServer2019", "1809", 17763),
        ("WindowsServer2016", "1607", 14393),
        ("WindowsServer2025", "24H2", 26100),
        ("WindowsServer2012R2", "6.3", 9600),
        ("WindowsServer2008R2", "6.1", 7601),
    ];
    const CLIENTS: &[(&str, &str, u32)] = &[
        ("Windows11", "23H2", 22631),
        ("Windows11", "24H2", 26100),
        ("Windows11", "25H2", 26200),
        ("Windows10", "22H2", 19045),
        ("Windows10WVD", "22H2", 19045),
        ("Windows7", "6.1", 7601),
    ];
    const LINUX: &[(&str, &str)] = &[
        ("Ubuntu", "22.4"),
        ("RedHatEnterpriseLinux", "9.5"),
        ("CentOS", "7.9"),
        ("Debian", "12.5"),
        ("SLES", "15.6"),
    ];
    match kind {
        Kind::DomainController | Kind::Server => {
            let newest = if kind == Kind::Server { SERVERS } else { &SERVERS[..6] };
            let (platform, version, build) = random.pick(newest);
            (platform, Some(version), Some(build), "10.8790.20348.2849")
        }
        Kind::Linux => {
            let (platform, version) = random.pick(LINUX);
            (platform, Some(version), (platform == "Ubuntu").then_some(6), "30.124092.2.0")
        }
        Kind::Workstation => {
            let lot = random.below(100);
            let place = match lot {
                0..40 => 0,
                40..70 => 1,
                70..80 => 2,
                80..93 => 3,
                93..99 => 4,
                _ => 5,
            };
            let (platform, version, build) = CLIENTS[place];
            (platform, Some(version), Some(build), "10.8760.22631.4169")
        }
        Kind::Mac => ("macOS", Some("15.3"), None, "101.24122.5"),
        Kind::Phone if random.chance(500) => ("iOS", Some("18.2"), None, "1.1.60120101"),
        Kind::Phone => ("Android", Some("15.0"), None, "1.0.7604.0101"),
        Kind::Discovered => {
            (random.pick(&["Windows10", "Linux", "WindowsServer2016", "Other"]), Some("Other"), None, "")
        }
    }
}

fn name(random: &mut Random, kind: Kind, row: u64, every: u64) -> Option<String> {
    let (department, _) = random.pick(DEPARTMENTS);
    let domain = match random.below(100) {
        0..52 => ".corp.example.com",
        52..80 => ".emea.corp.example.com",
        80..86 => ".lab.example.net",
        _ => "",
    };
    let number = row + 1;
    let name = match kind {
        Kind::DomainController => {
            let place = row / every + 1;
            if place.is_multiple_of(4) {
                format!("adc{place:02}.emea.corp.example.com")
            } else {
                format!("dc{place:02}.corp.example.com")
            }
        }
        Kind::Server => {
            let role = random.pick(&["sql", "sql", "web", "web", "web", "file", "app", "app", "prn", "srv"]);
            format!("{role}{number:04}{domain}")
        }
        Kind::Linux => format!("{}{number:04}{domain}", random.pick(&["lnx-app-", "pg", "k8s-node-", "web"])),
        Kind::Workstation => {
            let model = random.pick(&["lt", "pc", "nb"]);
            match random.below(12) {
                0 => format!("DESKTOP-{:07X}", random.next() & 0xFFF_FFFF),
                _ => format!("{department}-{model}-{number:05}{domain}"),
            }
        }
        Kind::Mac => format!("{department}-mbp-{number:05}{domain}"),
        Kind::Phone => format!("phone-{number:05}"),
        Kind::Discovered if random.chance(400) => return None,
        Kind::Discovered => format!("unknown-{:04x}", random.next() & 0xFFFF),
    };
    // Names keep the case in which somebody typed them at installation.
    Some(match random.below(10) {
        0 => name.to_uppercase(),
        1 => {
            let (short, rest) =
                name.split_once('.').map_or((&*name, None), |(short, rest)| (short, Some(rest)));
            let short = short.to_uppercase();
            rest.map_or(short.clone(), |rest| format!("{short}.{rest}"))
        }
        _ => name,
    })
}

/// Draws the numbers that used to decide the group: without these draws, every seed would give a different fleet.
fn undecided(random: &mut Random, kind: Kind) -> (i32, Option<&'static str>) {
    if kind == Kind::Mac || kind == Kind::Workstation && !random.chance(600) {
        random.next();
    }
    (0, None)
}

/// The group that the tenant's rules give the device.
fn group(draft: &Draft) -> (i32, Option<&'static str>) {
    let tags: Vec<&str> = draft.manual.iter().chain(&draft.registry).chain(&draft.dynamic).copied().collect();
    let seen = Seen { name: draft.name.as_deref(), platform: Some(draft.platform), tags: &tags };
    let group = Groups::usual().of(&seen);
    let known = groups::NAMES.iter().find(|(id, _)| *id == group.id && draft.merged_into.is_none());
    known.map_or((0, None), |(id, name)| (*id, Some(*name)))
}

fn address(random: &mut Random, kind: Kind) -> [u8; 4] {
    let net = match kind {
        Kind::DomainController => [10, 10, 1],
        Kind::Server => [10, 20, random.below(8) as u8],
        Kind::Linux => [10, 60, random.below(4) as u8],
        Kind::Phone | Kind::Discovered => [192, 168, random.below(20) as u8],
        _ => [10, 40, random.below(250) as u8],
    };
    [net[0], net[1], net[2], random.below(253) as u8 + 1]
}

/// Most devices reported today, some not for months; some share one moment to the tick, and few never reported.
fn times(draft: &mut Draft, random: &mut Random, row: u64, created: Timestamp) {
    const DAY_MS: u64 = 86_400_000;
    let days = match random.below(100) {
        0..86 => 0,
        86..91 => random.below(7),
        91..96 => 8 + random.below(30),
        _ => 41 + random.below(139),
    };
    let always_on = matches!(draft.kind, Kind::DomainController) || row % 8 == 5;
    let days = if draft.kind == Kind::DomainController { 0 } else { days };
    let last_seen = if row % 8 == 5 {
        // One report batch: many devices share one time, so no split by time separates them.
        days_before(created, days.max(1) + row / 50 % 60, 0)
    } else {
        days_before(created, days, random.below(if always_on { DAY_MS / 24 } else { DAY_MS - 1 }) + 60_000)
    };
    let last_seen = if row % 8 == 5 {
        last_seen
    } else {
        last_seen.minus(std::time::Duration::from_nanos(random.below(9_999) * 100))
    };
    draft.last_seen = (!(draft.kind == Kind::Discovered && random.chance(150))).then_some(last_seen);
    draft.first_seen = Some(days_before(last_seen, 1 + random.below(900), random.below(DAY_MS)));
    if created.since(last_seen).as_secs() > 7 * 86_400 {
        draft.health = "Inactive";
    } else if random.chance(20) {
        draft.health =
            random.pick(&["ImpairedCommunication", "NoSensorData", "NoSensorDataImpairedCommunication"]);
    }
}

/// Duplicates, merged devices, discovered ones, clouds, Entra.
fn plan_inputs(draft: &mut Draft, random: &mut Random, row: u64) {
    if draft.kind == Kind::Discovered {
        draft.onboarding =
            random.pick(&["CanBeOnboarded", "CanBeOnboarded", "Unsupported", "InsufficientInfo"]);
        draft.health = "Unknown";
        (draft.agent, draft.managed_by, draft.joined) = (None, ("Unknown", "Unknown"), None);
        return;
    }
    if matches!(draft.kind, Kind::Workstation | Kind::Mac) && random.chance(850) {
        draft.entra_id =
            Some(format!("{:08x}-2222-4222-8222-{:012x}", draft.serial as u32, draft.serial >> 16));
    }
    if draft.kind == Kind::Workstation && row % 40 == 7 {
        // Reinstalled: the new device record is elsewhere, the old one lingers under the same name.
        draft.name = Some(format!("reimaged-{:05}.corp.example.com", row / 80));
        draft.duplicate = true;
        if row % 80 == 7 {
            draft.health = "Inactive";
            draft.last_seen = draft.last_seen.map(|seen| days_before(seen, 12, 0));
            draft.first_seen = draft.first_seen.map(|seen| days_before(seen, 12, 0));
            draft.entra_id = None;
        }
    }
    draft.excluded = random.chance(4);
    let hosted = match draft.kind {
        Kind::Server => 350,
        Kind::Linux => 500,
        _ if draft.platform == "Windows10WVD" => 1000,
        _ => 0,
    };
    if random.chance(hosted) {
        draft.azure =
            Some(Azure { subscription: 0x1111_0000 + random.below(5), only_resource: random.chance(100) });
    }
}

/// Tags and values after years of hand work: mostly right, some missing, few wrong.
fn tag(draft: &mut Draft, random: &mut Random) {
    let Draft { kind, manual, .. } = draft;
    let mut add = |tag: &'static str| {
        if !manual.contains(&tag) {
            manual.push(tag);
        }
    };
    match kind {
        Kind::DomainController => {
            if random.chance(750) {
                add("Tier0");
            }
            if random.chance(650) {
                draft.value = DeviceValue::High;
            }
        }
        Kind::Server | Kind::Linux => {
            match random.below(100) {
                0..62 => add("env/prod"),
                62..80 => add("env/test"),
                _ => {}
            }
            if random.chance(300) {
                add(random.pick(OWNERS));
            }
            if random.chance(4) {
                add("Tier0");
            }
            if matches!(draft.platform, "WindowsServer2008R2" | "WindowsServer2012R2") && random.chance(700) {
                add("Legacy");
            }
        }
        Kind::Workstation | Kind::Mac => {
            if random.chance(350) {
                add(random.pick(DEPARTMENTS).1);
            }
            if random.chance(300) {
                add(random.pick(PLAIN_TAGS));
            }
            if draft.platform == "Windows7" {
                add("Legacy");
            }
            if random.chance(2) {
                add("env/test");
            }
        }
        Kind::Phone | Kind::Discovered => {}
    }
    lifecycle(draft, random);
    oddities(draft, random);
}

fn lifecycle(draft: &mut Draft, random: &mut Random) {
    let inactive = draft.health == "Inactive";
    if draft.duplicate && inactive && random.chance(500) {
        draft.manual.push("Duplicate");
    } else if inactive && random.chance(600) {
        draft.manual.push(if random.chance(500) { "Inactive40d" } else { "Inactive7d" });
    }
    if draft.platform == "Windows10WVD" && random.chance(400) {
        draft.manual.push("Ephemeral");
    }
}

fn oddities(draft: &mut Draft, random: &mut Random) {
    match random.below(1000) {
        0..12 => draft.manual.push(random.pick(ODD_TAGS)),
        12..17 => draft.manual.push("MDE-Management"),
        17..19 => draft.manual.push(LONG_TAG),
        19..21 => draft.manual.extend(MANY_TAGS),
        _ => {}
    }
    if draft.kind == Kind::Workstation && random.chance(50) {
        draft.registry = Some(random.pick(REGISTRY_TAGS));
    }
    if matches!(draft.kind, Kind::Server | Kind::Linux) && random.chance(40) {
        draft.dynamic.push(DYNAMIC_TAGS[0]);
    }
    if draft.kind == Kind::Workstation && random.chance(5) {
        draft.dynamic.push(DYNAMIC_TAGS[1]);
        draft.locked = true;
        draft.value = DeviceValue::Low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(devices: u64) -> Vec<Draft> {
        let created = Timestamp::parse("2026-11-22").unwrap();
        (0..devices).map(|row| draft(1, devices, row, created)).collect()
    }

    #[test]
    fn two_thousand_devices_have_a_dozen_domain_controllers_and_hundreds_of_servers() {
        let fleet = fleet(2000);
        let count = |kind| fleet.iter().filter(|draft| draft.kind == kind).count();
        assert_eq!(count(Kind::DomainController), 12);
        assert!((250..450).contains(&count(Kind::Server)), "{}", count(Kind::Server));
        let windows = |draft: &&Draft| draft.platform.starts_with("WindowsServer");
        let mut controllers = fleet.iter().filter(|draft| draft.kind == Kind::DomainController);
        assert!(controllers.all(|draft| windows(&draft)));
    }

    #[test]
    fn a_fleet_has_the_oddities_that_a_client_must_survive() {
        let fleet = fleet(5000);
        let any = |test: &dyn Fn(&Draft) -> bool| fleet.iter().any(test);
        assert!(any(&|draft| draft.name.is_none()));
        assert!(any(&|draft| draft.last_seen.is_none()));
        assert!(any(&|draft| draft.id.len() != 40));
        assert!(any(&|draft| draft.manual.contains(&LONG_TAG)));
        assert!(any(&|draft| draft.manual.len() >= 40));
        let ids: std::collections::HashSet<&String> = fleet.iter().map(|draft| &draft.id).collect();
        assert!(any(&|draft| draft.merged_into.is_some()));
        assert!(fleet.iter().filter_map(|draft| draft.merged_into.as_ref()).all(|id| ids.contains(id)));
        assert!(any(&|draft| draft.risk.is_none()));
        assert!(any(&|draft| draft.locked));
        assert_eq!(LONG_TAG.chars().count(), 200);
        let mut seen = std::collections::HashMap::new();
        for draft in &fleet {
            *seen.entry(draft.last_seen).or_insert(0) += 1;
        }
        assert!(seen.values().any(|count| *count > 4), "equal times");
    }
}
