//! Plans of other versions, damaged plans, and hostile ones.
//!
//! `plan::tests` reads plans that mdetag wrote itself.

use super::*;

/// The shortest plan that another tool may write.
const LEAST: &str = r#"{
    "formatVersion": "1.7", "tool": "other", "createdAt": "2026-11-22T03:00:00Z", "now": "2026-11-22T03:00:00Z",
    "later": { "unknown": true }, "tenant": {}, "policy": { "digest": "d" },
    "inventory": { "digest": "d", "devices": 2, "inScope": 1, "trusted": true },
    "changes": [ { "device": { "id": "d1" }, "add": [ { "tag": "A", "cause": "rule", "rules": ["r"] } ],
        "remove": [ { "tag": "B", "cause": "renamed", "to": "A" } ] } ],
    "summary": { "devices": 1, "additions": 1, "removals": 1, "values": 0 },
    "calls": { "total": 2, "minimum": 2, "seconds": 0 }, "guard": { "refused": false }, "digest": "DIGEST" }"#;

fn sealed(json: &str) -> String {
    let canonical = digest::canonical(json, &OUTSIDE_DIGEST).unwrap();
    json.replace("DIGEST", &digest::sha256(canonical.as_bytes()))
}

fn refusal(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    read(&sealed(&LEAST.replace(from, to))).unwrap_err().to_string()
}

#[test]
fn any_1_x_is_read_and_unknown_keys_are_ignored_but_sealed() {
    let plan = read(&sealed(LEAST)).unwrap();
    assert_eq!((plan.changes.len(), plan.rules[0].name.as_str()), (1, "r"));
    let changed = sealed(LEAST).replace("\"unknown\": true", "\"unknown\": false");
    assert!(
        matches!(read(&changed), Err(DocumentError::Digest { .. })),
        "a changed unknown key is a changed plan"
    );
}

#[test]
fn another_major_version_is_refused_whatever_its_form() {
    for version in ["2.0", "10.1", "1", "1.x", ""] {
        let json = format!(r#"{{ "formatVersion": "{version}" }}"#);
        assert!(matches!(read(&json), Err(DocumentError::Version(_))), "{version}");
    }
}

#[test]
fn only_the_clock_and_the_ledger_may_change_without_breaking_the_digest() {
    let text = sealed(LEAST);
    assert!(read(&text.replacen("2026-11-22T03", "2026-11-23T03", 1)).is_ok());
    assert!(read(&text.replace("\"now\": \"2026-11-22", "\"now\": \"2026-11-23")).is_err());
}

#[test]
fn hostile_plans_are_refused_with_a_reason() {
    let cases = [
        ("\"id\": \"d1\"", "\"id\": \"../d1\"", "no device id"),
        ("\"tag\": \"B\"", "\"tag\": \"A\"", "both added to and removed"),
        ("\"tag\": \"A\"", "\"tag\": \" A\"", "cannot be added"),
        ("\"rules\": [\"r\"]", "\"rules\": []", "names no rule"),
        ("\"trusted\": true", "\"trusted\": false", "disagree"),
        ("\"rules\": [\"r\"]", "\"rules\": [\"r\"], \"why\": 7", "points to cause 7"),
        ("\"cause\": \"rule\"", "\"cause\": \"whim\"", "whim"),
    ];
    for (from, to, expected) in cases {
        let message = refusal(from, to);
        assert!(message.contains(expected), "{message}");
    }
    for text in ["", "null", "[]", "{}", "\u{0}", "{\"formatVersion\":1}", &"[".repeat(100_000)] {
        assert!(matches!(read(text), Err(DocumentError::Form(_))));
    }
}
