//! Lines are written and parsed back.

use super::*;

fn lines() -> Vec<Line> {
    let at = Timestamp::from_millis(1_700_000_000_123);
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    let tag: Arc<str> = "Tier \"0\"\u{202e}".into();
    let key = |device: &Arc<str>, what: ChangeWhat| ChangeKey { device: device.clone(), what };
    let ended = |device: &Arc<str>, outcome, error: Option<&str>| ChangeOutcome {
        key: key(device, ChangeWhat::Add(tag.clone())),
        outcome,
        error: error.map(str::to_owned),
    };
    let wave = |event| Line::Entry(Entry::Wave { at, wave: 2, event });
    let request = |call: Call| {
        let value_was = matches!(call, Call::SetValue { .. }).then(|| "Normal".into());
        Line::Entry(Entry::Intent { call: CallId(7), at, request: call, value_was })
    };
    let repair = |restored, error: Option<String>| {
        Line::Entry(Entry::Repair { at, device: a.clone(), tag: tag.clone(), restored, error })
    };
    let bulk =
        Call::BulkTag { tag: tag.clone(), action: TagAction::Add, devices: vec![a.clone(), b.clone()] };
    let update = Call::Update { device: a.clone(), value: None, tags: Some(vec![tag.clone()]) };
    let value = ChangeOutcome {
        key: key(&b, ChangeWhat::Value(DeviceValue::High)),
        outcome: Outcome::Failed,
        error: Some("400 InvalidInput".into()),
    };
    vec![
        Line::Run {
            at,
            header: Box::new(Header {
                run: "r".into(),
                job: Some("https://ci/1".into()),
                ..Header::default()
            }),
            contested: vec![key(&a, ChangeWhat::Remove(tag.clone()))],
        },
        Line::Before {
            at,
            device: DeviceState {
                id: a.clone(),
                tags: vec![tag.clone()],
                has_tag_list: true,
                value: Some("Normal".into()),
            },
        },
        request(Call::BulkTag { tag: tag.clone(), action: TagAction::Remove, devices: Vec::new() }),
        request(bulk),
        request(update),
        request(Call::SetValue { device: b.clone(), value: DeviceValue::Low }),
        request(Call::SingleTag { tag: tag.clone(), action: TagAction::Remove, device: b.clone() }),
        request(Call::Get { device: a.clone() }),
        Line::Entry(Entry::Reply {
            call: CallId(7),
            at,
            answer: "200".into(),
            ended: vec![ended(&a, Outcome::Done, None), ended(&b, Outcome::Done, None), value],
        }),
        Line::Entry(Entry::Ended { at, ended: vec![ended(&a, Outcome::Bounced, Some("held"))] }),
        repair(None, None),
        repair(Some(false), Some("403".into())),
        Line::Entry(Entry::Canary { at, device: a.clone(), tags: vec![tag.clone()] }),
        Line::Entry(Entry::Note { at, text: "said once".into() }),
        wave(WaveEvent::Started { ill: vec!["a".into()] }),
        wave(WaveEvent::Ended { not_before: at }),
        wave(WaveEvent::Halted(Halt {
            wave: 2,
            gate: Gate::Health,
            bad: 3,
            of: 20,
            at_most: Some("5 %".into()),
            devices: vec!["a".into()],
        })),
        wave(WaveEvent::Passed { reason: None }),
        wave(WaveEvent::Passed { reason: Some("looked at them".into()) }),
        wave(WaveEvent::Closed { reason: "not needed".into() }),
        Line::Closed(Closing { at, is_complete: false, reason: "stopped by a signal".into() }),
    ]
}

#[test]
fn every_line_reads_back_as_it_was_written() {
    for line in lines() {
        let text = render(&line, None);
        assert_eq!(parse(text.as_bytes()), Some(line), "{text}");
    }
}

#[test]
fn a_torn_or_edited_line_is_none() {
    for line in lines() {
        let text = render(&line, None);
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]), None);
        }
        assert_eq!(parse(text.replacen("20", "21", 1).as_bytes()), None, "{text}");
    }
}

#[test]
fn keys_that_a_later_version_adds_are_ignored() {
    let json = r#"{"kind":"note","at":"2026-11-22T03:00:00Z","text":"x","mood":"good""#;
    let text = format!("{json},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(json.as_bytes()));
    assert!(matches!(parse(text.as_bytes()), Some(Line::Entry(Entry::Note { .. }))));
}
