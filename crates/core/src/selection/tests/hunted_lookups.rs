//! Lookups whose rows are the result of a hunting query.
//!
//! Tests only.

use super::*;
use crate::diagnostic::{Source, Sources};
use crate::policy::resolve;
use crate::tag::TagCase;

const POLICY: &str = "version: 1
claims: [T]
lookups:
  h: { hunting: { query: Q }, key: Host, match: deviceName }
rules:
  - { name: prod, select: { lookup.h.Env: prod }, tags: [T] }
  - { name: other, select: { not: { lookup.h.Env: prod } }, tags: ['{lookup.h.Owner}:x'] }
";

fn resolved(text: &str) -> Policy {
    let mut sources = Sources::default();
    sources.files.push(Source::new("p.yaml", 0, "p.yaml", text));
    let (policy, findings) = resolve(&sources, TagCase::Exact, now());
    assert!(findings.iter().all(|finding| !finding.code.starts_with('E')), "{findings:#?}");
    policy
}

/// The devices that each rule certainly selects, those on which it is undecided, and the codes of the warnings; or the errors.
type LookupMatches = Result<(Vec<Vec<u32>>, Vec<Vec<u32>>, Vec<&'static str>), Vec<(&'static str, String)>>;

fn found(text: &str, results: &str) -> LookupMatches {
    let (policy, snapshot) = (resolved(text), named(&["web1", "web2", "db1"]));
    let results = HuntingResults::from_json(results.as_bytes()).unwrap();
    let found = select(&policy, &snapshot, &results, now());
    let found = found
        .map_err(|faults| faults.into_iter().map(|fault| (fault.code, fault.message)).collect::<Vec<_>>())?;
    for row in snapshot.rows() {
        for (index, rule) in policy.rules.iter().enumerate() {
            let traced = trace(&policy, &snapshot, &found, &results, now(), &rule.select, row);
            let undecided = found.undecided.get(&(index as u32)).is_some_and(|set| set.contains(row));
            assert_eq!(traced.holds, (!undecided).then(|| found.rules[index].contains(row)), "{traced:?}");
        }
    }
    let rows = |set: &DeviceSet| set.iter().map(|row| row.0).collect::<Vec<_>>();
    let undecided = (0..2).map(|rule| found.undecided.get(&rule).map(rows).unwrap_or_default()).collect();
    let codes = found.findings.iter().map(|finding| finding.code).collect();
    Ok((found.rules.iter().map(rows).collect(), undecided, codes))
}

fn code(text: &str, results: &str) -> Vec<&'static str> {
    found(text, results).unwrap_err().into_iter().map(|(code, _)| code).collect()
}

#[test]
fn the_columns_of_a_result_are_the_columns_of_the_lookup() {
    let policy = resolved(POLICY);
    assert_eq!(policy.lookups[0].columns, ["Host", "Env", "Owner"], "the key, and what is read");
    let rows = r#"{"Q": [{"Host": " WEB1 ", "Env": "Prod", "Owner": null, "More": {"a": [1]}},
        {"Host": "db1", "Env": 7, "Owner": true, "More": []}]}"#;
    assert_eq!(found(POLICY, rows), Ok((vec![vec![0], vec![1, 2]], vec![vec![], vec![]], vec![])));
    let snapshot = named(&["web1", "web2", "db1"]);
    let results = HuntingResults::from_json(rows.as_bytes()).unwrap();
    let selections = select(&policy, &snapshot, &results, now()).unwrap();
    let text = |column: u16, row: u32| {
        let field = Field::Lookup { lookup: 0, column };
        text_of(&policy, &snapshot, &selections, field, Row(row)).map(std::borrow::Cow::into_owned)
    };
    assert_eq!(text(1, 2).as_deref(), Ok("7"));
    assert_eq!((text(2, 0), text(2, 1)), (Err(Absent::EmptyCell), Err(Absent::NoRow)));
    let folded = rows.replace("Host", "host").replace("Env", "ENV");
    assert_eq!(found(POLICY, &folded), found(POLICY, rows), "the service does not keep to one casing");
    assert_eq!(count_sources(&policy, &snapshot, &results).sources["h"], 2);
}

#[test]
fn a_result_that_a_lookup_cannot_have_is_an_error_never_an_absence() {
    assert_eq!(code(POLICY, "{}"), ["E0701"]);
    assert_eq!(code(POLICY, r#"{"Q": []}"#), ["E0702"]);
    let (rows, _, codes) =
        found(&POLICY.replace("{ query: Q }", "{ query: Q, allowEmpty: true }"), r#"{"Q": []}"#).unwrap();
    assert_eq!((rows, codes), (vec![vec![], vec![0, 1, 2]], vec![]));
    let beside = POLICY.replace("deviceName }", "deviceName, allowEmpty: true }");
    assert!(found(&beside, r#"{"Q": []}"#).is_ok());
    assert_eq!(code(POLICY, r#"{"Q": ["web1"]}"#), ["E0704"]);
    assert_eq!(code(POLICY, r#"{"Q": [{"Host": "web1", "Env": "a", "Owner": "b"}, "web2"]}"#), ["E0704"]);
    let missing = found(POLICY, r#"{"Q": [{"Host": "web1", "SenderMail": "a", "Owner": "b"}]}"#).unwrap_err();
    assert_eq!(missing, [("E0704", "the result of this hunting query has no column `Env`".to_owned())]);
    assert_eq!(code(POLICY, r#"{"Q": [{"Env": "a", "Owner": "b"}]}"#), ["E0704"]);
    let keyless = r#"{"Q": [{"Host": "web1", "Env": "a", "Owner": "b"}, {"Env": "a", "Owner": "b"}]}"#;
    assert_eq!(
        found(POLICY, keyless).unwrap_err(),
        [("E0704", "row 2 of `hunting: Q` leaves the key column `Host` out".to_owned())]
    );
    assert_eq!(code(POLICY, r#"{"Q": [{"Host": null, "Env": "a", "Owner": "b"}]}"#), ["E0304"]);
    let twice = r#"{"Q": [{"Host": "web1", "Env": "a", "Owner": "b"}, {"Host": "web1", "Env": "prod", "Owner": "b"}]}"#;
    assert_eq!(
        found(POLICY, twice).unwrap_err(),
        [("E0305", "`hunting: Q` holds the key `web1` twice with different rows: rows 1 and 2".to_owned())]
    );
    let five: Vec<String> =
        (0..5).map(|_| r#"{"Host": "gone", "Env": "a", "Owner": "b"}"#.to_owned()).collect();
    assert_eq!(code(POLICY, &format!("{{\"Q\": [{}]}}", five.join(","))), ["E0307"], "five rows of one key");
    assert!(
        HuntingResults::from_json(br#"{"Q": [{"a": 1}, 7]}"#).unwrap_err().starts_with("row 2 is neither")
    );
    assert!(HuntingResults::from_json(br#"{"Q": [{"a": 1, "a ": 2}]}"#).unwrap_err().contains("twice"));
}

#[test]
fn what_a_result_does_not_say_is_unknown() {
    let undecided = |rows: &[u32]| vec![rows.to_vec(), rows.to_vec()];
    let few = r#"{"Q": [{"Host": "gone", "Env": "prod", "Owner": "b"}]}"#;
    assert_eq!(found(POLICY, few), Ok((vec![vec![], vec![]], undecided(&[0, 1, 2]), vec!["W0302"])));
    let torn = r#"{"Q": [{"Host": "web1", "Owner": "b"}, {"Host": "db1", "Env": "prod", "Owner": null}]}"#;
    assert_eq!(found(POLICY, torn), Ok((vec![vec![2], vec![1]], undecided(&[0]), vec!["W0302"])));
    let twice = r#"{"Q": [{"Host": "web1", "Env": "a", "Owner": "b"}, {"Host": "web1", "Env": "prod", "Owner": "b"}]}"#;
    let either = POLICY.replace("deviceName }", "deviceName, onConflict: missing }");
    assert_eq!(found(&either, twice), Ok((vec![vec![], vec![1, 2]], undecided(&[0]), vec!["W0302"])));
    let unread = twice.replace("\"Env\": \"prod\"", "\"Env\": \"a\", \"Timestamp\": 2");
    assert!(found(POLICY, &unread).is_ok(), "columns that nothing reads may differ");
}

#[test]
fn a_selector_reads_ids_from_the_column_of_recorded_rows() {
    let text = "version: 1\nclaims: [T]\nrules:\n  - { name: r, select: { hunting: { query: Q, column: Id } }, tags: [T] }\n";
    let snapshot = fleet(&[json!({"id": "a1"}), json!({"id": "b2"})]);
    let policy = resolved(text);
    let of = |results: &str| {
        let results = HuntingResults::from_json(results.as_bytes()).unwrap();
        let found = select(&policy, &snapshot, &results, now());
        found
            .map(|found| found.rules[0].count())
            .map_err(|faults| (faults[0].code, faults[0].message.clone()))
    };
    assert_eq!(of(r#"{"Q": [{"Id": "A1", "x": 1}, {"Id": null}, "b2"]}"#), Ok(2));
    assert_eq!(of(r#"{"Q": ["a1"]}"#), Ok(1));
    assert_eq!(
        of(r#"{"Q": [{"DeviceId": "a1", "Secret": "x"}]}"#),
        Err(("E0704", "the result of this hunting query has no column `Id`".to_owned()))
    );
    let foreign = r#"{"Q": ["z", "z", "z", "z", "z"]}"#;
    let none = "none of the 5 rows of this hunting result has the id of a device".to_owned();
    assert_eq!(of(foreign), Err(("E0703", none.clone())), "five rows of one id");
    assert_eq!(
        of(r#"{"Q": [{"Id": ""}, {"Id": ""}, {"Id": ""}, {"Id": ""}, {"Id": ""}]}"#),
        Err(("E0703", none))
    );
}

#[test]
fn a_query_is_run_once_for_all_that_is_read_of_it() {
    let text = POLICY.replace(
        "rules:\n",
        "  i: { hunting: { query: ' Q ' }, key: Host, match: deviceName }\nrules:\n  - { name: q, select: { hunting: { query: Q }, lookup.i.Site: x }, tags: [U] }\n",
    );
    let policy = resolved(&text);
    let queries = queries(&[&policy, &resolved(POLICY)], now());
    let columns = strings(&["DeviceId", "Host", "Env", "Owner", "Site"]);
    assert_eq!(queries, [Query { text: "Q".into(), columns }]);
}

#[test]
fn a_list_or_an_object_in_a_cell_is_unknown_and_in_the_key_an_error() {
    for cell in [r#"["prod"]"#, r#"{"x": 1}"#] {
        let rows = format!(r#"{{"Q": [{{"Host": "web1", "Env": {cell}, "Owner": null}}]}}"#);
        let (surely, undecided, codes) = found(POLICY, &rows).unwrap();
        assert_eq!((surely, undecided), (vec![vec![], vec![1, 2]], vec![vec![0], vec![0]]), "{cell}");
        assert_eq!(codes, ["W0302"]);
        let key = format!(r#"{{"Q": [{{"Host": {cell}, "Env": "x", "Owner": null}}]}}"#);
        assert_eq!(code(POLICY, &key), ["E0704"], "{cell}");
    }
}

#[test]
fn rows_without_a_device_id_are_counted_and_rows_that_leave_it_out_are_an_error() {
    const HUNTED: &str = "version: 1
claims: [T]
rules:
  - { name: a, select: { hunting: { query: Q } }, tags: [T] }
  - { name: b, select: { not: { hunting: { query: Q } } }, tags: [T] }
";
    let rows = |more: &str| format!(r#"{{"Q": [{{"DeviceId": "d0", "x": 1}}{more}]}}"#);
    let (surely, undecided, codes) = found(HUNTED, &rows(r#", {"DeviceId": null, "x": 2}"#)).unwrap();
    assert_eq!((surely, undecided), (vec![vec![0], vec![1, 2]], vec![vec![], vec![]]));
    assert_eq!(codes, ["W0702"]);
    for absent in [r#", {"x": 2}"#, r#", {"DeviceId": {"v": "d1"}, "x": 2}"#, r#", {"DeviceId": ["d1"]}"#] {
        assert_eq!(code(HUNTED, &rows(absent)), ["E0704"], "{absent}");
    }
}
