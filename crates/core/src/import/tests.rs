//! The promises of an import: exact selectors if there are any, lists of ids otherwise, and nothing is lost.

use serde_json::json;

use super::*;
use crate::inventory::fleet;

fn server(name: &str, platform: &str, tags: &[&str]) -> serde_json::Value {
    json!({ "computerDnsName": name, "osPlatform": platform, "machineTags": tags, "deviceValue": "Normal" })
}

fn servers() -> Vec<serde_json::Value> {
    let controller =
        |number: usize| server(&format!("dc{number:02}.corp.example.com"), "WindowsServer2022", &["Tier0"]);
    let web = |number: usize| server(&format!("web{number}.corp.example.com"), "WindowsServer2022", &[]);
    (0..5).map(controller).chain((0..9).map(web)).collect()
}

#[test]
fn a_tag_that_a_small_selector_explains_gets_it_and_nothing_is_claimed() {
    let imported = import(&fleet(&servers()), &ImportOptions::default());
    let rule = &imported.rules[0];
    assert!(rule.is_selected, "{rule:?}");
    assert_eq!(rule.selector.as_deref(), Some("{ deviceName: { startsWith: dc } }"));
    let text = &imported.files[0].text;
    assert!(
        text.contains("tags: [Tier0]") && !text.contains("claims") && !text.contains("$schema"),
        "{text}"
    );
}

#[test]
fn a_glob_is_claimed_as_written_only_where_all_that_it_matches_has_a_rule() {
    let mut devices = servers();
    devices.push(server("x", "Ubuntu", &["env/prod", "env/test"]));
    let snapshot = fleet(&devices);
    let pattern = |text: &str| (text.to_owned(), TagPattern::parse(text, TagCase::Exact).unwrap());
    let options = ImportOptions { claims: vec![pattern("env/*")], ..ImportOptions::default() };
    assert_eq!(import(&snapshot, &options).claims, ["env/*"]);
    let tags = vec![TagPattern::parse("env/p*", TagCase::Exact).unwrap()];
    let imported = import(&snapshot, &ImportOptions { tags, ..options });
    assert_eq!(imported.claims, ["env/prod"], "env/test has no rule");
    assert_eq!(imported.rules.len(), 1);
}

#[test]
fn a_selector_is_counted_as_it_is_evaluated() {
    let device = |platform: &str, group: &str, tags: &[&str]| {
        let mut device = server("x", platform, tags);
        device["rbacGroupName"] = json!(group);
        device
    };
    let devices = [
        device("Windows11", "G", &["t"]),
        device("Windows11", "G", &["t"]),
        device("Windows10", "G", &["t"]),
        device("WindowsServer2022", "G", &[]),
        device("Windows11", "H", &[]),
    ];
    let imported = import(&fleet(&devices), &ImportOptions::default());
    let rule = &imported.rules[0];
    assert!(!rule.is_selected || rule.precision == 1.0, "{rule:?}");
    assert!(!rule.selector.as_ref().unwrap().contains("startsWith: Windows,"), "{rule:?}");
}

#[test]
fn a_device_group_explains_no_tag_because_it_follows_tags() {
    let device = |number: usize| {
        let mut device = server("x", "Windows11", if number < 5 { &["Tier0"] } else { &[] });
        device["rbacGroupName"] = json!(if number < 5 { "Tier-0" } else { "Other" });
        device["rbacGroupId"] = json!(if number < 5 { 7 } else { 8 });
        device
    };
    let imported = import(&fleet(&(0..10).map(device).collect::<Vec<_>>()), &ImportOptions::default());
    assert!(!imported.rules[0].is_selected, "{:?}", imported.rules[0]);
    assert!(!imported.files[0].text.contains("rbacGroup"), "{}", imported.files[0].text);
}

#[test]
fn exceptions_stand_beside_the_selector() {
    let mut devices: Vec<_> = (0..40)
        .map(|number| {
            server(&format!("fin-lt-{number:03}"), "Windows11", if number == 7 { &[] } else { &["Finance"] })
        })
        .collect();
    devices.extend((0..40).map(|number| {
        server(&format!("hr-lt-{number:03}"), "Windows11", if number == 3 { &["Finance"] } else { &[] })
    }));
    let imported = import(&fleet(&devices), &ImportOptions { fit: 0.95, ..ImportOptions::default() });
    let rule = &imported.rules[0];
    assert_eq!((rule.without.len(), rule.besides.len()), (1, 1), "{rule:?}");
    let text = &imported.files[0].text;
    assert!(
        text.contains("startsWith: fin-lt-") && text.contains("# fin-lt-007") && text.contains("# hr-lt-003"),
        "{text}"
    );
}

#[test]
fn domains_that_differ_only_in_case_are_one() {
    let name = |number: usize| match number % 2 {
        0 => format!("a{number}.Corp.Example.com"),
        _ => format!("a{number}.corp.example.com"),
    };
    let mut devices: Vec<_> = (0..8).map(|number| server(&name(number), "Windows11", &["Corp"])).collect();
    devices.extend((0..8).map(|number| server(&format!("a{number}.lab.example.net"), "Windows11", &[])));
    let imported = import(&fleet(&devices), &ImportOptions::default());
    assert_eq!(imported.rules[0].selector.as_deref(), Some("{ domain: corp.example.com }"));
}

#[test]
fn tags_that_nothing_explains_share_one_list() {
    let device = |number: usize| {
        let tags: &[&str] = match number % 4 {
            0 => &["Pilot"],
            1 => &["\u{202e}odd"],
            _ => &[],
        };
        server(&format!("pc{number}"), "Windows11", tags)
    };
    let devices: Vec<_> = (0..30).map(device).collect();
    let guard = Some("11111111-2222-3333-4444-555555555555".to_owned());
    let imported = import(&fleet(&devices), &ImportOptions { guard, ..ImportOptions::default() });
    let paths: Vec<&str> = imported.files.iter().map(|file| &*file.path).collect();
    assert_eq!(paths, ["imported.yaml", "guard.yaml", "data/imported.csv"]);
    let (text, list) = (&imported.files[0].text, &imported.files[2].text);
    assert!(text.contains("where: { tag: Pilot }"), "{text}");
    assert!(list.starts_with("tag,id,name\nPilot,") || list.contains("\nPilot,"), "{list}");
    assert!(
        !text.contains('\u{202e}') && !list.contains('\u{202e}') && text.contains("\\u202E"),
        "{text}{list}"
    );
}

#[test]
fn tags_that_a_policy_cannot_name_are_left_out_by_name() {
    let devices = [server("a", "Windows11", &["MDE-Management", "fine{x}", "n*"])];
    let claims = vec![("*".to_owned(), TagPattern::parse("*", TagCase::Exact).unwrap())];
    let imported = import(&fleet(&devices), &ImportOptions { claims, ..ImportOptions::default() });
    let left: Vec<&str> = imported.left_out.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(left, ["MDE-Management"]);
    let text = &imported.files[0].text;
    assert!(text.contains(r#"tags: ["fine{{x}}"]"#) && text.contains(r#"- "*""#), "{text}");
}

#[test]
fn nothing_in_the_list_computes_and_no_name_is_another() {
    let device = |name: &str, tags: &[&str]| server(name, "Windows11", tags);
    let devices = [
        device("=HYPERLINK(\"http://e\",\"x\")", &["=1+1", "-x", "＠y", "rule 1-1"]),
        device("evil\u{202e}\nx", &["=1+1"]),
        device("evil\u{202d}\nx", &["=1+1", "Pilot"]),
    ];
    let imported = import(&fleet(&devices), &ImportOptions::default());
    let (text, list) = (&imported.files[0].text, &imported.files[1].text);
    let mut rows = csv::Reader::from_reader(list.as_bytes());
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let computes = |cell: &&str| cell.trim_start().starts_with(['=', '+', '-', '@', '＠']);
    assert_eq!(rows.iter().flatten().filter(computes).count(), 0, "{list}");
    assert!(text.contains(r#"where: { tag: "rule 1-1" }"#) && text.contains(r#"tags: ["=1+1"]"#), "{text}");
    let keys: std::collections::BTreeSet<&str> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(keys.len(), 5, "each tag has its own rows: {list}");
    assert!(list.contains("evil\\u{202e}\\nx") && list.contains("evil\\u{202d}\\nx"), "{list}");
}
