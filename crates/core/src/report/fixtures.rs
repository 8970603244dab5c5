//! Hand-built plans for the tests of this module. Not compiled into the program.

use crate::device::DeviceValue;
use crate::diagnostic::Place;
use crate::plan::guard::{self, Past};
use crate::plan::*;
use crate::policy::Axis;
use crate::time::Timestamp;

/// A place of one line.
pub(super) fn place(file: &str, line: u32) -> Place {
    Place { file: file.into(), line, column: 5, end_line: line, end_column: 12 }
}

/// A rule at a line of `policies/servers.yaml`.
pub(super) fn rule(name: &str, line: u32) -> RuleReference {
    RuleReference {
        name: name.to_owned(),
        place: place("policies/servers.yaml", line),
        priority: 0,
        description: None,
        owner: None,
        ticket: None,
    }
}

/// A plan of two rules, a claim and no change.
pub(super) fn empty() -> Plan {
    let mut plan = Plan {
        rules: vec![rule("domain-controllers", 12), rule("production", 23)],
        causes: vec![
            Cause::Rule(vec![0]),
            Cause::Rule(vec![1]),
            Cause::Unselected { claim: "env/*".to_owned(), place: place("policies/servers.yaml", 4) },
        ],
        ..Plan::default()
    };
    plan.header.tool = "mdetag 0.1.0".to_owned();
    plan.header.created_at = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    plan.header.now = plan.header.created_at;
    plan.header.tenant = TenantReference {
        id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
        name: Some("contoso".to_owned()),
        cloud: Some("public".to_owned()),
    };
    plan.header.policy.commit = Some("3f2a91c0ffee".to_owned());
    plan.header.inventory = InventoryReference {
        digest: "sha256:00".to_owned(),
        devices: 48_210,
        in_scope: 41_877,
        read_at: None,
        reasons: vec![],
    };
    plan
}

/// The index of a tag of the plan, which is added if needed.
pub(super) fn tag(plan: &mut Plan, name: &str) -> TagIndex {
    let at = plan.tags.iter().position(|tag| &**tag == name).unwrap_or_else(|| {
        plan.tags.push(name.into());
        plan.tags.len() - 1
    });
    TagIndex(at as u32)
}

/// A device without changes.
pub(super) fn device(id: &str, name: &str) -> DeviceChange {
    DeviceChange {
        id: id.into(),
        name: (!name.is_empty()).then(|| name.into()),
        observed_tags: Box::default(),
        observed_value: Some("Normal".into()),
        add: vec![],
        remove: vec![],
        value: None,
    }
}

/// The example of the documentation: 12 domain controllers, 3,104 devices in production, 211 that leave `env/test`.
pub(super) fn example() -> Plan {
    let mut plan = empty();
    let (tier0, prod, test) =
        (tag(&mut plan, "Tier0"), tag(&mut plan, "env/prod"), tag(&mut plan, "env/test"));
    for number in 1..=12 {
        let mut change = device(&format!("a{number:04}"), &format!("dc{number:02}.corp.example.com"));
        change.add.push(TagChange { tag: tier0, cause: CauseIndex(0) });
        change.value = Some(ValueChange { to: DeviceValue::High, cause: CauseIndex(0) });
        plan.changes.push(change);
    }
    for number in 0..3_104 {
        let mut change = device(&format!("b{number:04}"), &format!("srv{number:04}.corp.example.com"));
        change.add.push(TagChange { tag: prod, cause: CauseIndex(1) });
        if number < 211 {
            change.observed_tags = Box::new([test]);
            change.remove.push(TagChange { tag: test, cause: CauseIndex(2) });
        }
        plan.changes.push(change);
    }
    plan.withheld.push(Withheld {
        reason: WithheldReason::Protected,
        name: Some("break-glass".to_owned()),
        until: None,
        accepted: None,
        additions: 3,
        removals: 1,
        values: 0,
        device_count: 3,
        devices: vec![],
    });
    plan.unresolved.push(Unresolved {
        rule: 1,
        template: "owner:{lookup.cmdb.owner|slug}".to_owned(),
        placeholder: "lookup.cmdb.owner".to_owned(),
        reasons: [(crate::plan::GapReason::NoRow, 37)].into(),
        sample: vec![],
        devices: vec![UnresolvedDevice {
            id: "4f1c0000000000000000000000000000000000aa".into(),
            name: Some("srv-37".into()),
            reason: crate::plan::GapReason::NoRow,
        }],
    });
    plan.guard.axes = vec![
        axis(Axis::Devices, 3_116, 41_877, 50, 100),
        axis(Axis::Additions, 3_116, 41_877, 100, 100),
        axis(Axis::Removals, 211, 10_040, 10, 10),
        AxisReport { tag: Some("env/test".into()), ..axis(Axis::RemovalsPerTag, 211, 1_040, 50, 5) },
        axis(Axis::Values, 12, 41_877, 25, 25),
    ];
    plan.schedule = Schedule {
        lanes: vec![
            LaneCost { lane: Lane::BulkTag, calls: 9, minimum: 9 },
            LaneCost { lane: Lane::SetValue, calls: 12, minimum: 12 },
        ],
        total: 21,
        minimum: 21,
        uncombined: None,
        seconds: 0,
    };
    plan
}

/// Names and tags that attack every renderer, on 12 devices.
pub(super) fn hostile() -> Plan {
    let mut plan = example();
    plan.changes.truncate(12);
    let names = [
        "\u{202e}moc.evil",
        "=cmd|' /C calc'!A0",
        "<script>alert(1)</script>",
        "@everyone #1 https://evil.example",
        "::error file=x::pwned",
        "##vso[task.setvariable variable=x]y",
        "a\nb\r\u{1b}[2J",
        "`|``|```|\\|",
        "]]>--><!--",
        "\"';--",
        "%0A::warning::x",
        "{{7*7}}\u{0}",
    ];
    for (change, name) in plan.changes.iter_mut().zip(names) {
        change.name = Some(name.into());
    }
    for (number, name) in names.iter().enumerate() {
        let tag = tag(&mut plan, name);
        plan.changes[number].remove.push(TagChange { tag, cause: CauseIndex(2) });
    }
    plan.withheld[0].name = Some(names[3].to_owned());
    plan.warnings.push(Warning::new("W0401", format!("tag \"{}\" is odd", names[4])));
    plan.header.tenant.name = Some(names[2].to_owned());
    plan.header.inventory.reasons = vec![format!("page 2 repeats {}", names[6])];
    plan
}

/// `tags` tags with long names, each to be removed from `each` devices, and as many to be added.
pub(super) fn many_tags(tags: u32, each: u32) -> Plan {
    let mut plan = empty();
    for number in 0..tags {
        let name = format!("owner:{number:05}-{}", "x".repeat(60));
        let added = format!("team:{number:05}-{}", "y".repeat(60));
        let (removed, added) = (TagIndex(plan.tags.len() as u32), (name, added));
        plan.tags.push(added.0.into());
        plan.tags.push(added.1.into());
        for at in 0..each {
            let mut change = device(&format!("{number:05}-{at:05}"), &format!("host-{number}-{at}"));
            change.add.push(TagChange { tag: TagIndex(removed.0 + 1), cause: CauseIndex(1) });
            change.remove.push(TagChange { tag: removed, cause: CauseIndex(2) });
            plan.changes.push(change);
        }
    }
    plan
}

/// A run of the plan that stopped early: every seventh change failed, bounced or is unknown, the last hundred were never sent.
pub(super) fn run(plan: &Plan) -> super::model::RunEnd {
    use crate::apply::{ChangeOutcome, Outcome};
    let mut outcomes = Vec::new();
    for device in &plan.changes {
        for key in crate::plan::stale::keys(plan, device) {
            outcomes.push(ChangeOutcome { key, outcome: Outcome::Done, error: None });
        }
    }
    let count = outcomes.len();
    for (at, outcome) in outcomes.iter_mut().enumerate() {
        (outcome.outcome, outcome.error) = match at {
            _ if at + 100 >= count => {
                (Outcome::NotAttempted, Some("the limit of 50 min is reached".to_owned()))
            }
            _ if at % 700 == 7 => {
                (Outcome::Failed, Some("InvalidInput: the device id is malformed".to_owned()))
            }
            _ if at % 700 == 14 => (Outcome::Bounced, Some("a re-read shows the old state".to_owned())),
            _ if at % 700 == 21 => (Outcome::Noop, None),
            _ => continue,
        };
    }
    super::model::RunEnd {
        run_id: "20261122T030000Z-7f3a".to_owned(),
        plan_digest: "sha256:00".to_owned(),
        outcomes,
        stopped: Some("the limit of 50 min is reached".to_owned()),
        is_resumable: true,
        is_default_set: true,
        tenant_flags: String::new(),
        resume_flags: String::new(),
        unreviewed: 2,
        notes: vec!["the bulk route is forbidden: fell back to single calls".to_owned()],
        lost: Vec::new(),
        calls: 21,
        seconds: 75,
        exit_code: 4,
        next_plan: None,
        not_before: None,
        next_run: None,
        shown_by: None,
        halt: None,
    }
}

/// A plan that moves three devices out of a guarded group, predicted from an outdated file.
pub(super) fn regrouped() -> Plan {
    use crate::plan::consequences::*;
    let count = |name: &str, devices| GroupCount { name: name.to_owned(), devices };
    let mut plan = example();
    plan.groups = Some(Consequences {
        before: vec![count("Servers", 40), count("Lab", 5), count("Tier-0 servers", 3)],
        after: vec![count("Servers", 43), count("Lab", 5), count("Tier-0 servers", 0)],
        moves: vec![GroupMove {
            from: "Tier-0 servers".to_owned(),
            to: "Servers".to_owned(),
            devices: 3,
            tags: vec!["-Tier0".to_owned()],
            remediation: RemediationChange::Rises,
            gain: vec!["SOC tier 1".to_owned()],
            lose: Vec::new(),
            sample: vec!["dc01".to_owned(), "dc02".to_owned()],
            unreliable: vec![MoveDoubt::LiveGroups],
        }],
        check: GroupCheck {
            differ: 7,
            of: 100,
            reliable: false,
            sample: vec!["web1: reported in Lab, predicted in Servers".to_owned()],
            ..GroupCheck::default()
        },
        exposure: Exposure { before: 120_450, after: 121_000 },
        predicted: 3,
        possible: 12,
        bounds: Vec::new(),
        emptied: Vec::new(),
    });
    plan
}

/// What the guard says of a cap of `percent` of `base`, at least `floor`.
pub(super) fn axis(axis: Axis, planned: u64, base: u64, percent: u64, floor: u64) -> AxisReport {
    let cap = floor.max(base * percent / 100);
    let percent = format!("{percent} %");
    AxisReport {
        axis,
        tag: None,
        planned,
        allowed: cap,
        cap,
        raised_by: None,
        base,
        percent,
        floor,
        place: None,
    }
}

/// A plan that a cap refuses: 312 removals of `Tier0`, where 260 are allowed.
pub(super) fn refused() -> Plan {
    let mut plan = empty();
    plan.guard.refused = true;
    plan.guard.axes = vec![AxisReport {
        tag: Some("Tier0".into()),
        place: Some(place("policies/guard.yaml", 9)),
        ..axis(Axis::RemovalsPerTag, 312, 1_040, 25, 5)
    }];
    plan.header.now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    offer_snippet(&mut plan);
    plan
}

/// What the guard offers to paste for the axes of a plan.
pub(super) fn offer_snippet(plan: &mut Plan) {
    let spent = (&Past::default(), TagCase::Exact);
    plan.guard.snippet = guard::snippet(&plan.guard.axes, &[], spent, plan.header.now);
}

/// The same plan, refused by the cap of a day alone.
pub(super) fn over_day(mut plan: Plan) -> Plan {
    plan.state.day = vec![guard::DayReport {
        axis: Axis::Removals,
        tag: None,
        done: 200,
        planned: 211,
        allowed: 400,
        base: 2_000,
        percent: "20 %".to_owned(),
        floor: 20,
        place: Some(place("policies/guard.yaml", 4)),
    }];
    plan.guard.refused = true;
    plan
}

/// An invariant that refuses.
pub(super) fn refusing() -> InvariantReport {
    InvariantReport {
        name: "dcs".to_owned(),
        demand: "at least 4 devices carry Tier0".to_owned(),
        before: 4,
        after: 3,
        broken: false,
        refuses: true,
        worst_case: false,
        place: place("policies/guard.yaml", 12),
    }
}
