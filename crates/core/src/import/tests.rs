//! What an import promises: exact selectors where there are any, lists of ids where not, nothing lost.

use serde_json::json;

use super::*;
use crate::inventory::fleet;

fn server(name: &str, platform: &str, tags: &[&str]) -> serde_json::Value {
    json!({ "computerDnsName": name, "osPlatform": platform, "machineTags": tags, "deviceValue": "Normal" })
}

#[test]
fn a_tag_that_a_small_selector_explains_gets_it() {
    let mut devices: Vec<_> = (0..5)
        .map(|number| server(&format!("dc{number:02}.corp.example.com"), "WindowsServer2022", &["Tier0"]))
        .collect();
    devices.extend(
        (0..9).map(|number| server(&format!("web{number}.corp.example.com"), "WindowsServer2022", &[])),
    );
    let imported = import(&fleet(&devices), None);
    let rule = &imported.rules[0];
    assert!(rule.is_exact, "{rule:?}");
    assert_eq!(rule.selector.as_deref(), Some("{ deviceName: { startsWith: dc } }"));
    assert!(imported.files[0].text.contains("tags: [Tier0]"), "{}", imported.files[0].text);
}

#[test]
fn a_tag_that_nothing_explains_lists_its_devices_and_says_what_is_nearest() {
    let devices: Vec<_> = (0..30)
        .map(|number| {
            server(&format!("pc{number}"), "Windows11", if number % 2 == 0 { &["Pilot"] } else { &[] })
        })
        .collect();
    let imported = import(&fleet(&devices), Some("11111111-2222-3333-4444-555555555555"));
    assert!(!imported.rules[0].is_exact);
    assert!(imported.files[0].text.contains("inFile: data/pilot.txt"), "{}", imported.files[0].text);
    assert!(
        imported.files[0].text.contains("precision 50.0 %, recall 100.0 %"),
        "{}",
        imported.files[0].text
    );
    assert_eq!(imported.files[2].text.lines().filter(|line| !line.starts_with('#')).count(), 15);
}

#[test]
fn tags_that_a_policy_cannot_name_are_left_out_by_name() {
    let devices = [server("a", "Windows11", &["MDE-Management", " untrimmed", "fine{x}", "n*"])];
    let imported = import(&fleet(&devices), None);
    let left: Vec<&str> = imported.left_out.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(left, [" untrimmed", "MDE-Management"]);
    let text = &imported.files[0].text;
    assert!(text.contains(r#"tags: ["fine{{x}}"]"#) && text.contains(r#"- "n\\*""#), "{text}");
}
