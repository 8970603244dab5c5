//! The fast scanner and the JSON parser read the same devices from any text, or both refuse it.
//!
//! Tests only.

use proptest::prelude::*;

use super::*;

/// Keys of every kind of column, some twice, because the reader checks their values more closely.
const KEYS: &[&str] = &[
    "id",
    "id",
    "computerDnsName",
    "lastSeen",
    "firstSeen",
    "lastIpAddress",
    "osBuild",
    "rbacGroupId",
    "osVersion",
    "isExcluded",
    "healthStatus",
    "deviceValue",
    "machineTags",
    "machineTags",
    "ipAddresses",
    "ipAddresses",
    "vmMetadata",
    "vmMetadata",
    "onboardingstatus",
    "unknown",
    "computerDns\\u004eame",
    "value",
    "é",
];

/// Values as they appear in a text; some are not valid JSON.
const VALUES: &[&str] = &[
    "\"a1\"",
    "\"\"",
    "\"DC01.corp.example.com\"",
    "\"Ünïcode\"",
    "\"q\\\"t\"",
    "\"\\u00e9\"",
    "\"tab\tin it\"",
    "\"cut",
    "null",
    "true",
    "false",
    "tru",
    "0",
    "7",
    "20348",
    "01",
    "-5",
    "1.0",
    "10.5",
    "1e3",
    "123456789012345678",
    "1234567890123456789",
    "99999999999999999999",
    "\"140\"",
    "\"True\"",
    "\"2026-08-30T21:07:19.4471938Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"2026-02-29T00:00:00Z\"",
    "\"10.0.0.1\"",
    "\"fe80::1%3\"",
    "\"10.0.0.999\"",
    "[\"10.0.0.1\"]",
    "{\"vmId\":7}",
    "[{\"ipAddress\":5}]",
    "\"::ffff:10.0.0.2\"",
    "\"010.0.0.1\"",
    "[]",
    "[ ]",
    "[\"B\",\"A\",\"B\"]",
    "[\"x\", \"y\"]",
    "[\"x\",5,null,[\"z\"]]",
    "[\"x\",\"\"]",
    "\"a, b\"",
    "[\"x\",]",
    "{}",
    "{\"a\":1}",
    "{\"vmId\":\"v\",\"resourceId\":\"/subscriptions/S1/x\",\"cloudProvider\":null}",
    "{\"subscriptionId\":\"S2\"}",
    "[{\"ipAddress\":\"10.1.2.3\",\"macAddress\":\"00005EEBAEF5\",\"type\":\"Ethernet\",\"operationalStatus\":\"Up\"}]",
    "[{\"ipAddress\":\"10.1.2.4\",\"macAddress\":null,\"type\":\"Ethernet\"},{\"macAddress\":\"ab-cd\",\"new\":{\"deep\":[]}}]",
    "[{\"ipAddress\":\"fe80::1\",\"macAddress\":\"00-00-5e-00-53-a1\",\"type\":1}]",
    "[[{\"ipAddress\":\"10.9.9.9\"}]]",
    "",
];

fn line() -> impl Strategy<Value = String> {
    let key = (0..KEYS.len()).prop_map(|index| KEYS[index]);
    let value = (0..VALUES.len()).prop_map(|index| VALUES[index]);
    // The first members are mostly those of a device, so that most lines are valid devices.
    let usual = prop_oneof![
        Just(r#""id":"a1","healthStatus":"Active","osBuild":20348"#),
        Just(r#""id":"b2","healthStatus":"Active","osBuild":20349"#),
        Just(r#""id":"b2","healthStatus":"Inactive","osBuild":2034"#),
        Just(r#""computerDnsName":"x","id":"c3""#),
    ];
    let end = prop_oneof![20 => Just("}"), 2 => Just("} "), 1 => Just("}}"), 1 => Just(""), 1 => Just(",}"), 1 => Just("}\r")];
    let comma = prop_oneof![20 => Just(","), 1 => Just(", "), 1 => Just(" ,")];
    (usual, prop::collection::vec((comma, key, value), 0..4), end).prop_map(|(usual, members, end)| {
        let members: String =
            members.iter().map(|(comma, key, value)| format!("{comma}\"{key}\":{value}")).collect();
        format!("{{{usual}{members}{end}")
    })
}

/// What is compared: the devices, which of them came with a list of tags, and what was left out.
type DevicesRead = (String, Vec<bool>, Tally);

fn seen(builder: SnapshotBuilder) -> DevicesRead {
    let tally = builder.tally().clone();
    let snapshot = builder.finish().0;
    let lists = snapshot.rows().map(|row| snapshot.has_tag_list(row)).collect();
    (snapshot.digest(), lists, tally)
}

/// The snapshot that the JSON parser alone reads from the lines.
fn parsed(lines: &[String]) -> Option<DevicesRead> {
    let mut builder = SnapshotBuilder::new();
    for line in lines {
        builder.read_device(line.as_bytes()).ok()?;
    }
    Some(seen(builder))
}

/// The snapshot that the block reader reads from the same lines.
fn scanned(lines: &[String], split: usize) -> Option<DevicesRead> {
    let (first, second) = lines.split_at(split.min(lines.len()));
    let mut reader = BlockReader::new(0);
    for half in [first, second] {
        let block: String = half.iter().map(|line| format!("{line}\n")).collect();
        reader.read(&[block], || ()).ok()?;
    }
    Some(seen(reader.finish().ok()?))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scanner_and_parser_agree_on_every_line(lines in prop::collection::vec(line(), 1..6), split in 0usize..6) {
        prop_assert_eq!(scanned(&lines, split), parsed(&lines));
    }
}
