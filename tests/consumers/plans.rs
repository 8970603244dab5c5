//! Plans for the readers: one of hostile names, one of ten thousand changes.

use mdetag_core::device::DeviceValue;
use mdetag_core::diagnostic::Place;
use mdetag_core::plan::{
    Cause, CauseIndex, DeviceChange, Plan, RuleReference, TagChange, TagIndex, TenantReference, ValueChange,
    Warning,
};

/// Names that an attacker could give a device.
pub(crate) const HOSTILE: [&str; 16] = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "@everyone #1 https://evil.example/x www.evil.example",
    "</script><img src=x onerror=alert(1)>",
    "[click](https://evil.example) ![x](https://evil.example/y.png)",
    "`|``|```|\\|",
    "a | b\n| --- |\n# heading",
    "::error file=x::pwned",
    "%0A::set-output name=x::y",
    "##vso[task.setvariable variable=x]y",
    "\u{202e}moc.evil\u{200b}",
    "]]>--></failure><!-- &amp; &#x41;",
    "quote\" \\ back\r\nnext\u{1b}[2J\u{0}\u{85}\u{2028}",
    "{tag=\"x\"} 1 # EOF",
];

fn place(line: u32) -> Place {
    Place { file: "policies/a b#c.yaml".into(), line, column: 5, end_line: line, end_column: 12 }
}

fn rule(name: &str, line: u32) -> RuleReference {
    RuleReference {
        name: name.to_owned(),
        place: place(line),
        priority: 0,
        description: Some(format!("about {name}")),
        owner: Some(name.to_owned()),
        ticket: None,
    }
}

fn device(id: String, name: &str) -> DeviceChange {
    DeviceChange {
        id: id.into(),
        name: Some(name.into()),
        observed_tags: Box::default(),
        observed_value: Some("Normal".into()),
        add: vec![],
        remove: vec![],
        value: None,
    }
}

/// Every hostile name as a device, a tag that is added, a tag that is removed, and a rule or claim.
pub(crate) fn hostile() -> Plan {
    let mut plan = Plan::default();
    plan.header.tenant =
        TenantReference { id: None, name: Some(HOSTILE[5].to_owned()), cloud: Some("public".to_owned()) };
    plan.header.tool = "mdetag 0.1.0".to_owned();
    for (number, name) in HOSTILE.iter().enumerate() {
        let at = number as u32;
        plan.tags.push((*name).into());
        plan.tags.push(format!("old {name}").into());
        plan.rules.push(rule(name, at + 1));
        plan.causes.push(Cause::Rule(vec![at]));
        plan.causes.push(Cause::Unselected { claim: (*name).to_owned(), place: place(at + 100) });
        let mut change = device(format!("{number:040x}"), name);
        change.add.push(TagChange { tag: TagIndex(at * 2), cause: CauseIndex(at * 2) });
        change.remove.push(TagChange { tag: TagIndex(at * 2 + 1), cause: CauseIndex(at * 2 + 1) });
        change.observed_tags = Box::new([TagIndex(at * 2 + 1)]);
        change.value = Some(ValueChange { to: DeviceValue::High, cause: CauseIndex(at * 2) });
        plan.changes.push(change);
        plan.warnings.push(Warning::new("W0401", format!("tag \"{name}\" is odd")));
    }
    plan
}

/// 10,000 changes: 100 tags removed from 20 devices each, 4,000 tags with long names added to two each.
pub(crate) fn large() -> Plan {
    let mut plan = Plan {
        rules: vec![rule("owners", 3)],
        causes: vec![Cause::Rule(vec![0]), Cause::Unselected { claim: "team/*".to_owned(), place: place(9) }],
        ..Plan::default()
    };
    plan.header.tool = "mdetag 0.1.0".to_owned();
    for tag in 0..100 {
        plan.tags.push(format!("team/{tag:03}").into());
    }
    for tag in 0..4_000 {
        plan.tags.push(format!("owner:{tag:04}-{}", "x".repeat(80)).into());
    }
    for number in 0..8_000_u32 {
        let mut change = device(format!("{number:040x}"), &format!("host-{number}.corp.example.com"));
        change.add.push(TagChange { tag: TagIndex(100 + number / 2), cause: CauseIndex(0) });
        if number < 2_000 {
            let tag = TagIndex(number / 20);
            change.remove.push(TagChange { tag, cause: CauseIndex(1) });
            change.observed_tags = Box::new([tag]);
        }
        plan.changes.push(change);
    }
    plan
}
