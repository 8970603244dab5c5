//! Selectors, fields and conditions.

use super::*;
use crate::device::{Field, Kind};
use crate::policy::{Keep, LookupCell, Selector, SelectorKind, Test};

fn condition(selector: &str) -> (Field, Test) {
    match select(selector).sound().rules.remove(0).select.kind {
        SelectorKind::Field { field, test } => (field, test),
        other => panic!("{other:?}"),
    }
}

fn test(selector: &str) -> Test {
    condition(selector).1
}

fn codes(selector: &str) -> Vec<&'static str> {
    select(selector).codes()
}

#[test]
fn all_entries_of_a_selector_must_hold() {
    let policy =
        select("{ osPlatform: a, any: [{ domain: b }, { id: c }], not: { all: [{ isExcluded: true }] } }")
            .sound();
    let SelectorKind::All(parts) = &policy.rules[0].select.kind else { panic!() };
    assert!(matches!(parts[0].kind, SelectorKind::Field { field: Field::OsPlatform, .. }));
    assert!(matches!(&parts[1].kind, SelectorKind::Any(any) if any.len() == 2));
    assert!(
        matches!(&parts[2].kind, SelectorKind::Not(not) if matches!(&not.kind, SelectorKind::All(all) if all.len() == 1))
    );
}

#[test]
fn an_empty_selector_is_refused_with_a_hint_to_write_everything() {
    let set = select("{}");
    assert_eq!(set.shown(), ["E0203 5:13 {}"]);
    assert_eq!(set.only().message, "rule `r` would select every device");
    assert_eq!(set.only().help.as_deref(), Some("write `everything: true` if that is meant"));
    assert_eq!(codes(""), ["E0203"]);
    assert_eq!(codes("{ not: {} }"), ["E0203"]);
    assert_eq!(codes("{ any: [{ id: a }, {}] }"), ["E0203"]);
    assert!(matches!(select("{ everything: true }").sound().rules[0].select.kind, SelectorKind::Everything));
    assert_eq!(codes("{ everything: false }"), ["E0208"]);
    assert_eq!(codes("{ everything: yes }"), ["E0104"]);
}

#[test]
fn empty_lists_are_errors() {
    for selector in [
        "{ all: [] }",
        "{ any: [] }",
        "{ use: [] }",
        "{ osPlatform: [] }",
        "{ osPlatform: { in: [] } }",
        "{ machineTags: { hasAll: [] } }",
        "{ osPlatform: { glob: [] } }",
    ] {
        assert_eq!(codes(selector), ["E0204"], "{selector}");
    }
    assert_eq!(codes("[]"), ["E0104"]);
}

#[test]
fn used_selectors_are_known_and_do_not_use_each_other_in_a_circle() {
    let set = select("{ use: servers }");
    assert_eq!(set.shown(), ["E0205 5:20 servers"]);
    let text = "selectors:\n  servers: { osPlatform: a }\n  clients: { not: { use: others } }\n  others: { osPlatform: b }\nclaims: [T]\n\
                rules: [{ name: r, select: { use: [servers, clients] }, tags: [T] }]\n";
    let policy = one(text).sound();
    assert!(
        matches!(&policy.rules[0].select.kind, SelectorKind::All(parts) if matches!(parts[1].kind, SelectorKind::Use(1)))
    );
    let set = one(
        "selectors:\n  a: { use: b }\n  b: { any: [{ use: c }] }\n  c: { not: { use: a } }\nscope: { use: a }\n",
    );
    assert_eq!(set.shown(), ["E0206 3:8 use: b"]);
    assert_eq!(set.only().message, "selectors use each other in a circle: `a` uses `b` uses `c` uses `a`");
    assert_eq!(one("selectors: { a: { use: a } }\nscope: { use: a }\n").codes(), ["E0206"]);
    let near = one("selectors: { servers: { id: a } }\nscope: { use: server }\n");
    assert_eq!(near.only().help.as_deref(), Some("write `servers`"));
}

#[test]
fn a_long_chain_of_uses_is_an_error_and_not_a_stack_overflow() {
    let mut text = String::from("scope: { use: s5000 }\nselectors:\n  s0: { id: a }\n");
    for number in 1..=5000 {
        text += &format!("  s{number}: {{ use: s{} }}\n", number - 1);
    }
    let set = one(&text);
    assert_eq!(set.codes(), ["E0206"]);
}

#[test]
fn superseded_takes_four_fields_and_is_not_for_scope() {
    let policy = select("{ superseded: { by: computerDnsName } }").sound();
    let SelectorKind::Superseded { by, keep } = policy.rules[0].select.kind else { panic!() };
    assert_eq!((by, keep), (Field::ComputerDnsName, Keep::Newest));
    for by in ["deviceName", "aadDeviceId", "vmMetadata.vmId"] {
        select(&format!("{{ superseded: {{ by: {by}, keep: oldest }} }}")).sound();
    }
    assert_eq!(codes("{ superseded: { by: id } }"), ["E0209"]);
    assert_eq!(codes("{ superseded: { by: deviceName, keep: last } }"), ["E0209"]);
    assert_eq!(codes("{ superseded: { keep: newest } }"), ["E0105"]);
    assert_eq!(one("scope: { not: { superseded: { by: deviceName } } }\n").codes(), ["E0210"]);
    assert_eq!(
        one("selectors: { s: { superseded: { by: deviceName } } }\nscope: { use: s }\n").codes(),
        ["E0210"]
    );
}

#[test]
fn hunting_takes_a_query_or_a_file() {
    let policy = select("{ hunting: { query: 'DeviceInfo | take 1' } }").sound();
    let SelectorKind::Hunting(hunting) = &policy.rules[0].select.kind else { panic!() };
    assert_eq!((&*hunting.query, &*hunting.column), ("DeviceInfo | take 1", "DeviceId"));
    let text = "claims: [T]\nrules: [{ name: r, select: { hunting: { queryFile: q.kql, column: Id } }, tags: [T] }]\n";
    let policy = with_data(text, &[("q.kql", "DeviceInfo\n")]).sound();
    let SelectorKind::Hunting(hunting) = &policy.rules[0].select.kind else { panic!() };
    assert_eq!((&*hunting.query, &*hunting.column), ("DeviceInfo\n", "Id"));
    assert_eq!(codes("{ hunting: {} }"), ["E0214"]);
    assert_eq!(codes("{ hunting: { query: a, queryFile: b } }"), ["E0214"]);
    assert_eq!(codes("{ hunting: { query: '  ' } }"), ["E0208"]);
    assert_eq!(with_data(text, &[]).codes(), ["E0301"]);
    assert_eq!(with_data(text, &[("q.kql", " \n")]).codes(), ["E0304"]);
}

#[test]
fn unknown_fields_and_operators_are_refused_with_the_near_one() {
    let set = select("{ osplatfrom: x, computerDnsName: { startWith: dc } }");
    assert_eq!(set.shown(), ["E0201 5:15 osplatfrom", "E0202 5:49 startWith"]);
    assert_eq!(codes("{ osBuild: { within: 30d } }"), ["E0202"]);
    assert_eq!(codes("{ nott: { id: x } }"), ["E0201"]);
}

#[test]
fn every_field_takes_every_operator_of_its_kind() {
    let operand = |kind: Kind, operator: &str| match (kind, operator) {
        (_, "exists") => "true",
        (Kind::Text | Kind::Version, "in") => "[a, b]",
        (Kind::Text | Kind::Version, "inFile") => "list.txt",
        (Kind::Text | Kind::Version, _) => "a",
        (Kind::Integer, "in") => "[1, 2]",
        (Kind::Integer, _) => "1",
        (Kind::Boolean, _) => "false",
        (Kind::Time, "within" | "olderThan") => "30d",
        (Kind::Time, _) => "2026-01-01",
        (Kind::Address, "in") => "[10.0.0.1, '2001:db8::1']",
        (Kind::Address, "eq") => "10.0.0.1",
        (Kind::Address, _) => "10.0.0.0/8",
        (Kind::Hardware, "in") => "['00:50:56:ab:cd:ef']",
        (Kind::Hardware, "eq") => "'00-50-56-AB-CD-EF'",
        (Kind::Hardware, _) => "'00:50:56'",
        (Kind::Tags, "has" | "matches") => "X",
        (Kind::Tags, _) => "[X, Y]",
    };
    for field in Field::ALL {
        for (operator, _) in crate::policy::operators::operators(field.kind()) {
            let text = format!(
                "rules: [{{ name: r, select: {{ {}: {{ {operator}: {} }} }}, deviceValue: Low }}]\n",
                field.name(),
                operand(field.kind(), operator)
            );
            let set = with_data(&text, &[("list.txt", "a\n")]);
            let errors: Vec<_> =
                set.codes().into_iter().filter(|code| code.starts_with('E') && *code != "E0211").collect();
            assert!(errors.is_empty(), "{} {operator}: {errors:?}", field.name());
        }
    }
}

#[test]
fn a_scalar_is_eq_and_a_list_is_in() {
    assert!(
        matches!(test("{ osPlatform: Windows11 }"), Test::Text(list) if *list.values == ["Windows11"] && list.file.is_none())
    );
    assert!(matches!(test("{ osPlatform: [a, b, A, a] }"), Test::Text(list) if *list.values == ["a", "b"]));
    assert!(matches!(test("{ osBuild: 22631 }"), Test::Integer(list) if list == [22631]));
    assert!(matches!(test("{ osBuild: [1, 2] }"), Test::Integer(list) if list == [1, 2]));
    assert!(matches!(test("{ isAadJoined: true }"), Test::Boolean(true)));
    assert!(matches!(test("{ machineTags: X }"), Test::HasAny(tags) if tags == ["X"]));
    assert!(matches!(test("{ machineTags: [X, Y] }"), Test::HasAny(tags) if tags == ["X", "Y"]));
    assert_eq!(codes("{ isAadJoined: [true] }"), ["E0104"]);
    assert_eq!(codes("{ lastSeen: 30d }"), ["E0104"]);
    assert_eq!(codes("{ osPlatform: { eq: [a] } }"), ["E0104"]);
    assert_eq!(codes("{ osPlatform: { in: a } }"), ["E0104"]);
    assert_eq!(codes("{ machineTags: { has: [a] } }"), ["E0104"]);
    assert_eq!(codes("{ osPlatform: }"), ["E0104"]);
    assert_eq!(codes("{ osPlatform: {} }"), ["E0203"]);
}

#[test]
fn several_operators_of_one_condition_must_all_hold() {
    let policy = select("{ osBuild: { atLeast: 5, below: 9 } }").sound();
    let SelectorKind::All(parts) = &policy.rules[0].select.kind else { panic!() };
    let range = |part: &Selector| match part.kind {
        SelectorKind::Field { test: Test::IntegerRange { least, greatest }, .. } => (least, greatest),
        _ => panic!(),
    };
    assert_eq!(parts.iter().map(range).collect::<Vec<_>>(), [(5, i64::MAX), (i64::MIN, 8)]);
}

#[test]
fn integer_bounds_are_inclusive_ranges() {
    let range = |text: &str| match test(&format!("{{ osBuild: {{ {text} }} }}")) {
        Test::IntegerRange { least, greatest } => (least, greatest),
        other => panic!("{other:?}"),
    };
    assert_eq!(range("above: 5"), (6, i64::MAX));
    assert_eq!(range("atMost: 5"), (i64::MIN, 5));
    assert_eq!(range("above: 9223372036854775807"), (i64::MAX, i64::MIN), "nothing is above it");
    assert_eq!(codes("{ osBuild: '22631' }"), ["E0104"]);
    assert_eq!(codes("{ osBuild: 1.5 }"), ["E0208"]);
    assert_eq!(codes("{ osBuild: 99999999999999999999 }"), ["E0208"]);
}

#[test]
fn times_take_durations_dates_and_offsets() {
    assert!(
        matches!(test("{ lastSeen: { within: 30d } }"), Test::Within(span) if span.as_secs() == 30 * 86_400)
    );
    assert!(
        matches!(test("{ lastSeen: { before: 2026-11-22 } }"), Test::Before(at) if at.to_string() == "2026-11-22T00:00:00Z")
    );
    assert!(
        matches!(test("{ lastSeen: { after: '2026-11-22T03:00:00+02:00' } }"), Test::After(at) if at.to_string() == "2026-11-22T01:00:00Z")
    );
    for wrong in [
        "within: 30",
        "within: 1h30m",
        "within: -1d",
        "before: tomorrow",
        "before: 2026-02-30",
        "after: 2026-11-22T03:00:00",
    ] {
        assert_eq!(codes(&format!("{{ lastSeen: {{ {wrong} }} }}")), ["E0208"], "{wrong}");
    }
}

#[test]
fn addresses_compare_by_value_and_networks_are_masked() {
    assert!(matches!(test("{ ipAddresses: { cidr: [10.1.2.3/8, '2001:db8::1/32'] } }"), Test::Cidr(nets)
        if nets.iter().map(ToString::to_string).collect::<Vec<_>>() == ["10.0.0.0/8", "2001:db8::/32"]));
    assert!(
        matches!(test("{ lastIpAddress: '2001:DB8:0::1' }"), Test::Address(all) if all[0].to_string() == "2001:db8::1")
    );
    for wrong in ["cidr: 10.0.0.1", "cidr: 10.0.0.0/33", "eq: 10.0.0.0/8", "eq: 10.0.0", "in: [x]"] {
        assert_eq!(codes(&format!("{{ ipAddresses: {{ {wrong} }} }}")), ["E0208"], "{wrong}");
    }
}

#[test]
fn hardware_addresses_lose_separators_and_case() {
    assert!(
        matches!(test("{ macAddresses: '00-50-56-ab-cd-ef' }"), Test::Hardware(all) if all == ["005056ABCDEF"])
    );
    assert!(
        matches!(test("{ macAddresses: { startsWith: ['00:50:5', 0c] } }"), Test::StartsWith(all) if all == ["00505", "0C"])
    );
    assert_eq!(codes("{ macAddresses: '00:50:56' }"), ["E0208"]);
    assert_eq!(codes("{ macAddresses: { startsWith: 'xyz' } }"), ["E0208"]);
}

#[test]
fn patterns_are_checked_and_ignore_case() {
    assert!(
        matches!(test("{ computerDnsName: { glob: 'DC*' } }"), Test::Glob(globs) if globs[0].matches("dc01.x"))
    );
    assert!(
        matches!(test("{ computerDnsName: { regex: ['^dc[0-9]+$', b] } }"), Test::Regex(all) if all[0].is_match("DC7"))
    );
    assert_eq!(codes("{ id: { glob: '[a' } }"), ["E0208"]);
    assert_eq!(codes("{ id: { glob: '{a,{b}}' } }"), ["E0208"]);
    assert_eq!(codes("{ id: { regex: '(' } }"), ["E0208"]);
    assert_eq!(codes("{ id: { regex: '(((a{1000}){1000}){1000})' } }"), ["E0208"]);
    assert_eq!(
        codes("{ id: { regex: '(a*)*b' } }"),
        Vec::<&str>::new(),
        "catastrophic elsewhere, linear here"
    );
    assert_eq!(codes("{ id: { contains: '' } }"), ["E0208"]);
}

#[test]
fn enumerated_fields_warn_about_words_that_the_service_never_used() {
    let set = select("{ healthStatus: Inactve }");
    assert_eq!(set.shown(), ["W0201 5:29 Inactve"]);
    assert_eq!(set.only().help.as_deref(), Some("write `Inactive`"));
    assert_eq!(codes("{ healthStatus: inactive }"), Vec::<&str>::new(), "text compares without case");
    assert_eq!(codes("{ osPlatform: Windows12 }"), Vec::<&str>::new(), "free text");
    assert_eq!(codes("{ osPlatform: '' }"), ["W0203"]);
}

#[test]
fn list_files_are_lines_or_columns() {
    let text = |operand: &str| {
        format!(
            "claims: [T]\nrules: [{{ name: r, select: {{ deviceName: {{ inFile: {operand} }} }}, tags: [T] }}]\n"
        )
    };
    let read = |operand: &str, data: &[(&str, &str)]| match with_data(&text(operand), data).sound().rules[0]
        .select
        .kind
        .clone()
    {
        SelectorKind::Field { test: Test::Text(list), .. } => {
            (list.values.to_vec(), list.file.unwrap().written.to_string())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        read("l.txt", &[("l.txt", "\u{feff}a\r\n# c\r\n\r\n b \r\nA\r\n")]),
        (vec!["a".to_owned(), "b".to_owned()], "l.txt".to_owned())
    );
    assert_eq!(read("{ file: l.csv, column: host }", &[("l.csv", "id,host\n1,a\n2,\n3,b\n")]).0, ["a", "b"]);
    for ends in ["\n", "\r\n"] {
        let list = ["a", "# c", "", "b", ""].join(ends);
        assert_eq!(read("l.txt", &[("l.txt", &list)]).0, ["a", "b"], "{ends:?}");
    }
    for (odd, name) in
        [('\u{2028}', "U+2028"), ('\u{2029}', "U+2029"), ('\u{85}', "U+0085"), ('\u{c}', "U+000C")]
    {
        let set = with_data(&text("l.txt"), &[("l.txt", &format!("a\r\nb\n{odd}c\n"))]);
        assert_eq!(set.codes(), ["E0303"]);
        assert!(
            set.only().message.ends_with(&format!("line 3 holds the character {name}")),
            "{}",
            set.only().message
        );
    }
    let wrong = |operand: &str, data: &[(&str, &str)]| with_data(&text(operand), data).codes();
    assert_eq!(wrong("l.txt", &[]), ["E0301"]);
    assert_eq!(wrong("../l.txt", &[]), ["E0302"]);
    assert_eq!(wrong("l.txt", &[("l.txt", "# none\n")]), ["E0304"]);
    let shared = [("l.csv", "tag,id\nA,1\nB,2\n A ,3\n")];
    assert_eq!(read("{ file: l.csv, column: id, where: { tag: A } }", &shared).0, ["1", "3"]);
    assert_eq!(wrong("{ file: l.csv, column: id, where: { tags: A } }", &shared), ["E0306"]);
    assert_eq!(wrong("{ file: l.csv, column: id, where: { tag: C } }", &shared), ["E0304"]);
    let german = [("l.csv", "sep=;\r\nhost;Bemerkung\r\na;x, y\r\nb\r\n")];
    assert_eq!(read("{ file: l.csv, column: host }", &german).0, ["a", "b"]);
    assert_eq!(read("{ file: l.csv, column: host, delimiter: \";\" }", &german).0, ["a", "b"]);
    assert_eq!(
        read("{ file: l.csv, column: host, delimiter: \"\\t\" }", &[("l.csv", "host\ta;b\na\tx\n")]).0,
        ["a"]
    );
    assert_eq!(wrong("{ file: l.csv, column: host, delimiter: \"|\" }", &german), ["E0209"]);
    assert_eq!(wrong("{ file: l.json, column: host, delimiter: \",\" }", &[("l.json", "[]")]), ["E0208"]);
    assert_eq!(wrong("{ file: l.csv, column: Bemerkung }", &german), ["E0303"], "line 4 leaves it unsaid");
    assert_eq!(read("{ file: l.txt, allowEmpty: true }", &[("l.txt", "# none\n")]).0, Vec::<String>::new());
    assert_eq!(
        read("{ file: l.csv, column: host, allowEmpty: true }", &[("l.csv", "host\n")]).0,
        Vec::<String>::new()
    );
    for (file, empty) in [("l.csv", ""), ("l.csv", "\r\n"), ("l.json", "[]"), ("l.ndjson", "\n")] {
        let any = format!("{{ file: {file}, column: host, where: {{ any: x }}, allowEmpty: true }}");
        assert_eq!(read(&any, &[(file, empty)]).0, Vec::<String>::new(), "{file}: neither row nor header");
        assert_eq!(wrong(&any.replace(", allowEmpty: true", ""), &[(file, empty)]), ["E0304"]);
    }
    let header = "{ file: l.csv, column: hst, allowEmpty: true }";
    assert_eq!(wrong(header, &[("l.csv", "host\n")]), ["E0306"], "a header says which columns there are");
    assert_eq!(wrong("{ file: l.csv, column: host }", &[("l.csv", "host\n")]), ["E0304"]);
    assert_eq!(
        wrong("{ file: l.csv, column: host, allowEmpty: true }", &[("l.csv", "host,x\n,1\n")]),
        ["E0304"]
    );
    assert_eq!(wrong("{ file: l.csv, column: hst }", &[("l.csv", "host\na\n")]), ["E0306"]);
    assert_eq!(wrong("{ file: l.csv }", &[("l.csv", "host\na\n")]), ["E0105"]);
    assert_eq!(wrong("{ file: l.txt, column: a }", &[("l.txt", "a\n")]), ["E0303"]);
}

#[test]
fn lookups_are_tables_keyed_by_a_device_field() {
    let text = |file: &str, rest: &str| {
        format!(
            "lookups:\n  cmdb: {{ file: {file}, key: host, match: deviceName }}\nclaims: [T]\nrules:\n  - {{ name: r, select: {{ {rest} }}, tags: [T] }}\n"
        )
    };
    let csv = "host,env,Cost Center\na,prod,1\nb,,2\n";
    let policy = with_data(&text("c.csv", "lookup.cmdb.env: prod"), &[("c.csv", csv)]).sound();
    assert_eq!(policy.lookups[0].rows.cell(1, 1, 3), LookupCell::Empty, "empty cells are missing");
    with_data(&text("c.json", "lookup.cmdb.env: prod"), &[("c.json", "[{\"host\":\"a\",\"env\":\"prod\"}]")])
        .sound();
    with_data(&text("c.ndjson", "lookup.cmdb.n: '7'"), &[("c.ndjson", "{\"host\":\"a\",\"n\":7}\n")]).sound();
    with_data(&text("c.csv", "'lookup.cmdb.Cost Center': '1'"), &[("c.csv", csv)]).sound();
    let wrong = |file: &str, rest: &str, data: &str| with_data(&text(file, rest), &[(file, data)]).codes();
    assert_eq!(wrong("c.csv", "lookup.cmd.env: x", csv), ["E0212"]);
    assert_eq!(wrong("c.csv", "lookup.cmdb.evn: x", csv), ["E0213"]);
    assert_eq!(wrong("c.csv", "lookup.cmdb: x", csv), ["E0201"]);
    assert_eq!(wrong("c.csv", "lookup.cmdb.env: x", "name,env\na,b\n"), ["E0306"]);
    assert_eq!(wrong("c.csv", "lookup.cmdb.env: x", "host,env\n"), ["E0304"]);
    assert_eq!(wrong("c.xlsx", "lookup.cmdb.env: x", "host,env\n"), ["E0303"]);
    assert_eq!(wrong("c.csv", "lookup.cmdb.env: x", "host,env\na\n"), ["W0302"]);
    let torn =
        with_data(&text("c.csv", "lookup.cmdb.env: x"), &[("c.csv", "host,env,site\na\nb,x\nc,x,y\n,\n")]);
    assert_eq!(
        torn.findings[0].message,
        "3 rows of `c.csv` end before their last column: line 2 (key `a`, column `env` and 1 more), line 3 (key `b`, column `site`), line 5 (without a key, column `site`)"
    );
    let object = "{\"host\":\"a\",\"env\":\"x\"}";
    for (file, text_of_it, what, extension) in [
        ("c.json", format!("{object}\n{object}\n"), "it is NDJSON, one object a line", ".ndjson"),
        ("c.json", object.to_owned(), "it is NDJSON, one object a line", ".ndjson"),
        ("c.ndjson", format!("[{object}]"), "it is JSON, a list of objects", ".json"),
        ("c.csv", format!("[{object}]"), "it is JSON", ".json"),
        ("c.csv", format!("{object}\n{object}\n"), "it is JSON", ".ndjson"),
    ] {
        let found = with_data(&text(file, "lookup.cmdb.env: x"), &[(file, &text_of_it)]);
        let finding = found.only();
        assert!(finding.code == "E0303" && finding.message.contains(what), "{file}: {finding:?}");
        assert!(finding.help.as_ref().is_some_and(|help| help.contains(extension)), "{file}: {finding:?}");
    }
    assert_eq!(wrong("c.csv", "lookup.cmdb.env: prod", "host,env\n,x\na,prod\n"), ["W0301"]);
    for (file, rows) in [
        ("c.json", "[{\"host\":\"a\"},\n{\"host\":\"b\",\"env\":\"x\"}]"),
        ("c.ndjson", "{\"host\":\"a\"}\n{\"host\":\"b\",\"env\":\"x\"}\n"),
    ] {
        let left_out = with_data(&text(file, "lookup.cmdb.env: x"), &[(file, rows)]);
        let finding = left_out.only();
        let said = format!("line 1 of `{file}` (key `a`) leaves out the column `env`");
        assert_eq!((finding.code, finding.message.as_str()), ("W0302", said.as_str()));
        assert_eq!(
            left_out.policy.lookups[0].rows.cell(0, 1, 2),
            LookupCell::Unknown,
            "as in CSV and hunting results"
        );
        let null = rows.replace("\"a\"}", "\"a\",\"env\":null}");
        let empty = with_data(&text(file, "lookup.cmdb.env: x"), &[(file, &null)]).sound();
        assert_eq!(empty.lookups[0].rows.cell(0, 1, 2), LookupCell::Empty);
        let keyless = rows.replace("{\"host\":\"a\"}", "{\"env\":\"y\"}");
        assert_eq!(wrong(file, "lookup.cmdb.env: x", &keyless), ["E0303"], "it could be about any device");
    }
    let twice = with_data(&text("c.csv", "lookup.cmdb.env: x"), &[("c.csv", "host,env\na,x\nb,y\nA,z\n")]);
    assert!(twice.only().message.contains("lines 2 and 4"), "{}", twice.only().message);
    assert_eq!(
        wrong("c.csv", "lookup.cmdb.env: x", "host,env\na,x\nA,x\n"),
        Vec::<&str>::new(),
        "the same row twice is one"
    );
    let same = with_data(&text("c.csv", "lookup.cmdb.env: x"), &[("c.csv", "host,env\na,x\nA,x\n,y\nb,x\n")]);
    let rows = &same.policy.lookups[0].rows;
    assert_eq!((rows.keys.len(), rows.count()), (2, 3), "rows with a key, however often");
    let empty = text("c.csv, allowEmpty: true", "lookup.cmdb.env: x");
    assert_eq!(with_data(&empty, &[("c.csv", "host,env\n")]).sound().lookups[0].rows.keys.len(), 0);
    assert_eq!(with_data(&empty, &[("c.csv", "host,env\n,x\n")]).codes(), ["E0304"], "keys were lost");
    assert_eq!(
        with_data(&empty, &[("c.csv", "host\n")]).codes(),
        ["E0213"],
        "a header says which columns there are"
    );
    for (file, none) in [
        ("c.csv", ""),
        ("c.csv", "sep=;\n"),
        ("c.json", "[]"),
        ("c.json", "{\"value\":[]}"),
        ("c.ndjson", "\n"),
    ] {
        let empty = text(&format!("{file}, allowEmpty: true"), "lookup.cmdb.env: x, lookup.cmdb.host: y");
        let policy = with_data(
            &empty.replace(
                "[T] }\n",
                "[T] }\n  - { name: s, select: { lookup.cmdb.env: y }, tags: ['{lookup.cmdb.o}:'] }\n",
            ),
            &[(file, none)],
        )
        .sound();
        assert_eq!(policy.lookups[0].columns, ["host", "env", "o"], "{file}: neither row nor header");
    }
    assert_eq!(with_data(&text("../c.csv", "id: x"), &[]).codes(), ["E0302"]);
    let field = "lookups:\n  c: { file: c.csv, key: host, match: osPlatform }\n";
    assert_eq!(with_data(field, &[("c.csv", csv)]).codes(), ["E0209"]);
}
