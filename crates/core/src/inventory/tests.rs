//! The inventory's promises about the service's answers.
//!
//! Tests only.
use serde_json::json;

use super::*;
use crate::device::Field;

fn page(value: &serde_json::Value) -> (Snapshot, Page, Vec<UntrustedReason>) {
    let mut builder = SnapshotBuilder::new();
    let page = builder.read_page(value.to_string().as_bytes()).unwrap();
    let (snapshot, reasons) = builder.finish();
    (snapshot, page, reasons)
}

/// A device beside a good one, read as a list page, as a stream and in blocks.
fn read_in_every_way(device: &str) -> [SnapshotBuilder; 3] {
    let mut paged = SnapshotBuilder::new();
    paged.read_page(format!(r#"{{"value":[{{"id":"a"}},{device}]}}"#).as_bytes()).unwrap();
    let lines = format!("{}\n{device}\n", r#"{"id":"a"}"#);
    let mut streamed = SnapshotBuilder::new();
    streamed.read_stream(lines.as_bytes()).unwrap();
    let mut reader = BlockReader::new(0);
    let blocks = reader.read(&[&lines], || ()).and_then(|()| reader.finish()).unwrap();
    [paged, streamed, blocks]
}

#[test]
fn a_page_yields_its_devices_and_the_next_link() {
    let (snapshot, page, reasons) = page(&json!({
        "@odata.context": "x", "@odata.nextLink": "https://h/api/machines?$skip=1",
        "value": [{
            "id": "a1", "computerDnsName": "DC01.corp.example.com", "osPlatform": "WindowsServer2022", "osBuild": 20348,
            "rbacGroupId": 140, "isAadJoined": true, "lastSeen": "2026-08-30T21:07:19.4471938Z",
            "firstSeen": "0001-01-01T00:00:00Z", "machineTags": ["B", "A", "B"], "deviceValue": "Critical",
            "lastIpAddress": "10.0.0.1",
            "ipAddresses": [{"ipAddress": "", "macAddress": null}, {"ipAddress": "fe80::1", "macAddress": "00-00-5e-00-53-a1"}],
            "vmMetadata": {"vmId": "v", "resourceId": "/subscriptions/S1/resourceGroups/x", "subscriptionId": null},
            "brandNew": {"deep": [1, {"x": null}]}
        }]
    }));
    assert_eq!((page.rows, page.repeated, page.tally.skipped()), (1, 0, 0));
    assert_eq!(page.next_link.as_deref(), Some("https://h/api/machines?$skip=1"));
    assert_eq!(reasons, [UntrustedReason::FirstPage { devices: 1, of: None }]);
    let row = snapshot.find("a1").unwrap();
    let shown = |field| snapshot.shown(field, row);
    assert_eq!(shown(Field::DeviceName).as_deref(), Some("DC01"));
    assert_eq!(shown(Field::Domain).as_deref(), Some("corp.example.com"));
    assert_eq!(shown(Field::OsBuild).as_deref(), Some("20348"));
    assert_eq!(shown(Field::RbacGroupId).as_deref(), Some("140"));
    assert_eq!(shown(Field::IsAadJoined).as_deref(), Some("true"));
    let last_seen = snapshot.time(Field::LastSeen, row).map(|time| time.to_string());
    assert_eq!(last_seen.as_deref(), Some("2026-08-30T21:07:19.4471938Z"));
    assert_eq!(shown(Field::LastSeen).as_deref(), Some("2026-08-30T21:07:19Z"), "people read seconds");
    assert_eq!(shown(Field::FirstSeen), None, "year 1 is the service's placeholder");
    assert_eq!(shown(Field::MachineTags).as_deref(), Some("B, A"), "the service's order, each once");
    assert_eq!(snapshot.value(row), Some("Critical"), "unknown words are kept");
    assert_eq!(shown(Field::IpAddresses).as_deref(), Some("fe80::1"));
    assert_eq!(shown(Field::MacAddresses).as_deref(), Some("00005E0053A1"));
    assert_eq!(shown(Field::VmSubscriptionId).as_deref(), Some("S1"));
    assert_eq!(shown(Field::OsProcessor), None);
}

#[test]
fn numbers_as_text_and_what_stands_for_nothing_are_read_leniently() {
    let snapshot = fleet(&[json!({
        "id": 7, "osVersion": 10.5, "rbacGroupId": "140", "osBuild": "", "computerDnsName": null, "machineTags": null,
        "isExcluded": "True", "isAadJoined": "", "lastSeen": "", "ipAddresses": null, "vmMetadata": null, "agentVersion": "",
        "firstSeen": "2026-01-01T00:00:00", "lastIpAddress": "", "mergedIntoMachineId": null
    })]);
    let shown = |field| snapshot.shown(field, Row(0));
    assert_eq!(snapshot.id(Row(0)), "7");
    assert_eq!(shown(Field::OsVersion).as_deref(), Some("10.5"));
    assert_eq!(shown(Field::RbacGroupId).as_deref(), Some("140"));
    assert_eq!(shown(Field::IsExcluded).as_deref(), Some("true"));
    for field in [
        Field::OsBuild,
        Field::MachineTags,
        Field::IsAadJoined,
        Field::LastSeen,
        Field::IpAddresses,
        Field::VmId,
        Field::AgentVersion,
        Field::FirstSeen,
        Field::LastIpAddress,
    ] {
        assert_eq!(shown(field), None, "{field:?}");
    }
}

#[test]
fn a_device_with_a_value_that_its_field_cannot_have_is_unreadable_in_every_form_of_the_file() {
    let strange = [
        (r#""computerDnsName":{"value":"srv006"}"#, "computerDnsName"),
        (r#""computerDnsName":["dc01"]"#, "computerDnsName"),
        (r#""computerDnsName":5"#, "computerDnsName"),
        (r#""osPlatform":{"a":1}"#, "osPlatform"),
        (r#""deviceValue":true"#, "deviceValue"),
        (r#""managedBy":["x"]"#, "managedBy"),
        (r#""isAadJoined":0"#, "isAadJoined"),
        (r#""isAadJoined":"maybe""#, "isAadJoined"),
        (r#""osBuild":"x""#, "osBuild"),
        (r#""osBuild":1.5"#, "osBuild"),
        (r#""rbacGroupId":[140]"#, "rbacGroupId"),
        (r#""firstSeen":1767225600"#, "firstSeen"),
        (r#""firstSeen":"yesterday""#, "firstSeen"),
        (r#""lastSeen":"2026-02-30T00:00:00Z""#, "lastSeen"),
        (r#""lastIpAddress":["10.0.0.1"]"#, "lastIpAddress"),
        (r#""lastIpAddress":false"#, "lastIpAddress"),
        (r#""ipAddresses":"10.0.0.1""#, "ipAddresses"),
        (r#""ipAddresses":{"ipAddress":"10.0.0.1"}"#, "ipAddresses"),
        (r#""ipAddresses":["10.0.0.1"]"#, "ipAddresses"),
        (r#""ipAddresses":[{"ipAddress":167772161}]"#, "ipAddresses"),
        (r#""ipAddresses":[{"macAddress":{}}]"#, "ipAddresses"),
        (r#""vmMetadata":"{}""#, "vmMetadata"),
        (r#""vmMetadata":[1,null]"#, "vmMetadata"),
        (r#""vmMetadata":{"vmId":5}"#, "vmMetadata.vmId"),
    ];
    for (member, field) in strange {
        let device = format!(r#"{{"id":"b",{member}}}"#);
        for read in read_in_every_way(&device) {
            assert_eq!(read.rows(), 1, "{device}");
            let names = vec![format!("b (`{field}`)")];
            assert_eq!(
                read.finish().1,
                [UntrustedReason::UnreadableDevices { devices: 1, names }],
                "{device}"
            );
        }
    }
}

#[test]
fn every_spelling_of_a_link_to_more_makes_a_page_the_first_of_more() {
    for key in ["@odata.nextLink", "@odata.NextLink", "odata.nextLink", "nextLink", "@nextlink", "NEXTLINK"] {
        let (_, page, reasons) = page(&json!({"value": [{"id": "a"}], key: "/api/machines?$skip=1"}));
        assert!(page.next_link.is_some(), "{key}");
        assert_eq!(reasons, [UntrustedReason::FirstPage { devices: 1, of: None }], "{key}");
    }
    for count in [json!(-1), json!("many"), json!(1.5), json!([1]), json!(true)] {
        let body = json!({"value": [{"id": "a"}], "@odata.count": count}).to_string();
        assert!(SnapshotBuilder::new().read_page(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn the_guid_of_zeros_is_missing_in_every_field_whoever_reads_it() {
    let zeros = "00000000-0000-0000-0000-000000000000";
    let device = json!({
        "id": "a1", "aadDeviceId": zeros, "mergedIntoMachineId": zeros, "rbacGroupName": zeros, "computerDnsName": zeros,
        "vmMetadata": {"vmId": zeros, "subscriptionId": zeros, "resourceId": format!("/subscriptions/{zeros}/x")}
    });
    let escaped = device.to_string().replace("000-", "000\\u002d");
    for text in [device.to_string(), escaped] {
        let mut builder = SnapshotBuilder::new();
        builder.read_page(format!("{{\"value\":[{text}]}}").as_bytes()).unwrap();
        let (snapshot, _) = builder.finish();
        let fields = [
            Field::AadDeviceId,
            Field::MergedIntoMachineId,
            Field::RbacGroupName,
            Field::DeviceName,
            Field::VmId,
            Field::VmSubscriptionId,
        ];
        for field in fields {
            assert_eq!(snapshot.shown(field, Row(0)), None, "{field:?} in {text}");
        }
    }
}

#[test]
fn escaped_text_and_keys_are_read_as_json_says() {
    let mut builder = SnapshotBuilder::new();
    builder.read_device(br#"{"id":"x","computerDns\u004eame":"b\u00e9","machineTags":["q\"t"]}"#).unwrap();
    let (snapshot, _) = builder.finish();
    assert_eq!(snapshot.name(Row(0)), Some("bé"));
    assert!(snapshot.find_tag("q\"t").is_some());
}

#[test]
fn devices_without_a_usable_id_are_skipped_counted_and_make_the_read_untrusted() {
    let (snapshot, page, reasons) =
        page(&json!({"value": [{"id": "a"}, {"id": "../x"}, {}, null, "s", 4, [1]]}));
    assert_eq!((snapshot.len(), page.rows, page.tally.without_id), (1, 1, 6));
    assert_eq!(reasons, [UntrustedReason::WithoutId(6)]);
}

#[test]
fn devices_whose_tags_are_no_list_of_texts_are_skipped_and_named() {
    for tags in [
        json!("a, b"),
        json!(""),
        json!(5),
        json!(1.5),
        json!(-1),
        json!(true),
        json!({"a": 1}),
        json!(["a", 5]),
        json!(["a", null]),
        json!([["a"]]),
    ] {
        let devices = json!({"value": [
            {"id": "a", "computerDnsName": "dc01", "machineTags": tags},
            {"id": "b", "machineTags": tags},
            {"id": "c", "machineTags": null},
            {"id": "d"},
            {"id": "e", "machineTags": ["x"]},
        ]});
        let (snapshot, page, reasons) = page(&devices);
        assert_eq!((snapshot.len(), page.tally.unreadable), (3, 2), "{tags}");
        let expected =
            UntrustedReason::UnreadableDevices { devices: 2, names: vec!["dc01".into(), "b".into()] };
        assert_eq!(reasons, [expected], "{tags}");
        assert!(
            reasons[0].to_string().ends_with("at 2 devices, which were skipped: dc01, b"),
            "{}",
            reasons[0]
        );
    }
}

#[test]
fn a_device_with_a_field_twice_is_unreadable_in_every_form_of_the_file() {
    let twice = [
        r#"{"id":"b","machineTags":["Finance"],"machineTags":["env/test"]}"#,
        r#"{"id":"b","machineTags":["Finance"],"machineTags":null}"#,
        "{\"id\":\"b\",\"machineTags\":null,\"machine\\u0054ags\":[\"Finance\"]}",
        r#"{"id":"b","computerDnsName":"dc01","computerDnsName":"pc1"}"#,
        r#"{"id":"b","osPlatform":"Windows11","machineTags":[],"osPlatform":"Linux"}"#,
        r#"{"id":"b","id":"c"}"#,
        r#"{"id":"b","ipAddresses":[],"ipAddresses":[]}"#,
    ];
    for device in twice {
        for read in read_in_every_way(device) {
            assert_eq!((read.rows(), read.tally().unreadable), (1, 1), "{device}");
        }
    }
}

#[test]
fn a_page_that_says_that_it_is_an_error_is_none() {
    let error = r#""error":{"code":"InternalServerError","message":"the rest could not be read"}"#;
    for body in [
        format!(r#"{{"value":[{{"id":"a"}}],{error}}}"#),
        format!(r#"{{{error},"value":[]}}"#),
        r#"{"value":[{"id":"a"}],"value":[{"id":"b"}]}"#.to_owned(),
        r#"{"value":[],"@odata.count":1,"@odata.count":0}"#.to_owned(),
    ] {
        assert!(SnapshotBuilder::new().read_page(body.as_bytes()).is_err(), "{body}");
    }
    let fine = br#"{"value":[{"id":"a"}],"error":null}"#;
    assert_eq!(SnapshotBuilder::new().read_page(fine).unwrap().rows, 1);
}

#[test]
fn a_device_with_more_tags_than_any_device_has_is_refused_at_once() {
    let device = |tags: usize, key: &str, item: &str| {
        format!("{{\"id\":\"a\",\"{key}\":[{}{item}]}}\n", format!("{item},").repeat(tags - 1))
    };
    for (key, item) in [("machineTags", "\"t\""), ("ipAddresses", "{\"ipAddress\":\"10.0.0.1\"}")] {
        for (length, is_fine) in [(10_000, true), (10_001, false)] {
            let line = device(length, key, item);
            let mut builder = SnapshotBuilder::new();
            let mut reader = BlockReader::new(0);
            let streamed = builder.read_stream(line.as_bytes());
            let blocks = reader.read(&[&line], || ()).and_then(|()| reader.finish().map(drop));
            for read in [streamed, blocks] {
                assert_eq!(read.is_ok(), is_fine, "{key} {length}");
                let why = read.err().map_or(String::new(), |fault| fault.to_string());
                assert!(is_fine || why.contains("more than 10000 entries"), "{why}");
            }
        }
    }
}

#[test]
fn a_recorded_page_that_speaks_of_more_is_the_first_of_more() {
    let reasons = |pages: &[serde_json::Value]| {
        let mut builder = SnapshotBuilder::new();
        for page in pages {
            builder.read_stream(page.to_string().as_bytes()).unwrap();
        }
        builder.finish().1
    };
    let (one, two) = (json!([{"id": "a"}]), json!([{"id": "b"}]));
    let linked = json!({"value": one, "@odata.nextLink": "x"});
    assert_eq!(reasons(std::slice::from_ref(&linked)), [UntrustedReason::FirstPage { devices: 1, of: None }]);
    assert_eq!(reasons(&[linked, json!({"value": two})]), []);
    let counted = json!({"@odata.count": 7, "value": one});
    assert_eq!(
        reasons(std::slice::from_ref(&counted)),
        [UntrustedReason::FirstPage { devices: 1, of: Some(7) }]
    );
    assert_eq!(reasons(&[json!({"@odata.count": 2, "value": one}), json!({"value": two})]), []);
}

#[test]
fn of_repeated_devices_the_one_seen_last_stays() {
    let mut builder = SnapshotBuilder::new();
    let copy = |id: &str, seen: Option<&str>, name: &str| {
        json!({"value": [{"id": id, "lastSeen": seen, "computerDnsName": name, "machineTags": [name]}]})
            .to_string()
    };
    let mut repeated = 0;
    for (id, seen, name) in [
        ("b", Some("2026-01-02T00:00:00Z"), "newer"),
        ("a", None, "unseen"),
        ("b", Some("2026-01-01T00:00:00Z"), "older"),
        ("a", Some("2026-01-01T00:00:00Z"), "seen"),
        ("a", Some("2026-01-01T00:00:00Z"), "equal"),
    ] {
        repeated += builder.read_page(copy(id, seen, name).as_bytes()).unwrap().repeated;
    }
    let (snapshot, _) = builder.finish();
    assert_eq!((snapshot.len(), repeated), (2, 3));
    assert_eq!(snapshot.name(snapshot.find("b").unwrap()), Some("newer"));
    assert_eq!(snapshot.name(snapshot.find("a").unwrap()), Some("seen"));
    assert!(snapshot.carriers(snapshot.find_tag("older").unwrap()).is_empty());
    assert_eq!(snapshot.carriers(snapshot.find_tag("newer").unwrap()).count(), 1);
}

#[test]
fn cut_json_and_json_of_another_shape_are_faults_and_never_a_short_list() {
    let mut builder = SnapshotBuilder::new();
    for bytes in [
        &b"{\"value\":[{\"id\":\"a\"}"[..],
        b"",
        b"<html>",
        b"{\"value\":[]} x",
        b"{\"value\":\"\xff\"}",
        b"3",
    ] {
        assert!(builder.read_page(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(builder.read_page(b"{\"error\":{\"code\":\"x\"}}"), Err(ReadFault::NoList));
    assert_eq!(builder.read_page(b"{\"value\":null}").unwrap().rows, 0);
    let deep = format!("{{\"id\":\"a\",\"x\":{}", "[".repeat(100_000));
    assert!(builder.read_device(deep.as_bytes()).is_err());
}

#[test]
fn the_digest_sees_devices_and_not_pages_or_order() {
    let digest = |devices: &[serde_json::Value]| fleet(devices).digest();
    let (a, b) = (json!({"id": "a", "machineTags": ["x"]}), json!({"id": "b", "machineTags": ["y", "x"]}));
    let both = digest(&[a.clone(), b.clone()]);
    assert!(both.starts_with("sha256:") && both.len() == 71);
    assert_eq!(both, digest(&[b.clone(), a.clone()]));
    assert_eq!(both, digest(&[b.clone(), a.clone(), b.clone()]));
    assert_ne!(both, digest(std::slice::from_ref(&a)));
    assert_ne!(both, digest(&[a, json!({"id": "b", "machineTags": ["y"]})]));
}

#[test]
fn blocks_and_streams_give_the_same_snapshot_as_pages() {
    let devices = [
        json!({"id": "a", "osPlatform": "Windows11", "machineTags": ["x"]}),
        json!({"id": "b", "osPlatform": "Ubuntu", "machineTags": ["y", "x"], "lastIpAddress": "10.1.2.3"}),
        json!({"id": "c", "osPlatform": "Windows11", "machineTags": ["z"]}),
    ];
    let lines = devices.iter().map(|device| format!("{device}\r\n")).collect::<String>();
    let expected = fleet(&devices).digest();
    let mut reader = BlockReader::new(0);
    for line in lines.split_inclusive('\n').rev() {
        reader.read(&[line], || ()).unwrap();
    }
    assert_eq!(reader.finish().unwrap().finish().0.digest(), expected);
    let array = json!(devices);
    for text in [lines.clone(), array.to_string(), json!({"value": array}).to_string()] {
        let mut builder = SnapshotBuilder::new();
        builder.read_stream(text.as_bytes()).unwrap();
        assert_eq!(builder.finish().0.digest(), expected, "{text}");
    }
    let mut reader = BlockReader::new(7);
    reader.read(&["{\"id\":\"a\"}\n\n", "{\"id\":\"b\"}\n{\"id\":"], || ()).unwrap();
    let fault = reader.finish().unwrap_err();
    assert!(fault.to_string().contains("line 11"), "{fault}");
}

#[test]
fn words_keep_their_devices_over_blocks_of_more_words_than_are_kept() {
    const EACH: usize = 9_000;
    let line = |number: usize| {
        format!(r#"{{"id":"d{number}","agentVersion":"1.{number}","machineTags":["t{number}","all"]}}"#)
    };
    let mut reader = BlockReader::new(0);
    for block in 0..6 {
        let lines: Vec<String> = (block * EACH..(block + 1) * EACH).map(line).collect();
        reader.read(&[lines.join("\n")], || ()).unwrap();
    }
    let (snapshot, _) = reader.finish().unwrap().finish();
    assert_eq!(snapshot.len(), 6 * EACH);
    for row in snapshot.rows() {
        let number = snapshot.id(row).trim_start_matches('d');
        assert_eq!(snapshot.text(Field::AgentVersion, row).unwrap(), format!("1.{number}"));
        let tags: Vec<&str> = snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag)).collect();
        assert_eq!(tags, [&format!("t{number}"), "all"]);
    }
}

#[test]
fn a_device_is_found_by_id_by_full_name_or_by_short_name() {
    let snapshot = fleet(&[
        json!({"id": "web", "computerDnsName": "x.example.com"}),
        json!({"computerDnsName": "Web.example.com"}),
        json!({"computerDnsName": "web"}),
    ]);
    assert_eq!(snapshot.find_device("web"), [Row(0)]);
    assert_eq!(snapshot.find_device("WEB.example.com"), [Row(1)]);
    assert_eq!(snapshot.find_device("WEB"), [Row(2)]);
    assert_eq!(snapshot.find_device("X"), [Row(0)]);
    assert!(snapshot.find_device("nobody").is_empty());
    let ids: Vec<&str> = snapshot.order_by_id().iter().map(|row| snapshot.id(*row)).collect();
    assert_eq!(ids, ["d1", "d2", "web"]);
}

#[test]
fn dictionaries_widen_as_they_grow() {
    let devices: Vec<_> = (0..70_000)
        .map(|number| json!({"id": format!("d{number}"), "agentVersion": format!("1.{number}")}))
        .collect();
    let snapshot = fleet(&devices);
    for number in [0, 254, 255, 256, 65_534, 65_535, 65_536, 69_999] {
        let row = snapshot.find(&format!("d{number}")).unwrap();
        assert_eq!(snapshot.text(Field::AgentVersion, row).unwrap(), format!("1.{number}"));
    }
}

#[test]
fn a_device_without_a_list_of_tags_counts_as_one_without_tags_and_is_known() {
    for (device, has_list) in [
        (r#"{"id":"b","machineTags":[]}"#, true),
        (r#"{"id":"b","machineTags":["T"]}"#, true),
        (r#"{"id":"b","machineTags":null}"#, false),
        (r#"{"id":"b"}"#, false),
    ] {
        for builder in read_in_every_way(device) {
            let (snapshot, reasons) = builder.finish();
            assert_eq!(reasons, [], "{device}: missing tags are none, and no reason against the read");
            assert_eq!(snapshot.has_tag_list(snapshot.find("b").unwrap()), has_list, "{device}");
        }
    }
    let copies = r#"[{"id":"a"},{"id":"b","lastSeen":"2026-01-01T00:00:00Z"},{"id":"b","lastSeen":"2026-01-02T00:00:00Z","machineTags":[]},{"id":"c"}]"#;
    let mut builder = SnapshotBuilder::new();
    builder.read_stream(copies.as_bytes()).unwrap();
    let snapshot = builder.finish().0;
    let lists = ["a", "b", "c"].map(|id| snapshot.has_tag_list(snapshot.find(id).unwrap()));
    assert_eq!(lists, [false, true, false], "the newest copy counts");
}

#[test]
fn a_time_without_an_offset_is_missing_and_what_is_no_time_makes_its_device_unreadable() {
    for (time, is_read) in [
        ("2026-08-30T21:07:19", Some(false)),
        ("2026-08-30", Some(false)),
        ("0001-01-01T00:00:00Z", Some(false)),
        ("", Some(false)),
        ("2026-08-30T21:07:19Z", Some(true)),
        ("yesterday", None),
        ("2026-13-01T00:00:00Z", None),
    ] {
        for field in [Field::FirstSeen, Field::LastSeen] {
            for builder in read_in_every_way(&json!({ "id": "b", field.name(): time }).to_string()) {
                let unreadable = builder.tally().unreadable;
                let snapshot = builder.finish().0;
                let read = snapshot.find("b").map(|row| snapshot.time(field, row).is_some());
                assert_eq!((read, unreadable), (is_read, u64::from(is_read.is_none())), "{time}");
            }
        }
    }
}

#[test]
fn a_device_that_a_file_repeats_without_end_takes_no_memory() {
    let device = |day: usize| {
        format!(r#"{{"id":"a","lastSeen":"2026-01-{:02}T00:00:00Z","machineTags":["d{day}"]}}"#, day + 1)
    };
    let days: Vec<String> = [3, 20, 7].into_iter().cycle().take(300).map(device).collect();
    let lines = format!("{}\n{}\n", r#"{"id":"b"}"#, days.join("\n"));
    let mut reader = BlockReader::new(0);
    reader.builder.copies.next = 16;
    for _ in 0..10 {
        reader.read(&[&lines], || ()).unwrap();
        assert!(reader.builder.rows() <= 16 + 301);
    }
    let mut streamed = SnapshotBuilder::new();
    streamed.copies.next = 16;
    streamed.read_stream(format!(r#"{{"value":[{},{{"id":"b"}}]}}"#, days.join(",")).as_bytes()).unwrap();
    for builder in [reader.finish().unwrap(), streamed] {
        assert!(builder.rows() <= 16, "{}", builder.rows());
        let snapshot = builder.finish().0;
        assert_eq!(snapshot.len(), 2);
        let row = snapshot.find("a").unwrap();
        assert_eq!(snapshot.shown(Field::MachineTags, row).as_deref(), Some("d20"), "the newest copy stays");
    }
}
